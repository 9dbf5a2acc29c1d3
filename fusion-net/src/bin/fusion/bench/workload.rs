//! Tasks that each do one thing after the other as fast as they are answered, and what they measured.

use crate::table::{Table, count};
use anyhow::ensure;
use bytes::Bytes;
use fusion_core::op::{Op, Reply};
use fusion_net::client::{List, Map, Queue, Raw};
use serde::Serialize;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// The length of a key in bytes.
pub(crate) const KEY_BYTES: usize = 16;
/// A value begins with its key, so that each answer can be checked.
pub(crate) const MIN_VALUE_BYTES: usize = KEY_BYTES;

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// What was done.
    pub(crate) operation: String,
    /// By how many tasks at a time.
    pub(crate) in_flight: usize,
    /// How often, in all.
    pub(crate) operations: u64,
    /// How often a second.
    pub(crate) per_second: u64,
    /// Half took no longer, in microseconds.
    pub(crate) p50_us: u64,
    /// 99 of 100 took no longer, in microseconds.
    pub(crate) p99_us: u64,
}

/// The rows as people read them.
pub(crate) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(["OPERATION", "IN FLIGHT", "PER SECOND", "P50 US", "P99 US"]);
    for row in rows {
        table.row([
            row.operation.clone(),
            row.in_flight.to_string(),
            count(row.per_second),
            count(row.p50_us),
            count(row.p99_us),
        ]);
    }
    table
}

/// How long each operation of a task took.
type Times = Vec<Duration>;

/// Runs `task` with the numbers 0 to `in_flight` at once, and sums up what they measured.
async fn measure<F>(
    operation: &str,
    in_flight: usize,
    task: impl Fn(usize) -> F,
) -> anyhow::Result<Row>
where
    F: Future<Output = anyhow::Result<Times>> + Send + 'static,
{
    let started = Instant::now();
    let mut tasks: JoinSet<_> = (0..in_flight).map(task).collect();
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    let elapsed = started.elapsed();
    times.sort_unstable();
    let at = |percent: usize| {
        let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times.get(index).map_or(0, |t| t.as_micros() as u64)
    };
    Ok(Row {
        operation: operation.to_owned(),
        in_flight,
        operations: times.len() as u64,
        per_second: (times.len() as f64 / elapsed.as_secs_f64()) as u64,
        p50_us: at(50),
        p99_us: at(99),
    })
}

/// Does `one` again and again for some time; the number that it gets counts the operations of all tasks.
async fn closed_loop<F>(
    duration: Duration,
    numbers: Arc<AtomicU64>,
    one: impl Fn(u64) -> F,
) -> anyhow::Result<Times>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let end = Instant::now() + duration;
    let mut times = Vec::new();
    loop {
        let started = Instant::now();
        if started >= end {
            return Ok(times);
        }
        one(numbers.fetch_add(1, Ordering::Relaxed)).await?;
        times.push(started.elapsed());
    }
}

/// Entries of one size: key `i` is a number spread over all bits, and each value begins with its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entries {
    /// How many keys there are.
    pub(crate) keys: u64,
    /// The length of a value.
    pub(crate) value_bytes: usize,
}

impl Entries {
    fn key(number: u64) -> [u8; KEY_BYTES] {
        let mut key = [0; KEY_BYTES];
        key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        key[8..].copy_from_slice(&number.to_be_bytes());
        key
    }

    fn value(self, key: &[u8; KEY_BYTES], version: u64) -> Bytes {
        let mut value = Vec::with_capacity(self.value_bytes);
        value.extend_from_slice(key);
        value.extend_from_slice(&version.to_be_bytes());
        value.resize(self.value_bytes, version as u8);
        value.into()
    }

    /// A key of these, another one each time.
    fn any(self, number: u64) -> u64 {
        number.wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(31) % self.keys
    }

    /// Puts all keys, from `in_flight` tasks.
    pub(crate) async fn fill(
        self,
        name: &str,
        to: &Target,
        in_flight: usize,
    ) -> anyhow::Result<Row> {
        let next = Arc::new(AtomicU64::new(0));
        measure(name, in_flight, |_| {
            let (to, next) = (to.clone(), Arc::clone(&next));
            async move {
                let mut times = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= self.keys {
                        return Ok(times);
                    }
                    let started = Instant::now();
                    self.put(&to, number, 0, false).await?;
                    times.push(started.elapsed());
                }
            }
        })
        .await
    }

    /// Gets all keys, from `in_flight` tasks.
    pub(crate) async fn check(self, to: &Target, in_flight: usize) -> anyhow::Result<Row> {
        let next = Arc::new(AtomicU64::new(0));
        measure("get each", in_flight, |_| {
            let (to, next) = (to.clone(), Arc::clone(&next));
            async move {
                let mut times = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= self.keys {
                        return Ok(times);
                    }
                    let started = Instant::now();
                    self.get(&to, number).await?;
                    times.push(started.elapsed());
                }
            }
        })
        .await
    }

    /// Puts new values to keys that are there.
    pub(crate) async fn puts(
        self,
        to: &Target,
        in_flight: usize,
        duration: Duration,
    ) -> anyhow::Result<Row> {
        let numbers = Arc::new(AtomicU64::new(0));
        measure("map put", in_flight, |_| {
            let (to, numbers) = (to.clone(), Arc::clone(&numbers));
            closed_loop(duration, numbers, move |number| {
                let to = to.clone();
                async move { self.put(&to, self.any(number), number, true).await }
            })
        })
        .await
    }

    /// Gets keys that are there.
    pub(crate) async fn gets(
        self,
        to: &Target,
        in_flight: usize,
        duration: Duration,
    ) -> anyhow::Result<Row> {
        let numbers = Arc::new(AtomicU64::new(0));
        measure("map get", in_flight, |_| {
            let (to, numbers) = (to.clone(), Arc::clone(&numbers));
            closed_loop(duration, numbers, move |number| {
                let to = to.clone();
                async move { self.get(&to, self.any(number)).await }
            })
        })
        .await
    }

    async fn put(self, to: &Target, number: u64, version: u64, known: bool) -> anyhow::Result<()> {
        let key = Self::key(number);
        let op = Op::Put {
            key: Bytes::copy_from_slice(&key),
            value: self.value(&key, version),
        };
        let reply = to.of(&key)?.call(op).await?;
        ensure!(
            reply == Reply::Bool(known),
            "put of key {number} was answered by {reply:?}"
        );
        Ok(())
    }

    async fn get(self, to: &Target, number: u64) -> anyhow::Result<()> {
        let key = Self::key(number);
        let op = Op::Get {
            key: Bytes::copy_from_slice(&key),
        };
        let reply = to.of(&key)?.call(op).await?;
        let right =
            matches!(&reply, Reply::Value(v) if v.len() == self.value_bytes && v.starts_with(&key));
        ensure!(right, "get of key {number} was answered by {reply:?}");
        Ok(())
    }
}

/// Where entries go: over all primaries, or to one.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// By the hash of the key.
    Spread(Map<[u8; KEY_BYTES], ()>),
    /// To this primary.
    One(Raw),
}

impl Target {
    fn of(&self, key: &[u8; KEY_BYTES]) -> anyhow::Result<&Raw> {
        match self {
            Target::Spread(map) => Ok(map.part_of(key)?.raw()),
            Target::One(raw) => Ok(raw),
        }
    }
}

/// Appends to lists in turn; in the end each has as many elements as it answered.
pub(crate) async fn appends(
    lists: &[List<u64>],
    value_bytes: usize,
    in_flight: usize,
    duration: Duration,
) -> anyhow::Result<Row> {
    let numbers = Arc::new(AtomicU64::new(0));
    let value = Bytes::from(vec![7; value_bytes]);
    let row = measure("list append", in_flight, |task| {
        let (raw, value) = (lists[task % lists.len()].raw().clone(), value.clone());
        closed_loop(duration, Arc::clone(&numbers), move |_| {
            let (raw, value) = (raw.clone(), value.clone());
            async move {
                let reply = raw.call(Op::Append { value }).await?;
                ensure!(
                    matches!(reply, Reply::Index(_)),
                    "append was answered by {reply:?}"
                );
                Ok(())
            }
        })
    });
    let row = row.await?;
    let mut len = 0;
    for list in lists {
        len += list.len().await?;
    }
    ensure!(
        len == row.operations,
        "{len} elements after {} appends",
        row.operations
    );
    Ok(row)
}

/// Enqueues numbers to queues in turn, then takes them all: each must come once.
pub(crate) async fn queues(
    queues: &[Queue<u64>],
    in_flight: usize,
    duration: Duration,
) -> anyhow::Result<[Row; 2]> {
    let numbers = Arc::new(AtomicU64::new(0));
    let enqueues = measure("queue enqueue", in_flight, |task| {
        let queue = queues[task % queues.len()].clone();
        closed_loop(duration, Arc::clone(&numbers), move |number| {
            let queue = queue.clone();
            async move { Ok(queue.enqueue(&number).await?) }
        })
    })
    .await?;
    let taken = Arc::new(std::sync::Mutex::new(HashSet::new()));
    let dequeues = measure("queue dequeue", in_flight, |task| {
        let (queue, taken) = (queues[task % queues.len()].clone(), Arc::clone(&taken));
        async move {
            let mut times = Vec::new();
            loop {
                let started = Instant::now();
                let Some(number) = queue.dequeue().await? else {
                    return Ok(times);
                };
                times.push(started.elapsed());
                let new = taken.lock().is_ok_and(|mut taken| taken.insert(number));
                ensure!(new, "{number} was taken twice");
            }
        }
    })
    .await?;
    ensure!(
        dequeues.operations == enqueues.operations,
        "{} taken of {} enqueued",
        dequeues.operations,
        enqueues.operations
    );
    Ok([enqueues, dequeues])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_values_begin_with_them() {
        let entries = Entries {
            keys: 1000,
            value_bytes: 64,
        };
        let keys: HashSet<_> = (0..1000).map(Entries::key).collect();
        assert_eq!(keys.len(), 1000);
        let key = Entries::key(5);
        let value = entries.value(&key, 9);
        assert!(value.starts_with(&key) && value.len() == 64);
        assert!((0..5000).all(|n| entries.any(n) < 1000));
    }

    #[tokio::test]
    async fn percentiles_are_of_all_tasks_together() {
        let row = measure("x", 4, |task| async move {
            Ok(vec![Duration::from_micros(task as u64 + 1); 25])
        });
        let row = row.await.unwrap();
        assert_eq!((row.operations, row.p50_us, row.p99_us), (100, 3, 4));
    }
}
