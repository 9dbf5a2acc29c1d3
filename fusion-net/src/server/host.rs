//! The members that this process hosts, and how a configuration changes them (PROTOCOL rules 4, 8).

mod member;

pub(crate) use member::Member;

use super::heir::HeirCell;
use super::primary::PrimaryCell;
use super::replacement::Replacement;
use super::sound::Sound;
use super::successor::Successor;
use crate::clock;
use crate::express::{self, Changes};
use crate::memory::{Memory, MemoryLimit};
use crate::peer::{Pool, within};
use crate::service::{FusedClient, Known, Past, PrimaryClient, Registered};
use crate::transport::Network;
use fusion_core::code::Code;
use fusion_core::config::Configuration;
use fusion_core::fused::Fused;
use fusion_core::hosting::{self, Action};
use fusion_core::id::{ClusterId, MemberId, ServerId};
use fusion_core::message::{Condition, MemberReport, Refusal, Route};
use fusion_core::primary::Primary;
use fusion_core::time::Time;
use member::Ended;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// How many removed clusters a process remembers; of older ones nobody is expected to tell.
const MAX_REMOVED: usize = 4096;
/// At least so often it is seen whether the members of some cluster should look at the clock: a new one has come, say.
const MAX_LOOK: Duration = Duration::from_millis(50);

/// Connections to other servers.
#[derive(Clone, Debug)]
pub struct Peers {
    /// How they are made.
    pub network: Network,
    /// To primaries.
    pub primaries: Pool<PrimaryClient>,
    /// To fused structures.
    pub fused: Pool<FusedClient>,
    /// To the same, for changes.
    pub changes: Pool<Changes>,
}

impl Peers {
    /// None yet, all to be made by this network.
    #[must_use]
    pub fn new(network: Network) -> Peers {
        Peers {
            primaries: Pool::new(network.clone()),
            fused: Pool::new(network.clone()),
            changes: Pool::new(network.clone()),
            network,
        }
    }
}

#[derive(Debug)]
struct Slot {
    config: Arc<Configuration>,
    /// When its members looked at the clock.
    looked_at: Time,
    members: BTreeMap<MemberId, Member>,
    /// Named by the configuration as having state that is not here.
    missing: Vec<MemberId>,
    /// The other content of its epoch, if one was told: its members keep their state, and serve nobody (rule 61).
    other: Option<Known>,
}

impl Slot {
    /// What it knows of its epoch.
    fn known(&self) -> impl Iterator<Item = Known> + use<> {
        [Some(known(&self.config)), self.other]
            .into_iter()
            .flatten()
    }

    /// Nobody can tell which of two contents of one epoch its members should follow: they stop, and keep what they hold
    /// until an operator has decided (rules 5, 61).
    fn stop(&mut self, other: &Configuration) {
        self.other.get_or_insert(known(other));
        for member in self.members.values() {
            match member {
                Member::Primary(cell) => cell.close(),
                Member::Replacement(replacement) => replacement.stop(),
                Member::Successor(successor) => successor.stop(),
                Member::Fused(_) | Member::Heir(_) | Member::Broken => {}
            }
        }
    }

    /// An operator has decided for the content that its members follow.
    fn go_on(&mut self, host: &Arc<Host>) {
        if self.other.take().is_none() {
            return;
        }
        for member in self.members.values() {
            match member {
                Member::Primary(cell) => cell.open(host),
                Member::Replacement(replacement) => {
                    Replacement::restart(replacement, host, Arc::clone(&self.config));
                }
                Member::Successor(successor) => Successor::drive(successor, host),
                Member::Fused(_) | Member::Heir(_) | Member::Broken => {}
            }
        }
    }

    /// A broken member counts as dead, and is replaced as one; the others of the process are none the worse.
    fn discard_broken(&mut self, ended: &mut Ended) -> bool {
        let broken = self.members.iter().filter(|(_, member)| member.is_broken());
        let broken: Vec<MemberId> = broken.map(|(&id, _)| id).collect();
        for id in &broken {
            tracing::error!(cluster = %self.config.name, member = %id, "a fault broke this member; it is given up");
            if let Some(member) = self.members.insert(*id, Member::Broken) {
                member.end(ended);
            }
        }
        !broken.is_empty()
    }
}

fn known(config: &Configuration) -> Known {
    Known {
        cluster: config.cluster,
        epoch: config.epoch,
        nonce: config.nonce,
    }
}

/// All members of this process.
#[derive(Debug)]
pub struct Host {
    streams: bool,
    identity: Mutex<Option<Registered>>,
    pub(crate) peers: Peers,
    clusters: Mutex<HashMap<ClusterId, Slot>>,
    /// The clusters that were removed last: a member that has yet to hear of it may tell of one again, when the
    /// coordinator has forgotten it.
    removed: Mutex<VecDeque<ClusterId>>,
    /// Of the whole process (rule 70).
    pub(crate) memory: Memory,
    /// Something worth telling the coordinator at once has happened.
    pub(crate) news: Notify,
}

/// The lock of what is consistent whenever somebody may panic: lists, and values that are set as a whole. A fault under it
/// says nothing of them. A member's state is behind a [`Sound`] lock instead (rule 65).
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Host {
    /// A process without members; `streams` says whether it offers any, and `memory` how much it may take, if that is limited.
    #[must_use]
    pub fn new(peers: Peers, streams: bool, memory: Option<MemoryLimit>) -> Arc<Host> {
        Arc::new(Host {
            streams,
            identity: Mutex::default(),
            peers,
            clusters: Mutex::default(),
            removed: Mutex::default(),
            memory: Memory::new(memory),
            news: Notify::new(),
        })
    }

    /// The version of the streams that it offers, if it does.
    pub(crate) fn streams(&self) -> Option<u16> {
        self.streams.then_some(express::VERSION)
    }

    /// The id that the coordinator gave this process, once it has.
    #[must_use]
    pub fn server(&self) -> Option<ServerId> {
        lock(&self.identity).map(|i| i.server)
    }

    /// What this process was told when it registered last, and whether it has members.
    pub(crate) fn past(&self) -> Option<Past> {
        let identity = (*lock(&self.identity))?;
        let clusters = lock(&self.clusters);
        let members = clusters.values().any(|s| !s.members.is_empty());
        Some(Past { identity, members })
    }

    /// Takes the id that the coordinator gave. Another id of the same store means that it has forgotten this
    /// process, which it does only when no configuration names it: what is here is dead and goes. Answers `false`
    /// when members of another store are here; nothing is changed then.
    pub(crate) fn set_identity(&self, given: Registered) -> bool {
        let mut ended = Ended::default();
        let mut identity = lock(&self.identity);
        if *identity == Some(given) {
            return true;
        }
        let mut clusters = lock(&self.clusters);
        if identity.is_some_and(|i| i.store != given.store)
            && clusters.values().any(|s| !s.members.is_empty())
        {
            return false;
        }
        // Two stores are at work, and what is here may be what is right.
        if clusters.values().any(|s| s.other.is_some()) {
            return false;
        }
        // The configurations go, too: the coordinator may have forgotten that a cluster is removed, and no configuration
        // that names the old id starts anything here again.
        for (_, slot) in clusters.drain() {
            for member in slot.members.into_values() {
                member.end(&mut ended);
            }
        }
        *identity = Some(given);
        true
    }

    /// The member, if it is here and sound.
    pub(crate) fn member(&self, cluster: ClusterId, id: MemberId) -> Option<Member> {
        let mut ended = Ended::default();
        let mut clusters = lock(&self.clusters);
        let slot = clusters.get_mut(&cluster)?;
        if slot.other.is_some() {
            return None;
        }
        if slot.discard_broken(&mut ended) {
            self.news.notify_one();
        }
        let member = slot.members.get(&id);
        member.filter(|m| !matches!(m, Member::Broken)).cloned()
    }

    /// The configurations of all clusters that this process has heard of, by epoch and nonce; both contents where there
    /// are two (rule 61).
    pub(crate) fn known(&self) -> Vec<Known> {
        let clusters = lock(&self.clusters);
        clusters.values().flat_map(Slot::known).collect()
    }

    /// The store was made anew, from what this process has handed over, too: where it had seen two contents of an epoch,
    /// its own is the one that counts (rules 39, 61).
    pub(crate) fn go_on(self: &Arc<Self>) {
        for slot in lock(&self.clusters).values_mut() {
            slot.go_on(self);
        }
        self.news.notify_one();
    }

    /// The id of this process, and the store that gave it.
    pub(crate) fn identity(&self) -> Option<Registered> {
        *lock(&self.identity)
    }

    /// How many members it hosts.
    pub(crate) fn members(&self) -> usize {
        let clusters = lock(&self.clusters);
        clusters.values().map(|s| s.members.len()).sum()
    }

    /// The configurations themselves, for a store that is made anew (rule 39).
    pub(crate) fn configs(&self) -> Vec<Arc<Configuration>> {
        let clusters = lock(&self.clusters);
        clusters.values().map(|s| Arc::clone(&s.config)).collect()
    }

    /// Refuses a message for a member that is not here.
    pub(crate) fn not_here(&self, route: Route) -> Refusal {
        match lock(&self.clusters).get(&route.cluster) {
            Some(slot) if slot.other.is_some() => Refusal::TwoContents,
            Some(slot) if (slot.config.epoch, slot.config.nonce) != (route.epoch, route.nonce) => {
                Refusal::Epoch(Arc::clone(&slot.config))
            }
            _ => Refusal::NotMember {
                cluster: route.cluster,
                member: route.to,
            },
        }
    }

    /// A peer at another epoch has answered: the side behind adopts the other's configuration (rule 8). At another content
    /// of this epoch: both hear of it, and stop (rule 61).
    pub(crate) async fn reconcile(
        self: &Arc<Self>,
        ours: &Arc<Configuration>,
        theirs: Arc<Configuration>,
        to: MemberId,
    ) {
        if theirs.cluster == ours.cluster && theirs.epoch > ours.epoch {
            self.adopt(theirs);
        } else {
            if theirs.contradicts(ours) {
                self.adopt(theirs);
            }
            self.tell(ours, to).await;
        }
    }

    /// Tells another member's process a configuration; answers whether it has heard.
    pub(crate) async fn tell(&self, config: &Arc<Configuration>, to: MemberId) -> bool {
        let Some(host) = config.host_of(to) else {
            return false;
        };
        let context = within(Duration::from_secs(2));
        if config.index_of(to).is_some() {
            let Ok(peer) = self.peers.primaries.get(&host.address).await else {
                return false;
            };
            let told = peer.client().adopt(context, Arc::clone(config)).await;
            told.inspect(|()| peer.heard()).is_ok()
        } else {
            let Ok(peer) = self.peers.fused.get(&host.address).await else {
                return false;
            };
            let told = peer.client().adopt(context, Arc::clone(config)).await;
            told.inspect(|()| peer.heard()).is_ok()
        }
    }

    /// A primary that was moved here may serve: it does from now on (rule 36).
    pub(crate) fn take_over(self: &Arc<Self>, cluster: ClusterId, id: MemberId) {
        let mut clusters = lock(&self.clusters);
        let sound = |slot: &&mut Slot| slot.other.is_none();
        let Some(slot) = clusters.get_mut(&cluster).filter(sound) else {
            return;
        };
        let Some(Member::Successor(successor)) = slot.members.get(&id).cloned() else {
            return;
        };
        // Should a fault strike now, the member is broken.
        slot.members.insert(id, Member::Broken);
        let after = match successor.take_primary() {
            Some(primary) => Member::Primary(PrimaryCell::start(self, primary)),
            None => Member::Successor(Arc::clone(&successor)),
        };
        slot.members.insert(id, after);
        drop(clusters);
        successor.is_done();
        self.news.notify_one();
    }

    /// Tells a client whose primary is not here where it may be.
    pub(crate) fn elsewhere(&self, cluster: ClusterId, member: MemberId) -> Refusal {
        match lock(&self.clusters).get(&cluster) {
            Some(slot) => Refusal::Epoch(Arc::clone(&slot.config)),
            None => Refusal::NotMember { cluster, member },
        }
    }

    /// Adopts a configuration if it is higher than the one known (rule 8).
    pub fn adopt(self: &Arc<Self>, config: Arc<Configuration>) {
        // Held to the end: nothing is started for an id that this process has no more.
        let identity = lock(&self.identity);
        let Some(Registered { server, store }) = *identity else {
            return;
        };
        if config.store != store {
            tracing::error!(cluster = %config.name, "a configuration of another deployment was refused");
            return;
        }
        let named = config.servers().contains(&server) && !config.removed;
        let mut ended = Ended::default();
        let mut clusters = lock(&self.clusters);
        let known = clusters.get(&config.cluster).map(|slot| &slot.config);
        let fits = known.map_or(Ok(()), |known| config.check_after(known));
        if let Err(error) = config.check().and(fits) {
            tracing::error!(cluster = %config.cluster, %error, "a configuration that cannot be was refused");
            return;
        }
        match clusters.get_mut(&config.cluster) {
            None if !named || lock(&self.removed).contains(&config.cluster) => return,
            // Whatever comes now may rest on the wrong one of the two.
            Some(slot) if slot.other.is_some() => return,
            Some(slot) if slot.config.contradicts(&config) => {
                tracing::error!(cluster = %config.name, epoch = %config.epoch, ours = slot.config.nonce, other = config.nonce,
                    "two configurations of one epoch: two stores are in use; this server's members of it stop, and keep what they hold");
                slot.stop(&config);
                self.news.notify_one();
                return;
            }
            Some(slot) if slot.config.epoch >= config.epoch => return,
            _ => {}
        }
        let slot = clusters.entry(config.cluster).or_insert_with(|| Slot {
            config: Arc::clone(&config),
            looked_at: Time(0),
            members: BTreeMap::new(),
            missing: Vec::new(),
            other: None,
        });
        slot.config = Arc::clone(&config);
        slot.missing.clear();
        slot.discard_broken(&mut ended);
        let held = slot
            .members
            .iter()
            .map(|(&id, member)| (id, member.held()))
            .collect();
        for (id, action) in hosting::actions(&config, server, &held) {
            // Should a fault strike now, the member is broken, and not one that was never here.
            let before = slot.members.insert(id, Member::Broken);
            let kept = before.clone();
            let act = AssertUnwindSafe(|| self.act(&config, id, before, action, &mut ended));
            // The other members have to hear of this configuration all the same.
            let after = catch_unwind(act).unwrap_or(Some(Member::Broken));
            slot.members.remove(&id);
            if let (Some(Member::Broken), Some(kept)) = (&after, kept) {
                kept.end(&mut ended);
            }
            match after {
                Some(member) => drop(slot.members.insert(id, member)),
                None if action != Action::Drop => slot.missing.push(id),
                None => {}
            }
        }
        if config.removed {
            clusters.remove(&config.cluster);
            let mut removed = lock(&self.removed);
            removed.push_back(config.cluster);
            while removed.len() > MAX_REMOVED {
                removed.pop_front();
            }
        }
        drop(clusters);
        self.news.notify_one();
    }

    /// Does what a new configuration asks of one member; `None`: the member is not here afterwards.
    fn act(
        self: &Arc<Self>,
        config: &Arc<Configuration>,
        id: MemberId,
        before: Option<Member>,
        action: Action,
        ended: &mut Ended,
    ) -> Option<Member> {
        let config = Arc::clone(config);
        match (before, action) {
            (Some(Member::Primary(cell)), Action::Adopt) => {
                cell.adopt(self, config);
                Some(Member::Primary(cell))
            }
            (Some(Member::Primary(cell)), Action::Suspend) => {
                cell.suspend(config);
                Some(Member::Primary(cell))
            }
            (Some(Member::Fused(fused)), Action::Adopt) => {
                fused.lock().ok()?.adopt(config);
                Some(Member::Fused(fused))
            }
            (Some(Member::Replacement(replacement)), Action::Activate) => {
                let image = replacement.take_image()?;
                let primary = Primary::recovered(config, id, image);
                Some(Member::Primary(PrimaryCell::start(self, primary)))
            }
            (Some(Member::Heir(heir)), Action::Adopt) => {
                heir.adopt(config);
                Some(Member::Heir(heir))
            }
            (Some(Member::Heir(heir)), Action::TakeOver) => {
                let takeover = heir.take_over(config)?;
                Some(Member::Successor(Successor::start(self, takeover)))
            }
            (Some(Member::Successor(successor)), Action::Adopt | Action::Suspend) => {
                Successor::adopt(&successor, self, config);
                Some(Member::Successor(successor))
            }
            (Some(Member::Primary(cell)), Action::Retire) => {
                cell.retire(self, config);
                Some(Member::Primary(cell))
            }
            (None, Action::StartHeir) => Some(Member::Heir(HeirCell::start(self, config, id))),
            (Some(Member::Replacement(replacement)), Action::Restart) => {
                Replacement::restart(&replacement, self, config);
                Some(Member::Replacement(replacement))
            }
            (None, Action::CreatePrimary) => Some(Member::Primary(PrimaryCell::start(
                self,
                Primary::create(config, id),
            ))),
            (None, Action::CreateFused) => {
                let code = code_of(&config)?;
                let fused = Fused::create(config, id, code);
                Some(Member::Fused(Arc::new(Sound::new(fused))))
            }
            (None, Action::StartReplacement) => {
                Some(Member::Replacement(Replacement::start(self, config, id)))
            }
            (Some(Member::Broken), Action::Missing) => Some(Member::Broken),
            (before, _) => {
                if let Some(member) = before {
                    member.end(ended);
                }
                None
            }
        }
    }

    /// Lets all members look at the clock, those of each cluster T_h / 2 apart, until the future is dropped: whom they
    /// miss they know by a timer of their own, however often a coordinator asks (rule 56).
    pub(crate) async fn keep_looking(self: Arc<Self>) {
        loop {
            sleep(self.look()).await;
        }
    }

    /// Lets those members look whose time has come; returns when to come back.
    fn look(&self) -> Duration {
        let now = clock::now();
        let (mut next, mut news) = (MAX_LOOK, false);
        let mut ended = Ended::default();
        for slot in lock(&self.clusters).values_mut() {
            let timing = slot.config.timing;
            let every = timing.heartbeat() / 2;
            if now.since(slot.looked_at) >= every {
                slot.looked_at = now;
                for member in slot.members.values_mut().filter(|m| !m.is_broken()) {
                    news |= member.look(&timing, &self.peers, &mut ended);
                }
            }
            next = next.min(every.saturating_sub(now.since(slot.looked_at)));
        }
        if news {
            self.news.notify_one();
        }
        next
    }

    /// What this process has to say of its members (rule 22).
    pub(crate) fn reports(&self) -> Vec<MemberReport> {
        let mut ended = Ended::default();
        let mut clusters = lock(&self.clusters);
        let mut reports = Vec::new();
        for (&cluster, slot) in clusters.iter_mut() {
            slot.discard_broken(&mut ended);
            let epoch = slot.config.epoch;
            let blank = |member, condition| MemberReport::new(cluster, member, epoch, condition);
            if slot.other.is_some() {
                let stopped = |&id: &MemberId| blank(id, Condition::TwoContents);
                reports.extend(slot.members.keys().map(stopped));
                continue;
            }
            let timing = &slot.config.timing;
            for (&id, member) in &mut slot.members {
                let blank = |condition| blank(id, condition);
                reports.push(member.report(timing, blank, &mut ended));
            }
            reports.extend(slot.missing.iter().map(|&id| blank(id, Condition::Missing)));
        }
        reports
    }
}

/// The cluster's code; `None` only for a shape that was never checked.
pub(crate) fn code_of(config: &Configuration) -> Option<Code> {
    Code::new(config.n(), usize::from(config.faults))
        .inspect_err(
            |error| tracing::error!(cluster = %config.name, %error, "no code for this cluster"),
        )
        .ok()
}

#[cfg(test)]
mod tests;
