//! What a coordinator knows: servers, configurations, reports.

use super::store::StoreContents;
use crate::service::{
    AdminError, ClusterStatus, ControlPlane, Event, MemberState, MemberStatus, Registration, Role,
    ServerStatus, Status, SyncRequest,
};
use fusion_core::config::{Configuration, FusedState, MAX_ADDRESS_BYTES, PrimaryState};
use fusion_core::detector::{Detector, Seen};
use fusion_core::id::{ClusterId, Epoch, MemberId, PrimaryIndex, ServerId};
use fusion_core::membership::{self, Plan, Reason, ServerView, Waiting, What};
use fusion_core::message::Condition;
use fusion_core::time::Timing;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How many events are kept for operators.
const MAX_EVENTS: usize = 256;
/// A dead server that no configuration names is forgotten after this time.
const FORGET_MS: u64 = 60_000;
/// Silence does not count for so long after a coordinator became the active one: servers have to find it first.
const GRACE_MS: u64 = 500;
/// The most servers that are known at a time, dead ones too until they are forgotten.
const MAX_SERVERS: usize = 1 << 14;
/// The most clusters, removed ones too: their names are kept so that old messages of them are known for what they are.
const MAX_CLUSTERS: usize = 1 << 16;

/// About how many bytes of configurations go into one answer to a heartbeat.
const MAX_NEWS_BYTES: usize = 4 << 20;

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
    pub(crate) detector: Detector,
    events: VecDeque<Event>,
    /// Why the last decision could not be stored, if it could not.
    pub(crate) problem: Option<String>,
}

impl Registry {
    pub(crate) fn new(contents: StoreContents, timing: &Timing) -> Registry {
        let mut detector = Detector::new(timing, GRACE_MS);
        for (id, _) in &contents.servers {
            detector.add_server(*id);
        }
        for config in &contents.configs {
            detector.installed(config, 0);
        }
        Registry {
            store: contents.store,
            clusters: contents
                .configs
                .into_iter()
                .map(|c| (c.cluster, c))
                .collect(),
            servers: contents.servers.into_iter().collect(),
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
    pub(crate) fn check_room_for_server(&self, new: &Registration) -> Result<(), AdminError> {
        let port = new
            .address
            .rsplit_once(':')
            .map(|(_, port)| port.parse::<u16>());
        if new.address.len() > MAX_ADDRESS_BYTES || !matches!(port, Some(Ok(_))) {
            let address = new.address.chars().take(80).collect();
            return Err(AdminError::BadAddress { address });
        }
        check_room("servers", self.servers.len(), MAX_SERVERS)
    }

    pub(crate) fn check_room_for_cluster(&self) -> Result<(), AdminError> {
        check_room("clusters", self.clusters.len(), MAX_CLUSTERS)
    }

    /// A new run of a process. Whatever ran at its address before is dead: the address is taken.
    pub(crate) fn add_server(&mut self, id: ServerId, registration: Registration, now: u64) {
        for (&other, known) in &self.servers {
            if known.address == registration.address {
                self.detector.declare_dead(other, now);
            }
        }
        self.servers.insert(id, registration);
        self.detector.add_server(id);
        self.detector.hear(id, now);
    }

    /// Takes a heartbeat; `false` when the server is not known.
    pub(crate) fn hear(&mut self, request: &SyncRequest, now: u64) -> bool {
        if !self.detector.hear(request.server, now) {
            return false;
        }
        for known in &request.known {
            self.detector
                .hear_epoch(known.cluster, known.epoch, known.nonce);
        }
        for report in &request.reports {
            let Some(config) = self.clusters.get(&report.cluster) else {
                continue;
            };
            // Only the member's own server speaks for it.
            if config
                .host_of(report.member)
                .is_some_and(|h| h.server == request.server)
            {
                self.detector.hear_of(report.clone(), now);
            }
        }
        true
    }

    /// Whether a registered server may yet be heard of for the first time since the start.
    pub(crate) fn expects_servers(&self) -> bool {
        let unheard = |s: Seen| s.last_heard_ms == 0 && s.suspected_since_ms.is_none();
        self.detector.servers().any(|(_, s)| unheard(s))
    }

    /// Looks at the clock.
    pub(crate) fn tick(&mut self, now: u64) {
        let tick = self.detector.tick(now);
        if tick.paused {
            tracing::warn!("this coordinator was paused; detection starts afresh");
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
        self.detector.forget(ids);
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
            for server in primaries.chain(fused).chain(heirs) {
                *loads.entry(server).or_default() += 1;
            }
        }
        let view = |(&id, s): (&ServerId, &Registration)| {
            let seen = self.detector.seen(id).unwrap_or_default();
            let view = ServerView {
                address: s.address.clone(),
                last_heard_ms: seen.last_heard_ms,
                suspected_since_ms: seen.suspected_since_ms,
                load: loads.get(&id).copied().unwrap_or(0),
                draining: s.draining,
            };
            (id, view)
        };
        self.servers.iter().map(view).collect()
    }

    fn plan(&self, config: &Configuration, servers: BTreeMap<ServerId, ServerView>) -> Plan {
        if self.detector.is_behind(config) {
            return Plan::Wait(Waiting::StoreBehind);
        }
        let evidence = self.detector.evidence(config, servers);
        membership::plan(config, &evidence, rand::random())
    }

    /// What an operator's acceptance of a loss would lead to (PROTOCOL rule 37).
    pub(crate) fn accept_loss(
        &self,
        config: &Configuration,
        processes_are_dead: bool,
    ) -> Result<(Configuration, Vec<PrimaryIndex>), AdminError> {
        let evidence = self.detector.evidence(config, self.views());
        membership::accept_loss(config, &evidence, rand::random(), processes_are_dead)
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
            let taken = config.servers();
            if !taken.contains(&server) {
                continue;
            }
            let usable = views
                .iter()
                .filter(|(id, v)| v.is_usable() && **id != server);
            let free = usable.filter(|(id, _)| config.colocate || !taken.contains(id));
            if free.count() == 0 {
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
        self.clusters.insert(next.cluster, next);
    }

    pub(crate) fn status(&self, now: u64, control: ControlPlane) -> Status {
        let views = self.views();
        let servers = self.servers.iter().map(|(&id, s)| {
            let seen = self.detector.seen(id).unwrap_or_default();
            ServerStatus {
                id,
                pid: s.pid,
                address: s.address.clone(),
                alive: seen.suspected_since_ms.is_none(),
                members: views.get(&id).map_or(0, |v| v.load),
                draining: s.draining,
                heard_ms_ago: now.saturating_sub(seen.last_heard_ms),
            }
        });
        Status {
            servers: servers.collect(),
            clusters: self
                .living()
                .map(|c| self.cluster_status(c, views.clone()))
                .collect(),
            events: self.events.iter().cloned().collect(),
            problem: self.problem.clone(),
            control,
        }
    }

    fn cluster_status(
        &self,
        config: &Configuration,
        views: BTreeMap<ServerId, ServerView>,
    ) -> ClusterStatus {
        let alive = |server: ServerId| {
            views
                .get(&server)
                .is_some_and(|v| v.suspected_since_ms.is_none())
        };
        let primaries = config.primaries.iter().enumerate().map(|(index, seat)| {
            let lost = seat.state == PrimaryState::Lost;
            self.member_status(
                config,
                seat.id,
                (Role::Primary, index),
                &seat.host,
                alive(seat.host.server),
                lost,
            )
        });
        let fused = config.fused.iter().map(|seat| {
            let joins = seat.state == FusedState::Joining;
            let place = (Role::Fused, seat.row.index());
            self.member_status(
                config,
                seat.id,
                place,
                &seat.host,
                alive(seat.host.server),
                joins,
            )
        });
        let members: Vec<MemberStatus> = primaries.chain(fused).collect();
        let in_role = |role| members.iter().filter(move |m| m.role == role);
        let active =
            |m: &&MemberStatus| matches!(m.state, MemberState::Active | MemberState::Moving { .. });
        let gone = in_role(Role::Primary).filter(|m| !active(m)).count();
        let codes = in_role(Role::Fused).filter(active).count();
        let waiting: Option<Waiting> = match self.plan(config, views) {
            Plan::Wait(waiting) => Some(waiting),
            Plan::Keep | Plan::Change(..) => None,
        };
        ClusterStatus {
            name: config.name.clone(),
            id: config.cluster,
            kind: config.kind,
            epoch: config.epoch,
            primaries: config.n(),
            faults: usize::from(config.faults),
            tolerates: codes.saturating_sub(gone),
            serving: gone == 0,
            waiting,
            members,
        }
    }

    /// How far the heir of a primary is, if it has one.
    fn copied(&self, config: &Configuration, role: Role, index: usize) -> Option<(u64, u64)> {
        let index = PrimaryIndex(index as u16);
        let heir = config
            .inheritance(index)
            .filter(|_| role == Role::Primary)?;
        let report = self.detector.report(config.cluster, heir.id);
        Some(match report.map(|r| r.condition) {
            Some(Condition::Learning { done, total }) => (done, total),
            Some(_) => (1, 1),
            None => (0, 0),
        })
    }

    fn member_status(
        &self,
        config: &Configuration,
        id: MemberId,
        (role, index): (Role, usize),
        host: &fusion_core::config::Host,
        alive: bool,
        building: bool,
    ) -> MemberStatus {
        let report = self.detector.report(config.cluster, id);
        let condition = report.map(|r| r.condition);
        let state = match (alive, building, condition) {
            (false, _, _) | (_, _, Some(Condition::Missing)) => MemberState::Dead,
            (_, false, _) => match self.copied(config, role, index) {
                Some((done, total)) => MemberState::Moving { done, total },
                None => MemberState::Active,
            },
            (_, true, Some(Condition::Recovering { done, total })) => {
                MemberState::Recovering { done, total }
            }
            (_, true, Some(Condition::Learning { done, total })) => {
                MemberState::Joining { done, total }
            }
            _ if role == Role::Primary => MemberState::Recovering { done: 1, total: 1 },
            _ => MemberState::Joining { done: 0, total: 0 },
        };
        MemberStatus {
            id,
            role,
            index,
            server: host.server,
            address: host.address.clone(),
            state,
            elements: report.map_or(0, |r| r.elements),
            payload_bytes: report.map_or(0, |r| r.payload_bytes),
            page_bytes: report.map_or(0, |r| r.page_bytes),
        }
    }
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
mod tests {
    use super::*;
    use crate::service::Known;
    use fusion_core::config::{ClusterShape, Host};
    use fusion_core::op::Kind;

    fn registration(incarnation: u64) -> Registration {
        Registration {
            incarnation,
            address: "127.0.0.1:1".to_owned(),
            pid: 1,
            draining: false,
        }
    }

    /// A server may die, and be known to, while a decision that began earlier is still being made.
    #[test]
    fn a_death_after_the_decision_began_is_no_overflow_and_forgets_nobody() {
        let mut registry = Registry::new(StoreContents::default(), &Timing::default());
        registry.add_server(ServerId(1), registration(1), 100);
        registry.add_server(ServerId(2), registration(2), 200);
        assert_eq!(registry.forgettable(150), []);
        assert_eq!(registry.forgettable(200 + FORGET_MS), [ServerId(1)]);
    }

    #[test]
    fn news_are_cut_to_what_fits_one_answer_and_never_to_none() {
        let shape = ClusterShape::new("c", Kind::Map, 1, 1, false).unwrap();
        let address = "a".repeat(1 << 20);
        let hosts = [1, 2].map(|i| Host {
            server: ServerId(i),
            address: address.clone(),
        });
        let mut registry = Registry::new(StoreContents::default(), &Timing::default());
        for cluster in 1..=5 {
            let config = Configuration::create(0, ClusterId(cluster), 1, &shape, &hosts);
            registry.install(Arc::new(config), None, 1);
        }
        let mut request = SyncRequest {
            server: ServerId(1),
            known: Vec::new(),
            reports: Vec::new(),
            wait: true,
        };
        let mut rounds = 0;
        while request.known.len() < 5 {
            let news = registry.news_for(&request);
            assert!((1..=2).contains(&news.len()));
            request.known.extend(news.iter().map(|c| Known {
                cluster: c.cluster,
                epoch: c.epoch,
                nonce: c.nonce,
            }));
            rounds += 1;
        }
        assert_eq!((rounds, registry.news_for(&request).len()), (5, 0));
    }

    #[test]
    fn who_takes_an_address_declares_the_one_before_dead() {
        let mut registry = Registry::new(StoreContents::default(), &Timing::default());
        registry.add_server(ServerId(1), registration(1), 100);
        registry.add_server(ServerId(2), registration(2), 200);
        let views = registry.views();
        assert_eq!(views[&ServerId(1)].suspected_since_ms, Some(200));
        assert_eq!(views[&ServerId(2)].suspected_since_ms, None);
        assert_eq!(registry.registered(2), Some(ServerId(2)));
    }

    #[test]
    fn a_server_whose_address_was_taken_was_not_noticed_after_the_coordinators_whole_life() {
        let mut registry = Registry::new(StoreContents::default(), &Timing::default());
        registry.add_server(ServerId(1), registration(1), 100);
        let shape = ClusterShape::new("c", Kind::Map, 1, 1, false).unwrap();
        let host = |server| Host {
            server: ServerId(server),
            address: String::new(),
        };
        let first = Configuration::create(1, ClusterId(1), 1, &shape, &[host(1), host(2)]);
        let mut next = first.successor(2);
        next.primaries[0].host = host(3);
        registry.install(Arc::new(first), None, 200);
        registry.add_server(ServerId(2), registration(2), 90_000);
        let reason = Reason::PrimariesLost(Vec::new());
        registry.install(Arc::new(next), Some(reason), 90_001);
        assert_eq!(registry.events[0].detected_after_ms, None);
    }
}
