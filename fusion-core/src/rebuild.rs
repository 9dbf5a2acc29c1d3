//! Making a lost configuration store anew from what the servers know (PROTOCOL rule 39).
//!
//! Every server hands over the configuration that it has of each cluster; the highest of each counts. That is safe as long
//! as nobody who is not heard knows a higher one: so all servers that the highest configurations name must be heard, or
//! as many as an operator vouches for.
//!
//! A removal is remembered by nobody but the store: a server that adopts it forgets the cluster. So when a server that a
//! configuration names has handed over all that it has and nothing of that cluster, the cluster may have been removed
//! while the one that handed it over was away, or the server was never told of it: only an operator can know.
//!
//! What is handed over is checked, and all of it is bounded. The first thing that cannot be ends the attempt.

use crate::config::{ConfigError, Configuration};
use crate::id::{ClusterId, Epoch, ServerId};
use crate::limits::MAX_REPORTS;
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
    /// Two living clusters have one name.
    #[error(
        "two clusters are named {name}, {first} and {second}: start again with --drop {first} or --drop {second}, whichever is not wanted"
    )]
    TwoNames {
        /// The name.
        name: String,
        /// One.
        first: ClusterId,
        /// The other.
        second: ClusterId,
    },
    /// Two processes say that they are one server.
    #[error("two processes say that they are server {server}: stop the one that is not")]
    TwoProcesses {
        /// The server.
        server: ServerId,
    },
    /// A cluster may have been removed.
    #[error(
        "cluster {name} (id {cluster}, epoch {epoch}) names server {server}, which has nothing of it: it was removed, or that server was not told of it yet; start again with --drop {cluster} or --keep {cluster}"
    )]
    Doubtful {
        /// The cluster's name.
        name: String,
        /// The cluster.
        cluster: ClusterId,
        /// The highest epoch that was heard.
        epoch: Epoch,
        /// The server that should know of it.
        server: ServerId,
    },
    /// An operator decided on a cluster that nobody knows.
    #[error("no server knows of a cluster {name}: look at what is given to --keep and --drop")]
    NoSuchCluster {
        /// What was given.
        name: String,
    },
    /// A server handed over what cannot be a configuration.
    #[error(
        "server {server} handed over a configuration of cluster {cluster} that cannot be ({why}): stop that server"
    )]
    CannotBe {
        /// The server.
        server: ServerId,
        /// The cluster.
        cluster: ClusterId,
        /// What is wrong with it.
        why: ConfigError,
    },
    /// A server handed over a configuration of another store than its own.
    #[error(
        "server {server} of store {store:x} handed over a configuration of store {other:x}: stop that server"
    )]
    OtherStore {
        /// The server.
        server: ServerId,
        /// Its store.
        store: u64,
        /// The configuration's.
        other: u64,
    },
    /// A number that was never given.
    #[error("server {server} handed over {what} {number}, which was never given: stop that server")]
    Absurd {
        /// The server.
        server: ServerId,
        /// Which number.
        what: &'static str,
        /// The number.
        number: u64,
    },
    /// A bound was reached.
    #[error(
        "server {server} hands over more {what} than the {max} that are possible: stop the servers that do not belong here"
    )]
    TooMany {
        /// The server.
        server: ServerId,
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
    },
}

/// What came together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// The lost store's id: servers take configurations of this one only.
    pub store: u64,
    /// The highest configuration of each cluster; of those to drop a further one, by which they are removed.
    pub configs: Vec<Arc<Configuration>>,
    /// An id that no server ever had, most likely: ids may have been given that nobody heard of names any more.
    pub next_server: u64,
}

/// What an operator says, and what is possible at all.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// So many servers know all that is to be known; `None`: all that are named must be heard.
    pub servers: Option<usize>,
    /// Clusters that were not removed, whatever else it looks like: names or ids.
    pub keep: Vec<String>,
    /// Clusters that are to be removed: names or ids.
    pub drop: Vec<String>,
    /// Random: for the epochs that remove them.
    pub nonce: u64,
    /// The most servers.
    pub max_servers: usize,
    /// The most clusters.
    pub max_clusters: usize,
}

fn means(text: &String, config: &Configuration) -> bool {
    *text == config.name || *text == config.cluster.to_string()
}

#[derive(Clone, Debug)]
struct Heard {
    store: u64,
    /// One run of a process.
    incarnation: u64,
    /// How many configurations it has.
    of: usize,
    clusters: BTreeMap<ClusterId, Epoch>,
}

impl Heard {
    fn is_complete(&self) -> bool {
        self.clusters.len() >= self.of
    }
}

/// What was handed over so far.
#[derive(Clone, Debug, Default)]
pub struct Rebuild {
    wishes: Wishes,
    servers: BTreeMap<ServerId, Heard>,
    /// How many entries all of them have together.
    entries: usize,
    /// The highest of each cluster: whoever has it, it is.
    highest: BTreeMap<ClusterId, Arc<Configuration>>,
    /// Whom each content was heard from first.
    contents: BTreeMap<(ClusterId, Epoch), (ServerId, u64)>,
    /// What ended the attempt.
    failed: Option<RebuildError>,
}

/// Ids that are skipped, since they may have been given to servers that nobody heard of names.
const SKIPPED_IDS: u64 = 1000;
/// Ids and epochs are given one after the other: none is ever as high.
const NEVER_GIVEN: u64 = 1 << 48;
/// The most entries of all servers together: some 60 members a server, with as many servers as there may be.
const MAX_ENTRIES: usize = 1 << 20;

/// A server hands over one of the configurations that it has, or says that it has none.
#[derive(Clone, Debug)]
pub struct Handed {
    /// The server.
    pub server: ServerId,
    /// Its store.
    pub store: u64,
    /// The run of its process.
    pub incarnation: u64,
    /// How many it has.
    pub of: usize,
    /// One of them.
    pub config: Option<Arc<Configuration>>,
}

impl Rebuild {
    /// Nobody was heard yet.
    #[must_use]
    pub fn new(wishes: Wishes) -> Rebuild {
        Rebuild {
            wishes,
            ..Rebuild::default()
        }
    }

    /// Takes what is handed over; answers whether it is news.
    ///
    /// # Errors
    /// [`RebuildError`] when it cannot be: this and every further attempt to make a store of it fails.
    pub fn hear(&mut self, handed: Handed) -> Result<bool, RebuildError> {
        let taken = self.take(handed);
        if let Err(error) = &taken {
            self.failed.get_or_insert_with(|| error.clone());
        }
        taken
    }

    fn take(&mut self, handed: Handed) -> Result<bool, RebuildError> {
        let Handed {
            server,
            store,
            incarnation,
            of,
            config,
        } = handed;
        given(server, "server id", server.0)?;
        let too_many = |what, max| RebuildError::TooMany { server, what, max };
        let max_clusters = self.wishes.max_clusters.min(MAX_REPORTS);
        if of > max_clusters {
            return Err(too_many("clusters", max_clusters));
        }
        if !self.servers.contains_key(&server) && self.servers.len() >= self.wishes.max_servers {
            return Err(too_many("servers", self.wishes.max_servers));
        }
        if let Some(config) = &config {
            check(server, store, config)?;
            let known = self.highest.contains_key(&config.cluster);
            if !known && self.highest.len() >= max_clusters {
                return Err(too_many("clusters", max_clusters));
            }
        }
        let before = self.servers.get(&server);
        if before.is_some_and(|h| h.incarnation != incarnation) {
            return Err(RebuildError::TwoProcesses { server });
        }
        let mut news = before.is_none();
        let heard = self.servers.entry(server).or_insert_with(|| Heard {
            store,
            incarnation,
            of,
            clusters: BTreeMap::new(),
        });
        if (heard.store, heard.of) != (store, of) {
            // It has adopted something since: what it has now it tells from the beginning.
            self.entries -= heard.clusters.len();
            heard.clusters.clear();
            (heard.store, heard.of) = (store, of);
            news = true;
        }
        let Some(config) = config else {
            return Ok(news);
        };
        let last = heard.clusters.insert(config.cluster, config.epoch);
        self.entries += usize::from(last.is_none());
        news |= last != Some(config.epoch);
        if self.entries > MAX_ENTRIES || self.contents.len() > MAX_ENTRIES {
            return Err(too_many("configurations", MAX_ENTRIES));
        }
        let content = (config.cluster, config.epoch);
        let (first, nonce) = *self
            .contents
            .entry(content)
            .or_insert((server, config.nonce));
        if nonce != config.nonce {
            return Err(RebuildError::TwoContents {
                name: config.name.clone(),
                epoch: config.epoch,
                first,
                second: server,
            });
        }
        let known = self.highest.get(&config.cluster);
        if known.is_none_or(|k| k.epoch < config.epoch) {
            self.highest.insert(config.cluster, config);
        }
        Ok(news)
    }

    /// The servers that have handed over everything.
    pub fn heard(&self) -> impl Iterator<Item = ServerId> + '_ {
        let complete = self.servers.iter().filter(|(_, h)| h.is_complete());
        complete.map(|(&id, _)| id)
    }

    /// Whether this one has.
    #[must_use]
    pub fn has_heard(&self, server: ServerId) -> bool {
        self.servers.get(&server).is_some_and(Heard::is_complete)
    }

    fn is_dropped(&self, config: &Configuration) -> bool {
        self.wishes.drop.iter().any(|text| means(text, config))
    }

    /// The clusters that live, as far as is known.
    fn living(&self) -> impl Iterator<Item = &Arc<Configuration>> {
        let highest = self.highest.values();
        highest.filter(|c| !c.removed && !self.is_dropped(c))
    }

    /// The servers that are named and were not heard yet.
    #[must_use]
    pub fn missing(&self) -> BTreeSet<ServerId> {
        let named = self.living().flat_map(|c| c.servers());
        named.filter(|&id| !self.has_heard(id)).collect()
    }

    /// The new store's contents; `None` as long as more servers must be heard, or what is heard is not `settled`: one
    /// that is connected has yet to hand over all that it has, or news came only just now.
    ///
    /// # Errors
    /// [`RebuildError`] when what was heard cannot be, contradicts itself, or only an operator can decide.
    pub fn outcome(&self, settled: bool) -> Result<Option<Rebuilt>, RebuildError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let mut stores = self.servers.values().map(|h| h.store);
        let Some(store) = stores.next() else {
            return Ok(None);
        };
        if let Some(second) = stores.find(|&s| s != store) {
            let first = store;
            return Err(RebuildError::TwoStores { first, second });
        }
        let enough = match self.wishes.servers {
            Some(servers) => self.heard().count() >= servers,
            None => !self.highest.is_empty() && self.missing().is_empty(),
        };
        if !enough || !settled {
            return Ok(None);
        }
        self.check_wishes()?;
        self.check_doubts()?;
        self.check_names()?;
        let named = self.highest.values().flat_map(|c| hosts(c));
        let last = named.chain(self.servers.keys().copied()).max();
        let next_server = last.map_or(0, |s| s.0).checked_add(1 + SKIPPED_IDS);
        let server = last.unwrap_or_default();
        let next_server = next_server.ok_or(RebuildError::Absurd {
            server,
            what: "server id",
            number: server.0,
        })?;
        let configs = self.highest.values().map(|config| {
            if config.removed || !self.is_dropped(config) {
                return Arc::clone(config);
            }
            let mut last = config.successor(self.wishes.nonce);
            last.removed = true;
            Arc::new(last)
        });
        Ok(Some(Rebuilt {
            store,
            next_server,
            configs: configs.collect(),
        }))
    }

    /// An operator who mistypes a name must not believe that it was taken.
    fn check_wishes(&self) -> Result<(), RebuildError> {
        let mut wishes = self.wishes.keep.iter().chain(&self.wishes.drop);
        let unknown = wishes.find(|text| !self.highest.values().any(|c| means(text, c)));
        unknown.map_or(Ok(()), |name| {
            let name = name.chars().take(80).collect();
            Err(RebuildError::NoSuchCluster { name })
        })
    }

    /// Who is named and has handed over everything has a part of the cluster, or the cluster is doubtful.
    fn check_doubts(&self) -> Result<(), RebuildError> {
        let kept = |c: &Configuration| self.wishes.keep.iter().any(|text| means(text, c));
        for config in self.living().filter(|c| !kept(c)) {
            let (cluster, epoch) = (config.cluster, config.epoch);
            let without = |server: &ServerId| {
                let heard = self.servers.get(server);
                heard.is_some_and(|h| h.is_complete() && !h.clusters.contains_key(&cluster))
            };
            if let Some(server) = hosts(config).find(without) {
                let name = config.name.clone();
                return Err(RebuildError::Doubtful {
                    name,
                    cluster,
                    epoch,
                    server,
                });
            }
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), RebuildError> {
        let mut names: BTreeMap<&str, ClusterId> = BTreeMap::new();
        for config in self.living() {
            if let Some(first) = names.insert(&config.name, config.cluster) {
                return Err(RebuildError::TwoNames {
                    name: config.name.clone(),
                    first,
                    second: config.cluster,
                });
            }
        }
        Ok(())
    }
}

/// The servers that a configuration says host a member, or did until now.
fn hosts(config: &Configuration) -> impl Iterator<Item = ServerId> + '_ {
    let formers = config.formers().chain(config.moved());
    let formers = formers.map(|(_, f)| f.host.server);
    let codes = config.former_codes.iter().map(|f| f.host.server);
    config.servers().into_iter().chain(formers).chain(codes)
}

fn given(server: ServerId, what: &'static str, number: u64) -> Result<(), RebuildError> {
    if number < NEVER_GIVEN {
        return Ok(());
    }
    Err(RebuildError::Absurd {
        server,
        what,
        number,
    })
}

fn check(server: ServerId, store: u64, config: &Configuration) -> Result<(), RebuildError> {
    if config.store != store {
        return Err(RebuildError::OtherStore {
            server,
            store,
            other: config.store,
        });
    }
    config.check().map_err(|why| RebuildError::CannotBe {
        server,
        cluster: config.cluster,
        why,
    })?;
    given(server, "epoch", config.epoch.0)?;
    given(server, "member id", config.next_id)?;
    let mut named = hosts(config).chain(config.shunned.iter().copied());
    named.try_for_each(|id| given(server, "server id", id.0))
}

#[cfg(test)]
mod tests;
