//! The embedded store: one redb file, for one coordinator.

use super::{ConfigStore, StoreContents, StoreError, Swapped, decode, encode, no_ids_left};
use crate::service::Registration;
use async_trait::async_trait;
use fusion_core::config::Configuration;
use fusion_core::id::{ClusterId, Epoch, ServerId};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const CONFIGS: TableDefinition<u64, &[u8]> = TableDefinition::new("configurations");
const SERVERS: TableDefinition<u64, &[u8]> = TableDefinition::new("servers");
const FORMAT: u64 = 3;
/// How many changes were made; a file from before they were counted has none.
const CHANGES: &str = "changes";

/// The embedded store: one redb file, fsynced at each change. Cheap to clone.
#[derive(Clone)]
pub struct RedbStore {
    file: Arc<RedbFile>,
}

struct RedbFile {
    path: PathBuf,
    /// Taken away by a failure and opened again by the next call: redb refuses to go on after a failed write, and a
    /// disk that was full may have room again.
    database: Mutex<Option<Database>>,
}

/// What a swap found.
enum Found {
    Stored,
    Other(Option<Vec<u8>>),
    Name(ClusterId),
}

fn open_file(path: &Path) -> Result<Database, StoreError> {
    Database::create(path).map_err(|e| StoreError::Open {
        path: path.to_owned(),
        reason: match e {
            redb::DatabaseError::DatabaseAlreadyOpen => {
                "another coordinator uses it; several coordinators need a \
                                                         store that they can share: etcd (--etcd)"
                    .to_owned()
            }
            e => e.to_string(),
        },
    })
}

impl RedbStore {
    /// Opens the file, or makes it. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Open`] when it cannot be opened (another coordinator has it open, say);
    /// [`StoreError::Unreadable`] when it is of another format.
    pub fn open(path: &Path) -> Result<RedbStore, StoreError> {
        let file = RedbFile {
            path: path.to_owned(),
            database: Mutex::new(Some(open_file(path)?)),
        };
        file.initialize()?;
        Ok(RedbStore {
            file: Arc::new(file),
        })
    }

    /// Works on the file on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&RedbFile) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let file = Arc::clone(&self.file);
        let done = tokio::task::spawn_blocking(move || work(&file)).await;
        // It was stopped in the middle of whatever it did.
        done.map_err(|e| StoreError::Unknown(e.to_string()))?
    }
}

impl RedbFile {
    fn with<T>(
        &self,
        act: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let mut open = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match open.take() {
            Some(database) => database,
            None => open_file(&self.path)?,
        };
        let failed = |e: redb::Error| {
            let path = self.path.display();
            StoreError::Failed(format!("cannot read or write {path}: {e}"))
        };
        let result = act(&database).map_err(failed)?;
        *open = Some(database);
        Ok(result)
    }

    /// Makes one change, with a number that says afterwards whether it was made.
    fn write<T>(
        &self,
        act: impl FnOnce(&redb::WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let mut committing = None;
        let done = self.with(|database| {
            let transaction = database.begin_write()?;
            let result = act(&transaction)?;
            let mut meta = transaction.open_table(META)?;
            let number = meta.get(CHANGES)?.map_or(0, |v| v.value()).wrapping_add(1);
            meta.insert(CHANGES, number)?;
            drop(meta);
            committing = Some((number, result));
            transaction.commit()?;
            Ok(())
        });
        match (done, committing) {
            (Ok(()), Some((_, result))) => Ok(result),
            (Err(error), Some((number, result))) => self.settle(number, error).map(|()| result),
            (Err(error), None) => Err(error),
            (Ok(()), None) => Err(StoreError::Failed("nothing was committed".to_owned())),
        }
    }

    /// A commit has failed: whether it was made all the same, the file says when it is opened again.
    fn settle(&self, number: u64, error: StoreError) -> Result<(), StoreError> {
        let last = self.with(|database| {
            let meta = database.begin_read()?.open_table(META)?;
            Ok(meta.get(CHANGES)?.map(|v| v.value()))
        });
        match last {
            Ok(last) if last == Some(number) => Ok(()),
            Ok(_) => Err(error),
            Err(_) => Err(StoreError::Unknown(error.to_string())),
        }
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

    fn load(&self) -> Result<StoreContents, StoreError> {
        type Rows = Vec<(u64, Vec<u8>)>;
        let read = |database: &Database| -> Result<(u64, Rows, Rows), redb::Error> {
            let transaction = database.begin_read()?;
            let store = transaction.open_table(META)?.get("store")?;
            let rows = |table: TableDefinition<'_, u64, &[u8]>| -> Result<Rows, redb::Error> {
                let table = transaction.open_table(table)?;
                let rows = table
                    .iter()?
                    .map(|row| row.map(|(k, v)| (k.value(), v.value().to_vec())));
                Ok(rows.collect::<Result<_, _>>()?)
            };
            let store = store.map_or(0, |v| v.value());
            Ok((store, rows(CONFIGS)?, rows(SERVERS)?))
        };
        let (store, configs, servers) = self.with(read)?;
        let configs = configs
            .iter()
            .map(|(_, bytes)| decode(bytes, "a configuration").map(Arc::new));
        let servers = servers
            .iter()
            .map(|(id, bytes)| Ok((ServerId(*id), decode(bytes, "a server")?)));
        Ok(StoreContents {
            store,
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

    fn swap(&self, next: &Configuration, bytes: &[u8]) -> Result<Found, StoreError> {
        self.write(|transaction| {
            let mut configs = transaction.open_table(CONFIGS)?;
            let stored = configs.get(next.cluster.0)?.map(|v| v.value().to_vec());
            let before = match stored.as_deref().map(postcard::from_bytes::<Configuration>) {
                None => Some(Epoch(0)),
                Some(Ok(config)) => Some(config.epoch),
                Some(Err(_)) => None,
            };
            if stored.as_deref() == Some(bytes) {
                return Ok(Found::Stored);
            }
            if before.map(Epoch::next) != Some(next.epoch) {
                return Ok(Found::Other(stored));
            }
            if stored.is_none() {
                // New clusters are rare: what is there is looked through, and no second table can be wrong.
                for row in configs.iter()? {
                    let living = postcard::from_bytes::<Configuration>(row?.1.value());
                    if let Ok(other) = living
                        && !other.removed
                        && other.name == next.name
                    {
                        return Ok(Found::Name(other.cluster));
                    }
                }
            }
            configs.insert(next.cluster.0, bytes)?;
            Ok(Found::Stored)
        })
    }

    fn forget_clusters(&self, ids: &[ClusterId]) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut configs = transaction.open_table(CONFIGS)?;
            for id in ids {
                let stored = configs.get(id.0)?.map(|v| v.value().to_vec());
                let config = stored.map(|bytes| postcard::from_bytes::<Configuration>(&bytes));
                if matches!(config, Some(Ok(config)) if config.removed) {
                    configs.remove(id.0)?;
                }
            }
            Ok(())
        })
    }

    /// Answers `None` when all ids are given.
    fn add_server(&self, incarnation: u64, bytes: &[u8]) -> Result<Option<ServerId>, StoreError> {
        self.write(|transaction| {
            let mut servers = transaction.open_table(SERVERS)?;
            for row in servers.iter()? {
                let (id, row) = row?;
                let known = postcard::from_bytes::<Registration>(row.value());
                if known.is_ok_and(|s| s.incarnation == incarnation) {
                    return Ok(Some(ServerId(id.value())));
                }
            }
            let mut meta = transaction.open_table(META)?;
            let id = meta.get("next server")?.map_or(1, |v| v.value());
            let Some(next) = id.checked_add(1) else {
                return Ok(None);
            };
            meta.insert("next server", next)?;
            drop(meta);
            servers.insert(id, bytes)?;
            Ok(Some(ServerId(id)))
        })
    }

    fn put_server(&self, id: ServerId, bytes: &[u8]) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.open_table(SERVERS)?.insert(id.0, bytes)?;
            Ok(())
        })
    }

    fn restore(
        &self,
        store: u64,
        next_server: u64,
        configs: &[(u64, Vec<u8>)],
        servers: &[(u64, Vec<u8>)],
    ) -> Result<bool, StoreError> {
        self.write(|transaction| {
            for (table, rows) in [(CONFIGS, configs), (SERVERS, servers)] {
                let mut table = transaction.open_table(table)?;
                if table.iter()?.next().is_some() {
                    return Ok(false);
                }
                for (key, row) in rows {
                    table.insert(key, &row[..])?;
                }
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert("store", store)?;
            meta.insert("next server", next_server)?;
            Ok(true)
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

#[async_trait]
impl ConfigStore for RedbStore {
    fn describe(&self) -> String {
        format!("redb {}", self.file.path.display())
    }

    async fn load(&self) -> Result<StoreContents, StoreError> {
        self.blocking(RedbFile::load).await
    }

    async fn get(&self, cluster: ClusterId) -> Result<Option<Configuration>, StoreError> {
        self.blocking(move |file| file.get(cluster)).await
    }

    async fn compare_and_swap(&self, next: &Configuration) -> Result<Swapped, StoreError> {
        let (next, bytes) = (next.clone(), encode(next)?);
        let found = match self.blocking(move |file| file.swap(&next, &bytes)).await? {
            Found::Stored => return Ok(Swapped::Stored),
            Found::Name(cluster) => return Ok(Swapped::NameTaken(cluster)),
            Found::Other(found) => found.map(|bytes| decode(&bytes, "a configuration")),
        };
        Ok(Swapped::Found(found.transpose()?.map(Box::new)))
    }

    async fn forget_clusters(&self, ids: &[ClusterId]) -> Result<(), StoreError> {
        let ids = ids.to_vec();
        self.blocking(move |file| file.forget_clusters(&ids)).await
    }

    async fn add_server(&self, registration: &Registration) -> Result<ServerId, StoreError> {
        let (incarnation, bytes) = (registration.incarnation, encode(registration)?);
        let added = self.blocking(move |file| file.add_server(incarnation, &bytes));
        added.await?.ok_or_else(no_ids_left)
    }

    async fn put_server(
        &self,
        id: ServerId,
        registration: &Registration,
    ) -> Result<(), StoreError> {
        let bytes = encode(registration)?;
        self.blocking(move |file| file.put_server(id, &bytes)).await
    }

    async fn restore(
        &self,
        contents: &StoreContents,
        next_server: ServerId,
    ) -> Result<bool, StoreError> {
        let configs = contents
            .configs
            .iter()
            .map(|c| Ok((c.cluster.0, encode(&**c)?)));
        let configs = configs.collect::<Result<Vec<_>, StoreError>>()?;
        let servers = contents
            .servers
            .iter()
            .map(|(id, s)| Ok((id.0, encode(s)?)));
        let servers = servers.collect::<Result<Vec<_>, StoreError>>()?;
        let store = contents.store;
        self.blocking(move |file| file.restore(store, next_server.0, &configs, &servers))
            .await
    }

    async fn forget_servers(&self, ids: &[ServerId]) -> Result<(), StoreError> {
        let ids = ids.to_vec();
        self.blocking(move |file| file.forget_servers(&ids)).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::suite;
    use super::*;

    #[tokio::test]
    async fn it_does_what_every_store_must() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        suite::run(async || Arc::new(RedbStore::open(&path).unwrap()) as Arc<dyn ConfigStore>)
            .await;
    }

    #[tokio::test]
    async fn a_failed_write_does_not_disable_the_store_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&folder.path().join("store")).unwrap();
        let failed = store.file.with(|_| {
            let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
            Err::<(), _>(redb::Error::Io(full))
        });
        assert!(matches!(failed, Err(StoreError::Failed(_))));
        let first = suite::config(3);
        let swapped = store.compare_and_swap(&first).await.unwrap();
        assert_eq!(swapped, Swapped::Stored);
        assert_eq!(store.get(first.cluster).await.unwrap(), Some(first));
    }

    #[test]
    fn a_commit_that_failed_was_made_or_not_as_the_file_says_and_else_nobody_knows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = RedbStore::open(&path).unwrap();
        let failure = || StoreError::Failed("the disk is full".to_owned());
        let made = |number| store.file.settle(number, failure());
        assert!(made(1).is_ok(), "opening it was the first change");
        let next = made(2);
        assert!(matches!(next, Err(StoreError::Failed(_))), "{next:?}");
        *store.file.database.lock().unwrap() = None;
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let lost = made(2);
        assert!(matches!(lost, Err(StoreError::Unknown(_))), "{lost:?}");
    }

    #[tokio::test]
    async fn a_new_store_takes_what_a_lost_one_held_and_one_in_use_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&folder.path().join("new")).unwrap();
        let registration = Registration {
            incarnation: 8,
            address: "a:1".into(),
            pid: 4,
            draining: true,
        };
        let contents = StoreContents {
            store: 77,
            configs: vec![Arc::new(suite::config(3))],
            servers: vec![(ServerId(3), registration.clone())],
        };
        let next = ServerId(1003);
        assert!(store.restore(&contents, next).await.unwrap());
        let loaded = store.load().await.unwrap();
        assert_eq!(loaded.store, 77);
        assert_eq!(loaded.configs, contents.configs);
        assert!(loaded.servers[0].1.draining);
        let known = store.add_server(&registration).await.unwrap();
        assert_eq!(known, ServerId(3));
        let new = store.add_server(&suite::registration(9)).await.unwrap();
        assert_eq!(new, next);
        assert!(!store.restore(&contents, next).await.unwrap());
    }

    #[test]
    fn a_second_coordinator_on_the_same_file_is_a_clear_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let _first = RedbStore::open(&path).unwrap();
        let second = RedbStore::open(&path).err().unwrap().to_string();
        assert!(second.contains("another coordinator uses it"), "{second}");
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
