//! The embedded store: one redb file, for one coordinator.

mod disk;

use super::{ConfigStore, StoreContents, StoreError, Swapped, decode, encode, no_ids_left};
use crate::service::Registration;
use async_trait::async_trait;
use disk::{Disk, Watched};
use fusion_core::config::Configuration;
use fusion_core::id::{ClusterId, Epoch, ServerId};
use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const CONFIGS: TableDefinition<u64, &[u8]> = TableDefinition::new("configurations");
const SERVERS: TableDefinition<u64, &[u8]> = TableDefinition::new("servers");
const FORMAT: u64 = 5;
/// How many changes were made; a file from before they were counted has none.
const CHANGES: &str = "changes";

/// The embedded store: one redb file, fsynced at each change. Cheap to clone.
#[derive(Clone)]
pub struct RedbStore {
    file: Arc<RedbFile>,
}

struct RedbFile {
    path: PathBuf,
    disk: Disk,
    open: Mutex<Open>,
}

struct Open {
    /// Taken away by a failure and opened again by the next call: redb refuses to go on after a failed write, and a
    /// disk that was full may have room again.
    database: Option<Database>,
    /// The file, whether redb has it open or not: no other one is ever taken for it.
    file: File,
    /// The id of the store in it; 0 as long as it is not known.
    store: u64,
}

/// What a swap found.
enum Found {
    Stored,
    Other(Option<Vec<u8>>),
    Name(ClusterId),
}

fn cannot_open(path: &Path, error: impl Into<DatabaseError>) -> StoreError {
    StoreError::Open {
        path: path.to_owned(),
        reason: match error.into() {
            DatabaseError::DatabaseAlreadyOpen => {
                "another coordinator uses it; several coordinators need a \
                                                         store that they can share: etcd (--etcd)"
                    .to_owned()
            }
            e => e.to_string(),
        },
    }
}

/// The store's id, and the next server's.
fn read_numbers(database: &Database) -> Result<(u64, u64), redb::Error> {
    let meta = database.begin_read()?.open_table(META)?;
    let number =
        |key| -> Result<Option<u64>, redb::Error> { Ok(meta.get(key)?.map(|v| v.value())) };
    Ok((
        number("store")?.unwrap_or(0),
        number("next server")?.unwrap_or(1),
    ))
}

impl RedbStore {
    /// Opens the file, or makes it. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Open`] when it cannot be opened (another coordinator has it open, say);
    /// [`StoreError::Unreadable`] when it is of another format.
    pub fn open(path: &Path) -> Result<RedbStore, StoreError> {
        RedbStore::open_on(path, Disk::default())
    }

    fn open_on(path: &Path, disk: Disk) -> Result<RedbStore, StoreError> {
        let failed = |e: io::Error| cannot_open(path, e);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(failed)?;
        let store = RedbFile {
            path: path.to_owned(),
            disk,
            open: Mutex::new(Open {
                database: None,
                file,
                store: 0,
            }),
        };
        store.initialize()?;
        Ok(RedbStore {
            file: Arc::new(store),
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
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is written, or believed, beside the file that this store was opened on.
    fn in_place(&self, open: &Open) -> Result<(), StoreError> {
        if disk::names(&self.path, &open.file) {
            return Ok(());
        }
        Err(StoreError::Replaced {
            path: self.path.clone(),
        })
    }

    fn database(&self, path: &Path, check: bool) -> Result<(File, Database), StoreError> {
        let failed = |e: io::Error| cannot_open(path, e);
        let file = File::options().read(true).write(true).open(path);
        let file = file.map_err(failed)?;
        let pinned = file.try_clone().map_err(failed)?;
        let backend = Watched::new(file, self.disk.clone()).map_err(failed)?;
        let mut builder = Builder::new();
        builder.set_check_integrity_on_open(check);
        let database = builder.create_with_backend(backend);
        Ok((pinned, database.map_err(|e| cannot_open(path, e))?))
    }

    fn with<T>(
        &self,
        act: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let mut open = self.open();
        self.in_place(&open)?;
        if self.disk.sync_failed() {
            // The term ends, and the next one begins with a new file.
            return Err(StoreError::Unknown(format!(
                "the disk refused to keep what was written to {}",
                self.path.display()
            )));
        }
        let database = match open.database.take() {
            Some(database) => database,
            None => {
                let (file, database) = self.database(&self.path, false)?;
                if !disk::names(&self.path, &open.file) || !disk::names(&self.path, &file) {
                    return Err(StoreError::Replaced {
                        path: self.path.clone(),
                    });
                }
                database
            }
        };
        let failed = |e: redb::Error| {
            let path = self.path.display();
            StoreError::Failed(format!("cannot read or write {path}: {e}"))
        };
        let result = act(&database).map_err(failed)?;
        open.database = Some(database);
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
            (Ok(()), Some((_, result))) => {
                // A file that was taken away while it was written to is not the one that is read next.
                let kept = self.in_place(&self.open());
                kept.map_err(|e| StoreError::Unknown(e.to_string()))?;
                Ok(result)
            }
            (Err(error), Some((number, result))) => self.settle(number, error).map(|()| result),
            (Err(error), None) => Err(error),
            (Ok(()), None) => Err(StoreError::Failed("nothing was committed".to_owned())),
        }
    }

    /// A commit has failed. Where a write was refused, the file says whether it was made all the same, once it is opened
    /// again and all of it is on the disk. Where a sync was, nothing that is read tells anything (PROTOCOL rule 64).
    fn settle(&self, number: u64, error: StoreError) -> Result<(), StoreError> {
        let unknown = |error: StoreError| StoreError::Unknown(error.to_string());
        if self.disk.sync_failed() {
            return Err(unknown(error));
        }
        let last = self.with(|database| {
            let meta = database.begin_read()?.open_table(META)?;
            Ok(meta.get(CHANGES)?.map(|v| v.value()))
        });
        let synced = self.disk.sync(&self.open().file);
        match (last, synced) {
            (Ok(last), Ok(())) if last == Some(number) => Ok(()),
            (Ok(_), Ok(())) => Err(error),
            _ => Err(unknown(error)),
        }
    }

    /// After a sync that failed: writes all that can be read into a new file, and puts it in the place of the old one once
    /// it is on the disk (PROTOCOL rule 64). Of a change whose outcome is not known either is there from then on. What
    /// fails leaves the old file where it is, and the store failed.
    fn renew(&self) -> Result<(), StoreError> {
        let mut open = self.open();
        if !self.disk.sync_failed() {
            return Ok(());
        }
        open.database = None;
        self.in_place(&open)?;
        let new = self.path.with_extension("renewed");
        let renewed = self.write_anew(&open, &new);
        if renewed.is_err() {
            // The room that it takes may be what is missing.
            let _ = std::fs::remove_file(&new);
        }
        (open.file, open.database) = renewed.map(|(file, database)| (file, Some(database)))?;
        self.disk.renewed();
        tracing::warn!(path = %self.path.display(), "the disk refused to keep a change: the store was written whole into a new file");
        Ok(())
    }

    fn write_anew(&self, open: &Open, new: &Path) -> Result<(File, Database), StoreError> {
        let failed = |e: io::Error| {
            let path = self.path.display();
            StoreError::Failed(format!(
                "a sync of {path} failed, and it cannot be written whole into a new file either: {e}"
            ))
        };
        let length = open.file.metadata().map_err(failed)?.len();
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        open.file.read_exact_at(&mut bytes, 0).map_err(failed)?;
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        let mut copy = options.open(new).map_err(failed)?;
        copy.write_all(&bytes).map_err(failed)?;
        // From here on the syncs of the new file count.
        self.disk.renewed();
        let written = self.disk.sync(&copy).map_err(failed);
        let opened = written.and_then(|()| {
            // Every page is checked: what the old file was left with may be half a change, which is undone then.
            let (file, database) = self.database(new, true)?;
            let store = read_numbers(&database).map(|(store, _)| store);
            match store {
                Ok(store) if store == open.store => Ok((file, database)),
                _ => Err(StoreError::Unreadable {
                    what: "half a store",
                }),
            }
        });
        let placed = opened.and_then(|opened| {
            self.in_place(open)?;
            if self.disk.sync_failed() {
                return Err(failed(io::Error::other("the new file was not kept either")));
            }
            std::fs::rename(new, &self.path).map_err(failed)?;
            let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty());
            let folder = File::open(folder.unwrap_or(Path::new(".")));
            folder.and_then(|f| f.sync_all()).map_err(failed)?;
            Ok(opened)
        });
        if placed.is_err() {
            self.disk.failed();
        }
        placed
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
        })?;
        let (store, _) = self.with(read_numbers)?;
        self.open().store = store;
        Ok(())
    }

    fn load(&self) -> Result<StoreContents, StoreError> {
        type Rows = Vec<(u64, Vec<u8>)>;
        self.renew()?;
        let read = |database: &Database| -> Result<((u64, u64), Rows, Rows), redb::Error> {
            let numbers = read_numbers(database)?;
            let transaction = database.begin_read()?;
            let rows = |table: TableDefinition<'_, u64, &[u8]>| -> Result<Rows, redb::Error> {
                let table = transaction.open_table(table)?;
                let rows = table
                    .iter()?
                    .map(|row| row.map(|(k, v)| (k.value(), v.value().to_vec())));
                Ok(rows.collect::<Result<_, _>>()?)
            };
            Ok((numbers, rows(CONFIGS)?, rows(SERVERS)?))
        };
        let ((store, next_server), configs, servers) = self.with(read)?;
        self.open().store = store;
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
            next_server: ServerId(next_server),
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
        .inspect(|&taken| {
            if taken {
                self.open().store = store;
            }
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

    async fn restore(&self, contents: &StoreContents) -> Result<bool, StoreError> {
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
        let (store, next_server) = (contents.store, contents.next_server.0);
        self.blocking(move |file| file.restore(store, next_server, &configs, &servers))
            .await
    }

    async fn forget_servers(&self, ids: &[ServerId]) -> Result<(), StoreError> {
        let ids = ids.to_vec();
        self.blocking(move |file| file.forget_servers(&ids)).await
    }
}

#[cfg(test)]
mod tests;
