//! Codes that were given up and may return: what is kept for them (PROTOCOL rule 52).

use super::*;
use crate::config::FormerCode;

/// Member 3, the only code, was given up in the next epoch.
fn given_up(primary: &mut Primary) {
    let mut next = (**primary.config()).successor(2);
    next.former_codes = next.fused.drain(..).map(former).collect();
    primary.adopt(Arc::new(next));
}

fn former(seat: FusedSeat) -> FormerCode {
    FormerCode {
        id: seat.id,
        host: seat.host,
        row: seat.row,
        origin: seat.origin,
        lost: Vec::new(),
    }
}

fn returns(primary: &mut Primary, state: FusedState) {
    let mut next = (**primary.config()).successor(3);
    next.fused = vec![FusedSeat {
        id: MemberId(3),
        host: host(3),
        row: Row(0),
        state,
        origin: Origin::Created,
    }];
    if state == FusedState::InSync {
        next.former_codes.clear();
    }
    primary.adopt(Arc::new(next));
}

#[test]
fn the_log_reaches_back_to_what_a_code_had_that_was_given_up() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    ack(&mut primary, 3, Seq(1));
    enqueue(&mut primary, 1);
    given_up(&mut primary);
    enqueue(&mut primary, 2);
    assert_eq!(primary.stable(), Seq(4), "nobody is waited for");
    assert_eq!(primary.links().count(), 0, "it is sent nothing");
    assert_eq!(primary.complaints(), []);
    assert_eq!(primary.keeps_after(), Seq(1));
    returns(&mut primary, FusedState::Copying);
    let sent = primary.replicate(MemberId(3), usize::MAX, Time(0)).unwrap();
    assert_eq!((sent.changes.first, sent.changes.count), (Seq(2), 3));
    assert_eq!((sent.stable, sent.join), (Seq(4), None));
    enqueue(&mut primary, 3);
    assert_eq!(primary.stable(), Seq(5), "it only copies");
    returns(&mut primary, FusedState::Joining);
    assert_eq!(primary.keeps_after(), Seq(1), "it may lack what is stable");
    enqueue(&mut primary, 4);
    assert_eq!(primary.stable(), Seq(5), "it counts");
    ack(&mut primary, 3, Seq(6));
    assert_eq!((primary.stable(), primary.keeps_after()), (Seq(6), Seq(6)));
    returns(&mut primary, FusedState::InSync);
    assert_eq!(primary.acked(MemberId(3)), Some(Seq(6)));
}

#[test]
fn a_code_is_left_behind_and_complained_about_when_the_log_is_full_for_its_sake() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    ack(&mut primary, 3, Seq(1));
    primary.limit_log(usize::MAX, 600);
    given_up(&mut primary);
    for number in 1..20 {
        assert!(matches!(
            enqueue(&mut primary, number),
            Submitted::Done { .. }
        ));
    }
    assert_eq!(primary.complaints(), [MemberId(3)]);
    returns(&mut primary, FusedState::Copying);
    assert_eq!(primary.replicate(MemberId(3), 1000, Time(0)), None);
    assert_eq!(primary.complaints(), [MemberId(3)]);
}

/// Who does not know what it acknowledged cannot tell what it lacks.
#[test]
fn a_primary_that_began_without_a_code_has_nothing_for_it() {
    let mut config = config();
    config.former_codes = config.fused.drain(..).map(former).collect();
    let mut primary = Primary::create(Arc::new(config), MemberId(1));
    assert_eq!(primary.complaints(), [MemberId(3)]);
    enqueue(&mut primary, 1);
    assert_eq!(primary.keeps_after(), primary.applied());
}
