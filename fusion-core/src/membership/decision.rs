//! What can be decided of a cluster, and why.

use super::What;
use crate::config::Configuration;
use crate::id::{PrimaryIndex, Row, ServerId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why the configuration changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// Primaries died, or a replacement did.
    PrimariesLost(Vec<PrimaryIndex>),
    /// A server came for replacements that had none.
    ReplacementsPlaced(Vec<PrimaryIndex>),
    /// Fused members died.
    FusedRemoved(Vec<Row>),
    /// Replacements have the images of the lost primaries.
    PrimariesRecovered(Vec<PrimaryIndex>),
    /// More than f were lost, and an operator said to go on: these primaries begin empty.
    LossAccepted(Vec<PrimaryIndex>),
    /// Primaries that were taken for dead answered before they were replaced.
    PrimariesReturned(Vec<PrimaryIndex>),
    /// Learners are to make the codes of missing rows.
    LearnersAdded(Vec<Row>),
    /// A learner is to take the place of a fused member that is moved.
    FusedMoves(Row),
    /// Learners have caught up: changes wait for them, too, from now on.
    LearnersCaughtUp(Vec<Row>),
    /// Learners have everything.
    LearnersPromoted(Vec<Row>),
    /// A primary is to be moved: its heir begins to copy it.
    PrimaryMoves(PrimaryIndex),
    /// The heir has everything, and is the primary.
    PrimaryMoved(PrimaryIndex),
    /// Primaries that were moved serve at their new places: those that they were moved from go.
    MovesEnded(Vec<PrimaryIndex>),
    /// It stands closer to other members than it must, and a server that is further away is there: it begins to move.
    MemberSpreads(What),
    /// An operator wants a member to stay where it is.
    MoveCancelled(What),
    /// The heirs of these died, or codes come first: their primaries stay where they are.
    MovesGivenUp(Vec<PrimaryIndex>),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, members): (&str, Vec<u16>) = match self {
            Reason::MoveCancelled(what) => return write!(f, "move cancelled: {what} stays"),
            Reason::MemberSpreads(what) => {
                return write!(f, "{what} moves: other members share its host, or its zone");
            }
            Reason::PrimariesLost(p) => ("primaries lost", p.iter().map(|p| p.0).collect()),
            Reason::ReplacementsPlaced(p) => (
                "replacements placed for primaries",
                p.iter().map(|p| p.0).collect(),
            ),
            Reason::FusedRemoved(r) => {
                ("fused structures removed", r.iter().map(|r| r.0).collect())
            }
            Reason::PrimariesRecovered(p) => {
                ("primaries recovered", p.iter().map(|p| p.0).collect())
            }
            Reason::PrimariesReturned(p) => (
                "primaries that were taken for dead serve again",
                p.iter().map(|p| p.0).collect(),
            ),
            Reason::LossAccepted(p) => (
                "loss accepted, primaries begun empty",
                p.iter().map(|p| p.0).collect(),
            ),
            Reason::LearnersAdded(r) => (
                "fused structures being re-created",
                r.iter().map(|r| r.0).collect(),
            ),
            Reason::FusedMoves(r) => ("fused structures moving", vec![r.0]),
            Reason::LearnersCaughtUp(r) => (
                "fused structures that have caught up",
                r.iter().map(|r| r.0).collect(),
            ),
            Reason::LearnersPromoted(r) => (
                "fused structures in sync again",
                r.iter().map(|r| r.0).collect(),
            ),
            Reason::PrimaryMoves(p) => ("primaries being copied to another server", vec![p.0]),
            Reason::PrimaryMoved(p) => ("primaries moved", vec![p.0]),
            Reason::MovesEnded(p) => (
                "primaries serve where they were moved to",
                p.iter().map(|p| p.0).collect(),
            ),
            Reason::MovesGivenUp(p) => (
                "moves given up, primaries stay where they are",
                p.iter().map(|p| p.0).collect(),
            ),
        };
        write!(f, "{what}: {members:?}")
    }
}

/// What keeps a cluster from being whole, when nothing can be decided now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waiting {
    /// More primaries are silent or gone than fused structures are left: data is lost unless one comes back (rule 25). Who
    /// only cannot be reached by others does not count (rule 51).
    MoreThanF {
        /// The dead primaries.
        primaries: Vec<PrimaryIndex>,
        /// The fused structures in sync and alive.
        in_sync: usize,
    },
    /// Members wait for a server without a member of this cluster.
    NoServer {
        /// How many more servers are needed.
        needed: usize,
    },
    /// Members wait for servers where others were given up a moment ago: those are tried again after a while (rule 55).
    Avoided {
        /// How many servers are needed.
        needed: usize,
        /// The servers that are avoided.
        servers: Vec<ServerId>,
    },
    /// Members wait for a server that has memory for one (rule 70).
    NoMemory {
        /// How many servers are needed.
        needed: usize,
        /// The servers that are free, and have too little.
        servers: Vec<ServerId>,
        /// What a member takes, in bytes.
        bytes: u64,
    },
    /// Members are being recovered or re-created.
    Recovering,
    /// A dead fused structure is removed as soon as every active primary has answered (rule 23).
    Evidence,
    /// A member is in a later epoch than the configuration store says, or in the same one with another content: the
    /// store has lost something, and must not act until it is made anew from the members (rule 39).
    StoreBehind,
    /// Two stores have made one epoch: who has heard of both serves nobody and keeps its state, and an operator decides
    /// which one was right, by a rebuild (rule 61).
    TwoContents {
        /// Each content, and some of the servers that know it.
        contents: Vec<Content>,
    },
    /// A member is being moved; nothing is lost meanwhile.
    Moving,
    /// A server is to be emptied, but no other one without a member of this cluster is alive.
    NoRoomToDrain {
        /// The server.
        server: ServerId,
    },
}

/// One of two contents of an epoch (rule 61).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its [nonce](crate::config::Configuration::nonce).
    pub nonce: u64,
    /// Servers that said that they know it.
    pub servers: Vec<ServerId>,
}

/// The outcome of [`plan`](super::plan).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The cluster is whole.
    Keep,
    /// It is not, and nothing can be done at this moment.
    Wait(Waiting),
    /// The next configuration, to be stored by compare-and-swap.
    Change(Box<Configuration>, Reason),
}
