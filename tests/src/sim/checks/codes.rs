//! Invariant 1: at its vector, the codes of a fused member in sync are the sum of coefficient times data.

use crate::sim::server::Node;
use crate::sim::world::World;
use fusion_core::fused_store::FusedStore;
use fusion_core::id::PrimaryIndex;
use fusion_core::page::{PageId, is_zero};

/// Looks at every fused member in sync.
///
/// # Panics
/// When one has other codes.
pub fn check(world: &World) {
    for seat in world.store.config.in_sync() {
        let server = world.servers.get(&seat.host.server);
        let Some(Node::Fused(fused)) = server.and_then(|s| s.nodes.get(&seat.id)) else {
            continue;
        };
        // A learner that has not heard yet that it is one no more cannot be compared.
        if fused.config().fused_seat(seat.id).map(|s| s.state) != Some(seat.state) {
            continue;
        }
        let code = world.code.clone();
        let mut expected = FusedStore::learner(code, seat.row).expect("a row");
        for (j, &v) in fused.vector().iter().enumerate() {
            if v.0 == 0 {
                continue;
            }
            let line = &world.truth.lines[j];
            let states = world.truth.states.get(&line.active);
            let Some(pages) = states.and_then(|s| s.get(&v)) else {
                panic!(
                    "invariant 1: row {} has change {v} of primary {j}, which was never made",
                    seat.row
                );
            };
            for (id, page) in pages.iter() {
                let j = PrimaryIndex(j as u16);
                expected.add_page(j, id, page).expect("a page");
            }
        }
        assert!(
            same(fused.store().pages().iter(), expected.pages().iter()),
            "invariant 1: the codes of row {} are not those of its vector {:?}",
            seat.row,
            fused.vector()
        );
    }
}

/// Whether two tables hold the same, each given by class and number; a page of zeros is as none.
#[must_use]
pub fn same<'a>(
    a: impl Iterator<Item = (PageId, &'a [u8])>,
    b: impl Iterator<Item = (PageId, &'a [u8])>,
) -> bool {
    let a = a.filter(|(_, page)| !is_zero(page));
    a.eq(b.filter(|(_, page)| !is_zero(page)))
}
