//! Clients that write all the while, and the account of what must then be there.
//!
//! Each writer writes `(writer, number)` with numbers from 0, one after another, and remembers of each whether it was
//! acknowledged, refused (surely not there) or has an unknown outcome.

use crate::cluster::wait_until;
use crate::model::{Model, contents};
use bytes::Bytes;
use fusion_core::op::{Kind, Op, Reply};
use fusion_net::client::{Error, Raw};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::task::JoinHandle;

/// The outcomes of one writer's writes to one primary.
#[derive(Clone, Debug, Default)]
struct History {
    acknowledged: BTreeSet<u64>,
    unknown: BTreeSet<u64>,
    refused: BTreeSet<u64>,
}

/// What one taker got out of a queue.
#[derive(Debug, Default)]
struct Taken {
    values: Vec<Bytes>,
    /// Calls that may have taken an element without saying which.
    unknown: u64,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    acknowledged: AtomicU64,
}

/// Writers and takers at work on the primaries of one cluster.
#[derive(Debug)]
pub struct Writers {
    kind: Kind,
    shared: Arc<Shared>,
    next: u64,
    writers: Vec<JoinHandle<(usize, u64, History)>>,
    takers: Vec<JoinHandle<(usize, Taken)>>,
}

/// What all of them say happened, by primary.
#[derive(Debug)]
pub struct Account {
    kind: Kind,
    writers: BTreeMap<(usize, u64), History>,
    takers: Vec<(usize, Taken)>,
}

impl Writers {
    /// None yet, for a cluster of this kind.
    #[must_use]
    pub fn new(kind: Kind) -> Writers {
        Writers {
            kind,
            shared: Arc::default(),
            next: 0,
            writers: Vec::new(),
            takers: Vec::new(),
        }
    }

    /// Starts `each` writers through each of these ways, one for each primary.
    pub fn write(&mut self, raws: &[Raw], each: usize) {
        for (index, raw) in raws.iter().enumerate() {
            for _ in 0..each {
                let writer = self.next;
                self.next += 1;
                let work = write(self.kind, raw.clone(), writer, Arc::clone(&self.shared));
                let task = async move { (index, writer, work.await) };
                self.writers.push(tokio::spawn(task));
            }
        }
    }

    /// Starts `each` takers through each of these ways to queues.
    pub fn take(&mut self, raws: &[Raw], each: usize) {
        for (index, raw) in raws.iter().enumerate() {
            for _ in 0..each {
                let work = take(raw.clone(), Arc::clone(&self.shared));
                self.takers
                    .push(tokio::spawn(async move { (index, work.await) }));
            }
        }
    }

    /// How many writes were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until so many more writes are acknowledged.
    ///
    /// # Panics
    /// When they are not in time.
    pub async fn wait_more(&self, more: u64) {
        let wanted = self.acknowledged() + more;
        wait_until("writes to go on", async || match self.acknowledged() {
            count if count >= wanted => Ok(()),
            count => Err(format!("{count} of {wanted} acknowledged writes")),
        })
        .await;
    }

    /// Ends the work after the calls under way.
    ///
    /// # Panics
    /// When a writer got an answer that it must never get.
    pub async fn stop(self) -> Account {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut account = Account {
            kind: self.kind,
            writers: BTreeMap::new(),
            takers: Vec::new(),
        };
        for task in self.writers {
            let (index, writer, history) = task.await.expect("the writer");
            account.writers.insert((index, writer), history);
        }
        for task in self.takers {
            account.takers.push(task.await.expect("the taker"));
        }
        account
    }
}

async fn write(kind: Kind, raw: Raw, writer: u64, shared: Arc<Shared>) -> History {
    let mut history = History::default();
    let mut number = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        let value = entry(writer, number);
        let op = match kind {
            Kind::List => Op::Append { value },
            Kind::Queue => Op::Enqueue { value },
            Kind::Map => Op::Put {
                key: value.slice(..16),
                value,
            },
        };
        match raw.call(op).await {
            Ok(reply) => {
                assert_ne!(reply, Reply::Bool(true), "a new key was there before");
                history.acknowledged.insert(number);
                shared.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err(Error::OutcomeUnknown { .. }) => drop(history.unknown.insert(number)),
            Err(Error::TimedOut { .. }) => drop(history.refused.insert(number)),
            Err(error) => panic!("writer {writer}: {error}"),
        }
        number += 1;
    }
    history
}

async fn take(raw: Raw, shared: Arc<Shared>) -> Taken {
    let mut taken = Taken::default();
    while !shared.stop.load(Ordering::Relaxed) {
        match raw.call(Op::Dequeue).await {
            Ok(Reply::Maybe(Some(value))) => taken.values.push(value),
            Ok(Reply::Maybe(None)) | Err(Error::TimedOut { .. }) => {}
            Err(Error::OutcomeUnknown { .. }) => taken.unknown += 1,
            answer => panic!("a dequeue answered {answer:?}"),
        }
    }
    taken
}

/// Writer and number, then some bytes made of them, so that entries differ in length and a mixed-up one shows.
fn entry(writer: u64, number: u64) -> Bytes {
    let mut bytes = [writer.to_be_bytes(), number.to_be_bytes()].concat();
    let fill = (writer.wrapping_mul(31).wrapping_add(number) % 97) as usize;
    bytes.extend((0..fill).map(|i| (number as usize * 7 + i) as u8));
    bytes.into()
}

fn parse(bytes: &Bytes) -> (u64, u64) {
    let number = |at: usize| {
        let eight = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
        u64::from_be_bytes(eight.unwrap_or_else(|| panic!("{bytes:?} was never written")))
    };
    let (writer, number) = (number(0), number(8));
    assert_eq!(*bytes, entry(writer, number), "an entry was mixed up");
    (writer, number)
}

impl Account {
    /// How many writes were acknowledged, and of how many the outcome is unknown.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let histories = self.writers.values();
        let acknowledged = histories.clone().map(|h| h.acknowledged.len()).sum();
        (acknowledged, histories.map(|h| h.unknown.len()).sum())
    }

    /// How many elements the takers got.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.takers.iter().map(|(_, t)| t.values.len()).sum()
    }

    /// Checks the contents of every primary: acknowledged writes are there exactly once, those of unknown outcome at
    /// most once, nothing else is; lists and queues keep each writer's order; a queue's element went to one taker only.
    ///
    /// # Panics
    /// When something is wrong, with what it is.
    pub async fn verify(&self, raws: &[Raw]) {
        for (index, raw) in raws.iter().enumerate() {
            let held: Vec<Bytes> = match contents(raw, self.kind).await {
                Model::Sequence(_, elements) => elements.into(),
                Model::Map(entries) => {
                    let entry = |(key, value): (Bytes, Bytes)| {
                        assert_eq!(key, value[..16], "a value under another key");
                        value
                    };
                    entries.into_iter().map(entry).collect()
                }
            };
            self.check(index, &held);
        }
    }

    fn check(&self, index: usize, held: &[Bytes]) {
        let takers: Vec<_> = self.takers.iter().filter(|(i, _)| *i == index).collect();
        let mut seen: BTreeSet<(u64, u64)> = BTreeSet::new();
        let taken = takers.iter().flat_map(|(_, t)| &t.values);
        for bytes in taken.chain(held) {
            let (writer, number) = parse(bytes);
            let history = self.writers.get(&(index, writer));
            let history = history
                .unwrap_or_else(|| panic!("primary {index}: writer {writer} wrote elsewhere"));
            assert!(
                history.acknowledged.contains(&number) || history.unknown.contains(&number),
                "primary {index} has write {number} of writer {writer}, which was refused or never made"
            );
            assert!(
                seen.insert((writer, number)),
                "primary {index} has or gave write {number} of writer {writer} twice"
            );
        }
        if self.kind != Kind::Map {
            self.check_order(index, held);
            for (_, taken) in &takers {
                self.check_order(index, &taken.values);
            }
        }
        let missing: Vec<_> = self
            .writers
            .iter()
            .filter(|((i, _), _)| *i == index)
            .flat_map(|((_, w), h)| h.acknowledged.iter().map(|&n| (*w, n)))
            .filter(|write| !seen.contains(write))
            .collect();
        let excused: u64 = takers.iter().map(|(_, t)| t.unknown).sum();
        assert!(
            missing.len() as u64 <= excused,
            "primary {index}: of the acknowledged writes {missing:?} are gone, {excused} at most may be"
        );
    }

    /// Each writer's elements stand in the order in which it wrote them.
    fn check_order(&self, index: usize, elements: &[Bytes]) {
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for bytes in elements {
            let (writer, number) = parse(bytes);
            // A write of unknown outcome may have come late.
            if self.writers[&(index, writer)].unknown.contains(&number) {
                continue;
            }
            let before = last.insert(writer, number);
            assert!(
                before.is_none_or(|b| b < number),
                "primary {index}: write {number} of writer {writer} stands after {before:?}"
            );
        }
    }
}
