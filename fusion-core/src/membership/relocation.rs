//! Moving a fused member to another server without loss of tolerance (PROTOCOL rules 26, 27): a learner of the same row
//! takes the place of the old holder in the compare-and-swap in which it is complete.

use super::{Evidence, Planner};
use crate::config::{Configuration, FusedSeat, FusedState, Host, Origin};
use crate::id::{Row, ServerId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a fused member is not moved. Nothing changes then.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MoveError {
    /// The cluster has no such row in sync.
    #[error("there is no fused structure {row} in sync; there are {faults}, from 0")]
    NoSuchRow {
        /// The row asked for.
        row: u16,
        /// How many rows the cluster should have.
        faults: u16,
    },
    /// Recovery comes first, and drops learners (rules 24, 26).
    #[error("the cluster is not whole; try again when it is")]
    NotWhole,
    /// The server asked for has a member of this cluster, is not alive, or is not known.
    #[error("server {server} cannot take it: it is not alive, or has a member of this cluster")]
    NotUsable {
        /// The server asked for.
        server: ServerId,
    },
    /// No server is free.
    #[error("no server without a member of this cluster is alive; start one")]
    NoServer,
}

/// The next configuration, in which a learner of `row` joins on server `to`, or on the best free one. The member that
/// holds the row serves until the learner is complete; if a primary is lost before that, the move is void.
///
/// # Errors
/// [`MoveError`].
pub fn move_fused(
    config: &Configuration,
    evidence: &Evidence,
    nonce: u64,
    row: Row,
    to: Option<ServerId>,
) -> Result<Configuration, MoveError> {
    let mut planner = Planner::new(config, evidence);
    planner.free = planner.free_servers();
    if !config.in_sync().any(|s| s.row == row) {
        return Err(MoveError::NoSuchRow {
            row: row.0,
            faults: config.faults,
        });
    }
    let dead = config.members().any(|id| {
        let host = config.host_of(id);
        host.is_some_and(|host| planner.dead(id, host))
    });
    if dead || config.lost().next().is_some() || config.joining().next().is_some() {
        return Err(MoveError::NotWhole);
    }
    let host: Host = match to {
        None => planner.free.pop().ok_or(MoveError::NoServer)?,
        Some(server) => {
            let found = planner.free.into_iter().find(|h| h.server == server);
            found.ok_or(MoveError::NotUsable { server })?
        }
    };
    let mut next = config.successor(nonce);
    let id = next.take_id();
    next.fused.push(FusedSeat {
        id,
        host,
        row,
        state: FusedState::Joining,
        origin: Origin::Recovered,
    });
    next.fused.sort_by_key(|s| (s.row, s.id));
    Ok(next)
}
