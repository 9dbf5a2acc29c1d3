//! Members that stand closer together than they must, and what that means (PROTOCOL rule 69).

use super::{Candidate, Places, Stand, count};
use crate::config::{Configuration, Host};
use crate::id::ServerId;
use crate::membership::relocation::{What, begin};
use crate::membership::{Planner, Reason, ServerView, Step};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Of how many any may be lost at a time, without loss of data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MayLose {
    /// Servers: processes.
    pub servers: usize,
    /// Hosts.
    pub hosts: usize,
    /// Zones; `None` where no server says in which zone it is.
    pub zones: Option<usize>,
}

/// Any so many of these may go without more than `tolerates` members.
fn any_of<K: Ord>(members: impl Iterator<Item = K>, tolerates: usize) -> usize {
    let mut counts: BTreeMap<K, usize> = BTreeMap::new();
    for key in members {
        *counts.entry(key).or_default() += 1;
    }
    // The fullest are the worst to lose.
    let mut counts: Vec<usize> = counts.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let lost = counts.iter().scan(0, |sum, members| {
        *sum += members;
        Some(*sum)
    });
    lost.take_while(|&members| members <= tolerates).count()
}

/// What a cluster of which any `tolerates` members may be lost now bears, as its members stand.
#[must_use]
pub fn may_lose(
    config: &Configuration,
    tolerates: usize,
    servers: &BTreeMap<ServerId, ServerView>,
) -> MayLose {
    let primaries = config.primaries.iter().map(|s| s.host.server);
    let fused = config.in_sync().map(|s| s.host.server);
    let members: Vec<ServerId> = primaries.chain(fused).collect();
    let stands: Vec<Stand<'_>> = members
        .iter()
        .map(|&server| Stand::of(server, servers.get(&server)))
        .collect();
    let zoned = servers.values().any(|v| !v.zone.is_empty());
    MayLose {
        servers: any_of(members.iter(), tolerates),
        hosts: any_of(stands.iter().map(|s| &s.machine), tolerates),
        zones: zoned.then(|| any_of(stands.iter().map(|s| &s.zone), tolerates)),
    }
}

impl Places<'_> {
    /// Whether the host of the member on `server` has another one.
    fn shares_host(&self, server: ServerId) -> bool {
        count(&self.on_machine, &self.stand_of(server).machine) > 1
    }

    /// Whether the zone of the member on `server` has more than may be lost with it.
    fn crowds_zone(&self, server: ServerId) -> bool {
        count(&self.in_zone, &self.stand_of(server).zone) > self.per_zone
    }

    /// A better server for the member on `server`, if it stands closer to others than it must: on a host without any, and,
    /// where only the zone is too full, in one that is not.
    ///
    /// Each such move leaves fewer members too many on one host, or as many and fewer too many in one zone: so they end.
    pub(super) fn better(&self, server: ServerId) -> Option<Host> {
        let shares_host = self.shares_host(server);
        if !shares_host && !self.crowds_zone(server) {
            return None;
        }
        let mut left = self.clone();
        left.leave(server);
        let alone = |c: &Candidate<'_>| count(&left.on_machine, &c.stand.machine) == 0;
        let room = |c: &Candidate<'_>| count(&left.in_zone, &c.stand.zone) < left.per_zone;
        left.best(|c| !c.marks.1 && alone(c) && (shares_host || room(c)))
    }
}

impl Planner<'_> {
    /// Rule 69: a member that stands closer to others than it must is moved, one at a time, while the cluster is whole.
    /// Codes first: that stops nobody.
    pub(in crate::membership) fn spread_out(&mut self, next: &mut Configuration) -> Step {
        if !self.is_whole() {
            return Step::Nothing;
        }
        let config = self.config;
        let fused = config.in_sync();
        let fused = fused.map(|s| (What::Row(s.row), s.host.server));
        let primaries = config.active();
        let primaries = primaries.map(|(j, s)| (What::Primary(j), s.host.server));
        for (what, server) in fused.chain(primaries) {
            if let Some(host) = self.free.better(server) {
                begin(next, what, host);
                return Step::Change(Reason::MemberSpreads(what));
            }
        }
        Step::Nothing
    }
}
