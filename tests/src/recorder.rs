//! Clients that record what they are told, and the checkers of `fusion_core::history` over it.

use crate::model::contents;
use bytes::Bytes;
use fusion_core::history::export::records;
use fusion_core::history::{self, Contents, History, Operation, Outcome};
use fusion_core::op::{Kind, Op};
use fusion_net::client::{Client, Error, Raw};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

use crate::cluster::wait_until;

/// Writers at each primary, and as many readers.
const EACH: u64 = 2;
const REST: Duration = Duration::from_millis(2);

/// Writers and readers at work on all primaries of one cluster.
#[derive(Debug)]
pub struct Recorder {
    kind: Kind,
    ways: Vec<Raw>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<(usize, JoinHandle<Vec<Operation>>)>,
}

impl Recorder {
    /// Starts them.
    ///
    /// # Panics
    /// When there is no such cluster.
    pub async fn start(client: &Client, name: &str, kind: Kind, primaries: usize) -> Recorder {
        let began = Instant::now();
        let mut recorder = Recorder {
            kind,
            ways: Vec::new(),
            stop: Arc::default(),
            answered: Arc::default(),
            clients: Vec::new(),
        };
        for index in 0..primaries {
            let way = async || client.raw(name, index).await.expect("the primary");
            recorder.ways.push(way().await);
            for number in 0..2 * EACH {
                let task = Task {
                    raw: way().await,
                    client: number,
                    began,
                    stop: Arc::clone(&recorder.stop),
                    answered: Arc::clone(&recorder.answered),
                };
                let task = tokio::spawn(task.run(kind));
                recorder.clients.push((index, task));
            }
        }
        recorder
    }

    /// Waits until so many more operations are answered.
    ///
    /// # Panics
    /// When they are not in time.
    pub async fn wait_more(&self, more: u64) {
        let wanted = self.answered.load(Ordering::Relaxed) + more;
        wait_until("answers", async || {
            match self.answered.load(Ordering::Relaxed) {
                count if count >= wanted => Ok(()),
                count => Err(format!("{count} of {wanted}")),
            }
        })
        .await;
    }

    /// Ends the work, looks at the contents, and checks every history; returns the longest wait for an answer. Where
    /// `FUSION_HISTORIES` names a folder, the histories are written into it for checkers of other people, in the form
    /// of docs/histories.md.
    ///
    /// # Panics
    /// When one is wrong.
    pub async fn verify(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        let mut histories = vec![Vec::new(); self.ways.len()];
        for (index, task) in self.clients {
            histories[index].extend(task.await.expect("the client"));
        }
        let mut longest = 0;
        for (index, (operations, way)) in histories.into_iter().zip(&self.ways).enumerate() {
            let waits = operations.iter().map(|o| o.returned_us - o.invoked_us);
            longest = longest.max(waits.max().unwrap_or_default());
            let seq = way.ask(Op::Len).await.expect("a length").seq;
            let history = History {
                kind: self.kind,
                operations,
                // The structure's descriptor, and the session of each writer, opened and closed.
                others: 1 + 2 * EACH,
                contents: Some(Contents {
                    seq,
                    model: contents(way, self.kind).await,
                }),
            };
            if let Some(folder) = std::env::var_os("FUSION_HISTORIES") {
                write(Path::new(&folder), index, &history);
            }
            let violations = history::check(&history);
            assert!(violations.is_empty(), "primary {index}: {}", violations[0]);
        }
        Duration::from_micros(longest)
    }
}

/// Adds a file to the folder.
fn write(folder: &Path, index: usize, history: &History) {
    let process = std::process::id();
    let mut file = tempfile::Builder::new()
        .prefix(&format!("{}-{process}-{index}-", history.kind))
        .suffix(".jsonl")
        .disable_cleanup(true)
        .tempfile_in(folder)
        .expect("a file in the folder of FUSION_HISTORIES");
    let name = format!("{} {index}", history.kind);
    let lines: String = records(&name, history)
        .iter()
        .map(|record| serde_json::to_string(record).expect("it has a form") + "\n")
        .collect();
    file.write_all(lines.as_bytes()).expect("it can be written");
}

struct Task {
    raw: Raw,
    client: u64,
    began: Instant,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
}

impl Task {
    async fn run(self, kind: Kind) -> Vec<Operation> {
        let now = || self.began.elapsed().as_micros() as u64;
        let mut operations = Vec::new();
        for number in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let op = if self.client < EACH {
                change(kind, self.client, number)
            } else {
                question(kind, number)
            };
            let invoked_us = now();
            let outcome = match self.raw.ask(op.clone()).await {
                Ok(answer) => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    let (result, seq) = (answer.result, answer.seq);
                    Outcome::Answered { result, seq }
                }
                Err(Error::OutcomeUnknown { .. }) => Outcome::Unknown,
                Err(Error::TimedOut { .. }) => Outcome::NoEffect,
                Err(error) => panic!("client {}: {error}", self.client),
            };
            operations.push(Operation {
                client: self.client,
                op,
                invoked_us,
                returned_us: now(),
                outcome,
            });
            tokio::time::sleep(REST).await;
        }
        operations
    }
}

fn key(number: u64) -> Bytes {
    Bytes::from(format!("key {}", number % 5))
}

fn change(kind: Kind, client: u64, number: u64) -> Op {
    let value = Bytes::from(format!("{client}-{number}"));
    match (kind, number % 4) {
        (Kind::Map, 0) => Op::Remove {
            key: key(number / 4),
        },
        (Kind::Map, _) => Op::Put {
            key: key(number),
            value,
        },
        (Kind::List, 0) => Op::Append { value },
        (Kind::List, 1) => Op::Insert { index: 0, value },
        (Kind::List, 2) => Op::SetIndex { index: 1, value },
        (Kind::List, _) => Op::RemoveIndex { index: 2 },
        (Kind::Queue, 0 | 1) => Op::Enqueue { value },
        (Kind::Queue, _) => Op::Dequeue,
    }
}

fn question(kind: Kind, number: u64) -> Op {
    match (kind, number % 3) {
        (_, 0) => Op::Len,
        (Kind::Map, _) => Op::Get { key: key(number) },
        (Kind::List, _) => Op::GetIndex { index: number % 4 },
        (Kind::Queue, _) => Op::Peek,
    }
}
