//! Invariant 8, second half: the log covers (stable, v]. Whoever has a change of a primary can hand it to everybody in
//! sync who has not, which is what a recovery rests on (PROTOCOL rules 20, 29).

use crate::sim::server::Node;
use crate::sim::world::World;
use fusion_core::fused::Fused;
use fusion_core::id::PrimaryIndex;

/// Looks at the logs of every fused member in sync, and of every primary.
///
/// # Panics
/// When one does not reach back to what another one stands at.
pub fn check(world: &World) {
    let config = &world.store.config;
    let fused: Vec<&Fused> = config
        .in_sync()
        .filter(|seat| !world.is_forgetful(seat.id))
        .filter_map(|seat| {
            let server = world.servers.get(&seat.host.server)?;
            match server.nodes.get(&seat.id)? {
                Node::Fused(fused) if fused.config().epoch == config.epoch => Some(&**fused),
                _ => None,
            }
        })
        .collect();
    let vectors: Vec<_> = fused.iter().map(|f| f.vector()).collect();
    for j in (0..config.n() as u16).map(PrimaryIndex) {
        let Some(least) = vectors.iter().map(|v| v[j.index()]).min() else {
            continue;
        };
        for holder in &fused {
            let base = holder.keeps_after(j);
            assert!(
                base <= least,
                "invariant 8: row {} keeps changes of primary {j} after {base}, but a code in sync stands at {least}",
                holder.row()
            );
        }
        let seat = &config.primaries[j.index()];
        let server = world.servers.get(&seat.host.server);
        if let Some(Node::Primary(s)) = server.and_then(|s| s.nodes.get(&seat.id))
            && s.primary.config().epoch == config.epoch
        {
            let base = s.primary.keeps_after();
            assert!(
                base <= s.primary.stable() && base <= least,
                "invariant 8: primary {j} keeps changes after {base}, but a code in sync stands at {least}"
            );
        }
    }
}
