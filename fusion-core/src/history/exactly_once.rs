//! Every change is one that somebody asked for, made once: numbers that no answer has are those of sessions and of
//! changes of unknown outcome, and there are no more of them.

use super::{History, MAX_TOLD, Operation, Outcome, Violation};
use crate::id::Seq;

pub(super) fn check(history: &History) -> Option<Violation> {
    let (operations, others) = (&history.operations, history.others);
    let unknown = operations
        .iter()
        .filter(|o| o.op.is_mutation() && o.outcome == Outcome::Unknown)
        .count() as u64;
    let allowed = others + unknown;
    // Whoever looked in the end knows of changes after the last answer, too.
    let looked = history.contents.as_ref().map(|c| c.seq);
    let answered = operations.iter().filter_map(Operation::seq).max();
    let last = answered.max(looked)?;
    let mut numbers: Vec<Seq> = operations
        .iter()
        .filter(|o| o.op.is_mutation())
        .filter_map(Operation::seq)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let count = last.0 - numbers.len() as u64;
    if count <= allowed {
        return None;
    }
    let mut numbers = numbers.into_iter().peekable();
    let seqs = (1..=last.0)
        .map(Seq)
        .filter(|seq| numbers.next_if_eq(seq).is_none());
    Some(Violation::Unasked {
        seqs: seqs.take(MAX_TOLD).collect(),
        count,
        allowed,
    })
}
