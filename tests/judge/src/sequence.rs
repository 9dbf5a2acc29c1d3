//! A list or a queue, from the front.

use crate::future::Future;
use crate::record::{Asked, Told};
use crate::windows::Structure;
use std::sync::Arc;

/// Its elements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Sequence(Vec<Arc<str>>);

/// An operation, and what is known of what comes after it.
#[derive(Clone, Debug)]
pub(crate) struct Ahead {
    pub(crate) asked: Asked,
    /// It took effect before this time, if it was answered.
    pub(crate) returned_us: u64,
    pub(crate) future: Arc<Future>,
}

impl Structure for Sequence {
    type Operation = Ahead;

    fn apply(&mut self, ahead: &Ahead, told: Option<&Told>) -> bool {
        !self.is_refuted(ahead) && self.answers(&ahead.asked, told)
    }
}

impl Sequence {
    /// Whether what this operation would do now contradicts what was seen later.
    fn is_refuted(&self, ahead: &Ahead) -> bool {
        let future = &ahead.future;
        match &ahead.asked {
            Asked::Enqueue { value } => self.0.iter().any(|u| future.overtakes(u, value)),
            Asked::Append { value } => self.0.iter().any(|u| future.swaps(u, value)),
            Asked::Insert { index, value } => {
                let (before, after) = self.0.split_at((*index).min(self.0.len()));
                before.iter().any(|u| future.swaps(u, value))
                    || after.iter().any(|u| future.swaps(value, u))
            }
            Asked::SetIndex { index, .. } => {
                let old = self.0.get(*index);
                old.is_some_and(|old| future.sees(old, ahead.returned_us))
            }
            _ => false,
        }
    }

    /// Executes an operation; returns whether the answer is right.
    fn answers(&mut self, asked: &Asked, told: Option<&Told>) -> bool {
        let len = self.0.len();
        // Nothing has changed then.
        let outside = |told: Option<&Told>| told.is_none_or(|t| *t == Told::OutOfRange { len });
        let is = |told: Option<&Told>, expected: Told| told.is_none_or(|t| *t == expected);
        let says = |told: Option<&Told>, value: Option<&Arc<str>>| match told {
            None => true,
            Some(Told::Value(told)) => told.as_deref() == value.map(|v| &**v),
            Some(_) => false,
        };
        match asked {
            Asked::Len => is(told, Told::Len(len)),
            Asked::Contents => told.is_none_or(|told| self.values(told, 0, len) == Some(len)),
            // At least one is told, unless it is the end.
            Asked::Range { start, limit } => told.is_none_or(|told| {
                let there = len.saturating_sub(*start).min((*limit).max(1));
                let count = self.values(told, *start, there);
                count.is_some_and(|count| (count == 0) == (there == 0))
            }),
            Asked::GetIndex { index } if *index >= len => outside(told),
            Asked::GetIndex { index } => says(told, self.0.get(*index)),
            Asked::SetIndex { index, .. } if *index >= len => outside(told),
            Asked::SetIndex { index, value } => {
                self.0[*index] = value.as_str().into();
                is(told, Told::Done)
            }
            Asked::Insert { index, .. } if *index > len => outside(told),
            Asked::Insert { index, value } => {
                self.0.insert(*index, value.as_str().into());
                is(told, Told::Done)
            }
            Asked::Append { value } => {
                self.0.push(value.as_str().into());
                is(told, Told::Index(len))
            }
            Asked::RemoveIndex { index } if *index >= len => outside(told),
            Asked::RemoveIndex { index } => says(told, Some(&self.0.remove(*index))),
            Asked::Peek => says(told, self.0.first()),
            Asked::Enqueue { value } => {
                self.0.push(value.as_str().into());
                is(told, Told::Done)
            }
            Asked::Dequeue => {
                let front = (len > 0).then(|| self.0.remove(0));
                says(told, front.as_ref())
            }
            _ => false,
        }
    }

    #[cfg(test)]
    pub(crate) fn front(&self) -> Option<String> {
        self.0.first().map(|value| value.to_string())
    }

    /// How many elements from `start` on were told, if they are those that are there, and at most `limit`.
    fn values(&self, told: &Told, start: usize, limit: usize) -> Option<usize> {
        let Told::Values(told) = told else {
            return None;
        };
        let there = self.0.iter().skip(start).take(limit);
        let same = told.len() <= limit && told.iter().zip(there).all(|(t, there)| *t == **there);
        same.then_some(told.len())
    }
}
