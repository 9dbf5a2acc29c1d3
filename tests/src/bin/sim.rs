//! `sim`: many runs of the simulation, with a summary of what was injected.

use fusion_tests::sim::{self, stats::Stats};
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "usage: sim [--seeds N] [--from SEED] [--seed SEED] [--fault NAME]; or: sim --table N, \
                     built with --profile sim --features planted-faults: each deliberate fault, at most N seeds";

fn main() -> ExitCode {
    let (mut from, mut seeds) = (0u64, 1000u64);
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next();
        if name == "--fault" && value.as_deref().is_some_and(table::plant) {
            continue;
        }
        let Some(value) = value.and_then(|v| v.parse().ok()) else {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        };
        match name.as_str() {
            "--seeds" => seeds = value,
            "--from" => from = value,
            "--seed" => (from, seeds) = (value, 1),
            "--table" => return table::print(value),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::FAILURE;
            }
        }
    }
    sim::keep_panics_quiet();
    let began = Instant::now();
    let mut sum = Stats::default();
    let mut failed = 0u64;
    for seed in from..from + seeds {
        match sim::run(seed) {
            Ok(stats) => sum += stats,
            Err(what) => {
                failed += 1;
                println!("seed {seed}: {what}\n  replay: sim --seed {seed}");
            }
        }
    }
    let hours = sum.virtual_us as f64 / 3.6e9;
    println!(
        "{seeds} runs, {failed} failed, {hours:.2} virtual hours in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    for (name, count) in sum.table() {
        println!("{count:>12} {name}");
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What deliberate faults take to be found.
mod table {
    use std::process::ExitCode;

    #[cfg(feature = "planted-faults")]
    pub(super) fn plant(name: &str) -> bool {
        use fusion_core::fault::{Fault, plant};
        let fault = Fault::ALL.iter().find(|f| f.name() == name);
        plant(fault.copied());
        fault.is_some()
    }

    #[cfg(not(feature = "planted-faults"))]
    pub(super) fn plant(_: &str) -> bool {
        false
    }

    #[cfg(feature = "planted-faults")]
    pub(super) fn print(most: u64) -> ExitCode {
        use fusion_core::fault::{Fault, plant};
        use fusion_tests::sim;
        sim::keep_panics_quiet();
        let mut missed = 0;
        println!("| fault | what is broken | seeds | found by |\n|---|---|---|---|");
        for &fault in Fault::ALL {
            plant(Some(fault));
            let chance = (0..most).find_map(|seed| Some((seed, sim::run(seed).err()?)));
            let mut by_hand = sim::directed::SCHEDULES.iter();
            let (seeds, by) = if let Some((seed, what)) = chance {
                let known = what.strip_prefix("invariant ").and_then(|w| w.get(..1));
                let by = known.map_or("an assertion".to_owned(), |n| format!("invariant {n}"));
                ((seed + 1).to_string(), by)
            } else if let Some((name, _)) = by_hand.find(|(_, run)| run().is_err()) {
                (
                    format!("more than {most}"),
                    format!("the directed schedule `{name}`"),
                )
            } else {
                missed += 1;
                (format!("more than {most}"), "nothing".to_owned())
            };
            println!("| {} | {} | {seeds} | {by} |", fault.name(), fault.what());
        }
        if missed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    #[cfg(not(feature = "planted-faults"))]
    pub(super) fn print(_: u64) -> ExitCode {
        eprintln!(
            "sim: this build has no faults to plant; add --profile sim --features planted-faults"
        );
        ExitCode::FAILURE
    }
}
