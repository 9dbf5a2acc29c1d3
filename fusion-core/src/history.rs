//! What clients saw, and whether one structure that never fails could have answered so.
//!
//! Every answer carries the number of the change that executed it ([`Seq`]; of a read, the last one before it), so that
//! the order is known and looking is linear: the numbers must not contradict real time, no two changes may have one
//! number, none may be there that nobody asked for, and every answer must be the one that the order gives. Values should
//! be unique, so that a wrong one shows. A change of unknown outcome has happened once or never: wherever a number is
//! missing, both are tried.
//!
//! One checker a file; the simulation and runs on real processes use the same ones. [`export`] hands histories of real
//! processes to checkers that are not ours.

mod answers;
mod exactly_once;
pub mod export;
mod list;
mod lost_writes;
mod map;
mod model;
mod queue;
mod real_time;
#[cfg(test)]
mod tests;

pub use model::Model;
pub use real_time::follows;

use crate::id::Seq;
use crate::op::{Kind, Op, OpResult};
use serde::{Deserialize, Serialize};
use std::fmt;

/// At most so many violations of one kind are told.
const MAX_TOLD: usize = 20;

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The structure answered.
    Answered {
        /// What it said.
        result: OpResult,
        /// The change that executed it; of a read, the last one before it.
        seq: Seq,
    },
    /// It was refused, and surely changed nothing.
    NoEffect,
    /// Nobody knows whether it was executed.
    Unknown,
}

/// One operation of one client at one structure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Which client.
    pub client: u64,
    /// What it asked.
    pub op: Op,
    /// When it asked, in microseconds of a clock that all clients of the history share.
    pub invoked_us: u64,
    /// When it heard, or gave up.
    pub returned_us: u64,
    /// What it heard.
    pub outcome: Outcome,
}

impl Operation {
    /// The number of its change, if it was answered.
    #[must_use]
    pub fn seq(&self) -> Option<Seq> {
        match self.outcome {
            Outcome::Answered { seq, .. } => Some(seq),
            Outcome::NoEffect | Outcome::Unknown => None,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (client, op) = (self.client, &self.op);
        let ms = |us: u64| us as f64 / 1000.0;
        let (from, to) = (ms(self.invoked_us), ms(self.returned_us));
        write!(f, "client {client}, {from:.1} to {to:.1} ms: {op:?}")?;
        match &self.outcome {
            Outcome::Answered { result, seq } => write!(f, " answered {result:?} as change {seq}"),
            Outcome::NoEffect => write!(f, " without effect"),
            Outcome::Unknown => write!(f, " of unknown outcome"),
        }
    }
}

/// All that happened to one structure, as its clients know it.
#[derive(Clone, Debug)]
pub struct History {
    /// Its kind.
    pub kind: Kind,
    /// Everything that was asked, in any order.
    pub operations: Vec<Operation>,
    /// How many changes there may be beside those of the operations: sessions that were opened and closed.
    pub others: u64,
    /// What it held in the end, if somebody looked when nothing was under way.
    pub contents: Option<Contents>,
}

/// What a structure held when nothing was under way.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The last change by then.
    pub seq: Seq,
    /// All of it.
    pub model: Model,
}

/// A history that no structure without failures has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// An operation took effect before one that had been answered when it was asked: a stale read, or a change that was
    /// lost and its number given again.
    OutOfOrder {
        /// The operation.
        operation: Box<Operation>,
        /// The greatest number that somebody knew when it was asked.
        known: Seq,
    },
    /// Two changes have one number: one of them is lost.
    OneNumber {
        /// The one.
        first: Box<Operation>,
        /// The other.
        second: Box<Operation>,
    },
    /// More changes were made than anybody asked for: one was made twice, or came from nowhere.
    Unasked {
        /// Numbers that no answer has; the first ones.
        seqs: Vec<Seq>,
        /// How many.
        count: u64,
        /// How many there may be.
        allowed: u64,
    },
    /// An answer that the order of changes does not give.
    WrongAnswer {
        /// The operation.
        operation: Box<Operation>,
        /// What it should have been told.
        expected: OpResult,
    },
    /// The contents in the end are not what the changes make of it.
    WrongContents {
        /// What differs, in words.
        difference: String,
    },
    /// So many outcomes are unknown that not all ways in which they may have happened could be tried; none of those
    /// that were fits.
    Undecided {
        /// How many are unknown.
        unknown: usize,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::OutOfOrder { operation, known } => {
                write!(f, "change {known} was known before it, but {operation}")
            }
            Violation::OneNumber { first, second } => {
                write!(
                    f,
                    "two changes of one number, one of them lost: {first}; {second}"
                )
            }
            Violation::Unasked {
                seqs,
                count,
                allowed,
            } => write!(
                f,
                "{count} changes were made without an answer, {allowed} at most may be: {seqs:?}"
            ),
            Violation::WrongAnswer {
                operation,
                expected,
            } => {
                write!(f, "should have been {expected:?}: {operation}")
            }
            Violation::WrongContents { difference } => write!(f, "in the end {difference}"),
            Violation::Undecided { unknown } => write!(
                f,
                "{unknown} outcomes are unknown, and no way that was tried explains the answers"
            ),
        }
    }
}

/// Everything that is wrong with a history; nothing, when a structure that never fails could have had it.
#[must_use]
pub fn check(history: &History) -> Vec<Violation> {
    let mut violations = real_time::check(&history.operations);
    violations.extend(lost_writes::check(&history.operations));
    violations.extend(exactly_once::check(history));
    // The order means nothing then: what follows from it would only bury the cause.
    if violations.is_empty() {
        violations.extend(answers::check(history));
    }
    violations
}
