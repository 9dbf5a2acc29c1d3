//! A plain structure of the standard library that says what a fused one must answer and hold.

use super::{list, map, queue};
use crate::op::{Kind, Op, OpError, OpResult, Reply};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What one structure holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Model {
    /// A list or a queue, from the front.
    Sequence(Kind, VecDeque<Bytes>),
    /// A map.
    Map(BTreeMap<Bytes, Bytes>),
}

impl Model {
    /// An empty one.
    #[must_use]
    pub fn new(kind: Kind) -> Model {
        match kind {
            Kind::Map => Model::Map(BTreeMap::new()),
            kind => Model::Sequence(kind, VecDeque::new()),
        }
    }

    /// What kind of structure it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Model::Sequence(kind, _) => *kind,
            Model::Map(_) => Kind::Map,
        }
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Model::Sequence(_, elements) => elements.len(),
            Model::Map(entries) => entries.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Executes an operation, a read as well.
    ///
    /// # Errors
    /// What the structure must say.
    pub fn apply(&mut self, op: &Op) -> OpResult {
        match (self, op) {
            (model, Op::Len) => Ok(Reply::Len(model.len() as u64)),
            (Model::Sequence(Kind::Queue, elements), op) => queue::apply(elements, op),
            (Model::Sequence(_, elements), op) => list::apply(elements, op),
            (Model::Map(entries), op) => map::apply(entries, op),
        }
    }

    /// Whether an operation may be told so now; it is executed. `Err` with what it should have been told.
    ///
    /// Ranges and scans may be cut short, and scans give entries in any order, each once.
    pub(super) fn agree(&mut self, op: &Op, told: &OpResult) -> Result<(), OpResult> {
        let agreed = match (&*self, op, told) {
            (
                Model::Map(entries),
                Op::Scan { cursor, .. },
                Ok(Reply::Entries {
                    entries: told,
                    next,
                }),
            ) => {
                // Only a scan in one go says all.
                let whole = cursor.is_none() && next.is_none();
                let right = told
                    .iter()
                    .all(|(key, value)| entries.get(key) == Some(value));
                let keys: BTreeSet<&Bytes> = told.iter().map(|(key, _)| key).collect();
                right && keys.len() == told.len() && (!whole || told.len() == entries.len())
            }
            (Model::Sequence(_, elements), Op::Range { start, limit }, Ok(Reply::Values(told))) => {
                let start = usize::try_from(*start)
                    .unwrap_or(usize::MAX)
                    .min(elements.len());
                let there = elements.range(start..).take((*limit).max(1) as usize);
                // At least one, unless it is the end.
                let is_prefix = told.iter().eq(there.clone().take(told.len()));
                is_prefix && (told.is_empty() == (there.len() == 0))
            }
            _ => {
                let expected = self.apply(op);
                return if expected == *told {
                    Ok(())
                } else {
                    Err(expected)
                };
            }
        };
        if agreed { Ok(()) } else { Err(self.apply(op)) }
    }

    /// What is different about another one, in words; nothing, when it is the same.
    pub(super) fn difference(&self, found: &Model) -> Option<String> {
        if self == found {
            return None;
        }
        let (wanted, there) = (self.len(), found.len());
        Some(match (self, found) {
            (Model::Sequence(_, wanted_all), Model::Sequence(_, found)) => {
                let mut pairs = wanted_all.iter().zip(found);
                match pairs.position(|(w, f)| w != f) {
                    Some(at) => format!(
                        "there are {there} elements instead of {wanted}, and at {at} {:?} instead of {:?}",
                        found[at], wanted_all[at]
                    ),
                    None => format!("there are {there} elements instead of {wanted}"),
                }
            }
            (Model::Map(wanted), Model::Map(found)) => {
                let keys = wanted.keys().chain(found.keys());
                let wrong = keys.filter(|key| wanted.get(*key) != found.get(*key));
                let wrong: Vec<String> = wrong
                    .take(3)
                    .map(|key| {
                        format!(
                            "{key:?} is {:?} instead of {:?}",
                            found.get(key),
                            wanted.get(key)
                        )
                    })
                    .collect();
                wrong.join(", ")
            }
            (wanted, found) => {
                format!("there is a {} instead of a {}", found.kind(), wanted.kind())
            }
        })
    }
}

pub(super) fn wrong_kind(kind: Kind) -> OpResult {
    Err(OpError::WrongKind { kind })
}

/// Elements from `start` on.
pub(super) fn range(elements: &VecDeque<Bytes>, start: u64, limit: u32) -> OpResult {
    let start = usize::try_from(start)
        .unwrap_or(usize::MAX)
        .min(elements.len());
    let values = elements.range(start..).take(limit.max(1) as usize);
    Ok(Reply::Values(values.cloned().collect()))
}
