//! Batches at a primary whose fused members cannot be reached.

use super::*;
use crate::server::Peers;
use crate::service::Registered;
use crate::transport::Network;
use fusion_core::config::{ClusterShape, Host as Place};
use fusion_core::id::{ClusterId, RequestId, ServerId, SessionId};
use fusion_core::limits::MAX_VALUE_BYTES;
use fusion_core::message::ClientRequest;
use fusion_core::op::{Kind, Op};
use tokio_util::bytes::Bytes;

const CLUSTER: ClusterId = ClusterId(1);
const SESSION: SessionId = SessionId(7);
/// The change after the one that describes the structure opens it.
const INCARNATION: Seq = Seq(2);

fn put(session: SessionId, slot: u16) -> ClientRequest {
    ClientRequest {
        id: Some(RequestId {
            session,
            incarnation: INCARNATION,
            slot,
            number: 1,
        }),
        op: Op::Put {
            key: vec![slot as u8].into(),
            value: "value".into(),
        },
        follows: false,
    }
}

fn get(slot: u16) -> ClientRequest {
    ClientRequest {
        id: None,
        op: Op::Get {
            key: vec![slot as u8].into(),
        },
        follows: false,
    }
}

/// Those that are sent together.
fn together(mut requests: Vec<ClientRequest>) -> Vec<ClientRequest> {
    for request in requests.iter_mut().skip(1) {
        request.follows = true;
    }
    requests
}

/// A primary whose one fused member cannot be reached; it has a session, and no lease.
struct Alone {
    cell: Arc<PrimaryCell>,
    member: MemberId,
    guest: Arc<Guest>,
    marks: watch::Receiver<Marks>,
    _host: Arc<Host>,
}

impl Alone {
    async fn new() -> Alone {
        let host = Host::new(Peers::new(Network::loopback()), true, None);
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
        let marks = cell.watch();
        let mut alone = Alone {
            cell,
            member,
            guest: Guest::alone(64 << 10),
            marks,
            _host: host,
        };
        let opened = alone.answers(Some(SESSION), Vec::new()).await;
        assert_eq!(opened, [ClientReply::Opened(INCARNATION)]);
        alone
    }

    async fn answers(
        &mut self,
        open: Option<SessionId>,
        requests: Vec<ClientRequest>,
    ) -> Vec<ClientReply> {
        let batch = ClientBatch {
            cluster: CLUSTER,
            member: self.member,
            open,
            requests,
            close: None,
        };
        let memory = Memory::new(None);
        let cell = &self.cell;
        let executed = cell.execute_now(&batch, &self.guest, &memory, &mut self.marks);
        executed.await.expect("it is executed").0.replies
    }
}

/// A read behind a change that was put off would see what was there before it; a change behind such a read would be made
/// before it. Those of others do not wait for either.
#[tokio::test]
async fn what_is_executed_of_operations_that_are_sent_together_is_their_front() {
    let mut alone = Alone::new().await;
    use ClientReply::{Deferred, Done, NoLease, SessionUnknown, Stale};
    // Without a lease it does not read.
    let replies = alone
        .answers(
            None,
            [
                together(vec![put(SESSION, 1), get(1), put(SESSION, 2)]),
                together(vec![put(SESSION, 3), put(SESSION, 4)]),
                vec![get(1), put(SESSION, 5)],
            ]
            .concat(),
        )
        .await;
    assert!(
        matches!(
            replies[..],
            [
                Done(..),
                NoLease,
                Deferred,
                Done(..),
                Done(..),
                NoLease,
                Done(..)
            ]
        ),
        "{replies:?}"
    );
    let stranger = SessionId(8);
    let requests = vec![put(stranger, 1), put(SESSION, 2), put(SESSION, 6)];
    let replies = alone.answers(None, together(requests.clone())).await;
    assert!(
        matches!(replies[..], [SessionUnknown, Deferred, Deferred]),
        "{replies:?}"
    );
    let replies = alone.answers(None, requests).await;
    assert!(
        matches!(replies[..], [SessionUnknown, Done(..), Done(..)]),
        "{replies:?}"
    );
    let mut later = put(SESSION, 1);
    later.id.as_mut().unwrap().number = 2;
    let requests = together(vec![later, put(SESSION, 1), put(SESSION, 7)]);
    let replies = alone.answers(None, requests).await;
    assert!(
        matches!(replies[..], [Done(..), Stale, Deferred]),
        "{replies:?}"
    );
}

/// A fused member takes nothing: the primary's log is full.
#[tokio::test]
async fn a_change_that_is_refused_keeps_back_only_what_was_sent_with_it() {
    let mut alone = Alone::new().await;
    let value = Bytes::from(vec![1; MAX_VALUE_BYTES]);
    let large = |slot| ClientRequest {
        op: Op::Put {
            key: vec![slot as u8].into(),
            value: value.clone(),
        },
        ..put(SESSION, slot)
    };
    use ClientReply::{Busy, Deferred, Done};
    let mut slot = 0;
    while matches!(alone.answers(None, vec![large(slot)]).await[..], [Done(..)]) {
        slot += 1;
    }
    assert!((8..100).contains(&slot), "{slot}");
    // What was executed before is answered, and needs no room.
    let (refused, known) = (put(SESSION, slot), large(0));
    let sent = together(vec![refused.clone(), known.clone()]);
    let replies = alone.answers(None, [sent, vec![known]].concat()).await;
    assert!(
        matches!(replies[..], [Busy, Deferred, Done(..)]),
        "{replies:?}"
    );
}
