//! Invariant 3: all fused members in sync stand at the recovered change when a replacement is activated.

use crate::sim::server::Node;
use crate::sim::world::World;
use fusion_core::id::PrimaryIndex;
use std::collections::BTreeSet;

/// The store has taken the activation of replacements; its configuration is still the one before.
///
/// # Panics
/// When they do not.
pub fn on_activation(world: &World, indices: &[PrimaryIndex]) {
    for &j in indices {
        let mut stand = BTreeSet::new();
        for seat in world.store.config.in_sync() {
            // Who was set back lacks what it had, until it is told and leaves (rule 63).
            if world.forgetful.contains_key(&(seat.id, j)) {
                continue;
            }
            let server = world.servers.get(&seat.host.server);
            if let Some(Node::Fused(fused)) = server.and_then(|s| s.nodes.get(&seat.id)) {
                stand.insert(fused.vector()[j.index()]);
            }
        }
        assert!(
            stand.len() <= 1,
            "invariant 3: primary {j} is activated while fused members stand at {stand:?}"
        );
    }
}
