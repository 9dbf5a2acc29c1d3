//! A call that takes an element and is dropped does not lose it.

use super::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;

const ELEMENTS: u64 = 5000;

/// 87 of 88 elements whose `dequeue` was dropped while it was under way were lost.
#[tokio::test]
async fn no_element_is_lost_with_a_dequeue_that_was_dropped() {
    let rig = start(3).await;
    rig.create("q", Kind::Queue, 1, 1).await;
    let queue: Queue<u64> = rig.client.queue("q", 0).await.unwrap();
    let all: Vec<u64> = (0..ELEMENTS).collect();
    queue.enqueue_all(&all).await.unwrap();
    let mut rng = StdRng::seed_from_u64(8);
    let (mut got, mut dropped) = (Vec::new(), 0);
    let begun = Instant::now();
    while got.len() < all.len() {
        assert!(
            begun.elapsed() < PATIENCE,
            "{} are missing",
            all.len() - got.len()
        );
        let limit = Duration::from_micros(rng.random_range(0..300));
        match timeout(limit, queue.dequeue()).await {
            Ok(Ok(Some(element))) => got.push(element),
            // What was dropped before is had by this one.
            Ok(Ok(None)) => panic!("{} of {ELEMENTS} are lost", all.len() - got.len()),
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => dropped += 1,
        }
    }
    println!("{dropped} calls were dropped");
    assert!(dropped > 0, "nothing was tried");
    assert_eq!(got, all, "each once, in the order of the queue");
    assert_eq!(queue.dequeue().await.unwrap(), None);
    rig.stop().await;
}

/// Several callers of one handle, some of many elements at once.
#[tokio::test]
async fn no_element_is_lost_with_calls_of_several_callers_that_were_dropped() {
    let rig = start(3).await;
    rig.create("q", Kind::Queue, 1, 1).await;
    let queue: Queue<u64> = rig.client.queue("q", 0).await.unwrap();
    let all: Vec<u64> = (0..ELEMENTS).collect();
    queue.enqueue_all(&all).await.unwrap();
    let mut rng = StdRng::seed_from_u64(9);
    let mut got = Vec::new();
    let begun = Instant::now();
    loop {
        assert!(
            begun.elapsed() < PATIENCE,
            "{} are missing",
            all.len() - got.len()
        );
        let limits: Vec<u64> = (0..8).map(|_| rng.random_range(0..2000)).collect();
        let takes = limits
            .into_iter()
            .map(async |limit| timeout(Duration::from_micros(limit), queue.dequeue()).await);
        let answers = join_all(takes).await;
        let answered = answers.iter().filter(|a| a.is_ok()).count();
        let before = got.len();
        for answer in answers.into_iter().flatten() {
            got.extend(answer.unwrap());
        }
        if answered == 8 && got.len() == before {
            break;
        }
    }
    let last = queue.dequeue().await.unwrap();
    assert_eq!(last, None, "nothing is left anywhere");
    let each: BTreeSet<u64> = got.iter().copied().collect();
    assert_eq!((each.len(), got.len()), (all.len(), all.len()), "each once");
    assert!(queue.raw().take_abandoned().is_empty());
    rig.stop().await;
}

/// The siblings: a list's element, a map's value, and values that are removed together.
#[tokio::test]
async fn nothing_is_lost_with_other_takes_that_were_dropped() {
    let rig = start(4).await;
    rig.create("l", Kind::List, 1, 1).await;
    rig.create("m", Kind::Map, 2, 1).await;
    let list: List<u64> = rig.client.list("l", 0).await.unwrap();
    let map: Map<u64, u64> = rig.client.map("m").await.unwrap();
    let all: Vec<u64> = (0..1000).collect();
    list.append_all(&all).await.unwrap();
    map.put_all(all.iter().map(|key| (key, key))).await.unwrap();
    let mut rng = StdRng::seed_from_u64(10);
    let mut short = || Duration::from_micros(rng.random_range(0..300));
    let (mut from_list, mut from_map) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    while from_list.len() < all.len() {
        assert!(
            begun.elapsed() < PATIENCE,
            "{} of the list",
            from_list.len()
        );
        if let Ok(element) = timeout(short(), list.remove(0)).await {
            from_list.push(element.unwrap());
        }
    }
    assert_eq!(from_list, all);
    for keys in all.chunks(20) {
        if keys[0] % 40 == 0 {
            while from_map.len() as u64 <= keys[19] {
                assert!(begun.elapsed() < PATIENCE, "{} of the map", from_map.len());
                let key = from_map.len() as u64;
                if let Ok(value) = timeout(short(), map.remove(&key)).await {
                    from_map.push(value.unwrap());
                }
            }
            continue;
        }
        // All at once: of those that were answered before it was dropped, too, nothing is lost.
        while let Err(_dropped) = timeout(short(), async {
            for value in map.remove_all(keys).await.unwrap() {
                from_map.push(value.expect("it is there, or was found"));
            }
        })
        .await
        {
            assert!(begun.elapsed() < PATIENCE, "{} of the map", from_map.len());
        }
    }
    assert_eq!(from_map, all);
    rig.stop().await;
}
