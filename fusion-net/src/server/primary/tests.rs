//! Batches at a primary whose fused members cannot be reached.

use super::*;
use crate::server::Peers;
use crate::service::Registered;
use crate::transport::Network;
use fusion_core::config::{ClusterShape, Host as Place};
use fusion_core::id::{ClusterId, RequestId, ServerId, SessionId};
use fusion_core::message::ClientRequest;
use fusion_core::op::{Kind, Op};

const CLUSTER: ClusterId = ClusterId(1);
const SESSION: SessionId = SessionId(7);

fn put(session: SessionId, slot: u16) -> ClientRequest {
    ClientRequest {
        id: Some(RequestId {
            session,
            slot,
            number: 1,
        }),
        op: Op::Put {
            key: vec![slot as u8].into(),
            value: "value".into(),
        },
    }
}

fn get(slot: u16) -> ClientRequest {
    ClientRequest {
        id: None,
        op: Op::Get {
            key: vec![slot as u8].into(),
        },
    }
}

/// A read behind a change that was put off saw what was there before it; a change behind such a read was made before it.
#[tokio::test]
async fn what_is_executed_of_a_batch_is_its_front() {
    let host = Host::new(Peers::new(Network::loopback()), true);
    assert!(host.set_identity(Registered {
        server: ServerId(1),
        store: 1,
    }));
    let places = [1, 2].map(|server| Place {
        server: ServerId(server),
        address: "127.0.0.1:1".to_owned(),
    });
    let shape = ClusterShape::new("c", Kind::Map, 1, 1, false).unwrap();
    let config = Configuration::create(1, CLUSTER, 1, &shape, &places);
    let member = config.primaries[0].id;
    host.adopt(Arc::new(config));
    let Some(Member::Primary(cell)) = host.member(CLUSTER, member) else {
        panic!("it is here")
    };
    let guest = Guest::alone(64 << 10);
    let mut marks = cell.watch();
    let mut answers = async |open, requests| {
        let batch = ClientBatch {
            cluster: CLUSTER,
            member,
            open,
            requests,
            close: None,
        };
        let answers = cell.execute_now(&batch, &guest, &mut marks).await;
        answers.expect("it is executed").0.replies
    };
    assert!(answers(Some(SESSION), Vec::new()).await.is_empty());
    // Without a lease it does not read.
    let replies = answers(None, vec![put(SESSION, 1), get(1), put(SESSION, 2)]).await;
    use ClientReply::{Deferred, Done, NoLease, SessionUnknown};
    assert!(
        matches!(replies[..], [Done(..), NoLease, Deferred]),
        "{replies:?}"
    );
    let stranger = SessionId(8);
    let replies = answers(
        None,
        vec![put(stranger, 1), put(SESSION, 2), put(SESSION, 3)],
    )
    .await;
    assert!(
        matches!(replies[..], [SessionUnknown, Deferred, Deferred]),
        "{replies:?}"
    );
    let replies = answers(None, vec![put(SESSION, 2), put(SESSION, 1)]).await;
    assert!(matches!(replies[..], [Done(..), Done(..)]), "{replies:?}");
}
