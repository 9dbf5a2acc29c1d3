//! Clusters on servers of their own: filled, measured, and one server of them lost.

use super::action::Action;
use super::entries::{Entries, Target};
use super::keys::{Chooser, Popularity};
use super::measure::{Sample, Window, measure};
use super::resident;
use super::session::{Session, Structures};
use super::source::{Ledger, Source};
use crate::demo::loss;
use crate::playground;
use crate::progress::Progress;
use anyhow::Context;
use fusion_net::client::{Client, ClusterSpec, Kind, Raw};
use fusion_net::local::LocalCluster;
use fusion_net::service::Role;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tasks that fill.
pub(crate) const FILLERS: usize = 256;
/// Not measured: this part of the time that is.
const WARM: f64 = 0.2;
/// A recovery may take so long, and so much longer for each element of a primary.
const RECOVERY: Duration = Duration::from_secs(60);
const RECOVERY_EACH: Duration = Duration::from_micros(100);

/// So many clusters of one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Layout {
    /// How many.
    pub(crate) clusters: usize,
    /// Primaries of each.
    pub(crate) primaries: usize,
    /// Fused structures of each.
    pub(crate) faults: usize,
}

impl Layout {
    /// As people write it.
    pub(crate) fn name(self) -> String {
        let shape = format!("{} + {}", self.primaries, self.faults);
        match self.clusters {
            1 => shape,
            clusters => format!("{clusters} x ({shape})"),
        }
    }

    /// Primaries of all clusters.
    pub(crate) fn structures(self) -> usize {
        self.clusters * self.primaries
    }
}

/// How much more memory processes have taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Growth {
    /// Servers of primaries; where servers have both, this is part of `all` only.
    pub(crate) primaries: Option<u64>,
    /// Servers of fused structures.
    pub(crate) fused: Option<u64>,
    /// All servers.
    pub(crate) all: u64,
}

/// The loss of one server.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Loss {
    /// From its last sign of life until it was taken for dead.
    pub(crate) detected_ms: u64,
    /// From there until the lost primary served.
    pub(crate) recovered_ms: u64,
    /// From the kill until a put to it was answered that was sent at once.
    pub(crate) answered_ms: f64,
}

/// How long it takes until a put to that primary is answered. `number` is a key that is there.
async fn answered(
    target: Target,
    number: u64,
    entries: Entries,
    killed: Instant,
) -> anyhow::Result<Duration> {
    loop {
        let put = target.put(number, 1, entries.value_bytes, true).await;
        match put {
            Ok(()) => return Ok(killed.elapsed()),
            // The client's time for one call may be over before a large primary is made again.
            Err(_) if killed.elapsed() < RECOVERY => {}
            Err(error) => return Err(error),
        }
    }
}

/// What runs.
#[derive(Debug)]
pub(crate) struct Deployment {
    /// What it is.
    pub(crate) layout: Layout,
    /// Of all primaries together.
    pub(crate) entries: Entries,
    local: LocalCluster,
    client: Client,
    raws: Vec<Raw>,
    before: BTreeMap<u32, u64>,
}

fn name(cluster: usize) -> String {
    format!("bench-{cluster}")
}

impl Deployment {
    /// Starts servers and creates empty maps. `entries` are those of all primaries together.
    pub(crate) async fn start(
        layout: Layout,
        servers: usize,
        entries: Entries,
    ) -> anyhow::Result<Deployment> {
        let local = playground::start(servers).await?;
        let client = local.client().await?;
        let mut raws = Vec::new();
        for cluster in 0..layout.clusters {
            let name = name(cluster);
            let spec = ClusterSpec::new(&name, Kind::Map, layout.primaries, layout.faults);
            client.create(&spec).await?;
            for index in 0..layout.primaries {
                raws.push(client.raw(&name, index).await?);
            }
        }
        let mut deployment = Deployment {
            layout,
            entries,
            local,
            client,
            raws,
            before: BTreeMap::new(),
        };
        deployment.before = resident::settled(&deployment.pids(), Duration::ZERO).await?;
        Ok(deployment)
    }

    /// All primaries in turn.
    pub(crate) fn target(&self) -> Target {
        Target::Parts(self.raws.clone())
    }

    /// The process ids of all servers.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.local
            .servers()
            .map(|(_, process)| process.pid())
            .collect()
    }

    /// Puts all entries.
    pub(crate) async fn fill(&self) -> anyhow::Result<()> {
        self.entries.fill(&self.target(), FILLERS).await
    }

    /// What the servers take more than at the start, not before `least` is over.
    pub(crate) async fn growth(&self, least: Duration) -> anyhow::Result<Growth> {
        let after = resident::settled(&self.pids(), least).await?;
        let grown = |pid: &u32| {
            let after = after.get(pid).copied().unwrap_or_default();
            after.saturating_sub(self.before.get(pid).copied().unwrap_or_default())
        };
        let mut growth = Growth {
            all: after.keys().map(grown).sum(),
            ..Growth::default()
        };
        if self.layout.clusters > 1 {
            return Ok(growth);
        }
        let status = self.client.status().await?;
        let (mut primaries, mut fused) = (0, 0);
        for member in self.client.cluster(&name(0)).await?.members {
            let server = status.servers.iter().find(|s| s.id == member.server);
            let pid = server.context("a server of the cluster is gone")?.pid;
            match member.role {
                Role::Primary => primaries += grown(&pid),
                Role::Fused => fused += grown(&pid),
            }
        }
        (growth.primaries, growth.fused) = (Some(primaries), Some(fused));
        Ok(growth)
    }

    /// Puts new values to keys that are there, for a time.
    pub(crate) async fn puts(
        &self,
        in_flight: usize,
        length: Duration,
        seed: u64,
    ) -> anyhow::Result<Sample> {
        let ledger = Arc::new(Ledger::new(0, in_flight));
        let chooser = Chooser::new(Popularity::Uniform, self.entries.keys)?;
        let len = self.entries.value_bytes;
        let task = |task| {
            let session = Session::Fusion(Structures::Maps(self.target()));
            let ledger = Arc::clone(&ledger);
            let source = Source::new(Action::Put, len, chooser, ledger, task, seed);
            (session, source)
        };
        let window = Window::Steady {
            warm: length.mul_f64(WARM),
            length,
        };
        let tasks = (0..in_flight).map(task).collect();
        measure(tasks, 1, window, &self.pids()).await
    }

    /// Kills the server of a primary of the first cluster, waits until everything is whole again, and looks up every
    /// element. A new server takes the place of the lost one.
    pub(crate) async fn lose(
        &mut self,
        primary: usize,
        progress: Progress,
    ) -> anyhow::Result<Loss> {
        let status = self.client.status().await?;
        let before = self.client.cluster(&name(0)).await?.epoch;
        let victims = loss::victims(&self.local, &status, &name(0), primary + 1)?;
        let (number, _) = victims.last().context("there is no such primary")?;
        let killed = Instant::now();
        self.local.kill_server(*number).await?;
        let answered = tokio::spawn(answered(
            self.target(),
            primary as u64,
            self.entries,
            killed,
        ));
        let each = self.entries.keys / self.layout.structures() as u64;
        let limit = RECOVERY + RECOVERY_EACH * each.min(u64::from(u32::MAX)) as u32;
        let seen = loss::watch(&self.client, &name(0), (before, killed), limit, progress).await?;
        let answered = answered.await??;
        self.entries.check(&self.target(), FILLERS).await?;
        self.local.add_server().await?;
        self.local.wait_registered(RECOVERY).await?;
        Ok(Loss {
            detected_ms: seen.detected_ms,
            recovered_ms: seen.recovered_ms,
            answered_ms: answered.as_secs_f64() * 1e3,
        })
    }

    /// Ends all processes.
    pub(crate) async fn stop(self) {
        self.local.stop().await;
    }
}
