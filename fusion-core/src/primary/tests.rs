use super::*;
use crate::config::FusedState;
use crate::config::{ClusterShape, FusedSeat, Host, Origin};
use crate::entry::Descriptor;
use crate::id::RecoveryId;
use crate::id::{ClusterId, Epoch, RequestId, Row, ServerId};
use crate::limits::MAX_PIN_IDLE;
use crate::message::{Ack, ChangeRun, RecoveryReply, RecoveryRequest};
use crate::op::{Kind, Op};
use crate::page::PageTable;
use bytes::Bytes;

const SESSION: SessionId = SessionId(5);

fn host(server: u64) -> Host {
    Host {
        server: ServerId(server),
        address: String::new(),
    }
}

/// Two primaries (members 1 and 2) and one fused structure (member 3).
fn config() -> Configuration {
    let shape = ClusterShape::new("c", Kind::Queue, 2, 1, false).unwrap();
    let hosts = [host(1), host(2), host(3)];
    Configuration::create(1, ClusterId(1), 1, &shape, &hosts)
}

fn enqueue(primary: &mut Primary, number: u64) -> Submitted {
    let incarnation = primary.open_session(SESSION).unwrap_or_default();
    let id = RequestId {
        session: SESSION,
        incarnation,
        slot: 0,
        number,
    };
    let value = Bytes::from(vec![7; 100]);
    primary.submit(
        &ClientRequest {
            id: Some(id),
            op: Op::Enqueue { value },
            follows: false,
        },
        Time(0),
    )
}

fn route(primary: &Primary, to: u64) -> Route {
    primary.config().route(primary.id(), MemberId(to))
}

fn acked(seq: Seq) -> Ack {
    Ack {
        seq,
        sent_at: Time(0),
        number: 0,
    }
}

/// It is sent all that there is, and acknowledges up to `seq`.
fn ack(primary: &mut Primary, from: u64, seq: Seq) {
    let _ = primary.replicate(MemberId(from), usize::MAX, Time(0));
    let route = route(primary, from);
    primary.on_ack(route, acked(seq), Time(0));
}

#[test]
fn an_answer_waits_for_every_fused_member() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    let Submitted::Done { after, .. } = enqueue(&mut primary, 1) else {
        panic!("it is executed")
    };
    assert_eq!((primary.applied(), primary.stable()), (after, Seq(0)));
    ack(&mut primary, 3, after);
    assert_eq!(primary.stable(), after);
}

#[test]
fn an_acknowledgement_of_another_epoch_does_not_count() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    enqueue(&mut primary, 1);
    primary.replicate(MemberId(3), usize::MAX, Time(0)).unwrap();
    let mut other = route(&primary, 3);
    other.epoch = other.epoch.next();
    primary.on_ack(other, acked(Seq(99)), Time(0));
    assert_eq!(primary.stable(), Seq(0));
    assert_eq!(primary.condition(), Condition::Serving);
}

/// What fewer codes than the cluster asked for have would be lost with them (rule 53).
#[test]
fn a_change_that_too_few_codes_have_is_not_answered_and_no_further_one_is_made() {
    let two = Configuration {
        min_in_sync: 2,
        ..(**with_two_codes().config()).clone()
    };
    let mut primary = Primary::create(Arc::new(two), MemberId(1));
    for code in [3, 4] {
        ack(&mut primary, code, Seq(1));
    }
    assert_eq!(primary.answerable(), Seq(1));
    enqueue(&mut primary, 1);
    let made = primary.applied();
    assert!(made > Seq(1));
    ack(&mut primary, 3, made);
    let mut one = (**primary.config()).successor(2);
    one.fused.retain(|s| s.id == MemberId(3));
    primary.adopt(Arc::new(one));
    assert_eq!((primary.stable(), primary.answerable()), (made, Seq(1)));
    assert_eq!(enqueue(&mut primary, 2), Submitted::BelowFloor);
    assert_eq!(primary.open_session(SessionId(99)), None);
    assert_eq!(primary.applied(), made);
    let mut again = (**primary.config()).successor(3);
    again.add_learner(Row(1), host(5));
    let learner = again.fused.iter_mut().find(|s| s.row == Row(1));
    let learner = learner.unwrap();
    learner.state = FusedState::Joining;
    let id = learner.id.0;
    primary.adopt(Arc::new(again));
    ack(&mut primary, id, made);
    assert_eq!(primary.answerable(), Seq(1), "it does not count yet");
    let mut whole = (**primary.config()).successor(4);
    whole
        .fused
        .iter_mut()
        .for_each(|s| s.state = FusedState::InSync);
    primary.adopt(Arc::new(whole));
    assert_eq!(primary.answerable(), made);
    assert!(matches!(enqueue(&mut primary, 2), Submitted::Done { .. }));
}

/// A primary whose memory was set back would number changes again that others have, and answer what nobody has (rule 63).
#[test]
fn a_primary_that_hears_of_changes_which_it_never_sent_serves_nobody() {
    let known = |sent: u64, ack: Ack| {
        let mut primary = Primary::create(Arc::new(config()), MemberId(1));
        primary.replicate(MemberId(3), 1, Time(sent)).unwrap();
        // What it numbers now has the number of one that the other knows.
        enqueue(&mut primary, 1);
        let route = route(&primary, 3);
        primary.on_ack(route, ack, Time(sent));
        primary
    };
    let at = |seq: u64, sent_at: u64| Ack {
        seq: Seq(seq),
        sent_at: Time(sent_at),
        number: 0,
    };
    for (what, later) in [("a change", at(2, 100)), ("a message", at(1, 101))] {
        let mut primary = known(100, later);
        assert_eq!(primary.condition(), Condition::Missing, "{what}");
        assert_eq!(primary.stable(), Seq(0), "{what}");
        assert_eq!(enqueue(&mut primary, 2), Submitted::Suspended);
        assert_eq!(read(&mut primary, 101), Submitted::Suspended);
        assert_eq!(primary.replicate(MemberId(3), 1, Time(101)), None);
        let next = (**primary.config()).successor(2);
        primary.adopt(Arc::new(next));
        assert_eq!(primary.condition(), Condition::Missing, "for ever");
    }
    assert_eq!(known(100, at(1, 100)).condition(), Condition::Serving);
    let mut primary = known(100, at(1, 100));
    let from_3 = route(&primary, 3);
    primary.on_refusal(from_3, &Refusal::WentBack);
    assert_eq!(primary.condition(), Condition::Missing);
}

/// Recoveries bring members to what others were sent; a primary that returns after that must not take it for its own past.
#[test]
fn a_primary_that_returns_knows_that_others_were_rolled_forward() {
    let mut primary = with_two_codes();
    enqueue(&mut primary, 1);
    ack(&mut primary, 3, Seq(3));
    let mut lost = (**primary.config()).successor(2);
    lost.primaries[0].id = MemberId(5);
    lost.primaries[0].state = PrimaryState::Lost;
    lost.primaries[0].former = Some(crate::config::Former {
        id: MemberId(1),
        host: host(1),
        origin: Origin::Created,
        blamed: false,
    });
    let mut again = (**primary.config()).successor(3);
    again.epoch = lost.epoch.next();
    primary.suspend(Arc::new(lost));
    primary.adopt(Arc::new(again));
    let message = primary.replicate(MemberId(4), 1, Time(5)).unwrap();
    assert_eq!(message.changes.count, 1);
    let from_4 = route(&primary, 4);
    let sent_at = Time(5);
    primary.on_ack(
        from_4,
        Ack {
            seq: Seq(3),
            sent_at,
            number: 0,
        },
        Time(5),
    );
    assert_eq!(primary.condition(), Condition::Serving);
    assert_eq!(primary.stable(), Seq(3));
}

#[test]
fn a_retry_is_answered_from_the_record_and_an_older_request_is_stale() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    let first = enqueue(&mut primary, 1);
    assert_eq!(enqueue(&mut primary, 1), first);
    assert_eq!(primary.structure().len(), 1);
    enqueue(&mut primary, 2);
    assert_eq!(enqueue(&mut primary, 1), Submitted::Stale);
}

/// Member 2 is lost and rebuilt by member 4.
fn losing_the_other(primary: &mut Primary) {
    let mut next = (**primary.config()).successor(2);
    next.primaries[1].id = MemberId(4);
    next.primaries[1].state = PrimaryState::Lost;
    primary.adopt(Arc::new(next));
}

fn from_replacement(primary: &Primary) -> Route {
    Route {
        from: MemberId(4),
        to: primary.id(),
        ..route(primary, 0)
    }
}

fn frozen_at(reply: Result<RecoveryReply, Refusal>) -> Seq {
    match reply {
        Ok(RecoveryReply::PrimarySnapshot { seq, .. }) => seq,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_late_pin_keeps_what_was_frozen() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    ack(&mut primary, 3, Seq(1));
    losing_the_other(&mut primary);
    let route = from_replacement(&primary);
    let pin = |n| RecoveryRequest::Pin {
        recovery: RecoveryId(n),
    };
    let freeze = RecoveryRequest::PrimarySnapshot {
        recovery: RecoveryId(2),
        after: Seq(1),
    };
    primary.on_recovery(route, &pin(2), Time(0)).unwrap();
    let seq = frozen_at(primary.on_recovery(route, &freeze, Time(0)));
    enqueue(&mut primary, 1);
    ack(&mut primary, 3, Seq(3));
    assert_eq!(
        primary.on_recovery(route, &pin(2), Time(0)),
        Ok(RecoveryReply::Pinned)
    );
    assert_eq!(
        primary.on_recovery(route, &pin(1), Time(0)),
        Err(Refusal::NotThere)
    );
    assert_eq!(frozen_at(primary.on_recovery(route, &freeze, Time(0))), seq);
}

#[test]
fn a_pin_keeps_the_log_until_it_is_released() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    ack(&mut primary, 3, Seq(1));
    losing_the_other(&mut primary);
    let route = from_replacement(&primary);
    let recovery = RecoveryId(1);
    primary
        .on_recovery(route, &RecoveryRequest::Pin { recovery }, Time(0))
        .unwrap();
    enqueue(&mut primary, 1);
    ack(&mut primary, 3, Seq(3));
    assert_eq!(primary.log.base(), Seq(1));
    primary
        .on_recovery(route, &RecoveryRequest::Release { recovery }, Time(0))
        .unwrap();
    assert_eq!(primary.log.base(), Seq(3));
}

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

#[test]
fn a_primary_that_died_before_anything_was_safe_is_started_empty() {
    let expected = Descriptor {
        kind: Kind::Queue,
        cluster: ClusterId(1),
        index: PrimaryIndex(0),
    };
    let image = Image::rebuild(Seq(0), PageTable::new(), expected).unwrap();
    let primary = Primary::recovered(Arc::new(config()), MemberId(1), image);
    assert_eq!((primary.applied(), primary.stable()), (Seq(1), Seq(0)));
    assert!(primary.structure().is_empty());
}

/// Late copies of a session's opening and of a request, after its close: the session is another one by then (rule 38).
#[test]
fn a_session_opened_again_by_a_late_copy_executes_nothing() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    enqueue(&mut primary, 1);
    primary.close_session(SESSION, Seq(2));
    let id = RequestId {
        session: SESSION,
        incarnation: Seq(2),
        slot: 0,
        number: 1,
    };
    let value = Bytes::from(vec![7; 100]);
    let copy = ClientRequest {
        id: Some(id),
        op: Op::Enqueue { value },
        follows: false,
    };
    assert_eq!(primary.submit(&copy, Time(0)), Submitted::SessionUnknown);
    assert_eq!(primary.open_session(SESSION), Some(Seq(5)));
    assert_eq!(primary.open_session(SESSION), Some(Seq(5)), "as before");
    assert_eq!(primary.submit(&copy, Time(0)), Submitted::SessionUnknown);
    primary.close_session(SESSION, Seq(2));
    assert_eq!(primary.open_session(SESSION), Some(Seq(5)), "a late close");
    assert_eq!(primary.structure().len(), 1);
    let image = Image::rebuild(
        primary.applied(),
        primary.structure().snapshot(),
        Descriptor {
            kind: Kind::Queue,
            cluster: ClusterId(1),
            index: PrimaryIndex(0),
        },
    );
    let mut primary = Primary::recovered(Arc::new(config()), MemberId(1), image.unwrap());
    assert_eq!(primary.open_session(SESSION), Some(Seq(5)), "recovered");
    assert_eq!(primary.submit(&copy, Time(0)), Submitted::SessionUnknown);
    let mut new = copy;
    new.id.as_mut().unwrap().incarnation = Seq(5);
    assert!(matches!(
        primary.submit(&new, Time(0)),
        Submitted::Done { .. }
    ));
}

/// Clients that open and close sessions fill the log as those that write do (rule 11).
#[test]
fn opening_and_closing_sessions_stays_within_the_bound() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    primary.limit_log(2000, 10_000);
    assert_eq!(primary.open_session(SESSION), Some(Seq(2)));
    let mut opened = 0;
    while let Some(incarnation) = primary.open_session(SessionId(100 + opened)) {
        opened += 1;
        assert_eq!(incarnation, primary.applied());
        assert!(opened < 1000, "it is unbounded");
    }
    let applied = primary.applied();
    assert_eq!(primary.open_session(SESSION), Some(Seq(2)), "it is open");
    primary.close_session(SESSION, Seq(2));
    assert_eq!(primary.applied(), applied);
    ack(&mut primary, 3, applied);
    assert_eq!(primary.open_session(SessionId(1)), Some(applied.next()));
    primary.close_session(SESSION, Seq(2));
    assert_eq!(primary.applied(), applied.next().next());
}

fn read(primary: &mut Primary, now: u64) -> Submitted {
    primary.submit(
        &ClientRequest {
            id: None,
            op: Op::Len,
            follows: false,
        },
        Time(now),
    )
}

/// A primary of a cluster with two fused members, 3 and 4.
fn with_two_codes() -> Primary {
    let shape = ClusterShape::new("c", Kind::Queue, 2, 2, false).unwrap();
    let hosts = [1, 2, 3, 4].map(host);
    let config = Configuration::create(1, ClusterId(1), 1, &shape, &hosts);
    Primary::create(Arc::new(config), MemberId(1))
}

/// Sends at `sent_at`; the answer comes whenever it comes.
fn renew(primary: &mut Primary, from: u64, sent_at: u64) {
    let message = primary.replicate(MemberId(from), 1000, Time(sent_at));
    let message = message.unwrap();
    let route = route(primary, from);
    let ack = Ack {
        seq: Seq(0),
        sent_at: message.sent_at,
        number: message.number,
    };
    primary.on_ack(route, ack, Time(0));
}

#[test]
fn a_read_needs_the_lease_of_every_fused_member_counted_from_before_it_was_asked_for() {
    let mut primary = with_two_codes();
    let lease = primary.config().timing.lease_primary().as_micros() as u64;
    assert_eq!(read(&mut primary, 0), Submitted::NoLease);
    renew(&mut primary, 3, 100);
    assert_eq!(read(&mut primary, 101), Submitted::NoLease);
    renew(&mut primary, 4, 200);
    assert_eq!(primary.leased_until(), Time(100 + lease));
    let done = |s| matches!(s, Submitted::Done { after: Seq(1), .. });
    assert!(done(read(&mut primary, 99 + lease)));
    assert_eq!(read(&mut primary, 100 + lease), Submitted::NoLease);
    renew(&mut primary, 3, 300);
    assert!(done(read(&mut primary, 199 + lease)));
    assert_eq!(read(&mut primary, 200 + lease), Submitted::NoLease);
    // A late answer to an older message takes nothing back.
    let late = Ack {
        seq: Seq(0),
        sent_at: Time(150),
        number: 0,
    };
    let from_3 = route(&primary, 3);
    primary.on_ack(from_3, late, Time(0));
    assert!(done(read(&mut primary, 199 + lease)));
}

/// As [`with_two_codes`], of a cluster whose reads rest on no clock.
fn confirming() -> Primary {
    let config = Configuration {
        reads: Reads::Confirmed,
        ..with_two_codes().config().as_ref().clone()
    };
    Primary::create(Arc::new(config), MemberId(1))
}

fn round(submitted: Submitted) -> u64 {
    match submitted {
        Submitted::Done { round, .. } => round,
        other => panic!("{other:?}"),
    }
}

/// A clock that was stopped with its machine showed a lease that had long been over.
#[test]
fn a_read_without_clocks_waits_for_messages_that_were_sent_after_it_arrived() {
    let mut primary = confirming();
    let under_way = [3, 4].map(|to| {
        let message = primary.replicate(MemberId(to), 1000, Time(5)).unwrap();
        (to, message)
    });
    assert!(
        ![3, 4].iter().any(|&to| primary.awaits(MemberId(to))),
        "nobody reads"
    );
    let first = round(read(&mut primary, u64::MAX));
    for (to, message) in under_way {
        let ack = Ack {
            seq: Seq(0),
            sent_at: message.sent_at,
            number: message.number,
        };
        let route = route(&primary, to);
        primary.on_ack(route, ack, Time(6));
        assert!(primary.awaits(MemberId(to)), "that was sent before");
    }
    assert!(primary.confirmed() < first);
    renew(&mut primary, 3, 7);
    assert!(primary.confirmed() < first && !primary.awaits(MemberId(3)));
    // One that comes now needs another message of the one that has confirmed already.
    let second = round(read(&mut primary, 0));
    renew(&mut primary, 4, 8);
    assert!(primary.confirmed() >= first && primary.confirmed() < second);
    assert!(primary.awaits(MemberId(3)));
    renew(&mut primary, 3, 9);
    assert!(primary.confirmed() >= second);
}

#[test]
fn what_was_confirmed_in_an_epoch_says_nothing_in_the_next_and_nobody_is_asked_where_there_are_no_codes()
 {
    let mut primary = confirming();
    let waits = round(read(&mut primary, 0));
    renew(&mut primary, 3, 1);
    let next = primary.config().successor(9);
    primary.adopt(Arc::new(next));
    renew(&mut primary, 4, 2);
    assert!(primary.confirmed() < waits && primary.awaits(MemberId(3)));
    renew(&mut primary, 3, 3);
    assert!(primary.confirmed() >= waits);
    let waits = round(read(&mut primary, 0));
    let mut alone = primary.config().successor(10);
    alone.fused.clear();
    primary.adopt(Arc::new(alone));
    assert!(primary.confirmed() >= waits);
    let at_once = round(read(&mut primary, 0));
    assert!(primary.confirmed() >= at_once);
}

#[test]
fn a_new_member_holds_up_reads_until_it_gives_a_lease_and_a_kept_one_keeps_its_own() {
    let mut primary = with_two_codes();
    renew(&mut primary, 3, 100);
    renew(&mut primary, 4, 100);
    let leased = primary.leased_until();
    let mut next = (**primary.config()).successor(2);
    next.fused[1].id = MemberId(5);
    next.fused[1].state = FusedState::Joining;
    primary.adopt(Arc::new(next));
    assert_eq!(read(&mut primary, 101), Submitted::NoLease);
    renew(&mut primary, 5, 150);
    assert_eq!(primary.leased_until(), leased);
}

#[test]
fn without_any_fused_member_nobody_can_replace_it_and_it_reads_without_lease() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    let mut next = (**primary.config()).successor(2);
    next.fused.clear();
    primary.adopt(Arc::new(next));
    assert_eq!(primary.leased_until(), Time::NEVER);
    assert!(matches!(
        read(&mut primary, 5),
        Submitted::Done { after: Seq(1), .. }
    ));
}

#[test]
fn a_replacement_of_another_epoch_or_for_another_member_is_refused() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    losing_the_other(&mut primary);
    let good = from_replacement(&primary);
    let pin = RecoveryRequest::Pin {
        recovery: RecoveryId(1),
    };
    let ask = |primary: &mut Primary, route| primary.on_recovery(route, &pin, Time(0));
    for epoch in [Epoch(1), Epoch(3)] {
        match ask(&mut primary, Route { epoch, ..good }) {
            Err(Refusal::Epoch(ours)) => assert_eq!(ours.epoch, Epoch(2)),
            other => panic!("{other:?}"),
        }
    }
    let elsewhere = Route {
        to: MemberId(9),
        ..good
    };
    let other_cluster = Route {
        cluster: ClusterId(2),
        ..good
    };
    for route in [elsewhere, other_cluster] {
        let refused = ask(&mut primary, route);
        assert!(matches!(refused, Err(Refusal::NotMember { .. })));
    }
    for from in [1, 3, 9].map(MemberId) {
        let refused = ask(&mut primary, Route { from, ..good });
        assert_eq!(refused, Err(Refusal::NotAllowed), "from {from}");
    }
    assert_eq!(ask(&mut primary, good), Ok(RecoveryReply::Pinned));
}

/// A change of 100 bytes and its session record.
const ONE: usize = 300;

#[test]
fn at_the_bound_of_unstable_changes_it_is_busy_before_it_executes() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    primary.bounds.unstable_bytes = 4 * ONE;
    let mut number = 0;
    let busy = loop {
        number += 1;
        if enqueue(&mut primary, number) == Submitted::Busy {
            break number;
        }
        assert!(number < 50, "never busy");
    };
    assert!(busy > 2, "room for some");
    let applied = primary.applied();
    assert_eq!(primary.structure().len(), busy - 1);
    ack(&mut primary, 3, applied);
    assert!(matches!(
        enqueue(&mut primary, busy),
        Submitted::Done { .. }
    ));
}

#[test]
fn a_pinned_log_has_a_greater_bound_of_its_own() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    primary.bounds.unstable_bytes = 2 * ONE;
    primary.bounds.log_bytes = 10 * ONE;
    ack(&mut primary, 3, Seq(1));
    losing_the_other(&mut primary);
    let route = from_replacement(&primary);
    let recovery = RecoveryId(1);
    let pin = RecoveryRequest::Pin { recovery };
    primary.on_recovery(route, &pin, Time(0)).unwrap();
    let mut done = 0;
    while matches!(enqueue(&mut primary, done + 1), Submitted::Done { .. }) {
        done += 1;
        let applied = primary.applied();
        ack(&mut primary, 3, applied);
        assert!(done < 100, "never busy");
    }
    assert!(done > 5, "busy after {done}");
    let release = RecoveryRequest::Release { recovery };
    primary.on_recovery(route, &release, Time(0)).unwrap();
    assert!(matches!(
        enqueue(&mut primary, done + 1),
        Submitted::Done { .. }
    ));
}

#[test]
fn a_pin_does_not_lift_the_bound_of_unstable_changes() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    primary.bounds.unstable_bytes = 4 * ONE;
    ack(&mut primary, 3, Seq(1));
    losing_the_other(&mut primary);
    let route = from_replacement(&primary);
    let recovery = RecoveryId(1);
    let pin = RecoveryRequest::Pin { recovery };
    primary.on_recovery(route, &pin, Time(0)).unwrap();
    let busy = (1..50).find(|&number| enqueue(&mut primary, number) == Submitted::Busy);
    assert!(busy.is_some_and(|b| b > 2), "{busy:?}");
}

#[test]
fn a_primary_that_was_taken_for_dead_serves_nobody_until_it_is_named_again() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    renew(&mut primary, 3, 100);
    enqueue(&mut primary, 1);
    let mut lost = (**primary.config()).successor(2);
    lost.primaries[0].id = MemberId(4);
    lost.primaries[0].state = PrimaryState::Lost;
    lost.primaries[0].former = Some(crate::config::Former {
        id: MemberId(1),
        host: host(1),
        origin: Origin::Created,
        blamed: false,
    });
    primary.suspend(Arc::new(lost));
    assert_eq!(read(&mut primary, 101), Submitted::Suspended);
    assert_eq!(enqueue(&mut primary, 2), Submitted::Suspended);
    assert_eq!(primary.replicate(MemberId(3), 1000, Time(101)), None);
    for epoch in [Epoch(1), Epoch(2)] {
        let route = Route {
            epoch,
            ..route(&primary, 3)
        };
        primary.on_ack(route, acked(Seq(2)), Time(0));
        assert_eq!(primary.stable(), Seq(0), "sealed");
    }
    primary.adopt(Arc::new(config().successor(3).successor(4)));
    let resent = primary.replicate(MemberId(3), 1000, Time(102)).unwrap();
    assert_eq!(resent.changes.first, Seq(1), "all above stable");
    assert!(matches!(enqueue(&mut primary, 2), Submitted::Done { .. }));
}

#[test]
fn a_replacement_that_was_lost_before_it_heard_that_it_was_active_has_all_when_it_returns() {
    let mut dead = Primary::create(Arc::new(config()), MemberId(1));
    enqueue(&mut dead, 1);
    let expected = Descriptor {
        kind: Kind::Queue,
        cluster: ClusterId(1),
        index: PrimaryIndex(0),
    };
    let pages = dead.structure().snapshot();
    let image = Image::rebuild(dead.applied(), pages, expected).unwrap();
    let mut lost = config().successor(2);
    lost.primaries[0].id = MemberId(5);
    lost.primaries[0].state = PrimaryState::Lost;
    lost.primaries[0].former = Some(crate::config::Former {
        id: MemberId(4),
        host: host(1),
        origin: Origin::Recovered,
        blamed: false,
    });
    let mut again = lost.successor(3);
    again.primaries[0] = config().primaries[0].clone();
    again.primaries[0].id = MemberId(4);
    let mut primary = Primary::recovered(Arc::new(lost), MemberId(4), image);
    assert_eq!(primary.condition(), Condition::Suspended);
    assert_eq!(enqueue(&mut primary, 2), Submitted::Suspended);
    assert_eq!(primary.replicate(MemberId(3), 1000, Time(1)), None);
    primary.adopt(Arc::new(again));
    assert_eq!(primary.condition(), Condition::Serving);
    let (applied, stable) = (primary.applied(), primary.stable());
    assert_eq!((applied, primary.structure().len()), (dead.applied(), 1));
    assert_eq!(stable, applied, "all that are in sync stood there");
    assert!(matches!(enqueue(&mut primary, 2), Submitted::Done { .. }));
    let sent = primary.replicate(MemberId(3), 1000, Time(2)).unwrap();
    assert_eq!(sent.changes.first, applied.next());
}

#[test]
fn it_complains_of_who_is_silent_and_a_pause_of_its_own_is_nobodys_silence() {
    let mut primary = with_two_codes();
    let timing = primary.config().timing;
    let (beat, most) = (
        timing.heartbeat().as_micros(),
        timing.complain_after().as_micros(),
    );
    let beats = |from: u128, to: u128| (from..to).step_by(beat as usize).map(|t| Time(t as u64));
    for now in beats(beat, beat + most) {
        let message = primary.replicate(MemberId(4), 1000, now);
        let from_4 = route(&primary, 4);
        let ack = Ack {
            seq: Seq(1),
            sent_at: message.unwrap().sent_at,
            number: 0,
        };
        primary.on_ack(from_4, ack, now);
        primary.tick(now);
        assert_eq!(primary.complaints(), []);
    }
    let before = primary.complaints();
    assert!(
        primary.tick(Time(10 * most as u64)),
        "it was paused: one heartbeat more"
    );
    assert_eq!((before, primary.complaints()), (vec![], vec![MemberId(3)]));
}

/// One value of 8 MiB on a slow link had its primary thrown away, and every code.
#[test]
fn a_long_message_that_moves_is_no_silence_and_its_lease_is_renewed_beside_it() {
    let mut primary = with_two_codes();
    let timing = primary.config().timing;
    let look = timing.heartbeat() / 2;
    let mut now = Time(1_000_000);
    let long = primary.replicate(MemberId(3), 1 << 20, now).unwrap();
    assert_eq!(long.changes.count, 1);
    let end = now.after(3 * timing.complain_after());
    let mut renewed = 0;
    while now < end {
        now = now.after(look);
        let message = primary.replicate(MemberId(4), 1000, now).unwrap();
        let ack = Ack {
            seq: Seq(1),
            sent_at: message.sent_at,
            number: 0,
        };
        let from_4 = route(&primary, 4);
        primary.on_ack(from_4, ack, now);
        assert_eq!(primary.renewal(MemberId(4), now), None, "asked just now");
        if let Some(beside) = primary.renewal(MemberId(3), now) {
            assert_eq!(beside.changes, ChangeRun::empty(Seq(1)));
            let ack = Ack {
                seq: Seq(0),
                sent_at: beside.sent_at,
                number: 0,
            };
            let from_3 = route(&primary, 3);
            primary.on_ack(from_3, ack, now);
            renewed += 1;
        }
        primary.on_progress(MemberId(3), now);
        primary.tick(now);
        assert_eq!(primary.complaints(), []);
        assert!(renewed == 0 || primary.leased_until() > now, "reads go on");
    }
    assert!(renewed > 5 && primary.stable() == Seq(0));
    // What comes beside it tells nothing of the way that the changes go.
    for _ in 0..=2 * timing.complain_after().as_millis() / look.as_millis() {
        now = now.after(look);
        renew(&mut primary, 3, now.0);
        primary.tick(now);
    }
    assert!(primary.complaints().contains(&MemberId(3)));
}

#[test]
fn a_pin_that_nobody_asks_about_goes_and_the_replacement_is_told_to_start_again() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    ack(&mut primary, 3, Seq(1));
    losing_the_other(&mut primary);
    let route = from_replacement(&primary);
    let recovery = RecoveryId(1);
    let pin = RecoveryRequest::Pin { recovery };
    primary.on_recovery(route, &pin, Time(5)).unwrap();
    enqueue(&mut primary, 1);
    ack(&mut primary, 3, Seq(3));
    let freeze = RecoveryRequest::PrimarySnapshot {
        recovery,
        after: Seq(1),
    };
    // Asked about just before: it stays.
    let nearly = Time(Time(5).after(MAX_PIN_IDLE).0 - 1);
    primary.on_recovery(route, &freeze, nearly).unwrap();
    primary.tick(Time(5).after(MAX_PIN_IDLE));
    assert_eq!(primary.log.base(), Seq(1));
    let idle = nearly.after(MAX_PIN_IDLE);
    primary.tick(idle);
    assert_eq!(primary.log.base(), Seq(3), "the log is not kept any more");
    let pages = RecoveryRequest::SnapshotPages {
        recovery,
        from: 0,
        count: 1,
    };
    let refused = primary.on_recovery(route, &pages, idle);
    assert_eq!(refused, Err(Refusal::NotThere));
}

/// Two recoveries at a time, while everything is written anew: what is frozen for them is seen, and bounded (rule 67).
#[test]
fn what_is_frozen_for_recoveries_is_counted_and_bounded() {
    let shape = ClusterShape::new("c", Kind::Queue, 3, 2, false).unwrap();
    let hosts = [1, 2, 3, 4, 5].map(host);
    let first = Configuration::create(1, ClusterId(1), 1, &shape, &hosts);
    let mut primary = Primary::create(Arc::new(first.clone()), MemberId(1));
    primary.bounds.frozen_bytes = 0;
    for number in 1..=200 {
        assert!(matches!(
            enqueue(&mut primary, number),
            Submitted::Done { .. }
        ));
    }
    let mut next = first.successor(2);
    for (seat, id) in next.primaries[1..].iter_mut().zip([6, 7]) {
        (seat.id, seat.state) = (MemberId(id), PrimaryState::Lost);
    }
    let next = Arc::new(next);
    primary.adopt(Arc::clone(&next));
    let recovery = RecoveryId(1);
    let ask = |primary: &mut Primary, from, request| {
        let route = next.route(MemberId(from), MemberId(1));
        primary.on_recovery(route, &request, Time(0))
    };
    let snapshot = RecoveryRequest::PrimarySnapshot {
        recovery,
        after: Seq(0),
    };
    for from in [6, 7] {
        let pinned = ask(&mut primary, from, RecoveryRequest::Pin { recovery });
        assert_eq!(pinned, Ok(RecoveryReply::Pinned));
    }
    let frozen = ask(&mut primary, 6, snapshot.clone()).unwrap();
    assert_eq!(primary.frozen_bytes(), 0, "all of it is shared");
    empty(&mut primary, 201);
    let kept = primary.frozen_bytes();
    assert!(kept > primary.structure().stats().page_bytes, "{kept}");
    let refused = ask(&mut primary, 7, snapshot.clone());
    assert_eq!(refused, Err(Refusal::Busy));
    assert_eq!(
        ask(&mut primary, 6, snapshot.clone()),
        Ok(frozen),
        "as before"
    );
    let released = ask(&mut primary, 6, RecoveryRequest::Release { recovery });
    assert_eq!(released, Ok(RecoveryReply::Released));
    assert_eq!(primary.frozen_bytes(), 0);
    // Not the other way round as well: each would wait for the other, here and at another survivor.
    for number in 401..=600 {
        let done = enqueue(&mut primary, number);
        assert!(matches!(done, Submitted::Done { .. }));
    }
    ask(&mut primary, 7, snapshot.clone()).unwrap();
    empty(&mut primary, 601);
    assert!(primary.frozen_bytes() > primary.structure().stats().page_bytes);
    let pinned = ask(&mut primary, 6, RecoveryRequest::Pin { recovery });
    assert_eq!(pinned, Ok(RecoveryReply::Pinned));
    let frozen = ask(&mut primary, 6, snapshot);
    assert!(matches!(frozen, Ok(RecoveryReply::PrimarySnapshot { .. })));
}

/// Takes 200 elements out.
fn empty(primary: &mut Primary, from: u64) {
    for number in from..from + 200 {
        let id = RequestId {
            session: SESSION,
            incarnation: Seq(2),
            slot: 1,
            number,
        };
        let dequeue = ClientRequest {
            id: Some(id),
            op: Op::Dequeue,
            follows: false,
        };
        let done = primary.submit(&dequeue, Time(0));
        assert!(matches!(done, Submitted::Done { .. }));
    }
}
