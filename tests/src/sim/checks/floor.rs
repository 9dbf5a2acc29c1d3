//! Rule 53: nothing is answered that rests on a change which fewer codes have than the cluster was asked to keep.

use crate::sim::server::{Node, Server};
use crate::sim::world::World;
use fusion_core::id::{PrimaryIndex, Seq};

/// A server has heard something: what its codes have now, they have had, whatever becomes of them.
pub fn on_heard(world: &mut World, server: &Server) {
    if world.store.config.min_in_sync == 0 {
        return;
    }
    for (&id, node) in &server.nodes {
        let Node::Fused(fused) = node else { continue };
        for (j, &seq) in fused.vector().iter().enumerate() {
            let key = (id, PrimaryIndex(j as u16));
            let had = world.truth.had.entry(key).or_default();
            *had = seq.max(*had);
        }
    }
}

/// A primary answers what rests on change `after`.
///
/// # Panics
/// When too few codes that were ever in sync have had it.
pub fn on_answer(world: &World, index: PrimaryIndex, after: Seq) {
    let floor = usize::from(world.store.config.min_in_sync);
    let codes = world.truth.codes.iter();
    let had = codes.filter(|&&id| {
        let had = world.truth.had.get(&(id, index));
        had.is_some_and(|&seq| seq >= after)
    });
    let had = had.take(floor).count();
    assert!(
        had >= floor,
        "invariant 12: what rests on change {after} of primary {index} is answered, and {had} of at least {floor} codes have it"
    );
}
