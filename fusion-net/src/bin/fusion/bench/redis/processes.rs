//! Redis servers of this machine: primaries and their replicas, in memory only, that end with this command.

use super::{Connection, resp::Resp};
use anyhow::{Context, bail};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::sleep;

/// The name of the program.
const PROGRAM: &str = "redis-server";
/// How long a server may take to answer, and replicas to be in sync.
const START: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);
/// Somebody may take the free port before the server does: so often another one is tried.
const TRIES: usize = 5;
/// What to do where there is no Redis.
pub(crate) const HOW: &str = "to compare with Redis, install it (Debian and Ubuntu: apt-get install redis-server; it need \
                              not run as a service) so that the program redis-server is on PATH";

/// The program, if it is there.
pub(crate) fn program() -> Option<PathBuf> {
    on_path(PROGRAM)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut files = std::env::split_paths(&path).map(|folder| folder.join(name));
    files.find(|file| file.is_file())
}

/// One running server.
#[derive(Debug)]
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    async fn start(folder: &Path, primary: Option<SocketAddr>) -> anyhow::Result<Server> {
        let mut why = String::new();
        for _ in 0..TRIES {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
            let log = folder.join(format!("{}.log", free.port()));
            let mut child = command(folder, free, &log, primary)?
                .spawn()
                .with_context(|| format!("cannot start {PROGRAM}"))?;
            let end = Instant::now() + START;
            while Instant::now() < end && child.try_wait()?.is_none() {
                if let Ok(mut connection) = Connection::open(free, 0).await
                    && let Ok(Resp::Simple(_)) = connection.ask(&[b"PING"]).await
                {
                    let address = free;
                    return Ok(Server { child, address });
                }
                sleep(LOOK).await;
            }
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            why = text.lines().last().unwrap_or("nothing").to_owned();
        }
        bail!("{PROGRAM} does not start; its log says: {why}")
    }

    fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }
}

/// No file is ever written but the log; all else is as Redis comes.
fn command(
    folder: &Path,
    at: SocketAddr,
    log: &Path,
    primary: Option<SocketAddr>,
) -> anyhow::Result<Command> {
    let program = program().context(HOW)?;
    // Where the system can tie the server to this process, it ends even when this one is killed.
    let mut command = match on_path("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command
        .args(["--bind", "127.0.0.1", "--port", &at.port().to_string()])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        // Only the start is quicker by it.
        .args(["--repl-diskless-sync-delay", "0"])
        .arg("--dir")
        .arg(folder)
        .arg("--logfile")
        .arg(log);
    if let Some(primary) = primary {
        let port = primary.port().to_string();
        command.args(["--replicaof", "127.0.0.1", &port]);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    Ok(command)
}

/// A primary and its replicas.
#[derive(Debug)]
pub(crate) struct Group {
    primary: Server,
    replicas: Vec<Server>,
}

impl Group {
    async fn start(folder: &Path, replicas: usize) -> anyhow::Result<Group> {
        let mut group = Group {
            primary: Server::start(folder, None).await?,
            replicas: Vec::new(),
        };
        for _ in 0..replicas {
            let replica = Server::start(folder, Some(group.primary.address)).await?;
            group.replicas.push(replica);
        }
        group.wait_in_sync().await?;
        Ok(group)
    }

    async fn wait_in_sync(&self) -> anyhow::Result<()> {
        let mut connection = self.open(0).await?;
        let end = Instant::now() + START;
        while Instant::now() < end {
            let answer = connection.ask(&[b"INFO", b"replication"]).await?;
            let Resp::Bulk(Some(text)) = answer else {
                bail!("Redis answers INFO by {answer:?}");
            };
            let text = String::from_utf8_lossy(&text);
            if text.lines().filter(|l| l.contains("state=online")).count() == self.replicas.len() {
                return Ok(());
            }
            sleep(LOOK).await;
        }
        bail!("the replicas of Redis are not in sync within {START:?}")
    }

    /// Where clients go.
    pub(crate) fn address(&self) -> SocketAddr {
        self.primary.address
    }

    /// How many replicas there are.
    pub(crate) fn replicas(&self) -> usize {
        self.replicas.len()
    }

    /// A connection to the primary.
    pub(crate) async fn open(&self, database: usize) -> anyhow::Result<Connection> {
        Connection::open(self.address(), database).await
    }

    /// The process ids of its servers.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let servers = std::iter::once(&self.primary).chain(&self.replicas);
        servers.map(Server::pid).collect()
    }
}

/// All groups, in one folder that goes with them.
#[derive(Debug)]
pub(crate) struct Redis {
    /// Before the folder, so that nobody writes there when it goes.
    groups: Vec<Group>,
    _folder: TempDir,
    /// As the server says it.
    pub(crate) version: String,
}

impl Redis {
    /// Starts so many primaries, each with so many replicas, and waits until all are in sync. They end when this is
    /// dropped.
    pub(crate) async fn start(primaries: usize, replicas: usize) -> anyhow::Result<Redis> {
        let folder = tempfile::Builder::new().prefix("fusion-redis-").tempdir()?;
        let mut groups = Vec::new();
        for _ in 0..primaries {
            groups.push(Group::start(folder.path(), replicas).await?);
        }
        let version = match groups.first() {
            Some(group) => version(group).await?,
            None => String::new(),
        };
        Ok(Redis {
            groups,
            _folder: folder,
            version,
        })
    }

    /// The primaries with their replicas.
    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The process ids of all servers.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.groups.iter().flat_map(Group::pids).collect()
    }
}

async fn version(group: &Group) -> anyhow::Result<String> {
    let answer = group.open(0).await?.ask(&[b"INFO", b"server"]).await?;
    let Resp::Bulk(Some(text)) = answer else {
        bail!("Redis answers INFO by {answer:?}");
    };
    let text = String::from_utf8_lossy(&text);
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix("redis_version:"))
        .unwrap_or("unknown");
    Ok(line.trim().to_owned())
}
