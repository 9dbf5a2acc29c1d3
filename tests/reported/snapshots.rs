//! Reading all of a structure ends, whatever others do to it meanwhile; and what is said of it is short.

use super::*;
use futures::TryStreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// It never ended, and took memory without bound.
#[tokio::test]
async fn all_of_a_list_is_read_while_others_go_on_appending() {
    let rig = start(3).await;
    rig.create("l", Kind::List, 1, 1).await;
    let list: List<u64> = rig.client.list("l", 0).await.unwrap();
    let all: Vec<u64> = (0..20_000).collect();
    list.append_all(&all).await.unwrap();
    let end = Arc::new(AtomicBool::new(false));
    let appenders: Vec<_> = (0..8)
        .map(|_| {
            let (list, end) = (list.clone(), Arc::clone(&end));
            tokio::spawn(async move {
                while !end.load(Ordering::Relaxed) {
                    list.append_all(&[7; 64]).await.unwrap();
                }
            })
        })
        .collect();
    for _ in 0..3 {
        let (before, read) = (list.len().await.unwrap(), list.to_vec());
        let read = timeout(PATIENCE, read).await.expect("it ends").unwrap();
        let after = list.len().await.unwrap();
        let len = read.len() as u64;
        assert!((before..=after).contains(&len), "{before} {len} {after}");
        assert_eq!(read[..all.len()], all);
        let streamed: Vec<u64> = timeout(PATIENCE, list.stream().try_collect())
            .await
            .expect("it ends")
            .unwrap();
        assert!(streamed.len() as u64 >= after);
    }
    end.store(true, Ordering::Relaxed);
    for appender in appenders {
        appender.await.unwrap();
    }
    rig.stop().await;
}

/// The message was as long as the key.
#[tokio::test]
async fn the_error_of_a_missing_key_of_8_mib_is_short() {
    let rig = start(3).await;
    rig.create("m", Kind::Map, 1, 1).await;
    let map: Map<String, u64> = rig.client.map("m").await.unwrap();
    let error = map.get(&"k".repeat(8_000_000)).await.unwrap_err();
    assert!(matches!(
        error,
        Error::KeyError { .. } | Error::KeyTooLarge { .. }
    ));
    assert!(error.to_string().len() < 1000);
    rig.stop().await;
}

/// One value of another type made all of it unreadable, and nobody said which.
#[tokio::test]
async fn of_a_value_of_another_type_the_key_is_named_and_the_rest_is_read() {
    let rig = start(3).await;
    rig.create("m", Kind::Map, 2, 1).await;
    let texts: Map<String, String> = rig.client.map("m").await.unwrap();
    let numbers: Map<String, u64> = rig.client.map("m").await.unwrap();
    for key in ["a", "b", "d"] {
        texts
            .put(&key.to_owned(), &"text".to_owned())
            .await
            .unwrap();
    }
    numbers.put(&"c".to_owned(), &300).await.unwrap();
    let error = texts.entries().await.unwrap_err();
    assert!(error.to_string().contains("\"c\""), "{error}");
    let (mut read, mut bad) = (Vec::new(), Vec::new());
    let mut entries = std::pin::pin!(texts.stream());
    while let Some(entry) = futures::StreamExt::next(&mut entries).await {
        match entry {
            Ok((key, _)) => read.push(key),
            Err(error) => bad.push(error.to_string()),
        }
    }
    read.sort();
    assert_eq!(read, ["a", "b", "d"]);
    assert!(bad.len() == 1 && bad[0].contains("\"c\""), "{bad:?}");
    rig.stop().await;
}
