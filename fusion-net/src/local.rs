//! A cluster of real processes on this machine, for trying, for tests and for measuring.
//!
//! Each process is this project's `fusion` binary, on a port that the system chooses. They end with the process that
//! started them, even when that one is killed: each watches its standard input, which closes then. With
//! [`LocalOptions::faulty`] the [`Links`] between them can be cut, slowed and reset.

mod control;
#[cfg(feature = "etcd")]
pub mod etcd;
mod links;
mod origin;

pub use control::SharedStore;
pub use links::{Links, Place};

use crate::client::{Client, ClientOptions, Error};
use crate::transport::{Network, Tls, TlsError, TlsFiles};
use control::Coordinator;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long a process may take to say that it listens.
const START: Duration = Duration::from_secs(20);
/// How long a process may take to end when it is asked to.
const STOP: Duration = Duration::from_secs(3);

/// Why a local cluster could not be run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LocalError {
    /// A process could not be started or signalled.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        error: io::Error,
    },
    /// A process ended, or said nothing, instead of listening.
    #[error("{name} did not start; its log says: {log}")]
    NotStarted {
        /// Which process.
        name: String,
        /// The end of its log.
        log: String,
    },
    /// The servers did not register in time.
    #[error("only {registered} of {wanted} servers registered within {limit:?}")]
    NotRegistered {
        /// How many did.
        registered: usize,
        /// How many there are.
        wanted: usize,
        /// The time allowed.
        limit: Duration,
    },
    /// There is no process of that number.
    #[error("there is no server {0} here")]
    NoSuchServer(usize),
    /// The client failed.
    #[error(transparent)]
    Client(#[from] Error),
    /// The certificates do not do.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> LocalError {
    move |error| LocalError::Io {
        what: what.into(),
        error,
    }
}

fn socket_address(text: &str) -> Result<SocketAddr, LocalError> {
    text.parse().map_err(|_| LocalError::NotStarted {
        name: format!("a process at {text}"),
        log: "that is no address".to_owned(),
    })
}

/// How the processes are started.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// The `fusion` binary.
    pub binary: PathBuf,
    /// The coordinator's port; 0: any free one.
    pub coordinator_port: u16,
    /// After how long a silent server is taken for dead.
    pub suspect_after: Duration,
    /// Where logs and the coordinator's store go; `None`: a folder that goes with the cluster.
    pub folder: Option<PathBuf>,
    /// A store for several coordinators; `None`: there is one, with a file of its own.
    pub shared: Option<SharedStore>,
    /// Whether [`Links`] of proxies are between the processes, and between them and clients of this process. Of several
    /// coordinators only the first is behind one.
    pub faulty: bool,
    /// What the processes and their clients prove themselves by; `None`: they speak without TLS.
    pub tls: Option<TlsFiles>,
    /// Whether servers offer [streams](crate::express) beside tarpc.
    pub streams: bool,
}

impl LocalOptions {
    /// The usual ones with the given binary.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> LocalOptions {
        LocalOptions {
            binary: binary.into(),
            coordinator_port: 0,
            suspect_after: fusion_core::time::Timing::default().suspect_after(),
            folder: None,
            shared: None,
            faulty: false,
            tls: None,
            streams: true,
        }
    }
}

impl LocalOptions {
    fn security(&self) -> Vec<String> {
        let Some(files) = &self.tls else {
            return Vec::new();
        };
        let named = [
            ("--tls-cert", &files.certificate),
            ("--tls-key", &files.key),
            ("--tls-ca", &files.authority),
        ];
        let words = named.map(|(name, path)| [name.to_owned(), path.display().to_string()]);
        words.concat()
    }
}

/// One running process.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    pid: u32,
    address: String,
}

impl Process {
    async fn start(
        binary: &Path,
        name: &str,
        args: &[String],
        log: &Path,
    ) -> Result<Process, LocalError> {
        let log_file = File::options().create(true).append(true).open(log);
        let log_file = log_file.map_err(io_error(format!("cannot write {}", log.display())))?;
        let mut child = Command::new(binary)
            .args(args)
            .arg("--exit-with-parent")
            // What this process's user set up for other deployments is not for this one.
            .env_remove("FUSION_TLS_CERT")
            .env_remove("FUSION_TLS_KEY")
            .env_remove("FUSION_TLS_CA")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .kill_on_drop(true)
            .spawn()
            .map_err(io_error(format!("cannot start {}", binary.display())))?;
        let pid = child.id().unwrap_or_default();
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let mut stdout = BufReader::new(stdout);
            let _ = timeout(START, stdout.read_line(&mut line)).await;
        }
        match line.trim_end().rsplit_once(" listening on ") {
            Some((_, address)) => Ok(Process {
                name: name.to_owned(),
                child,
                pid,
                address: address.to_owned(),
            }),
            None => {
                let _ = child.kill().await;
                let log = std::fs::read_to_string(log).unwrap_or_default();
                let log = log.lines().last().unwrap_or("nothing").to_owned();
                Err(LocalError::NotStarted {
                    name: name.to_owned(),
                    log,
                })
            }
        }
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it is there no more: it ended by itself, or somebody killed it.
    fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    fn signal(&self, signal: Signal) -> Result<(), LocalError> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(LocalError::NotStarted {
            name: self.name.clone(),
            log: String::new(),
        })?;
        let sent = kill_process(pid, signal).map_err(io::Error::from);
        sent.map_err(io_error(format!("cannot signal {}", self.name)))
    }

    /// Stops it as SIGSTOP does: it is silent, and knows nothing of it.
    ///
    /// # Errors
    /// [`LocalError::Io`].
    pub fn pause(&self) -> Result<(), LocalError> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on after [`pause`](Self::pause).
    ///
    /// # Errors
    /// [`LocalError::Io`].
    pub fn resume(&self) -> Result<(), LocalError> {
        self.signal(Signal::CONT)
    }

    /// Kills it with SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// [`LocalError::Io`].
    pub async fn kill(mut self) -> Result<(), LocalError> {
        self.child
            .kill()
            .await
            .map_err(io_error(format!("cannot kill {}", self.name)))
    }

    /// Asks it to end, and waits; kills it when it does not.
    async fn stop(mut self) -> Option<ExitStatus> {
        drop(self.child.stdin.take());
        match timeout(STOP, self.child.wait()).await {
            Ok(status) => status.ok(),
            Err(_) => {
                let _ = self.child.kill().await;
                None
            }
        }
    }
}

/// Coordinators and servers, each a process.
#[derive(Debug)]
pub struct LocalCluster {
    options: LocalOptions,
    network: Network,
    folder: PathBuf,
    /// Removes the folder at the end, if it was made for this cluster.
    _temporary: Option<TempDir>,
    coordinators: Vec<Coordinator>,
    /// Where others reach them, with commas.
    coordinator_list: String,
    links: Option<Links>,
    servers: BTreeMap<usize, Process>,
    next: usize,
}

impl LocalCluster {
    /// Starts a coordinator and `servers` servers, and waits until all are registered.
    ///
    /// # Errors
    /// [`LocalError`]; what was started is stopped then.
    pub async fn start(options: LocalOptions, servers: usize) -> Result<LocalCluster, LocalError> {
        let (folder, temporary) = match &options.folder {
            Some(folder) => {
                std::fs::create_dir_all(folder).map_err(io_error(format!(
                    "cannot make the folder {}",
                    folder.display()
                )))?;
                (folder.clone(), None)
            }
            None => {
                let temporary = tempfile::Builder::new().prefix("fusion-").tempdir();
                let temporary = temporary.map_err(io_error("cannot make a temporary folder"))?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let network = match &options.tls {
            Some(files) => Network::tls(Tls::load(files)?),
            None => Network::loopback(),
        };
        let port = options.coordinator_port;
        let listen_port = if options.faulty { 0 } else { port };
        let mut cluster = LocalCluster {
            network,
            coordinators: Coordinator::several(&options, port, listen_port),
            coordinator_list: String::new(),
            links: options.faulty.then(Links::new),
            options,
            folder,
            _temporary: temporary,
            servers: BTreeMap::new(),
            next: 0,
        };
        for number in 0..cluster.coordinators.len() {
            cluster.start_coordinator_number(number).await?;
        }
        for _ in 0..servers {
            cluster.add_server().await?;
        }
        cluster.wait_registered(START).await?;
        Ok(cluster)
    }

    /// The address that clients need; of several coordinators all, with commas.
    #[must_use]
    pub fn coordinator(&self) -> &str {
        &self.coordinator_list
    }

    /// The links between the processes, if they are faulty ones.
    #[must_use]
    pub fn links(&self) -> Option<&Links> {
        self.links.as_ref()
    }

    /// The folder of logs and of the coordinator's store.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The running servers by number.
    pub fn servers(&self) -> impl Iterator<Item = (usize, &Process)> {
        self.servers
            .iter()
            .map(|(&number, process)| (number, process))
    }

    /// The number of the server with this process id.
    #[must_use]
    pub fn server_with_pid(&self, pid: u32) -> Option<usize> {
        self.servers()
            .find(|(_, p)| p.pid() == pid)
            .map(|(number, _)| number)
    }

    /// The running server of this number.
    ///
    /// # Errors
    /// [`LocalError::NoSuchServer`].
    pub fn server(&self, number: usize) -> Result<&Process, LocalError> {
        self.servers
            .get(&number)
            .ok_or(LocalError::NoSuchServer(number))
    }

    /// A client of this cluster.
    ///
    /// # Errors
    /// [`LocalError::Client`].
    pub async fn client(&self) -> Result<Client, LocalError> {
        let options = ClientOptions {
            network: self.network.clone(),
            // Whether it lives is this process's affair: that it is gone is told soon.
            refused_for: Some(Duration::from_secs(2)),
            ..ClientOptions::default()
        };
        Ok(Client::connect_with(&self.coordinator_list, options).await?)
    }

    /// How its processes speak to each other and to clients.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Starts one more server; answers its number.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn add_server(&mut self) -> Result<usize, LocalError> {
        self.start_server("127.0.0.1:0", None, &[]).await
    }

    /// Starts one more server that tells everybody a wrong address of its own; answers its number.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn add_server_advertising(&mut self, address: &str) -> Result<usize, LocalError> {
        self.start_server("127.0.0.1:0", Some(address), &[]).await
    }

    /// As [`add_server`](Self::add_server), with labels. Without one that says its host each process is given a host of its
    /// own, since all are on this machine.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn add_server_with(&mut self, labels: &[&str]) -> Result<usize, LocalError> {
        self.start_server("127.0.0.1:0", None, labels).await
    }

    async fn start_server(
        &mut self,
        listen: &str,
        advertise: Option<&str>,
        labels: &[&str],
    ) -> Result<usize, LocalError> {
        let number = self.next;
        let front = match &self.links {
            Some(links) => {
                let front = links.front(Place::Server(number), Some(socket_address(listen)?));
                Some(
                    front
                        .await
                        .map_err(io_error("cannot listen for a server"))?,
                )
            }
            None => None,
        };
        let listen = if front.is_some() {
            "127.0.0.1:0"
        } else {
            listen
        };
        let args = [
            "server",
            "--listen",
            listen,
            "--coordinator",
            &self.coordinator_list,
        ];
        let mut args: Vec<String> = args.map(str::to_owned).into();
        let front_address = front.map(|front| front.to_string());
        if let Some(address) = advertise.or(front_address.as_deref()) {
            args.extend(["--advertise".to_owned(), address.to_owned()]);
        }
        if !self.options.streams {
            args.push("--no-streams".to_owned());
        }
        let own = format!("host=process-{number}");
        let says_host = labels.iter().any(|l| l.starts_with("host="));
        let own = (!says_host).then_some(&*own);
        for label in labels.iter().copied().chain(own) {
            args.extend(["--label".to_owned(), label.to_owned()]);
        }
        args.extend(self.options.security());
        let log = self.folder.join(format!("server-{number}.log"));
        let mut process = Process::start(
            &self.options.binary,
            &format!("server {number}"),
            &args,
            &log,
        )
        .await?;
        if let (Some(links), Some(front)) = (&self.links, front) {
            links.introduce(process.pid(), Place::Server(number));
            links.connect(front, socket_address(process.address())?);
            process.address = front.to_string();
        }
        self.next += 1;
        self.servers.insert(number, process);
        Ok(number)
    }

    /// Kills a server with SIGKILL; answers the address that it had.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn kill_server(&mut self, number: usize) -> Result<String, LocalError> {
        let process = self
            .servers
            .remove(&number)
            .ok_or(LocalError::NoSuchServer(number))?;
        let address = process.address().to_owned();
        process.kill().await?;
        Ok(address)
    }

    /// Starts a server at an address that another one had; answers its number.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn restart_server(&mut self, address: &str) -> Result<usize, LocalError> {
        self.start_server(address, None, &[]).await
    }

    /// Waits until every running server is registered and heard of.
    ///
    /// # Errors
    /// [`LocalError::NotRegistered`].
    pub async fn wait_registered(&self, limit: Duration) -> Result<(), LocalError> {
        let client = self.client().await?;
        let wanted = self.servers.len();
        let pids: Vec<u32> = self.servers.values().map(Process::pid).collect();
        let mut registered = 0;
        let all = async {
            loop {
                let status = client.status().await?;
                registered = status
                    .servers
                    .iter()
                    .filter(|s| s.alive && pids.contains(&s.pid))
                    .count();
                if registered == wanted {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match timeout(limit, all).await {
            Ok(result) => result,
            Err(_) => Err(LocalError::NotRegistered {
                registered,
                wanted,
                limit,
            }),
        }
    }

    /// Ends every process.
    pub async fn stop(mut self) {
        let servers = std::mem::take(&mut self.servers).into_values();
        let coordinators = std::mem::take(&mut self.coordinators);
        let coordinators = coordinators.into_iter().filter_map(|c| c.process);
        futures::future::join_all(servers.chain(coordinators).map(Process::stop)).await;
        if let Some(links) = self.links.take() {
            links.end();
        }
    }
}
