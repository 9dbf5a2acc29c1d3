//! Invariant 9: after faults stop, everything becomes available within a stated time.

use crate::sim::moods::Mood;
use crate::sim::server::Node;
use crate::sim::world::World;
use fusion_core::membership::{Plan, Waiting};

/// How the quiet ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Everything serves, and everybody is answered.
    Whole,
    /// More than f were lost at once: only an operator can help.
    BeyondF,
}

/// Whether all serve, f codes are in sync, all changes are stable and all clients answered.
#[must_use]
pub fn is_whole(world: &World) -> bool {
    let config = &world.store.config;
    let level = config.active().all(|(_, seat)| {
        let server = world.servers.get(&seat.host.server);
        match server.and_then(|s| s.nodes.get(&seat.id)) {
            Some(Node::Primary(s)) => {
                s.primary.config().epoch == config.epoch
                    && s.primary.stable() == s.primary.applied()
            }
            _ => false,
        }
    });
    // One that has died, or was set back, is in sync as long as nobody has noticed.
    let coded = config.in_sync().all(|seat| {
        let server = world.servers.get(&seat.host.server);
        let is_there = matches!(
            server.and_then(|s| s.nodes.get(&seat.id)),
            Some(Node::Fused(_))
        );
        is_there && !world.is_forgetful(seat.id)
    });
    level
        && coded
        && config.lost().next().is_none()
        && config.in_sync().count() == usize::from(config.faults)
        && config.learners().next().is_none()
        && config.heirs().next().is_none()
        && config.moved().next().is_none()
        && world.clients.iter().all(|c| c.is_idle())
}

/// Lets the run come to rest.
///
/// # Panics
/// When it does not.
pub fn check(world: &mut World) -> Rest {
    world.calm();
    world.store.draining.clear();
    // Two suspicions, the longest lease, and many round trips.
    let mut most = 60 * world.longest_suspicion_us() + 10_000_000;
    if world.moods.has(Mood::WrongAddress) || world.moods.has(Mood::HalfReached) {
        // Good servers that were cut off are avoided, too, for up to 32 T_c (rule 55).
        most += 2 * 32 * world.timing.complain_after().as_micros() as u64;
    }
    let end = world.now + most;
    while world.now < end {
        let next = world.now + 50_000;
        world.run_until(next);
        if is_whole(world) {
            return Rest::Whole;
        }
    }
    let plans = [world.plan(0), world.plan(1)];
    let beyond = |p: &Plan| matches!(p, Plan::Wait(Waiting::MoreThanF { .. }));
    if plans.iter().any(beyond) {
        return Rest::BeyondF;
    }
    panic!(
        "invariant 9: not whole {} ms after the last fault: {plans:?} at {:?}",
        most / 1000,
        world.store.config
    );
}
