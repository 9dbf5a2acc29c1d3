//! Real clusters of processes for tests: started, hurt and waited for.

use fusion_core::id::{Epoch, ServerId};
use fusion_net::client::{Client, ClientOptions, ClusterSpec, Kind, Raw};
use fusion_net::local::{LocalCluster, LocalOptions};
use fusion_net::service::{ClusterStatus, MemberStatus, Role, Status};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};

/// How long a test waits for a recovery before it says what it waited for and fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The `fusion` binary of this build, built now if it is not there or out of date.
///
/// # Panics
/// When it cannot be built.
pub fn binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY
        .get_or_init(|| {
            let test = std::env::current_exe().expect("the test knows its own file");
            let profile = test
                .ancestors()
                .nth(2)
                .expect("target/PROFILE/deps/test")
                .to_owned();
            let mut build = Command::new(env!("CARGO"));
            build.args([
                "build",
                "--quiet",
                "--locked",
                "-p",
                "fusion-net",
                "--bin",
                "fusion",
            ]);
            build
                .arg("--target-dir")
                .arg(profile.parent().expect("a target folder"));
            if cfg!(feature = "etcd") {
                build.args(["--features", "etcd"]);
            }
            if profile.ends_with("release") {
                build.arg("--release");
            }
            // The test's own, which build scripts would take for theirs and run again.
            for (name, _) in std::env::vars_os() {
                let name = name.to_string_lossy();
                if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                    build.env_remove(&*name);
                }
            }
            let status = build
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .status()
                .expect("cargo runs");
            assert!(status.success(), "the fusion binary could not be built");
            profile.join("fusion")
        })
        .clone()
}

/// How many clusters of processes one test binary runs at a time: more would only fight for the processors, and a
/// server that does not get to run is rightly taken for dead.
static PLACES: Semaphore = Semaphore::const_new(2);

/// What a process logs only when there is a bug in it.
const NEVER_SAID: [&str; 4] = [
    "panicked at",
    "a recovered image is damaged",
    "two configurations of one epoch",
    "a fused member refused changes",
];

/// The options that tests use: quick detection, so that a machine under load is not mistaken for a dead one but a
/// test need not wait long either.
#[must_use]
pub fn options() -> LocalOptions {
    LocalOptions {
        suspect_after: Duration::from_millis(700),
        ..LocalOptions::new(binary())
    }
}

/// As [`options`], for tests in which nobody dies: a machine that is busy for a second has nobody taken for dead.
#[must_use]
pub fn calm() -> LocalOptions {
    LocalOptions {
        suspect_after: Duration::from_secs(10),
        ..options()
    }
}

/// Starts a coordinator and servers.
///
/// # Panics
/// When they do not start.
pub async fn start(servers: usize) -> Rig {
    start_with(options(), servers).await
}

/// As [`start`], with links that can be cut, slowed and reset.
///
/// # Panics
/// As [`start`].
pub async fn start_faulty(servers: usize) -> Rig {
    let options = LocalOptions {
        faulty: true,
        ..options()
    };
    start_with(options, servers).await
}

/// As [`start`], with other options.
///
/// # Panics
/// When they do not start.
pub async fn start_with(options: LocalOptions, servers: usize) -> Rig {
    let place = PLACES.acquire().await.expect("never closed");
    let local = LocalCluster::start(options, servers).await;
    let local = local.expect("the cluster starts");
    let client = local.client().await.expect("the coordinator answers");
    Rig {
        local: Some(local),
        client,
        _place: place,
    }
}

/// A place in a cluster, whoever holds it at the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seat {
    /// The primary of this index.
    Primary(usize),
    /// The fused structure of this row.
    Fused(usize),
}

impl Seat {
    /// All seats of a cluster.
    #[must_use]
    pub fn all(primaries: usize, faults: usize) -> Vec<Seat> {
        let fused = (0..faults).map(Seat::Fused);
        (0..primaries).map(Seat::Primary).chain(fused).collect()
    }

    fn is(self, member: &MemberStatus) -> bool {
        let (role, index) = match self {
            Seat::Primary(index) => (Role::Primary, index),
            Seat::Fused(row) => (Role::Fused, row),
        };
        member.role == role && member.index == index
    }
}

/// A server that was killed.
#[derive(Clone, Debug)]
pub struct Killed {
    /// The id that this run of it had.
    pub id: ServerId,
    /// Where it listened.
    pub address: String,
}

/// A running cluster of processes with a client. A test that fails prints what they logged.
#[derive(Debug)]
pub struct Rig {
    local: Option<LocalCluster>,
    /// A client with the usual options.
    pub client: Client,
    _place: SemaphorePermit<'static>,
}

impl Deref for Rig {
    type Target = LocalCluster;

    fn deref(&self) -> &LocalCluster {
        self.local.as_ref().expect("only stop() takes it")
    }
}

impl DerefMut for Rig {
    fn deref_mut(&mut self) -> &mut LocalCluster {
        self.local.as_mut().expect("only stop() takes it")
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let (true, Some(local)) = (std::thread::panicking(), &self.local) else {
            return;
        };
        for (path, text) in logs(local) {
            // Not the frames of a backtrace, which would leave no room for what was said before.
            let lines: Vec<_> = text.lines().filter(|l| !l.starts_with(' ')).collect();
            println!("--- {}", path.display());
            for line in &lines[lines.len().saturating_sub(40)..] {
                println!("{line}");
            }
        }
    }
}

/// What each process logged, by file.
fn logs(local: &LocalCluster) -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(local.folder()).into_iter().flatten();
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "log"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read(&path).unwrap_or_default();
        (path, String::from_utf8_lossy(&text).into_owned())
    };
    paths.into_iter().map(read).collect()
}

impl Rig {
    /// Ends every process.
    ///
    /// # Panics
    /// When one of them said what none may ever say (`NEVER_SAID`), even if nobody noticed: a recovery that was
    /// wrong, for one, is tried again until it is right, and the contents would not show it.
    pub async fn stop(mut self) {
        for (path, text) in logs(&self) {
            let bad = |line: &str| NEVER_SAID.iter().any(|what| line.contains(what));
            if let Some(at) = text.lines().position(bad) {
                let lines: Vec<_> = text.lines().skip(at).take(2).collect();
                panic!("{}: {lines:#?}", path.display());
            }
        }
        if let Some(local) = self.local.take() {
            local.stop().await;
        }
    }

    /// One more client, whose calls give up after `timeout`.
    ///
    /// # Panics
    /// When the coordinator cannot be reached.
    pub async fn client_with(&self, timeout: Duration) -> Client {
        self.client_like(ClientOptions {
            timeout,
            ..ClientOptions::default()
        })
        .await
    }

    /// A client with these options, in this rig's network.
    ///
    /// # Panics
    /// When the coordinator does not answer.
    pub async fn client_like(&self, options: ClientOptions) -> Client {
        let options = ClientOptions {
            network: self.network().clone(),
            ..options
        };
        let client = Client::connect_with(self.coordinator(), options).await;
        client.expect("the coordinator answers")
    }

    /// Creates a cluster, and answers the way to each of its primaries.
    ///
    /// # Panics
    /// When it cannot be created.
    pub async fn create(
        &self,
        name: &str,
        kind: Kind,
        primaries: usize,
        faults: usize,
    ) -> Vec<Raw> {
        let spec = ClusterSpec::new(name, kind, primaries, faults);
        let created = self.client.create(&spec).await;
        created.unwrap_or_else(|e| panic!("cluster {name} is not created: {e}"));
        raws(&self.client, name, primaries).await
    }

    /// The member at this seat now.
    ///
    /// # Panics
    /// When nobody is there, or the coordinator does not answer.
    pub async fn member(&self, name: &str, seat: Seat) -> MemberStatus {
        let cluster = self.client.cluster(name).await.expect("a status");
        let found = cluster.members.iter().find(|m| seat.is(m)).cloned();
        found.unwrap_or_else(|| panic!("nobody is {seat:?} of {name}: {cluster:#?}"))
    }

    /// The number of the server that hosts this seat now.
    ///
    /// # Panics
    /// When it is not a running process of this rig.
    pub async fn host(&self, name: &str, seat: Seat) -> usize {
        let member = self.member(name, seat).await;
        let status = self.client.status().await.expect("a status");
        let server = status.servers.iter().find(|s| s.id == member.server);
        server
            .and_then(|s| self.server_with_pid(s.pid))
            .unwrap_or_else(|| panic!("{seat:?} of {name} is not on a running server: {member:?}"))
    }

    /// Kills the servers that host these seats, all found first and then killed in one go.
    ///
    /// # Panics
    /// When one of them is not there.
    pub async fn kill(&mut self, name: &str, seats: &[Seat]) -> Vec<Killed> {
        let mut victims = Vec::new();
        for &seat in seats {
            let id = self.member(name, seat).await.server;
            victims.push((id, self.host(name, seat).await));
        }
        let mut killed = Vec::new();
        for (id, number) in victims {
            let address = self.kill_server(number).await.expect("it runs");
            killed.push(Killed { id, address });
        }
        killed
    }

    /// Stops, as SIGSTOP does, the servers that host these seats; answers their numbers.
    ///
    /// # Panics
    /// When one of them is not there.
    pub async fn pause(&self, name: &str, seats: &[Seat]) -> Vec<usize> {
        let mut numbers = Vec::new();
        for &seat in seats {
            numbers.push(self.host(name, seat).await);
        }
        for &number in &numbers {
            let server = self.server(number).expect("it runs");
            server.pause().expect("it can be stopped");
        }
        numbers
    }

    /// Lets paused servers go on.
    ///
    /// # Panics
    /// When one of them is not there.
    pub fn resume(&self, numbers: &[usize]) {
        for &number in numbers {
            let server = self.server(number).expect("it runs");
            server.resume().expect("it can go on");
        }
    }

    /// Starts servers where killed ones were.
    ///
    /// # Panics
    /// When one does not start.
    pub async fn restart(&mut self, killed: &[Killed]) {
        for server in killed {
            let restarted = self.restart_server(&server.address).await;
            restarted.unwrap_or_else(|e| panic!("no restart at {}: {e}", server.address));
        }
    }

    /// Waits until the status fulfils a condition; a coordinator that does not answer is asked again.
    ///
    /// # Panics
    /// When it does not within [`PATIENCE`]; says what it waited for and what it saw last.
    pub async fn wait_status(&self, what: &str, done: impl Fn(&Status) -> bool) -> Status {
        wait_until(what, async || match self.client.status().await {
            Ok(status) if done(&status) => Ok(status),
            Ok(status) => Err(format!("{status:#?}")),
            Err(error) => Err(error.to_string()),
        })
        .await
    }

    /// Waits until the status of one cluster fulfils a condition.
    ///
    /// # Panics
    /// As [`wait_status`](Self::wait_status).
    pub async fn wait_cluster(
        &self,
        name: &str,
        what: &str,
        done: impl Fn(&ClusterStatus) -> bool,
    ) -> ClusterStatus {
        let what = format!("cluster {name}: {what}");
        let find = |status: &Status| status.clusters.iter().find(|c| c.name == name).cloned();
        let status = self.wait_status(&what, |s| find(s).is_some_and(|c| done(&c)));
        find(&status.await).expect("it was fulfilled")
    }

    /// Waits until a cluster is whole again without the given servers: every primary serves, it tolerates all its
    /// faults, and no member is on one of them.
    ///
    /// # Panics
    /// As [`wait_status`](Self::wait_status).
    pub async fn wait_whole_without(&self, name: &str, killed: &[Killed]) -> ClusterStatus {
        let dead: BTreeSet<ServerId> = killed.iter().map(|k| k.id).collect();
        let what = format!("whole again without servers {dead:?}");
        self.wait_cluster(name, &what, |c| {
            is_whole(c) && c.members.iter().all(|m| !dead.contains(&m.server))
        })
        .await
    }

    /// Waits until a cluster is at a higher epoch than the one given.
    ///
    /// # Panics
    /// As [`wait_status`](Self::wait_status).
    pub async fn wait_epoch_after(&self, name: &str, epoch: Epoch) -> ClusterStatus {
        let what = format!("at an epoch above {epoch}");
        self.wait_cluster(name, &what, |c| c.epoch > epoch).await
    }
}

/// Whether every primary serves and all the faults that it was made for are tolerated.
#[must_use]
pub fn is_whole(cluster: &ClusterStatus) -> bool {
    cluster.serving && cluster.tolerates == cluster.faults
}

/// The ways of one client to each primary of a cluster.
///
/// # Panics
/// When there is no such cluster.
pub async fn raws(client: &Client, name: &str, primaries: usize) -> Vec<Raw> {
    let mut raws = Vec::new();
    for index in 0..primaries {
        raws.push(client.raw(name, index).await.expect("the primary"));
    }
    raws
}

/// Looks again and again until it sees `Ok`; `Err` says what it sees instead.
///
/// # Panics
/// When it does not within [`PATIENCE`]; says what it waited for, and what it saw last.
pub async fn wait_until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(seen) => return seen,
            Err(last) => assert!(
                Instant::now() < end,
                "waited {PATIENCE:?} for: {what}; last seen: {last}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Asserts that something took no longer than it may.
///
/// # Panics
/// When it did.
pub fn within<T: Debug>(what: &str, limit: Duration, since: Instant, value: T) -> T {
    let took = since.elapsed();
    assert!(
        took <= limit,
        "{what} took {took:?}, more than {limit:?}: {value:?}"
    );
    value
}

/// The seed of a random test: `FUSION_TEST_SEED`, or a fresh one. It is printed, and so shown when the test fails.
///
/// # Panics
/// When the variable holds no number.
#[must_use]
pub fn seed() -> u64 {
    let given = std::env::var("FUSION_TEST_SEED").ok();
    let seed = given.map_or_else(rand::random, |s| s.parse().expect("a number"));
    println!("replay with FUSION_TEST_SEED={seed}");
    seed
}
