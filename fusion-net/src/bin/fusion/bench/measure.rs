//! Tasks that each do one thing after the other as fast as they are answered, and what they measured.

use super::figures::Latencies;
use super::processor;
use super::session::Session;
use super::source::Source;
use serde::Serialize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

/// So many wrong answers are told in words.
const EXAMPLES: usize = 5;

/// How long tasks work.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Window {
    /// Only what ends in `length` after `warm` counts.
    Steady {
        /// Not measured.
        warm: Duration,
        /// Measured.
        length: Duration,
    },
    /// Everything counts that begins in this time.
    For(Duration),
    /// Until there is nothing more to do.
    UntilDone,
}

/// What one run of one action measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Sample {
    /// How many operations, and how long it took.
    pub(crate) operations: u64,
    /// In seconds.
    pub(crate) seconds: f64,
    /// Half of them took no longer, in microseconds.
    pub(crate) p50_us: f64,
    /// 99 of 100.
    pub(crate) p99_us: f64,
    /// 999 of 1000.
    pub(crate) p999_us: f64,
    /// Processor time of all servers for an operation, in microseconds.
    pub(crate) server_cpu_us: f64,
    /// Of this process.
    pub(crate) client_cpu_us: f64,
    /// Wrong answers.
    pub(crate) wrong: u64,
    /// Some of them.
    pub(crate) examples: Vec<String>,
}

impl Sample {
    /// Operations a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.operations as f64 / self.seconds.max(1e-9)
    }

    /// One more wrong answer.
    pub(crate) fn blame(&mut self, what: String) {
        self.wrong += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(what);
        }
    }
}

/// What all tasks find out together. They run on one thread, so nobody waits for it.
#[derive(Debug)]
struct Tally {
    latencies: Latencies,
    wrongs: Sample,
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a task for each session, `batch` steps at a time, beside servers of these process ids.
///
/// # Errors
/// When a side does not answer; wrong answers are counted in the sample.
pub(crate) async fn measure(
    tasks: Vec<(Session, Source)>,
    batch: usize,
    window: Window,
    servers: &[u32],
) -> anyhow::Result<Sample> {
    let tally = Arc::new(Mutex::new(Tally {
        latencies: Latencies::new()?,
        wrongs: Sample::default(),
    }));
    let begin = Instant::now();
    let (from, end) = match window {
        Window::Steady { warm, length } => (begin + warm, Some(begin + warm + length)),
        Window::For(length) => (begin, Some(begin + length)),
        Window::UntilDone => (begin, None),
    };
    // What ends later does not count.
    let until = end.filter(|_| matches!(window, Window::Steady { .. }));
    let mut set = JoinSet::new();
    for (session, source) in tasks {
        let counts = move |at: Instant| at >= from && until.is_none_or(|until| at <= until);
        set.spawn(work(
            session,
            source,
            batch,
            end,
            counts,
            Arc::clone(&tally),
        ));
    }
    let clients = [std::process::id()];
    let look = || {
        (
            Instant::now(),
            processor::time_of(servers),
            processor::time_of(&clients),
        )
    };
    let mut before = look();
    let mut after = None;
    if let Some(until) = until {
        sleep_until(from.into()).await;
        before = look();
        sleep_until(until.into()).await;
        after = Some(look());
    }
    while let Some(done) = set.join_next().await {
        done??;
    }
    let after = after.unwrap_or_else(look);
    let tally = lock(&tally);
    let seconds = match window {
        Window::Steady { length, .. } => length.as_secs_f64(),
        _ => begin.elapsed().as_secs_f64(),
    };
    let mut sample = Sample {
        operations: tally.latencies.count(),
        seconds,
        p50_us: tally.latencies.quantile_us(0.5),
        p99_us: tally.latencies.quantile_us(0.99),
        p999_us: tally.latencies.quantile_us(0.999),
        ..tally.wrongs.clone()
    };
    // Looked at a little early or late: what it comes to in a second is exact.
    let looked = after.0.duration_since(before.0).as_secs_f64().max(1e-9);
    let share = |cpu: Duration| cpu.as_secs_f64() / looked * 1e6 / sample.per_second().max(1e-9);
    let (servers, client) = (
        share(after.1.saturating_sub(before.1)),
        share(after.2.saturating_sub(before.2)),
    );
    (sample.server_cpu_us, sample.client_cpu_us) = (servers, client);
    Ok(sample)
}

async fn work(
    mut session: Session,
    mut source: Source,
    batch: usize,
    end: Option<Instant>,
    counts: impl Fn(Instant) -> bool,
    tally: Arc<Mutex<Tally>>,
) -> anyhow::Result<()> {
    let mut steps = Vec::with_capacity(batch);
    loop {
        steps.clear();
        if end.is_some_and(|end| Instant::now() >= end) {
            return Ok(());
        }
        steps.extend(std::iter::from_fn(|| source.next()).take(batch));
        if steps.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let answers = session.run(&steps).await?;
        let ended = Instant::now();
        let mut tally = lock(&tally);
        if counts(ended) {
            tally
                .latencies
                .add(ended.duration_since(started), steps.len() as u64);
        }
        for (step, answer) in steps.iter().zip(answers) {
            if let Some(wrong) = source.check(step, answer) {
                tally.wrongs.blame(wrong);
            }
        }
    }
}
