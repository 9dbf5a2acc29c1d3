//! Against real members of etcd.

use super::*;
use crate::coordinator::store::suite;
use crate::coordinator::{StoreContents, Swapped};
use crate::local::etcd::LocalEtcd;
use fusion_core::config::Configuration;
use fusion_core::id::ClusterId;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How long a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(5);

async fn candidate(etcd: &LocalEtcd, prefix: &str, address: &str) -> Arc<Etcd> {
    let options = EtcdOptions {
        endpoints: etcd.endpoints().parse().unwrap(),
        prefix: prefix.parse().unwrap(),
        lease: LEASE,
        address: address.to_owned(),
    };
    Arc::new(Etcd::new(options).await.unwrap())
}

async fn win(candidate: &Etcd) -> Elected {
    let won = timeout(PATIENCE, candidate.win()).await;
    won.expect("elected in time").expect("it can be elected")
}

/// Waits until `look` sees something.
async fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !look() {
        assert!(Instant::now() < end, "waited {PATIENCE:?} for: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn it_does_what_every_store_must() {
    for members in [1, 3] {
        let etcd = LocalEtcd::start(members).await.unwrap();
        let before: tokio::sync::Mutex<Option<Arc<Etcd>>> = tokio::sync::Mutex::default();
        suite::run(async || {
            let mut before = before.lock().await;
            if let Some(before) = before.take() {
                before.resign().await;
            }
            let candidate = candidate(&etcd, "/suite", "a:1").await;
            let elected = win(&candidate).await;
            *before = Some(candidate);
            elected.store
        })
        .await;
    }
}

#[tokio::test]
async fn one_is_active_and_the_next_one_takes_over_when_it_resigns() {
    let etcd = LocalEtcd::start(1).await.unwrap();
    let (a, b) = (
        candidate(&etcd, "/f", "a:1").await,
        candidate(&etcd, "/f", "b:1").await,
    );
    let first = win(&a).await;
    let waiting = tokio::spawn({
        let b = Arc::clone(&b);
        async move { win(&b).await }
    });
    let standing = b.standing();
    eventually("the standby knows the active one", || {
        let seen = standing.borrow().clone();
        seen.active.as_deref() == Some("a:1") && seen.standbys == ["b:1"]
    })
    .await;
    // Longer than a lease: it is kept.
    sleep(LEASE * 2).await;
    assert!(!first.term.is_over() && !waiting.is_finished());
    a.resign().await;
    assert!(first.term.is_over());
    let began = Instant::now();
    let second = waiting.await.unwrap();
    assert!(
        began.elapsed() < LEASE,
        "nobody waits for a lease that was given back"
    );
    assert_eq!(second.contents.store, first.contents.store);
    // The one deposed changes nothing.
    let config = suite::config(7);
    for _ in 0..2 {
        let refused = first.store.compare_and_swap(&config).await;
        assert!(matches!(refused, Err(StoreError::Deposed)), "{refused:?}");
    }
    assert_eq!(second.store.get(config.cluster).await.unwrap(), None);
    let other = candidate(&etcd, "/other", "c:1").await;
    let other = win(&other).await;
    assert_ne!(
        other.contents.store, first.contents.store,
        "another prefix is another store"
    );
}

/// The clock of a deposed coordinator is not asked: whatever it believes, etcd refuses.
#[tokio::test]
async fn one_that_believes_itself_active_writes_nothing_when_its_key_is_gone() {
    let etcd = LocalEtcd::start(1).await.unwrap();
    let a = candidate(&etcd, "/f", "a:1").await;
    let elected = win(&a).await;
    let first = suite::config(7);
    let stored = elected.store.compare_and_swap(&first).await.unwrap();
    assert_eq!(stored, Swapped::Stored);
    let mut client = etcd_client::Client::connect([etcd.endpoints()], None)
        .await
        .unwrap();
    let prefix = etcd_client::DeleteOptions::new().with_prefix();
    client
        .delete("/f/coordinators/", Some(prefix))
        .await
        .unwrap();
    // A term that never ends stands for a clock that stood still.
    let store = EtcdStore {
        engine: Arc::clone(&a.engine),
        leadership: Leadership {
            key: "/f/coordinators/0000000000000001".to_owned(),
            revision: 2,
        },
        term: Term::until(fusion_core::time::Time::NEVER),
        name: String::new(),
    };
    let next = first.successor(9);
    let refused = store.compare_and_swap(&next).await;
    assert!(matches!(refused, Err(StoreError::Deposed)), "{refused:?}");
    assert!(store.term.is_over(), "it knows then");
    let found = elected.store.get(first.cluster).await.unwrap();
    assert_eq!(found, Some(first));
}

#[tokio::test]
async fn a_term_ends_before_the_lease_when_etcd_is_silent_and_begins_anew_afterwards() {
    let etcd = LocalEtcd::start(3).await.unwrap();
    let a = candidate(&etcd, "/f", "a:1").await;
    let elected = win(&a).await;
    etcd.pause().unwrap();
    let began = Instant::now();
    timeout(PATIENCE, elected.term.ended()).await.unwrap();
    assert!(began.elapsed() < LEASE, "{:?}", began.elapsed());
    let refused = elected.store.compare_and_swap(&suite::config(7)).await;
    assert!(matches!(refused, Err(StoreError::Deposed)), "{refused:?}");
    let began = Instant::now();
    let failed = elected.store.get(suite::config(7).cluster).await;
    assert!(
        matches!(failed, Err(StoreError::Unreachable { .. })),
        "{failed:?}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "each call has a bound"
    );
    let again = tokio::spawn({
        let a = Arc::clone(&a);
        async move { win(&a).await }
    });
    let standing = a.standing();
    eventually("the silence is told", || {
        standing.borrow().problem.is_some()
    })
    .await;
    etcd.resume().unwrap();
    let again = again.await.unwrap();
    assert_eq!(again.contents.store, elected.contents.store);
    eventually("nothing is wrong any more", || {
        standing.borrow().problem.is_none()
    })
    .await;
}

#[tokio::test]
async fn a_member_that_dies_costs_nothing() {
    let mut etcd = LocalEtcd::start(3).await.unwrap();
    let options = EtcdOptions {
        lease: Duration::from_secs(6),
        ..candidate(&etcd, "/f", "a:1").await.options.clone()
    };
    let a = Etcd::new(options).await.unwrap();
    let elected = win(&a).await;
    for (i, member) in [0, 1, 2].into_iter().enumerate() {
        etcd.kill(member).unwrap();
        let config = suite::config(i as u64);
        let end = Instant::now() + PATIENCE;
        // The others may have to elect a leader of theirs first.
        while !matches!(
            elected.store.compare_and_swap(&config).await,
            Ok(Swapped::Stored)
        ) {
            assert!(Instant::now() < end, "no change after member {member} died");
        }
        etcd.run(member).await.unwrap();
        etcd.wait_healthy().await.unwrap();
    }
    assert!(
        !elected.term.is_over(),
        "it stays the active one all the time"
    );
}

#[tokio::test]
async fn what_etcd_would_refuse_is_refused_with_its_size() {
    let etcd = LocalEtcd::start(1).await.unwrap();
    let a = candidate(&etcd, "/f", "a:1").await;
    let elected = win(&a).await;
    let mut config = suite::config(7);
    config.primaries[0].host.address = "n".repeat(engine::MAX_VALUE);
    let refused = elected.store.compare_and_swap(&config).await;
    assert!(
        matches!(refused, Err(StoreError::TooLarge { .. })),
        "{refused:?}"
    );
    // What is just below passes, and comes back in pages that are within bounds.
    for cluster in 0..20 {
        let mut config = suite::config(cluster);
        config.primaries[0].host.address = "n".repeat(engine::MAX_VALUE - 1024);
        let stored = elected.store.compare_and_swap(&config).await;
        assert!(matches!(stored, Ok(Swapped::Stored)), "{stored:?}");
    }
    let StoreContents { configs, .. } = elected.store.load().await.unwrap();
    assert_eq!(configs.len(), 20);
}

/// A way to an etcd on which no answer comes back any more as soon as something is stored below `prefix`: so what stored
/// it was executed, and its answer lost.
async fn losing(etcd: &LocalEtcd, prefix: &'static str) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let direct = etcd.endpoints();
    let client = etcd_client::Client::connect([&direct], None).await.unwrap();
    let target = direct.trim_start_matches("http://").to_owned();
    let mut ways = JoinSet::new();
    ways.spawn(async move {
        let mut ways = JoinSet::new();
        while let Ok((near, _)) = listener.accept().await {
            let (target, mut client) = (target.clone(), client.clone());
            ways.spawn(async move {
                let far = TcpStream::connect(target).await.unwrap();
                let (mut asks, mut answers) = near.into_split();
                let (mut executed, mut asked) = far.into_split();
                let back = async {
                    let mut piece = vec![0; 1 << 16];
                    while let Ok(len @ 1..) = executed.read(&mut piece).await {
                        let below = etcd_client::GetOptions::new().with_prefix();
                        let stored = client.get(prefix, Some(below.with_count_only())).await;
                        if stored.unwrap().count() == 0 {
                            answers.write_all(&piece[..len]).await.unwrap();
                        }
                    }
                };
                let there = tokio::io::copy(&mut asks, &mut asked);
                let _ = tokio::join!(there, back);
            });
        }
    });
    (url, ways)
}

/// The store of an active coordinator, by way of other endpoints.
async fn by_way_of(urls: &str, a: &Etcd, elected: &Elected) -> EtcdStore {
    let endpoints = urls.parse().unwrap();
    let engine = Engine::new(&endpoints, a.engine.prefix.clone()).await;
    let (candidates, _) = a.engine.list("/f/coordinators/").await.unwrap();
    EtcdStore {
        engine: Arc::new(engine.unwrap()),
        leadership: Leadership {
            key: candidates[0].key_str().unwrap().to_owned(),
            revision: candidates[0].create_revision(),
        },
        term: elected.term.clone(),
        name: String::new(),
    }
}

#[tokio::test]
async fn a_registration_whose_answer_was_lost_leaves_no_ghost() {
    let etcd = LocalEtcd::start(1).await.unwrap();
    let a = candidate(&etcd, "/f", "a:1").await;
    let elected = win(&a).await;
    let (losing, _ways) = losing(&etcd, "/f/servers/").await;
    let both = format!("{losing},{}", etcd.endpoints());
    let store = by_way_of(&both, &a, &elected).await;
    let id = store.add_server(&suite::registration(7)).await.unwrap();
    let servers = elected.store.load().await.unwrap().servers;
    let ids: Vec<_> = servers.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [id]);
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_is_unknown_and_counts_when_it_is_read() {
    let etcd = LocalEtcd::start(1).await.unwrap();
    let a = candidate(&etcd, "/f", "a:1").await;
    let elected = win(&a).await;
    let (losing, _ways) = losing(&etcd, "/f/configurations/").await;
    let store = by_way_of(&losing, &a, &elected).await;
    let first = suite::config(7);
    let lost = store.compare_and_swap(&first).await;
    assert!(matches!(lost, Err(StoreError::Unknown(_))), "{lost:?}");
    // Reading changes nothing, whatever becomes of it.
    let failed = store.get(first.cluster).await;
    assert!(
        matches!(failed, Err(StoreError::Unreachable { .. })),
        "{failed:?}"
    );
    let namesake = Configuration {
        cluster: ClusterId(8),
        ..first.clone()
    };
    let refused = elected.store.compare_and_swap(&namesake).await.unwrap();
    assert_eq!(refused, Swapped::NameTaken(first.cluster));
}

/// There are no stores of that age in use; what one lacks is written when a coordinator is elected.
#[tokio::test]
async fn a_store_from_before_names_were_keys_gives_none_twice() {
    let etcd = LocalEtcd::start(1).await.unwrap();
    let a = candidate(&etcd, "/f", "a:1").await;
    let elected = win(&a).await;
    let first = suite::config(7);
    elected.store.compare_and_swap(&first).await.unwrap();
    let registration = suite::registration(7);
    let id = elected.store.add_server(&registration).await.unwrap();
    let mut client = etcd_client::Client::connect([etcd.endpoints()], None)
        .await
        .unwrap();
    for key in ["/f/names/", "/f/incarnations/"] {
        let prefix = etcd_client::DeleteOptions::new().with_prefix();
        let deleted = client.delete(key, Some(prefix)).await.unwrap();
        assert_eq!(deleted.deleted(), 1, "{key}");
    }
    client.put("/f/names/stale", "99", None).await.unwrap();
    a.resign().await;
    let elected = win(&a).await;
    let mut namesake = Configuration {
        cluster: ClusterId(8),
        ..first.clone()
    };
    let refused = elected.store.compare_and_swap(&namesake).await.unwrap();
    assert_eq!(refused, Swapped::NameTaken(first.cluster));
    let again = elected.store.add_server(&registration).await.unwrap();
    assert_eq!(again, id);
    namesake.name = "stale".to_owned();
    let stored = elected.store.compare_and_swap(&namesake).await.unwrap();
    assert_eq!(stored, Swapped::Stored);
}

#[tokio::test]
async fn keys_of_one_transaction_are_all_listed_however_the_pages_are_cut() {
    let etcd = LocalEtcd::start(1).await.unwrap();
    let a = candidate(&etcd, "/f", "a:1").await;
    let mut client = etcd_client::Client::connect([etcd.endpoints()], None)
        .await
        .unwrap();
    client.put("/many/first", "", None).await.unwrap();
    let together = (0..30).map(|i| etcd_client::TxnOp::put(format!("/many/{i}"), "", None));
    let txn = etcd_client::Txn::new().and_then(together.collect::<Vec<_>>());
    client.txn(txn).await.unwrap();
    client.put("/many/last", "", None).await.unwrap();
    for limit in [1, 4, 31, 100] {
        let (listed, _) = a.engine.list_by("/many/", limit).await.unwrap();
        let keys: std::collections::BTreeSet<_> = listed.iter().map(|kv| kv.key()).collect();
        assert_eq!((listed.len(), keys.len()), (32, 32), "{limit}");
        assert_eq!(listed[0].key(), b"/many/first");
        assert_eq!(listed[31].key(), b"/many/last");
    }
}

#[tokio::test]
async fn another_formats_store_is_not_touched() {
    let etcd = LocalEtcd::start(1).await.unwrap();
    let mut client = etcd_client::Client::connect([etcd.endpoints()], None)
        .await
        .unwrap();
    client.put("/f/format", "77", None).await.unwrap();
    let a = candidate(&etcd, "/f", "a:1").await;
    let refused = a.run_for_office().await.err();
    assert!(
        matches!(refused, Some(StoreError::Unreadable { .. })),
        "{refused:?}"
    );
    assert!(client.get("/f/store", None).await.unwrap().kvs().is_empty());
}
