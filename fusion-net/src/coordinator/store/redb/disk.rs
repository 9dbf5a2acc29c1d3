//! The file below redb, with what became of its syncs (PROTOCOL rule 64).

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is known of the disk below a store. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    /// A sync failed. The system has told so once and forgets it: what is read from now on may be in its memory alone.
    sync_failed: Arc<AtomicBool>,
    /// What is to go wrong, in tests.
    #[cfg(test)]
    pub(super) faults: Arc<faults::Faults>,
}

impl Disk {
    /// Whether a sync failed, since [`renewed`](Self::renewed).
    pub(super) fn sync_failed(&self) -> bool {
        self.sync_failed.load(Ordering::SeqCst)
    }

    /// The file is another one from now on, of which every sync went well.
    pub(super) fn renewed(&self) {
        self.sync_failed.store(false, Ordering::SeqCst);
    }

    /// As after a sync that failed.
    pub(super) fn failed(&self) {
        self.sync_failed.store(true, Ordering::SeqCst);
    }

    /// Waits until what was written to `file` is on the disk.
    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        let done = self.faults.sync(file);
        #[cfg(not(test))]
        let done = file.sync_all();
        if done.is_err() {
            self.failed();
        }
        done
    }

    fn before_write(&self, file: &File, offset: u64, data: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        self.faults.write(file, offset, data)?;
        let _ = (file, offset, data);
        Ok(())
    }
}

/// Whether `path` names the open file: nobody removed it or put another one in its place.
pub(super) fn names(path: &Path, file: &File) -> bool {
    let (Ok(there), Ok(open)) = (std::fs::metadata(path), file.metadata()) else {
        return false;
    };
    (there.dev(), there.ino()) == (open.dev(), open.ino())
}

/// A file as redb wants it.
#[derive(Debug)]
pub(super) struct Watched {
    file: File,
    inner: FileBackend,
    disk: Disk,
}

impl Watched {
    /// On a file that is open for reading and writing.
    pub(super) fn new(file: File, disk: Disk) -> io::Result<Watched> {
        let inner = FileBackend::new(file.try_clone()?).map_err(io::Error::other)?;
        Ok(Watched { file, inner, disk })
    }
}

type Locked<T> = Result<T, BackendError>;

impl StorageBackend for Watched {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.sync(&self.file)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.before_write(&self.file, offset, data)?;
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.inner.query_lock_range(start, end)
    }
}

/// A disk that fails on purpose, and forgets what no sync has kept.
#[cfg(test)]
pub(super) mod faults {
    use std::collections::{BTreeMap, VecDeque};
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::{FileExt, MetadataExt};
    use std::sync::Mutex;

    /// What goes wrong with one of the next operations.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in super::super) enum Fault {
        /// A sync fails; what it was to keep is in the system's memory alone, and stays readable.
        Sync,
        /// There is no room for a write.
        Full,
        /// Half of a write is made, then the disk fails.
        Torn,
    }

    impl Fault {
        fn error(self) -> io::Error {
            match self {
                // EIO; the standard library has no kind for it.
                Fault::Sync | Fault::Torn => io::Error::from_raw_os_error(5),
                Fault::Full => io::ErrorKind::StorageFull.into(),
            }
        }
    }

    /// The faults to come, and what a loss of power would leave of each file.
    #[derive(Debug, Default)]
    pub(in super::super) struct Faults {
        /// After so many operations of its kind, each.
        next: Mutex<VecDeque<(usize, Fault)>>,
        kept: Mutex<BTreeMap<u64, Vec<u8>>>,
    }

    fn contents(file: &File) -> Vec<u8> {
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    impl Faults {
        /// One more: `fault` strikes after `after` operations of its kind that go well, once those before it have struck.
        pub(in super::super) fn strike(&self, after: usize, fault: Fault) {
            self.next.lock().unwrap().push_back((after, fault));
        }

        /// How many are yet to strike.
        pub(in super::super) fn left(&self) -> usize {
            self.next.lock().unwrap().len()
        }

        /// What the disk has of a file.
        pub(in super::super) fn kept(&self, file: &File) -> Vec<u8> {
            let inode = file.metadata().unwrap().ino();
            let kept = self.kept.lock().unwrap();
            kept.get(&inode).cloned().unwrap_or_default()
        }

        fn due(&self, is_sync: bool) -> Option<Fault> {
            let mut next = self.next.lock().unwrap();
            let (left, fault) = next.front_mut()?;
            if (*fault == Fault::Sync) != is_sync {
                return None;
            }
            if *left > 0 {
                *left -= 1;
                return None;
            }
            next.pop_front().map(|(_, fault)| fault)
        }

        pub(super) fn sync(&self, file: &File) -> io::Result<()> {
            if let Some(fault) = self.due(true) {
                return Err(fault.error());
            }
            let inode = file.metadata()?.ino();
            self.kept.lock().unwrap().insert(inode, contents(file));
            Ok(())
        }

        pub(super) fn write(&self, file: &File, offset: u64, data: &[u8]) -> io::Result<()> {
            let Some(fault) = self.due(false) else {
                return Ok(());
            };
            if fault == Fault::Torn {
                file.write_all_at(&data[..data.len() / 2], offset)?;
            }
            Err(fault.error())
        }
    }
}
