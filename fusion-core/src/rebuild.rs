//! Making a lost configuration store anew from what the servers know (PROTOCOL rule 39).
//!
//! Every server hands over the configuration that it has of each cluster; the highest of each counts. That is safe as long
//! as nobody who is not heard knows a higher one: so all servers that the highest configurations name must be heard, or
//! as many as an operator vouches for.

use crate::config::Configuration;
use crate::id::{ClusterId, Epoch, ServerId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use thiserror::Error;

/// Why no store can be made of what the servers know. Nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// The servers belong to two deployments.
    #[error(
        "servers of two stores were heard, {first:x} and {second:x}: start those of one deployment only, or restart those whose data is not wanted"
    )]
    TwoStores {
        /// One.
        first: u64,
        /// The other.
        second: u64,
    },
    /// An epoch has two contents: two stores were in use.
    #[error(
        "two configurations of epoch {epoch} of cluster {name} were heard, from servers {first} and {second}: stop one of them, whose members are then given up"
    )]
    TwoContents {
        /// The cluster's name.
        name: String,
        /// The epoch.
        epoch: Epoch,
        /// A server that has the one.
        first: ServerId,
        /// A server that has the other.
        second: ServerId,
    },
}

/// What came together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// The lost store's id: servers take configurations of this one only.
    pub store: u64,
    /// The highest configuration of each cluster.
    pub configs: Vec<Arc<Configuration>>,
    /// An id that no server ever had, most likely: ids may have been given that nobody heard of names any more.
    pub next_server: u64,
}

#[derive(Clone, Debug)]
struct Heard {
    store: u64,
    /// How many configurations it has.
    of: usize,
    configs: BTreeMap<ClusterId, Arc<Configuration>>,
}

/// What was handed over so far. As many entries as there are servers and clusters.
#[derive(Clone, Debug, Default)]
pub struct Rebuild {
    servers: BTreeMap<ServerId, Heard>,
    /// So many servers are enough, says an operator.
    vouched: Option<usize>,
}

/// Ids that are skipped, since they may have been given to servers that nobody heard of names.
const SKIPPED_IDS: u64 = 1000;

impl Rebuild {
    /// Nobody was heard yet. `vouched` is an operator's word that so many servers know all that is to be known; without
    /// it, all servers that are named must be heard.
    #[must_use]
    pub fn new(vouched: Option<usize>) -> Rebuild {
        Rebuild {
            servers: BTreeMap::new(),
            vouched,
        }
    }

    /// A server of store `store` hands over one of the `of` configurations that it has, or says that it has none.
    pub fn hear(
        &mut self,
        server: ServerId,
        store: u64,
        of: usize,
        config: Option<Arc<Configuration>>,
    ) {
        let heard = self.servers.entry(server).or_insert(Heard {
            store,
            of,
            configs: BTreeMap::new(),
        });
        (heard.store, heard.of) = (store, of);
        if let Some(config) = config {
            heard.configs.insert(config.cluster, config);
        }
    }

    fn complete(&self) -> impl Iterator<Item = (ServerId, &Heard)> {
        let all = self.servers.iter().map(|(&id, heard)| (id, heard));
        all.filter(|(_, h)| h.configs.len() >= h.of)
    }

    /// The servers that have handed over everything.
    pub fn heard(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.complete().map(|(id, _)| id)
    }

    /// The highest of each cluster.
    fn highest(&self) -> BTreeMap<ClusterId, Arc<Configuration>> {
        let mut highest: BTreeMap<ClusterId, Arc<Configuration>> = BTreeMap::new();
        for (_, heard) in self.complete() {
            for (&cluster, config) in &heard.configs {
                let known = highest.get(&cluster);
                if known.is_none_or(|k| k.epoch < config.epoch) {
                    highest.insert(cluster, Arc::clone(config));
                }
            }
        }
        highest
    }

    /// The servers that are named and were not heard yet.
    #[must_use]
    pub fn missing(&self) -> BTreeSet<ServerId> {
        let heard: BTreeSet<ServerId> = self.heard().collect();
        let named = self.highest().into_values();
        let named: BTreeSet<ServerId> = named.flat_map(|c| c.servers()).collect();
        named.difference(&heard).copied().collect()
    }

    /// The new store's contents; `None` as long as more servers must be heard.
    ///
    /// # Errors
    /// [`RebuildError`] when what was heard contradicts itself.
    pub fn outcome(&self) -> Result<Option<Rebuilt>, RebuildError> {
        let mut stores = self.complete().map(|(_, h)| h.store);
        let Some(store) = stores.next() else {
            return Ok(None);
        };
        if let Some(second) = stores.find(|&s| s != store) {
            let first = store;
            return Err(RebuildError::TwoStores { first, second });
        }
        self.check_contents()?;
        let highest = self.highest();
        let enough = match self.vouched {
            Some(servers) => self.complete().count() >= servers,
            None => !highest.is_empty() && self.missing().is_empty(),
        };
        if !enough {
            return Ok(None);
        }
        let named = highest.values().flat_map(|c| c.servers());
        let last = named.chain(self.servers.keys().copied()).max();
        Ok(Some(Rebuilt {
            store,
            next_server: last.map_or(1, |s| s.0 + 1) + SKIPPED_IDS,
            configs: highest.into_values().collect(),
        }))
    }

    fn check_contents(&self) -> Result<(), RebuildError> {
        let mut seen: BTreeMap<(ClusterId, Epoch), (ServerId, &Configuration)> = BTreeMap::new();
        for (server, heard) in self.complete() {
            for config in heard.configs.values() {
                let key = (config.cluster, config.epoch);
                let (first, known) = *seen.entry(key).or_insert((server, config));
                if known.contradicts(config) {
                    return Err(RebuildError::TwoContents {
                        name: config.name.clone(),
                        epoch: config.epoch,
                        first,
                        second: server,
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClusterShape, Host};
    use crate::op::Kind;

    const S: u64 = 7;

    fn config() -> Arc<Configuration> {
        let shape = ClusterShape::new("c", Kind::Map, 2, 1, false).unwrap();
        let hosts = [1, 2, 3].map(|i| Host {
            server: ServerId(i),
            address: String::new(),
        });
        Arc::new(Configuration::create(S, ClusterId(1), 1, &shape, &hosts))
    }

    fn heard(vouched: Option<usize>, of: &[(u64, &Arc<Configuration>)]) -> Rebuild {
        let mut rebuild = Rebuild::new(vouched);
        for &(server, config) in of {
            rebuild.hear(ServerId(server), S, 1, Some(Arc::clone(config)));
        }
        rebuild
    }

    #[test]
    fn all_that_are_named_must_be_heard_and_the_highest_counts() {
        let first = config();
        let second = Arc::new(first.successor(2));
        let rebuild = heard(None, &[(1, &first), (2, &second)]);
        assert_eq!(rebuild.outcome(), Ok(None));
        assert_eq!(rebuild.missing(), BTreeSet::from([ServerId(3)]));
        let rebuild = heard(None, &[(1, &first), (2, &second), (3, &first)]);
        let rebuilt = rebuild.outcome().unwrap().unwrap();
        assert_eq!((rebuilt.store, rebuilt.configs), (S, vec![second]));
        assert!(rebuilt.next_server > 3);
    }

    #[test]
    fn an_operator_vouches_for_those_that_are_dead() {
        let first = config();
        let rebuild = heard(Some(2), &[(1, &first)]);
        assert_eq!(rebuild.outcome(), Ok(None));
        let rebuild = heard(Some(2), &[(1, &first), (3, &first)]);
        assert!(rebuild.outcome().unwrap().is_some());
    }

    #[test]
    fn a_server_counts_when_it_has_handed_over_all() {
        let mut rebuild = Rebuild::new(Some(1));
        rebuild.hear(ServerId(1), S, 2, Some(config()));
        assert_eq!(rebuild.outcome(), Ok(None));
        let other = Configuration {
            cluster: ClusterId(2),
            ..(*config()).clone()
        };
        rebuild.hear(ServerId(1), S, 2, Some(Arc::new(other)));
        assert_eq!(rebuild.outcome().unwrap().unwrap().configs.len(), 2);
    }

    #[test]
    fn nothing_known_by_anybody_is_no_store_and_contradictions_are_refused() {
        let mut rebuild = Rebuild::new(None);
        rebuild.hear(ServerId(1), S, 0, None);
        assert_eq!(rebuild.outcome(), Ok(None));
        let first = config();
        let (one, other) = (Arc::new(first.successor(2)), Arc::new(first.successor(3)));
        let rebuild = heard(Some(2), &[(1, &one), (2, &other)]);
        assert!(matches!(
            rebuild.outcome(),
            Err(RebuildError::TwoContents {
                first: ServerId(1),
                second: ServerId(2),
                ..
            })
        ));
        let mut rebuild = heard(Some(2), &[(1, &first)]);
        rebuild.hear(ServerId(2), S + 1, 0, None);
        assert!(matches!(
            rebuild.outcome(),
            Err(RebuildError::TwoStores { .. })
        ));
    }
}
