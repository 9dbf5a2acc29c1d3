//! Everything that can go wrong for a caller.

use super::BatchError;
use crate::addresses::AddressesError;
use crate::coordinators::Tried;
use crate::service::AdminError;
use bytes::Bytes;
use fusion_core::config::ShapeError;
use fusion_core::op::{Kind, OpError};
use std::time::Duration;
use thiserror::Error;

/// Why a call failed.
///
/// With [`Error::OutcomeUnknown`] and [`Error::BadAnswer`], and when a coordinator says that its store failed
/// ([`AdminError::Store`]), a change may have been made or not. With [`Error::NotOfType`] an element that was asked to be
/// removed is removed, and its bytes are in the error. [`Error::Batch`] says itself what was made. With every other
/// variant the change was not made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The index is not in the list.
    #[error("index {index} is out of range: there are {len} elements")]
    IndexError {
        /// The index asked for.
        index: u64,
        /// How many elements there are.
        len: u64,
    },
    /// The key is not in the map.
    #[error("key {} is not in the map", printable(key))]
    KeyError {
        /// The key, as the bytes that are stored.
        key: Bytes,
    },
    /// The value, serialized, is longer than is allowed.
    #[error("the value has {len} bytes; at most {max} are allowed")]
    ValueTooLarge {
        /// Its length in bytes.
        len: u64,
        /// The limit.
        max: u64,
    },
    /// The key, serialized, is longer than is allowed.
    #[error("the key has {len} bytes; at most {max} are allowed")]
    KeyTooLarge {
        /// Its length in bytes.
        len: u64,
        /// The limit.
        max: u64,
    },
    /// There is no cluster of that name.
    #[error("there is no cluster named {name:?}")]
    UnknownCluster {
        /// The name asked for.
        name: String,
    },
    /// The cluster has fewer primaries.
    #[error("cluster {name:?} has primaries 0 to {}, not {index}", primaries - 1)]
    UnknownPrimary {
        /// The cluster.
        name: String,
        /// The index asked for.
        index: usize,
        /// How many primaries there are.
        primaries: usize,
    },
    /// The cluster's structures are of another kind.
    #[error("cluster {name:?} is a {found}, not a {wanted}")]
    WrongKind {
        /// The cluster.
        name: String,
        /// What was asked for.
        wanted: Kind,
        /// What it is.
        found: Kind,
    },
    /// The cluster's structures have no such operation.
    #[error("cluster {name:?} is a {kind}, which has no such operation")]
    NoSuchOperation {
        /// The cluster.
        name: String,
        /// What it is.
        kind: Kind,
    },
    /// The structure has no room.
    #[error("{0}")]
    Full(OpError),
    /// A name is taken, servers are missing, and the like.
    #[error("{0}")]
    Refused(AdminError),
    /// The cluster asked for is not possible.
    #[error(transparent)]
    BadShape(#[from] ShapeError),
    /// No active coordinator can be reached.
    #[error("{tried}")]
    NoCoordinator {
        /// Where it was sought, and what came of it.
        tried: Tried,
    },
    /// The text names no coordinators.
    #[error("{0}")]
    BadAddresses(#[from] AddressesError),
    /// No answer in time; it was a read, or was surely not executed.
    #[error("no answer within {limit:?}: {why}; it was not executed")]
    TimedOut {
        /// The time allowed.
        limit: Duration,
        /// Who owes the answer, and what is known of it.
        why: String,
    },
    /// No answer in time, or the session that would tell is gone: the change may have been made or not.
    #[error("no answer within {limit:?}: {why}; whether it was executed is unknown")]
    OutcomeUnknown {
        /// The time allowed.
        limit: Duration,
        /// Who owes the answer, and what is known of it.
        why: String,
    },
    /// Of operations that are sent together: not sent, since one before it was not answered. Nothing was changed.
    #[error("it was not sent, since one before it was not answered")]
    NotSent,
    /// Of changes that are sent together, one failed at least.
    #[error("{0}")]
    Batch(#[from] BatchError),
    /// The key or value cannot be serialized.
    #[error("the key or value cannot be serialized: {0}")]
    Codec(#[from] postcard::Error),
    /// What is stored is not of the type asked for. If it was to be removed, it is.
    #[error("the {} stored bytes are not of the type asked for", stored.len())]
    NotOfType {
        /// What is stored, or was.
        stored: Bytes,
        /// What does not fit.
        why: postcard::Error,
    },
    /// The server's answer does not fit the question: another version.
    #[error("the server gave an answer that does not fit the question")]
    BadAnswer,
}

impl From<AdminError> for Error {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::UnknownCluster { name } => Error::UnknownCluster { name },
            AdminError::BadShape(error) => Error::BadShape(error),
            error => Error::Refused(error),
        }
    }
}

impl Error {
    /// Whether a change that this is said of may have been made.
    pub(super) fn leaves_open(&self) -> bool {
        matches!(self, Error::OutcomeUnknown { .. } | Error::BadAnswer)
    }

    /// What a structure of cluster `name` said.
    pub(crate) fn of_op(error: OpError, name: &str) -> Error {
        match error {
            OpError::IndexError { index, len } => Error::IndexError { index, len },
            OpError::KeyError { key } => Error::KeyError { key },
            OpError::ValueTooLarge { len, max } => Error::ValueTooLarge { len, max },
            OpError::KeyTooLarge { len, max } => Error::KeyTooLarge { len, max },
            OpError::WrongKind { kind } => Error::NoSuchOperation {
                name: name.to_owned(),
                kind,
            },
            error => Error::Full(error),
        }
    }
}

/// A key as text where it is text, else as hexadecimal; a postcard string's length prefix is left out.
fn printable(key: &[u8]) -> String {
    let text = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).ok()?;
        text.chars()
            .all(|c| !c.is_control())
            .then(|| format!("{text:?}"))
    };
    let inner = postcard::from_bytes::<&str>(key)
        .ok()
        .filter(|s| s.len() < key.len());
    inner
        .and_then(|s| text(s.as_bytes()))
        .or_else(|| text(key))
        .unwrap_or_else(|| {
            key.iter()
                .take(64)
                .fold("0x".to_owned(), |hex, byte| hex + &format!("{byte:02x}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_as_text_where_they_are_text() {
        assert_eq!(printable(b"ada"), "\"ada\"");
        assert_eq!(printable(&postcard::to_stdvec("ada").unwrap()), "\"ada\"");
        assert_eq!(printable(&[0xff, 0x01]), "0xff01");
    }
}
