use super::*;
use crate::config::{ClusterShape, FusedSeat, Host, Origin};
use crate::entry::Descriptor;
use crate::id::{ClusterId, RequestId, Row, ServerId};
use crate::message::RecoveryReply;
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
    primary.open_session(SESSION);
    let id = RequestId {
        session: SESSION,
        slot: 0,
        number,
    };
    let value = Bytes::from(vec![7; 100]);
    primary.submit(&ClientRequest {
        id: Some(id),
        op: Op::Enqueue { value },
    })
}

fn route(primary: &Primary, to: u64) -> Route {
    Route {
        cluster: ClusterId(1),
        epoch: primary.config().epoch,
        from: primary.id(),
        to: MemberId(to),
    }
}

fn ack(primary: &mut Primary, from: u64, seq: Seq) {
    let route = route(primary, from);
    primary.on_ack(route, Ack { seq });
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
fn an_acknowledgement_of_another_epoch_or_of_the_future_does_not_count() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    enqueue(&mut primary, 1);
    let mut other = route(&primary, 3);
    other.epoch = other.epoch.next();
    primary.on_ack(other, Ack { seq: Seq(3) });
    ack(&mut primary, 3, Seq(99));
    assert_eq!(primary.stable(), Seq(0));
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
    primary.on_recovery(route, &pin(2)).unwrap();
    let seq = frozen_at(primary.on_recovery(route, &freeze));
    enqueue(&mut primary, 1);
    ack(&mut primary, 3, Seq(3));
    assert_eq!(
        primary.on_recovery(route, &pin(2)),
        Ok(RecoveryReply::Pinned)
    );
    assert_eq!(primary.on_recovery(route, &pin(1)), Err(Refusal::NotThere));
    assert_eq!(frozen_at(primary.on_recovery(route, &freeze)), seq);
}

#[test]
fn a_pin_keeps_the_log_until_it_is_released() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    ack(&mut primary, 3, Seq(1));
    losing_the_other(&mut primary);
    let route = from_replacement(&primary);
    let recovery = RecoveryId(1);
    primary
        .on_recovery(route, &RecoveryRequest::Pin { recovery })
        .unwrap();
    enqueue(&mut primary, 1);
    ack(&mut primary, 3, Seq(3));
    assert_eq!(primary.log.base(), Seq(1));
    primary
        .on_recovery(route, &RecoveryRequest::Release { recovery })
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
    let replicate = primary.replicate(MemberId(4), 1000).unwrap();
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

/// A client's opening message, of which a copy comes after the session was closed, carries no requests.
#[test]
fn a_session_opened_again_by_a_late_copy_executes_nothing() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    enqueue(&mut primary, 1);
    primary.close_session(SESSION);
    let id = RequestId {
        session: SESSION,
        slot: 0,
        number: 1,
    };
    let value = Bytes::from(vec![7; 100]);
    let copy = ClientRequest {
        id: Some(id),
        op: Op::Enqueue { value },
    };
    assert_eq!(primary.submit(&copy), Submitted::SessionUnknown);
    primary.open_session(SESSION);
    assert_eq!(primary.structure().len(), 1);
}
