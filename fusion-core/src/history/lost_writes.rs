//! No answered change is lost: its number was not given to another one, as it is when a recovery forgets it.

use super::{MAX_TOLD, Operation, Violation};
use crate::id::Seq;
use std::collections::HashMap;

pub(super) fn check(operations: &[Operation]) -> Vec<Violation> {
    let mut by_number: HashMap<Seq, &Operation> = HashMap::with_capacity(operations.len());
    let mut lost = Vec::new();
    for second in operations.iter().filter(|o| o.op.is_mutation()) {
        let Some(seq) = second.seq() else { continue };
        if let Some(first) = by_number.insert(seq, second)
            && lost.len() < MAX_TOLD
        {
            let (first, second) = (Box::new(first.clone()), Box::new(second.clone()));
            lost.push(Violation::OneNumber { first, second });
        }
    }
    lost
}
