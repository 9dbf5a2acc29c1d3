//! The invariants of the protocol, one checker a file. A violation is a panic whose message begins with "invariant".

pub mod any_f;
pub mod available;
pub mod beyond_f;
pub mod codes;
pub mod floor;
pub mod images;
pub mod leases;
pub mod level;
pub mod linearizable;
pub mod liveness;
pub mod logs;
pub mod lost_writes;
pub mod one_primary;
pub mod stable;

use super::world::World;

/// Those that hold at every moment.
pub fn at_any_moment(world: &World) {
    codes::check(world);
    stable::check(world);
    logs::check(world);
}

/// Those that are looked at when everything has come to rest.
pub fn at_the_end(world: &World) {
    at_any_moment(world);
    lost_writes::check(world);
    linearizable::check(world);
    any_f::check(world);
}
