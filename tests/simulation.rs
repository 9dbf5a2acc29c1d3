//! A fixed set of seeds of the simulation; `cargo run --release -p fusion-tests --bin sim -- --seeds 100000` runs many.

use fusion_tests::sim::{self, stats::Stats};

const SEEDS: u64 = 120;

#[test]
fn no_invariant_is_violated_over_a_fixed_set_of_seeds() {
    sim::keep_panics_quiet();
    let mut sum = Stats::default();
    let mut failures = Vec::new();
    for seed in 0..SEEDS {
        match sim::run(seed) {
            Ok(stats) => sum += stats,
            Err(what) => failures.push(format!(
                "seed {seed}: {what}\n  replay: cargo run -p fusion-tests --bin sim -- --seed {seed}"
            )),
        }
    }
    let _ = std::panic::take_hook();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    println!("{:?}", sum.table());
    // The schedules must bite.
    assert!(sum.recoveries > SEEDS / 2, "{sum:?}");
    assert!(sum.returns > SEEDS / 8, "{sum:?}");
    assert!(sum.promotions > SEEDS, "{sum:?}");
    assert!(sum.conflicts > SEEDS, "{sum:?}");
    assert!(sum.unleased > SEEDS, "{sum:?}");
    assert!(sum.beyond_f < SEEDS / 20, "{sum:?}");
}

#[test]
fn one_seed_gives_one_run() {
    let again = || sim::run(7).expect("no violation").table();
    assert_eq!(again(), again());
}
