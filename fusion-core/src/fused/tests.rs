use super::*;
use crate::config::{ClusterShape, Host};
use crate::id::{ClusterId, ServerId};
use crate::op::Kind;
use crate::primary::Primary;
use bytes::Bytes;

fn config() -> Arc<Configuration> {
    let shape = ClusterShape::new("c", Kind::Queue, 2, 1, false).unwrap();
    let hosts = [1, 2, 3].map(|i| Host {
        server: ServerId(i),
        address: String::new(),
    });
    Arc::new(Configuration::create(1, ClusterId(1), 1, &shape, &hosts))
}

fn fused() -> Fused {
    Fused::create(config(), MemberId(3), Code::new(2, 1).unwrap())
}

fn route(from: u64) -> Route {
    let config = config();
    Route {
        cluster: config.cluster,
        epoch: config.epoch,
        from: MemberId(from),
        to: MemberId(3),
    }
}

/// The descriptor of primary 0.
fn first() -> Replicate {
    let primary = Primary::create(config(), MemberId(1));
    primary.replicate(MemberId(3), 1000).unwrap()
}

#[test]
fn changes_come_in_order_once_and_from_their_primary_only() {
    let mut fused = fused();
    let message = first();
    assert!(matches!(
        fused.on_replicate(route(2), &message),
        Err(Refusal::NotAllowed)
    ));
    let late = Replicate {
        changes: ChangeRun {
            first: Seq(2),
            ..message.changes.clone()
        },
        ..message.clone()
    };
    assert_eq!(
        fused.on_replicate(route(1), &late),
        Ok(Ack { seq: Seq(0) }),
        "a gap"
    );
    assert_eq!(
        fused.on_replicate(route(1), &message),
        Ok(Ack { seq: Seq(1) })
    );
    let pages = fused.store().bytes();
    assert_eq!(
        fused.on_replicate(route(1), &message),
        Ok(Ack { seq: Seq(1) }),
        "again"
    );
    assert_eq!(fused.store().bytes(), pages);
}

#[test]
fn another_epoch_is_refused_with_the_configuration() {
    let mut other = route(1);
    other.epoch = other.epoch.next();
    match fused().on_replicate(other, &first()) {
        Err(Refusal::Epoch(ours)) => assert_eq!(ours.epoch, config().epoch),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_cannot_take_a_change_leaves_instead_of_refusing_for_ever() {
    let mut fused = fused();
    assert_eq!(fused.condition(), Condition::Serving);
    let garbage = Bytes::from_static(&[255; 40]);
    let changes = ChangeRun::pack(Seq(1), std::iter::once(&garbage));
    let message = Replicate { changes, ..first() };
    assert_eq!(
        fused.on_replicate(route(1), &message),
        Err(Refusal::Malformed)
    );
    assert_eq!(fused.condition(), Condition::Missing);
    assert_eq!(fused.vector(), [Seq(0), Seq(0)], "nothing was applied");
}
