//! What is measured: one kind of operation, and the steps that it is made of.

use bytes::Bytes;
use clap::ValueEnum;
use serde::Serialize;

/// What the command line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Workload {
    /// Put new values to keys that are there
    Put,
    /// Get keys that are there
    Get,
    /// Half puts, half gets
    Mixed,
    /// Put new keys, then remove them all
    Delete,
    /// Append to lists, insert at the front and anywhere, remove at the front and anywhere
    List,
    /// Enqueue, then dequeue all
    Queue,
}

/// One line of the table, for each side and each number of calls in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// Put to a key that is there.
    Put,
    /// Get a key that is there.
    Get,
    /// One or the other.
    Mixed,
    /// Put a new key.
    PutNew,
    /// Remove a key and answer its value.
    Delete,
    /// Append to a list.
    Append,
    /// Insert before the first element.
    InsertFirst,
    /// Remove the first element and answer it.
    RemoveFirst,
    /// Insert at a random index.
    InsertAny,
    /// Remove at a random index and answer what was there.
    RemoveAny,
    /// Enqueue.
    Enqueue,
    /// Dequeue.
    Dequeue,
}

impl Action {
    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Action::Put => "map put",
            Action::Get => "map get",
            Action::Mixed => "map 50/50",
            Action::PutNew => "map put, new key",
            Action::Delete => "map remove",
            Action::Append => "list append",
            Action::InsertFirst => "list insert, front",
            Action::RemoveFirst => "list remove, front",
            Action::InsertAny => "list insert, anywhere",
            Action::RemoveAny => "list remove, anywhere",
            Action::Enqueue => "enqueue",
            Action::Dequeue => "dequeue",
        }
    }

    /// What Redis does for it; `None` when it has no equal.
    pub(crate) fn redis(self) -> Option<&'static str> {
        Some(match self {
            Action::Put | Action::PutNew => "SET",
            Action::Get => "GET",
            Action::Mixed => "SET or GET",
            Action::Delete => "GETDEL",
            Action::Append | Action::Enqueue => "RPUSH",
            Action::InsertFirst => "LPUSH",
            Action::RemoveFirst | Action::Dequeue => "LPOP",
            // LINSERT and LREM look for a value, from one end of the list on.
            Action::InsertAny | Action::RemoveAny => return None,
        })
    }

    /// Whether it is about keys that are there, of which some are more popular than others.
    pub(crate) fn is_steady(self) -> bool {
        matches!(self, Action::Put | Action::Get | Action::Mixed)
    }
}

/// What is run at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// One action, on what there is.
    Steady(Action),
    /// One that adds to empty structures for a time, then one that removes everything.
    Pair {
        /// Adds.
        grow: Action,
        /// Removes.
        shrink: Action,
        /// Whether the removal has a line of its own; else it only checks.
        both: bool,
    },
}

impl Workload {
    /// What it consists of.
    pub(crate) fn blocks(self) -> Vec<Block> {
        let pair = |grow, shrink, both| Block::Pair { grow, shrink, both };
        match self {
            Workload::Put => vec![Block::Steady(Action::Put)],
            Workload::Get => vec![Block::Steady(Action::Get)],
            Workload::Mixed => vec![Block::Steady(Action::Mixed)],
            Workload::Delete => vec![pair(Action::PutNew, Action::Delete, true)],
            Workload::List => vec![
                pair(Action::Append, Action::RemoveFirst, true),
                pair(Action::InsertFirst, Action::RemoveFirst, false),
                pair(Action::InsertAny, Action::RemoveAny, true),
            ],
            Workload::Queue => vec![pair(Action::Enqueue, Action::Dequeue, true)],
        }
    }
}

impl Block {
    /// The action that it begins with.
    pub(crate) fn first(self) -> Action {
        match self {
            Block::Steady(action) | Block::Pair { grow: action, .. } => action,
        }
    }
}

/// One operation on one structure; keys by number, lists and queues by index.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sets the value of a key.
    Put {
        /// Which.
        number: u64,
        /// To what.
        value: Bytes,
        /// Whether it is there already.
        known: bool,
    },
    /// Reads a key.
    Get {
        /// Which.
        number: u64,
    },
    /// Removes a key.
    Delete {
        /// Which.
        number: u64,
    },
    /// Adds to the end of a list.
    Append {
        /// Which.
        list: usize,
        /// What.
        value: Bytes,
    },
    /// Adds to a list.
    Insert {
        /// Which.
        list: usize,
        /// Where.
        index: u64,
        /// What.
        value: Bytes,
    },
    /// Removes from a list.
    Remove {
        /// Which.
        list: usize,
        /// Where.
        index: u64,
    },
    /// Adds to a queue.
    Enqueue {
        /// Which.
        list: usize,
        /// What.
        value: Bytes,
    },
    /// Takes from a queue.
    Dequeue {
        /// Which.
        list: usize,
    },
}

impl Step {
    /// The number of its key.
    ///
    /// # Errors
    /// When it is for no map.
    pub(crate) fn number(&self) -> anyhow::Result<u64> {
        match self {
            Step::Put { number, .. } | Step::Get { number } | Step::Delete { number } => {
                Ok(*number)
            }
            step => anyhow::bail!("{step:?} is for no map"),
        }
    }

    /// Whether it may change something.
    pub(crate) fn is_write(&self) -> bool {
        !matches!(self, Step::Get { .. })
    }
}

/// What came back, as far as both sides say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done as it should be.
    Done,
    /// What was there.
    Value(Option<Bytes>),
    /// Something else than any right answer.
    Wrong(String),
}
