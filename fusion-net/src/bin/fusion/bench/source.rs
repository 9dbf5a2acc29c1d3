//! Where a task's steps come from, and whether their answers are right.

use super::action::{Action, Answer, Step};
use super::entries::{element, element_id, is_value, mix, value};
use super::keys::Chooser;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// An element's id is its list, the task that added it, and that task's count.
const LIST_SHIFT: u32 = 56;
const TASK_SHIFT: u32 = 40;
/// Elements of each list before random insertions begin; these are below the bounds of all later indices.
pub(crate) const PREFILLED: u64 = 1000;
/// The task that adds those.
const PREFILLER: u64 = 0xffff;

/// What the tasks of a pair of actions have added and taken, together.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    lists: Vec<Account>,
    /// How many keys each task has put.
    keys: Vec<AtomicU64>,
}

#[derive(Debug, Default)]
struct Account {
    /// Elements that nobody has claimed yet.
    left: AtomicU64,
    /// The sums of the mixed ids of what was added and what was taken.
    added: AtomicU64,
    taken: AtomicU64,
}

impl Ledger {
    /// Of empty structures.
    pub(crate) fn new(lists: usize, tasks: usize) -> Ledger {
        Ledger {
            lists: (0..lists).map(|_| Account::default()).collect(),
            keys: (0..tasks).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// The elements that lists have before random insertions; they are in the books from now on.
    pub(crate) fn prefill(&self, list: usize) -> Vec<u64> {
        let ids = (0..PREFILLED).map(|seq| id(list, PREFILLER, seq));
        let ids: Vec<u64> = ids.collect();
        for id in &ids {
            self.add(*id);
        }
        ids
    }

    fn add(&self, id: u64) {
        let account = &self.lists[(id >> LIST_SHIFT) as usize];
        account.added.fetch_add(mix(id), Relaxed);
        account.left.fetch_add(1, Relaxed);
    }

    /// Claims one element of a list; answers how many are left beside it.
    fn claim(&self, list: usize) -> Option<u64> {
        let left = &self.lists[list].left;
        left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
            .ok()
            .map(|before| before - 1)
    }

    /// The lists of which not exactly that was taken that had been added.
    pub(crate) fn differences(&self) -> Vec<String> {
        let differs = |account: &Account| {
            account.left.load(Relaxed) > 0
                || account.added.load(Relaxed) != account.taken.load(Relaxed)
        };
        let lists = self.lists.iter().enumerate();
        lists
            .filter(|(_, account)| differs(account))
            .map(|(list, _)| format!("list {list} did not give back exactly what it was given"))
            .collect()
    }
}

fn id(list: usize, task: u64, seq: u64) -> u64 {
    ((list as u64) << LIST_SHIFT) | (task << TASK_SHIFT) | seq
}

/// One task's steps.
#[derive(Debug)]
pub(crate) struct Source {
    action: Action,
    value_bytes: usize,
    chooser: Chooser,
    ledger: Arc<Ledger>,
    task: usize,
    seq: u64,
    rng: StdRng,
    /// Whether elements must come in the order in which each task has added them, and the last of each.
    in_order: bool,
    last: HashMap<u64, u64>,
}

impl Source {
    /// The steps of the task of that number.
    pub(crate) fn new(
        action: Action,
        value_bytes: usize,
        chooser: Chooser,
        ledger: Arc<Ledger>,
        task: usize,
        seed: u64,
    ) -> Source {
        Source {
            action,
            value_bytes,
            chooser,
            ledger,
            task,
            seq: 0,
            rng: StdRng::seed_from_u64(seed ^ mix(task as u64)),
            in_order: false,
            last: HashMap::new(),
        }
    }

    /// Elements must come first in, first out.
    pub(crate) fn in_order(mut self) -> Source {
        self.in_order = true;
        self
    }

    /// The next step; `None` when everything was taken.
    pub(crate) fn next(&mut self) -> Option<Step> {
        let seq = self.seq;
        self.seq += 1;
        // In turn, tasks would come to move in step, and share batches as no real callers do.
        let list = self.rng.random_range(0..self.ledger.lists.len().max(1));
        let new = |list| element(id(list, self.task as u64, seq), self.value_bytes);
        Some(match self.action {
            Action::Put => self.put(seq),
            Action::Get => self.get(),
            Action::Mixed if self.rng.random() => self.put(seq),
            Action::Mixed => self.get(),
            Action::PutNew => {
                let number = id(0, self.task as u64, seq);
                Step::Put {
                    number,
                    value: value(number, seq as u32, self.value_bytes),
                    known: false,
                }
            }
            Action::Delete => {
                let count = self.ledger.keys[self.task].load(Relaxed);
                (seq < count).then_some(())?;
                Step::Delete {
                    number: id(0, self.task as u64, scattered(seq, count)),
                }
            }
            Action::Append => Step::Append {
                list,
                value: new(list),
            },
            Action::InsertFirst => Step::Insert {
                list,
                index: 0,
                value: new(list),
            },
            Action::InsertAny => Step::Insert {
                list,
                value: new(list),
                // Nobody removes while they insert.
                index: self.rng.random_range(0..=PREFILLED),
            },
            Action::Enqueue => Step::Enqueue {
                list,
                value: new(list),
            },
            Action::RemoveFirst => Step::Remove {
                list: self.claim(list)?.0,
                index: 0,
            },
            Action::RemoveAny => {
                let (list, left) = self.claim(list)?;
                let index = self.rng.random_range(0..=left);
                Step::Remove { list, index }
            }
            Action::Dequeue => Step::Dequeue {
                list: self.claim(list)?.0,
            },
        })
    }

    fn put(&mut self, seq: u64) -> Step {
        let number = self.chooser.next(&mut self.rng);
        Step::Put {
            number,
            value: value(number, seq as u32, self.value_bytes),
            known: true,
        }
    }

    fn get(&mut self) -> Step {
        let number = self.chooser.next(&mut self.rng);
        Step::Get { number }
    }

    /// An element of that list, or else of the next one that has any.
    fn claim(&self, list: usize) -> Option<(usize, u64)> {
        let lists = self.ledger.lists.len();
        let mut from = (0..lists).map(|i| (list + i) % lists);
        from.find_map(|list| Some((list, self.ledger.claim(list)?)))
    }

    /// What is wrong with an answer, if anything.
    pub(crate) fn check(&mut self, step: &Step, answer: Answer) -> Option<String> {
        let wrong = |what: &str| Some(format!("{step:.120?} was answered by {what}"));
        match (step, &answer) {
            (_, Answer::Wrong(what)) => wrong(what),
            (Step::Put { known, .. }, Answer::Done) => {
                if !known {
                    self.ledger.keys[self.task].fetch_add(1, Relaxed);
                }
                None
            }
            (
                Step::Append { value, .. }
                | Step::Insert { value, .. }
                | Step::Enqueue { value, .. },
                Answer::Done,
            ) => {
                self.ledger.add(element_id(value, self.value_bytes)?);
                None
            }
            (Step::Get { number } | Step::Delete { number }, Answer::Value(Some(value))) => {
                if is_value(value, *number, self.value_bytes) {
                    None
                } else {
                    wrong("a value that was not put there")
                }
            }
            (Step::Remove { list, .. } | Step::Dequeue { list }, Answer::Value(Some(value))) => {
                match element_id(value, self.value_bytes) {
                    Some(id) if (id >> LIST_SHIFT) as usize == *list => {
                        self.take(id).then_some(()).map_or_else(
                            || wrong("an element that should have come earlier"),
                            |()| None,
                        )
                    }
                    _ => wrong("an element that was not put there"),
                }
            }
            (_, Answer::Value(None)) => wrong("nothing"),
            _ => wrong("another kind of answer"),
        }
    }

    /// Books an element that was taken; `false` when it came too late.
    fn take(&mut self, id: u64) -> bool {
        let account = &self.ledger.lists[(id >> LIST_SHIFT) as usize];
        account.taken.fetch_add(mix(id), Relaxed);
        if !self.in_order {
            return true;
        }
        let (adder, seq) = (id >> TASK_SHIFT, id & ((1 << TASK_SHIFT) - 1));
        self.last
            .insert(adder, seq)
            .is_none_or(|before| before < seq)
    }
}

/// All numbers below `count`, far apart from one to the next.
fn scattered(number: u64, count: u64) -> u64 {
    const STRIDES: [u64; 2] = [1_000_003, 998_244_353];
    let stride = STRIDES.into_iter().find(|s| !count.is_multiple_of(*s));
    let product = u128::from(number) * u128::from(stride.unwrap_or(1));
    (product % u128::from(count)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::keys::Popularity;
    use std::collections::BTreeSet;

    fn source(action: Action, ledger: &Arc<Ledger>, task: usize) -> Source {
        let chooser = Chooser::new(Popularity::Uniform, 100).unwrap();
        Source::new(action, 16, chooser, Arc::clone(ledger), task, 1)
    }

    fn enqueue(ledger: &Arc<Ledger>, task: usize, count: usize) -> Vec<(usize, bytes::Bytes)> {
        let mut source = source(Action::Enqueue, ledger, task);
        let mut all = Vec::new();
        for _ in 0..count {
            let step = source.next().unwrap();
            let Step::Enqueue { list, value } = &step else {
                panic!("{step:?}");
            };
            all.push((*list, value.clone()));
            assert_eq!(source.check(&step, Answer::Done), None);
        }
        all
    }

    fn dequeue(source: &mut Source, value: bytes::Bytes) -> Option<String> {
        let step = source.next().unwrap();
        source.check(&step, Answer::Value(Some(value)))
    }

    #[test]
    fn a_queue_that_gives_everything_back_in_order_is_right() {
        let ledger = Arc::new(Ledger::new(1, 1));
        let all = enqueue(&ledger, 0, 10);
        let mut source = source(Action::Dequeue, &ledger, 0).in_order();
        for (_, value) in all {
            assert_eq!(dequeue(&mut source, value), None);
        }
        assert!(source.next().is_none());
        assert!(ledger.differences().is_empty());
    }

    #[test]
    fn an_element_twice_or_late_or_of_another_list_is_seen() {
        let ledger = Arc::new(Ledger::new(1, 1));
        let all = enqueue(&ledger, 0, 3);
        let mut source = source(Action::Dequeue, &ledger, 0);
        // Without an order, only the sums show it.
        for i in [0, 0, 1] {
            assert_eq!(dequeue(&mut source, all[i].1.clone()), None);
        }
        assert_eq!(ledger.differences().len(), 1);

        let ledger = Arc::new(Ledger::new(1, 1));
        let all = enqueue(&ledger, 0, 3);
        let mut ordered = self::source(Action::Dequeue, &ledger, 0).in_order();
        assert_eq!(dequeue(&mut ordered, all[1].1.clone()), None);
        assert!(dequeue(&mut ordered, all[0].1.clone()).is_some());
        assert!(dequeue(&mut ordered, element(id(7, 0, 0), 16)).is_some());
    }

    #[test]
    fn every_key_that_was_put_is_removed_once() {
        let ledger = Arc::new(Ledger::new(0, 2));
        let mut put = source(Action::PutNew, &ledger, 1);
        let mut numbers = BTreeSet::new();
        for _ in 0..1000 {
            let step = put.next().unwrap();
            let Step::Put { number, .. } = step else {
                panic!("{step:?}");
            };
            assert_eq!(put.check(&step, Answer::Done), None);
            numbers.insert(number);
        }
        // One that was never answered is not looked for.
        put.next();
        let mut delete = source(Action::Delete, &ledger, 1);
        let mut deleted = BTreeSet::new();
        while let Some(Step::Delete { number }) = delete.next() {
            assert!(deleted.insert(number));
        }
        assert_eq!(deleted, numbers);
    }

    #[test]
    fn a_value_of_another_key_is_seen() {
        let ledger = Arc::new(Ledger::new(0, 1));
        let mut source = source(Action::Get, &ledger, 0);
        let step = source.next().unwrap();
        let Step::Get { number } = step else {
            panic!("{step:?}");
        };
        let right = Answer::Value(Some(value(number, 3, 16)));
        assert_eq!(source.check(&step, right), None);
        for answer in [
            Answer::Value(Some(value(number + 1, 3, 16))),
            Answer::Value(None),
            Answer::Done,
            Answer::Wrong("no".to_owned()),
        ] {
            assert!(source.check(&step, answer).is_some());
        }
    }
}
