//! Several coordinators on a real etcd: they die, hang, are cut off from it; members of etcd die. Data flows on, what
//! fails is mended, and no two coordinators ever decide differently.

use fusion_core::config::Configuration;
use fusion_core::id::{ClusterId, Epoch, MemberId, ServerId};
use fusion_core::message::{RecoveryRequest, Refusal, Route};
use fusion_core::op::Op;
use fusion_net::client::{Attempt, Client, ClientOptions, Error, Kind, Raw};
use fusion_net::coordinator::etcd::Prefix;
use fusion_net::local::etcd::LocalEtcd;
use fusion_net::local::{LocalOptions, SharedStore};
use fusion_net::peer;
use fusion_net::service::{FusedClient, PrimaryClient, Role};
use fusion_net::transport::Network;
use fusion_tests::cluster::{Rig, Seat, is_whole, options, start_with, wait_until};
use fusion_tests::writers::Writers;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

const N: usize = 3;
const F: usize = 2;
const PREFIX: &str = "/tests/etcd/";
const LEASE: Duration = Duration::from_secs(8);
/// A call that waits for another coordinator waits about a lease; one that needs none is much faster.
const UNNOTICED: Duration = Duration::from_secs(4);

/// An etcd, coordinators, servers and one cluster of maps under writes.
struct Stage {
    etcd: LocalEtcd,
    rig: Rig,
    raws: Vec<Raw>,
    writers: Writers,
}

impl Stage {
    async fn set(members: usize, coordinators: usize) -> Stage {
        let etcd = LocalEtcd::start(members).await.expect("etcd starts");
        let shared = SharedStore {
            etcd: etcd.endpoints(),
            prefix: PREFIX.to_owned(),
            lease_seconds: LEASE.as_secs(),
            coordinators,
        };
        let options = LocalOptions {
            shared: Some(shared),
            ..options()
        };
        let rig = start_with(options, N + 2 * F).await;
        let raws = rig.create("c", Kind::Map, N, F).await;
        let mut writers = Writers::new(Kind::Map);
        writers.write(&raws, 2);
        writers.wait_more(200).await;
        Stage {
            etcd,
            rig,
            raws,
            writers,
        }
    }

    /// The number of the coordinator that answers.
    async fn active(&self) -> usize {
        let status = self
            .rig
            .wait_status("an active coordinator", |_| true)
            .await;
        let answers = status.control.answers;
        let mut coordinators = self.rig.coordinators();
        let found = coordinators.find(|(_, p)| p.address() == answers);
        found
            .map(|(number, _)| number)
            .unwrap_or_else(|| panic!("{answers} is none of them"))
    }

    /// Every write is there once, the coordinators never disagreed, and no server ever saw two contents of an epoch.
    async fn end(self) {
        let status = self.rig.client.cluster("c").await.expect("a status");
        self.writers.wait_more(200).await;
        let account = self.writers.stop().await;
        println!("writes, of unknown outcome: {:?}", account.counts());
        account.verify(&self.raws).await;
        let prefix: Prefix = PREFIX.parse().unwrap();
        let history = self.etcd.history(&prefix).await.expect("the history");
        let mut decided: BTreeMap<(ClusterId, Epoch), Configuration> = BTreeMap::new();
        for config in history {
            let last = decided
                .keys()
                .filter(|(c, _)| *c == config.cluster)
                .map(|(_, e)| *e)
                .max();
            let expected = last.unwrap_or(Epoch(0)).next();
            assert_eq!(
                config.epoch, expected,
                "one epoch after the other, each once"
            );
            decided.insert((config.cluster, config.epoch), config);
        }
        assert!(
            decided.contains_key(&(status.id, status.epoch)),
            "what is told is stored"
        );
        let mut asked = 0;
        for member in &status.members {
            let Some(seen) = told_by(&member.address, member.role, status.id).await else {
                continue;
            };
            let stored = decided.get(&(seen.cluster, seen.epoch));
            assert_eq!(stored, Some(&*seen), "{} at {}", member.id, member.address);
            asked += 1;
        }
        assert!(asked >= N, "{asked} members told what they know");
        // And looks whether any of them ever logged that it saw two.
        self.rig.stop().await;
    }
}

/// The configuration by which a server goes: it refuses what comes from an epoch that never was, and says why.
async fn told_by(address: &str, role: Role, cluster: ClusterId) -> Option<Arc<Configuration>> {
    let route = Route {
        cluster,
        epoch: Epoch(0),
        nonce: 0,
        from: MemberId(0),
        to: MemberId(0),
    };
    let limit = peer::within(Duration::from_secs(5));
    let request = RecoveryRequest::Vector;
    let refused = match role {
        Role::Primary => {
            let client: PrimaryClient = peer::connect(&Network::loopback(), address).await.ok()?;
            client.recover(limit, route, request).await
        }
        Role::Fused => {
            let client: FusedClient = peer::connect(&Network::loopback(), address).await.ok()?;
            client.recover(limit, route, request).await
        }
    };
    match refused.ok()? {
        Err(Refusal::Epoch(config)) => Some(config),
        other => panic!("{address} answered a stranger: {other:?}"),
    }
}

/// Reads and writes one key after another, and remembers the longest time that one took.
struct Stall {
    stop: Arc<AtomicBool>,
    worst: tokio::task::JoinHandle<Duration>,
}

impl Stall {
    fn watch(raw: &Raw) -> Stall {
        let (raw, stop) = (raw.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let worst = tokio::spawn(async move {
            let mut worst = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                for op in [
                    Op::Put {
                        key: "stall".into(),
                        value: "x".into(),
                    },
                    Op::Get {
                        key: "stall".into(),
                    },
                ] {
                    let began = Instant::now();
                    raw.call(op).await.expect("an answer");
                    worst = worst.max(began.elapsed());
                }
                tokio::task::yield_now().await;
            }
            remove(&raw, "stall").await;
            worst
        });
        Stall { stop, worst }
    }

    async fn end(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.worst.await.expect("it read and wrote")
    }
}

/// Takes a key away again that the writers know nothing of.
async fn remove(raw: &Raw, key: &'static str) {
    let op = Op::Remove { key: key.into() };
    raw.call(op).await.expect("the key was there");
}

/// The cluster is whole, and none of its members is where the dead were.
async fn wait_mended(rig: &Rig, killed: &[fusion_tests::cluster::Killed]) {
    rig.wait_whole_without("c", killed).await;
}

#[tokio::test]
async fn the_active_coordinator_dies_during_a_recovery_and_no_client_waits_for_the_next_one() {
    let mut stage = Stage::set(1, 3).await;
    // Nobody fails but the active coordinator: its loss is not noticed.
    let active = stage.active().await;
    let stall = Stall::watch(&stage.raws[2]);
    let began = Instant::now();
    stage.rig.kill_coordinator_number(active).await.unwrap();
    let next = stage.active().await;
    let took = began.elapsed();
    assert_ne!(next, active);
    let worst = stall.end().await;
    println!("the next coordinator answered after {took:?}; the longest call meanwhile: {worst:?}");
    assert!(worst < UNNOTICED, "a client waited {worst:?}");
    stage.rig.start_coordinator_number(active).await.unwrap();

    // Now a primary dies, and the active coordinator as soon as it has decided on the recovery.
    let before = stage.rig.client.cluster("c").await.unwrap();
    let killed = stage.rig.kill("c", &[Seat::Primary(0)]).await;
    stage.rig.wait_epoch_after("c", before.epoch).await;
    let active = stage.active().await;
    stage.rig.kill_coordinator_number(active).await.unwrap();
    wait_mended(&stage.rig, &killed).await;
    stage.rig.start_coordinator_number(active).await.unwrap();
    let what = "two coordinators standing by";
    stage
        .rig
        .wait_status(what, |s| s.control.standbys.len() == 2)
        .await;
    stage.end().await;
}

#[tokio::test]
async fn a_coordinator_that_was_stopped_for_a_while_does_not_act_on_what_it_believed() {
    let mut stage = Stage::set(1, 2).await;
    for victims in [
        [Seat::Primary(1), Seat::Fused(0)],
        [Seat::Fused(1), Seat::Primary(0)],
    ] {
        let before = stage.rig.client.cluster("c").await.unwrap();
        let mut living: BTreeMap<MemberId, ServerId> =
            before.members.iter().map(|m| (m.id, m.server)).collect();
        let mut killed = stage.rig.kill("c", &victims[..1]).await;
        stage.rig.wait_epoch_after("c", before.epoch).await;
        let paused = stage.active().await;
        let pause = |rig: &Rig, stop: bool| {
            let (_, process) = rig.coordinators().find(|(n, _)| *n == paused).unwrap();
            if stop {
                process.pause()
            } else {
                process.resume()
            }
            .unwrap();
        };
        pause(&stage.rig, true);
        killed.extend(stage.rig.kill("c", &victims[1..]).await);
        let next = stage.active().await;
        assert_ne!(next, paused);
        wait_mended(&stage.rig, &killed).await;
        // Servers hung on the one that was stopped, and were yet to find the next one: nobody was replaced for that.
        living.retain(|_, server| killed.iter().all(|k| k.id != *server));
        let after = stage.rig.client.cluster("c").await.unwrap();
        let after: BTreeMap<MemberId, ServerId> =
            after.members.iter().map(|m| (m.id, m.server)).collect();
        for (id, server) in living {
            assert_eq!(
                after.get(&id),
                Some(&server),
                "member {id} lives: {after:?}"
            );
        }
        // It wakes up with its old term, its old configurations, and servers that it has not heard of for long.
        pause(&stage.rig, false);
        let what = "the one that was stopped stands by";
        let status = stage
            .rig
            .wait_status(what, |s| s.control.standbys.len() == 1)
            .await;
        let (_, process) = stage
            .rig
            .coordinators()
            .find(|(n, _)| *n == paused)
            .unwrap();
        assert_eq!(status.control.standbys, [process.address()]);
        assert_eq!(
            stage.active().await,
            next,
            "it does not take its place back"
        );
        stage.rig.restart(&killed).await;
    }
    stage.end().await;
}

#[tokio::test]
async fn data_flows_while_etcd_is_unreachable_and_failures_are_mended_afterwards() {
    let mut stage = Stage::set(3, 2).await;
    let impatient = ClientOptions {
        timeout: Duration::from_secs(1),
        ..ClientOptions::default()
    };
    let addresses = stage.rig.coordinator().to_owned();
    // Found before, since no coordinator may answer soon.
    let victim = stage.rig.host("c", Seat::Primary(0)).await;
    let victim_id = stage.rig.member("c", Seat::Primary(0)).await.server;
    let stall = Stall::watch(&stage.raws[2]);
    stage.etcd.pause().unwrap();
    let told = wait_until(
        "no coordinator is active",
        async || match Client::connect_with(&addresses, impatient.clone()).await {
            Ok(client) => Err(format!("{:?}", client.status().await.map(|s| s.control))),
            Err(error) => Ok(error),
        },
    )
    .await;
    assert!(matches!(told, Error::NoCoordinator { .. }), "{told:?}");
    println!("{told}");
    let why = |a: &Attempt| {
        matches!(
            a,
            Attempt::StandsBy {
                problem: Some(_),
                ..
            }
        )
    };
    wait_until("all of them say why they stand by", async || {
        let error = Client::connect_with(&addresses, impatient.clone())
            .await
            .err();
        match &error {
            Some(Error::NoCoordinator { tried })
                if tried.iter().count() == 2 && tried.iter().all(|(_, a)| why(a)) =>
            {
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    stage.writers.wait_more(500).await;
    let worst = stall.end().await;
    println!("the longest call without any coordinator: {worst:?}");
    assert!(worst < UNNOTICED, "a client waited {worst:?}");

    // A primary dies meanwhile: nobody can replace it yet.
    let address = stage.rig.kill_server(victim).await.unwrap();
    let waiting = stage.raws[0].clone();
    let put = Op::Put {
        key: "waits".into(),
        value: "y".into(),
    };
    let waiting = tokio::spawn(async move { waiting.call(put).await });
    stage.etcd.resume().unwrap();
    let what = "whole without the one that died";
    stage
        .rig
        .wait_cluster("c", what, |c| {
            is_whole(c) && c.members.iter().all(|m| m.server != victim_id)
        })
        .await;
    waiting.await.unwrap().expect("it only waited");
    remove(&stage.raws[0], "waits").await;
    stage.rig.restart_server(&address).await.unwrap();
    stage.end().await;
}

#[tokio::test]
async fn each_member_of_etcd_dies_once_and_recoveries_go_on() {
    let mut stage = Stage::set(3, 2).await;
    for (member, seat) in [Seat::Primary(0), Seat::Fused(1), Seat::Primary(2)]
        .into_iter()
        .enumerate()
    {
        stage.etcd.kill(member).unwrap();
        let killed = stage.rig.kill("c", &[seat]).await;
        wait_mended(&stage.rig, &killed).await;
        stage.rig.restart(&killed).await;
        stage.etcd.run(member).await.unwrap();
        stage.etcd.wait_healthy().await.unwrap();
    }
    stage.end().await;
}

/// A wrong address is no end: the process says so and goes on trying.
#[tokio::test]
async fn an_etcd_that_is_not_there_is_logged_and_waited_for() {
    let nothing = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", nothing.local_addr().unwrap());
    drop(nothing);
    let mut process = Command::new(fusion_tests::cluster::binary())
        .args(["coordinator", "--listen", "127.0.0.1:0", "--etcd", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let limit = Duration::from_secs(30);
    let mut out = BufReader::new(process.stdout.take().unwrap()).lines();
    let listening = tokio::time::timeout(limit, out.next_line()).await.unwrap();
    let listening = listening.unwrap().unwrap();
    let (_, address) = listening.rsplit_once(' ').unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
    let line = tokio::time::timeout(limit, log.next_line()).await.unwrap();
    let line = line.unwrap().unwrap();
    assert!(line.contains(&url) && line.contains("trying on"), "{line}");
    let status = Command::new(fusion_tests::cluster::binary())
        .args(["status", "--timeout", "1", "--coordinator", address])
        .output();
    let status = status.await.unwrap();
    let told = String::from_utf8(status.stderr).unwrap();
    assert_eq!(status.status.code(), Some(1), "{told}");
    assert_eq!(told.lines().count(), 1, "one line: {told}");
    assert!(told.contains(address) && told.contains(&url), "{told}");
    assert!(process.try_wait().unwrap().is_none(), "it goes on trying");
}

#[tokio::test]
async fn wrong_arguments_are_one_clear_line() {
    for (args, told) in [
        (
            &["--listen", "127.0.0.1:0", "--etcd", "127.0.0.1:2379"][..],
            "is no address of etcd",
        ),
        (
            &["--listen", "127.0.0.1:0", "--etcd", "https://a:2379"],
            "over TLS",
        ),
        (
            &[
                "--listen",
                "127.0.0.1:0",
                "--etcd",
                "http://a:1",
                "--etcd-prefix",
                "fusion",
            ],
            "begins with '/'",
        ),
        (
            &[
                "--etcd",
                "http://a:1",
                "--insecure",
                "--listen",
                "0.0.0.0:0",
            ],
            "--advertise",
        ),
    ] {
        let output = Command::new(fusion_tests::cluster::binary())
            .arg("coordinator")
            .args(args)
            .output();
        let output = output.await.unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{args:?}: {error}");
        assert!(error.contains(told), "{args:?}: {error}");
    }
    let both = Command::new(fusion_tests::cluster::binary())
        .args(["coordinator", "--etcd", "http://a:1", "--data", "x"])
        .output();
    assert_eq!(both.await.unwrap().status.code(), Some(2));
}
