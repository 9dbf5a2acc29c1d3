//! Identities and counters of the protocol, as newtypes so that none is taken for another.

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

macro_rules! number_newtype {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        number_newtype! { $(#[$doc])* #[derive(Deserialize)] $name, $inner, }
    };
    ($(#[$doc:meta])* $name:ident, up to MAX_NUMBER) => {
        number_newtype! {
            $(#[$doc])*
            ///
            /// Above [`MAX_NUMBER`](crate::limits::MAX_NUMBER) it is not decoded (rule 66).
            $name, u64,
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::bounded::number(deserializer).map($name)
            }
        }
    };
    ($(#[$doc:meta])* $name:ident, $inner:ty,) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_newtype! {
    /// A cluster: n primary and f fused structures that are coded together. Never used again.
    ClusterId, u64
}
number_newtype! {
    /// One member (a primary or fused structure) of one cluster, unique within the cluster for ever (rule 4).
    ///
    /// A member's memory lives and dies with its id: a restarted process holds no member.
    MemberId, up to MAX_NUMBER
}
number_newtype! {
    /// One run of a server process. A restarted server has a new one.
    ServerId, u64
}
number_newtype! {
    /// The number of a configuration of a cluster; each has exactly one content (rule 5).
    Epoch, up to MAX_NUMBER
}
number_newtype! {
    /// The position of a change in its primary's history; the first change has 1, 0 means "none yet".
    Seq, up to MAX_NUMBER
}
number_newtype! {
    /// The index of a primary in its cluster, `0..n`: the column of the coding matrix.
    PrimaryIndex, u16
}
number_newtype! {
    /// The index of a fused structure in its cluster, `0..f`: the row of the coding matrix.
    Row, u16
}
number_newtype! {
    /// One attempt at recovering one lost primary; a replacement numbers its attempts upwards.
    RecoveryId, up to MAX_NUMBER
}

impl Seq {
    /// The last one that is ever given (rule 66).
    pub const MAX: Seq = Seq(crate::limits::MAX_NUMBER);

    /// The change after this one. Never wraps.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0.saturating_add(1))
    }
}

impl Epoch {
    /// The epoch after this one. Never wraps.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1))
    }
}

impl PrimaryIndex {
    /// As an index into arrays of primaries.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl Row {
    /// As an index into arrays of rows.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A client's session: a random 128-bit id, opened once by its client. What is open under it is told apart by its
/// incarnation (rule 38).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct SessionId(pub u128);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Names one mutating request for ever, so that a retry of it is executed once (rule 9).
///
/// A session has `slot`s; within a slot, `number` grows by one for each new request, and a client sends
/// the next one only after the one before was answered or given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// The client's session.
    pub session: SessionId,
    /// The change that opened the session, as its client was told: of a session that was closed since, or opened again,
    /// nothing is executed (rule 38).
    pub incarnation: Seq,
    /// Which of the session's independent lanes.
    pub slot: u16,
    /// The request's number in its lane, from 1; above [`MAX_NUMBER`](crate::limits::MAX_NUMBER) it is not decoded.
    #[serde(deserialize_with = "crate::bounded::number")]
    pub number: u64,
}
