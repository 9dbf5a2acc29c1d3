//! What later answers say of elements: an order that contradicts them need not be followed any further.
//!
//! Two elements that were put in side by side may stand in either order, and the search would carry both until somebody
//! looks: two to the power of all such pairs. Values are unique, so that what was seen later tells the order at once. Only
//! what later answers refute anyway is given up.

use crate::record::{Asked, Outcome, Record, Told};
use std::collections::HashMap;

/// Of one list or queue.
#[derive(Debug, Default)]
pub(crate) struct Future {
    /// When somebody asked last who was told of it: it was there at that time.
    seen_us: HashMap<String, u64>,
    /// Between which times it left the front of a queue.
    left_us: HashMap<String, (u64, u64)>,
    /// Where it stands in the end.
    rank: HashMap<String, usize>,
}

impl Future {
    pub(crate) fn of(records: &[Record]) -> Future {
        let mut future = Future::default();
        for record in records.iter().filter(|r| r.outcome == Outcome::Ok) {
            let asked_us = record.invoked_us;
            let told: &[String] = match &record.result {
                Some(Told::Value(Some(value))) => std::slice::from_ref(value),
                Some(Told::Values(values)) => values,
                _ => &[],
            };
            for value in told {
                let seen = future.seen_us.entry(value.clone()).or_default();
                *seen = asked_us.max(*seen);
            }
            match (&record.asked, told, record.returned_us) {
                (Asked::Dequeue, [value], Some(returned)) => {
                    future.left_us.insert(value.clone(), (asked_us, returned));
                }
                (Asked::Contents, all, _) => {
                    let ranks = all.iter().cloned().enumerate();
                    future.rank = ranks.map(|(rank, value)| (value, rank)).collect();
                }
                _ => {}
            }
        }
        future
    }

    /// Whether an element was seen in the structure by somebody who asked after this time.
    pub(crate) fn sees(&self, value: &str, after_us: u64) -> bool {
        self.seen_us.get(value).is_some_and(|seen| *seen > after_us)
    }

    /// Whether the elements of a list cannot stand in this order: in the end they stand in the other one.
    pub(crate) fn swaps(&self, first: &str, second: &str) -> bool {
        match (self.rank.get(first), self.rank.get(second)) {
            (Some(first), Some(second)) => first > second,
            _ => false,
        }
    }

    /// Whether the second element of a queue leaves it before the first one.
    pub(crate) fn overtakes(&self, first: &str, second: &str) -> bool {
        match (self.left_us.get(first), self.left_us.get(second)) {
            (Some((first, _)), Some((_, second))) => second < first,
            // It is there in the end.
            (None, Some(_)) => self.rank.contains_key(first),
            _ => self.swaps(first, second),
        }
    }
}
