//! A fixed set of seeds of the simulation; `cargo run --release -p fusion-tests --bin sim -- --seeds 100000` runs many.

use fusion_core::id::PrimaryIndex;
use fusion_core::membership::{Plan, Waiting};
use fusion_tests::sim::checks::liveness::{self, Rest};
use fusion_tests::sim::runner::{self, Hooks, Runs};
use fusion_tests::sim::world::World;
use fusion_tests::sim::{self, checks};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const SEEDS: u64 = 1500;

#[test]
fn no_invariant_is_violated_over_a_fixed_set_of_seeds() {
    sim::keep_panics_quiet();
    let failures = RefCell::new(Vec::new());
    let failed = |seed: u64, what: &str| {
        failures.borrow_mut().push(format!(
            "seed {seed}: {what}\n  replay: cargo run -p fusion-tests --bin sim -- --seed {seed}"
        ));
    };
    let runs = Runs {
        seeds: SEEDS,
        ..Runs::default()
    };
    let hooks = Hooks {
        prepare: &|| {},
        failed: &failed,
        progress: &|_| {},
        stop: &AtomicBool::new(false),
    };
    let sum = runner::run(&runs, &hooks).stats;
    let _ = std::panic::take_hook();
    let failures = failures.into_inner();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    println!("{:?}", sum.table());
    // The schedules must bite.
    assert!(sum.recoveries > SEEDS / 2, "{sum:?}");
    assert!(sum.returns > SEEDS / 8, "{sum:?}");
    assert!(sum.promotions > SEEDS, "{sum:?}");
    assert!(sum.conflicts > SEEDS, "{sum:?}");
    assert!(sum.primaries_moved > SEEDS / 2, "{sum:?}");
    assert!(sum.taken_over > SEEDS / 2, "{sum:?}");
    assert!(sum.taken_over <= sum.primaries_moved, "{sum:?}");
    assert!(sum.cancelled > SEEDS / 30, "{sum:?}");
    assert!(sum.unleased > SEEDS, "{sum:?}");
    assert!(sum.beyond_f < SEEDS / 20, "{sum:?}");
    assert!(sum.pairs_cut > SEEDS, "{sum:?}");
    assert!(sum.storms > SEEDS / 8, "{sum:?}");
    assert!(sum.greys > SEEDS / 2, "{sum:?}");
    assert!(sum.other_timings > SEEDS / 2, "{sum:?}");
    assert!(sum.answers_lost > SEEDS / 2, "{sum:?}");
    assert!(sum.late_swaps > SEEDS / 8, "{sum:?}");
    assert!(sum.given_up > SEEDS, "{sum:?}");
    assert!(sum.client_crashes > SEEDS / 4, "{sum:?}");
    assert!(sum.acceptances_refused > SEEDS / 8, "{sum:?}");
    assert!(sum.looks > 100 * SEEDS, "{sum:?}");
}

#[test]
fn directed_schedules_find_nothing_wrong() {
    for schedule in sim::directed::SCHEDULES {
        assert_eq!(sim::directed::play(schedule), Ok(()), "{}", schedule.0);
    }
}

#[test]
fn one_seed_gives_one_run() {
    let again = || sim::run(7).expect("no violation").table();
    assert_eq!(again(), again());
}

/// More than f die at once, and nothing else happens: nobody decides, until an operator does. Then the lost primaries
/// begin empty, and the others have kept everything.
#[test]
fn more_than_f_is_waited_out_until_an_operator_accepts_the_loss() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        world.nemesis.rest();
        let warm = world.now + 1_000_000;
        world.run_until(warm);
        let config = Arc::clone(&world.store.config);
        let (n, f) = (world.shape.primaries, world.shape.faults);
        // All codes and a primary.
        let fused = config.fused.iter().map(|s| s.host.server);
        let victims: Vec<_> = fused.chain([config.primaries[0].host.server]).collect();
        assert_eq!(victims.len(), f + 1);
        victims.into_iter().for_each(|server| world.crash(server));
        let suspicion = world.longest_suspicion_us();
        let later = world.now + 20 * suspicion;
        world.run_until(later);
        // A message of a server that is dead may come late, and is taken for a sign of life until that is over, too.
        let mut plan = world.plan(0);
        for _ in 0..20 {
            if matches!(plan, Plan::Wait(Waiting::MoreThanF { .. })) {
                break;
            }
            let later = world.now + suspicion;
            world.run_until(later);
            plan = world.plan(0);
        }
        assert!(
            matches!(plan, Plan::Wait(Waiting::MoreThanF { .. })),
            "seed {seed}: {plan:?}"
        );
        let kept: Vec<_> = (1..n).map(|j| world.truth.lines[j].writes.len()).collect();
        let lost = world.accept_loss(0).expect("there is a loss");
        assert_eq!(lost, [PrimaryIndex(0)], "seed {seed}");
        assert_eq!(liveness::check(&mut world), Rest::Whole, "seed {seed}");
        checks::at_the_end(&world);
        assert!((1..n).all(|j| world.truth.lines[j].writes.len() >= kept[j - 1]));
    }
}
