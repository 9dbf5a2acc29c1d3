//! One line of a history.

use serde::Deserialize;

/// What a structure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    List,
    Map,
    Queue,
}

/// Whether it took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Ok,
    Failed,
    Unknown,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Record {
    pub(crate) structure: String,
    pub(crate) kind: Kind,
    pub(crate) key: Option<String>,
    pub(crate) client: u64,
    pub(crate) invoked_us: u64,
    pub(crate) returned_us: Option<u64>,
    #[serde(flatten)]
    pub(crate) asked: Asked,
    pub(crate) outcome: Outcome,
    pub(crate) result: Option<Told>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "op", content = "args", rename_all = "snake_case")]
pub(crate) enum Asked {
    Len,
    Contents,
    Range {
        start: usize,
        limit: usize,
    },
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
        index: usize,
    },
    SetIndex {
        index: usize,
        value: String,
    },
    Insert {
        index: usize,
        value: String,
    },
    Append {
        value: String,
    },
    RemoveIndex {
        index: usize,
    },
    Peek,
    Enqueue {
        value: String,
    },
    Dequeue,
}

impl Asked {
    /// Whether it can change anything.
    pub(crate) fn changes(&self) -> bool {
        match self {
            Asked::Len
            | Asked::Contents
            | Asked::Range { .. }
            | Asked::Scan { .. }
            | Asked::Get
            | Asked::Contains
            | Asked::GetIndex { .. }
            | Asked::Peek => false,
            Asked::Put { .. }
            | Asked::Remove
            | Asked::CompareAndSwap { .. }
            | Asked::SetIndex { .. }
            | Asked::Insert { .. }
            | Asked::Append { .. }
            | Asked::RemoveIndex { .. }
            | Asked::Enqueue { .. }
            | Asked::Dequeue => true,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    Done,
    Len(usize),
    Index(usize),
    Value(Option<String>),
    Present(bool),
    Missing,
    OutOfRange {
        len: usize,
    },
    Swapped {
        swapped: bool,
        found: Option<String>,
    },
    Values(Vec<String>),
    Entries {
        entries: Vec<(String, String)>,
        more: bool,
    },
    Refused(String),
}
