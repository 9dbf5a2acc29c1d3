use super::super::suite;
use super::disk::faults::Fault;
use super::*;

#[tokio::test]
async fn it_does_what_every_store_must() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    suite::run(async || Arc::new(RedbStore::open(&path).unwrap()) as Arc<dyn ConfigStore>).await;
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
    store.file.open().database = None;
    std::fs::remove_file(&path).unwrap();
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
        labels: crate::labels::Labels::default(),
    };
    let contents = StoreContents {
        store: 77,
        configs: vec![Arc::new(suite::config(3))],
        servers: vec![(ServerId(3), registration.clone())],
        next_server: ServerId(1003),
    };
    assert!(store.restore(&contents).await.unwrap());
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.next_server, ServerId(1003));
    assert_eq!(loaded.store, 77);
    assert_eq!(loaded.configs, contents.configs);
    assert!(loaded.servers[0].1.draining);
    let known = store.add_server(&registration).await.unwrap();
    assert_eq!(known, ServerId(3));
    let new = store.add_server(&suite::registration(9)).await.unwrap();
    assert_eq!(new, ServerId(1003));
    assert!(!store.restore(&contents).await.unwrap());
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

/// A store on a disk that fails as it is told, and forgets what no sync has kept.
struct Failing {
    folder: tempfile::TempDir,
    disk: Disk,
    store: RedbStore,
}

impl Failing {
    fn new() -> Failing {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let store = RedbStore::open_on(&folder.path().join("store"), disk.clone()).unwrap();
        Failing {
            folder,
            disk,
            store,
        }
    }

    /// What a loss of power would leave.
    async fn after_power_was_lost(&self) -> StoreContents {
        let path = self.folder.path().join("store");
        let kept = self.disk.faults.kept(&File::open(path).unwrap());
        let copy = self.folder.path().join("kept");
        std::fs::write(&copy, kept).unwrap();
        RedbStore::open(&copy).unwrap().load().await.unwrap()
    }
}

fn epochs(contents: &StoreContents) -> Vec<(ClusterId, Epoch)> {
    let configs = contents.configs.iter();
    configs.map(|c| (c.cluster, c.epoch)).collect()
}

/// What was read back came from the system's memory: told as stored, it was lost with the power, and its epoch had two
/// contents (PROTOCOL rules 5, 64).
#[tokio::test]
async fn a_commit_whose_sync_failed_was_settled_from_the_page_cache() {
    for after in 0..3 {
        let failing = Failing::new();
        let first = suite::config(3);
        failing.store.compare_and_swap(&first).await.unwrap();
        failing.disk.faults.strike(after, Fault::Sync);
        let mut last = first;
        let mut unknown = None;
        while failing.disk.faults.left() > 0 {
            let next = last.successor(9);
            match failing.store.compare_and_swap(&next).await {
                Ok(Swapped::Stored) => last = next,
                Err(StoreError::Unknown(_)) => unknown = Some(next),
                other => panic!("{other:?}"),
            }
        }
        let unknown = unknown.expect("the change that the fault struck");
        // Nothing is told or changed meanwhile.
        let again = failing.store.compare_and_swap(&unknown).await;
        assert!(matches!(again, Err(StoreError::Unknown(_))), "{again:?}");
        assert!(failing.store.get(last.cluster).await.is_err());
        let loaded = failing.store.load().await.unwrap();
        let epoch = loaded.configs[0].epoch;
        assert!(epoch == last.epoch || epoch == unknown.epoch, "{epoch}");
        let kept = failing.after_power_was_lost().await;
        assert_eq!(
            epochs(&kept),
            epochs(&loaded),
            "what is told is on the disk"
        );
        assert_eq!(
            (kept.store, kept.next_server),
            (loaded.store, loaded.next_server)
        );
        // It goes on, on the new file.
        let next = loaded.configs[0].successor(10);
        let swapped = failing.store.compare_and_swap(&next).await.unwrap();
        assert_eq!(swapped, Swapped::Stored);
        let kept = failing.after_power_was_lost().await;
        assert_eq!(kept.configs[0].epoch, next.epoch);
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_written_anew_stays_failed_and_loses_nothing() {
    let failing = Failing::new();
    let first = suite::config(3);
    failing.store.compare_and_swap(&first).await.unwrap();
    failing.disk.faults.strike(0, Fault::Sync);
    failing.disk.faults.strike(0, Fault::Sync);
    failing.disk.faults.strike(0, Fault::Full);
    let next = first.successor(2);
    let unknown = failing.store.compare_and_swap(&next).await;
    assert!(
        matches!(unknown, Err(StoreError::Unknown(_))),
        "{unknown:?}"
    );
    for _ in 0..2 {
        let failed = failing.store.load().await.err().map(|e| e.to_string());
        let failed = failed.expect("the disk fails on");
        assert!(failed.contains("store"), "{failed}");
        let left = std::fs::read_dir(failing.folder.path()).unwrap().count();
        assert_eq!(left, 1, "no half of a file is left");
    }
    assert_eq!(failing.disk.faults.left(), 0);
    let loaded = failing.store.load().await.unwrap();
    let kept = failing.after_power_was_lost().await;
    assert_eq!(epochs(&kept), epochs(&loaded));
}

/// No sync failed: what the file says, once it is synced, is what a loss of power leaves.
#[tokio::test]
async fn a_write_that_is_refused_or_torn_leaves_the_old_or_the_new_and_tells_which() {
    for fault in [Fault::Full, Fault::Torn] {
        for after in 0..8 {
            let failing = Failing::new();
            let mut last = suite::config(3);
            failing.store.compare_and_swap(&last).await.unwrap();
            failing.disk.faults.strike(after, fault);
            while failing.disk.faults.left() > 0 {
                let next = last.successor(9);
                match failing.store.compare_and_swap(&next).await {
                    Ok(Swapped::Stored) => last = next,
                    Err(StoreError::Failed(_) | StoreError::Open { .. }) => {}
                    other => panic!("{fault:?} {after}: {other:?}"),
                }
                let kept = failing.after_power_was_lost().await;
                assert_eq!(kept.configs[0].epoch, last.epoch, "{fault:?} {after}");
            }
            let next = last.successor(9);
            let swapped = failing.store.compare_and_swap(&next).await.unwrap();
            assert_eq!(swapped, Swapped::Stored);
        }
    }
}

/// The next call made a new, empty file, or took another one for it.
#[tokio::test]
async fn a_file_that_is_removed_or_replaced_under_the_coordinator_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, aside) = (folder.path().join("store"), folder.path().join("aside"));
    let store = RedbStore::open(&path).unwrap();
    let first = suite::config(3);
    store.compare_and_swap(&first).await.unwrap();
    std::fs::copy(&path, folder.path().join("backup")).unwrap();
    std::fs::rename(&path, &aside).unwrap();
    let refuses = async || {
        let swapped = store.compare_and_swap(&first.successor(2)).await;
        let refused = matches!(swapped, Err(StoreError::Replaced { .. }));
        assert!(refused, "{swapped:?}");
        let loaded = store.load().await.err();
        assert!(
            matches!(loaded, Some(StoreError::Replaced { .. })),
            "{loaded:?}"
        );
        assert!(store.add_server(&suite::registration(1)).await.is_err());
    };
    refuses().await;
    assert!(!path.exists(), "no new one is made");
    std::fs::copy(folder.path().join("backup"), &path).unwrap();
    refuses().await;
    // After a failure it is opened again, or not.
    store.file.open().database = None;
    refuses().await;
    std::fs::rename(&aside, &path).unwrap();
    let swapped = store.compare_and_swap(&first.successor(2)).await.unwrap();
    assert_eq!(swapped, Swapped::Stored, "it was put back");
}

#[tokio::test]
async fn a_renewed_store_does_what_every_store_must() {
    let failing = Failing::new();
    failing.disk.failed();
    failing.store.load().await.unwrap();
    let path = failing.folder.path().join("store");
    drop(failing.store);
    suite::run(async || Arc::new(RedbStore::open(&path).unwrap()) as Arc<dyn ConfigStore>).await;
}
