//! What a coordinator knows: servers, configurations, reports.

mod overview;
mod pace;
mod promises;
mod remains;

use super::store::StoreContents;
use crate::addresses;
use crate::service::{AdminError, Event, Past, Registration, SyncRequest, Untold};
use fusion_core::config::{Configuration, MAX_ADDRESS_BYTES};
use fusion_core::detector::{Detector, GuardError};
use fusion_core::id::{ClusterId, Epoch, PrimaryIndex, ServerId};
use fusion_core::membership::{
    self, Acceptance, Foreseen, Plan, Reason, ServerView, Waiting, What,
};
use fusion_core::memory::MemoryUse;
use fusion_core::time::Timing;
use pace::Paces;
use remains::Remains;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// How many events are kept for operators.
const MAX_EVENTS: usize = 256;
/// A dead server that no configuration names is forgotten after this time.
const FORGET_MS: u64 = 60_000;
/// Silence does not count for so long after a coordinator became the active one: servers have to find it first.
const GRACE_MS: u64 = 500;
/// The most servers that are known at a time, dead ones too until they are forgotten.
pub(crate) const MAX_SERVERS: usize = 1 << 14;
/// The most clusters, removed ones too as long as somebody may hold a part of them.
pub(crate) const MAX_CLUSTERS: usize = 1 << 16;

/// About how many bytes of configurations go into one answer to a heartbeat.
const MAX_NEWS_BYTES: usize = 4 << 20;
/// How many clusters that the store does not know are named in the log, each once.
const MAX_STRAYS: usize = 64;
/// How many refused servers operators are shown, and for how long after the last refusal: they try again and again.
const MAX_STRANGERS: usize = 64;
const STRANGER_MS: u64 = 5_000;
/// A server whose address was taken is dead after so many looks at the clock at the earliest.
const TAKEN_LOOKS: u32 = 3;

/// At most about so many bytes a configuration takes in a frame.
fn encoded_bytes(config: &Configuration) -> usize {
    let primaries = config.primaries.iter().map(|s| {
        let former = s.former.as_ref().map_or(0, |f| f.host.address.len());
        let heir = s.heir.as_ref().map_or(0, |h| h.host.address.len());
        s.host.address.len() + former + heir
    });
    let fused = config.fused.iter().map(|s| s.host.address.len());
    let members = config.n() + config.fused.len() + config.shunned.len();
    primaries.chain(fused).sum::<usize>() + config.name.len() + 100 * (members + 1)
}

/// All of it; the durable part is the store's.
pub(crate) struct Registry {
    pub(crate) store: u64,
    clusters: BTreeMap<ClusterId, Arc<Configuration>>,
    servers: BTreeMap<ServerId, Registration>,
    /// The store has given no id from this one on.
    next_server: ServerId,
    pub(crate) detector: Detector,
    /// When each server was heard last. The detector forgets it of one whose address another run has taken.
    heard: BTreeMap<ServerId, u64>,
    /// The memory of each server that has a limit, as it said last.
    memory: BTreeMap<ServerId, MemoryUse>,
    pub(crate) remains: Remains,
    /// Of the members that are being made.
    paces: Paces,
    /// Clusters that servers know and the store does not.
    strays: BTreeSet<ClusterId>,
    /// When servers were refused last whose members come from another store, by address.
    strangers: BTreeMap<String, u64>,
    /// Servers whose address another run has taken: when, and how often the clock was looked at since.
    taken: BTreeMap<ServerId, (u64, u32)>,
    heartbeat_ms: u64,
    events: VecDeque<Event>,
    /// What the store said when the last change was not stored, if it was not.
    pub(crate) problem: Option<String>,
}

impl Registry {
    pub(crate) fn new(contents: StoreContents, timing: &Timing) -> Registry {
        let mut detector = Detector::new(timing, GRACE_MS);
        for (id, _) in &contents.servers {
            detector.add_server(*id);
        }
        let mut paces = Paces::default();
        for config in &contents.configs {
            detector.installed(config, 0);
            paces.installed(config, 0);
        }
        let servers: BTreeSet<ServerId> = contents.servers.iter().map(|(id, _)| *id).collect();
        let mut remains = Remains::default();
        for config in contents.configs.iter().filter(|c| c.removed) {
            remains.removed(config.cluster, servers.clone(), 0);
        }
        Registry {
            heard: BTreeMap::new(),
            memory: BTreeMap::new(),
            remains,
            paces,
            strays: BTreeSet::new(),
            strangers: BTreeMap::new(),
            taken: BTreeMap::new(),
            heartbeat_ms: timing.heartbeat().as_millis() as u64,
            store: contents.store,
            clusters: contents
                .configs
                .into_iter()
                .map(|c| (c.cluster, c))
                .collect(),
            servers: contents.servers.into_iter().collect(),
            next_server: contents.next_server,
            detector,
            events: VecDeque::new(),
            problem: None,
        }
    }

    /// The id that this run of a process has already.
    pub(crate) fn registered(&self, incarnation: u64) -> Option<ServerId> {
        let known = self
            .servers
            .iter()
            .rev()
            .find(|(_, s)| s.incarnation == incarnation);
        known.map(|(&id, _)| id)
    }

    /// A random id: two deployments that come to share an address must never take the other's cluster for theirs.
    pub(crate) fn new_cluster_id(&self) -> ClusterId {
        loop {
            let id = ClusterId(rand::random());
            if !self.clusters.contains_key(&id) {
                return id;
            }
        }
    }

    /// Whether one more server may register; anybody who reaches the coordinator may ask.
    pub(crate) fn check_room_for_server(&self) -> Result<(), AdminError> {
        check_room("servers", self.servers.len(), MAX_SERVERS)
    }

    /// Whether a process may have an id of this store, or has it already: its members, if it has any, come from it, and it
    /// has no id that the store knows nothing of. That one would be taken for a process that was forgotten, and discard
    /// what it holds (PROTOCOL rule 60).
    pub(crate) fn check_origin(
        &mut self,
        registration: &Registration,
        past: Option<Past>,
        now: u64,
    ) -> Result<(), AdminError> {
        let address = &registration.address;
        self.strangers
            .retain(|_, refused| now.saturating_sub(*refused) < STRANGER_MS);
        let Some(past) = past.filter(|p| p.members || p.identity.store == self.store) else {
            self.strangers.remove(address);
            return Ok(());
        };
        if past.identity.store == self.store {
            self.strangers.remove(address);
            let id = past.identity.server;
            let unknown = match self.servers.get(&id) {
                Some(known) => known.incarnation != registration.incarnation,
                None => id >= self.next_server,
            };
            if unknown {
                self.detector.hear_unknown_server(id);
                return self.guard_all();
            }
            return Ok(());
        }
        if self.strangers.contains_key(address) || self.strangers.len() < MAX_STRANGERS {
            let first = self.strangers.insert(address.clone(), now).is_none();
            if first {
                tracing::warn!(
                    address,
                    "a server was refused: its members come from another store"
                );
            }
        }
        Err(AdminError::OtherStore)
    }

    /// Servers that were refused a moment ago.
    fn strangers(&self, now: u64) -> Vec<String> {
        let lately = |refused: u64| now.saturating_sub(refused) < STRANGER_MS;
        let strangers = self.strangers.iter().filter(|(_, r)| lately(**r));
        strangers.map(|(address, _)| address.clone()).collect()
    }

    pub(crate) fn check_room_for_cluster(&self) -> Result<(), AdminError> {
        check_room("clusters", self.clusters.len(), MAX_CLUSTERS)
    }

    /// A new run of a process. Whatever ran at its address before is dead, since the address is taken; unless the address
    /// is a wrong one: so the former holder is declared dead when it misses two heartbeats from now on, without waiting
    /// for the time of suspicion.
    pub(crate) fn add_server(&mut self, id: ServerId, registration: Registration, now: u64) {
        let former = |known: &Registration| known.address == registration.address;
        let taken = self.servers.iter().filter(|(_, known)| former(known));
        self.taken
            .extend(taken.map(|(&other, _)| (other, (now, 0))));
        self.servers.insert(id, registration);
        self.next_server = self.next_server.max(ServerId(id.0.saturating_add(1)));
        self.detector.add_server(id);
        self.detector.hear(id, now);
        // It is new, and holds nothing.
        self.detector.hear_all_known(id, |_| false);
        self.heard.insert(id, now);
    }

    /// Takes a heartbeat; `false` when the server is not known.
    pub(crate) fn hear(&mut self, request: &SyncRequest, now: u64) -> bool {
        if !self.detector.hear(request.server, now) {
            return false;
        }
        self.heard.insert(request.server, now);
        match request.memory {
            Some(memory) => drop(self.memory.insert(request.server, memory)),
            None => drop(self.memory.remove(&request.server)),
        }
        if self.taken.remove(&request.server).is_some() {
            let address = self.servers.get(&request.server).map(|s| &*s.address);
            tracing::warn!(server = %request.server, address, "another server says that it is at the address of this one, \
                which lives: it cannot be reached there; restart it with an address of its own");
        }
        let removed = |id| self.clusters.get(id).is_some_and(|c: &Arc<_>| c.removed);
        for known in request.known.iter().filter(|k| !removed(&k.cluster)) {
            self.detector
                .hear_content(request.server, known.cluster, known.epoch, known.nonce);
            if !self.clusters.contains_key(&known.cluster)
                && self.strays.len() < MAX_STRAYS
                && self.strays.insert(known.cluster)
            {
                tracing::warn!(server = %request.server, cluster = %known.cluster, epoch = %known.epoch,
                    "a server knows a cluster that the store does not: the store is older than that, or was made anew \
                     without it; restart the server when its members are not wanted");
            }
        }
        let known: BTreeSet<ClusterId> = request.known.iter().map(|k| k.cluster).collect();
        self.detector
            .hear_all_known(request.server, |cluster| known.contains(&cluster));
        let servers = || self.servers.keys().copied().collect();
        self.remains.hear(request.server, &known, now, servers);
        for report in &request.reports {
            let Some(config) = self.clusters.get(&report.cluster) else {
                continue;
            };
            // Only the member's own server speaks for it.
            if config
                .host_of(report.member)
                .is_some_and(|h| h.server == request.server)
            {
                if let Some(news) = self.paces.hear(report, now) {
                    pace::say(config, report.member, &news);
                }
                self.detector.hear_of(report.clone(), now);
            }
        }
        true
    }

    /// Whether `next` may be stored: not while something that was heard says that the store is behind, or somebody who
    /// may say so was not heard yet (PROTOCOL rule 60).
    pub(crate) fn guard(&self, next: &Configuration) -> Result<(), AdminError> {
        match self.clusters.get(&next.cluster) {
            Some(before) => self.detector.guard(before).map_err(AdminError::Guard),
            None => self.guard_all(),
        }
    }

    /// The same for what is of no cluster, or of any.
    pub(crate) fn guard_all(&self) -> Result<(), AdminError> {
        let configs = self.clusters.values().map(|c| &**c);
        self.detector.guard_all(configs).map_err(AdminError::Guard)
    }

    /// A cluster that an operator wants to change, if its store may be changed.
    pub(crate) fn to_change(&self, name: &str) -> Result<Arc<Configuration>, AdminError> {
        let config = self.by_name(name);
        // A store that is behind may know nothing of it.
        let Some(config) = config else {
            self.guard_all()?;
            let name = name.to_owned();
            return Err(AdminError::UnknownCluster { name });
        };
        self.guard(&config)?;
        Ok(config)
    }

    /// Looks at the clock.
    pub(crate) fn tick(&mut self, now: u64) {
        let silent = 2 * self.heartbeat_ms;
        // Not at the first look after a pause, before which nobody could be heard (rule 56).
        let over = |_: &ServerId, (since, looks): &mut (u64, u32)| {
            *looks += 1;
            *looks >= TAKEN_LOOKS && now.saturating_sub(*since) >= silent
        };
        for (id, _) in self.taken.extract_if(.., over) {
            self.detector.declare_dead(id, now);
        }
        let tick = self.detector.tick(now);
        if tick.paused {
            tracing::warn!(
                "this coordinator was paused or has no time; that is not counted as anybody's silence"
            );
        }
        for id in tick.suspected {
            let address = self.servers.get(&id).map_or("", |s| &s.address);
            tracing::warn!(server = %id, address, "a server is not heard of");
        }
    }

    /// Dead servers that nobody needs to know of any more.
    pub(crate) fn forgettable(&self, now: u64) -> Vec<ServerId> {
        let dead = self.detector.servers().filter(|(_, s)| {
            s.suspected_since_ms
                .is_some_and(|t| now.saturating_sub(t) >= FORGET_MS)
        });
        let named = |id: &ServerId| self.living().any(|c| c.names(*id));
        dead.map(|(id, _)| id).filter(|id| !named(id)).collect()
    }

    pub(crate) fn forget(&mut self, ids: &[ServerId]) {
        self.servers.retain(|id, _| !ids.contains(id));
        self.heard.retain(|id, _| !ids.contains(id));
        self.memory.retain(|id, _| !ids.contains(id));
        self.detector.forget(ids);
        self.remains.forget_servers(ids);
    }

    /// Nobody holds a part of them any more, and nobody will again.
    pub(crate) fn forget_clusters(&mut self, ids: &[ClusterId]) {
        self.clusters.retain(|id, _| !ids.contains(id));
        self.remains.forget(ids);
    }

    /// The servers of a removed cluster that have not heard of it yet (PROTOCOL rule 68).
    pub(crate) fn untold(&self, removed: &Configuration) -> Vec<Untold> {
        let formers = removed.formers().chain(removed.moved());
        let formers = formers.map(|(_, f)| &f.host);
        let primaries = removed.primaries.iter().map(|s| &s.host);
        let fused = removed.fused.iter().map(|s| &s.host);
        let heirs = removed.heirs().map(|(_, h)| &h.host);
        let hosts = formers.chain(primaries).chain(fused).chain(heirs);
        let hosts: BTreeMap<ServerId, &str> =
            hosts.map(|h| (h.server, h.address.as_str())).collect();
        let servers = hosts.keys().copied().collect();
        let untold = self.remains.untold(removed.cluster, servers);
        let untold = untold.into_iter().map(|server| Untold {
            server,
            address: hosts[&server].to_owned(),
        });
        untold.collect()
    }

    fn living(&self) -> impl Iterator<Item = &Arc<Configuration>> {
        self.clusters.values().filter(|c| !c.removed)
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<Configuration>> {
        self.living().find(|c| c.name == name).cloned()
    }

    pub(crate) fn epoch_of(&self, cluster: ClusterId) -> Option<Epoch> {
        self.clusters.get(&cluster).map(|c| c.epoch)
    }

    /// Configurations that a server has an older epoch of, or must be told of for the first time: as many as go into one
    /// answer, the rest into the next.
    pub(crate) fn news_for(&self, request: &SyncRequest) -> Vec<Arc<Configuration>> {
        let known: BTreeMap<ClusterId, Epoch> =
            request.known.iter().map(|k| (k.cluster, k.epoch)).collect();
        let news = self
            .clusters
            .values()
            .filter(|c| match known.get(&c.cluster) {
                Some(epoch) => c.epoch > *epoch,
                None => !c.removed && c.servers().contains(&request.server),
            });
        let mut bytes = 0;
        let fits = |config: &&Arc<Configuration>| {
            let first = bytes == 0;
            bytes += encoded_bytes(config);
            first || bytes <= MAX_NEWS_BYTES
        };
        news.take_while(fits).cloned().collect()
    }

    pub(crate) fn views(&self) -> BTreeMap<ServerId, ServerView> {
        let mut loads: BTreeMap<ServerId, usize> = BTreeMap::new();
        for config in self.living() {
            let primaries = config.primaries.iter().map(|s| s.host.server);
            let heirs = config.heirs().map(|(_, h)| h.host.server);
            let fused = config.fused.iter().map(|s| s.host.server);
            // Who was moved, or taken for dead, may be needed again: its server is not empty before.
            let kept = config.moved().chain(config.formers());
            let kept = kept.map(|(_, former)| former.host.server);
            for server in primaries.chain(fused).chain(heirs).chain(kept) {
                *loads.entry(server).or_default() += 1;
            }
        }
        let promised = self.promised();
        let view = |(&id, s): (&ServerId, &Registration)| {
            let seen = self.detector.seen(id).unwrap_or_default();
            let view = ServerView {
                address: s.address.clone(),
                last_heard_ms: seen.last_heard_ms,
                suspected_since_ms: seen.suspected_since_ms,
                load: loads.get(&id).copied().unwrap_or(0),
                draining: s.draining,
                host: s.labels.host(&s.address).into(),
                zone: s.labels.zone().unwrap_or_default().into(),
                room: self.memory.get(&id).map(|memory| {
                    let promised = promised.get(&id).copied().unwrap_or(0);
                    memory.room().saturating_sub(promised)
                }),
            };
            (id, view)
        };
        self.servers.iter().map(view).collect()
    }

    fn plan(&self, config: &Configuration, servers: BTreeMap<ServerId, ServerView>) -> Plan {
        if let Some(contents) = self.detector.two_contents(config) {
            return Plan::Wait(Waiting::TwoContents { contents });
        }
        let guard = self.detector.guard(config);
        if guard.as_ref().is_err_and(GuardError::is_behind) {
            return Plan::Wait(Waiting::StoreBehind);
        }
        let evidence = self.detector.evidence(config, servers);
        match membership::plan(config, &evidence, rand::random()) {
            // Whether the store is behind is not known yet.
            Plan::Change(..) if guard.is_err() => Plan::Wait(Waiting::Evidence),
            plan => plan,
        }
    }

    /// What an operator's acceptance of a loss would cost (PROTOCOL rule 62).
    pub(crate) fn foresee_loss(&self, config: &Configuration) -> Result<Foreseen, AdminError> {
        let evidence = self.detector.evidence(config, self.views());
        membership::foresee_loss(config, &evidence).map_err(AdminError::Loss)
    }

    /// What an operator's acceptance of a loss leads to (PROTOCOL rules 37, 62).
    pub(crate) fn accept_loss(
        &self,
        config: &Configuration,
        acceptance: &Acceptance,
    ) -> Result<(Configuration, Vec<PrimaryIndex>), AdminError> {
        let evidence = self.detector.evidence(config, self.views());
        membership::accept_loss(config, &evidence, rand::random(), acceptance)
            .map_err(AdminError::Loss)
    }

    /// What an operator's wish to move a member leads to (PROTOCOL rules 26, 36).
    pub(crate) fn move_member(
        &self,
        config: &Configuration,
        what: What,
        to: Option<ServerId>,
    ) -> Result<Configuration, AdminError> {
        let evidence = self.detector.evidence(config, self.views());
        membership::move_member(config, &evidence, rand::random(), what, to)
            .map_err(AdminError::Move)
    }

    /// What is known of a server, with another wish of an operator (PROTOCOL rule 36): durable before it is
    /// [taken](Self::set_draining).
    pub(crate) fn drained(
        &self,
        server: ServerId,
        wanted: bool,
    ) -> Result<Registration, AdminError> {
        let known = self.servers.get(&server);
        let known = known.ok_or(AdminError::UnknownServer { server })?;
        let registration = Registration {
            draining: wanted,
            ..known.clone()
        };
        if wanted {
            self.check_room(server)?;
        }
        Ok(registration)
    }

    /// Each cluster that has members on `server` must have somewhere to put them. One server is enough: they are moved
    /// one after another, and what is left behind by one cannot be taken by the next.
    fn check_room(&self, server: ServerId) -> Result<(), AdminError> {
        let views = self.views();
        for config in self.living() {
            if config.servers().contains(&server)
                && !membership::has_room_without(config, server, &views)
            {
                let cluster = config.name.clone();
                return Err(AdminError::NoRoom { server, cluster });
            }
        }
        Ok(())
    }

    /// What an operator wants of a server is durable.
    pub(crate) fn set_draining(&mut self, server: ServerId, wanted: bool) {
        if let Some(registration) = self.servers.get_mut(&server) {
            registration.draining = wanted;
        }
    }

    /// The configurations that should change now, each decided with the one before it counted.
    pub(crate) fn proposals(&self) -> Vec<(Configuration, Reason)> {
        let mut servers = self.views();
        let mut proposals = Vec::new();
        for config in self.living() {
            if let Plan::Change(next, reason) = self.plan(config, servers.clone()) {
                for server in next.servers().difference(&config.servers()) {
                    if let Some(view) = servers.get_mut(server) {
                        view.load += 1;
                        let takes = self.largest_member(config);
                        view.room = view.room.map(|room| room.saturating_sub(takes));
                    }
                }
                proposals.push((*next, reason));
            }
        }
        proposals
    }

    /// A configuration that is in the store now.
    pub(crate) fn install(&mut self, next: Arc<Configuration>, reason: Option<Reason>, now: u64) {
        let before = self.clusters.get(&next.cluster).cloned();
        if let Some(reason) = reason {
            let died = before
                .iter()
                .flat_map(|c| c.servers())
                .filter(|s| !next.servers().contains(s));
            let last = died
                .filter_map(|s| self.detector.seen(s))
                .map(|s| s.last_heard_ms)
                // Declared dead when another one took its address: nobody waited for it.
                .filter(|&ms| ms > 0)
                .max();
            self.events.push_back(Event {
                at_ms: now,
                cluster: next.name.clone(),
                epoch: next.epoch,
                reason,
                detected_after_ms: last.map(|t| now.saturating_sub(t)),
            });
            while self.events.len() > MAX_EVENTS {
                self.events.pop_front();
            }
        }
        self.detector.installed(&next, now);
        self.paces.installed(&next, now);
        if next.removed {
            let servers = self.servers.keys().copied().collect();
            self.remains.removed(next.cluster, servers, now);
        }
        self.clusters.insert(next.cluster, next);
    }
}

/// Whether a process introduces itself in a way that can be kept and shown.
pub(crate) fn check_registration(registration: &Registration) -> Result<(), AdminError> {
    registration.labels.check().map_err(AdminError::BadLabels)?;
    check_address(&registration.address)
}

/// Whether others can reach a server there, as far as one can see, and operators can be shown it. Whoever reaches the
/// coordinator may say anything.
fn check_address(address: &str) -> Result<(), AdminError> {
    if address.len() > MAX_ADDRESS_BYTES || addresses::reachable(address).is_err() {
        let address = address.chars().take(80).collect();
        return Err(AdminError::BadAddress { address });
    }
    Ok(())
}

fn check_room(what: &str, have: usize, max: usize) -> Result<(), AdminError> {
    let what = what.to_owned();
    let max_told = max as u64;
    let room = have < max;
    room.then_some(()).ok_or(AdminError::TooMany {
        what,
        max: max_told,
    })
}

#[cfg(test)]
mod tests;
