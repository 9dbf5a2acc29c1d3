//! The real services, servers, coordinator and clients, on turmoil's network and clock: delays, cuts, crashes.
//!
//! One process, one thread, virtual time. What is drawn from a seed: the network's delays, and which fault strikes whom,
//! when and for how long. What is not: ids that the processes draw, the order of hash maps, and tarpc's deadlines, which
//! lose the real microseconds that a call takes to be prepared; so a replay injects the same faults at the same times,
//! but not each message in the same order.

use fusion_net::client::{Client, ClientOptions, ClusterSpec, Kind, Raw};
use fusion_net::coordinator::{self, ConfigStore, CoordinatorOptions, RedbStore};
use fusion_net::labels::Labels;
use fusion_net::server::{self, ServerOptions};
use fusion_net::transport::{Authority, Network, Tls, TlsFiles};
use fusion_tests::cluster::{is_whole, raws};
use fusion_tests::writers::Writers;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use turmoil::Sim;

const SERVERS: usize = 6;
const FAULTS: usize = 2;
const CLUSTERS: [(&str, Kind, usize); 3] = [
    ("map", Kind::Map, 2),
    ("list", Kind::List, 1),
    ("queue", Kind::Queue, 1),
];
/// Virtual time within which everything must be whole when the faults have stopped.
const WHOLE_AGAIN: Duration = Duration::from_secs(60);
/// Virtual time between a cluster that is whole and the next fault.
const PAUSE: Duration = Duration::from_millis(700);
const COORDINATOR: &str = "coordinator:7400";

/// What the driver of the simulation and the client in it tell each other.
#[derive(Debug, Default)]
struct Signals {
    /// The client has set up everything.
    ready: AtomicBool,
    /// Counts the looks at which every cluster was whole.
    whole: AtomicU64,
    /// No more faults come: end.
    stop: AtomicBool,
    /// What was not whole at the last look.
    last: Mutex<String>,
    acknowledged: AtomicU64,
}

/// Says how to play the run again, should it fail.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            println!(
                "replay with FUSION_TEST_SEED={seed} cargo test -p fusion-tests --features turmoil --test turmoil"
            );
        }
    }
}

/// How the processes speak.
fn network(tls: Option<&TlsFiles>) -> Network {
    let network = tls.map_or_else(Network::insecure, |files| {
        Network::tls(Tls::load(files).expect("good files"))
    });
    network.simulated()
}

fn server_name(number: usize) -> String {
    format!("server-{number}")
}

struct World<'a> {
    sim: Sim<'a>,
    signals: Arc<Signals>,
    rng: StdRng,
    faults: Vec<String>,
}

impl World<'_> {
    fn new(seed: u64, store: Arc<dyn ConfigStore>, tls: Option<&TlsFiles>) -> World<'static> {
        let mut rng = StdRng::seed_from_u64(seed);
        let slowest = rng.random_range(2..40);
        let mut sim = turmoil::Builder::new()
            .rng_seed(seed)
            .simulation_duration(Duration::from_secs(3600))
            .tick_duration(Duration::from_millis(1))
            .min_message_latency(Duration::from_millis(rng.random_range(0..2)))
            .max_message_latency(Duration::from_millis(slowest))
            .tcp_capacity(1 << 12)
            .build();
        let network = network(tls);
        {
            let network = network.clone();
            sim.host("coordinator", move || {
                let (network, store) = (network.clone(), Arc::clone(&store));
                async move {
                    let listener = network.listen(anywhere(7400)).await?;
                    let options = CoordinatorOptions {
                        advertise: Some(COORDINATOR.to_owned()),
                        ..CoordinatorOptions::default()
                    };
                    coordinator::serve(listener, store, options).await?;
                    Ok(())
                }
            });
        }
        for number in 0..SERVERS {
            let network = network.clone();
            sim.host(server_name(number), move || {
                let network = network.clone();
                async move {
                    let listener = network.listen(anywhere(7500)).await?;
                    let options = ServerOptions {
                        labels: Labels::default(),
                        streams: true,
                        memory: None,
                        coordinators: COORDINATOR.parse().expect("an address"),
                        advertise: Some(format!("{}:7500", server_name(number))),
                    };
                    server::serve(listener, options).await?;
                    Ok(())
                }
            });
        }
        let signals = Arc::<Signals>::default();
        sim.client("client", client(network, Arc::clone(&signals)));
        World {
            sim,
            signals,
            rng,
            faults: Vec::new(),
        }
    }

    /// Lets virtual time pass; `false` when the client has ended.
    fn pass(&mut self, time: Duration) -> bool {
        let end = self.sim.elapsed() + time;
        while self.sim.elapsed() < end {
            if self
                .sim
                .step()
                .unwrap_or_else(|e| panic!("{e}; faults: {:#?}", self.faults))
            {
                return false;
            }
        }
        true
    }

    fn wait(&mut self, what: &str, done: impl Fn(&Signals) -> bool) {
        let end = self.sim.elapsed() + WHOLE_AGAIN;
        while !done(&self.signals) {
            let late = self.sim.elapsed() > end;
            let last = self.signals.last.lock().expect("no panic").clone();
            let faults = &self.faults;
            assert!(
                !late,
                "not {what} within {WHOLE_AGAIN:?}: {last}; faults: {faults:#?}"
            );
            self.pass(Duration::from_millis(20));
        }
    }

    /// Looks that began before do not count.
    fn wait_whole(&mut self) {
        let now = self.signals.whole.load(Ordering::Relaxed);
        self.wait("whole", |s| s.whole.load(Ordering::Relaxed) > now + 1);
    }

    /// One fault of at most as many servers as may be lost, from its beginning to its end.
    fn strike(&mut self) {
        let mut names: Vec<String> = (0..SERVERS).map(server_name).collect();
        names.shuffle(&mut self.rng);
        let struck: Vec<String> = names.drain(..self.rng.random_range(1..=FAULTS)).collect();
        let mut others = names;
        others.push("coordinator".to_owned());
        let all = [&others[..], &["client".to_owned()]].concat();
        let lasts = Duration::from_millis(self.rng.random_range(50..5000));
        let kind = self.rng.random_range(0..9);
        let what = [
            "crashes",
            "crashes, with the coordinator",
            "is cut off",
            "hears nobody",
            "is not heard",
            "is held up",
            "loses the coordinator",
            "loses the other servers",
            "loses the clients",
        ][kind];
        let at = self.sim.elapsed();
        self.faults
            .push(format!("{at:?}: {struck:?} {what} for {lasts:?}"));
        let servers: Vec<String> = others
            .iter()
            .filter(|o| *o != "coordinator")
            .cloned()
            .collect();
        let cut_from = match kind {
            6 => vec!["coordinator".to_owned()],
            7 => servers,
            8 => vec!["client".to_owned()],
            _ => all,
        };
        match kind {
            0 | 1 => {
                for name in &struck {
                    self.sim.crash(name.as_str());
                }
                if kind == 1 {
                    self.sim.crash("coordinator");
                }
                self.pass(lasts);
                if kind == 1 {
                    self.sim.bounce("coordinator");
                }
                for name in &struck {
                    self.sim.bounce(name.as_str());
                }
            }
            5 => {
                for (one, other) in pairs(&struck, &cut_from) {
                    self.sim.hold(one, other);
                }
                self.pass(lasts);
                for (one, other) in pairs(&struck, &cut_from) {
                    self.sim.release(one, other);
                }
            }
            _ => {
                for (one, other) in pairs(&struck, &cut_from) {
                    match kind {
                        3 => self.sim.partition_oneway(other, one),
                        4 => self.sim.partition_oneway(one, other),
                        _ => self.sim.partition(one, other),
                    }
                }
                self.pass(lasts);
                for (one, other) in pairs(&struck, &cut_from) {
                    self.sim.repair(one, other);
                }
            }
        }
    }
}

fn pairs<'a>(ones: &'a [String], others: &'a [String]) -> impl Iterator<Item = (&'a str, &'a str)> {
    ones.iter().flat_map(move |one| {
        others
            .iter()
            .map(move |other| (one.as_str(), other.as_str()))
    })
}

fn anywhere(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

/// Sets up the clusters, writes to all of them until told to stop, and checks everything in the end.
async fn client(network: Network, signals: Arc<Signals>) -> turmoil::Result {
    let options = || ClientOptions {
        timeout: Duration::from_secs(10),
        network: network.clone(),
        ..ClientOptions::default()
    };
    let client = loop {
        match Client::connect_with(COORDINATOR, options()).await {
            Ok(client) => break client,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    while client
        .status()
        .await?
        .servers
        .iter()
        .filter(|s| s.alive)
        .count()
        < SERVERS
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // By primary, so that each is seen to work.
    let mut at_work: Vec<(Raw, Writers)> = Vec::new();
    for (name, kind, primaries) in CLUSTERS {
        client
            .create(&ClusterSpec::new(name, kind, primaries, FAULTS))
            .await?;
        for way in raws(&client, name, primaries).await {
            let mut writers = Writers::new(kind);
            writers.write(std::slice::from_ref(&way), 2);
            if kind == Kind::Queue {
                writers.take(std::slice::from_ref(&way), 1);
            }
            at_work.push((way, writers));
        }
    }
    signals.ready.store(true, Ordering::Relaxed);
    let mut before = vec![0; at_work.len()];
    while !signals.stop.load(Ordering::Relaxed) {
        // Whole is what is said to be, and acknowledges writes: a connection may be dead though nobody says so yet, since
        // turmoil never sends again what a cut has swallowed.
        let now: Vec<u64> = at_work.iter().map(|(_, w)| w.acknowledged()).collect();
        let works = now.iter().zip(&before).all(|(now, before)| now > before);
        before = now;
        let seen = match client.status().await {
            Ok(_) if !works => Some("writes are not acknowledged".to_owned()),
            Ok(status) if status.clusters.iter().all(is_whole) => None,
            Ok(status) => Some(format!("{:?} {:?}", status.clusters, status.events)),
            Err(error) => Some(error.to_string()),
        };
        match seen {
            None => drop(signals.whole.fetch_add(1, Ordering::Relaxed)),
            Some(seen) => *signals.last.lock().expect("no panic") = seen,
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    for (way, writers) in at_work {
        // Every writer goes on: what was down is up.
        let before = writers.acknowledged();
        writers.wait_more(20).await;
        signals.acknowledged.fetch_add(before, Ordering::Relaxed);
        writers.stop().await.verify(&[way]).await;
    }
    client.close().await;
    Ok(())
}

/// One run: so many faults one after another, each when the one before is mended.
fn run(seed: u64, rounds: usize, tls: Option<&TlsFiles>) {
    let _replay = Replay(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let store = RedbStore::open(&folder.path().join("store")).expect("a store");
    let mut world = World::new(seed, Arc::new(store), tls);
    world.wait("set up", |s| s.ready.load(Ordering::Relaxed));
    for _ in 0..rounds {
        world.pass(PAUSE);
        world.strike();
        world.wait_whole();
    }
    world.signals.stop.store(true, Ordering::Relaxed);
    let ended = !world.pass(WHOLE_AGAIN + Duration::from_secs(60));
    let faults = &world.faults;
    assert!(ended, "the client is not done; faults: {faults:#?}");
    let acknowledged = world.signals.acknowledged.load(Ordering::Relaxed);
    let took = world.sim.elapsed();
    println!(
        "seed {seed}: {rounds} faults, {acknowledged} writes acknowledged, {took:?} of virtual time"
    );
    for fault in &world.faults {
        println!("  {fault}");
    }
}

/// The seed that was asked for, or these.
fn seeds(fixed: std::ops::Range<u64>) -> Vec<u64> {
    match std::env::var("FUSION_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => fixed.collect(),
    }
}

#[test]
fn nothing_acknowledged_is_lost_or_done_twice_and_all_is_available_again() {
    for seed in seeds(0..8) {
        run(seed, 6, None);
    }
}

fn write_papers(folder: &Path) -> TlsFiles {
    let day = Duration::from_secs(86_400);
    let authority = Authority::new(day).expect("an authority");
    let mut hosts: Vec<String> = (0..SERVERS).map(server_name).collect();
    hosts.push("coordinator".to_owned());
    let issued = authority.issue(&hosts, day).expect("a certificate");
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    TlsFiles {
        certificate: write("cert.pem", &issued.certificate),
        key: write("key.pem", &issued.key),
        authority: write("ca.pem", authority.certificate()),
    }
}

#[test]
fn the_same_over_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let papers = write_papers(folder.path());
    for seed in seeds(100..102) {
        run(seed, 4, Some(&papers));
    }
}
