//! Many seeds on several threads: each run is alone on its thread, and one seed gives one run wherever it runs.

use super::moods::Choice;
use super::stats::Stats;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Between two lines of progress.
const SAY: Duration = Duration::from_secs(10);

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
}

impl Default for Runs {
    fn default() -> Self {
        Runs {
            from: 0,
            seeds: 1000,
            jobs: thread::available_parallelism().map_or(1, usize::from),
            moods: Choice::Usual,
        }
    }
}

/// What came of many runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// Runs that ended.
    pub done: u64,
    /// Runs in which an invariant was violated.
    pub failed: u64,
    /// What was injected in the others.
    pub stats: Stats,
}

/// Runs all seeds. `prepare` is called on each thread first, `failed` with each violation as it is found, `progress` with
/// a line now and then.
pub fn run(
    runs: &Runs,
    prepare: impl Fn() + Sync,
    failed: impl Fn(u64, &str),
    progress: impl Fn(&str),
) -> Sum {
    let next = AtomicU64::new(runs.from);
    let end = runs.from.saturating_add(runs.seeds);
    let (sender, outcomes) = mpsc::sync_channel(64);
    let mut sum = Sum::default();
    thread::scope(|scope| {
        for _ in 0..runs.jobs {
            let (sender, next, prepare) = (sender.clone(), &next, &prepare);
            scope.spawn(move || {
                prepare();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end
                        || sender
                            .send((seed, super::run_in(seed, runs.moods)))
                            .is_err()
                    {
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
                    failed(seed, &what);
                }
            }
            if said.elapsed() >= SAY {
                said = Instant::now();
                progress(&line(&sum, runs.seeds, began.elapsed()));
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
