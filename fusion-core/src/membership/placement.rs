//! Where members are put: the servers that may take one, the best first (PROTOCOL rules 22, 50, 55).

use super::{Evidence, Planner, ServerView};
use crate::config::{Configuration, Host, PrimaryState};
use crate::id::{PrimaryIndex, ServerId};
use crate::message::Condition;
use std::collections::{BTreeMap, BTreeSet};

/// Chooses a server for each member of a new cluster: different ones, the least loaded first.
///
/// With `colocate` servers are used again when there are too few. Answers `None` when there are not enough.
#[must_use]
pub fn place(
    members: usize,
    colocate: bool,
    servers: &BTreeMap<ServerId, ServerView>,
) -> Option<Vec<Host>> {
    let mut alive: Vec<_> = servers.iter().filter(|(_, s)| s.is_usable()).collect();
    alive.sort_by_key(|(id, s)| (s.load, **id));
    if alive.is_empty() || (alive.len() < members && !colocate) {
        return None;
    }
    let hosts = alive.iter().map(|(id, s)| Host {
        server: **id,
        address: s.address.clone(),
    });
    Some(hosts.cycle().take(members).collect())
}

impl Planner<'_> {
    /// Living servers without a member of this cluster, the best one last: those where nothing was given up before
    /// others (rule 55), then the least loaded.
    pub(super) fn free_servers(&self) -> Vec<Host> {
        let c = self.config;
        let (taken, shunned) = (self.taken(), self.shunned());
        let alive = self.evidence.servers.iter().filter(|(_, s)| s.is_usable());
        let alive = alive.filter(|(server, _)| !self.is_avoided(**server));
        let mut alive: Vec<_> = alive
            .map(|(&server, s)| {
                let given_up = self.evidence.avoided.get(&server).map_or(0, |a| a.times);
                let last = (given_up, shunned.contains(&server), s.load);
                (last, server, &s.address)
            })
            .collect();
        alive.sort();
        let host = |&(_, server, address): &(_, ServerId, &String)| Host {
            server,
            address: address.clone(),
        };
        let mut free: Vec<Host> = alive
            .iter()
            .filter(|(_, id, _)| !taken.contains(id))
            .map(host)
            .collect();
        if c.colocate && !alive.is_empty() {
            // Enough further places for every member, spread over the living servers.
            let members = c.n() + usize::from(c.faults);
            free.extend(alive.iter().cycle().take(members).map(host));
        }
        free.reverse();
        free
    }

    /// Servers with a living member of this cluster, or with a primary that may have its seat again (rule 50).
    fn taken(&self) -> BTreeSet<ServerId> {
        let c = self.config;
        // One that is blamed, or silent on a server that is not, keeps its state there.
        let primaries = c.primaries.iter().filter(|s| match s.state {
            PrimaryState::Lost => !self.dead(s.id, &s.host),
            PrimaryState::Active => {
                let alive = self.suspected_since(&s.host).is_none();
                alive && self.condition(s.id) != Some(Condition::Missing)
            }
        });
        let formers = c
            .formers()
            .filter(|(_, f)| self.suspected_since(&f.host).is_none());
        let heirs = c.heirs().filter(|(_, h)| !self.dead(h.id, &h.host));
        let fused = c.fused.iter().filter(|s| !self.dead(s.id, &s.host));
        primaries
            .map(|s| s.host.server)
            .chain(heirs.map(|(_, h)| h.host.server))
            .chain(fused.map(|s| s.host.server))
            .chain(formers.map(|(_, f)| f.host.server))
            .collect()
    }

    /// Whether members wait rather than go there (rule 55).
    fn is_avoided(&self, server: ServerId) -> bool {
        let mark = self.evidence.avoided.get(&server);
        mark.is_some_and(|a| a.now)
    }

    /// The free servers that are avoided, for those who wait for them.
    pub(super) fn avoided_free(&self) -> Vec<ServerId> {
        let taken = self.taken();
        let usable = self.evidence.servers.iter().filter(|(_, s)| s.is_usable());
        let ids = usable.map(|(&id, _)| id);
        ids.filter(|&id| self.is_avoided(id) && (self.config.colocate || !taken.contains(&id)))
            .collect()
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

/// Servers for the members that are made anew, the least loaded first: all but those of the primaries that go on.
pub(super) fn places(
    config: &Configuration,
    evidence: &Evidence,
    lost: &BTreeSet<PrimaryIndex>,
) -> Vec<Host> {
    let goes_on = config.active().filter(|(j, _)| !lost.contains(j));
    let taken: BTreeSet<ServerId> = goes_on.map(|(_, s)| s.host.server).collect();
    let mut usable: Vec<_> = evidence
        .servers
        .iter()
        .filter(|(_, s)| s.is_usable())
        .collect();
    usable.sort_by_key(|(id, s)| (s.load, **id));
    let host = |(&server, s): (&ServerId, &ServerView)| Host {
        server,
        address: s.address.clone(),
    };
    let free = usable.iter().filter(|(id, _)| !taken.contains(id));
    let mut hosts: Vec<Host> = free.map(|&(id, s)| host((id, s))).collect();
    if config.colocate && !usable.is_empty() {
        let members = config.n() + usize::from(config.faults);
        hosts.extend(
            usable
                .iter()
                .cycle()
                .take(members)
                .map(|&(id, s)| host((id, s))),
        );
    }
    hosts
}
