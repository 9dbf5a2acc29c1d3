//! Where members are put: the servers that may take one, the best first.

use super::{Evidence, Planner, ServerView};
use crate::config::{Configuration, Host};
use crate::id::{PrimaryIndex, ServerId};
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
    pub(super) fn free_servers(&self) -> Vec<Host> {
        let c = self.config;
        let living_primaries = c
            .primaries
            .iter()
            .filter(|s| !self.dead(s.id, &s.host))
            .map(|s| s.host.server);
        let living_fused = c
            .fused
            .iter()
            .filter(|s| !self.dead(s.id, &s.host))
            .map(|s| s.host.server);
        // A primary that was taken for dead may yet have its seat again.
        let living_formers = c
            .formers()
            .filter(|(_, f)| self.suspected_since(&f.host).is_none())
            .map(|(_, f)| f.host.server);
        let heirs = c.heirs().filter(|(_, h)| !self.dead(h.id, &h.host));
        let taken: BTreeSet<ServerId> = living_primaries
            .chain(heirs.map(|(_, h)| h.host.server))
            .chain(living_fused)
            .chain(living_formers)
            .collect();
        let shunned = self.shunned();
        let alive = self.evidence.servers.iter().filter(|(_, s)| s.is_usable());
        let mut alive: Vec<_> = alive
            .map(|(&server, s)| (shunned.contains(&server), s.load, server, &s.address))
            .collect();
        alive.sort();
        let host = |&(_, _, server, address): &(bool, usize, ServerId, &String)| Host {
            server,
            address: address.clone(),
        };
        let mut free: Vec<Host> = alive
            .iter()
            .filter(|(_, _, id, _)| !taken.contains(id))
            .map(host)
            .collect();
        if c.colocate && !alive.is_empty() {
            // Enough further places for every member, spread over the living servers.
            free.extend(
                alive
                    .iter()
                    .cycle()
                    .take(c.n() + usize::from(c.faults))
                    .map(host),
            );
        }
        free.reverse();
        free
    }

    /// Servers that others could not reach lately, or cannot now: the last to be given members.
    pub(super) fn shunned(&self) -> BTreeSet<ServerId> {
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
