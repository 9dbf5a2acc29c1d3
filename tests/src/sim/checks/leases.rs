//! Invariant 7, second half: nobody reads under a lease that is over. Whoever reads is the active primary at that
//! true moment, or there is no other active one yet.

use crate::sim::world::World;
use fusion_core::config::PrimaryState;
use fusion_core::id::{MemberId, PrimaryIndex};

/// A primary executes a read.
///
/// # Panics
/// When another one is active.
pub fn on_read(world: &World, index: PrimaryIndex, member: MemberId) {
    let seat = &world.store.config.primaries[index.index()];
    // One that was moved reads on until the other serves.
    let moved = seat.moved_from.as_ref().is_some_and(|f| f.id == member);
    let still = moved && !world.truth.served.contains(&seat.id);
    assert!(
        seat.id == member || seat.state == PrimaryState::Lost || still,
        "invariant 7: member {member} reads as primary {index} while {} is active",
        seat.id
    );
}
