//! Writers that go on while servers die, and remember what they were told.

use fusion_net::client::{Error, List, Map, Queue};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How many writers the map has.
const MAP_WRITERS: usize = 16;
/// Each writer rests so long between two writes, so as not to take the processors from the recovery.
const REST: Duration = Duration::from_millis(2);

/// What all writers look at.
#[derive(Debug, Default)]
struct Phase {
    stop: AtomicBool,
    loss: AtomicBool,
}

/// What one writer was told about its writes, which are numbered from 0.
#[derive(Debug, Default)]
pub(crate) struct Diary {
    /// Acknowledged: they must be there, once.
    pub(crate) acknowledged: Vec<u64>,
    /// Perhaps executed: they may be there, once.
    pub(crate) unknown: Vec<u64>,
    /// Surely not executed: they must not be there.
    pub(crate) refused: Vec<(u64, Error)>,
    /// Acknowledged between the loss and the end of the recovery.
    pub(crate) during_loss: u64,
    /// The longest time that one write took.
    pub(crate) longest: Duration,
}

/// All writers.
#[derive(Debug)]
pub(crate) struct Writers {
    phase: Arc<Phase>,
    map: Vec<JoinHandle<Diary>>,
    counters: Vec<JoinHandle<Diary>>,
    lists: Vec<JoinHandle<Diary>>,
    queues: Vec<JoinHandle<Diary>>,
    dequeuer: JoinHandle<(Diary, Vec<String>)>,
}

/// What all writers were told.
#[derive(Debug)]
pub(crate) struct Diaries {
    /// Each put new keys, [`late_key`].
    pub(crate) map: Vec<Diary>,
    /// Each put its numbers to one key, [`counter_key`], in order.
    pub(crate) counters: Vec<Diary>,
    /// Each appended to its own list.
    pub(crate) lists: Vec<Diary>,
    /// Each enqueued to its own queue.
    pub(crate) queues: Vec<Diary>,
    /// One took from queue 0: what it was told, and what it got.
    pub(crate) dequeuer: (Diary, Vec<String>),
}

impl Diaries {
    /// Those that wrote (taking from a queue is a write as well).
    pub(crate) fn all(&self) -> impl Iterator<Item = &Diary> {
        let diaries = self.map.iter().chain(&self.counters).chain(&self.lists);
        diaries.chain(&self.queues).chain([&self.dequeuer.0])
    }
}

/// The key of a map writer's write.
pub(crate) fn late_key(writer: usize, number: u64) -> String {
    format!("late {writer} {number}")
}

/// Writer and number of a key of [`late_key`].
pub(crate) fn parse_late(key: &str) -> Option<(usize, u64)> {
    let (writer, number) = key.strip_prefix("late ")?.split_once(' ')?;
    Some((writer.parse().ok()?, number.parse().ok()?))
}

/// The key that a writer puts its numbers to.
pub(crate) fn counter_key(writer: usize) -> String {
    format!("counter {writer}")
}

impl Writers {
    /// Starts them.
    pub(crate) fn start(
        map: &Map<String, String>,
        lists: &[List<String>],
        queues: &[Queue<String>],
    ) -> Writers {
        let phase = Arc::new(Phase::default());
        let puts = (0..MAP_WRITERS).map(|writer| {
            let (map, phase) = (map.clone(), Arc::clone(&phase));
            tokio::spawn(write(phase, move |number| {
                let map = map.clone();
                async move {
                    map.put(&late_key(writer, number), &number.to_string())
                        .await
                        .map(drop)
                }
            }))
        });
        let puts = puts.collect();
        let counters = (0..lists.len()).map(|writer| {
            let (map, phase) = (map.clone(), Arc::clone(&phase));
            tokio::spawn(write(phase, move |number| {
                let map = map.clone();
                async move {
                    map.put(&counter_key(writer), &number.to_string())
                        .await
                        .map(drop)
                }
            }))
        });
        let counters = counters.collect();
        let appends = lists.iter().cloned().map(|list| {
            tokio::spawn(write(Arc::clone(&phase), move |number| {
                let list = list.clone();
                async move { list.append(&number.to_string()).await.map(drop) }
            }))
        });
        let appends = appends.collect();
        let enqueues = queues.iter().cloned().map(|queue| {
            tokio::spawn(write(Arc::clone(&phase), move |number| {
                let queue = queue.clone();
                async move { queue.enqueue(&number.to_string()).await }
            }))
        });
        let enqueues = enqueues.collect();
        Writers {
            map: puts,
            counters,
            lists: appends,
            queues: enqueues,
            dequeuer: tokio::spawn(dequeue(Arc::clone(&phase), queues[0].clone())),
            phase,
        }
    }

    /// The loss begins or is over.
    pub(crate) fn set_loss(&self, loss: bool) {
        self.phase.loss.store(loss, Ordering::Relaxed);
    }

    /// Lets each finish its write under way, and answers what they were told.
    pub(crate) async fn stop(self) -> anyhow::Result<Diaries> {
        self.phase.stop.store(true, Ordering::Relaxed);
        Ok(Diaries {
            map: futures::future::try_join_all(self.map).await?,
            counters: futures::future::try_join_all(self.counters).await?,
            lists: futures::future::try_join_all(self.lists).await?,
            queues: futures::future::try_join_all(self.queues).await?,
            dequeuer: self.dequeuer.await?,
        })
    }
}

impl Diary {
    fn note(&mut self, number: u64, outcome: Result<(), Error>, took: Duration, phase: &Phase) {
        self.longest = self.longest.max(took);
        match outcome {
            Ok(()) => {
                self.acknowledged.push(number);
                self.during_loss += u64::from(phase.loss.load(Ordering::Relaxed));
            }
            Err(Error::OutcomeUnknown { .. }) => self.unknown.push(number),
            Err(error) => self.refused.push((number, error)),
        }
    }
}

/// Writes number after number.
async fn write<F>(phase: Arc<Phase>, one: impl Fn(u64) -> F) -> Diary
where
    F: Future<Output = Result<(), Error>>,
{
    let mut diary = Diary::default();
    for number in 0.. {
        if phase.stop.load(Ordering::Relaxed) {
            break;
        }
        let started = Instant::now();
        let outcome = one(number).await;
        diary.note(number, outcome, started.elapsed(), &phase);
        tokio::time::sleep(REST).await;
    }
    diary
}

async fn dequeue(phase: Arc<Phase>, queue: Queue<String>) -> (Diary, Vec<String>) {
    let mut diary = Diary::default();
    let mut taken = Vec::new();
    for number in 0.. {
        if phase.stop.load(Ordering::Relaxed) {
            break;
        }
        let started = Instant::now();
        let outcome = queue.dequeue().await.map(|value| taken.extend(value));
        diary.note(number, outcome, started.elapsed(), &phase);
        // Slower than the writer, so that something is left in the queue.
        tokio::time::sleep(2 * REST).await;
    }
    (diary, taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_key_names_writer_and_number() {
        assert_eq!(parse_late(&late_key(3, 17)), Some((3, 17)));
        assert_eq!(parse_late("later"), None);
        assert_eq!(parse_late(&counter_key(1)), None);
    }
}
