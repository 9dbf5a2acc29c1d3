//! Invariant 8: every fused member in sync has all changes up to the stable mark.

use crate::sim::server::Node;
use crate::sim::world::World;
use fusion_core::config::FusedState;

/// Looks at every primary and the fused members in sync of its epoch.
///
/// # Panics
/// When one has less.
pub fn check(world: &World) {
    for server in world.servers.values() {
        for node in server.nodes.values() {
            let Node::Primary(serving) = node else {
                continue;
            };
            let (primary, config) = (&serving.primary, serving.primary.config());
            if primary.is_suspended() || config.epoch != world.store.config.epoch {
                continue;
            }
            for seat in config.in_sync() {
                if world.forgetful.contains_key(&(seat.id, primary.index())) {
                    continue;
                }
                let host = world.servers.get(&seat.host.server);
                let Some(Node::Fused(fused)) = host.and_then(|s| s.nodes.get(&seat.id)) else {
                    continue;
                };
                let seat = fused.config().fused_seat(seat.id);
                if seat.is_some_and(|s| s.state == FusedState::InSync) {
                    let has = fused.vector()[primary.index().index()];
                    assert!(
                        has >= primary.stable(),
                        "invariant 8: primary {} is stable at {} but a code stands at {has}",
                        primary.index(),
                        primary.stable()
                    );
                }
            }
        }
    }
}
