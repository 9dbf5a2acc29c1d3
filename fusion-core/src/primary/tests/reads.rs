//! Leases, and reads without clocks (PROTOCOL rules 10, 13, 17, 58).

use super::*;

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
        full: None,
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
            full: None,
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
