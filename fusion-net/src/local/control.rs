//! The coordinators of a local cluster.

use super::{LocalCluster, LocalError, LocalOptions, Place, Process, io_error, socket_address};
use std::path::PathBuf;

/// An etcd that several coordinators share.
#[derive(Clone, Debug)]
pub struct SharedStore {
    /// Where its members answer, with commas between them.
    pub etcd: String,
    /// The beginning of all keys.
    pub prefix: String,
    /// How long the active coordinator may be silent before another one takes its place.
    pub lease_seconds: u64,
    /// How many coordinators are started.
    pub coordinators: usize,
}

/// One coordinator, running or not.
#[derive(Debug)]
pub(super) struct Coordinator {
    pub(super) process: Option<Process>,
    /// Where others reach it.
    address: String,
    /// Where it listens.
    listens: String,
}

impl Coordinator {
    /// As many as the options say, the first one at this port.
    pub(super) fn several(options: &LocalOptions, port: u16, listen_port: u16) -> Vec<Coordinator> {
        let count = options.shared.as_ref().map_or(1, |s| s.coordinators.max(1));
        let coordinator = |number| {
            let (port, listen_port) = if number == 0 {
                (port, listen_port)
            } else {
                (0, 0)
            };
            Coordinator {
                process: None,
                address: format!("127.0.0.1:{port}"),
                listens: format!("127.0.0.1:{listen_port}"),
            }
        };
        (0..count).map(coordinator).collect()
    }
}

impl LocalCluster {
    /// The first coordinator's process, when it runs.
    #[must_use]
    pub fn coordinator_process(&self) -> Option<&Process> {
        self.coordinators.first().and_then(|c| c.process.as_ref())
    }

    /// The first coordinator's process id, when it runs.
    #[must_use]
    pub fn coordinator_pid(&self) -> Option<u32> {
        self.coordinator_process().map(Process::pid)
    }

    /// Whether the first coordinator's process is there no more, though nobody stopped it by this cluster.
    pub fn coordinator_has_ended(&mut self) -> bool {
        let first = self.coordinators.first_mut();
        first
            .and_then(|c| c.process.as_mut())
            .is_some_and(Process::has_ended)
    }

    /// The store of a coordinator that is the only one.
    #[must_use]
    pub fn coordinator_file(&self) -> PathBuf {
        self.folder.join("coordinator.redb")
    }

    /// The running coordinators by number.
    pub fn coordinators(&self) -> impl Iterator<Item = (usize, &Process)> {
        let numbered = self.coordinators.iter().enumerate();
        numbered.filter_map(|(number, c)| Some((number, c.process.as_ref()?)))
    }

    /// Starts the coordinator; again after [`kill_coordinator`](Self::kill_coordinator), at the same address.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn start_coordinator(&mut self) -> Result<(), LocalError> {
        self.start_coordinator_number(0).await
    }

    /// Starts one of several coordinators, at the address that it had.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn start_coordinator_number(&mut self, number: usize) -> Result<(), LocalError> {
        let coordinator = self.coordinators.get(number);
        let coordinator = coordinator.ok_or(LocalError::NoSuchServer(number))?;
        let suspect = self.options.suspect_after.as_millis().to_string();
        let listens = coordinator.listens.clone();
        let mut args = vec!["coordinator".to_owned(), "--listen".to_owned(), listens];
        args.extend(["--suspect-after-ms".to_owned(), suspect]);
        match &self.options.shared {
            Some(shared) => args.extend([
                "--etcd".to_owned(),
                shared.etcd.clone(),
                "--etcd-prefix".to_owned(),
                shared.prefix.clone(),
                "--lease-seconds".to_owned(),
                shared.lease_seconds.to_string(),
            ]),
            None => {
                let data = self.coordinator_file().display().to_string();
                args.extend(["--data".to_owned(), data]);
            }
        }
        args.extend(self.options.security());
        let (name, log) = match number {
            0 => ("the coordinator".to_owned(), "coordinator.log".to_owned()),
            n => (format!("coordinator {n}"), format!("coordinator-{n}.log")),
        };
        let log = self.folder.join(log);
        let process = Process::start(&self.options.binary, &name, &args, &log).await?;
        let listens = process.address().to_owned();
        let address = match &self.links {
            Some(links) if number == 0 => {
                let known = socket_address(&coordinator.address).ok();
                let front = links.front(Place::Coordinator, known).await;
                let front = front.map_err(io_error("cannot listen for the coordinator"))?;
                links.connect(front, socket_address(&listens)?);
                links.introduce(process.pid(), Place::Coordinator);
                front.to_string()
            }
            _ => listens.clone(),
        };
        self.coordinators[number] = Coordinator {
            process: Some(process),
            address,
            listens,
        };
        let addresses = self.coordinators.iter().map(|c| c.address.as_str());
        self.coordinator_list = addresses.collect::<Vec<_>>().join(",");
        Ok(())
    }

    /// From its next start on, the coordinator takes a silent server for dead after this time: what it is told when it
    /// starts. Clusters that there are keep the times that they were made with.
    pub fn suspect_after(&mut self, time: std::time::Duration) {
        self.options.suspect_after = time;
    }

    /// Kills the coordinator with SIGKILL.
    ///
    /// # Errors
    /// [`LocalError::Io`].
    pub async fn kill_coordinator(&mut self) -> Result<(), LocalError> {
        self.kill_coordinator_number(0).await
    }

    /// Kills one of several coordinators with SIGKILL, if it runs.
    ///
    /// # Errors
    /// [`LocalError::Io`].
    pub async fn kill_coordinator_number(&mut self, number: usize) -> Result<(), LocalError> {
        let coordinator = self.coordinators.get_mut(number);
        match coordinator.and_then(|c| c.process.take()) {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }
}
