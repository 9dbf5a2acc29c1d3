//! Where members are put (PROTOCOL rule 69): never two of one cluster on one host, unless the cluster was made so; at most f
//! of them in one zone where there are zones enough; within that, the least loaded server first. Servers where members were
//! given up come last, or not at all for a while (rule 55).
//!
//! Each member takes the best place that is left when those before it stand. That finds places for all of them whenever
//! there are some: a host is in one zone, and takes one member.

mod spread;

pub use spread::{MayLose, may_lose};

use super::{Evidence, Planner, ServerView};
use crate::config::{Configuration, Host, PrimaryState};
use crate::fault::{Fault, planted};
use crate::id::{PrimaryIndex, ServerId};
use crate::limits::MAX_MEMBERS;
use crate::message::Condition;
use std::collections::{BTreeMap, BTreeSet};

/// A machine, or whatever is lost as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Machine<'a> {
    Named(&'a str),
    /// A server that does not say where it runs: on a machine of its own.
    Of(ServerId),
}

/// Where a server stands. Those that say no zone are in one zone together.
#[derive(Clone, Copy, Debug)]
struct Stand<'a> {
    machine: Machine<'a>,
    zone: &'a str,
}

impl<'a> Stand<'a> {
    fn of(server: ServerId, view: Option<&'a ServerView>) -> Stand<'a> {
        let named = view.filter(|v| !v.host.is_empty() && !planted(Fault::HostsIgnored));
        Stand {
            machine: named.map_or(Machine::Of(server), |v| Machine::Named(&v.host)),
            zone: view.map_or("", |v| &v.zone),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Candidate<'a> {
    server: ServerId,
    view: &'a ServerView,
    stand: Stand<'a>,
    /// Members wait rather than go there (rule 55).
    avoided: bool,
    /// It has less memory than a member takes (rule 70).
    too_small: bool,
    /// How often a member was given up there, and whether others could not reach it lately: the less, the better.
    marks: (u32, bool),
}

impl Candidate<'_> {
    fn is_open(&self) -> bool {
        !self.avoided && !self.too_small
    }

    fn host(&self) -> Host {
        Host {
            server: self.server,
            address: self.view.address.clone(),
        }
    }
}

/// Where members of one cluster stand, and the servers that may take more of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Places<'a> {
    candidates: Vec<Candidate<'a>>,
    servers: Option<&'a BTreeMap<ServerId, ServerView>>,
    on_server: BTreeMap<ServerId, usize>,
    on_machine: BTreeMap<Machine<'a>, usize>,
    in_zone: BTreeMap<&'a str, usize>,
    /// So many in one zone are lost without harm.
    per_zone: usize,
    colocate: bool,
}

fn add<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    *counts.entry(key).or_default() += 1;
}

fn take_one<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
    }
}

fn count<K: Ord>(counts: &BTreeMap<K, usize>, key: &K) -> usize {
    counts.get(key).copied().unwrap_or(0)
}

impl<'a> Places<'a> {
    /// All usable servers, and nobody stands anywhere yet.
    fn new(
        faults: usize,
        colocate: bool,
        servers: &'a BTreeMap<ServerId, ServerView>,
    ) -> Places<'a> {
        let usable = servers.iter().filter(|(_, v)| v.is_usable());
        let candidate = |(&server, view): (&ServerId, &'a ServerView)| Candidate {
            server,
            view,
            stand: Stand::of(server, Some(view)),
            avoided: false,
            too_small: false,
            marks: (0, false),
        };
        Places {
            candidates: usable.map(candidate).collect(),
            servers: Some(servers),
            per_zone: faults,
            colocate,
            ..Places::default()
        }
    }

    fn stand_of(&self, server: ServerId) -> Stand<'a> {
        Stand::of(server, self.servers.and_then(|s| s.get(&server)))
    }

    /// A member stands there.
    fn stand(&mut self, server: ServerId) {
        let stand = self.stand_of(server);
        add(&mut self.on_server, server);
        add(&mut self.on_machine, stand.machine);
        add(&mut self.in_zone, stand.zone);
    }

    /// The member that stands there is to go elsewhere: another process of its machine will do.
    pub(super) fn leave(&mut self, server: ServerId) {
        let stand = self.stand_of(server);
        take_one(&mut self.on_server, &server);
        take_one(&mut self.on_machine, &stand.machine);
        take_one(&mut self.in_zone, &stand.zone);
        self.candidates.retain(|c| c.server != server);
    }

    fn may_take(&self, candidate: &Candidate<'_>) -> bool {
        let alone = count(&self.on_machine, &candidate.stand.machine) == 0;
        self.colocate || (alone && count(&self.on_server, &candidate.server) == 0)
    }

    /// The less, the better.
    fn key(&self, c: &Candidate<'_>) -> impl Ord + use<> {
        let beyond = (count(&self.in_zone, &c.stand.zone) + 1).saturating_sub(self.per_zone);
        (
            c.marks,
            count(&self.on_machine, &c.stand.machine),
            count(&self.on_server, &c.server),
            beyond,
            c.view.load,
            c.server,
        )
    }

    fn best(&self, fits: impl Fn(&Candidate<'_>) -> bool) -> Option<Host> {
        let candidates = self.candidates.iter();
        let may = candidates.filter(|c| c.is_open() && self.may_take(c) && fits(c));
        may.min_by_key(|c| self.key(c)).map(Candidate::host)
    }

    /// Puts a member on the best server that may take it.
    pub(super) fn pop(&mut self) -> Option<Host> {
        let host = self.best(|_| true)?;
        self.stand(host.server);
        Some(host)
    }

    /// As [`pop`](Self::pop), on another server than this one.
    pub(super) fn pop_other_than(&mut self, not: Option<ServerId>) -> Option<Host> {
        let host = self.best(|c| Some(c.server) != not)?;
        self.stand(host.server);
        Some(host)
    }

    /// How many members could be put somewhere, one after another.
    pub(super) fn len(&self) -> usize {
        let free = self.candidates.iter();
        let free = free.filter(|c| c.is_open() && self.may_take(c));
        let machines: BTreeSet<Machine<'_>> = free.map(|c| c.stand.machine).collect();
        match self.colocate && !machines.is_empty() {
            true => MAX_MEMBERS,
            false => machines.len(),
        }
    }

    /// The servers that could take a member, were they not avoided.
    fn avoided(&self) -> Vec<ServerId> {
        let avoided = self.candidates.iter();
        let avoided = avoided.filter(|c| c.avoided && !c.too_small && self.may_take(c));
        avoided.map(|c| c.server).collect()
    }

    /// The servers that could take a member, had they the memory.
    fn too_small(&self) -> Vec<ServerId> {
        let small = self.candidates.iter();
        let small = small.filter(|c| c.too_small && self.may_take(c));
        small.map(|c| c.server).collect()
    }

    /// Puts a member on this server, if it may take it.
    pub(super) fn take(&mut self, server: ServerId) -> Option<Host> {
        let host = self.best(|c| c.server == server)?;
        self.stand(host.server);
        Some(host)
    }
}

/// Chooses a server for each member of a new cluster that is to bear the loss of any `faults` of them (rule 69).
///
/// With `colocate` servers and hosts are used again when there are too few. Answers `None` when there are not enough.
#[must_use]
pub fn place(
    members: usize,
    faults: usize,
    colocate: bool,
    servers: &BTreeMap<ServerId, ServerView>,
) -> Option<Vec<Host>> {
    let mut places = Places::new(faults, colocate, servers);
    (0..members).map(|_| places.pop()).collect()
}

/// Whether the members of this cluster that stand on `server` have somewhere to go. One place is enough: they are moved one
/// after another, and what is left behind by one cannot be taken by the next.
#[must_use]
pub fn has_room_without(
    config: &Configuration,
    server: ServerId,
    servers: &BTreeMap<ServerId, ServerView>,
) -> bool {
    let faults = usize::from(config.faults);
    let mut places = Places::new(faults, config.colocate, servers);
    config.servers().into_iter().for_each(|s| places.stand(s));
    places.leave(server);
    places.best(|_| true).is_some()
}

impl<'a> Planner<'a> {
    /// Where this cluster's members stand that live, and what is free for more.
    pub(super) fn free_servers(&self) -> Places<'a> {
        let c = self.config;
        let mut places = Places::new(usize::from(c.faults), c.colocate, &self.evidence.servers);
        let shunned = self.shunned();
        let takes = self.largest_member();
        for candidate in &mut places.candidates {
            candidate.too_small = candidate.view.room.is_some_and(|room| room < takes);
            let mark = self.evidence.avoided.get(&candidate.server);
            candidate.avoided = mark.is_some_and(|a| a.now);
            candidate.marks = (
                mark.map_or(0, |a| a.times),
                shunned.contains(&candidate.server),
            );
        }
        self.standing().for_each(|server| places.stand(server));
        places
    }

    /// The servers of living members of this cluster, and of primaries that may have their seats again (rule 50).
    fn standing(&self) -> impl Iterator<Item = ServerId> {
        let c = self.config;
        // One that is blamed, or silent on a server that is not, keeps its state there.
        let primaries = c.primaries.iter().filter(|s| match s.state {
            PrimaryState::Lost => !self.dead(s.id, &s.host),
            PrimaryState::Active => {
                let alive = self.suspected_since(&s.host).is_none();
                alive && self.condition(s.id) != Some(Condition::Missing)
            }
        });
        // One that was moved, and whose successor is lost, is of use only if that returns: it keeps nobody else away.
        let taken_over =
            move |j: PrimaryIndex| c.primaries[j.index()].state == PrimaryState::Active;
        let moved = c.moved().filter(move |(j, _)| taken_over(*j));
        let formers = c.formers().chain(moved);
        let formers = formers.filter(|(_, f)| !self.gone(f.id, &f.host));
        let heirs = c.heirs().filter(|(_, h)| !self.dead(h.id, &h.host));
        let fused = c.fused.iter().filter(|s| !self.dead(s.id, &s.host));
        primaries
            .map(|s| s.host.server)
            .chain(heirs.map(|(_, h)| h.host.server))
            .chain(fused.map(|s| s.host.server))
            .chain(formers.map(|(_, f)| f.host.server))
    }

    /// The free servers that are avoided, for those who wait for them.
    pub(super) fn avoided_free(&self) -> Vec<ServerId> {
        self.free_servers().avoided()
    }

    /// The free servers that have too little memory (rule 70).
    pub(super) fn too_small_free(&self) -> Vec<ServerId> {
        self.free_servers().too_small()
    }

    /// About the most bytes that a member of this cluster takes: codes are as long as the longest primary, and a replacement's
    /// image is as long as that.
    pub(super) fn largest_member(&self) -> u64 {
        let reports = self.evidence.reports.values();
        reports.map(|h| h.report.page_bytes).max().unwrap_or(0)
    }

    /// Servers that others could not reach lately, or cannot now: the last to be given members.
    fn shunned(&self) -> BTreeSet<ServerId> {
        let blamed = self.blamed.iter().filter_map(|&id| self.config.host_of(id));
        let blamed = blamed.map(|h| h.server);
        self.config.shunned.iter().copied().chain(blamed).collect()
    }

    /// Whom others could not reach is not put back on the same server as long as there is another, until all is well.
    pub(super) fn shun(&self, next: &mut Configuration) {
        let whole = next.lost().next().is_none()
            && next.in_sync().count() == usize::from(next.faults)
            && next.learners().next().is_none();
        next.shunned = if whole && self.blamed.is_empty() {
            Vec::new()
        } else {
            self.shunned().into_iter().collect()
        };
        let members = next.n() + usize::from(next.faults);
        next.shunned.truncate(members);
    }
}

/// Servers for the members that are made anew, the best first: beside those of the primaries that go on.
pub(super) fn places(
    config: &Configuration,
    evidence: &Evidence,
    lost: &BTreeSet<PrimaryIndex>,
) -> Vec<Host> {
    let faults = usize::from(config.faults);
    let mut places = Places::new(faults, config.colocate, &evidence.servers);
    for (_, seat) in config.active().filter(|(j, _)| !lost.contains(j)) {
        places.stand(seat.host.server);
    }
    let members = config.n() + faults;
    (0..members).map_while(|_| places.pop()).collect()
}

#[cfg(test)]
mod tests;
