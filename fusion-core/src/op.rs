//! What a client may ask of a structure, and what it answers.

use crate::limits::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// The kind of the structures of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A sequence with access by index.
    List,
    /// Keys with values.
    Map,
    /// First in, first out.
    Queue,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::List => "list",
            Kind::Map => "map",
            Kind::Queue => "queue",
        })
    }
}

/// One operation on one structure. Values and keys are any bytes within [`limits`](crate::limits).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// The number of elements. Any kind. Answers [`Reply::Len`].
    Len,
    /// List: puts `value` before the element at `index`; `index == len` appends. Answers [`Reply::Done`].
    Insert {
        /// Where, `0..=len`.
        index: u64,
        /// What.
        value: Bytes,
    },
    /// List: puts `value` at the end. Answers [`Reply::Index`] with its index.
    Append {
        /// What.
        value: Bytes,
    },
    /// List: the element at `index`. Answers [`Reply::Value`].
    GetIndex {
        /// Which, `0..len`.
        index: u64,
    },
    /// List: replaces the element at `index`. Answers [`Reply::Done`].
    SetIndex {
        /// Which, `0..len`.
        index: u64,
        /// The new element.
        value: Bytes,
    },
    /// List: removes the element at `index`. Answers [`Reply::Value`] with it.
    RemoveIndex {
        /// Which, `0..len`.
        index: u64,
    },
    /// List and queue (from the front): elements from `start` on. Answers [`Reply::Values`], which may be
    /// shorter than `limit`; an empty answer means the end.
    Range {
        /// The first index.
        start: u64,
        /// At most so many elements, but at least one; bounded by the limits of a scan.
        limit: u32,
    },
    /// Map: sets the value of `key`. Answers [`Reply::Bool`] with whether the key was there before. (Not its old
    /// value: every answer is kept in the coded store for retries, and would be paid for there.)
    Put {
        /// The key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
    },
    /// Map: the value of `key`. Answers [`Reply::Value`], or [`OpError::KeyError`].
    Get {
        /// The key.
        key: Bytes,
    },
    /// Map: removes `key`. Answers [`Reply::Value`] with its value, or [`OpError::KeyError`].
    Remove {
        /// The key.
        key: Bytes,
    },
    /// Map: whether `key` is there. Answers [`Reply::Bool`].
    Contains {
        /// The key.
        key: Bytes,
    },
    /// Map: if the value of `key` is `expected` (`None`: absent), makes it `new` (`None`: removes it).
    /// Answers [`Reply::Swapped`] with whether it did and, if not, the value found.
    CompareAndSwap {
        /// The key.
        key: Bytes,
        /// What must be there.
        expected: Option<Bytes>,
        /// What shall be there.
        new: Option<Bytes>,
    },
    /// Map: some entries, and where to go on. Answers [`Reply::Entries`].
    ///
    /// Exact while nothing else changes the map. Under concurrent changes, an entry that is moved to another
    /// size class by a change of its own may be missed or seen with either value, and any may be seen twice.
    Scan {
        /// Where to go on; `None` to begin.
        cursor: Option<ScanCursor>,
        /// At most so many entries, but at least one; bounded by the limits of a scan.
        limit: u32,
    },
    /// Queue: puts `value` at the back. Answers [`Reply::Done`].
    Enqueue {
        /// What.
        value: Bytes,
    },
    /// Queue: removes the element at the front. Answers [`Reply::Maybe`]; `None` when the queue is empty.
    Dequeue,
    /// Queue: the element at the front. Answers [`Reply::Maybe`].
    Peek,
}

impl Op {
    /// Whether the operation may change the structure, and so must be recorded under a session.
    #[must_use]
    pub fn is_mutation(&self) -> bool {
        match self {
            Op::Insert { .. }
            | Op::Append { .. }
            | Op::SetIndex { .. }
            | Op::RemoveIndex { .. }
            | Op::Put { .. }
            | Op::Remove { .. }
            | Op::CompareAndSwap { .. }
            | Op::Enqueue { .. }
            | Op::Dequeue => true,
            Op::Len
            | Op::GetIndex { .. }
            | Op::Range { .. }
            | Op::Get { .. }
            | Op::Contains { .. }
            | Op::Scan { .. }
            | Op::Peek => false,
        }
    }

    /// Whether a structure may take more memory by it: every change but a removal (rule 70).
    #[must_use]
    pub fn may_grow(&self) -> bool {
        match self {
            Op::RemoveIndex { .. }
            | Op::Remove { .. }
            | Op::Dequeue
            | Op::CompareAndSwap { new: None, .. } => false,
            _ => self.is_mutation(),
        }
    }

    /// Whether its answer may hold keys or values, and so be long.
    #[must_use]
    pub fn answers_with_elements(&self) -> bool {
        match self {
            Op::GetIndex { .. }
            | Op::RemoveIndex { .. }
            | Op::Range { .. }
            | Op::Get { .. }
            | Op::Remove { .. }
            | Op::CompareAndSwap { .. }
            | Op::Scan { .. }
            | Op::Dequeue
            | Op::Peek => true,
            Op::Len
            | Op::Insert { .. }
            | Op::Append { .. }
            | Op::SetIndex { .. }
            | Op::Put { .. }
            | Op::Contains { .. }
            | Op::Enqueue { .. } => false,
        }
    }

    /// Why it would be refused for the length of its key or of a value, if it would.
    #[must_use]
    pub fn oversize(&self) -> Option<OpError> {
        let (key, values): (Option<&Bytes>, [Option<&Bytes>; 2]) = match self {
            Op::Insert { value, .. }
            | Op::Append { value }
            | Op::SetIndex { value, .. }
            | Op::Enqueue { value } => (None, [Some(value), None]),
            Op::Put { key, value } => (Some(key), [Some(value), None]),
            Op::Get { key } | Op::Remove { key } | Op::Contains { key } => (Some(key), [None; 2]),
            Op::CompareAndSwap { key, expected, new } => {
                (Some(key), [expected.as_ref(), new.as_ref()])
            }
            _ => (None, [None; 2]),
        };
        let max = MAX_KEY_BYTES as u64;
        if let Some(len) = key.map(|k| k.len() as u64).filter(|len| *len > max) {
            return Some(OpError::KeyTooLarge { len, max });
        }
        let max = MAX_VALUE_BYTES as u64;
        let mut lens = values.into_iter().flatten().map(|v| v.len() as u64);
        let len = lens.find(|len| *len > max)?;
        Some(OpError::ValueTooLarge { len, max })
    }

    /// The bytes of keys and values in it: what it weighs in a batch.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        match self {
            Op::Insert { value, .. }
            | Op::Append { value }
            | Op::SetIndex { value, .. }
            | Op::Enqueue { value } => value.len(),
            Op::Put { key, value } => key.len() + value.len(),
            Op::Get { key } | Op::Remove { key } | Op::Contains { key } => key.len(),
            Op::CompareAndSwap { key, expected, new } => {
                key.len()
                    + expected.as_ref().map_or(0, Bytes::len)
                    + new.as_ref().map_or(0, Bytes::len)
            }
            Op::Len
            | Op::GetIndex { .. }
            | Op::RemoveIndex { .. }
            | Op::Range { .. }
            | Op::Scan { .. }
            | Op::Dequeue
            | Op::Peek => 0,
        }
    }
}

/// Where a scan goes on: opaque to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanCursor {
    /// The size class to look at next.
    pub class: u8,
    /// Slots below this one of the class are still to be seen.
    pub below: u32,
}

/// A successful answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done; nothing to say.
    Done,
    /// The number of elements.
    Len(u64),
    /// Where an element was put.
    Index(u64),
    /// An element or a value.
    Value(Bytes),
    /// A value, if there is (or was) one.
    Maybe(Option<Bytes>),
    /// Yes or no.
    Bool(bool),
    /// Outcome of a compare-and-swap.
    Swapped {
        /// Whether the swap was made.
        swapped: bool,
        /// The value that was found, if the swap was not made.
        found: Option<Bytes>,
    },
    /// Elements in order.
    Values(Vec<Bytes>),
    /// Entries of a map in no order, and where to go on (`None`: that was all).
    Entries {
        /// Keys and values.
        entries: Vec<(Bytes, Bytes)>,
        /// Where to go on.
        next: Option<ScanCursor>,
    },
}

impl Reply {
    /// The bytes of keys and values in it: what it weighs in a frame.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        match self {
            Reply::Value(value) => value.len(),
            Reply::Maybe(value) | Reply::Swapped { found: value, .. } => {
                value.as_ref().map_or(0, Bytes::len)
            }
            Reply::Values(values) => values.iter().map(Bytes::len).sum(),
            Reply::Entries { entries, .. } => entries.iter().map(|(k, v)| k.len() + v.len()).sum(),
            Reply::Done | Reply::Len(_) | Reply::Index(_) | Reply::Bool(_) => 0,
        }
    }
}

/// Why an operation was refused. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum OpError {
    /// The index is not in the structure.
    #[error("index {index} is out of range for a structure of {len} elements")]
    IndexError {
        /// The index asked for.
        index: u64,
        /// The number of elements there are.
        len: u64,
    },
    /// The key is not in the map.
    #[error(
        "key {:?}{} is not in the map",
        String::from_utf8_lossy(shown(key)),
        rest(key)
    )]
    KeyError {
        /// The key asked for.
        key: Bytes,
    },
    /// The operation is not one of this kind of structure.
    #[error("a {kind} has no such operation")]
    WrongKind {
        /// What the structure is.
        kind: Kind,
    },
    /// The value is longer than the limit.
    #[error("the value has {len} bytes; at most {max} are allowed")]
    ValueTooLarge {
        /// Its length in bytes.
        len: u64,
        /// The limit.
        max: u64,
    },
    /// The key is longer than the limit.
    #[error("the key has {len} bytes; at most {max} are allowed")]
    KeyTooLarge {
        /// Its length in bytes.
        len: u64,
        /// The limit.
        max: u64,
    },
    /// A size class has no slots left.
    #[error(
        "the structure is full: {slots} entries of about this size; spread it over more primaries"
    )]
    Full {
        /// The slots in use.
        slots: u64,
    },
    /// The process of the structure, or of a code of it, has no memory for more (rule 70). Nothing was executed, and nothing
    /// recorded.
    #[error(
        "no memory for more: {used} bytes of {limit} are used, and {reserve} are kept for recoveries; remove entries, or \
         give servers more memory"
    )]
    OutOfMemory {
        /// What that process takes, in bytes.
        used: u64,
        /// What it may take.
        limit: u64,
        /// What of that writes never take.
        reserve: u64,
    },
}

/// The bytes of a key that a message shows.
const SHOWN_BYTES: usize = 256;

fn shown(key: &[u8]) -> &[u8] {
    &key[..key.len().min(SHOWN_BYTES)]
}

/// What is said of the rest of a key.
fn rest(key: &[u8]) -> String {
    match key.len() {
        ..=SHOWN_BYTES => String::new(),
        bytes => format!("... ({bytes} bytes)"),
    }
}

/// The outcome of one operation, as it is recorded under its session.
pub type OpResult = Result<Reply, OpError>;
