//! What breaks things: rounds of at most f servers at a time, and the coordinator beside them; now and then more than f
//! stop and go on. A round is over when the status says that everything is whole again.

use super::fault::{Direction, Kind, OF_SERVERS, OF_THE_COORDINATOR, thousandths};
use crate::output::say;
use anyhow::{Context, bail};
use fusion_core::id::{Epoch, PrimaryIndex, Row};
use fusion_core::membership::{Reason, What};
use fusion_net::client::Client;
use fusion_net::local::{Links, LocalCluster, Place};
use fusion_net::service::{ClusterStatus, Role, Status};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Everything must be whole again so long after the last fault of a round.
pub(super) const WHOLE_WITHIN: Duration = Duration::from_secs(60);
/// Whole for so long counts as whole.
const TAIL: Duration = Duration::from_millis(300);
const LOOK: Duration = Duration::from_millis(25);
/// So many of the rounds stop more servers than may be lost, and let them go on.
const BEYOND: f64 = 0.12;

/// One fault.
#[derive(Clone, Debug)]
struct Fault {
    kind: Kind,
    /// Where.
    victim: Place,
    /// The other server, if there is one.
    other: Option<Place>,
    direction: Direction,
    /// From the beginning of the round.
    begins: Duration,
    lasts: Duration,
    /// Of slow links.
    delay: Duration,
}

/// What it did so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Faults by whom they hit and what they are.
    pub(super) faults: BTreeMap<String, u64>,
    /// Rounds that are over.
    pub(super) rounds: u64,
    /// Milliseconds from the last sign of life to each decision that something is dead.
    pub(super) detected_ms: Vec<u64>,
    /// Milliseconds from the last end of a fault of each round until all was whole.
    pub(super) whole_ms: Vec<u64>,
    seen: BTreeSet<(String, Epoch)>,
}

/// The nemesis.
pub(super) struct Nemesis {
    rng: StdRng,
    faults: usize,
    suspect_after: Duration,
    client: Client,
    began: Instant,
    pub(super) tally: Tally,
    /// Since when each killed server's address waits for a new process.
    addresses: BTreeMap<Place, String>,
    /// Says nothing as it goes.
    quiet: bool,
}

impl Nemesis {
    pub(super) fn new(
        seed: u64,
        faults: usize,
        suspect_after: Duration,
        client: Client,
        began: Instant,
        quiet: bool,
    ) -> Nemesis {
        Nemesis {
            rng: StdRng::seed_from_u64(seed),
            faults,
            suspect_after,
            client,
            began,
            tally: Tally::default(),
            addresses: BTreeMap::new(),
            quiet,
        }
    }

    /// One round: faults, their end, and everything whole again.
    pub(super) async fn round(&mut self, local: &mut LocalCluster) -> anyhow::Result<()> {
        let status = self.client.status().await?;
        if self.rng.random_bool(0.4) {
            self.relocate(&status).await?;
        }
        let faults = self.choose(local, &status);
        // What happens when: a fault begins, or it ends.
        let mut moments: Vec<(Duration, bool, usize)> = Vec::new();
        for (i, fault) in faults.iter().enumerate() {
            moments.push((fault.begins, true, i));
            moments.push((fault.begins + fault.lasts, false, i));
        }
        moments.sort_by_key(|&(at, begins, i)| (at, i, !begins));
        let started = Instant::now();
        for (at, begins, i) in moments {
            tokio::time::sleep_until((started + at).into()).await;
            let fault = &faults[i];
            if begins {
                self.tell(local, fault, &status)?;
                self.begin(local, fault).await?;
            } else {
                self.end(local, fault).await?;
            }
        }
        let ended = Instant::now();
        self.wait_whole(local).await?;
        self.tally
            .whole_ms
            .push(ended.elapsed().saturating_sub(TAIL).as_millis() as u64);
        self.tally.rounds += 1;
        let pause = self.rng.random_range(0..1000);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        Ok(())
    }

    /// An operator moves a member; faults may strike while it moves.
    async fn relocate(&mut self, status: &Status) -> anyhow::Result<()> {
        let clusters = status.clusters.choose(&mut self.rng);
        let Some((cluster, member)) =
            clusters.and_then(|c| Some((c, c.members.choose(&mut self.rng)?)))
        else {
            return Ok(());
        };
        let index = u16::try_from(member.index)?;
        let (what, role) = match member.role {
            Role::Primary => (What::Primary(PrimaryIndex(index)), "primary"),
            Role::Fused => (What::Row(Row(index)), "fused"),
        };
        // Refused when something else is under way.
        let moved = self.client.move_member(&cluster.name, what, None).await;
        if moved.is_ok() {
            *self
                .tally
                .faults
                .entry("operator: move".to_owned())
                .or_default() += 1;
            let now = self.began.elapsed().as_secs_f64();
            self.line(&format!(
                "{now:7.1} s  move: {} {role} {index}",
                cluster.name
            ))?;
        }
        Ok(())
    }

    fn line(&self, line: &str) -> std::io::Result<()> {
        if self.quiet { Ok(()) } else { say!("{line}") }
    }

    fn choose(&mut self, local: &LocalCluster, status: &Status) -> Vec<Fault> {
        let mut servers: Vec<Place> = local.servers().map(|(n, _)| Place::Server(n)).collect();
        servers.shuffle(&mut self.rng);
        let beyond = self.rng.random_bool(BEYOND);
        let count = if beyond {
            self.rng.random_range(self.faults + 1..=servers.len())
        } else {
            self.rng.random_range(1..=self.faults)
        };
        let at_once = beyond || self.rng.random_bool(0.5);
        let mut faults = Vec::new();
        for i in 0..count {
            let kinds = if beyond {
                &[Kind::StopBeyondF][..]
            } else {
                &OF_SERVERS[..]
            };
            let mut fault = self.fault(kinds, servers[i], at_once);
            let others = &servers[count..];
            fault.other = match fault.kind {
                Kind::FromServer => others.choose(&mut self.rng).copied(),
                Kind::BadSpare => self.needed(local, status, servers[i], others),
                _ => None,
            };
            faults.push(fault);
        }
        if self.rng.random_bool(0.3) {
            faults.push(self.fault(&OF_THE_COORDINATOR, Place::Coordinator, false));
        }
        faults
    }

    /// One of these servers that has a member of a cluster for which the given one is a spare; any, if it is none.
    fn needed(
        &mut self,
        local: &LocalCluster,
        status: &Status,
        spare: Place,
        others: &[Place],
    ) -> Option<Place> {
        let id = |place: Place| {
            let Place::Server(number) = place else {
                return None;
            };
            let pid = local.server(number).ok()?.pid();
            let server = status.servers.iter().find(|s| s.pid == pid);
            server.map(|s| s.id)
        };
        let has = |cluster: &ClusterStatus, place: Place| {
            let id = id(place);
            cluster.members.iter().any(|m| Some(m.server) == id)
        };
        let clusters = status.clusters.iter().filter(|c| !has(c, spare));
        let pairs = clusters.flat_map(|c| others.iter().filter(move |o| has(c, **o)));
        let pairs: Vec<&Place> = pairs.collect();
        let chosen = pairs.choose(&mut self.rng).copied();
        chosen.or_else(|| others.choose(&mut self.rng)).copied()
    }

    fn fault(&mut self, kinds: &[Kind], victim: Place, at_once: bool) -> Fault {
        let kind = *kinds.choose(&mut self.rng).unwrap_or(&Kind::Kill);
        let direction = match self.rng.random_range(0..4) {
            0 if kind.has_directions() => Direction::Out,
            1 if kind.has_directions() => Direction::In,
            _ => Direction::Both,
        };
        let begins = if at_once {
            0
        } else {
            self.rng.random_range(0..2500)
        };
        let lasts = self.rng.random_range(kind.lasts());
        Fault {
            kind,
            victim,
            other: None,
            direction,
            begins: thousandths(self.suspect_after, begins),
            lasts: thousandths(self.suspect_after, lasts),
            delay: Duration::from_millis(self.rng.random_range(5..60)),
        }
    }

    fn tell(&mut self, local: &LocalCluster, fault: &Fault, status: &Status) -> anyhow::Result<()> {
        let who = match fault.victim {
            Place::Server(number) => {
                let pid = local.server(number)?.pid();
                let id = status.servers.iter().find(|s| s.pid == pid).map(|s| s.id);
                let members = status.clusters.iter().flat_map(|c| {
                    let here = c.members.iter().filter(move |m| Some(m.server) == id);
                    here.map(move |m| {
                        let role = if m.role == Role::Primary {
                            "primary"
                        } else {
                            "fused"
                        };
                        format!("{} {role} {}", c.name, m.index)
                    })
                });
                let members: Vec<String> = members.collect();
                let members = if members.is_empty() {
                    "no member".to_owned()
                } else {
                    members.join(", ")
                };
                format!("server {number} ({members})")
            }
            _ => "the coordinator".to_owned(),
        };
        let how = match (fault.kind, fault.other) {
            (Kind::BadSpare, Some(Place::Server(n))) => {
                format!(" on server {n}, {}", fault.direction)
            }
            (_, Some(Place::Server(n))) => format!(" {n}, {}", fault.direction),
            (Kind::Slow, _) => format!(" by {} ms", fault.delay.as_millis()),
            (kind, _) if kind.has_directions() => format!(", {}", fault.direction),
            _ => String::new(),
        };
        let (now, lasts) = (self.began.elapsed().as_secs_f64(), fault.lasts.as_millis());
        let whom = if fault.victim == Place::Coordinator {
            "coordinator"
        } else {
            "server"
        };
        *self
            .tally
            .faults
            .entry(format!("{whom}: {}", fault.kind))
            .or_default() += 1;
        let line = format!("{now:7.1} s  {}{how} for {lasts} ms: {who}", fault.kind);
        Ok(self.line(&line)?)
    }

    async fn begin(&mut self, local: &mut LocalCluster, fault: &Fault) -> anyhow::Result<()> {
        match (fault.kind, fault.victim) {
            (Kind::Kill, Place::Server(number)) => {
                let address = local.kill_server(number).await?;
                self.addresses.insert(fault.victim, address);
            }
            (Kind::Kill, _) => local.kill_coordinator().await?,
            (kind, Place::Server(number)) if kind.is_a_pause() => {
                local.server(number)?.pause()?;
            }
            (kind, _) if kind.is_a_pause() => {
                local.coordinator_process().context("it runs")?.pause()?;
            }
            _ => self.disturb(local, fault, true)?,
        }
        Ok(())
    }

    async fn end(&mut self, local: &mut LocalCluster, fault: &Fault) -> anyhow::Result<()> {
        match (fault.kind, fault.victim) {
            (Kind::Kill, Place::Server(_)) => {
                if let Some(address) = self.addresses.remove(&fault.victim) {
                    local.restart_server(&address).await?;
                }
            }
            (Kind::Kill, _) => local.start_coordinator().await?,
            (kind, Place::Server(number)) if kind.is_a_pause() => {
                local.server(number)?.resume()?;
            }
            (kind, _) if kind.is_a_pause() => {
                local.coordinator_process().context("it runs")?.resume()?;
            }
            _ => self.disturb(local, fault, false)?,
        }
        Ok(())
    }

    /// Begins or ends a fault of the network.
    fn disturb(&self, local: &LocalCluster, fault: &Fault, begins: bool) -> anyhow::Result<()> {
        let links: &Links = local.links().context("the links are faulty ones")?;
        let servers = local.servers().map(|(number, _)| Place::Server(number));
        let all = servers.chain([Place::Coordinator, Place::Client]);
        let all: Vec<Place> = all.filter(|place| *place != fault.victim).collect();
        let members = |place: &Place| *place != Place::Client;
        let others: Vec<Place> = match fault.kind {
            Kind::FromCoordinator => vec![Place::Coordinator],
            kind if kind.is_of_a_pair() => fault.other.into_iter().collect(),
            Kind::FromClients => vec![Place::Client],
            Kind::FromMembers => all.into_iter().filter(members).collect(),
            _ => all,
        };
        for other in others {
            let ways = match fault.direction {
                Direction::Both => vec![(fault.victim, other), (other, fault.victim)],
                Direction::Out => vec![(fault.victim, other)],
                Direction::In => vec![(other, fault.victim)],
            };
            match (fault.kind, begins) {
                (Kind::Reset, true) => links.reset(fault.victim, other),
                (Kind::Reset, false) => {}
                (Kind::Slow, true) => {
                    ways.iter()
                        .for_each(|&(from, to)| links.slow(from, to, fault.delay));
                }
                (_, true) => ways.iter().for_each(|&(from, to)| links.cut(from, to)),
                (_, false) => ways.iter().for_each(|&(from, to)| links.mend(from, to)),
            }
        }
        Ok(())
    }

    /// Ends everything that was begun: what runs no more is started, what is stopped goes on, what is cut is mended.
    pub(super) async fn calm(&mut self, local: &mut LocalCluster) -> anyhow::Result<()> {
        if let Some(links) = local.links() {
            links.mend_all();
        }
        match local.coordinator_process() {
            Some(coordinator) => coordinator.resume()?,
            None => local.start_coordinator().await?,
        }
        for (_, server) in local.servers() {
            server.resume()?;
        }
        for address in std::mem::take(&mut self.addresses).into_values() {
            local.restart_server(&address).await?;
        }
        Ok(())
    }

    /// Waits until everything is whole, and stays so a little while.
    pub(super) async fn wait_whole(&mut self, local: &LocalCluster) -> anyhow::Result<()> {
        let started = Instant::now();
        let mut since: Option<Instant> = None;
        let mut last = String::from("the coordinator does not answer");
        while started.elapsed() < WHOLE_WITHIN {
            match self.client.status().await {
                Ok(status) => {
                    self.note(&status);
                    match missing(local, &status) {
                        None => {
                            if since.get_or_insert_with(Instant::now).elapsed() >= TAIL {
                                return Ok(());
                            }
                        }
                        Some(what) => (last, since) = (what, None),
                    }
                }
                Err(error) => (last, since) = (error.to_string(), None),
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!("not whole {WHOLE_WITHIN:?} after the last fault was over: {last}")
    }

    fn note(&mut self, status: &Status) {
        for event in &status.events {
            let new = self.tally.seen.insert((event.cluster.clone(), event.epoch));
            // Others have lost their server for another cause, complaints for one.
            let died = matches!(
                event.reason,
                Reason::PrimariesLost(_) | Reason::FusedRemoved(_)
            );
            let silent = event
                .detected_after_ms
                .filter(|ms| *ms >= self.suspect_after.as_millis() as u64);
            if let Some(ms) = silent.filter(|_| new && died) {
                self.tally.detected_ms.push(ms);
            }
        }
    }
}

fn is_whole(cluster: &ClusterStatus) -> bool {
    cluster.serving && cluster.tolerates == cluster.faults
}

/// What is not whole, in words.
fn missing(local: &LocalCluster, status: &Status) -> Option<String> {
    if let Some(cluster) = status.clusters.iter().find(|c| !is_whole(c)) {
        let (name, epoch, waiting) = (&cluster.name, cluster.epoch, &cluster.waiting);
        let tolerates = cluster.tolerates;
        return Some(format!(
            "{name} at epoch {epoch} tolerates {tolerates}, {waiting:?}"
        ));
    }
    let alive: BTreeSet<u32> = status
        .servers
        .iter()
        .filter(|s| s.alive)
        .map(|s| s.pid)
        .collect();
    let silent = local
        .servers()
        .find(|(_, process)| !alive.contains(&process.pid()));
    silent.map(|(number, _)| format!("server {number} is not heard of"))
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn long_pauses_are_longer_than_the_suspicion_and_short_ones_shorter() {
        assert!(Kind::LongPause.lasts().start > 1000);
        assert!(Kind::ShortPause.lasts().end < 1000);
    }
}
