//! Where configurations are kept: durable before anybody is told (PROTOCOL rules 5, 7).

mod redb;
#[cfg(test)]
pub(super) mod suite;

pub use redb::RedbStore;

use crate::service::Registration;
use async_trait::async_trait;
use fusion_core::config::Configuration;
use fusion_core::id::{ClusterId, ServerId};
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;

/// Why the store failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file cannot be used.
    #[error("cannot open the coordinator's store {}: {reason}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Somebody took the file away under the coordinator that uses it; nothing was changed.
    #[error(
        "the file {} was removed or replaced while this coordinator uses it: nothing is changed any more; put it back, or stop this coordinator and start one with --rebuild and a new --data file",
        path.display()
    )]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// Reading or writing failed; nothing was changed.
    #[error("{0}")]
    Failed(String),
    /// A change was under way when it failed. It may have been made, or come to be made as long as this term lasts.
    #[error("{0}; whether the change was made is not known")]
    Unknown(String),
    /// What is in it cannot be read: another version's, or not a coordinator's.
    #[error(
        "the coordinator's store holds {what} that cannot be read; it was written by another version"
    )]
    Unreadable {
        /// What.
        what: &'static str,
    },
    /// No endpoint of the engine answered in time.
    #[error("the store cannot be reached: {tried}")]
    Unreachable {
        /// The endpoints with what each said.
        tried: String,
    },
    /// More than the engine takes in one request: nothing was changed, and nothing of that size ever will be.
    #[error(
        "{what} of {bytes} bytes is more than the {max} that the store takes; make clusters of fewer members"
    )]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The most that is taken.
        max: usize,
    },
    /// A store that coordinators share is not made anew from servers.
    #[error(
        "a store that is shared is not made anew from servers; restore a snapshot of its engine"
    )]
    Shared,
    /// Another coordinator is, or may be, the active one by now: nothing was changed.
    #[error("this coordinator is not the active one any more")]
    Deposed,
}

/// All that a store holds.
#[derive(Clone, Debug, Default)]
pub struct StoreContents {
    /// The store's random id, given when it was made.
    pub store: u64,
    /// The configurations of all clusters, removed ones too.
    pub configs: Vec<Arc<Configuration>>,
    /// The registered servers.
    pub servers: Vec<(ServerId, Registration)>,
    /// The next server's id: it and all above it were never given.
    pub next_server: ServerId,
}

/// What came of a compare-and-swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// It is stored, by this call or by one before whose answer was lost.
    Stored,
    /// Nothing was changed: this is what is there.
    Found(Option<Box<Configuration>>),
    /// Nothing was changed: a living cluster has the name of the new one.
    NameTaken(ClusterId),
}

/// A configuration store, as the active coordinator uses it. An engine that several coordinators share
/// changes nothing for one whose term is over ([`StoreError::Deposed`]); each call ends within a bounded time.
///
/// What fails with anything but [`StoreError::Unknown`] was not done. Where that comes, the memory of the coordinator may
/// differ from the store, and its term must end: nothing that was asked under it is done later, and the next one reads
/// the store anew.
#[async_trait]
pub trait ConfigStore: Send + Sync + 'static {
    /// What it is and where, for operators.
    fn describe(&self) -> String;

    /// Reads everything, at the start of a term.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn load(&self) -> Result<StoreContents, StoreError>;

    /// The stored configuration of a cluster.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn get(&self, cluster: ClusterId) -> Result<Option<Configuration>, StoreError>;

    /// Stores `next` if the cluster's epoch in the store is the one before (`Epoch(0)`: there is none), and, if the
    /// cluster is new, no living one has its name. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError`]. After [`StoreError::Unknown`] the same call again tells whether it was stored.
    async fn compare_and_swap(&self, next: &Configuration) -> Result<Swapped, StoreError>;

    /// Forgets removed clusters; one that lives stays. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError`]; some may be forgotten then.
    async fn forget_clusters(&self, ids: &[ClusterId]) -> Result<(), StoreError>;

    /// Stores a server under an id that was never given before, or answers the one that its incarnation has already.
    /// Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError`]; an id may have been given to nobody then.
    async fn add_server(&self, registration: &Registration) -> Result<ServerId, StoreError>;

    /// Stores what is known of a server that has its id. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn put_server(&self, id: ServerId, registration: &Registration)
    -> Result<(), StoreError>;

    /// Forgets servers that no configuration names. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError`]; after [`StoreError::Unknown`] some may be forgotten.
    async fn forget_servers(&self, ids: &[ServerId]) -> Result<(), StoreError>;

    /// Takes all that a lost store held, its id too, and gives servers ids from its `next_server` on (PROTOCOL rule 39);
    /// answers `false` when this one holds something already, and changes nothing then. Durable when it returns. What several coordinators share has other means:
    /// a snapshot of the engine's own.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Shared`] where the engine has its own means.
    async fn restore(&self, contents: &StoreContents) -> Result<bool, StoreError> {
        let _ = contents;
        Err(StoreError::Shared)
    }
}

pub(super) fn encode<T: serde::Serialize>(what: &T) -> Result<Vec<u8>, StoreError> {
    postcard::to_stdvec(what).map_err(|e| StoreError::Failed(e.to_string()))
}

pub(super) fn decode<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    what: &'static str,
) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|_| StoreError::Unreadable { what })
}

/// No id is given twice, and there are no more.
pub(super) fn no_ids_left() -> StoreError {
    StoreError::Failed("all ids of servers are given; use a new store".to_owned())
}
