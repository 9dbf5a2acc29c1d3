//! What was taken out of a structure for callers that went away before they had it (docs/cancellation.md).

use super::Error;
use super::structure::Answer;
use bytes::Bytes;
use fusion_core::id::Seq;
use fusion_core::op::{Op, OpError, Reply};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most elements that are kept; beyond it the one that was taken first is given up.
const MOST: usize = 4096;

/// What an operation takes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Take {
    /// The front of a queue.
    Front,
    /// The element of a list at an index.
    Index(u64),
    /// The value of a map's key.
    Key(Bytes),
}

impl Take {
    /// What `op` takes, if it takes anything.
    pub(super) fn of(op: &Op) -> Option<Take> {
        match op {
            Op::Dequeue => Some(Take::Front),
            Op::RemoveIndex { index } => Some(Take::Index(*index)),
            Op::Remove { key } => Some(Take::Key(key.clone())),
            _ => None,
        }
    }
}

/// An element that nobody has had yet.
#[derive(Debug)]
struct Kept {
    take: Take,
    value: Bytes,
    seq: Seq,
    /// Of a list: this handle has changed it since, so that the index says something else now.
    moved: bool,
}

impl Kept {
    fn answer(self) -> Answer {
        let reply = match self.take {
            Take::Front => Reply::Maybe(Some(self.value)),
            Take::Index(_) | Take::Key(_) => Reply::Value(self.value),
        };
        Answer {
            result: Ok(reply),
            seq: self.seq,
        }
    }
}

/// The elements that were taken in vain through one lane, until the next take finds them.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// In the order in which they were taken.
    kept: Mutex<VecDeque<Kept>>,
    /// How many those are, for whoever only looks whether there are any.
    count: AtomicUsize,
    /// Takes whose callers went away, and of which it is not known yet what became of them.
    open: AtomicUsize,
}

impl Taken {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something is kept.
    pub(super) fn has_any(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// The caller of a take has gone away without an answer.
    pub(super) fn abandon(&self) {
        self.open.fetch_add(1, Ordering::AcqRel);
    }

    /// It is known what became of such a take.
    pub(super) fn settle(&self) {
        let less = |open: usize| open.checked_sub(1);
        let _ = self
            .open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }

    /// There is none of which it is not known.
    pub(super) fn settle_all(&self) {
        self.open.store(0, Ordering::Release);
    }

    /// Whether there are takes of which it is not known yet what became of them.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire) > 0
    }

    /// Keeps what a take whose caller went away has brought, if it has brought an element.
    pub(super) fn keep(&self, take: Take, answer: Answer) {
        let value = match answer.result {
            Ok(Reply::Value(value) | Reply::Maybe(Some(value))) => value,
            _ => return,
        };
        let mut kept = self.lock();
        if matches!(take, Take::Key(_)) {
            kept.retain(|k| k.take != take);
        }
        let at = kept.partition_point(|k| k.seq < answer.seq);
        let (seq, moved) = (answer.seq, false);
        kept.insert(
            at,
            Kept {
                take,
                value,
                seq,
                moved,
            },
        );
        if kept.len() > MOST {
            kept.pop_front();
            tracing::warn!(
                "more than {MOST} elements were taken by calls that were dropped; one is lost"
            );
        }
        self.count.store(kept.len(), Ordering::Release);
    }

    /// What such a take as this one has brought before, the first first.
    pub(super) fn find(&self, take: &Take) -> Option<Answer> {
        if !self.has_any() {
            return None;
        }
        let mut kept = self.lock();
        let at = kept.iter().position(|k| k.take == *take && !k.moved)?;
        let found = kept.remove(at);
        self.count.store(kept.len(), Ordering::Release);
        found.map(Kept::answer)
    }

    /// A change of this handle was made: what a list's index meant before, it may not mean now. And a key whose newer
    /// value was taken has no older one to wait for.
    pub(super) fn changed(&self, op: &Op, result: &Result<Reply, OpError>, seq: Seq) {
        if !self.has_any() {
            return;
        }
        let mut kept = self.lock();
        match op {
            Op::Insert { .. }
            | Op::Append { .. }
            | Op::SetIndex { .. }
            | Op::RemoveIndex { .. } => {
                for older in kept.iter_mut().filter(|k| k.seq < seq) {
                    older.moved = true;
                }
            }
            Op::Remove { key } if result.is_ok() => {
                kept.retain(|k| k.seq >= seq || k.take != Take::Key(key.clone()));
            }
            _ => {}
        }
        self.count.store(kept.len(), Ordering::Release);
    }

    /// Takes out all that is kept, in the order in which it was taken.
    pub(super) fn take_all(&self) -> Vec<Bytes> {
        let mut kept = self.lock();
        self.count.store(0, Ordering::Release);
        kept.drain(..).map(|k| k.value).collect()
    }
}

/// Answers that are on their way to a caller who waits for more of them; when it goes away, what was taken is kept.
#[derive(Debug)]
pub(super) struct Answers {
    taken: Arc<Taken>,
    given: Vec<(Option<Take>, Result<Answer, Error>)>,
}

impl Answers {
    pub(super) fn new(taken: Arc<Taken>, capacity: usize) -> Answers {
        Answers {
            taken,
            given: Vec::with_capacity(capacity),
        }
    }

    pub(super) fn push(&mut self, take: Option<Take>, answer: Result<Answer, Error>) {
        self.given.push((take, answer));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Result<Answer, Error>> {
        self.given.iter().map(|(_, answer)| answer)
    }

    /// All of them, for a caller who waits for nothing else.
    pub(super) fn done(mut self) -> Vec<(Option<Take>, Result<Answer, Error>)> {
        std::mem::take(&mut self.given)
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        for (take, answer) in self.given.drain(..) {
            if let (Some(take), Ok(answer)) = (take, answer) {
                self.taken.keep(take, answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maybe(text: &'static str, seq: u64) -> Answer {
        Answer {
            result: Ok(Reply::Maybe(Some(text.into()))),
            seq: Seq(seq),
        }
    }

    fn value(text: &'static str, seq: u64) -> Answer {
        Answer {
            result: Ok(Reply::Value(text.into())),
            seq: Seq(seq),
        }
    }

    #[test]
    fn what_was_taken_in_vain_is_found_in_the_order_of_the_queue() {
        let taken = Taken::default();
        taken.keep(Take::Front, maybe("second", 8));
        taken.keep(Take::Front, maybe("first", 7));
        let nothing = Answer {
            result: Ok(Reply::Maybe(None)),
            seq: Seq(9),
        };
        taken.keep(Take::Front, nothing);
        assert_eq!(taken.find(&Take::Front), Some(maybe("first", 7)));
        assert_eq!(taken.take_all(), [Bytes::from_static(b"second")]);
        assert!(!taken.has_any());
    }

    /// An index means another element when this handle has changed the list since.
    #[test]
    fn what_was_removed_from_a_list_in_vain_is_found_until_the_list_is_changed_here() {
        let taken = Taken::default();
        taken.keep(Take::Index(0), value("a", 7));
        assert_eq!(taken.find(&Take::Index(1)), None);
        assert_eq!(taken.find(&Take::Index(0)), Some(value("a", 7)));
        taken.keep(Take::Index(0), value("b", 8));
        let insert = Op::Insert {
            index: 0,
            value: "c".into(),
        };
        taken.changed(&insert, &Ok(Reply::Done), Seq(9));
        assert_eq!(taken.find(&Take::Index(0)), None);
        assert_eq!(taken.take_all(), [Bytes::from_static(b"b")]);
    }

    #[test]
    fn of_a_key_only_the_newest_value_is_found_again() {
        let taken = Taken::default();
        let key = || Bytes::from_static(b"k");
        taken.keep(Take::Key(key()), value("old", 7));
        let remove = Op::Remove { key: key() };
        let missing = Err(OpError::KeyError { key: key() });
        taken.changed(&remove, &missing, Seq(8));
        assert!(taken.has_any(), "nothing newer was there");
        taken.changed(&remove, &Ok(Reply::Value("new".into())), Seq(9));
        assert_eq!(taken.find(&Take::Key(key())), None);
        assert!(!taken.has_any());
    }

    #[test]
    fn no_more_is_kept_than_is_allowed() {
        let taken = Taken::default();
        for seq in 0..MOST as u64 + 1 {
            taken.keep(Take::Front, maybe("x", seq));
        }
        assert_eq!(taken.find(&Take::Front), Some(maybe("x", 1)));
        assert_eq!(taken.take_all().len(), MOST - 1);
    }
}
