//! Whatever is said on a port, by whomever: the connection is closed, the process lives and serves on.

use fusion_core::op::{Op, Reply};
use fusion_net::client::{Client, Error, Kind, Raw};
use fusion_net::transport::Network;
use fusion_net::wire::{
    self, ConnectError, MAX_DEADLINE, MAX_FRAME_BYTES, PROTOCOL_VERSION, Service,
};
use fusion_tests::cluster::{PATIENCE, Rig, Seat, binary, seed, start};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

/// Both kinds of port, each with a service that it offers and one that it does not.
struct Ports {
    rig: Rig,
    raw: Raw,
    ports: [Port; 2],
}

#[derive(Clone)]
struct Port {
    address: String,
    offered: Service,
    other: Service,
}

impl Ports {
    async fn open() -> Ports {
        let rig = start(2).await;
        let raw = rig.create("c", Kind::Map, 1, 1).await.remove(0);
        let (key, value) = ("key".into(), "value".into());
        raw.call(Op::Put { key, value }).await.unwrap();
        let server = rig.host("c", Seat::Primary(0)).await;
        let ports = [
            Port {
                address: rig.server(server).unwrap().address().to_owned(),
                offered: Service::Primary,
                other: Service::Coordinator,
            },
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

#[tokio::test]
async fn garbage_instead_of_a_preface_is_closed_unanswered() {
    let ports = Ports::open().await;
    let mut rng = StdRng::seed_from_u64(seed());
    for port in &ports.ports {
        let mut garbage = vec![0; 100_000];
        rng.fill_bytes(&mut garbage);
        let http = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        for bytes in [&garbage[..], &http[..], &[0; 8], &[0xff; 64]] {
            let heard = say(&port.address, bytes, false, "garbage").await;
            assert!(heard.is_empty(), "nothing is said to strangers: {heard:?}");
        }
        for len in 0..8 {
            let cut = &preface(PROTOCOL_VERSION, port.offered as u8)[..len];
            let heard = say(&port.address, cut, true, "a cut preface").await;
            assert!(heard.is_empty());
        }
    }
    ports.close().await;
}

#[tokio::test]
async fn whoever_says_nothing_is_closed_after_a_while() {
    let ports = Ports::open().await;
    let silent = ports.ports.clone().map(|port| async move {
        say(&port.address, &[], false, "silence").await;
        say(&port.address, b"FUSN", false, "half a preface").await;
    });
    futures::future::join_all(silent).await;
    ports.close().await;
}

#[tokio::test]
async fn another_version_and_another_service_are_told_and_closed() {
    let ports = Ports::open().await;
    for port in &ports.ports {
        for version in [0, PROTOCOL_VERSION + 1, u16::MAX] {
            let hello = preface(version, port.offered as u8);
            let heard = say(&port.address, &hello, false, "another version").await;
            assert_eq!(
                heard[..6],
                preface(PROTOCOL_VERSION, 0)[..6],
                "it says its own"
            );
            assert_eq!(heard.len(), 8);
        }
        for service in [0, port.other as u8, 200] {
            let hello = preface(PROTOCOL_VERSION, service);
            let heard = say(&port.address, &hello, false, "another service").await;
            assert_eq!(heard, preface(PROTOCOL_VERSION, 0), "none is offered");
        }
        let error = wire::connect(&Network::loopback(), &port.address, port.other, PATIENCE).await;
        let told = matches!(error, Err(ConnectError::WrongService { .. }));
        assert!(told, "{error:?}");
    }
    // A server's address given for the coordinator's.
    let error = Client::connect(&ports.ports[0].address).await.unwrap_err();
    let reason = matches!(
        &error,
        Error::NoCoordinator {
            reason: ConnectError::WrongService { .. },
            ..
        }
    );
    assert!(reason, "{error:?}");
    ports.close().await;
}

#[tokio::test]
async fn bad_frames_close_their_connection_only() {
    let ports = Ports::open().await;
    let mut rng = StdRng::seed_from_u64(seed());
    for port in &ports.ports {
        let hello = preface(PROTOCOL_VERSION, port.offered as u8);
        let with = |rest: &[u8]| [&hello[..], rest].concat();
        for len in [u32::MAX, 1 << 31, MAX_FRAME_BYTES as u32 + 1] {
            let bytes = with(&len.to_be_bytes());
            let heard = say(&port.address, &bytes, false, "a huge length").await;
            assert_eq!(heard, hello);
        }
        // Frames that promise more than comes.
        for (promised, come) in [(1000u32, 10usize), (MAX_FRAME_BYTES as u32, 100), (1, 0)] {
            let bytes = with(&[&promised.to_be_bytes()[..], &vec![0; come]].concat());
            let heard = say(&port.address, &bytes, true, "a cut frame").await;
            assert_eq!(heard, hello);
        }
        // Not a message at all; no such variant; nothing.
        for payload in [&[0xff; 40][..], &[7], &[], &[0]] {
            let bytes = with(&frame(payload));
            let heard = say(&port.address, &bytes, false, "a frame of nonsense").await;
            assert_eq!(heard, hello);
        }
        for _ in 0..200 {
            let mut payload = vec![0; rng.random_range(1..200)];
            rng.fill_bytes(&mut payload);
            // Most begin like a request with a short deadline, so that the later fields are reached.
            if rng.random_ratio(3, 4) {
                payload[0] = 0;
                payload.iter_mut().skip(1).take(2).for_each(|b| *b &= 3);
            }
            say(
                &port.address,
                &with(&frame(&payload)),
                true,
                "a random frame",
            )
            .await;
        }
    }
    ports.close().await;
}

#[tokio::test]
async fn a_huge_deadline_closes_the_connection_and_kills_nobody() {
    let ports = Ports::open().await;
    for port in &ports.ports {
        let hello = preface(PROTOCOL_VERSION, port.offered as u8);
        for seconds in [u64::MAX, 1 << 40, MAX_DEADLINE.as_secs() + 1] {
            // A request: variant 0, then the deadline's seconds as a variable-length number.
            let mut payload = vec![0];
            let mut rest = seconds;
            while rest >= 0x80 {
                payload.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            payload.push(rest as u8);
            payload.extend([0; 64]);
            let bytes = [&hello[..], &frame(&payload)].concat();
            let heard = say(&port.address, &bytes, false, "a huge deadline").await;
            assert_eq!(heard, hello);
        }
    }
    ports.close().await;
}

/// Hundreds of strangers at once, none of whom ever says anything more.
#[tokio::test]
async fn open_connections_of_strangers_keep_nobody_out() {
    let ports = Ports::open().await;
    let mut strangers = Vec::new();
    for port in &ports.ports {
        let hello = preface(PROTOCOL_VERSION, port.offered as u8);
        for i in 0..300 {
            let mut stream = TcpStream::connect(&port.address).await.unwrap();
            // Silent ones, half prefaces, and ones in the middle of a frame.
            let begun = [&hello[..], &[0, 0, 4, 0, 1, 2][..]].concat();
            let say = [0, 4, begun.len()][i % 3];
            stream.write_all(&begun[..say]).await.unwrap();
            strangers.push(stream);
        }
    }
    ports.assert_well("600 strangers are there").await;
    drop(strangers);
    ports.close().await;
}

#[tokio::test]
async fn a_second_coordinator_on_the_same_store_exits_with_one_clear_line() {
    let ports = Ports::open().await;
    let store = ports.rig.folder().join("coordinator.redb");
    let second = Command::new(binary())
        .args(["coordinator", "--listen", "127.0.0.1:0", "--data"])
        .arg(&store)
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(20), second).await;
    let output = output.expect("it ends by itself").unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "one line: {stderr}");
    assert!(stderr.contains("another coordinator"), "{stderr}");
    assert!(stderr.contains("coordinator.redb"), "{stderr}");
    assert!(output.stdout.is_empty(), "it never said that it listens");
    ports.close().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_one_clear_line_too() {
    let ports = Ports::open().await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let coordinator = ports.rig.coordinator();
    let mut commands = [Command::new(binary()), Command::new(binary())];
    commands[0]
        .args(["coordinator", "--listen", coordinator, "--data"])
        .arg(&data);
    commands[1].args([
        "server",
        "--listen",
        coordinator,
        "--coordinator",
        coordinator,
    ]);
    for command in &mut commands {
        let output = timeout(Duration::from_secs(20), command.kill_on_drop(true).output()).await;
        let output = output.expect("it ends by itself").unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "one line: {stderr}");
        assert!(stderr.contains(coordinator), "{stderr}");
    }
    ports.close().await;
}
