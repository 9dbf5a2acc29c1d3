//! Where configurations are kept: durable before anybody is told (PROTOCOL rules 5, 7).

use crate::service::Registration;
use fusion_core::config::Configuration;
use fusion_core::id::{ClusterId, Epoch, ServerId};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

/// Why the store failed. Nothing was changed then.
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
    /// Reading or writing failed.
    #[error("{0}")]
    Failed(String),
    /// What is in it cannot be read: another version's, or not a coordinator's.
    #[error(
        "the coordinator's store holds {what} that cannot be read; it was written by another version"
    )]
    Unreadable {
        /// What.
        what: &'static str,
    },
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
    /// The next server id to give.
    pub next_server: u64,
}

/// A configuration store. Calls may block; whoever is async calls them from a thread that may.
pub trait ConfigStore: Send + Sync + 'static {
    /// Reads everything, at the start.
    ///
    /// # Errors
    /// [`StoreError`].
    fn load(&self) -> Result<StoreContents, StoreError>;

    /// The stored configuration of a cluster.
    ///
    /// # Errors
    /// [`StoreError`].
    fn get(&self, cluster: ClusterId) -> Result<Option<Configuration>, StoreError>;

    /// Stores `next` if the cluster's epoch in the store is the one before (`Epoch(0)`: there is none); answers
    /// whether it did. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError`]; whether it was stored is then unknown, and for [`get`](Self::get) to say.
    fn compare_and_swap(&self, next: &Configuration) -> Result<bool, StoreError>;

    /// Stores a server under an id that was not given before. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError`].
    fn put_server(&self, id: ServerId, registration: &Registration) -> Result<(), StoreError>;

    /// Forgets servers that no configuration names. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError`].
    fn forget_servers(&self, ids: &[ServerId]) -> Result<(), StoreError>;
}

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const CONFIGS: TableDefinition<u64, &[u8]> = TableDefinition::new("configurations");
const SERVERS: TableDefinition<u64, &[u8]> = TableDefinition::new("servers");
const FORMAT: u64 = 3;

/// The embedded store: one redb file, fsynced at each change.
pub struct RedbStore {
    path: PathBuf,
    /// Taken away by a failure and opened again by the next call: redb refuses to go on after a failed write, and a
    /// disk that was full may have room again.
    database: Mutex<Option<Database>>,
}

fn open_file(path: &Path) -> Result<Database, StoreError> {
    Database::create(path).map_err(|e| StoreError::Open {
        path: path.to_owned(),
        reason: match e {
            redb::DatabaseError::DatabaseAlreadyOpen => "another coordinator uses it".to_owned(),
            e => e.to_string(),
        },
    })
}

impl RedbStore {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`StoreError::Open`] when it cannot be opened (another coordinator has it open, say);
    /// [`StoreError::Unreadable`] when it is of another format.
    pub fn open(path: &Path) -> Result<RedbStore, StoreError> {
        let store = RedbStore {
            path: path.to_owned(),
            database: Mutex::new(Some(open_file(path)?)),
        };
        store.initialize().map_err(|e| match e {
            StoreError::Failed(reason) => StoreError::Open {
                path: path.to_owned(),
                reason,
            },
            e => e,
        })?;
        Ok(store)
    }

    fn with<T>(
        &self,
        act: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let mut open = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match open.take() {
            Some(database) => database,
            None => open_file(&self.path)?,
        };
        let result = act(&database).map_err(|e| StoreError::Failed(e.to_string()))?;
        *open = Some(database);
        Ok(result)
    }

    fn initialize(&self) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut meta = transaction.open_table(META)?;
            let format = meta.get("format")?.map(|v| v.value());
            if format.is_none() {
                meta.insert("format", FORMAT)?;
                meta.insert("store", rand::random::<u64>())?;
                meta.insert("next server", 1)?;
            }
            drop(meta);
            transaction.open_table(CONFIGS)?;
            transaction.open_table(SERVERS)?;
            Ok(format.is_none_or(|f| f == FORMAT))
        })
        .and_then(|readable| {
            if readable {
                Ok(())
            } else {
                Err(StoreError::Unreadable { what: "a format" })
            }
        })
    }

    fn write<T>(
        &self,
        act: impl FnOnce(&redb::WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            let result = act(&transaction)?;
            transaction.commit()?;
            Ok(result)
        })
    }
}

fn encode<T: serde::Serialize>(what: &T) -> Result<Vec<u8>, StoreError> {
    postcard::to_stdvec(what).map_err(|e| StoreError::Failed(e.to_string()))
}

fn decode<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    what: &'static str,
) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|_| StoreError::Unreadable { what })
}

impl ConfigStore for RedbStore {
    fn load(&self) -> Result<StoreContents, StoreError> {
        type Rows = Vec<(u64, Vec<u8>)>;
        let read = |database: &Database| -> Result<(Vec<u64>, Rows, Rows), redb::Error> {
            let transaction = database.begin_read()?;
            let meta = transaction.open_table(META)?;
            let numbers = ["store", "next server"];
            let numbers =
                numbers.map(|key| Ok::<_, redb::Error>(meta.get(key)?.map_or(0, |v| v.value())));
            let numbers = numbers.into_iter().collect::<Result<Vec<_>, _>>()?;
            let rows = |table: TableDefinition<'_, u64, &[u8]>| -> Result<Rows, redb::Error> {
                let table = transaction.open_table(table)?;
                let rows = table
                    .iter()?
                    .map(|row| row.map(|(k, v)| (k.value(), v.value().to_vec())));
                Ok(rows.collect::<Result<_, _>>()?)
            };
            Ok((numbers, rows(CONFIGS)?, rows(SERVERS)?))
        };
        let (numbers, configs, servers) = self.with(read)?;
        let configs = configs
            .iter()
            .map(|(_, bytes)| decode(bytes, "a configuration").map(Arc::new));
        let servers = servers
            .iter()
            .map(|(id, bytes)| Ok((ServerId(*id), decode(bytes, "a server")?)));
        Ok(StoreContents {
            store: numbers[0],
            next_server: numbers[1],
            configs: configs.collect::<Result<_, StoreError>>()?,
            servers: servers.collect::<Result<_, StoreError>>()?,
        })
    }

    fn get(&self, cluster: ClusterId) -> Result<Option<Configuration>, StoreError> {
        let stored = self.with(|database| {
            let configs = database.begin_read()?.open_table(CONFIGS)?;
            Ok(configs.get(cluster.0)?.map(|v| v.value().to_vec()))
        });
        stored?
            .map(|bytes| decode(&bytes, "a configuration"))
            .transpose()
    }

    fn compare_and_swap(&self, next: &Configuration) -> Result<bool, StoreError> {
        let bytes = encode(next)?;
        let cluster = next.cluster;
        self.write(|transaction| {
            let mut configs = transaction.open_table(CONFIGS)?;
            let stored = configs
                .get(cluster.0)?
                .map(|v| postcard::from_bytes::<Configuration>(v.value()));
            let epoch = match stored {
                None => Epoch(0),
                Some(Ok(config)) => config.epoch,
                Some(Err(_)) => return Ok(false),
            };
            if epoch.next() != next.epoch {
                return Ok(false);
            }
            configs.insert(cluster.0, &bytes[..])?;
            Ok(true)
        })
    }

    fn put_server(&self, id: ServerId, registration: &Registration) -> Result<(), StoreError> {
        let bytes = encode(registration)?;
        self.write(|transaction| {
            transaction.open_table(SERVERS)?.insert(id.0, &bytes[..])?;
            let mut meta = transaction.open_table(META)?;
            let following = meta
                .get("next server")?
                .map_or(0, |v| v.value())
                .max(id.0 + 1);
            meta.insert("next server", following)?;
            Ok(())
        })
    }

    fn forget_servers(&self, ids: &[ServerId]) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut servers = transaction.open_table(SERVERS)?;
            for id in ids {
                servers.remove(id.0)?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusion_core::config::{ClusterShape, Host};
    use fusion_core::op::Kind;

    fn config() -> Configuration {
        let shape = ClusterShape::new("c", Kind::List, 1, 1, false).unwrap();
        let host = |i| Host {
            server: ServerId(i),
            address: String::new(),
        };
        Configuration::create(1, ClusterId(3), 1, &shape, &[host(1), host(2)])
    }

    #[test]
    fn only_the_next_epoch_is_stored_and_it_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let first = config();
        let second = first.successor(5);
        let id = {
            let store = RedbStore::open(&path).unwrap();
            assert!(!store.compare_and_swap(&second).unwrap());
            assert!(store.compare_and_swap(&first).unwrap());
            assert!(!store.compare_and_swap(&first).unwrap());
            assert!(store.compare_and_swap(&second).unwrap());
            let registration = Registration {
                incarnation: 8,
                address: "a:1".into(),
                pid: 4,
                draining: false,
            };
            store.put_server(ServerId(7), &registration).unwrap();
            store.load().unwrap().store
        };
        let contents = RedbStore::open(&path).unwrap().load().unwrap();
        assert_eq!(contents.store, id);
        assert_eq!(*contents.configs[0], second);
        assert_eq!(contents.next_server, 8);
        assert_eq!(contents.servers[0].1.incarnation, 8);
    }

    #[test]
    fn a_failed_write_does_not_disable_the_store_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&folder.path().join("store")).unwrap();
        let failed = store.with(|_| {
            let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
            Err::<(), _>(redb::Error::Io(full))
        });
        assert!(matches!(failed, Err(StoreError::Failed(_))));
        let first = config();
        assert!(store.compare_and_swap(&first).unwrap());
        assert_eq!(store.get(first.cluster).unwrap(), Some(first));
        assert_eq!(store.get(ClusterId(9)).unwrap(), None);
    }

    #[test]
    fn a_file_that_is_no_store_is_a_clear_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        std::fs::write(&path, b"not a store at all").unwrap();
        assert!(matches!(
            RedbStore::open(&path),
            Err(StoreError::Open { .. })
        ));
    }
}
