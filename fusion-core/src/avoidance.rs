//! Where members were given up before they were of use: servers to be avoided for a while (PROTOCOL rule 55).
//!
//! Kept by one coordinator, of what it saw itself, by cluster: a server that some members cannot reach may be a good
//! one for others. Nothing here is needed for safety.

use crate::config::{Configuration, PrimaryState};
use crate::fault::{Fault, planted};
use crate::id::{ClusterId, MemberId, ServerId};
use std::collections::{BTreeMap, BTreeSet};

/// A server is avoided for at most so many T_c at a time.
pub const MOST_TIMES_COMPLAINT: u64 = 32;
/// At how many servers a member was missed is remembered; two are enough to blame it.
const MOST_MISSED: usize = 4;

/// What a coordinator has seen of a server, for members of one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avoided {
    /// How many members in a row were given up there.
    pub times: u32,
    /// Whether it is given none now. Later it may be, after the others.
    pub now: bool,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    times: u32,
    complain_ms: u64,
    until_ms: u64,
}

impl Mark {
    /// After a long while without a further failure nothing is held against it.
    fn is_stale(&self, now_ms: u64) -> bool {
        now_ms >= self.until_ms + 2 * MOST_TIMES_COMPLAINT * self.complain_ms
    }
}

/// The members of a configuration that are still being made, and where: replacements, learners and heirs.
pub fn provisional(config: &Configuration) -> impl Iterator<Item = (MemberId, ServerId)> + '_ {
    let lost = config.primaries.iter();
    let lost = lost.filter(|s| s.state == PrimaryState::Lost);
    let learners = config.learners().map(|s| (s.id, s.host.server));
    let heirs = config.heirs().map(|(_, h)| (h.id, h.host.server));
    lost.map(|s| (s.id, s.host.server))
        .chain(learners)
        .chain(heirs)
}

/// Where one was missed, and until when that counts.
type Missed = BTreeMap<MemberId, BTreeMap<ServerId, u64>>;

/// The servers that one coordinator avoids. It holds a mark for a server only while members of a cluster fail there.
#[derive(Clone, Debug, Default)]
pub struct Avoidance {
    clusters: BTreeMap<ClusterId, BTreeMap<ServerId, Mark>>,
    missed: BTreeMap<ClusterId, Missed>,
}

impl Avoidance {
    /// A member that was being made there was given up: the server is avoided for T_c, twice as long each time.
    pub fn given_up(&mut self, config: &Configuration, server: ServerId, now_ms: u64) {
        let complain_ms = config.timing.complain_after().as_millis() as u64;
        let marks = self.clusters.entry(config.cluster).or_default();
        marks.retain(|_, mark| !mark.is_stale(now_ms));
        let mark = marks.entry(server).or_insert(Mark {
            times: 0,
            complain_ms,
            until_ms: 0,
        });
        let times_complaint = 1u64.checked_shl(mark.times).unwrap_or(MOST_TIMES_COMPLAINT);
        let wait_ms = complain_ms * times_complaint.min(MOST_TIMES_COMPLAINT);
        mark.times = mark.times.saturating_add(1);
        mark.until_ms = now_ms + wait_ms;
    }

    /// A member that was being made there is in sync, or Active.
    pub fn succeeded(&mut self, cluster: ClusterId, server: ServerId) {
        if let Some(marks) = self.clusters.get_mut(&cluster) {
            marks.remove(&server);
            if marks.is_empty() {
                self.clusters.remove(&cluster);
            }
        }
    }

    /// A member that was being made there was given up, and could hear everybody that it needs but this one: where that
    /// happens at another server, too, it is rather the fault of the one that is missed (rule 51). Counts for as long as
    /// a server is avoided at most.
    pub fn missed(&mut self, config: &Configuration, one: MemberId, server: ServerId, now_ms: u64) {
        let complain_ms = config.timing.complain_after().as_millis() as u64;
        let missed = self.missed.entry(config.cluster).or_default();
        missed.retain(|&id, at| {
            at.retain(|_, until_ms| now_ms < *until_ms);
            !at.is_empty() && config.host_of(id).is_some()
        });
        let until_ms = now_ms + MOST_TIMES_COMPLAINT * complain_ms;
        let at = missed.entry(one).or_default();
        if at.len() < MOST_MISSED || at.contains_key(&server) {
            at.insert(server, until_ms);
        }
    }

    /// A replacement has heard everybody that it needs: nobody is missed any more.
    pub fn reached(&mut self, cluster: ClusterId) {
        self.missed.remove(&cluster);
    }

    /// Who was missed, and at which servers.
    #[must_use]
    pub fn missed_of(
        &self,
        cluster: ClusterId,
        now_ms: u64,
    ) -> BTreeMap<MemberId, BTreeSet<ServerId>> {
        let missed = self.missed.get(&cluster).into_iter().flatten();
        let current = missed.map(|(&id, at)| {
            let at = at.iter().filter(|(_, until_ms)| now_ms < **until_ms);
            (id, at.map(|(&server, _)| server).collect::<BTreeSet<_>>())
        });
        current.filter(|(_, at)| !at.is_empty()).collect()
    }

    /// The cluster was removed.
    pub fn forget(&mut self, cluster: ClusterId) {
        self.clusters.remove(&cluster);
        self.missed.remove(&cluster);
    }

    /// What is held against servers, for members of a cluster.
    #[must_use]
    pub fn of(&self, cluster: ClusterId, now_ms: u64) -> BTreeMap<ServerId, Avoided> {
        if planted(Fault::NoBackOff) {
            return BTreeMap::new();
        }
        let marks = self.clusters.get(&cluster).into_iter().flatten();
        let held = marks.filter(|(_, mark)| !mark.is_stale(now_ms));
        held.map(|(&server, mark)| {
            let (times, now) = (mark.times, now_ms < mark.until_ms);
            (server, Avoided { times, now })
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClusterShape, Host};
    use crate::op::Kind;

    fn config() -> Configuration {
        let shape = ClusterShape::new("c", Kind::Map, 1, 1, false).unwrap();
        let hosts = [1, 2].map(|i| Host {
            server: ServerId(i),
            address: String::new(),
        });
        Configuration::create(1, ClusterId(1), 1, &shape, &hosts)
    }

    #[test]
    fn a_server_where_members_fail_is_avoided_twice_as_long_each_time_up_to_a_bound() {
        let config = config();
        let complain_ms = config.timing.complain_after().as_millis() as u64;
        let mut avoidance = Avoidance::default();
        let server = ServerId(3);
        let mut now = 1000;
        for times in [1, 2, 4, 8, 16, 32, 32, 32] {
            avoidance.given_up(&config, server, now);
            now += times * complain_ms;
            let held = |at: u64| avoidance.of(config.cluster, at)[&server];
            assert!(held(now - 1).now, "{times} T_c");
            assert!(!held(now).now, "{times} T_c");
        }
        assert_eq!(avoidance.of(config.cluster, now)[&server].times, 8);
        avoidance.succeeded(config.cluster, server);
        assert_eq!(avoidance.of(config.cluster, now), BTreeMap::new());
    }

    #[test]
    fn who_is_missed_at_several_servers_is_remembered_for_a_while_or_until_it_is_heard() {
        let config = config();
        let (cluster, one) = (config.cluster, MemberId(1));
        let long = MOST_TIMES_COMPLAINT * config.timing.complain_after().as_millis() as u64;
        let mut avoidance = Avoidance::default();
        avoidance.missed(&config, one, ServerId(3), 0);
        avoidance.missed(&config, one, ServerId(4), 10);
        let at = |avoidance: &Avoidance, now| avoidance.missed_of(cluster, now).remove(&one);
        let both = BTreeSet::from([ServerId(3), ServerId(4)]);
        assert_eq!(at(&avoidance, long - 1), Some(both));
        assert_eq!(at(&avoidance, long), Some(BTreeSet::from([ServerId(4)])));
        assert_eq!(at(&avoidance, long + 10), None);
        avoidance.reached(cluster);
        assert_eq!(at(&avoidance, 10), None);
    }

    #[test]
    fn a_failure_of_long_ago_is_held_against_nobody() {
        let config = config();
        let complain_ms = config.timing.complain_after().as_millis() as u64;
        let mut avoidance = Avoidance::default();
        avoidance.given_up(&config, ServerId(3), 0);
        let later = complain_ms * (1 + 2 * MOST_TIMES_COMPLAINT);
        assert_eq!(avoidance.of(config.cluster, later - 1).len(), 1);
        assert_eq!(avoidance.of(config.cluster, later).len(), 0);
        avoidance.given_up(&config, ServerId(3), later);
        assert_eq!(avoidance.of(config.cluster, later)[&ServerId(3)].times, 1);
    }
}
