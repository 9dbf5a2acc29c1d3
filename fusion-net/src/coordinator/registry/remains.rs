//! Removed clusters of which somebody may still hold a part.
//!
//! As long as the coordinator has the record of a removed cluster it tells every server that knows the cluster that it is
//! over. The record may go when that can never be needed again:
//!
//! - Every registered server has said in a heartbeat that it does not know the cluster. Not only those that the last
//!   configuration names: one that was replaced long ago may come back with its members.
//! - It said so when messages of members that told each other of the cluster were over: [`SETTLE_MS`] after anybody was
//!   last heard to know it. Until then a server may be told again by one that has yet to hear of the removal.
//! - A server that is not registered any more was forgotten. Should it live and come back, it is given a new id; it
//!   discards all that it holds then, since no living configuration named it when it was forgotten. Should it not come
//!   back but tell others, they remember what they dropped and take it from nobody.
//!
//! So nobody who comes late has to be told of a cluster whose record is gone, and nobody is: the store may not know a
//! cluster because it was set back, or made anew without that cluster, and its members may be the last ones there are.

use fusion_core::id::{ClusterId, ServerId};
use std::collections::{BTreeMap, BTreeSet};

/// Longer than any message that tells of a cluster is under way.
const SETTLE_MS: u64 = 60_000;
/// How many are forgotten in one go.
const MAX_AT_ONCE: usize = 256;

/// Who is yet to say that it knows nothing of a cluster.
#[derive(Debug)]
struct Rest {
    /// When somebody was last heard to know it.
    since_ms: u64,
    waiting: BTreeSet<ServerId>,
    /// Who has said since it was removed, and not taken back, that it knows nothing of it.
    told: BTreeSet<ServerId>,
}

/// As many as there are records of removed clusters.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    clusters: BTreeMap<ClusterId, Rest>,
}

impl Remains {
    /// A cluster is removed: `servers`, all that are registered, may know it.
    pub(crate) fn removed(&mut self, cluster: ClusterId, servers: BTreeSet<ServerId>, now: u64) {
        let rest = Rest {
            since_ms: now,
            waiting: servers,
            told: BTreeSet::new(),
        };
        self.clusters.insert(cluster, rest);
    }

    /// A server says which clusters it knows; `servers` are all that are registered.
    pub(crate) fn hear(
        &mut self,
        server: ServerId,
        known: &BTreeSet<ClusterId>,
        now: u64,
        servers: impl Fn() -> BTreeSet<ServerId>,
    ) {
        for (cluster, rest) in &mut self.clusters {
            if known.contains(cluster) {
                rest.since_ms = now;
                rest.waiting = servers();
                rest.told.remove(&server);
                continue;
            }
            rest.told.insert(server);
            if now.saturating_sub(rest.since_ms) >= SETTLE_MS {
                rest.waiting.remove(&server);
            }
        }
    }

    /// Those of `servers` that have yet to say that a removed cluster is unknown to them: one that is cut off may serve it on
    /// (PROTOCOL rule 68).
    pub(crate) fn untold(
        &self,
        cluster: ClusterId,
        servers: BTreeSet<ServerId>,
    ) -> BTreeSet<ServerId> {
        match self.clusters.get(&cluster) {
            Some(rest) => &servers - &rest.told,
            // Its record is gone, since everybody has said so.
            None => BTreeSet::new(),
        }
    }

    /// These do not count any more.
    pub(crate) fn forget_servers(&mut self, ids: &[ServerId]) {
        for rest in self.clusters.values_mut() {
            rest.waiting.retain(|id| !ids.contains(id));
        }
    }

    /// Those that nobody holds a part of.
    pub(crate) fn over(&self, now: u64) -> Vec<ClusterId> {
        let over = self.clusters.iter().filter(|(_, rest)| {
            rest.waiting.is_empty() && now.saturating_sub(rest.since_ms) >= SETTLE_MS
        });
        over.map(|(&id, _)| id).take(MAX_AT_ONCE).collect()
    }

    /// Their records are gone.
    pub(crate) fn forget(&mut self, ids: &[ClusterId]) {
        self.clusters.retain(|id, _| !ids.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const C: ClusterId = ClusterId(1);

    fn servers() -> BTreeSet<ServerId> {
        BTreeSet::from([ServerId(1), ServerId(2), ServerId(3)])
    }

    fn hear(remains: &mut Remains, server: u64, knows: bool, now: u64) {
        let known = knows.then_some(C).into_iter().collect();
        remains.hear(ServerId(server), &known, now, servers);
    }

    #[test]
    fn who_has_not_heard_that_a_cluster_is_removed_is_named() {
        let mut remains = Remains::default();
        remains.removed(C, servers(), 5);
        assert_eq!(remains.untold(C, servers()), servers());
        hear(&mut remains, 1, false, 6);
        hear(&mut remains, 2, true, 6);
        hear(&mut remains, 3, false, 6);
        let untold = |remains: &Remains| remains.untold(C, servers());
        assert_eq!(untold(&remains), BTreeSet::from([ServerId(2)]));
        // Another one that had yet to hear of it told it again.
        hear(&mut remains, 1, true, 7);
        hear(&mut remains, 2, false, 7);
        assert_eq!(untold(&remains), BTreeSet::from([ServerId(1)]));
        hear(&mut remains, 1, false, 8);
        assert!(untold(&remains).is_empty());
    }

    #[test]
    fn a_removed_cluster_is_remembered_until_every_server_has_said_that_it_does_not_know_it() {
        let mut remains = Remains::default();
        remains.removed(C, servers(), 0);
        let settled = SETTLE_MS;
        hear(&mut remains, 1, false, settled);
        hear(&mut remains, 2, false, settled);
        assert_eq!(remains.over(settled), []);
        hear(&mut remains, 3, false, settled);
        assert_eq!(remains.over(settled), [C]);
        remains.forget(&[C]);
        assert_eq!(remains.over(settled), []);
    }

    #[test]
    fn what_was_said_before_it_settled_does_not_count() {
        let mut remains = Remains::default();
        remains.removed(C, servers(), 0);
        for server in 1..=3 {
            hear(&mut remains, server, false, 10);
        }
        assert_eq!(remains.over(SETTLE_MS), []);
    }

    #[test]
    fn one_that_comes_late_and_knows_it_starts_the_waiting_again_for_all() {
        let mut remains = Remains::default();
        remains.removed(C, servers(), 0);
        for server in 1..=2 {
            hear(&mut remains, server, false, SETTLE_MS);
        }
        hear(&mut remains, 3, true, SETTLE_MS);
        hear(&mut remains, 3, false, SETTLE_MS + 1);
        assert_eq!(remains.over(SETTLE_MS + 1), []);
        for server in 1..=3 {
            hear(&mut remains, server, false, 2 * SETTLE_MS);
        }
        assert_eq!(remains.over(2 * SETTLE_MS), [C]);
    }

    #[test]
    fn a_server_that_is_forgotten_is_not_waited_for() {
        let mut remains = Remains::default();
        remains.removed(C, servers(), 0);
        remains.forget_servers(&[ServerId(1), ServerId(2), ServerId(3)]);
        assert_eq!(remains.over(SETTLE_MS - 1), []);
        assert_eq!(remains.over(SETTLE_MS), [C]);
    }
}
