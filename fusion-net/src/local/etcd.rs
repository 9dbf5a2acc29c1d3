//! An etcd of real processes on this machine, for tests. The program `etcd` must be there (Debian: `etcd-server`).

use super::{LocalError, io_error};
use crate::coordinator::etcd::Prefix;
use etcd_client::{Client, GetOptions};
use fusion_core::config::Configuration;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// How long the members may take to answer.
const START: Duration = Duration::from_secs(20);
/// The ports are free when they are chosen, and perhaps not any more when etcd takes them.
const ATTEMPTS: usize = 3;
/// Runs a program, says its process id, and kills it when standard input closes: when this process ends, however.
const KEEPER: &str = r#""$@" </dev/null >&2 & echo $!; cat >/dev/null; kill -9 $!"#;

#[derive(Debug)]
struct Member {
    client: String,
    peer: String,
    /// The shell that keeps the process, and the process.
    running: Option<(Child, Pid)>,
}

/// Members of one etcd, each a process. They end with this value.
#[derive(Debug)]
pub struct LocalEtcd {
    folder: TempDir,
    members: Vec<Member>,
}

fn free_address() -> Result<String, LocalError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(io_error("no free port"))?;
    let address = listener.local_addr().map_err(io_error("no free port"))?;
    Ok(format!("http://{address}"))
}

impl LocalEtcd {
    /// Starts so many members, with data in a temporary folder, and waits until they answer.
    ///
    /// # Errors
    /// [`LocalError`]; what was started is stopped then.
    pub async fn start(members: usize) -> Result<LocalEtcd, LocalError> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let folder = tempfile::Builder::new().prefix("fusion-etcd-").tempdir();
            let folder = folder.map_err(io_error("cannot make a temporary folder"))?;
            let mut etcd = LocalEtcd {
                folder,
                members: Vec::new(),
            };
            for _ in 0..members {
                etcd.members.push(Member {
                    client: free_address()?,
                    peer: free_address()?,
                    running: None,
                });
            }
            for number in 0..members {
                etcd.run(number).await?;
            }
            match etcd.wait_healthy().await {
                Ok(()) => return Ok(etcd),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| LocalError::NotStarted {
            name: "etcd".to_owned(),
            log: String::new(),
        }))
    }

    /// Where its members answer clients, with commas between them.
    #[must_use]
    pub fn endpoints(&self) -> String {
        let clients: Vec<&str> = self.members.iter().map(|m| m.client.as_str()).collect();
        clients.join(",")
    }

    /// How many members it was started with.
    #[must_use]
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// Starts a member; again, with the data that it had, after [`kill`](Self::kill).
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn run(&mut self, number: usize) -> Result<(), LocalError> {
        let named = self.members.iter().enumerate();
        let all: Vec<String> = named.map(|(i, m)| format!("m{i}={}", m.peer)).collect();
        let log = self.folder.path().join(format!("etcd-{number}.log"));
        let log = File::options().create(true).append(true).open(&log);
        let log = log.map_err(io_error("cannot write the log of etcd"))?;
        let data = self.folder.path().join(format!("m{number}"));
        let Member { client, peer, .. } = &self.members[number];
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh", "etcd"]);
        command
            .args(["--name", &format!("m{number}"), "--data-dir"])
            .arg(data);
        command.args([
            "--listen-client-urls",
            client,
            "--advertise-client-urls",
            client,
        ]);
        command.args([
            "--listen-peer-urls",
            peer,
            "--initial-advertise-peer-urls",
            peer,
        ]);
        command.args(["--initial-cluster", &all.join(","), "--log-level", "warn"]);
        let mut shell = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(io_error("cannot start a shell"))?;
        let mut line = String::new();
        if let Some(stdout) = shell.stdout.take() {
            let mut stdout = BufReader::new(stdout);
            let _ = timeout(START, stdout.read_line(&mut line)).await;
        }
        let pid = line.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| self.not_started())?;
        self.members[number].running = Some((shell, pid));
        Ok(())
    }

    fn not_started(&self) -> LocalError {
        let logs = (0..self.members.len()).filter_map(|i| {
            let log = self.folder.path().join(format!("etcd-{i}.log"));
            let log = std::fs::read_to_string(log).ok()?;
            log.lines().last().map(str::to_owned)
        });
        LocalError::NotStarted {
            name: "etcd (apt-get install etcd-server)".to_owned(),
            log: logs.collect::<Vec<_>>().join("; "),
        }
    }

    /// Waits until every member that runs answers what only a majority can.
    ///
    /// # Errors
    /// [`LocalError::NotStarted`].
    pub async fn wait_healthy(&self) -> Result<(), LocalError> {
        let end = Instant::now() + START;
        for member in self.members.iter().filter(|m| m.running.is_some()) {
            loop {
                let healthy = async {
                    let mut client = Client::connect([&member.client], None).await?;
                    client.get("health", None).await
                };
                if matches!(timeout(Duration::from_secs(1), healthy).await, Ok(Ok(_))) {
                    break;
                }
                if Instant::now() > end {
                    return Err(self.not_started());
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// Every configuration that was ever stored below `prefix`: those of one cluster together, the oldest first. Etcd
    /// remembers them all as long as nobody compacts it.
    ///
    /// # Errors
    /// [`LocalError::NotStarted`] when etcd does not answer, or holds something else there.
    pub async fn history(&self, prefix: &Prefix) -> Result<Vec<Configuration>, LocalError> {
        let read = async {
            let endpoints: Vec<&str> = self.members.iter().map(|m| m.client.as_str()).collect();
            let mut client = Client::connect(endpoints, None).await.ok()?;
            let all = GetOptions::new().with_prefix().with_keys_only();
            let found = client.get(format!("{prefix}configurations/"), Some(all));
            let found = found.await.ok()?;
            let revision = found.header()?.revision();
            let mut history = Vec::new();
            for key in found.kvs() {
                let (mut of_key, mut revision) = (Vec::new(), revision);
                loop {
                    let then = GetOptions::new().with_revision(revision);
                    let stored = client.get(key.key(), Some(then)).await.ok()?;
                    let Some(stored) = stored.kvs().first() else {
                        break;
                    };
                    of_key.push(postcard::from_bytes(stored.value()).ok()?);
                    revision = stored.mod_revision() - 1;
                    if stored.version() == 1 {
                        break;
                    }
                }
                history.extend(of_key.into_iter().rev());
            }
            Some(history)
        };
        let read = timeout(START, read).await.ok().flatten();
        read.ok_or_else(|| self.not_started())
    }

    fn signal(&self, number: usize, signal: Signal) -> Result<(), LocalError> {
        let running = self.members.get(number).and_then(|m| m.running.as_ref());
        let (_, pid) = running.ok_or(LocalError::NoSuchServer(number))?;
        let sent = kill_process(*pid, signal).map_err(std::io::Error::from);
        sent.map_err(io_error("cannot signal a member of etcd"))
    }

    /// Kills a member with SIGKILL.
    ///
    /// # Errors
    /// [`LocalError`].
    pub fn kill(&mut self, number: usize) -> Result<(), LocalError> {
        self.signal(number, Signal::KILL)?;
        self.members[number].running = None;
        Ok(())
    }

    /// Stops all members as SIGSTOP does: they are silent, and their connections stay open.
    ///
    /// # Errors
    /// [`LocalError`].
    pub fn pause(&self) -> Result<(), LocalError> {
        self.signal_all(Signal::STOP)
    }

    /// Lets all members go on after [`pause`](Self::pause).
    ///
    /// # Errors
    /// [`LocalError`].
    pub fn resume(&self) -> Result<(), LocalError> {
        self.signal_all(Signal::CONT)
    }

    fn signal_all(&self, signal: Signal) -> Result<(), LocalError> {
        let mut running = (0..self.members.len()).filter(|&i| self.members[i].running.is_some());
        running.try_for_each(|i| self.signal(i, signal))
    }
}
