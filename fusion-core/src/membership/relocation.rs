//! Moving a member to another server without loss of tolerance (PROTOCOL rules 26, 27, 36).
//!
//! A learner of the same row takes a fused member's place in the compare-and-swap in which it is complete. An heir copies
//! a primary while that one serves, and is the primary in the compare-and-swap in which it is complete; the one that was
//! keeps its state until the heir is known to serve. An operator moves one member, or empties a server: then all that it
//! has are moved, one of each cluster at a time.

use super::{Evidence, Planner, Reason, Step, Waiting};
use crate::config::{
    Configuration, Former, FusedSeat, HeirSeat, Host, Origin, PrimarySeat, PrimaryState,
};
use crate::fault::{Fault, planted};
use crate::id::{PrimaryIndex, Row, ServerId};
use crate::message::Condition;
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// Which member is to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A primary.
    Primary(PrimaryIndex),
    /// The holder of a row of codes.
    Row(Row),
}

impl What {
    /// Why the configuration changes.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            What::Primary(index) => Reason::PrimaryMoves(index),
            What::Row(row) => Reason::FusedMoves(row),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Primary(index) => write!(f, "primary {index}"),
            What::Row(row) => write!(f, "fused structure {row}"),
        }
    }
}

/// Why a member is not moved. Nothing changes then.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MoveError {
    /// The cluster has no such member that serves.
    #[error("there is no {what} that serves; there are primaries 0 to {} and fused structures 0 to {}", primaries.saturating_sub(1), faults.saturating_sub(1))]
    NoSuchMember {
        /// The one asked for.
        what: What,
        /// How many primaries there are.
        primaries: usize,
        /// How many rows the cluster should have.
        faults: u16,
    },
    /// There is nothing to be cancelled.
    #[error("{what} is not being moved")]
    NotMoving {
        /// The member asked for.
        what: What,
    },
    /// Recovery comes first, and drops learners and heirs (rules 24, 26).
    #[error(
        "the cluster is not whole, or a member of it is being moved; try again when `fusion status` shows neither"
    )]
    NotWhole,
    /// The server asked for has a member of this cluster, is not alive, or is not known.
    #[error(
        "server {server} cannot take it: it is not alive, is being drained, or it or its host has a member of this cluster"
    )]
    NotUsable {
        /// The server asked for.
        server: ServerId,
    },
    /// No server is free.
    #[error("no server is alive on a host without a member of this cluster; start one")]
    NoServer,
}

/// The next configuration, in which `what` begins to move to server `to`, or to the best free one. The member that is
/// there serves until the other one has everything; if a primary is lost before that, the move is void.
///
/// # Errors
/// [`MoveError`].
pub fn move_member(
    config: &Configuration,
    evidence: &Evidence,
    nonce: u64,
    what: What,
    to: Option<ServerId>,
) -> Result<Configuration, MoveError> {
    let mut planner = Planner::new(config, evidence);
    planner.free = planner.free_servers();
    let place = match what {
        What::Primary(j) => config.active().find(|(k, _)| *k == j).map(|(_, s)| &s.host),
        What::Row(row) => config.in_sync().find(|s| s.row == row).map(|s| &s.host),
    };
    let Some(place) = place else {
        return Err(MoveError::NoSuchMember {
            what,
            primaries: config.n(),
            faults: config.faults,
        });
    };
    // With members of one cluster on one server its own is free, too; and so is another one of its host.
    planner.free.leave(place.server);
    if !planner.is_whole() {
        return Err(MoveError::NotWhole);
    }
    let host = match to {
        None => planner.free.pop().ok_or(MoveError::NoServer)?,
        Some(server) => {
            let taken = planner.free.take(server);
            taken.ok_or(MoveError::NotUsable { server })?
        }
    };
    let mut next = config.successor(nonce);
    begin(&mut next, what, host);
    Ok(next)
}

/// The next configuration, in which `what` stays where it is: its learner or heir goes. What was moved already is not
/// moved back.
///
/// # Errors
/// [`MoveError::NotMoving`].
pub fn cancel_move(
    config: &Configuration,
    nonce: u64,
    what: What,
) -> Result<Configuration, MoveError> {
    let mut next = config.successor(nonce);
    let moves = match what {
        What::Primary(j) => {
            let seat = next.primaries.get_mut(j.index());
            seat.is_some_and(|s| s.heir.take().is_some())
        }
        What::Row(row) => {
            // A learner of a row that nobody holds is no move.
            let held = config.in_sync().any(|s| s.row == row);
            let learns = |s: &FusedSeat| s.row == row && s.state.learns();
            let before = next.fused.len();
            next.fused.retain(|s| !(held && learns(s)));
            next.fused.len() < before
        }
    };
    if !moves {
        return Err(MoveError::NotMoving { what });
    }
    Ok(next)
}

fn give_up(next: &mut Configuration, moves: Vec<PrimaryIndex>) -> Step {
    for &j in &moves {
        next.primaries[j.index()].heir = None;
    }
    Step::Change(Reason::MovesGivenUp(moves))
}

pub(super) fn begin(next: &mut Configuration, what: What, host: Host) {
    match what {
        What::Row(row) => next.add_learner(row, host),
        What::Primary(j) => {
            let id = next.take_id();
            next.primaries[j.index()].heir = Some(HeirSeat { id, host });
        }
    }
}

impl Planner<'_> {
    /// Nobody is lost, learns, is missing, dead or being moved.
    pub(super) fn is_whole(&self) -> bool {
        let c = self.config;
        let dead = c.members().any(|id| {
            let host = c.host_of(id);
            host.is_some_and(|host| self.dead(id, host))
        });
        let settled = c.lost().next().is_none() && c.learners().next().is_none();
        let rows = c.in_sync().count() == usize::from(c.faults);
        !dead && settled && rows && c.heirs().next().is_none() && c.moved().next().is_none()
    }

    /// Rule 36, from step to step: an heir that is complete is the primary; one that serves needs the one before it no
    /// more.
    pub(super) fn go_on_moving(&mut self, next: &mut Configuration) -> Step {
        let config = self.config;
        let dead = config.heirs().filter(|(_, h)| self.dead(h.id, &h.host));
        let dead: Vec<PrimaryIndex> = dead.map(|(j, _)| j).collect();
        if !dead.is_empty() {
            return give_up(next, dead);
        }
        let moved: Vec<PrimaryIndex> = config.moved().map(|(j, _)| j).collect();
        let serves = |j: &PrimaryIndex| {
            self.condition(config.primaries[j.index()].id) == Some(Condition::Serving)
        };
        let over: Vec<PrimaryIndex> = moved.iter().copied().filter(serves).collect();
        if !over.is_empty() {
            for &j in &over {
                next.primaries[j.index()].moved_from = None;
            }
            return Step::Change(Reason::MovesEnded(over));
        }
        let Some((j, heir)) = config.heirs().next() else {
            return match moved.is_empty() {
                true => Step::Nothing,
                false => Step::Wait(Waiting::Moving),
            };
        };
        // A learner has its snapshots from the primaries that are: it comes first.
        if config.learners().next().is_some() || !moved.is_empty() {
            return Step::Wait(Waiting::Moving);
        }
        // Nobody makes the missing codes: perhaps for want of the very server that the heir has. While a primary is lost,
        // none are made: what moves then is what its replacement misses.
        let lost = config.lost().next().is_some();
        if !lost && config.in_sync().count() < usize::from(config.faults) {
            return give_up(next, vec![j]);
        }
        if self.condition(heir.id) != Some(Condition::Complete) {
            return Step::Wait(Waiting::Moving);
        }
        let seat = &mut next.primaries[j.index()];
        let before = Former {
            id: seat.id,
            host: seat.host.clone(),
            origin: seat.origin,
            blamed: false,
        };
        *seat = PrimarySeat {
            id: heir.id,
            host: heir.host.clone(),
            state: PrimaryState::Active,
            origin: Origin::Recovered,
            former: None,
            heir: None,
            moved_from: Some(before),
        };
        Step::Change(Reason::PrimaryMoved(j))
    }

    /// Replacements at two servers cannot ask a primary, which cannot be spared: it is moved where they can. It reaches its
    /// heir, and an heir asks nothing of it until it has yielded (rules 36, 51).
    pub(super) fn move_the_unreached(&mut self, next: &mut Configuration) -> Step {
        let config = self.config;
        let loses = config.active().any(|(_, s)| self.dead(s.id, &s.host));
        let moves = config.heirs().next().is_some() || config.moved().next().is_some();
        if config.lost().next().is_none() || loses || moves || planted(Fault::UnreachedStays) {
            return Step::Nothing;
        }
        let common = &self.kept_common;
        let Some((j, seat)) = config.active().find(|(_, s)| common.contains(&s.id)) else {
            return Step::Nothing;
        };
        match self.free.pop_other_than(Some(seat.host.server)) {
            Some(host) => {
                begin(next, What::Primary(j), host);
                Step::Change(Reason::PrimaryMoves(j))
            }
            None => Step::Nothing,
        }
    }

    /// The primaries that were moved and are not known to serve, with those that they were moved from (rule 36).
    pub(super) fn taking_over(&self) -> impl Iterator<Item = (PrimaryIndex, &Former)> {
        let takes_over = |j: PrimaryIndex| {
            let seat = &self.config.primaries[j.index()];
            // One that is lost is counted as lost.
            seat.state == PrimaryState::Active
                && self.condition(seat.id) != Some(Condition::Serving)
        };
        let moved = self.config.moved();
        moved.filter(move |&(j, _)| takes_over(j))
    }

    /// How many of them have only the codes to tell them what they lack: those that they were moved from are gone, or have
    /// not said that they have yielded. They need codes as lost primaries do (rules 23, 36).
    pub(super) fn dependent(&self) -> usize {
        let alone = |(_, former): &(PrimaryIndex, &Former)| {
            let yields = self.condition(former.id) == Some(Condition::Yielded);
            !yields || self.gone(former.id, &former.host)
        };
        self.taking_over().filter(alone).count()
    }

    /// Primaries that were moved, say that they do not serve yet, and never will: no code is left, and the one that was
    /// moved is gone.
    fn stuck(&self) -> Vec<PrimaryIndex> {
        if self.codes_left() > 0 {
            return Vec::new();
        }
        let moved = self.config.moved().filter(|(j, former)| {
            let seat = &self.config.primaries[j.index()];
            let said = self.condition(seat.id);
            matches!(said, Some(Condition::TakingOver | Condition::Stranded))
                && self.gone(former.id, &former.host)
        });
        moved.map(|(j, _)| j).collect()
    }

    /// Nothing can be decided for them: only who was moved knows what they lack (rules 25, 36).
    pub(super) fn stop_stuck_moves(&mut self, _: &mut Configuration) -> Step {
        let primaries = self.stuck();
        let in_sync = 0;
        match primaries.is_empty() {
            true => Step::Nothing,
            false => Step::Stop(Waiting::MoreThanF { primaries, in_sync }),
        }
    }

    /// One member more is moved off a server that is to be emptied.
    pub(super) fn empty_servers(&mut self, next: &mut Configuration) -> Step {
        if !self.is_whole() {
            return Step::Nothing;
        }
        let leaves = |host: &Host| {
            let server = self.evidence.servers.get(&host.server);
            server.is_some_and(|s| s.draining)
        };
        let primary = self.config.active().find(|(_, s)| leaves(&s.host));
        let primary = primary.map(|(j, s)| (What::Primary(j), s.host.server));
        let fused = self.config.in_sync().find(|s| leaves(&s.host));
        let fused = fused.map(|s| (What::Row(s.row), s.host.server));
        let Some((what, server)) = primary.or(fused) else {
            return Step::Nothing;
        };
        self.free.leave(server);
        match self.free.pop() {
            Some(host) => {
                begin(next, what, host);
                Step::Change(what.reason())
            }
            None => Step::Wait(Waiting::NoRoomToDrain { server }),
        }
    }
}
