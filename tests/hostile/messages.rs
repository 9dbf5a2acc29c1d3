//! Well-formed messages that fit nothing here.

use super::*;
use fusion_core::limits::MAX_NUMBER;

/// Well-formed messages of the right version to members, clusters and epochs that are not there.
#[tokio::test]
async fn messages_of_other_epochs_clusters_and_members_are_refused_and_change_nothing() {
    use fusion_core::id::{ClusterId, Epoch, MemberId, PrimaryIndex, RecoveryId, Seq};
    use fusion_core::message::{ChangeRun, Chunk, ClientBatch, ClientRequest, JoinSnapshot};
    use fusion_core::message::{Pages, RecoveryRequest, Replicate, Route};
    use fusion_core::time::Time;
    use fusion_net::peer::within;
    use fusion_net::service::CoordinatorClient;
    use fusion_net::service::{FusedClient, PrimaryClient};
    let ports = Ports::open().await;
    let limit = || within(Duration::from_secs(5));
    let cluster = ports.rig.client.cluster("c").await.unwrap();
    let coordinator: CoordinatorClient =
        peer::connect(ports.rig.network(), ports.rig.coordinator())
            .await
            .unwrap();
    let config = coordinator.lookup(limit(), "c".to_owned(), None, 0).await;
    let config = config.unwrap().unwrap();
    let primary = ports.rig.member("c", Seat::Primary(0)).await;
    let fused = ports.rig.member("c", Seat::Fused(0)).await;
    let network = ports.rig.network();
    let to_primary: PrimaryClient = peer::connect(network, &primary.address).await.unwrap();
    let to_fused: FusedClient = peer::connect(network, &fused.address).await.unwrap();
    let right = |to: MemberId, from: MemberId| config.route(from, to);
    let wrong = |to: MemberId| {
        let (none, high) = (MemberId(0), MemberId(MAX_NUMBER));
        let route = right(to, primary.id);
        let other = ClusterId(cluster.id.0 ^ 1);
        [
            Route {
                cluster: other,
                ..route
            },
            Route {
                epoch: Epoch(0),
                ..route
            },
            Route {
                epoch: Epoch(MAX_NUMBER),
                ..route
            },
            Route {
                from: none,
                ..route
            },
            Route {
                from: high,
                ..route
            },
            Route { to: high, ..route },
            Route {
                nonce: !route.nonce,
                ..route
            },
            Route { from: to, ..route },
        ]
    };
    for route in wrong(fused.id) {
        let lie = ChangeRun {
            first: Seq(MAX_NUMBER),
            count: u32::MAX,
            bytes: vec![0xff; 100].into(),
        };
        for (changes, join) in [
            (ChangeRun::empty(Seq(1)), None),
            (
                lie,
                Some(JoinSnapshot {
                    seq: Seq(MAX_NUMBER),
                    chunks: u32::MAX,
                }),
            ),
        ] {
            let message = Replicate {
                index: PrimaryIndex(u16::MAX),
                changes,
                stable: Seq(MAX_NUMBER),
                sent_at: Time(u64::MAX),
                join,
                taken: u32::MAX,
                number: 0,
            };
            let answer = to_fused.replicate(limit(), route, message).await.unwrap();
            assert!(answer.is_err(), "{route:?}: {answer:?}");
        }
        let chunk = Chunk {
            index: PrimaryIndex(7),
            join: JoinSnapshot {
                seq: Seq(3),
                chunks: 3,
            },
            number: u32::MAX,
            pages: Pages::default(),
        };
        assert!(
            to_fused
                .chunk(limit(), route, chunk)
                .await
                .unwrap()
                .is_err()
        );
    }
    let recovery = RecoveryId(MAX_NUMBER);
    for request in [
        RecoveryRequest::Vector,
        RecoveryRequest::Pin { recovery },
        RecoveryRequest::PrimarySnapshot {
            recovery,
            after: Seq(MAX_NUMBER),
        },
        RecoveryRequest::SnapshotPages {
            recovery,
            from: u64::MAX,
            count: u32::MAX,
        },
        RecoveryRequest::FusedSnapshot {
            recovery,
            wanted: vec![(PrimaryIndex(u16::MAX), Seq(1)); 100],
        },
        RecoveryRequest::Log {
            index: PrimaryIndex(u16::MAX),
            after: Seq(MAX_NUMBER),
            upto: Seq(0),
        },
    ] {
        for to in [primary.id, fused.id] {
            let routes = wrong(to)
                .into_iter()
                .chain([right(to, primary.id), right(to, fused.id)]);
            for route in routes {
                let answer = if to == primary.id {
                    to_primary.recover(limit(), route, request.clone()).await
                } else {
                    to_fused.recover(limit(), route, request.clone()).await
                };
                let answer = answer.expect("it answers");
                assert!(answer.is_err(), "{route:?} {request:?}: {answer:?}");
            }
        }
    }
    for member in [MemberId(0), fused.id, MemberId(MAX_NUMBER)] {
        let batch = ClientBatch {
            cluster: cluster.id,
            member,
            open: None,
            requests: vec![ClientRequest {
                id: None,
                op: Op::Len,
                follows: false,
            }],
            close: None,
        };
        let answer = to_primary.execute(limit(), batch.into()).await.unwrap();
        assert!(answer.is_err(), "{answer:?}");
    }
    ports.close().await;
}

/// A configuration is told by anybody; one that cannot be breaks no member.
#[tokio::test]
async fn a_configuration_that_cannot_be_is_refused_and_breaks_no_member() {
    use fusion_core::id::{MemberId, Row};
    use fusion_net::peer::within;
    use fusion_net::service::{CoordinatorClient, FusedClient};
    use std::sync::Arc;
    let ports = Ports::open().await;
    let limit = || within(Duration::from_secs(5));
    let network = ports.rig.network();
    let coordinator: CoordinatorClient = peer::connect(network, ports.rig.coordinator())
        .await
        .unwrap();
    let config = coordinator.lookup(limit(), "c".to_owned(), None, 0).await;
    let config = config.unwrap().unwrap();
    let fused = ports.rig.member("c", Seat::Fused(0)).await;
    let client: FusedClient = peer::connect(network, &fused.address).await.unwrap();
    let mut bad = vec![config.successor(1); 6];
    bad[0].primaries.clear();
    bad[1].primaries.extend(config.primaries.clone());
    bad[2].fused[0].row = Row(u16::MAX);
    bad[3].faults = u16::MAX;
    bad[4].fused[0].id = MemberId(MAX_NUMBER);
    bad[5].store ^= 1;
    for config in bad {
        client.adopt(limit(), Arc::new(config)).await.unwrap();
    }
    ports.close().await;
}
