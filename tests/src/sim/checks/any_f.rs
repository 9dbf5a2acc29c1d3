//! Any f members may go: when all is whole, every set of primaries is decoded from every choice of codes that could be
//! left with it, and compared with what the primaries hold.

use super::codes::same;
use crate::sim::server::Node;
use crate::sim::world::World;
use fusion_core::decoder::Decoder;
use fusion_core::id::{MemberId, PrimaryIndex, Row, ServerId};
use fusion_core::page::PageTable;
use std::collections::BTreeMap;

/// Takes away each set of at most f primaries, and reads it back from each set of as many codes.
///
/// # Panics
/// When one comes back as something else.
pub fn check(world: &World) {
    let config = &world.store.config;
    let primaries: Vec<PageTable> = config
        .active()
        .map(|(_, seat)| pages(world, seat.host.server, seat.id))
        .collect();
    let codes: BTreeMap<Row, PageTable> = config
        .in_sync()
        .map(|seat| (seat.row, pages(world, seat.host.server, seat.id)))
        .collect();
    let rows: Vec<Row> = codes.keys().copied().collect();
    let all: Vec<PrimaryIndex> = (0..primaries.len() as u16).map(PrimaryIndex).collect();
    for lost in subsets(&all).into_iter().filter(|lost| !lost.is_empty()) {
        for rows in subsets(&rows)
            .into_iter()
            .filter(|rows| rows.len() == lost.len())
        {
            for &target in &lost {
                let mut decoder = Decoder::new(&world.code, &lost, &rows, target)
                    .expect("as many rows as losses");
                for row in &rows {
                    for (id, page) in codes[row].iter() {
                        decoder.add_fused_page(*row, id, page).expect("a page");
                    }
                }
                for &survivor in all.iter().filter(|j| !lost.contains(j)) {
                    for (id, page) in primaries[survivor.index()].iter() {
                        decoder
                            .add_primary_page(survivor, id, page)
                            .expect("a page");
                    }
                }
                assert!(
                    same(decoder.finish().iter(), primaries[target.index()].iter()),
                    "any f: primary {target} comes back as something else when {lost:?} are lost and the codes {rows:?} are used"
                );
            }
        }
    }
}

fn pages(world: &World, server: ServerId, member: MemberId) -> PageTable {
    let server = world.servers.get(&server);
    match server.and_then(|s| s.nodes.get(&member)) {
        Some(Node::Primary(serving)) => serving.primary.structure().snapshot(),
        Some(Node::Fused(fused)) => fused.store().snapshot(),
        other => panic!("any f: member {member} should be whole, and is {other:?}"),
    }
}

fn subsets<T: Copy>(of: &[T]) -> Vec<Vec<T>> {
    let choose = |set: u32| {
        of.iter()
            .enumerate()
            .filter(move |(i, _)| set >> i & 1 == 1)
            .map(|(_, &item)| item)
            .collect()
    };
    (0..1 << of.len()).map(choose).collect()
}
