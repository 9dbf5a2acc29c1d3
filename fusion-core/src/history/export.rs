//! Histories for checkers of other people: one flat record an operation, which says nothing that a client does not see.
//!
//! Our own checkers know the order of changes from their numbers; these records leave the numbers out, so that whoever
//! judges them has to find an order by itself. `docs/histories.md` describes the form.

use super::{Contents, History, Model, Operation, Outcome};
use crate::op::{Kind, Op, OpError, OpResult, Reply};
use bytes::Bytes;
use serde::Serialize;
use std::collections::BTreeSet;

/// Values up to this length are written as they are, if they can be read.
const MAX_PLAIN_BYTES: usize = 64;
/// So much of a longer value is written.
const MAX_PREFIX_BYTES: usize = 24;

/// One operation, as a line of JSON has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// The structure: operations at one say nothing about another one.
    pub structure: String,
    /// What it is.
    pub kind: Kind,
    /// The key, of an operation on one entry of a map.
    pub key: Option<String>,
    /// Who asked; each has at most one operation under way.
    pub client: u64,
    /// When it asked, in microseconds of a clock that all share.
    pub invoked_us: u64,
    /// When it was answered or refused; `None` when nobody knows whether and when it takes effect.
    pub returned_us: Option<u64>,
    /// What it asked.
    #[serde(flatten)]
    pub asked: Asked,
    /// What became of it.
    pub outcome: Fate,
    /// What it was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Told>,
}

/// Whether an operation took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// Once, between asking and the answer.
    Ok,
    /// Never.
    Failed,
    /// Once at any time after it was asked, or never.
    Unknown,
}

/// An operation, with keys left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "op", content = "args", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are those of Op")]
pub enum Asked {
    Len,
    /// All that a list or a queue holds, from the front.
    Contents,
    Range {
        start: u64,
        limit: u32,
    },
    /// Whether it began at the beginning.
    Scan {
        first: bool,
    },
    Get,
    Contains,
    Put {
        value: String,
    },
    Remove,
    CompareAndSwap {
        expected: Option<String>,
        new: Option<String>,
    },
    GetIndex {
        index: u64,
    },
    SetIndex {
        index: u64,
        value: String,
    },
    Insert {
        index: u64,
        value: String,
    },
    Append {
        value: String,
    },
    RemoveIndex {
        index: u64,
    },
    Peek,
    Enqueue {
        value: String,
    },
    Dequeue,
}

/// What the structure said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// Done.
    Done,
    /// The number of elements.
    Len(u64),
    /// Where an element was put.
    Index(u64),
    /// A value; `None` from an empty queue.
    Value(Option<String>),
    /// Of put, contains: whether the key was there.
    Present(bool),
    /// There is no such key.
    Missing,
    /// The index is not below the number of elements.
    OutOfRange {
        /// The number of elements.
        len: u64,
    },
    /// Of a compare-and-swap.
    Swapped {
        /// Whether it was made.
        swapped: bool,
        /// If not: what was there.
        found: Option<String>,
    },
    /// Elements in order.
    Values(Vec<String>),
    /// Entries in any order.
    Entries {
        /// Keys and values.
        entries: Vec<(String, String)>,
        /// Whether there are more.
        more: bool,
    },
    /// Refused for its size; it took no effect.
    Refused(String),
}

/// Returns a history of the structure of this name as records, by time of asking. What it held in the end is in it as
/// reads of one more client, after everything else.
#[must_use]
pub fn records(structure: &str, history: &History) -> Vec<Record> {
    let mut operations: Vec<&Operation> = history.operations.iter().collect();
    operations.sort_by_key(|o| (o.invoked_us, o.returned_us));
    let whose = |key, client| Record {
        structure: structure.to_owned(),
        kind: history.kind,
        key,
        client,
        invoked_us: 0,
        returned_us: None,
        asked: Asked::Len,
        outcome: Fate::Ok,
        result: None,
    };
    let mut records: Vec<Record> = operations
        .iter()
        .map(|o| {
            let (outcome, result) = match &o.outcome {
                Outcome::Answered { result, .. } => (Fate::Ok, Some(told(result))),
                Outcome::NoEffect => (Fate::Failed, None),
                Outcome::Unknown => (Fate::Unknown, None),
            };
            let (key, asked) = asked(&o.op);
            Record {
                invoked_us: o.invoked_us,
                returned_us: (outcome != Fate::Unknown).then_some(o.returned_us),
                asked,
                outcome,
                result,
                ..whose(key, o.client)
            }
        })
        .collect();
    if let Some(contents) = &history.contents {
        let client = operations.iter().map(|o| o.client + 1).max();
        let mut now = operations.iter().map(|o| o.returned_us + 1).max();
        for (key, asked, result) in reads(&operations, contents) {
            let at = now.unwrap_or_default();
            now = Some(at + 2);
            records.push(Record {
                invoked_us: at,
                returned_us: Some(at + 1),
                asked,
                result: Some(result),
                ..whose(key, client.unwrap_or_default())
            });
        }
    }
    records
}

/// The reads that would have given these contents.
fn reads(operations: &[&Operation], contents: &Contents) -> Vec<(Option<String>, Asked, Told)> {
    match &contents.model {
        Model::Sequence(_, elements) => {
            let values = elements.iter().map(text).collect();
            vec![(None, Asked::Contents, Told::Values(values))]
        }
        Model::Map(entries) => {
            let asked = operations.iter().filter_map(|o| key(&o.op));
            let keys: BTreeSet<&Bytes> = asked.chain(entries.keys()).collect();
            let get = |key: &Bytes| {
                let value = entries.get(key).map(text);
                let told = value.map_or(Told::Missing, |value| Told::Value(Some(value)));
                (Some(text(key)), Asked::Get, told)
            };
            let len = (None, Asked::Len, Told::Len(entries.len() as u64));
            keys.into_iter().map(get).chain([len]).collect()
        }
    }
}

fn key(op: &Op) -> Option<&Bytes> {
    match op {
        Op::Put { key, .. }
        | Op::Get { key }
        | Op::Remove { key }
        | Op::Contains { key }
        | Op::CompareAndSwap { key, .. } => Some(key),
        _ => None,
    }
}

fn asked(op: &Op) -> (Option<String>, Asked) {
    let asked = match op {
        Op::Len => Asked::Len,
        Op::Insert { index, value } => Asked::Insert {
            index: *index,
            value: text(value),
        },
        Op::Append { value } => Asked::Append { value: text(value) },
        Op::GetIndex { index } => Asked::GetIndex { index: *index },
        Op::SetIndex { index, value } => Asked::SetIndex {
            index: *index,
            value: text(value),
        },
        Op::RemoveIndex { index } => Asked::RemoveIndex { index: *index },
        Op::Range { start, limit } => Asked::Range {
            start: *start,
            limit: *limit,
        },
        Op::Put { value, .. } => Asked::Put { value: text(value) },
        Op::Get { .. } => Asked::Get,
        Op::Remove { .. } => Asked::Remove,
        Op::Contains { .. } => Asked::Contains,
        Op::CompareAndSwap { expected, new, .. } => Asked::CompareAndSwap {
            expected: expected.as_ref().map(text),
            new: new.as_ref().map(text),
        },
        Op::Scan { cursor, .. } => Asked::Scan {
            first: cursor.is_none(),
        },
        Op::Enqueue { value } => Asked::Enqueue { value: text(value) },
        Op::Dequeue => Asked::Dequeue,
        Op::Peek => Asked::Peek,
    };
    (key(op).map(text), asked)
}

fn told(result: &OpResult) -> Told {
    let reply = match result {
        Ok(reply) => reply,
        Err(OpError::KeyError { .. }) => return Told::Missing,
        Err(OpError::IndexError { len, .. }) => return Told::OutOfRange { len: *len },
        Err(error) => return Told::Refused(error.to_string()),
    };
    match reply {
        Reply::Done => Told::Done,
        Reply::Len(len) => Told::Len(*len),
        Reply::Index(index) => Told::Index(*index),
        Reply::Value(value) => Told::Value(Some(text(value))),
        Reply::Maybe(value) => Told::Value(value.as_ref().map(text)),
        Reply::Bool(present) => Told::Present(*present),
        Reply::Swapped { swapped, found } => Told::Swapped {
            swapped: *swapped,
            found: found.as_ref().map(text),
        },
        Reply::Values(values) => Told::Values(values.iter().map(text).collect()),
        Reply::Entries { entries, next } => Told::Entries {
            entries: entries.iter().map(|(k, v)| (text(k), text(v))).collect(),
            more: next.is_some(),
        },
    }
}

/// Bytes as text: as they are, or the beginning, the length and a hash (FNV-1a, 64 bits) of them. Two texts are equal
/// when the bytes are; others differ, but for a collision of length and hash.
fn text(bytes: &Bytes) -> String {
    let plain = |b: &u8| matches!(b, b' '..=b'}');
    if bytes.len() <= MAX_PLAIN_BYTES && bytes.iter().all(plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let readable = bytes.iter().take(MAX_PREFIX_BYTES);
    let prefix: String = readable
        .take_while(|b| plain(b))
        .map(|b| char::from(*b))
        .collect();
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix);
    format!("{prefix}~{}~{hash:016x}", bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_told_apart_by_all_their_bytes() {
        let long = |last: u8| Bytes::from([&[b'x'; 3000][..], &[last]].concat());
        assert_eq!(text(&long(1)), text(&long(1)));
        assert_ne!(text(&long(1)), text(&long(2)));
        let short = Bytes::from_static(b"3-1 \x01\x01");
        assert!(text(&short).starts_with("3-1 ~6~"), "{}", text(&short));
        assert_eq!(text(&Bytes::from_static(b"3-1 x")), "3-1 x");
        // The mark is never in a value that is written as it is.
        assert!(text(&Bytes::from_static(b"a~b")).starts_with("a~3~"));
    }
}
