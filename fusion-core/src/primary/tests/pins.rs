//! What is kept for replacements of other primaries (PROTOCOL rules 30, 32, 34, 67).

use super::*;

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
