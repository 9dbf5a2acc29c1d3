//! Invariant 4: what a client was told is done is in every later image, once.

use crate::sim::world::World;
use fusion_core::config::Configuration;
use fusion_core::id::{MemberId, Seq};
use std::collections::{BTreeMap, BTreeSet};

/// A replacement is activated, with its predecessor's history up to `seq`.
///
/// # Panics
/// When something that was answered is not in it.
pub fn on_activation(world: &mut World, config: &Configuration, member: MemberId, seq: Seq) {
    let index = config.index_of(member).expect("a primary");
    let truth = &mut world.truth;
    let line = &mut truth.lines[index.index()];
    let before = std::mem::replace(&mut line.active, member);
    let upto = |s: &&Seq| **s <= seq;
    let history = truth.histories.get(&before).cloned().unwrap_or_default();
    let history: BTreeMap<_, _> = history.into_iter().filter(|(s, _)| upto(&s)).collect();
    let states = truth.states.get(&before).cloned().unwrap_or_default();
    let states = states.into_iter().filter(|(s, _)| upto(&s)).collect();
    let there: BTreeSet<_> = history
        .values()
        .map(|(id, _)| (id.session, id.slot, id.number))
        .collect();
    for (id, _) in &line.writes {
        assert!(
            there.contains(&(id.session, id.slot, id.number)),
            "invariant 4: {id:?} was answered and is lost at primary {index}, recovered at {seq}"
        );
    }
    truth.histories.insert(member, history);
    truth.states.insert(member, states);
}

/// At the end: everything that was answered is there once.
///
/// # Panics
/// When it is not.
pub fn check(world: &World) {
    for (index, line) in world.truth.lines.iter().enumerate() {
        let history = world.truth.histories.get(&line.active);
        let mut seen = BTreeSet::new();
        for (id, _) in history.into_iter().flat_map(BTreeMap::values) {
            assert!(
                seen.insert((id.session, id.slot, id.number)),
                "invariant 4: {id:?} was executed twice at primary {index}"
            );
        }
        for (id, _) in &line.writes {
            assert!(
                seen.contains(&(id.session, id.slot, id.number)),
                "invariant 4: {id:?} was answered and is lost at primary {index}"
            );
        }
    }
}
