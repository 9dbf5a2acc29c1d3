//! All states, breadth first, so that what is found first is found by the fewest events.

use crate::events::Event;
use crate::state::State;
use fusion_core::membership;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;

/// How far to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Primaries.
    pub(crate) n: usize,
    /// Codes.
    pub(crate) f: usize,
    /// Servers without a member.
    pub(crate) spares: usize,
    /// Crashes, pauses, breaks and cuts together; what ends them costs nothing.
    pub(crate) faults: u8,
    /// Commands of operators.
    pub(crate) commands: u8,
    /// States after which the search stops, incomplete.
    pub(crate) states: usize,
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bounds {
            n,
            f: codes,
            spares,
            faults,
            commands,
            ..
        } = self;
        write!(
            f,
            "n={n} f={codes} spares={spares} faults={faults} commands={commands}"
        )
    }
}

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Explored {
    /// Different states.
    pub(crate) states: usize,
    /// Events that led from one to another.
    pub(crate) events: usize,
    /// Nothing was left out within the bounds.
    pub(crate) complete: bool,
}

/// A violation, and the shortest way to it. Servers are named afresh in each state.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// What is wrong.
    pub(crate) what: String,
    /// The events.
    pub(crate) way: Vec<Event>,
    /// The state.
    pub(crate) state: Box<State>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} after {:?}", self.what, self.way)?;
        write!(f, "in {}", self.state)
    }
}

/// Looks at every state that can be reached.
///
/// # Errors
/// The first violation.
pub(crate) fn explore(bounds: &Bounds) -> Result<Explored, Found> {
    let Bounds {
        n,
        f,
        spares,
        faults,
        commands,
        ..
    } = *bounds;
    let first = State::new(n, f, spares, faults, commands).canonical();
    let mut parents: HashMap<u128, Option<(u128, Event)>> = HashMap::new();
    let mut good: HashSet<u128> = HashSet::new();
    parents.insert(first.key(), None);
    let mut next = VecDeque::from([first]);
    let mut events = 0;
    while let Some(state) = next.pop_front() {
        let key = state.key();
        let plan = membership::plan(&state.config, &state.evidence(), 1);
        let checked = state.check_beyond(&plan);
        let checked = checked.and_then(|()| state.check_acceptance());
        let checked = checked.and_then(|()| state.check_liveness(|key| good.contains(&key)));
        match checked {
            Ok(passed) => good.extend(passed),
            Err(what) => return Err(found(what, way(&parents, key), state)),
        }
        for event in state.events().into_iter().chain([Event::Decide]) {
            let Some(after) = state.after(event, &plan) else {
                continue;
            };
            events += 1;
            if event == Event::Decide
                && let Err(what) = state.check_decision(&after)
            {
                let mut way = way(&parents, key);
                way.push(event);
                return Err(found(what, way, state));
            }
            let after = after.canonical();
            let new = after.key();
            if parents.contains_key(&new) {
                continue;
            }
            if parents.len() >= bounds.states {
                let (states, complete) = (parents.len(), false);
                return Ok(Explored {
                    states,
                    events,
                    complete,
                });
            }
            parents.insert(new, Some((key, event)));
            next.push_back(after);
        }
    }
    let (states, complete) = (parents.len(), true);
    Ok(Explored {
        states,
        events,
        complete,
    })
}

fn found(what: String, way: Vec<Event>, state: State) -> Found {
    let state = Box::new(state);
    Found { what, way, state }
}

fn way(parents: &HashMap<u128, Option<(u128, Event)>>, mut key: u128) -> Vec<Event> {
    let mut way = Vec::new();
    while let Some(Some((before, event))) = parents.get(&key) {
        way.push(*event);
        key = *before;
    }
    way.reverse();
    way
}
