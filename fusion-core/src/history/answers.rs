//! Every answer, a read's too, is the one that the order of changes gives: one sweep over the numbers, with a model.

use super::real_time::known_before;
use super::{History, Model, Operation, Outcome, Violation};
use crate::id::Seq;
use crate::op::OpResult;
use std::collections::BTreeSet;

/// How often the sweep goes back to try another way in which changes of unknown outcome may have happened.
const MAX_TRIES: usize = 2000;

/// A change of unknown outcome, and the greatest number that was known when it was asked.
struct Unknown<'a> {
    operation: &'a Operation,
    known: Seq,
}

/// The operations in their order, and what is not ordered.
struct Order<'a> {
    /// By number, changes before reads.
    answered: Vec<(Seq, bool, &'a Operation, &'a OpResult)>,
    unknown: Vec<Unknown<'a>>,
    last: Seq,
    contents: Option<&'a Model>,
}

/// How far one way was followed. Everything before `next` has happened but the reads right before it.
#[derive(Clone)]
struct Sweep {
    model: Model,
    /// The next operation.
    at: usize,
    /// The next number.
    next: Seq,
    /// Changes of unknown outcome that have happened.
    happened: BTreeSet<usize>,
    /// So many numbers may still be none of an operation's.
    others: u64,
}

pub(super) fn check(history: &History) -> Option<Violation> {
    let order = Order::of(history);
    let mut ways = vec![Sweep {
        model: Model::new(history.kind),
        at: 0,
        next: Seq(1),
        happened: BTreeSet::new(),
        others: history.others,
    }];
    let mut furthest: Option<(Seq, Violation)> = None;
    for _ in 0..MAX_TRIES {
        let Some(mut way) = ways.pop() else {
            return furthest.map(|(_, violation)| violation);
        };
        match order.follow(&mut way, &mut ways) {
            Ok(()) => return None,
            Err(violation) => {
                if furthest.as_ref().is_none_or(|(at, _)| way.next > *at) {
                    furthest = Some((way.next, violation));
                }
            }
        }
    }
    Some(Violation::Undecided {
        unknown: order.unknown.len(),
    })
}

impl<'a> Order<'a> {
    fn of(history: &'a History) -> Order<'a> {
        let operations = &history.operations;
        let mut answered: Vec<_> = operations
            .iter()
            .filter_map(|o| match &o.outcome {
                Outcome::Answered { result, seq } => Some((*seq, !o.op.is_mutation(), o, result)),
                Outcome::NoEffect | Outcome::Unknown => None,
            })
            .collect();
        answered.sort_by_key(|(seq, reads, ..)| (*seq, *reads));
        let known = known_before(operations).into_iter();
        let unknown = operations
            .iter()
            .zip(known)
            .filter(|(o, _)| o.op.is_mutation() && o.outcome == Outcome::Unknown)
            .map(|(operation, known)| Unknown { operation, known });
        let last = answered.last().map_or(Seq(0), |(seq, ..)| *seq);
        let looked = history.contents.as_ref().map_or(Seq(0), |c| c.seq);
        Order {
            last: last.max(looked),
            answered,
            unknown: unknown.collect(),
            contents: history.contents.as_ref().map(|c| &c.model),
        }
    }

    /// Follows one way to its end; the other ways that there are at a number without an answer are put aside.
    fn follow(&self, way: &mut Sweep, aside: &mut Vec<Sweep>) -> Result<(), Violation> {
        loop {
            let seq = way.next;
            while let Some(&(at, true, operation, told)) = self.answered.get(way.at)
                && at < seq
            {
                way.at += 1;
                agree(&mut way.model, operation, told)?;
            }
            if seq > self.last {
                return self.end(&way.model);
            }
            way.next = seq.next();
            match self.answered.get(way.at) {
                Some(&(at, false, operation, told)) if at == seq => {
                    way.at += 1;
                    agree(&mut way.model, operation, told)?;
                }
                _ => self.explain(seq, way, aside)?,
            }
        }
    }

    /// Nobody was told of this number: a session's, or a change of unknown outcome.
    fn explain(&self, seq: Seq, way: &mut Sweep, aside: &mut Vec<Sweep>) -> Result<(), Violation> {
        let possible = (0..self.unknown.len())
            .filter(|u| self.unknown[*u].known < seq && !way.happened.contains(u));
        let mut others: Vec<Sweep> = possible.map(|u| self.happens(way, u)).collect();
        if let Some(left) = way.others.checked_sub(1) {
            way.others = left;
        } else if let Some(other) = others.pop() {
            *way = other;
        } else {
            return Err(Violation::Unasked {
                seqs: vec![seq],
                count: 1,
                allowed: 0,
            });
        }
        aside.extend(others);
        Ok(())
    }

    fn happens(&self, way: &Sweep, u: usize) -> Sweep {
        let mut other = way.clone();
        // Nobody heard what it answered.
        let _ = other.model.apply(&self.unknown[u].operation.op);
        other.happened.insert(u);
        other
    }

    fn end(&self, model: &Model) -> Result<(), Violation> {
        match self.contents.and_then(|found| model.difference(found)) {
            Some(difference) => Err(Violation::WrongContents { difference }),
            None => Ok(()),
        }
    }
}

fn agree(model: &mut Model, operation: &Operation, told: &OpResult) -> Result<(), Violation> {
    let agreed = model.agree(&operation.op, told);
    agreed.map_err(|expected| Violation::WrongAnswer {
        operation: Box::new(operation.clone()),
        expected,
    })
}
