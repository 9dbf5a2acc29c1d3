//! Invariant 11: while at most f members are away and a spare can be reached, some write and some read of each primary
//! succeeds in every window of k T_s.
//!
//! Away, by the truth, is a member that filled a place last, or is to fill it, and has died, or is unwell (paused, slow,
//! cut from what it needs). What a coordinator or an operator has taken from a member that is well is no excuse. In a
//! window the same f members may be away, not f others each moment, and one coordinator must be well all the time.

use crate::sim::nemesis::COORDINATORS;
use crate::sim::world::World;
use fusion_core::id::{MemberId, PrimaryIndex};
use std::collections::{BTreeSet, VecDeque};

/// k: so many times the greatest T_s of the cluster and its coordinators.
pub const WINDOW: u64 = 40;

/// Who was away, and who was served.
#[derive(Debug, Default)]
pub struct Watch {
    /// True moments of the last answered write and read of each primary.
    served: Vec<[u64; 2]>,
    /// The members that were away at each look, the newest last.
    away: VecDeque<(u64, BTreeSet<MemberId>)>,
    /// Since when there is a spare that can be reached.
    spare_since: Option<u64>,
    /// Since when enough codes are in sync: below the floor primaries wait, as they were asked to (rule 53).
    floor_since: Option<u64>,
    /// Since when each coordinator is well.
    coordinator_since: [Option<u64>; COORDINATORS as usize],
}

impl Watch {
    /// Microseconds from look to look.
    pub const EVERY_US: u64 = 50_000;

    /// A client was answered.
    pub fn served(&mut self, index: PrimaryIndex, is_read: bool, now: u64) {
        if self.served.len() <= index.index() {
            self.served.resize(index.index() + 1, [0; 2]);
        }
        self.served[index.index()][usize::from(is_read)] = now;
    }

    /// The beginning of the longest window up to now in which at most `faults` members were away, a spare was there and
    /// one coordinator was well; `None` when that is not so now.
    fn window(&self, faults: usize) -> Option<u64> {
        let mut union = BTreeSet::new();
        let mut start = None;
        for (at, away) in self.away.iter().rev() {
            union.extend(away.iter().copied());
            if union.len() > faults {
                break;
            }
            start = Some(*at);
        }
        let coordinator = self.coordinator_since.iter().flatten().min();
        let served = self.spare_since?.max(self.floor_since?);
        Some(start?.max(served).max(*coordinator?))
    }
}

/// Looks who is away and who was served.
///
/// # Panics
/// When a primary was not served for too long.
pub fn look(world: &mut World) {
    let now = world.now;
    let away = away(world);
    let has_spare = has_spare(world);
    let config = &world.store.config;
    let above = config.in_sync().count() >= usize::from(config.min_in_sync);
    let well = world.coordinators_well();
    let longest = WINDOW * world.longest_suspicion_us();
    let watch = &mut world.watch;
    watch.away.push_back((now, away));
    while watch
        .away
        .front()
        .is_some_and(|(at, _)| at + 2 * longest < now)
    {
        watch.away.pop_front();
    }
    watch.spare_since = has_spare.then(|| watch.spare_since.unwrap_or(now));
    watch.floor_since = above.then(|| watch.floor_since.unwrap_or(now));
    for (since, well) in watch.coordinator_since.iter_mut().zip(well) {
        *since = well.then(|| since.unwrap_or(now));
    }
    let Some(start) = watch.window(world.shape.faults) else {
        return;
    };
    for j in 0..world.shape.primaries {
        let served = watch.served.get(j).copied().unwrap_or_default();
        for (at, what) in served.into_iter().zip(["write", "read"]) {
            let stall = now - start.max(at).min(now);
            world.stats.looks += 1;
            let suspicions = stall * 1000 / (longest / WINDOW);
            world.stats.longest_stall = world.stats.longest_stall.max(suspicions);
            assert!(
                stall < longest,
                "invariant 11: no {what} of primary {j} succeeded for {} ms, though no more than {:?} were away since then; {:?}",
                stall / 1000,
                watch.away.back().map(|(_, away)| away),
                world.store.config
            );
        }
    }
}

fn away(world: &World) -> BTreeSet<MemberId> {
    let config = &world.store.config;
    let unwell =
        |server| !world.servers.contains_key(&server) || world.nemesis.is_afflicted(server);
    let holders = world.truth.holders.values();
    let holders = holders.filter(|h| h.given_up || unwell(h.server));
    let members = config.members();
    let named = members.filter(|&id| config.host_of(id).is_some_and(|h| unwell(h.server)));
    holders.map(|h| h.member).chain(named).collect()
}

fn has_spare(world: &World) -> bool {
    let mut servers = world.servers.keys();
    servers.any(|&server| {
        !world.nemesis.is_afflicted(server)
            && !world.network.has_wrong_address(server)
            && !world.store.draining.contains(&server)
            && !world.store.config.names(server)
    })
}
