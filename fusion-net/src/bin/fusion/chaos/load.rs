//! Writers and readers that record what they are told, all the while.

use bytes::Bytes;
use fusion_core::history::{Operation, Outcome};
use fusion_core::op::{Kind, Op, Reply};
use fusion_net::client::{Client, Error, Raw};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Writers at each primary; each has a session of its own.
pub(super) const WRITERS: u64 = 2;
/// Readers at each primary.
const READERS: u64 = 1;
/// Each rests about so long between two calls.
const REST: Duration = Duration::from_millis(20);
/// Keys of a map, so few that writers meet.
const KEYS: u64 = 12;
/// About so many elements a list or a queue has.
const ELEMENTS: u64 = 40;

/// What all clients of one structure recorded.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    operations: Arc<Mutex<Vec<Operation>>>,
    /// Errors by what they are called; those that the client may never give, with what they said.
    errors: Arc<Mutex<BTreeMap<String, u64>>>,
    wrong: Arc<Mutex<Vec<String>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Record {
    /// Takes everything out.
    pub(super) fn take(&self) -> (Vec<Operation>, BTreeMap<String, u64>, Vec<String>) {
        (
            std::mem::take(&mut lock(&self.operations)),
            std::mem::take(&mut lock(&self.errors)),
            std::mem::take(&mut lock(&self.wrong)),
        )
    }
}

/// One primary structure under load.
#[derive(Debug)]
pub(super) struct Structure {
    /// Its cluster.
    pub(super) cluster: String,
    /// Which primary.
    pub(super) index: usize,
    /// What it is.
    pub(super) kind: Kind,
    /// What its clients recorded.
    pub(super) record: Record,
    /// A way to it beside those of its clients.
    pub(super) raw: Raw,
}

/// All clients.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) structures: Vec<Structure>,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
    began: Instant,
    seed: u64,
    sizes: Vec<usize>,
}

impl Load {
    /// Nobody yet. `sizes` are the lengths of values, of which each writer chooses.
    pub(super) fn new(seed: u64, sizes: Vec<usize>, began: Instant) -> Load {
        Load {
            structures: Vec::new(),
            stop: Arc::default(),
            workers: Vec::new(),
            began,
            seed,
            sizes,
        }
    }

    /// Starts clients of every primary of a cluster.
    pub(super) async fn start(
        &mut self,
        client: &Client,
        name: &str,
        kind: Kind,
        primaries: usize,
    ) -> Result<(), Error> {
        for index in 0..primaries {
            let structure = Structure {
                cluster: name.to_owned(),
                index,
                kind,
                record: Record::default(),
                raw: client.raw(name, index).await?,
            };
            for _ in 0..WRITERS + READERS {
                let number = self.workers.len() as u64;
                let worker = Worker {
                    // A way of its own, and so a session of its own.
                    raw: client.raw(name, index).await?,
                    client: number,
                    writes: number % (WRITERS + READERS) < WRITERS,
                    record: structure.record.clone(),
                    stop: Arc::clone(&self.stop),
                    began: self.began,
                    rng: StdRng::seed_from_u64(self.seed ^ (number << 32)),
                    sizes: self.sizes.clone(),
                    written: 0,
                    seen: BTreeMap::new(),
                };
                self.workers.push(tokio::spawn(worker.run(kind)));
            }
            self.structures.push(structure);
        }
        Ok(())
    }

    /// Ends the load after the calls under way.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for worker in std::mem::take(&mut self.workers) {
            worker.await?;
        }
        Ok(())
    }
}

struct Worker {
    raw: Raw,
    client: u64,
    writes: bool,
    record: Record,
    stop: Arc<AtomicBool>,
    began: Instant,
    rng: StdRng,
    sizes: Vec<usize>,
    written: u64,
    /// The last value that this client knows of each key.
    seen: BTreeMap<Bytes, Bytes>,
}

impl Worker {
    fn now_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    async fn run(mut self, kind: Kind) {
        while !self.stop.load(Ordering::Relaxed) {
            let op = if self.writes {
                self.change(kind)
            } else {
                self.question(kind)
            };
            let invoked_us = self.now_us();
            let answer = self.raw.ask(op.clone()).await;
            let returned_us = self.now_us();
            let outcome = match answer {
                Ok(answer) => {
                    self.learn(&op, &answer.result);
                    let (result, seq) = (answer.result, answer.seq);
                    Outcome::Answered { result, seq }
                }
                Err(error) => self.failed(&error),
            };
            lock(&self.record.operations).push(Operation {
                client: self.client,
                op,
                invoked_us,
                returned_us,
                outcome,
            });
            let rest = self.rng.random_range(REST / 2..REST * 3 / 2);
            tokio::time::sleep(rest).await;
        }
    }

    fn failed(&self, error: &Error) -> Outcome {
        let (name, outcome) = match error {
            Error::OutcomeUnknown { .. } => ("unknown outcome", Outcome::Unknown),
            Error::TimedOut { .. } => ("timed out, nothing changed", Outcome::NoEffect),
            error => {
                lock(&self.record.wrong).push(format!("client {}: {error}", self.client));
                ("other", Outcome::NoEffect)
            }
        };
        *lock(&self.record.errors)
            .entry(name.to_owned())
            .or_default() += 1;
        outcome
    }

    fn learn(&mut self, op: &Op, result: &Result<Reply, fusion_core::op::OpError>) {
        match (op, result) {
            (Op::Put { key, value }, Ok(_)) => {
                self.seen.insert(key.clone(), value.clone());
            }
            (
                Op::CompareAndSwap { key, .. },
                Ok(Reply::Swapped {
                    found: Some(found), ..
                }),
            ) => {
                self.seen.insert(key.clone(), found.clone());
            }
            (Op::Remove { key } | Op::CompareAndSwap { key, .. }, _) => {
                self.seen.remove(key);
            }
            _ => {}
        }
    }

    /// Writer and number, which no other value has, and bytes made of them up to one of the lengths.
    fn value(&mut self) -> Bytes {
        self.written += 1;
        let mut value = format!("{}-{} ", self.client, self.written).into_bytes();
        let len = self.sizes[self.rng.random_range(0..self.sizes.len())];
        let fill = self.written as u8;
        value.resize(len.max(value.len()), fill);
        value.into()
    }

    fn key(&mut self) -> Bytes {
        Bytes::from(format!("key {}", self.rng.random_range(0..KEYS)))
    }

    fn change(&mut self, kind: Kind) -> Op {
        let index = self.rng.random_range(0..ELEMENTS);
        match (kind, self.rng.random_range(0..8)) {
            (Kind::Map, 0 | 1) => Op::Remove { key: self.key() },
            (Kind::Map, 2 | 3) => {
                let key = self.key();
                let expected = self.seen.get(&key).cloned();
                let new = Some(self.value());
                Op::CompareAndSwap { key, expected, new }
            }
            (Kind::Map, _) => {
                let (key, value) = (self.key(), self.value());
                Op::Put { key, value }
            }
            (Kind::List, 0 | 1) => Op::Append {
                value: self.value(),
            },
            (Kind::List, 2 | 3) => Op::Insert {
                index,
                value: self.value(),
            },
            (Kind::List, 4) => Op::SetIndex {
                index,
                value: self.value(),
            },
            (Kind::List, _) => Op::RemoveIndex { index },
            // As many in as out: empty ones are met, too.
            (Kind::Queue, 0..4) => Op::Enqueue {
                value: self.value(),
            },
            (Kind::Queue, _) => Op::Dequeue,
        }
    }

    fn question(&mut self, kind: Kind) -> Op {
        let index = self.rng.random_range(0..ELEMENTS);
        match (kind, self.rng.random_range(0..4)) {
            (_, 0) => Op::Len,
            (Kind::Map, 1) => Op::Contains { key: self.key() },
            (Kind::Map, _) => Op::Get { key: self.key() },
            (Kind::List, 1) => Op::Range {
                start: index,
                limit: 5,
            },
            (Kind::List, _) => Op::GetIndex { index },
            (Kind::Queue, 1) => Op::Range { start: 0, limit: 5 },
            (Kind::Queue, _) => Op::Peek,
        }
    }
}
