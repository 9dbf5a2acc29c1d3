//! What is to happen, in the order of true time: a ring of short spans, so that an event far from now costs no more than a
//! near one. Only the events of the present span are kept in order.

use super::world::Event;
use std::cmp::{Ordering, Reverse};
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, VecDeque};

/// A span is 2^10 microseconds.
const SPAN_BITS: u32 = 10;

/// The events that have not happened yet.
#[derive(Debug, Default)]
pub struct Agenda {
    /// The present span.
    span: u64,
    /// What happens in the present span, or was late for it.
    near: BinaryHeap<Due>,
    /// What happens in the spans after it, in no order within one.
    later: VecDeque<Vec<Due>>,
    /// Memory of spans that are over.
    empty: Vec<Vec<Due>>,
    tie: u64,
}

/// The earliest comes out of a heap first, and of two at one moment the one that was put in first.
#[derive(Debug)]
struct Due {
    /// The moment, and a number that no other has.
    at: Reverse<(u64, u64)>,
    event: Event,
}

impl Agenda {
    /// Puts an event in, for a true moment in microseconds.
    pub fn put(&mut self, at: u64, event: Event) {
        self.tie += 1;
        let at = Reverse((at, self.tie));
        let due = Due { at, event };
        let ahead = (at.0.0 >> SPAN_BITS).checked_sub(self.span + 1);
        let Some(ahead) = ahead else {
            self.near.push(due);
            return;
        };
        let ahead = ahead as usize;
        while self.later.len() <= ahead {
            self.later.push_back(self.empty.pop().unwrap_or_default());
        }
        self.later[ahead].push(due);
    }

    /// What does not pass this does not happen.
    pub fn retain(&mut self, kept: impl Fn(&Event) -> bool) {
        self.near.retain(|due| kept(&due.event));
        for span in &mut self.later {
            span.retain(|due| kept(&due.event));
        }
    }

    /// Takes out what happens next and when, if that is not after the true moment `end`.
    pub fn next_until(&mut self, end: u64) -> Option<(u64, Event)> {
        while self.near.is_empty() {
            if self.span >= end >> SPAN_BITS {
                return None;
            }
            self.span += 1;
            let Some(next) = self.later.pop_front() else {
                continue;
            };
            let over = std::mem::replace(&mut self.near, next.into());
            self.empty.push(over.into_vec());
        }
        let next = self.near.peek_mut()?;
        let due = (next.at.0.0 <= end).then(|| PeekMut::pop(next))?;
        Some((due.at.0.0, due.event))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> Ordering {
        self.at.cmp(&other.at)
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::rng::Rng;
    use std::collections::BTreeMap;

    #[test]
    fn events_happen_in_the_order_of_an_ordered_map_but_those_taken_out() {
        let mut rng = Rng::new(7);
        let (mut agenda, mut model) = (Agenda::default(), BTreeMap::new());
        let (mut now, mut tie) = (1_000_000, 0);
        for _ in 0..2000 {
            for _ in 0..rng.below(6) {
                let delay = rng.pick(&[0, 1, 700, 4096, 300_000]);
                let at = now + rng.below(delay + 1);
                tie += 1;
                agenda.put(at, Event::Stored(tie));
                model.insert((at, tie), tie);
            }
            if rng.below(50) == 0 {
                let gone = rng.below(5);
                agenda.retain(|event| !matches!(event, Event::Stored(id) if id % 5 == gone));
                model.retain(|_, id| *id % 5 != gone);
            }
            let end = now + rng.pick(&[0, 10, 5_000, 50_000]);
            while let Some((at, event)) = agenda.next_until(end) {
                let ((known, _), tie) = model.pop_first().expect("as many");
                assert_eq!(at, known);
                assert!(matches!(event, Event::Stored(id) if id == tie), "{event:?}");
            }
            assert!(model.keys().next().is_none_or(|&(at, _)| at > end));
            now = end;
        }
    }
}
