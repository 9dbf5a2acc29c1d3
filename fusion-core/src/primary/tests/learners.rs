//! Learners: what is kept for them, and what waits for them (PROTOCOL rules 14, 15, 27, 54).

use super::*;

#[test]
fn a_promoted_learner_counts_as_having_its_snapshot_even_without_an_acknowledgement() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    enqueue(&mut primary, 1);
    ack(&mut primary, 3, Seq(3));
    let learner = FusedSeat {
        id: MemberId(4),
        host: host(4),
        row: Row(0),
        state: FusedState::Joining,
        origin: Origin::Recovered,
    };
    let mut next = (**primary.config()).successor(2);
    next.fused = vec![learner];
    primary.adopt(Arc::new(next));
    let mut next = (**primary.config()).successor(3);
    next.fused[0].state = FusedState::InSync;
    primary.adopt(Arc::new(next));
    assert_eq!(primary.acked(MemberId(4)), Some(Seq(3)));
    let replicate = primary.replicate(MemberId(4), 1000, Time(0)).unwrap();
    assert_eq!((replicate.changes.count, replicate.join), (0, None));
}

#[test]
fn a_learner_holds_the_stable_mark_until_it_acknowledges() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    ack(&mut primary, 3, Seq(1));
    let mut next = (**primary.config()).successor(2);
    next.fused.push(FusedSeat {
        id: MemberId(4),
        host: host(4),
        row: Row(1),
        state: FusedState::Joining,
        origin: Origin::Recovered,
    });
    primary.adopt(Arc::new(next));
    enqueue(&mut primary, 1);
    ack(&mut primary, 3, Seq(3));
    assert_eq!(primary.stable(), Seq(1));
    ack(&mut primary, 4, Seq(3));
    assert_eq!(primary.stable(), Seq(3));
}

/// Member 4 is to take row 0, with the code of that row still there.
fn with_a_learner(primary: &mut Primary, state: FusedState) {
    let mut next = (**primary.config()).successor(2);
    next.fused.retain(|s| s.id != MemberId(4));
    next.fused.push(FusedSeat {
        id: MemberId(4),
        host: host(4),
        row: Row(0),
        state,
        origin: Origin::Recovered,
    });
    primary.adopt(Arc::new(next));
}

/// Row 5: a spare that nobody can reach, chosen for a code, held up every write until it was complained about.
#[test]
fn a_spare_that_members_cannot_reach_stalls_nobody() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    primary.limit_log(4 * ONE, 8 * ONE);
    with_a_learner(&mut primary, FusedState::Copying);
    for number in 1..100 {
        assert!(matches!(
            enqueue(&mut primary, number),
            Submitted::Done { .. }
        ));
        renew(&mut primary, 3, 100);
        let applied = primary.applied();
        ack(&mut primary, 3, applied);
        assert_eq!(primary.stable(), applied, "nobody waits for it");
    }
    assert!(matches!(read(&mut primary, 101), Submitted::Done { .. }));
    // The log is not kept for it for ever, and then it is complained about at once.
    assert_eq!(primary.complaints(), [MemberId(4)]);
    assert_eq!(primary.replicate(MemberId(4), 1000, Time(101)), None);
}

#[test]
fn a_copying_learner_finds_in_the_log_what_it_needs() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    with_a_learner(&mut primary, FusedState::Copying);
    enqueue(&mut primary, 1);
    let applied = primary.applied();
    ack(&mut primary, 3, applied);
    assert_eq!(primary.stable(), applied);
    let message = primary.replicate(MemberId(4), 1 << 20, Time(0)).unwrap();
    assert_eq!(message.join.unwrap().seq.next(), message.changes.first);
    assert_eq!(message.changes.count, 2);
    ack(&mut primary, 4, applied);
    assert_eq!(primary.keeps_after(), applied);
}

/// What it acknowledged while it copied may be lost on the way: it is sent that again when it counts.
#[test]
fn a_learner_that_begins_to_count_may_lack_what_is_stable_and_finds_it_in_the_log() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    with_a_learner(&mut primary, FusedState::Copying);
    enqueue(&mut primary, 1);
    let applied = primary.applied();
    ack(&mut primary, 3, applied);
    with_a_learner(&mut primary, FusedState::Joining);
    let message = primary.replicate(MemberId(4), 1 << 20, Time(0)).unwrap();
    assert_eq!(message.changes.count, 2);
    // It has them, says so to the coordinator, and the acknowledgement is lost.
    with_a_learner(&mut primary, FusedState::InSync);
    let message = primary.replicate(MemberId(4), 1 << 20, Time(0)).unwrap();
    assert_eq!((message.changes.count, message.join), (0, None));
}

/// Rule 54: what it acknowledged and leased while it copied counts when it does.
#[test]
fn a_learner_that_begins_to_count_stalls_no_reads() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    with_a_learner(&mut primary, FusedState::Copying);
    renew(&mut primary, 3, 100);
    renew(&mut primary, 4, 100);
    with_a_learner(&mut primary, FusedState::Joining);
    assert!(matches!(read(&mut primary, 101), Submitted::Done { .. }));
    ack(&mut primary, 3, Seq(1));
    assert_eq!(primary.stable(), Seq(0), "it counts now");
    ack(&mut primary, 4, Seq(1));
    assert_eq!(primary.stable(), Seq(1));
}
