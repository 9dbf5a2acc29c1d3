//! Going on after more than f were lost (PROTOCOL rule 37): an operator's decision, never a coordinator's.

use super::placement::places;
use super::{Evidence, Planner};
use crate::config::{Configuration, Origin, PrimaryState};
use crate::id::{PrimaryIndex, Row};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use thiserror::Error;

/// Why a loss is not accepted. Nothing changes then.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LossError {
    /// Everything can still be recovered without it.
    #[error("nothing is lost for good: what is dead can be recovered from what is left")]
    NothingLost,
    /// Their processes may be cut off only, and may still answer reads.
    #[error(
        "primaries {indices:?} may still answer reads somewhere: make sure that their processes are dead, and say so with --processes-are-dead"
    )]
    MayStillRead {
        /// The primaries whose leases nobody has seen end.
        indices: Vec<u16>,
    },
    /// There is nowhere to put them.
    #[error("{needed} more servers without a member of this cluster are needed")]
    NoServer {
        /// How many.
        needed: usize,
    },
}

/// The next configuration, in which lost primaries begin empty under new ids and all codes are made anew; and which
/// primaries those are. All that they held is gone; the others keep everything.
///
/// `processes_are_dead` is the operator's word. Without it, a fused member of this epoch, which gives no further lease
/// to the lost primary, must have said that the lease of each is over.
///
/// # Errors
/// [`LossError`].
pub fn accept_loss(
    config: &Configuration,
    evidence: &Evidence,
    nonce: u64,
    processes_are_dead: bool,
) -> Result<(Configuration, Vec<PrimaryIndex>), LossError> {
    let planner = Planner::new(config, evidence);
    let dead = config.active().filter(|(_, s)| planner.dead(s.id, &s.host));
    let lost: BTreeSet<PrimaryIndex> = config.lost().chain(dead.map(|(j, _)| j)).collect();
    let in_sync = config.in_sync().filter(|s| !planner.dead(s.id, &s.host));
    if lost.len() <= in_sync.count() {
        return Err(LossError::NothingLost);
    }
    let over: BTreeSet<PrimaryIndex> = config
        .in_sync()
        .filter_map(|s| planner.heard(s.id))
        .flat_map(|h| h.report.leases_over.iter().copied())
        .collect();
    let sealed = |j: &PrimaryIndex| {
        over.contains(j) && config.primaries[j.index()].state == PrimaryState::Lost
    };
    let indices: Vec<u16> = lost.iter().filter(|j| !sealed(j)).map(|j| j.0).collect();
    if !processes_are_dead && !indices.is_empty() {
        return Err(LossError::MayStillRead { indices });
    }
    let mut hosts = places(config, evidence, &lost);
    if hosts.len() < lost.len() {
        let needed = lost.len() - hosts.len();
        return Err(LossError::NoServer { needed });
    }
    let mut next = config.successor(nonce);
    for &j in &lost {
        let id = next.take_id();
        let seat = &mut next.primaries[j.index()];
        seat.id = id;
        seat.host = hosts.remove(0);
        seat.state = PrimaryState::Active;
        seat.origin = Origin::Created;
        seat.former = None;
        seat.moved_from = None;
    }
    for seat in &mut next.primaries {
        seat.heir = None;
    }
    next.fused.clear();
    for (row, host) in (0..config.faults).map(Row).zip(hosts) {
        next.add_learner(row, host);
    }
    Ok((next, lost.into_iter().collect()))
}
