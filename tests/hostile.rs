//! Whatever is said on a port, by whomever: the connection is closed, the process lives and serves on.

use fusion_core::op::{Op, Reply};
use fusion_net::client::{Attempt, Client, Error, Kind, Raw};
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
    let Error::NoCoordinator { tried } = &error else {
        panic!("{error:?}");
    };
    let mut reasons = tried.iter().map(|(_, why)| why);
    let wrong = |why: &Attempt| matches!(why, Attempt::NotReached(e) if matches!(**e, ConnectError::WrongService { .. }));
    assert!(reasons.any(wrong), "{error:?}");
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

/// A request in a frame of its own: deadline of 5 s, no trace, id 1, then `message`.
fn request(message: &[u8]) -> Vec<u8> {
    let trace = [0; 18];
    frame(&[&[0, 5, 0][..], &trace, &[1], message].concat())
}

/// As long as a frame lasts, its sender may announce as much as it likes: memory is taken by bytes that came.
#[tokio::test]
async fn frames_that_only_announce_their_length_take_no_memory() {
    let ports = Ports::open().await;
    let server = pid_of_server(&ports);
    let before = resident_bytes(server);
    let port = &ports.ports[0];
    let hello = preface(PROTOCOL_VERSION, Service::Fused as u8);
    let mut strangers = Vec::new();
    for _ in 0..400 {
        let mut stream = TcpStream::connect(&port.address).await.unwrap();
        let bytes = [
            &hello[..],
            &(MAX_FRAME_BYTES as u32).to_be_bytes(),
            &[0; 1000],
        ]
        .concat();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).await.unwrap();
        strangers.push(stream);
    }
    ports
        .assert_well("400 frames of 73 MiB are announced")
        .await;
    let grown = resident_bytes(server).saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for what never came");
    drop(strangers);
    ports.close().await;
}

/// What begins and does not end takes memory, up to a bound for all of it together.
#[tokio::test]
async fn long_frames_that_never_end_take_no_more_than_their_share() {
    let ports = Ports::open().await;
    let server = pid_of_server(&ports);
    let before = resident_bytes(server);
    let hello = preface(PROTOCOL_VERSION, Service::Fused as u8);
    let begun = [&hello[..], &(MAX_FRAME_BYTES as u32).to_be_bytes()].concat();
    let address = ports.ports[0].address.clone();
    // 40 times 60 MiB, where a GiB is allowed.
    let part = vec![7; 1 << 20];
    let send = |_| async {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let _ = stream.write_all(&begun).await;
        for _ in 0..60 {
            if stream.write_all(&part).await.is_err() {
                break;
            }
        }
        stream
    };
    let strangers = futures::future::join_all((0..40).map(send)).await;
    let grown = resident_bytes(server).saturating_sub(before);
    assert!(grown > 256 << 20, "{grown}: the test sends what it says");
    assert!(grown < 1500 << 20, "{grown} bytes are held for strangers");
    ports.assert_well("all of it is held").await;
    drop(strangers);
    let what = "the memory to be given back";
    fusion_tests::cluster::wait_until(what, async || {
        match resident_bytes(server).saturating_sub(before) {
            grown if grown < 200 << 20 => Ok(()),
            grown => Err(format!("{grown} bytes more than before")),
        }
    })
    .await;
    ports.close().await;
}

/// An element takes many times the memory of its bytes: batches are counted as they are decoded.
#[tokio::test]
async fn giant_batches_close_their_connection_and_take_no_memory() {
    let ports = Ports::open().await;
    let server = pid_of_server(&ports);
    let before = resident_bytes(server);
    let port = &ports.ports[0];
    let hello = preface(PROTOCOL_VERSION, Service::Primary as u8);
    // Cluster 1, member 1, no session, then so many requests of 2 bytes each (no id, `Len`), as many as are told.
    let batch = |told: u32, come: usize| {
        let mut message = vec![0, 1, 1, 0];
        let mut rest = told;
        while rest >= 0x80 {
            message.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        message.push(rest as u8);
        message.extend(vec![0; 2 * come]);
        message.push(0);
        message
    };
    for (told, come) in [(10_000_000, 10_000_000), (u32::MAX, 100), (5000, 5000)] {
        let bytes = [&hello[..], &request(&batch(told, come))].concat();
        let heard = say(&port.address, &bytes, false, "a giant batch").await;
        assert_eq!(heard, hello, "{told} requests are not answered");
    }
    // The same with few requests is answered: the ones above were refused for their number.
    let bytes = [&hello[..], &request(&batch(3, 3))].concat();
    let heard = say(&port.address, &bytes, true, "a small batch").await;
    assert!(heard.len() > hello.len(), "{heard:?}");
    let grown = resident_bytes(server).saturating_sub(before);
    assert!(grown < 128 << 20, "{grown} bytes");
    ports.close().await;
}

/// Well-formed messages of the right version to members, clusters and epochs that are not there.
#[tokio::test]
async fn messages_of_other_epochs_clusters_and_members_are_refused_and_change_nothing() {
    use fusion_core::id::{ClusterId, Epoch, MemberId, PrimaryIndex, RecoveryId, Seq};
    use fusion_core::message::{ChangeRun, Chunk, ClientBatch, ClientRequest, JoinSnapshot};
    use fusion_core::message::{Pages, RecoveryRequest, Replicate, Route};
    use fusion_core::time::Time;
    use fusion_net::peer::{self, within};
    use fusion_net::service::{FusedClient, PrimaryClient};
    let ports = Ports::open().await;
    let limit = || within(Duration::from_secs(5));
    let cluster = ports.rig.client.cluster("c").await.unwrap();
    let primary = ports.rig.member("c", Seat::Primary(0)).await;
    let fused = ports.rig.member("c", Seat::Fused(0)).await;
    let network = ports.rig.network();
    let to_primary: PrimaryClient = peer::connect(network, &primary.address).await.unwrap();
    let to_fused: FusedClient = peer::connect(network, &fused.address).await.unwrap();
    let right = |to: MemberId, from: MemberId| Route {
        cluster: cluster.id,
        epoch: cluster.epoch,
        from,
        to,
    };
    let wrong = |to: MemberId| {
        let (none, high) = (MemberId(0), MemberId(u64::MAX));
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
                epoch: Epoch(u64::MAX),
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
            Route { from: to, ..route },
        ]
    };
    for route in wrong(fused.id) {
        let lie = ChangeRun {
            first: Seq(u64::MAX),
            count: u32::MAX,
            bytes: vec![0xff; 100].into(),
        };
        for (changes, join) in [
            (ChangeRun::empty(Seq(1)), None),
            (
                lie,
                Some(JoinSnapshot {
                    seq: Seq(u64::MAX),
                    chunks: u32::MAX,
                }),
            ),
        ] {
            let message = Replicate {
                index: PrimaryIndex(u16::MAX),
                changes,
                stable: Seq(u64::MAX),
                sent_at: Time(u64::MAX),
                join,
                last: None,
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
    let recovery = RecoveryId(u64::MAX);
    for request in [
        RecoveryRequest::Vector,
        RecoveryRequest::Pin { recovery },
        RecoveryRequest::PrimarySnapshot {
            recovery,
            after: Seq(u64::MAX),
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
            after: Seq(u64::MAX),
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
    for member in [MemberId(0), fused.id, MemberId(u64::MAX)] {
        let batch = ClientBatch {
            cluster: cluster.id,
            member,
            open: None,
            requests: vec![ClientRequest {
                id: None,
                op: Op::Len,
            }],
            close: None,
        };
        let answer = to_primary.execute(limit(), batch).await.unwrap();
        assert!(answer.is_err(), "{answer:?}");
    }
    ports.close().await;
}

/// A configuration is told by anybody; one that cannot be breaks no member.
#[tokio::test]
async fn a_configuration_that_cannot_be_is_refused_and_breaks_no_member() {
    use fusion_core::id::{MemberId, Row};
    use fusion_net::peer::{self, within};
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
    bad[4].fused[0].id = MemberId(u64::MAX);
    bad[5].store ^= 1;
    for config in bad {
        client.adopt(limit(), Arc::new(config)).await.unwrap();
    }
    ports.close().await;
}

/// More strangers than the process has room for, all idle: the ones that have been so for longest have to leave.
#[tokio::test]
async fn idle_strangers_beyond_the_bound_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    // Few files, of which the soft limit is even fewer: the process raises it as far as it may.
    let mut limited = Command::new("sh")
        .args(["-c", "ulimit -Sn 40; ulimit -Hn 320; exec \"$0\" \"$@\""])
        .arg(binary())
        .args(["coordinator", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path().join("store"))
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = limited.stdout.take().unwrap();
    let mut stdout = tokio::io::BufReader::new(stdout);
    tokio::io::AsyncBufReadExt::read_line(&mut stdout, &mut line)
        .await
        .unwrap();
    let address = line
        .trim()
        .rsplit_once(' ')
        .expect("an address")
        .1
        .to_owned();
    let hello = preface(PROTOCOL_VERSION, Service::Coordinator as u8);
    let mut strangers = Vec::new();
    for i in 0..500 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(&hello).await.unwrap();
        let mut answer = [0; 8];
        let answered = timeout(PATIENCE, stream.read_exact(&mut answer)).await;
        answered
            .unwrap_or_else(|_| panic!("stranger {i} waits for a place"))
            .unwrap();
        strangers.push(stream);
    }
    let client = timeout(PATIENCE, Client::connect(&address)).await;
    let client = client.expect("it is let in").unwrap();
    client.status().await.unwrap();
    limited.kill().await.unwrap();
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

#[cfg(not(feature = "etcd"))]
#[tokio::test]
async fn etcd_in_a_program_built_without_it_is_one_clear_line() {
    let coordinator = Command::new(binary())
        .args(["coordinator", "--listen", "127.0.0.1:0", "--etcd"])
        .arg("http://127.0.0.1:2379")
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(20), coordinator).await;
    let output = output.expect("it ends by itself").unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "one line: {stderr}");
    assert!(stderr.contains("--features etcd"), "{stderr}");
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
