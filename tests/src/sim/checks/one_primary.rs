//! Invariant 7, first half: at most one primary an epoch gives answers for an index.

use crate::sim::world::World;
use fusion_core::id::{Epoch, MemberId, PrimaryIndex};

/// A primary gives an answer.
///
/// # Panics
/// When another one did in the same epoch.
pub fn on_answer(world: &mut World, epoch: Epoch, index: PrimaryIndex, member: MemberId) {
    let known = world
        .truth
        .acknowledging
        .entry((epoch, index))
        .or_insert(member);
    assert_eq!(
        *known, member,
        "invariant 7: two primaries {index} give answers in epoch {epoch}"
    );
}
