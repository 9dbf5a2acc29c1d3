//! Links between hosts of this process, over real connections.

use super::*;
use crate::server::{FusedServer, OFFERED, Peers, PrimaryServer, channel_config};
use crate::service::{self, Counted, Fused as _, Registered};
use crate::transport::Network;
use crate::wire::{self, Guest, Service};
use crate::{connections, express, server};
use fusion_core::config::{ClusterShape, Host as Place};
use fusion_core::id::{ClusterId, RequestId, Row, Seq, ServerId, SessionId};
use fusion_core::message::{
    Ack, ClientBatch, ClientReply, ClientRequest, RecoveryReply, RecoveryRequest,
};
use fusion_core::op::{Kind, Op};
use tarpc::context::Context;
use tarpc::server::{BaseChannel, Channel};
use tokio::sync::watch;
use tokio::time::timeout;

const CLUSTER: ClusterId = ClusterId(1);
const SESSION: SessionId = SessionId(7);

/// Takes changes as any other, and hangs when it is sent pages.
#[derive(Clone)]
struct HangsOnPages {
    fused: FusedServer,
    asked: Arc<watch::Sender<bool>>,
}

impl service::Fused for HangsOnPages {
    async fn replicate(self, c: Context, route: Route, message: Replicate) -> Result<Ack, Refusal> {
        self.fused.replicate(c, route, message).await
    }

    async fn streams(self, c: Context) -> Option<u16> {
        self.fused.streams(c).await
    }

    async fn chunk(self, _: Context, _: Route, _: Chunk) -> Result<(), Refusal> {
        self.asked.send_replace(true);
        pending().await
    }

    async fn recover(
        self,
        c: Context,
        route: Route,
        request: RecoveryRequest,
    ) -> Result<Counted<RecoveryReply>, Refusal> {
        self.fused.recover(c, route, request).await
    }

    async fn adopt(self, c: Context, config: Arc<Configuration>) {
        self.fused.adopt(c, config).await;
    }
}

/// A server of this number without members, where it listens, and whether it was sent pages.
async fn server_that_hangs_on_pages(number: u64) -> (Arc<Host>, Place, watch::Receiver<bool>) {
    let host = host(number);
    let any = "127.0.0.1:0".parse().unwrap();
    let listener = host.peers.network.listen(any).await.unwrap();
    let place = Place {
        server: ServerId(number),
        address: listener.local_addr().unwrap().to_string(),
    };
    let (asked, seen) = watch::channel(false);
    let (asked, serves) = (Arc::new(asked), Arc::clone(&host));
    tokio::spawn(connections::accept(listener, move |incoming, guest| {
        let fused = FusedServer::new(Arc::clone(&serves), Arc::clone(&guest));
        let asked = Arc::clone(&asked);
        async move {
            let (stream, service) = wire::accept(incoming, &OFFERED).await.unwrap();
            if service == Service::Changes {
                let _ = express::serve_changes(stream, guest, fused).await;
            } else {
                let transport = wire::server_transport(stream, Service::Fused, guest);
                let channel = BaseChannel::new(channel_config(), transport);
                server::run(channel.execute(HangsOnPages { fused, asked }.serve())).await;
            }
        }
    }));
    (host, place, seen)
}

fn host(number: u64) -> Arc<Host> {
    let host = Host::new(Peers::new(Network::loopback()), true, None);
    assert!(host.set_identity(Registered {
        server: ServerId(number),
        store: 1,
    }));
    host
}

/// Waited for the pages with each message of changes.
#[tokio::test]
async fn a_learner_that_hangs_on_pages_does_not_hold_changes_up() {
    let primary = host(1);
    let here = Place {
        server: ServerId(1),
        address: "127.0.0.1:1".to_owned(),
    };
    let (in_sync, second, _) = server_that_hangs_on_pages(2).await;
    let (learner, third, mut asked) = server_that_hangs_on_pages(3).await;
    let shape = ClusterShape::new("c", Kind::Map, 1, 1, false).unwrap();
    let first = Configuration::create(1, CLUSTER, 1, &shape, &[here, second]);
    let member = first.primaries[0].id;
    let mut next = first.successor(2);
    next.add_learner(Row(0), third);
    let adopt = |config: Configuration| {
        let config = Arc::new(config);
        for host in [&primary, &in_sync, &learner] {
            host.adopt(Arc::clone(&config));
        }
    };
    let server = PrimaryServer::new(Arc::clone(&primary), Guest::alone(1 << 20));
    let put = async |number: u64| {
        let id = RequestId {
            session: SESSION,
            incarnation: Seq(2),
            slot: 0,
            number,
        };
        let batch = ClientBatch {
            cluster: CLUSTER,
            member,
            open: (number == 1).then_some(SESSION),
            requests: vec![ClientRequest {
                id: Some(id),
                op: Op::Put {
                    key: "k".into(),
                    value: number.to_string().into(),
                },
                follows: false,
            }],
            close: None,
        };
        let answers = server.execute_batch(batch.into()).await.unwrap();
        assert!(
            matches!(answers.replies[..], [.., ClientReply::Done(Ok(_), _)]),
            "{answers:?}"
        );
    };
    adopt(first);
    timeout(CALL, put(1))
        .await
        .expect("there are no pages to send");
    adopt(next);
    let sent = timeout(CALL, asked.wait_for(|asked| *asked)).await;
    sent.expect("pages are sent").unwrap();
    let many = async {
        for number in 2..10 {
            put(number).await;
        }
    };
    timeout(3 * CALL, many)
        .await
        .expect("changes wait for pages");
}
