//! The order of changes is one in which clients saw things happen: whoever asks after an answer sees its change.

use super::{MAX_TOLD, Operation, Violation};
use crate::id::Seq;

/// Whether an operation may have this number when somebody knew of change `known` before it was asked: a change comes
/// after it, a read may be right after it.
#[must_use]
pub fn follows(is_mutation: bool, known: Seq, seq: Seq) -> bool {
    if is_mutation {
        seq > known
    } else {
        seq >= known
    }
}

/// For each operation the greatest number that was answered before it was asked.
pub(super) fn known_before(operations: &[Operation]) -> Vec<Seq> {
    let mut asked: Vec<usize> = (0..operations.len()).collect();
    asked.sort_by_key(|&i| operations[i].invoked_us);
    let mut answered: Vec<(u64, Seq)> = operations
        .iter()
        .filter_map(|o| Some((o.returned_us, o.seq()?)))
        .collect();
    answered.sort_unstable();
    let mut answered = answered.into_iter().peekable();
    let mut greatest = Seq(0);
    let mut known = vec![Seq(0); operations.len()];
    for i in asked {
        // What came at the same microsecond may have come after.
        while let Some((_, seq)) = answered.next_if(|(at, _)| *at < operations[i].invoked_us) {
            greatest = greatest.max(seq);
        }
        known[i] = greatest;
    }
    known
}

pub(super) fn check(operations: &[Operation]) -> Vec<Violation> {
    let known = known_before(operations);
    let late = operations
        .iter()
        .zip(known)
        .filter_map(|(operation, known)| {
            let seq = operation.seq()?;
            let in_order = follows(operation.op.is_mutation(), known, seq);
            (!in_order).then(|| Violation::OutOfOrder {
                operation: Box::new(operation.clone()),
                known,
            })
        });
    late.take(MAX_TOLD).collect()
}
