//! Whole clusters on a virtual clock: the core's state machines, driven over a network that delays, reorders, drops,
//! repeats and cuts one way, on servers that crash, restart empty, pause and whose clocks drift, with two coordinators
//! that both act. One seed gives one run.

pub mod adoption;
pub mod agenda;
pub mod checks;
pub mod client;
pub mod coordinator;
pub mod decisions;
pub mod directed;
pub mod moods;
pub mod nemesis;
pub mod network;
pub mod operator;
pub mod process;
pub mod replacing;
pub mod rng;
pub mod runner;
pub mod server;
mod set_back;
pub mod stats;
pub mod truth;
pub mod world;

use checks::liveness::{self, Rest};
use moods::Choice;
use stats::Stats;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use world::World;

/// Runs one seed in the moods that it draws from the usual ones; `Err` says which invariant was violated and how.
///
/// # Errors
/// The message of the checker, or of an assertion of the core itself.
pub fn run(seed: u64) -> Result<Stats, String> {
    run_in(seed, Choice::Usual)
}

/// Runs one seed in chosen moods.
///
/// # Errors
/// As [`run`].
pub fn run_in(seed: u64, moods: Choice) -> Result<Stats, String> {
    caught(|| {
        let mut world = World::in_moods(seed, moods.of(seed));
        let start = world.now;
        let end = start + world.shape.active_us;
        world.run_until(end);
        match liveness::check(&mut world) {
            Rest::Whole => checks::at_the_end(&world),
            Rest::BeyondF => {
                checks::beyond_f::at_the_end(&world);
                world.stats.beyond_f += 1;
            }
        }
        world.stats.virtual_us = world.now - start;
        world.stats
    })
}

/// What comes of it; an assertion that does not hold is its message.
fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        text.unwrap_or_else(|| "a panic without words".to_owned())
    })
}

static TRACED: AtomicBool = AtomicBool::new(false);

/// From now on runs print what strikes them and what is decided: for one seed alone.
pub fn trace() {
    TRACED.store(true, Ordering::Relaxed);
}

/// Prints what happens at a true moment, if runs are traced.
fn told(now: u64, what: impl FnOnce() -> String) {
    if TRACED.load(Ordering::Relaxed) {
        println!("{:>10.1} ms {}", now as f64 / 1000.0, what());
    }
}

/// Panics of a run are results: they are not printed as they happen.
pub fn keep_panics_quiet() {
    std::panic::set_hook(Box::new(|_| {}));
}
