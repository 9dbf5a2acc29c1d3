//! Invariant 2: a decoded image is the lost primary's pages at the recovered change, byte for byte.

use super::codes::same;
use crate::sim::world::World;
use fusion_core::heir::{Copy, Heir};
use fusion_core::id::{MemberId, PrimaryIndex, Seq};
use fusion_core::page::PageTable;

/// A replacement has decoded its image.
///
/// # Panics
/// When it is another one.
pub fn on_decoded(
    world: &World,
    member: MemberId,
    index: PrimaryIndex,
    seq: Seq,
    pages: &PageTable,
) {
    let line = &world.truth.lines[index.index()];
    // Another one is the primary by now: this image comes too late, and is nobody's.
    if seq.0 == 0 || line.active > member {
        return;
    }
    let states = world.truth.states.get(&line.active);
    let Some(was) = states.and_then(|s| s.get(&seq)) else {
        panic!("invariant 2: primary {index} was decoded at change {seq}, which was never made");
    };
    assert!(
        same(was, pages),
        "invariant 2: the image of primary {index} at change {seq} is another one"
    );
}

/// An heir has copied the primary that is being moved.
///
/// # Panics
/// When it has other pages than that one had.
pub fn on_copied(world: &World, heir: &Heir, copy: &Copy) {
    let (index, seq) = (heir.index(), copy.seq);
    let primary = heir.config().primaries[index.index()].id;
    let states = world.truth.states.get(&primary);
    let Some(was) = states.and_then(|s| s.get(&seq)) else {
        panic!("invariant 2: primary {index} was copied at change {seq}, which was never made");
    };
    assert!(
        same(was, &copy.pages),
        "invariant 2: the copy of primary {index} at change {seq} is another one"
    );
}
