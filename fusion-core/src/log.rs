//! The change log: the changes that somebody may still need, in order (PROTOCOL rules 14, 20, 30).

use crate::id::Seq;
use crate::message::ChangeRun;
use bytes::Bytes;
use std::collections::VecDeque;

/// Changes `(base, last]` of one primary.
#[derive(Clone, Debug, Default)]
pub struct ChangeLog {
    base: Seq,
    changes: VecDeque<Bytes>,
    bytes: usize,
    /// Changes up to here are counted apart from the later ones; never before `base`.
    mark: Seq,
    bytes_after_mark: usize,
}

impl ChangeLog {
    /// An empty log whose next change is the one after `base`.
    #[must_use]
    pub fn after(base: Seq) -> Self {
        ChangeLog {
            base,
            mark: base,
            ..ChangeLog::default()
        }
    }

    /// The last change that is not in it any more.
    #[must_use]
    pub fn base(&self) -> Seq {
        self.base
    }

    /// The last change.
    #[must_use]
    pub fn last(&self) -> Seq {
        Seq(self.base.0 + self.changes.len() as u64)
    }

    /// The bytes that it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes of the changes after the [mark](Self::mark_to).
    #[must_use]
    pub fn bytes_after_mark(&self) -> usize {
        self.bytes_after_mark
    }

    /// Moves the mark forward to `seq`, or to the last change.
    pub fn mark_to(&mut self, seq: Seq) {
        let seq = seq.min(self.last());
        if seq > self.mark {
            let at = |seq: Seq| (seq.0 - self.base.0) as usize;
            let passed = self.changes.range(at(self.mark)..at(seq));
            self.bytes_after_mark -= passed.map(Bytes::len).sum::<usize>();
            self.mark = seq;
        }
    }

    /// Appends the change after [`last`](Self::last).
    pub fn push(&mut self, change: Bytes) {
        self.bytes += change.len();
        self.bytes_after_mark += change.len();
        self.changes.push_back(change);
    }

    /// Lets changes up to `seq` go.
    pub fn drop_to(&mut self, seq: Seq) {
        self.mark_to(seq);
        while self.base < seq {
            let Some(change) = self.changes.pop_front() else {
                return;
            };
            self.bytes -= change.len();
            self.base = self.base.next();
        }
        if self.changes.capacity() > 1024 && self.changes.len() < self.changes.capacity() / 4 {
            self.changes.shrink_to(self.changes.len() * 2);
        }
    }

    /// Whether every change after `seq` is still here.
    #[must_use]
    pub fn reaches_back_to(&self, seq: Seq) -> bool {
        self.base <= seq
    }

    /// Whether a run has another content for a change that is here.
    #[must_use]
    pub fn contradicts(&self, run: &ChangeRun) -> bool {
        if run.first > self.last() || run.count == 0 {
            return false;
        }
        let Ok(changes) = run.unpack() else {
            return false;
        };
        let other = |(seq, change): &(Seq, Bytes)| {
            let at = seq.0.checked_sub(self.base.0 + 1);
            let here = at.and_then(|at| self.changes.get(usize::try_from(at).ok()?));
            here.is_some_and(|here| here != change)
        };
        changes.iter().any(other)
    }

    /// The changes `(after, upto]`, cut short after about `max_bytes` but never to nothing.
    ///
    /// Answers `None` when the log does not reach back to `after`.
    #[must_use]
    pub fn run(&self, after: Seq, upto: Seq, max_bytes: usize) -> Option<ChangeRun> {
        if !self.reaches_back_to(after) {
            return None;
        }
        let from = (after.0 - self.base.0) as usize;
        let to = (upto.min(self.last()).0.saturating_sub(self.base.0) as usize).max(from);
        let mut end = from;
        let mut bytes = 0;
        while end < to && (end == from || bytes + self.changes[end].len() <= max_bytes) {
            bytes += self.changes[end].len() + 4;
            end += 1;
        }
        if from > self.changes.len() {
            return Some(ChangeRun::empty(after.next()));
        }
        Some(ChangeRun::pack(after.next(), self.changes.range(from..end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(base: u64, n: u8) -> ChangeLog {
        let mut log = ChangeLog::after(Seq(base));
        for i in 0..n {
            log.push(Bytes::from(vec![i; 10]));
        }
        log
    }

    #[test]
    fn a_run_is_cut_by_bytes_but_never_empty() {
        let log = log_of(5, 4);
        assert_eq!(log.run(Seq(5), Seq(99), 1).unwrap().count, 1);
        assert_eq!(log.run(Seq(5), Seq(99), 30).unwrap().count, 2);
        assert_eq!(log.run(Seq(5), Seq(8), 9999).unwrap().count, 3);
        assert_eq!(log.run(Seq(9), Seq(99), 9999).unwrap().count, 0);
        assert_eq!(log.run(Seq(12), Seq(99), 9999).unwrap().count, 0);
        assert_eq!(log.run(Seq(4), Seq(99), 9999), None);
    }

    #[test]
    fn dropping_moves_the_base() {
        let mut log = log_of(0, 4);
        log.drop_to(Seq(3));
        assert_eq!((log.base(), log.last(), log.bytes()), (Seq(3), Seq(4), 10));
        log.drop_to(Seq(9));
        assert_eq!((log.base(), log.last(), log.bytes()), (Seq(4), Seq(4), 0));
    }

    #[test]
    fn what_is_after_the_mark_is_counted_apart() {
        let mut log = log_of(5, 4);
        assert_eq!(log.bytes_after_mark(), 40);
        log.mark_to(Seq(7));
        log.mark_to(Seq(6));
        assert_eq!((log.bytes(), log.bytes_after_mark()), (40, 20));
        log.drop_to(Seq(6));
        assert_eq!((log.bytes(), log.bytes_after_mark()), (30, 20));
        log.drop_to(Seq(8));
        log.push(Bytes::from_static(b"abc"));
        assert_eq!((log.bytes(), log.bytes_after_mark()), (13, 13));
        log.mark_to(Seq(99));
        assert_eq!((log.bytes(), log.bytes_after_mark()), (13, 0));
    }

    #[test]
    fn a_run_unpacks_to_what_was_packed_and_a_lie_is_refused() {
        let run = log_of(0, 3).run(Seq(1), Seq(3), 9999).unwrap();
        let seqs: Vec<_> = run
            .unpack()
            .unwrap()
            .iter()
            .map(|(s, c)| (s.0, c[0]))
            .collect();
        assert_eq!(seqs, [(2, 1), (3, 2)]);
        for lie in [
            ChangeRun {
                count: 3,
                ..run.clone()
            },
            ChangeRun {
                count: 1,
                ..run.clone()
            },
        ] {
            assert!(lie.unpack().is_err());
        }
        let short = ChangeRun {
            bytes: run.bytes.slice(..run.bytes.len() - 1),
            ..run
        };
        assert!(short.unpack().is_err());
    }
}
