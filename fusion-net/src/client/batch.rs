//! Operations that are sent together: where each goes, and what became of all of them.

use super::Error;
use super::structure::Raw;
use super::taken::Answers;
use fusion_core::op::{Op, Reply};
use futures::future::join_all;
use thiserror::Error as ThisError;

/// What became of changes that were sent together, when one of them failed.
///
/// Where one cannot be sent at all ([`Error::ValueTooLarge`], [`Error::KeyTooLarge`], [`Error::Codec`]), none is.
#[derive(Debug, ThisError)]
#[error("change {index} (from 0) of {of} failed: {source}; {made} were made{}", perhaps(*.unknown))]
pub struct BatchError {
    /// How many changes there were.
    pub of: usize,
    /// So many were made.
    pub made: usize,
    /// So many may have been made or not ([`Error::OutcomeUnknown`], [`Error::BadAnswer`]).
    pub unknown: usize,
    /// The first that failed, by its place in the caller's order.
    pub index: usize,
    /// Why that one failed; what it says is said of that one alone.
    pub source: Box<Error>,
}

fn perhaps(unknown: usize) -> String {
    match unknown {
        0 => String::new(),
        unknown => format!(", perhaps {unknown} more"),
    }
}

/// A change for one of several structures, by its place among them.
pub(super) type Placed = (usize, Op);

/// Makes changes that [`fitting`] has looked at, those of a structure in this order, those of different structures at the
/// same time; answers them in this order.
pub(super) async fn make(structures: &[&Raw], changes: Vec<Placed>) -> Result<Vec<Reply>, Error> {
    all_made(ask(structures, changes).await)
}

/// The changes, if all of them can be sent: nothing is when one of them never could be.
pub(super) fn fitting(
    structures: &[&Raw],
    changes: impl Iterator<Item = Result<Placed, Error>>,
) -> Result<Vec<Placed>, Error> {
    let changes: Vec<_> = changes.collect();
    let of = changes.len();
    let fits = |(index, change): (usize, Result<Placed, Error>)| {
        let change = change.and_then(|(place, op)| match op.oversize() {
            Some(error) => Err(Error::of_op(error, structures[place].name())),
            None => Ok((place, op)),
        });
        change.map_err(|source| {
            Error::Batch(BatchError {
                of,
                made: 0,
                unknown: 0,
                index,
                source: Box::new(source),
            })
        })
    };
    changes.into_iter().enumerate().map(fits).collect()
}

/// The answers of all, or what became of the changes when one failed.
pub(super) fn all_made<T>(answers: Vec<Result<T, Error>>) -> Result<Vec<T>, Error> {
    let of = answers.len();
    let (mut all, mut made, mut unknown, mut first) = (Vec::with_capacity(of), 0, 0, None);
    for (index, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(answer) => {
                made += 1;
                all.push(answer);
            }
            Err(error) => {
                // What was removed is removed, whatever it was.
                made += usize::from(matches!(error, Error::NotOfType { .. }));
                unknown += usize::from(error.leaves_open());
                first.get_or_insert((index, error));
            }
        }
    }
    match first {
        None => Ok(all),
        Some((index, source)) => Err(Error::Batch(BatchError {
            of,
            made,
            unknown,
            index,
            source: Box::new(source),
        })),
    }
}

/// Executes operations, those of a structure in this order, those of different structures at the same time; answers them
/// in this order.
pub(super) async fn ask(structures: &[&Raw], ops: Vec<Placed>) -> Vec<Result<Reply, Error>> {
    let mut each = vec![Vec::new(); structures.len()];
    let mut places = Vec::with_capacity(ops.len());
    for (place, op) in ops {
        places.push(place);
        each[place].push(op);
    }
    let calls = structures
        .iter()
        .zip(each)
        .map(|(raw, ops)| raw.answers_to(ops));
    // What one has taken is kept while another one is waited for.
    let all = join_all(calls).await;
    let replies = |(raw, answers): (&&Raw, Answers)| raw.replies(answers).into_iter();
    let mut answers: Vec<_> = structures.iter().zip(all).map(replies).collect();
    let answers = places.into_iter().map(|place| answers[place].next());
    answers
        .map(|answer| answer.unwrap_or(Err(Error::BadAnswer)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_became_of_a_batch_is_counted_and_the_first_failure_named() {
        let (after, why) = (Duration::from_secs(1), "somebody is away".to_owned());
        let answers = vec![
            Ok(()),
            Err(Error::OutcomeUnknown {
                after,
                why: why.clone(),
            }),
            Ok(()),
            Err(Error::NotSent),
            Err(Error::BadAnswer),
        ];
        let Err(Error::Batch(error)) = all_made(answers) else {
            panic!("it failed");
        };
        let counts = (error.of, error.made, error.unknown, error.index);
        assert_eq!(counts, (5, 2, 2, 1));
        let said = "change 1 (from 0) of 5 failed: no answer after 1 s: somebody is away; whether it was executed is \
                    unknown; 2 were made, perhaps 2 more";
        assert_eq!(error.to_string(), said);
        assert_eq!(all_made(vec![Ok(1), Ok(2)]).unwrap(), [1, 2]);
    }
}
