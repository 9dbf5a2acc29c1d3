//! Whatever is said on a port, by whomever: the connection is closed, the process lives and serves on.

#[path = "hostile/frames.rs"]
mod frames;
#[path = "hostile/messages.rs"]
mod messages;
#[path = "hostile/processes.rs"]
mod processes;
#[path = "hostile/strangers.rs"]
mod strangers;

use fusion_core::op::{Op, Reply};
use fusion_net::client::{Attempt, Client, ClientOptions, Error, Kind, Raw};
use fusion_net::peer;
use fusion_net::transport::Network;
use fusion_net::wire::{
    self, ConnectError, MAX_DEADLINE, MAX_FRAME_BYTES, PROTOCOL_VERSION, Service,
};
use fusion_tests::cluster::{PATIENCE, Rig, Seat, binary, calm, seed, start_with};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::timeout;

/// Both kinds of port with their services, each beside one that is not offered there.
struct Ports {
    rig: Rig,
    raw: Raw,
    ports: [Port; 4],
}

#[derive(Clone)]
struct Port {
    address: String,
    offered: Service,
    other: Service,
}

impl Ports {
    async fn open() -> Ports {
        let rig = start_with(calm(), 2).await;
        let raw = rig.create("c", Kind::Map, 1, 1).await.remove(0);
        let (key, value) = ("key".into(), "value".into());
        raw.call(Op::Put { key, value }).await.unwrap();
        let server = rig.host("c", Seat::Primary(0)).await;
        let address = rig.server(server).unwrap().address().to_owned();
        let of_server = |offered| Port {
            address: address.clone(),
            offered,
            other: Service::Coordinator,
        };
        let ports = [
            of_server(Service::Primary),
            of_server(Service::Operations),
            of_server(Service::Changes),
            Port {
                address: rig.coordinator().to_owned(),
                offered: Service::Coordinator,
                other: Service::Fused,
            },
        ];
        Ports { rig, raw, ports }
    }

    /// The processes are the same ones as before, and answer old connections and new ones.
    async fn assert_well(&self, after: &str) {
        let reply = self.raw.call(Op::Get { key: "key".into() }).await;
        assert_eq!(reply.unwrap(), Reply::Value("value".into()), "{after}");
        let client = Client::connect(self.rig.coordinator()).await.unwrap();
        let reply = client.raw("c", 0).await.unwrap().call(Op::Len).await;
        assert_eq!(reply.unwrap(), Reply::Len(1), "{after}");
        let cluster = client.cluster("c").await.unwrap();
        assert!(
            cluster.serving && cluster.epoch.0 == 1,
            "{after}: {cluster:?}"
        );
    }

    async fn close(self) {
        self.assert_well("all of it").await;
        self.rig.stop().await;
    }
}

fn preface(version: u16, service: u8) -> Vec<u8> {
    let mut bytes = b"FUSN".to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend([service, 0]);
    bytes
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// Says `bytes`, ends its own half if asked to, and answers all that is said until the other side closes.
///
/// A reset counts as closed: it means that the other side did not even read everything.
async fn say(address: &str, bytes: &[u8], end: bool, what: &str) -> Vec<u8> {
    let conversation = async {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        // The other side may close in the middle of it.
        let _ = stream.write_all(bytes).await;
        if end {
            let _ = stream.shutdown().await;
        }
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
        heard
    };
    let heard = timeout(PATIENCE, conversation).await;
    heard.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {address} to close after {what}"))
}

fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB"));
    kib.and_then(|k| k.trim().parse::<u64>().ok())
        .expect("a number")
        << 10
}

/// The process of the server port.
fn pid_of_server(ports: &Ports) -> u32 {
    let address = &ports.ports[0].address;
    let found = ports.rig.servers().find(|(_, p)| p.address() == address);
    found.expect("it runs").1.pid()
}
