//! The protocol's state machines under random schedules: messages delayed, reordered, lost and repeated, servers dead
//! at any moment, within the faults that the cluster tolerates at that moment.
//!
//! One seed gives one run. `FUSION_SEED=7 cargo test -p fusion-core --test protocol` replays seed 7 alone;
//! `FUSION_SEEDS=100000` runs so many.

mod check;
mod clients;
mod network;
mod servers;
mod world;

use world::{Shape, World};

fn seeds() -> Vec<u64> {
    let number = |name| {
        std::env::var(name)
            .ok()
            .map(|n| n.parse().expect("a number"))
    };
    match number("FUSION_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("FUSION_SEEDS").unwrap_or(1500)).collect(),
    }
}

fn run_all(name: &str, shape: Shape) {
    let mut faults = 0;
    let mut recovered = 0;
    for seed in seeds() {
        let outcome = std::panic::catch_unwind(|| {
            let mut world = World::new(seed, shape);
            for _ in 0..shape.steps {
                world.step();
            }
            world.calm();
            check::everything(&mut world);
            (world.crashes, world.recoveries)
        });
        match outcome {
            Ok((crashes, recoveries)) => {
                faults += crashes;
                recovered += recoveries;
            }
            Err(panic) => {
                eprintln!(
                    "replay: FUSION_SEED={seed} cargo test -p fusion-core --test protocol {name}"
                );
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{name}: {faults} crashes, {recovered} primaries recovered");
    let seeds = seeds().len() as u64;
    if seeds > 1 {
        assert!(
            faults > seeds && recovered > seeds / 2,
            "the schedules must bite: {faults}, {recovered}"
        );
    }
}

#[test]
fn no_acknowledged_change_is_lost_or_made_twice_with_3_and_2() {
    run_all(
        "no_acknowledged_change_is_lost_or_made_twice_with_3_and_2",
        Shape {
            primaries: 3,
            faults: 2,
            spares: 3,
            steps: 3000,
        },
    );
}

#[test]
fn no_acknowledged_change_is_lost_or_made_twice_with_3_and_3() {
    run_all(
        "no_acknowledged_change_is_lost_or_made_twice_with_3_and_3",
        Shape {
            primaries: 3,
            faults: 3,
            spares: 4,
            steps: 4000,
        },
    );
}

#[test]
fn no_acknowledged_change_is_lost_or_made_twice_with_one_copy() {
    run_all(
        "no_acknowledged_change_is_lost_or_made_twice_with_one_copy",
        Shape {
            primaries: 1,
            faults: 1,
            spares: 2,
            steps: 2000,
        },
    );
}
