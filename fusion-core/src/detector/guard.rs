//! The one guard of every change of a store (PROTOCOL rules 39, 60): nothing is decided on a store that is older than what
//! servers know, whoever asks for it.

use super::{Detector, MAX_HEARD};
use crate::config::Configuration;
use crate::fault::{Fault, planted};
use crate::id::{ClusterId, Epoch, ServerId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use thiserror::Error;

/// Why a store must not be changed now. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum GuardError {
    /// A registered server was neither heard of since this coordinator became the active one, nor silent for T_s: it may
    /// know a later epoch.
    #[error(
        "server {server} was not heard of since this coordinator became the active one, and not silent for long enough either; try again in a moment"
    )]
    Unheard {
        /// The server.
        server: ServerId,
    },
    /// A server knows a later epoch than the store.
    #[error(
        "the store is behind: it says epoch {stored} of cluster {name} (id {cluster}), and server {server} is in epoch {heard}; {MEND}"
    )]
    LaterEpoch {
        /// The cluster's name.
        name: String,
        /// The cluster.
        cluster: ClusterId,
        /// The store's epoch.
        stored: Epoch,
        /// The epoch that was heard.
        heard: Epoch,
        /// Who said so.
        server: ServerId,
    },
    /// A server knows another content of the store's epoch (rule 61).
    #[error(
        "the store is another one, or behind: server {server} knows another content of epoch {epoch} of cluster {name} (id {cluster}); {MEND}"
    )]
    OtherContent {
        /// The cluster's name.
        name: String,
        /// The cluster.
        cluster: ClusterId,
        /// The epoch of both contents.
        epoch: Epoch,
        /// Who said so.
        server: ServerId,
    },
    /// A server has members of a cluster that the store does not know.
    #[error(
        "the store is behind: server {server} is in epoch {epoch} of cluster {cluster}, which is not in the store; {MEND}, or restart that server when its members are not wanted"
    )]
    UnknownCluster {
        /// The cluster.
        cluster: ClusterId,
        /// The epoch that was heard.
        epoch: Epoch,
        /// Who said so.
        server: ServerId,
    },
    /// A server has an id of this store that the store has not given, or has given to another one.
    #[error(
        "the store is behind: a process has the id {server} of it, which the store has not given to that process; {MEND}"
    )]
    UnknownServer {
        /// The id.
        server: ServerId,
    },
}

/// What to do about a store that is behind.
const MEND: &str = "nothing is changed by it. Stop this coordinator, and start one on the right file, or make the store \
                    anew from the servers with `fusion coordinator --data NEW --rebuild` (etcd: restore a newer snapshot)";

impl GuardError {
    /// Whether the store is behind or another one; else it is only too early to tell.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        !matches!(self, GuardError::Unheard { .. })
    }
}

/// A cluster that some server knows, and the store does not.
#[derive(Clone, Copy, Debug)]
struct Stray {
    epoch: Epoch,
    /// Who said so last.
    server: ServerId,
}

/// What was heard that no cluster of the store explains.
#[derive(Clone, Debug, Default)]
pub(super) struct Unexplained {
    strays: BTreeMap<ClusterId, Stray>,
    /// The first id that the store has not given to whom has it.
    server: Option<ServerId>,
}

impl Unexplained {
    /// The store knows the cluster from now on; answers the epoch in which it was heard, and from whom.
    pub(super) fn explained(&mut self, cluster: ClusterId) -> Option<(Epoch, ServerId)> {
        let stray = self.strays.remove(&cluster)?;
        Some((stray.epoch, stray.server))
    }

    /// These are dead, or not registered any more: what they had they have no more.
    pub(super) fn gone(&mut self, servers: &[ServerId]) {
        self.strays.retain(|_, s| !servers.contains(&s.server));
    }
}

impl Detector {
    /// Server `server` knows this epoch of a cluster, with the content that this nonce names. Beyond [`MAX_HEARD`]
    /// clusters, further ones are not remembered.
    pub fn hear_epoch(&mut self, server: ServerId, cluster: ClusterId, epoch: Epoch, nonce: u64) {
        if let Some(watched) = self.clusters.get_mut(&cluster) {
            if epoch > watched.highest.0 {
                watched.highest = (epoch, server);
            }
            if epoch == watched.epoch && nonce != watched.nonce {
                watched.other_content.get_or_insert(server);
            }
            return;
        }
        let strays = &mut self.unexplained.strays;
        if strays.len() < MAX_HEARD || strays.contains_key(&cluster) {
            strays.insert(cluster, Stray { epoch, server });
        }
    }

    /// Server `server` knows no other clusters than those that `knows` is true of.
    pub fn hear_all_known(&mut self, server: ServerId, knows: impl Fn(ClusterId) -> bool) {
        if let Some(server) = self.servers.get_mut(&server) {
            server.told = true;
        }
        let strays = &mut self.unexplained.strays;
        strays.retain(|&cluster, s| s.server != server || knows(cluster));
    }

    /// A process says that this store has given it an id, and the store knows nothing of it.
    pub fn hear_unknown_server(&mut self, server: ServerId) {
        self.unexplained.server.get_or_insert(server);
    }

    /// A server of which it is not known yet whether it lives, and what it knows: it has not said so, nor was it silent for
    /// long enough.
    #[must_use]
    pub fn unheard(&self) -> Option<ServerId> {
        let unheard = |s: &super::Server| {
            let told = s.told || planted(Fault::NewcomerNotAwaited) && s.seen.last_heard_ms > 0;
            !told && s.seen.suspected_since_ms.is_none()
        };
        let mut servers = self.servers.iter();
        servers.find(|(_, s)| unheard(s)).map(|(&id, _)| id)
    }

    /// Whether a change of this cluster, from the configuration that the store has on, may be made (rule 60): everybody
    /// was heard who may know better, and nobody does.
    ///
    /// # Errors
    /// [`GuardError`]: what was heard, and from whom.
    pub fn guard(&self, config: &Configuration) -> Result<(), GuardError> {
        if planted(Fault::GuardIgnored) {
            return Ok(());
        }
        self.behind(config)?;
        let unheard = self.unheard();
        unheard.map_or(Ok(()), |server| Err(GuardError::Unheard { server }))
    }

    /// Whether something may be added to the store, or taken from it, that is of no cluster: as [`guard`](Self::guard), of
    /// all clusters that it has.
    ///
    /// # Errors
    /// [`GuardError`].
    pub fn guard_all<'a>(
        &self,
        mut configs: impl Iterator<Item = &'a Configuration>,
    ) -> Result<(), GuardError> {
        if planted(Fault::GuardIgnored) {
            return Ok(());
        }
        self.explains_servers()?;
        configs.try_for_each(|c| self.behind(c))?;
        match self.unexplained.strays.first_key_value() {
            Some((&cluster, &Stray { epoch, server })) => Err(GuardError::UnknownCluster {
                cluster,
                epoch,
                server,
            }),
            None => Ok(()),
        }
    }

    fn explains_servers(&self) -> Result<(), GuardError> {
        let unknown = self.unexplained.server;
        unknown.map_or(Ok(()), |server| Err(GuardError::UnknownServer { server }))
    }

    fn behind(&self, config: &Configuration) -> Result<(), GuardError> {
        self.explains_servers()?;
        let Some(watched) = self.clusters.get(&config.cluster) else {
            return Ok(());
        };
        let (cluster, stored) = (config.cluster, config.epoch);
        let name = || config.name.clone();
        let (heard, server) = watched.highest;
        if heard > stored {
            return Err(GuardError::LaterEpoch {
                name: name(),
                cluster,
                stored,
                heard,
                server,
            });
        }
        let same = (watched.epoch, watched.nonce) == (config.epoch, config.nonce);
        match watched.other_content {
            Some(server) if same => Err(GuardError::OtherContent {
                name: name(),
                cluster,
                epoch: stored,
                server,
            }),
            _ => Ok(()),
        }
    }

    /// Whether somebody was heard to know better than `config`, which is read from a store: whoever has it in memory must
    /// read it again, and a store that still says the same has lost something and must not act (rule 39).
    #[must_use]
    pub fn is_behind(&self, config: &Configuration) -> bool {
        self.behind(config).is_err()
    }
}

#[cfg(test)]
mod tests;
