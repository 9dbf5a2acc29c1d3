//! Both sides, running and filled.

use super::action::{Action, Block};
use super::entries::{Entries, Spread, Target, element};
use super::keys::{Chooser, Popularity};
use super::measure::{Sample, Window, measure};
use super::plan::{Cell, Peers, Plan, Side};
use super::redis::{Connection, Gathered, Group, Redis, Shared, load};
use super::session::{Session, Structures, share, wait};
use super::source::{Ledger, Source};
use anyhow::Context;
use fusion_core::op::Op;
use fusion_net::client::{Client, ClientOptions, ClusterSpec, Kind, Raw};
use fusion_net::local::LocalCluster;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The cluster of structures that a pair of actions fills and empties.
const PAIR: &str = "bench-pair";
/// The database of Redis for the same.
const PAIR_DATABASE: usize = 15;
/// Tasks that fill.
const FILLERS: usize = 256;
/// Not measured: this part of the time that is.
const WARM: f64 = 0.2;

/// What was measured of one cell: a sample for each of its actions.
pub(crate) type Samples = Vec<(Action, Sample)>;

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Stage {
    primaries: usize,
    faults: usize,
    plan: Plan,
    length: Duration,
    servers: Vec<u32>,
    client: Client,
    single: Client,
    /// By the length of values: as the client comes, and with a request for each call.
    maps: BTreeMap<usize, (Spread, Spread)>,
    redis: Option<Redis>,
}

fn map_name(value_bytes: usize) -> String {
    format!("bench-map-{value_bytes}")
}

impl Stage {
    /// Creates and fills the maps of every value size on both sides.
    pub(crate) async fn set(
        local: &LocalCluster,
        (primaries, faults): (usize, usize),
        plan: Plan,
        length: Duration,
        redis: Option<Redis>,
    ) -> anyhow::Result<Stage> {
        let options = ClientOptions {
            network: local.network().clone(),
            coalesce: false,
            ..ClientOptions::default()
        };
        let mut stage = Stage {
            primaries,
            faults,
            plan,
            length,
            servers: local.servers().map(|(_, process)| process.pid()).collect(),
            client: local.client().await?,
            single: Client::connect_with(local.coordinator(), options).await?,
            maps: BTreeMap::new(),
            redis,
        };
        for (database, &value_bytes) in stage.plan.values.clone().iter().enumerate() {
            let keys = stage.plan.keys(value_bytes);
            let name = map_name(value_bytes);
            let spec = ClusterSpec::new(&name, Kind::Map, primaries, faults);
            stage.client.create(&spec).await?;
            let map: Spread = stage.client.map(&name).await?;
            let entries = Entries { keys, value_bytes };
            entries.fill(&Target::Spread(map.clone()), FILLERS).await?;
            let single = stage.single.map(&name).await?;
            stage.maps.insert(value_bytes, (map, single));
            if let Some(group) = stage.group() {
                let numbers = 0..entries.keys;
                load::put(group, database, numbers, |_| value_bytes, 0).await?;
            }
            let groups = stage.redis.as_ref().map_or(&[][..], Redis::groups);
            for (index, group) in groups.iter().enumerate().skip(1) {
                let numbers = (0..entries.keys).filter(|n| share(*n, groups.len()) == index);
                load::put(group, database, numbers, |_| value_bytes, 0).await?;
            }
        }
        Ok(stage)
    }

    fn group(&self) -> Option<&Group> {
        self.redis.as_ref().and_then(|redis| redis.groups().first())
    }

    /// Which primaries of Redis there are.
    pub(crate) fn peers(&self) -> Peers {
        match self.redis.as_ref().map_or(0, |redis| redis.groups().len()) {
            0 => Peers::None,
            1 => Peers::One,
            _ => Peers::Several,
        }
    }

    /// What Redis says of itself.
    pub(crate) fn redis_version(&self) -> Option<String> {
        self.redis.as_ref().map(|redis| redis.version.clone())
    }

    fn pids(&self, side: Side) -> Vec<u32> {
        match (side, &self.redis, self.group()) {
            (Side::RedisSpread, Some(redis), _) => redis.pids(),
            (side, ..) if side.is_fusion() => self.servers.clone(),
            (_, _, group) => group.map_or_else(Vec::new, Group::pids),
        }
    }

    async fn connection(&self, database: usize) -> anyhow::Result<(Connection, usize)> {
        let group = self.group().context("there is no Redis here")?;
        Ok((group.open(database).await?, group.replicas()))
    }

    /// Runs one cell.
    pub(crate) async fn run(&self, cell: Cell, seed: u64) -> anyhow::Result<Samples> {
        match cell.block {
            Block::Steady(action) => Ok(vec![(action, self.steady(action, cell, seed).await?)]),
            Block::Pair { grow, shrink, both } => {
                let pair = self.pair(grow, shrink, cell, seed).await;
                // Whatever came of it, the next cell finds nothing of it.
                let cleared = self.clear(cell.side).await;
                let (mut added, removed) = pair?;
                cleared?;
                if both {
                    return Ok(vec![(grow, added), (shrink, removed)]);
                }
                added.wrong += removed.wrong;
                added.examples.extend(removed.examples);
                Ok(vec![(grow, added)])
            }
        }
    }

    async fn steady(&self, action: Action, cell: Cell, seed: u64) -> anyhow::Result<Sample> {
        let (tasks, batch) = cell.side.tasks(cell.in_flight);
        let keys = self.plan.keys(cell.value_bytes);
        let chooser = Chooser::new(cell.popularity, keys)?;
        let ledger = Arc::new(Ledger::new(0, tasks));
        let (map, single) = self
            .maps
            .get(&cell.value_bytes)
            .context("no map of this size")?;
        let sizes = &self.plan.values;
        let database = sizes.iter().position(|size| *size == cell.value_bytes);
        let database = database.unwrap_or_default();
        let (mut shared, mut gathered) = (None, None);
        let mut all = Vec::new();
        for task in 0..tasks {
            let session = match cell.side {
                Side::Fusion | Side::FusionMany => {
                    Session::Fusion(Structures::Maps(Target::Spread(map.clone())))
                }
                Side::FusionSingle => {
                    Session::Fusion(Structures::Maps(Target::Spread(single.clone())))
                }
                Side::Redis | Side::RedisTwoTrips | Side::RedisMany => {
                    let (connection, replicas) = self.connection(database).await?;
                    Session::Redis {
                        connection,
                        replicas,
                        apart: cell.side == Side::RedisTwoTrips,
                    }
                }
                Side::RedisSpread => {
                    let mut connections = Vec::new();
                    for group in self.redis.as_ref().map_or(&[][..], Redis::groups) {
                        connections.push(group.open(database).await?);
                    }
                    Session::RedisSpread {
                        connections,
                        replicas: self.faults,
                    }
                }
                Side::RedisShared => {
                    if shared.is_none() {
                        shared = Some(Shared::new(self.connection(database).await?.0));
                    }
                    Session::RedisShared(shared.clone().context("no connection")?)
                }
                Side::RedisGathered => {
                    if gathered.is_none() {
                        let (connection, replicas) = self.connection(database).await?;
                        let wanted = replicas.to_string();
                        gathered = Some((Gathered::new(connection, &wait(&wanted)), replicas));
                    }
                    let (connection, replicas) = gathered.clone().context("no connection")?;
                    Session::RedisGathered {
                        connection,
                        replicas,
                    }
                }
            };
            let ledger = Arc::clone(&ledger);
            let source = Source::new(action, cell.value_bytes, chooser, ledger, task, seed);
            all.push((session, source));
        }
        let window = Window::Steady {
            warm: self.length.mul_f64(WARM),
            length: self.length,
        };
        measure(all, batch, window, &self.pids(cell.side)).await
    }

    async fn pair(
        &self,
        grow: Action,
        shrink: Action,
        cell: Cell,
        seed: u64,
    ) -> anyhow::Result<(Sample, Sample)> {
        let tasks = cell.in_flight;
        let ledger = Arc::new(Ledger::new(self.primaries, tasks));
        let structures = if cell.side.is_fusion() {
            Some(self.create(grow).await?)
        } else {
            None
        };
        if let (Action::InsertAny, Some(Structures::Parts(lists))) = (grow, &structures) {
            for (index, list) in lists.iter().enumerate() {
                for id in ledger.prefill(index) {
                    let value = element(id, cell.value_bytes);
                    list.call(Op::Append { value }).await?;
                }
            }
        }
        let chooser = Chooser::new(Popularity::Uniform, 1)?;
        let in_order = matches!(grow, Action::Append | Action::Enqueue);
        let mut samples = Vec::new();
        for (action, window) in [
            (grow, Window::For(self.length)),
            (shrink, Window::UntilDone),
        ] {
            let mut all = Vec::new();
            for task in 0..tasks {
                let session = match &structures {
                    Some(structures) => Session::Fusion(structures.clone()),
                    None => {
                        let (connection, replicas) = self.connection(PAIR_DATABASE).await?;
                        Session::Redis {
                            connection,
                            replicas,
                            apart: false,
                        }
                    }
                };
                let books = Arc::clone(&ledger);
                let mut source = Source::new(action, cell.value_bytes, chooser, books, task, seed);
                if in_order {
                    source = source.in_order();
                }
                all.push((session, source));
            }
            samples.push(measure(all, 1, window, &self.pids(cell.side)).await?);
        }
        let mut removed = samples.pop().context("no sample")?;
        let added = samples.pop().context("no sample")?;
        for what in ledger.differences() {
            removed.blame(what);
        }
        Ok((added, removed))
    }

    async fn create(&self, grow: Action) -> anyhow::Result<Structures> {
        let kind = match grow {
            Action::PutNew => Kind::Map,
            Action::Enqueue => Kind::Queue,
            _ => Kind::List,
        };
        let spec = ClusterSpec::new(PAIR, kind, self.primaries, self.faults);
        self.client.create(&spec).await?;
        if kind == Kind::Map {
            let map = Target::Spread(self.client.map(PAIR).await?);
            return Ok(Structures::Maps(map));
        }
        let mut parts: Vec<Raw> = Vec::new();
        for index in 0..self.primaries {
            parts.push(self.client.raw(PAIR, index).await?);
        }
        Ok(Structures::Parts(parts))
    }

    async fn clear(&self, side: Side) -> anyhow::Result<()> {
        if side.is_fusion() {
            self.client.remove(PAIR).await?;
            return Ok(());
        }
        let (mut connection, _) = self.connection(PAIR_DATABASE).await?;
        connection.ask(&[b"FLUSHDB"]).await?;
        Ok(())
    }
}
