//! Many seeds on several threads: each run is alone on its thread, and one seed gives one run wherever it runs.

use super::moods::Choice;
use super::stats::Stats;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Between two lines of progress, in the first minute and later.
const SAY: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(60)];

/// Which seeds, and how.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    /// The first one.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// On how many threads.
    pub jobs: usize,
    /// In which moods.
    pub moods: Choice,
    /// No run begins after this many have failed.
    pub most_failures: u64,
}

impl Default for Runs {
    fn default() -> Self {
        Runs {
            from: 0,
            seeds: 1000,
            jobs: thread::available_parallelism().map_or(1, usize::from),
            moods: Choice::Usual,
            most_failures: u64::MAX,
        }
    }
}

/// What came of many runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// Runs that ended: all from the first one on, without a gap.
    pub done: u64,
    /// Runs in which an invariant was violated.
    pub failed: u64,
    /// What was injected in the others.
    pub stats: Stats,
}

/// Who is told what, and who may end it all.
pub struct Hooks<'a> {
    /// Called on each thread first.
    pub prepare: &'a (dyn Fn() + Sync),
    /// Called with each violation as it is found.
    pub failed: &'a dyn Fn(u64, &str),
    /// Called with a line now and then.
    pub progress: &'a dyn Fn(&str),
    /// Once it is set no run begins; those that have begun end.
    pub stop: &'a AtomicBool,
}

/// Runs all seeds, or as many as begin before it is stopped.
pub fn run(runs: &Runs, hooks: &Hooks) -> Sum {
    let next = AtomicU64::new(runs.from);
    let end = runs.from.saturating_add(runs.seeds);
    let (sender, outcomes) = mpsc::sync_channel(64);
    let mut sum = Sum::default();
    thread::scope(|scope| {
        for _ in 0..runs.jobs {
            let (sender, next, prepare, stop) = (sender.clone(), &next, hooks.prepare, hooks.stop);
            scope.spawn(move || {
                prepare();
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = super::run_in(seed, runs.moods);
                    if sender.send((seed, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let began = Instant::now();
        let mut said = began;
        for (seed, outcome) in outcomes {
            sum.done += 1;
            match outcome {
                Ok(stats) => sum.stats += stats,
                Err(what) => {
                    sum.failed += 1;
                    (hooks.failed)(seed, &what);
                    if sum.failed >= runs.most_failures {
                        hooks.stop.store(true, Ordering::Relaxed);
                    }
                }
            }
            let is_later = began.elapsed() >= SAY[1];
            if said.elapsed() >= SAY[usize::from(is_later)] {
                said = Instant::now();
                (hooks.progress)(&line(&sum, runs.seeds, began.elapsed()));
            }
        }
    });
    sum
}

fn line(sum: &Sum, of: u64, since: Duration) -> String {
    let speed = sum.done as f64 / since.as_secs_f64();
    let left = (of - sum.done) as f64 / speed / 60.0;
    format!(
        "{} of {of} runs, {} failed, {:.1} virtual hours, {speed:.0} runs/s, {left:.0} min left",
        sum.done,
        sum.failed,
        sum.stats.virtual_hours()
    )
}

/// The least of the first `most` seeds that fails, and how.
pub fn first_failure(most: u64, jobs: usize, prepare: impl Fn() + Sync) -> Option<(u64, String)> {
    let (next, least) = (AtomicU64::new(0), AtomicU64::new(most));
    let look = &|| {
        prepare();
        let mut found = None;
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            // A thread that is behind may yet find a lesser one.
            if seed >= least.load(Ordering::Relaxed) {
                return found;
            }
            if let Err(what) = super::run(seed) {
                least.fetch_min(seed, Ordering::Relaxed);
                found.get_or_insert((seed, what));
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(look)).collect();
        let found = threads.into_iter().filter_map(|t| t.join().ok().flatten());
        found.min_by_key(|(seed, _)| *seed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn hooks<'a>(failed: &'a dyn Fn(u64, &str), stop: &'a AtomicBool) -> Hooks<'a> {
        Hooks {
            prepare: &|| {},
            failed,
            progress: &|_| {},
            stop,
        }
    }

    #[test]
    fn runs_that_are_stopped_end_without_a_gap_and_say_how_far_they_came() {
        let stop = AtomicBool::new(false);
        let runs = Runs {
            from: 3,
            seeds: 5,
            jobs: 2,
            ..Runs::default()
        };
        let seen = RefCell::new(Vec::new());
        let failed = |seed: u64, _: &str| seen.borrow_mut().push(seed);
        let sum = run(&runs, &hooks(&failed, &stop));
        assert_eq!((sum.done, sum.failed), (5, 0));
        assert!(sum.stats.events > 0 && seen.borrow().is_empty());
        stop.store(true, Ordering::Relaxed);
        let sum = run(&runs, &hooks(&failed, &stop));
        assert_eq!(sum.done, 0);
    }

    #[cfg(feature = "planted-faults")]
    #[test]
    fn no_run_begins_after_as_many_failures_as_may_be() {
        use fusion_core::fault::{Fault, plant};
        use std::cell::Cell;
        crate::sim::keep_panics_quiet();
        let stop = AtomicBool::new(false);
        let runs = Runs {
            seeds: 1000,
            jobs: 2,
            most_failures: 2,
            ..Runs::default()
        };
        let count = Cell::new(0);
        let failed = |_: u64, _: &str| count.set(count.get() + 1);
        let prepare = || plant(Some(Fault::AckAfterFirst));
        let hooks = Hooks {
            prepare: &prepare,
            ..hooks(&failed, &stop)
        };
        let sum = run(&runs, &hooks);
        let _ = std::panic::take_hook();
        assert_eq!(sum.failed, count.get());
        assert!(sum.failed >= 2 && sum.done < 500, "{sum:?}");
    }
}
