//! Everything that can go wrong for a caller.

use super::BatchError;
use crate::addresses::AddressesError;
use crate::coordinators::Tried;
use crate::service::AdminError;
use crate::text::{message, printable, quoted, took};
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
    #[error("there is no cluster named {}", quoted(name))]
    UnknownCluster {
        /// The name asked for.
        name: String,
    },
    /// The cluster has fewer primaries.
    #[error("cluster {} has primaries 0 to {}, not {index}", quoted(name), primaries - 1)]
    UnknownPrimary {
        /// The cluster.
        name: String,
        /// The index asked for.
        index: usize,
        /// How many primaries there are.
        primaries: usize,
    },
    /// The cluster's structures are of another kind.
    #[error("cluster {} is a {found}, not a {wanted}", quoted(name))]
    WrongKind {
        /// The cluster.
        name: String,
        /// What was asked for.
        wanted: Kind,
        /// What it is.
        found: Kind,
    },
    /// The cluster's structures have no such operation.
    #[error("cluster {} is a {kind}, which has no such operation", quoted(name))]
    NoSuchOperation {
        /// The cluster.
        name: String,
        /// What it is.
        kind: Kind,
    },
    /// A server has no memory for more: the primary's, or one with a code of it (PROTOCOL rule 70). Nothing was executed; reads
    /// and removals go on, and the call may be made again.
    #[error(
        "the server has no memory for more: {used} bytes of {limit} are used, and the rest is kept for recoveries; remove \
         entries, or give servers more memory"
    )]
    Full {
        /// What that server may take, in bytes.
        limit: u64,
        /// What it takes.
        used: u64,
    },
    /// The structure has no slot left for an entry of about that size.
    #[error("{}", message(.0))]
    NoSlots(OpError),
    /// A name is taken, servers are missing, and the like.
    #[error("{}", message(.0))]
    Refused(AdminError),
    /// The cluster asked for is not possible.
    #[error("{}", message(.0))]
    BadShape(#[from] ShapeError),
    /// No active coordinator can be reached.
    #[error("{}", message(tried))]
    NoCoordinator {
        /// Where it was sought, and what came of it.
        tried: Tried,
    },
    /// The text names no coordinators.
    #[error("{}", message(.0))]
    BadAddresses(#[from] AddressesError),
    /// No answer in time; it was a read, or was surely not executed.
    #[error("no answer after {}: {}; it was not executed", took(*after), message(why))]
    TimedOut {
        /// How long it was tried: the client's time limit, or less where waiting would not have helped.
        after: Duration,
        /// Who owes the answer, and what is known of it.
        why: String,
    },
    /// No answer in time, or the session that would tell is gone: the change may have been made or not.
    #[error("no answer after {}: {}; whether it was executed is unknown", took(*after), message(why))]
    OutcomeUnknown {
        /// How long it was tried: the client's time limit, or less where waiting would not have helped.
        after: Duration,
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
    /// An entry of a map is not of the types asked for.
    #[error(
        "the entry of key {} is not of the types asked for: {why}",
        printable(key)
    )]
    BadEntry {
        /// The key, as the bytes that are stored.
        key: Bytes,
        /// The value, as the bytes that are stored.
        value: Bytes,
        /// What does not fit.
        why: Box<Error>,
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
            OpError::OutOfMemory { used, limit, .. } => Error::Full { limit, used },
            error => Error::NoSlots(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error of a missing key of 8 MiB was 8 MiB long.
    #[test]
    fn whatever_is_in_an_error_its_text_is_short() {
        let long = "k".repeat(8 << 20);
        let (after, why) = (Duration::from_secs(1), long.clone());
        let errors = [
            Error::KeyError {
                key: long.clone().into(),
            },
            Error::KeyError {
                key: vec![0xff; 8 << 20].into(),
            },
            Error::UnknownCluster { name: long.clone() },
            Error::WrongKind {
                name: long.clone(),
                wanted: Kind::Map,
                found: Kind::List,
            },
            Error::NoSuchOperation {
                name: long.clone(),
                kind: Kind::Map,
            },
            Error::Refused(AdminError::NameTaken { name: long.clone() }),
            Error::BadShape(ShapeError::BadName { name: long.clone() }),
            Error::BadAddresses(long.parse::<crate::addresses::Addresses>().unwrap_err()),
            Error::NoSlots(OpError::KeyError {
                key: long.clone().into(),
            }),
            Error::TimedOut {
                after,
                why: why.clone(),
            },
            Error::OutcomeUnknown { after, why },
        ];
        for error in errors {
            let text = error.to_string();
            assert!(text.len() < 4096, "{} bytes: {text:.200}", text.len());
        }
    }
}
