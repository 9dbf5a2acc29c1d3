//! A history cut where nothing is under way, and each piece judged by the checker from every state that the one before
//! can have ended in.
//!
//! The checker says yes or no for a history from one beginning. So a piece begins with an operation that sets the state,
//! and ends with one that notes the state and disagrees: the checker then goes on until it has tried every order, and
//! the notes are all states that the piece can end in; none, when no order explains the answers. What of unknown outcome
//! has not happened in a piece may happen in a later one.

use crate::record::Told;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;
use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::specifications::Specification;

/// A piece has at least so many operations.
const PIECE: usize = 40;
/// In so many states at most a piece may end.
const MAX_STATES: usize = 2000;
/// So many operations are tried in a piece before it is given up: the checker remembers each.
const MAX_TRIES: usize = 400_000;

/// What a structure answers.
pub(crate) trait Structure: Clone + Debug + Default + Eq + Hash + 'static {
    /// What it is asked.
    type Operation: Clone + Debug;

    /// Executes an operation; returns whether the answer is right. `None`: nobody heard it.
    fn apply(&mut self, asked: &Self::Operation, told: Option<&Told>) -> bool;
}

/// One operation of a history.
#[derive(Clone, Debug)]
pub(crate) struct Operation<T> {
    pub(crate) asked: T,
    /// `None`: nobody knows whether it took effect.
    pub(crate) told: Option<Told>,
    pub(crate) invoked_us: u64,
    /// `None`: it may take effect at any later time.
    pub(crate) returned_us: Option<u64>,
}

/// Why a history is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No order explains what was told between these times.
    Wrong { from_us: u64, to_us: u64 },
    /// So many are unknown by this time that not all states can be followed.
    TooMany { at_us: u64 },
}

/// What the structure holds, and which operations of unknown outcome have happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State<S> {
    structure: S,
    happened: BTreeSet<usize>,
}

#[derive(Clone, Debug)]
enum Step<S: Structure> {
    Begin(State<S>),
    Known(S::Operation, Told),
    /// Of unknown outcome, with its place among those.
    Unknown(usize, S::Operation),
    End,
}

thread_local! {
    /// The states that the piece at hand can end in, by the type that asks.
    static ENDS: RefCell<Vec<Box<dyn std::any::Any>>> = const { RefCell::new(Vec::new()) };
    /// How often the checker may yet try an operation; at 0 nothing agrees, so that it comes to an end.
    static TRIES: Cell<usize> = const { Cell::new(MAX_TRIES) };
}

struct Spec<S>(PhantomData<S>);

impl<S: Structure> Specification for Spec<S> {
    type State = State<S>;
    type Operation = Step<S>;

    fn init() -> State<S> {
        State::default()
    }

    fn apply(step: &Step<S>, state: &State<S>) -> (bool, State<S>) {
        TRIES.set(TRIES.get().saturating_sub(1));
        if TRIES.get() == 0 {
            return (false, state.clone());
        }
        let mut after = state.clone();
        let agrees = match step {
            Step::Begin(state) => return (true, state.clone()),
            Step::Known(asked, told) => after.structure.apply(asked, Some(told)),
            Step::Unknown(number, asked) => {
                after.happened.insert(*number) && after.structure.apply(asked, None)
            }
            Step::End => {
                ENDS.with_borrow_mut(|ends| ends.push(Box::new(state.clone())));
                false
            }
        };
        if agrees {
            (true, after)
        } else {
            (false, state.clone())
        }
    }
}

/// Judges a history, in any order of its operations.
pub(crate) fn judge<S: Structure>(
    mut operations: Vec<Operation<S::Operation>>,
) -> Result<(), Refusal> {
    operations.sort_by_key(|o| (o.invoked_us, o.returned_us));
    let mut unknown: Vec<(usize, S::Operation)> = Vec::new();
    let mut states = HashSet::from([State::<S>::default()]);
    let mut rest = &operations[..];
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(cut(rest));
        rest = after;
        TRIES.set(MAX_TRIES);
        let old = unknown.len();
        let news = piece.iter().filter(|o| o.told.is_none());
        unknown.extend(news.enumerate().map(|(i, o)| (old + i, o.asked.clone())));
        let ends: HashSet<State<S>> = states
            .iter()
            .flat_map(|state| ends(state, piece, &unknown, old))
            .collect();
        let (from_us, to_us) = (piece[0].invoked_us, latest(piece));
        if TRIES.get() == 0 {
            return Err(Refusal::TooMany { at_us: to_us });
        }
        if ends.is_empty() {
            return Err(Refusal::Wrong { from_us, to_us });
        }
        states = minimal(ends);
        if states.len() > MAX_STATES {
            return Err(Refusal::TooMany { at_us: to_us });
        }
    }
    Ok(())
}

/// Where something of unknown outcome made no difference, it may as well not have happened yet: that state can end in
/// whatever the other one can.
fn minimal<S: Structure>(states: HashSet<State<S>>) -> HashSet<State<S>> {
    let less = |a: &State<S>, b: &State<S>| {
        a.structure == b.structure && a.happened != b.happened && a.happened.is_subset(&b.happened)
    };
    let needed = states.iter().filter(|b| !states.iter().any(|a| less(a, b)));
    needed.cloned().collect()
}

fn latest<T>(operations: &[Operation<T>]) -> u64 {
    let returned = operations.iter().filter_map(|o| o.returned_us);
    returned.max().unwrap_or(u64::MAX)
}

/// How long the first piece is: up to the first moment when nothing is under way but what never returns.
fn cut<T>(operations: &[Operation<T>]) -> usize {
    let mut until = 0;
    for (at, operation) in operations.iter().enumerate() {
        if at >= PIECE && operation.invoked_us > until {
            return at;
        }
        until = until.max(operation.returned_us.unwrap_or_default());
    }
    operations.len()
}

/// All states that a piece can end in from this one. The first `old` of unknown outcome are from before it.
fn ends<S: Structure>(
    from: &State<S>,
    piece: &[Operation<S::Operation>],
    unknown: &[(usize, S::Operation)],
    old: usize,
) -> HashSet<State<S>> {
    // Time, calls before responses at one time, process, and what it is.
    let mut steps: Vec<(u64, bool, usize, Step<S>)> = Vec::new();
    let mut process = 2;
    let mut add = |from: u64, to: u64, step: Step<S>| {
        steps.push((from, false, process, step.clone()));
        steps.push((to, true, process, step));
        process += 1;
    };
    let begin = piece[0].invoked_us;
    // What never returns is there after the end, too: it need not have happened by then.
    let never = u64::MAX;
    for (number, asked) in unknown[..old]
        .iter()
        .filter(|(n, _)| !from.happened.contains(n))
    {
        add(begin, never, Step::Unknown(*number, asked.clone()));
    }
    let mut news = unknown[old..].iter();
    for operation in piece {
        match &operation.told {
            Some(told) => {
                let returned = operation.returned_us.unwrap_or(never - 3);
                let step = Step::Known(operation.asked.clone(), told.clone());
                add(operation.invoked_us, returned, step);
            }
            None => {
                if let Some((number, asked)) = news.next() {
                    add(
                        operation.invoked_us,
                        never,
                        Step::Unknown(*number, asked.clone()),
                    );
                }
            }
        }
    }
    steps.push((never - 2, false, 1, Step::End));
    steps.push((never - 1, true, 1, Step::End));
    steps.sort_by_key(|(at, responds, ..)| (*at, *responds));
    let begin = Step::Begin(from.clone());
    let mut actions = vec![
        (0, Action::Call(begin.clone())),
        (0, Action::Response(begin)),
    ];
    // A process for each operation would be a table for each; those that have returned are used again.
    let mut free: Vec<usize> = Vec::new();
    let mut places: Vec<(usize, usize)> = Vec::new();
    let mut count = 2;
    for (_, responds, process, step) in steps {
        if responds {
            let at = places.iter().position(|(p, _)| *p == process);
            let place = at.map_or(0, |at| places.swap_remove(at).1);
            free.push(place);
            actions.push((place, Action::Response(step)));
        } else {
            let place = free.pop().unwrap_or_else(|| {
                count += 1;
                count - 1
            });
            places.push((process, place));
            actions.push((place, Action::Call(step)));
        }
    }
    ENDS.with_borrow_mut(Vec::clear);
    // It can never agree: its last operation does not.
    let _ = WGLChecker::<Spec<S>>::is_linearizable(History::from_actions(actions));
    let found = ENDS.with_borrow_mut(std::mem::take);
    let states = found
        .into_iter()
        .filter_map(|end| end.downcast::<State<S>>().ok());
    states.map(|state| *state).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Asked;
    use crate::sequence::{Ahead, Sequence};
    use std::sync::Arc;

    fn operation(asked: Asked, told: Option<Told>, from: u64, to: u64) -> Operation<Ahead> {
        let returned_us = told.is_some().then_some(to);
        Operation {
            asked: ahead(asked),
            told,
            invoked_us: from,
            returned_us,
        }
    }

    /// Nothing is known of what comes.
    fn ahead(asked: Asked) -> Ahead {
        Ahead {
            asked,
            returned_us: 0,
            future: Arc::default(),
        }
    }

    /// The checker alone, in one go.
    fn at_once(operations: &[Operation<Ahead>]) -> bool {
        let mut actions = Vec::new();
        for (process, o) in operations.iter().enumerate() {
            let step: Step<Sequence> = match &o.told {
                Some(told) => Step::Known(o.asked.clone(), told.clone()),
                None => Step::Unknown(process, o.asked.clone()),
            };
            actions.push((o.invoked_us, false, process, step.clone()));
            actions.push((o.returned_us.unwrap_or(u64::MAX), true, process, step));
        }
        actions.sort_by_key(|(at, responds, ..)| (*at, *responds));
        let action = |(_, responds, process, step)| match responds {
            false => (process, Action::Call(step)),
            true => (process, Action::Response(step)),
        };
        let actions = actions.into_iter().map(action).collect();
        TRIES.set(usize::MAX);
        WGLChecker::<Spec<Sequence>>::is_linearizable(History::from_actions(actions))
    }

    /// Histories of a queue, right ones and wrong ones: cut or not, the verdict is the same.
    #[test]
    fn a_history_that_is_cut_gets_the_verdict_of_the_whole() {
        let random = Cell::new(7_u64);
        let below = |limit: u64| {
            random.set(
                random
                    .get()
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1),
            );
            (random.get() >> 33) % limit
        };
        let (mut right, mut wrong) = (0, 0);
        for _ in 0..60 {
            let mut queue = Sequence::default();
            let mut operations = Vec::new();
            let mut now = 10;
            for number in 0..4 * PIECE {
                now += 2 + below(6);
                let asked = match below(2) {
                    0 => Asked::Dequeue,
                    _ => Asked::Enqueue {
                        value: number.to_string(),
                    },
                };
                let told = match &asked {
                    // A mistake, now and then.
                    Asked::Dequeue if below(100) == 0 => Told::Value(None),
                    Asked::Dequeue => Told::Value(queue.front()),
                    _ => Told::Done,
                };
                let _ = queue.apply(&ahead(asked.clone()), None);
                let unknown = below(150) == 0;
                let (from, to) = (now - below(3), now + below(3));
                operations.push(operation(asked, (!unknown).then_some(told), from, to));
            }
            let whole = at_once(&operations);
            assert_eq!(judge::<Sequence>(operations).is_ok(), whole);
            if whole { right += 1 } else { wrong += 1 }
        }
        assert!(right >= 10 && wrong >= 10, "{right} right, {wrong} wrong");
    }

    #[test]
    fn what_is_unknown_may_happen_in_a_later_piece_and_once_only() {
        let enqueue = |value: &str| Asked::Enqueue {
            value: value.to_owned(),
        };
        let value = |value: &str| Some(Told::Value(Some(value.to_owned())));
        let late = |takes: u64| {
            let mut all = vec![operation(enqueue("late"), None, 1, 0)];
            for number in 0..3 * PIECE as u64 {
                let (asked, told) = (Asked::Dequeue, Some(Told::Value(None)));
                all.push(operation(asked, told, 10 * number + 10, 10 * number + 12));
            }
            for number in 0..takes {
                let at = 1_000_000 + 10 * number;
                all.push(operation(Asked::Dequeue, value("late"), at, at + 1));
            }
            judge::<Sequence>(all)
        };
        assert_eq!(late(0), Ok(()));
        assert_eq!(late(1), Ok(()));
        assert!(matches!(late(2), Err(Refusal::Wrong { .. })));
    }
}
