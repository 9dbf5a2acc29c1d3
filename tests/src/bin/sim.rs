//! `sim`: many runs of the simulation, with a summary of what was injected.

use fusion_tests::sim::moods::{Choice, Mood, Moods};
use fusion_tests::sim::runner::{self, Hooks, Runs};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const USAGE: &str = "\
usage: sim [--seeds N] [--from SEED] [--seed SEED] [--jobs N] [--most-failures N] [--mood NAME]... [--fault NAME]
       sim --trace SEED [--mood NAME]... [--fault NAME]
       sim --table N [--fault NAME] [--jobs N]

Runs N seeds (1000) from SEED (0) on, or one, on as many threads as there are processors, or N. Says how far it is, and
each seed that fails, as it goes. It may be stopped (Ctrl-C): it ends the runs that have begun, says what came of them and
with which --from to go on; at the latest after --most-failures (100). Each seed draws
its moods from the usual ones; with --mood every run has the moods that are named and no others, `--mood any` draws from
all, `--mood none` leaves all out. --trace prints
what strikes one run and what is decided. --fault breaks the
protocol in one way, --table looks for each such fault, or that one, for at most N seeds, and then by the directed
schedules; both need a build with --profile sim
--features planted-faults.";

fn main() -> ExitCode {
    let mut runs = Runs {
        most_failures: 100,
        ..Runs::default()
    };
    let (mut fault, mut table) = (None, None);
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next();
        if name == "--fault" && value.as_deref().is_some_and(faults::exists) {
            fault = value;
            continue;
        }
        if name == "--mood"
            && let Some(moods) = value.as_deref().and_then(|v| with_mood(runs.moods, v))
        {
            runs.moods = moods;
            continue;
        }
        let Some(value) = value.and_then(|v| v.parse::<u64>().ok()) else {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        };
        match name.as_str() {
            "--seeds" => runs.seeds = value,
            "--from" => runs.from = value,
            "--seed" => (runs.from, runs.seeds) = (value, 1),
            "--trace" => {
                (runs.from, runs.seeds) = (value, 1);
                fusion_tests::sim::trace();
            }
            "--most-failures" if value > 0 => runs.most_failures = value,
            "--jobs" if value > 0 => runs.jobs = value as usize,
            "--table" => table = Some(value),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    fusion_tests::sim::keep_panics_quiet();
    let sound = match table {
        Some(most) => faults::print_table(most, runs.jobs, fault.as_deref()),
        None => run(&runs, fault.as_deref()),
    };
    if sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The choice with a mood of this name beside those chosen before.
fn with_mood(before: Choice, name: &str) -> Option<Choice> {
    let chosen = match before {
        Choice::These(moods) => moods,
        Choice::Usual | Choice::Any => Moods::default(),
    };
    let named = Mood::ALL.iter().find(|m| m.name() == name);
    match (name, named) {
        ("any", _) => Some(Choice::Any),
        ("none", _) => Some(Choice::These(Moods::default())),
        (_, Some(&mood)) => Some(Choice::These(chosen | mood)),
        _ => None,
    }
}

/// Of a violation no more characters are printed where there are many runs; its replay has them all.
const MOST_CHARS: usize = 1500;

fn run(runs: &Runs, fault: Option<&str>) -> bool {
    let began = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_interrupt(&stop);
    let options = options(runs, fault);
    let failed = |seed: u64, what: &str| {
        let end = what.char_indices().nth(MOST_CHARS);
        let end = end
            .filter(|_| runs.seeds > 1)
            .map_or(what.len(), |(at, _)| at);
        println!(
            "seed {seed}: {}\n  replay: sim --seed {seed}{options}",
            &what[..end]
        );
    };
    let hooks = Hooks {
        prepare: &|| faults::plant(fault),
        failed: &failed,
        progress: &|line| eprintln!("{line}"),
        stop: &stop,
    };
    let sum = runner::run(runs, &hooks);
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{} runs, {} failed, {:.2} virtual hours in {seconds:.1} s on {} threads",
        sum.done,
        sum.failed,
        sum.stats.virtual_hours(),
        runs.jobs,
    );
    for (name, count) in sum.stats.table() {
        println!("{count:>14} {}", name.replace('_', " "));
    }
    let left = runs.seeds - sum.done;
    if left > 0 {
        let next = runs.from + sum.done;
        println!("stopped; to go on: sim --from {next} --seeds {left}{options}");
    }
    sum.failed == 0
}

/// What must be said again to have the same runs.
fn options(runs: &Runs, fault: Option<&str>) -> String {
    let moods = match runs.moods {
        Choice::Usual => Vec::new(),
        Choice::Any => vec!["any"],
        Choice::These(moods) if moods == Moods::default() => vec!["none"],
        Choice::These(moods) => {
            let named = Mood::ALL.iter().filter(|&&m| moods.has(m));
            named.map(|m| m.name()).collect()
        }
    };
    let moods = moods.into_iter().map(|name| format!(" --mood {name}"));
    moods
        .chain(fault.map(|name| format!(" --fault {name}")))
        .collect()
}

/// The first interrupt lets what has begun end; the second one ends it all.
fn stop_on_interrupt(stop: &Arc<AtomicBool>) {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime for signals").block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if stop.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
                eprintln!("sim: ends the runs that have begun; once more to end at once");
            }
        });
    });
}

/// Deliberate faults, and what they take to be found.
mod faults {
    #[cfg(feature = "planted-faults")]
    use fusion_core::fault::{self, Fault};

    #[cfg(feature = "planted-faults")]
    fn named(name: &str) -> Option<Fault> {
        Fault::ALL.iter().copied().find(|f| f.name() == name)
    }

    #[cfg(feature = "planted-faults")]
    pub(super) fn exists(name: &str) -> bool {
        named(name).is_some()
    }

    /// For this thread.
    #[cfg(feature = "planted-faults")]
    pub(super) fn plant(name: Option<&str>) {
        fault::plant(name.and_then(named));
    }

    #[cfg(feature = "planted-faults")]
    pub(super) fn print_table(most: u64, jobs: usize, only: Option<&str>) -> bool {
        use fusion_tests::sim::{directed, runner};
        let mut missed = 0;
        println!("| fault | what is broken | seeds | found by |\n|---|---|---|---|");
        let wanted = |fault: &&Fault| only.is_none_or(|name| fault.name() == name);
        for &fault in Fault::ALL.iter().filter(wanted) {
            let chance = runner::first_failure(most, jobs, || fault::plant(Some(fault)));
            fault::plant(Some(fault));
            let mut by_hand = directed::SCHEDULES.iter();
            let (seeds, by) = if let Some((seed, what)) = chance {
                let known = what
                    .strip_prefix("invariant ")
                    .and_then(|w| w.split_once(':'));
                let by = known.map_or("an assertion".to_owned(), |(n, _)| format!("invariant {n}"));
                ((seed + 1).to_string(), by)
            } else if let Some((name, _)) =
                by_hand.find(|schedule| directed::play(schedule).is_err())
            {
                let by = format!("the directed schedule `{name}`");
                (format!("more than {most}"), by)
            } else {
                missed += 1;
                (format!("more than {most}"), "nothing".to_owned())
            };
            println!("| {} | {} | {seeds} | {by} |", fault.name(), fault.what());
        }
        missed == 0
    }

    #[cfg(not(feature = "planted-faults"))]
    pub(super) fn exists(_: &str) -> bool {
        false
    }

    #[cfg(not(feature = "planted-faults"))]
    pub(super) fn plant(_: Option<&str>) {}

    #[cfg(not(feature = "planted-faults"))]
    pub(super) fn print_table(_: u64, _: usize, _: Option<&str>) -> bool {
        eprintln!(
            "sim: this build has no faults to plant; add --profile sim --features planted-faults"
        );
        false
    }
}
