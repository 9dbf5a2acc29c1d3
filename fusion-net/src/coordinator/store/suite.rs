//! What every store must do: one suite for all of them.

use super::{ConfigStore, Swapped};
use crate::service::Registration;
use fusion_core::config::{ClusterShape, Configuration, Host};
use fusion_core::id::{ClusterId, ServerId};
use fusion_core::op::Kind;
use std::sync::Arc;

/// The first configuration of a small cluster.
pub(in crate::coordinator) fn config(cluster: u64) -> Configuration {
    let name = format!("c{cluster}");
    let shape = ClusterShape::new(&name, Kind::List, 1, 1, false).unwrap();
    let host = |i| Host {
        server: ServerId(i),
        address: String::new(),
    };
    Configuration::create(1, ClusterId(cluster), 1, &shape, &[host(1), host(2)])
}

pub(in crate::coordinator) fn registration(incarnation: u64) -> Registration {
    Registration {
        incarnation,
        address: "a:1".into(),
        pid: 4,
        draining: false,
        labels: crate::labels::Labels::default(),
    }
}

/// Runs all of it against a store that `open` opens, empty at first, with what is in it later.
pub(in crate::coordinator) async fn run(open: impl AsyncFn() -> Arc<dyn ConfigStore>) {
    let store = open().await;
    let contents = store.load().await.unwrap();
    let id = contents.store;
    assert!(contents.configs.is_empty() && contents.servers.is_empty());
    only_the_next_epoch_is_stored(&*store).await;
    an_epoch_has_one_content(&*store).await;
    one_of_many_swaps_wins(&store).await;
    a_name_is_given_once(&store).await;
    only_removed_clusters_are_forgotten(&*store).await;
    let given = ids_are_given_once(&store).await;
    a_server_that_registers_again_is_the_same(&*store, &given).await;
    let draining = Registration {
        draining: true,
        ..registration(0)
    };
    store.put_server(given[0], &draining).await.unwrap();
    store.forget_servers(&given[1..]).await.unwrap();
    store.forget_servers(&[]).await.unwrap();
    let stored = store.load().await.unwrap();
    drop(store);

    let store = open().await;
    let contents = store.load().await.unwrap();
    assert_eq!(contents.store, id, "the id is given once");
    let epochs = |c: &super::StoreContents| {
        let epochs = c.configs.iter().map(|c| (c.cluster, c.epoch, c.nonce));
        epochs.collect::<Vec<_>>()
    };
    assert_eq!(epochs(&contents), epochs(&stored));
    assert_eq!(contents.configs.len(), 5);
    let servers: Vec<_> = contents.servers.iter().map(|(id, _)| *id).collect();
    assert_eq!(servers, given[..1], "the others are forgotten");
    assert!(
        contents.servers[0].1.draining,
        "what was stored last counts"
    );
    let next = store.add_server(&registration(99)).await.unwrap();
    assert!(
        !given.contains(&next),
        "an id that was forgotten is not given again"
    );
}

async fn only_the_next_epoch_is_stored(store: &dyn ConfigStore) {
    let first = config(3);
    let second = first.successor(5);
    let swapped = store.compare_and_swap(&second).await.unwrap();
    assert_eq!(swapped, Swapped::Found(None));
    assert_eq!(store.get(first.cluster).await.unwrap(), None);
    let swapped = store.compare_and_swap(&first).await.unwrap();
    assert_eq!(swapped, Swapped::Stored);
    let third = second.successor(6);
    let swapped = store.compare_and_swap(&third).await.unwrap();
    assert_eq!(swapped, Swapped::Found(Some(Box::new(first.clone()))));
    let swapped = store.compare_and_swap(&second).await.unwrap();
    assert_eq!(swapped, Swapped::Stored);
    assert_eq!(store.get(first.cluster).await.unwrap(), Some(second));
    assert_eq!(store.get(ClusterId(77)).await.unwrap(), None);
}

/// Rule 5; and a call whose answer was lost is made again without harm.
async fn an_epoch_has_one_content(store: &dyn ConfigStore) {
    let first = config(4);
    let (one, other) = (first.successor(5), first.successor(6));
    for _ in 0..2 {
        let swapped = store.compare_and_swap(&first).await.unwrap();
        assert_eq!(swapped, Swapped::Stored);
    }
    assert_eq!(store.compare_and_swap(&one).await.unwrap(), Swapped::Stored);
    let swapped = store.compare_and_swap(&other).await.unwrap();
    assert_eq!(swapped, Swapped::Found(Some(Box::new(one.clone()))));
    assert_eq!(store.compare_and_swap(&one).await.unwrap(), Swapped::Stored);
    assert_eq!(store.get(first.cluster).await.unwrap(), Some(one));
}

async fn one_of_many_swaps_wins(store: &Arc<dyn ConfigStore>) {
    let first = config(5);
    store.compare_and_swap(&first).await.unwrap();
    let swaps = (0..8).map(|nonce| {
        let (store, next) = (Arc::clone(store), first.successor(100 + nonce));
        tokio::spawn(async move { store.compare_and_swap(&next).await.unwrap() })
    });
    let swapped = futures::future::try_join_all(swaps).await.unwrap();
    let stored = swapped.iter().filter(|s| **s == Swapped::Stored).count();
    assert_eq!(stored, 1, "{swapped:?}");
}

async fn ids_are_given_once(store: &Arc<dyn ConfigStore>) -> Vec<ServerId> {
    let adds = (0..8).map(|incarnation| {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.add_server(&registration(incarnation)).await.unwrap() })
    });
    let mut given = futures::future::try_join_all(adds).await.unwrap();
    given.sort();
    given.dedup();
    assert_eq!(given.len(), 8);
    assert!(given.iter().all(|id| id.0 > 0), "0 is nobody's id");
    given
}

/// Whatever a coordinator remembers; a name is free again when its cluster was removed.
async fn a_name_is_given_once(store: &Arc<dyn ConfigStore>) {
    let named = |cluster| {
        let mut config = config(cluster);
        config.name = "one".to_owned();
        config
    };
    let creations = (60..64).map(|cluster| {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.compare_and_swap(&named(cluster)).await.unwrap() })
    });
    let created = futures::future::try_join_all(creations).await.unwrap();
    let winner = created.iter().position(|s| *s == Swapped::Stored).unwrap();
    let first = named(60 + winner as u64);
    for (i, swapped) in created.iter().enumerate() {
        let expected = match i == winner {
            true => Swapped::Stored,
            false => Swapped::NameTaken(first.cluster),
        };
        assert_eq!(*swapped, expected);
    }
    let again = store.compare_and_swap(&first).await.unwrap();
    assert_eq!(again, Swapped::Stored, "the same call again");
    let second = first.successor(2);
    let swapped = store.compare_and_swap(&second).await.unwrap();
    assert_eq!(swapped, Swapped::Stored, "its own name does not hinder it");
    let mut removed = second.successor(3);
    removed.removed = true;
    let swapped = store.compare_and_swap(&removed).await.unwrap();
    assert_eq!(swapped, Swapped::Stored);
    let swapped = store.compare_and_swap(&named(66)).await.unwrap();
    assert_eq!(swapped, Swapped::Stored, "the name is free again");
}

async fn only_removed_clusters_are_forgotten(store: &dyn ConfigStore) {
    let living = config(70);
    let mut removed = config(71);
    for config in [&living, &removed] {
        let swapped = store.compare_and_swap(config).await.unwrap();
        assert_eq!(swapped, Swapped::Stored);
    }
    removed = removed.successor(2);
    removed.removed = true;
    store.compare_and_swap(&removed).await.unwrap();
    let contents = store.load().await.unwrap();
    let of_name_one = contents
        .configs
        .iter()
        .find(|c| c.removed && c.name == "one");
    let of_name_one = of_name_one.unwrap().cluster;
    let ids = [living.cluster, removed.cluster, of_name_one, ClusterId(99)];
    store.forget_clusters(&ids).await.unwrap();
    store.forget_clusters(&[]).await.unwrap();
    assert_eq!(store.get(living.cluster).await.unwrap(), Some(living));
    assert_eq!(store.get(removed.cluster).await.unwrap(), None);
    assert_eq!(store.get(of_name_one).await.unwrap(), None);
    let taken = Configuration {
        name: "one".to_owned(),
        ..config(67)
    };
    let swapped = store.compare_and_swap(&taken).await.unwrap();
    assert_eq!(
        swapped,
        Swapped::NameTaken(ClusterId(66)),
        "its name went on"
    );
}

/// A registration whose answer was lost is made again.
async fn a_server_that_registers_again_is_the_same(store: &dyn ConfigStore, given: &[ServerId]) {
    let servers = store.load().await.unwrap().servers;
    for incarnation in 0..8 {
        let id = store.add_server(&registration(incarnation)).await.unwrap();
        assert!(given.contains(&id), "{id} is a ghost");
    }
    assert_eq!(store.load().await.unwrap().servers.len(), servers.len());
}
