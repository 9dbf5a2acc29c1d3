//! Operations that are sent together: their order, their answers, and what happens to the rest when one fails.

use bytes::Bytes;
use fusion_core::limits::MAX_VALUE_BYTES;
use fusion_core::op::{Op, Reply};
use fusion_net::client::{ClientOptions, Error, Kind};
use fusion_tests::cluster::{Seat, start};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const N: usize = 3;
const F: usize = 2;

/// Batches of two callers, and calls one by one beside them, while the primary dies twice: each element is there once,
/// and in its caller's order.
#[tokio::test]
async fn elements_that_are_enqueued_together_keep_their_order_when_the_primary_dies() {
    const AT_ONCE: u64 = 10_000;
    let mut rig = start(N + 2 * F).await;
    rig.create("c", Kind::Queue, N, F).await;
    let client = rig.client_with(Duration::from_secs(60)).await;
    let queue = client.queue::<(u64, u64)>("c", 0).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = Vec::new();
    for (caller, at_once) in [(0, AT_ONCE), (1, AT_ONCE), (2, 1)] {
        let (queue, stop) = (queue.clone(), Arc::clone(&stop));
        callers.push(tokio::spawn(async move {
            let mut next = 0;
            while !stop.load(Ordering::Relaxed) {
                let values: Vec<_> = (next..next + at_once).map(|i| (caller, i)).collect();
                match at_once {
                    1 => queue.enqueue(&values[0]).await.unwrap(),
                    _ => queue.enqueue_all(&values).await.unwrap(),
                }
                next += at_once;
            }
            next
        }));
    }
    for _ in 0..2 {
        // In the midst of a batch: each is of many requests.
        let before = queue.len().await.unwrap();
        while queue.len().await.unwrap() < before + AT_ONCE / 2 {}
        let killed = rig.kill("c", &[Seat::Primary(0)]).await;
        rig.wait_whole_without("c", &killed).await;
        rig.restart(&killed).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut counts = Vec::new();
    for caller in callers {
        counts.push(caller.await.unwrap());
    }
    let mut next = [0; 3];
    for (caller, i) in queue.to_vec().await.unwrap() {
        assert_eq!(i, next[caller as usize], "caller {caller}");
        next[caller as usize] += 1;
    }
    assert_eq!(&next[..], counts);
    rig.stop().await;
}

/// A read that is sent again, since its answer was lost with the primary, sees the changes before it and none behind it;
/// from a client whose concurrent calls share requests, and from one whose do not.
#[tokio::test]
async fn a_read_between_changes_of_one_call_sees_those_before_it_alone() {
    let mut rig = start(N + 2 * F).await;
    rig.create("c", Kind::Queue, N, F).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = Vec::new();
    for (index, coalesce) in [(0, true), (1, false)] {
        let client = rig
            .client_like(ClientOptions {
                timeout: Duration::from_secs(60),
                coalesce,
                ..ClientOptions::default()
            })
            .await;
        let (stop, queue) = (Arc::clone(&stop), client.queue::<u64>("c", index).await);
        let raw = queue.unwrap().raw().clone();
        callers.push(tokio::spawn(async move {
            let mut len = 0;
            while !stop.load(Ordering::Relaxed) {
                let enqueue = |i: u64| Op::Enqueue {
                    value: i.to_le_bytes().to_vec().into(),
                };
                // Runs of one to nine changes, each with two reads behind it.
                let mut ops = Vec::new();
                let mut expected = Vec::new();
                for run in 1..10 {
                    for _ in 0..run {
                        ops.push(enqueue(len));
                        expected.push(Reply::Done);
                        len += 1;
                    }
                    ops.extend([Op::Len, Op::Len]);
                    expected.extend([Reply::Len(len), Reply::Len(len)]);
                }
                let answers: Result<Vec<_>, _> = raw.call_all(ops).await.into_iter().collect();
                assert_eq!(answers.unwrap(), expected);
            }
            len
        }));
    }
    for _ in 0..3 {
        let queue = rig.client.queue::<u64>("c", 0).await.unwrap();
        let before = queue.len().await.unwrap();
        while queue.len().await.unwrap() < before + 500 {}
        let killed = rig.kill("c", &[Seat::Primary(0), Seat::Primary(1)]).await;
        rig.wait_whole_without("c", &killed).await;
        rig.restart(&killed).await;
    }
    stop.store(true, Ordering::Relaxed);
    for (index, caller) in callers.into_iter().enumerate() {
        let len = caller.await.unwrap();
        let queue = rig.client.queue::<u64>("c", index).await.unwrap();
        assert_eq!(queue.len().await.unwrap(), len);
    }
    rig.stop().await;
}

/// A primary answers with a few MiB at a time: the rest is asked again, in its order, and other callers are answered
/// meanwhile.
#[tokio::test]
async fn elements_that_no_answer_holds_all_come_in_their_order() {
    const COUNT: u32 = 40;
    let rig = start(N + F).await;
    rig.create("c", Kind::Queue, N, F).await;
    let queue = rig.client.queue::<u8>("c", 0).await.unwrap();
    let value = |i: u32| -> Bytes { (0..1u32 << 20).map(|at| (at ^ i) as u8).collect() };
    let enqueue = (0..COUNT).map(|i| Op::Enqueue { value: value(i) });
    let answers = queue.raw().call_all(enqueue).await;
    assert!(answers.iter().all(|a| matches!(a, Ok(Reply::Done))));
    let raw = queue.raw().clone();
    let all = tokio::spawn(async move { raw.call_all((0..COUNT).map(|_| Op::Dequeue)).await });
    // The first request takes 32 of them; who asks beside it hears something between.
    let (mut seen, mut between) = (COUNT as u64, false);
    while !all.is_finished() {
        let len = queue.len().await.unwrap();
        assert!(len <= seen);
        between |= (COUNT as u64 - 32 + 1..COUNT as u64).contains(&len);
        seen = len;
    }
    assert!(between, "others waited for a whole request");
    for (i, answer) in (0..).zip(all.await.unwrap()) {
        let Ok(Reply::Maybe(Some(taken))) = answer else {
            panic!("{i}: {answer:?}");
        };
        assert!(taken == value(i), "{i}");
    }
    assert!(queue.is_empty().await.unwrap());
    rig.stop().await;
}

#[tokio::test]
async fn a_map_takes_and_gives_many_entries_at_once() {
    let rig = start(N + F).await;
    rig.create("c", Kind::Map, N, F).await;
    let map = rig.client.map::<u32, String>("c").await.unwrap();
    // Several requests to each primary; a key that comes twice has the later value.
    let entries: Vec<_> = (0..5000)
        .map(|i| (i % 4000, format!("value {i}")))
        .collect();
    map.put_all(entries.iter().map(|(k, v)| (k, v)))
        .await
        .unwrap();
    assert_eq!(map.len().await.unwrap(), 4000);
    let keys = [3999, 7, 100_000, 0, 7];
    let last = |key: u32| {
        (key < 4000).then(|| format!("value {}", key + if key < 1000 { 4000 } else { 0 }))
    };
    let expected: Vec<_> = keys.into_iter().map(last).collect();
    assert_eq!(map.get_all(&keys).await.unwrap(), expected);
    // The second time it is not there any more.
    let mut removed = expected.clone();
    removed[4] = None;
    assert_eq!(map.remove_all(&keys).await.unwrap(), removed);
    assert_eq!(map.len().await.unwrap(), 3997);
    let (part, same) = (&map.parts()[1], "same".to_owned());
    let own: Vec<u32> = part
        .entries()
        .await
        .unwrap()
        .into_iter()
        .map(|(k, _)| k)
        .collect();
    part.put_all(own.iter().map(|k| (k, &same))).await.unwrap();
    assert!(
        part.get_all(&own)
            .await
            .unwrap()
            .iter()
            .all(|v| v.as_ref() == Some(&same))
    );
    assert_eq!(part.remove_all(&own).await.unwrap().len(), own.len());
    assert!(part.is_empty().await.unwrap());
    rig.stop().await;
}

#[tokio::test]
async fn each_operation_has_its_own_answer_and_one_that_fails_does_not_keep_the_next_from_being_executed()
 {
    let rig = start(N + F).await;
    rig.create("c", Kind::List, N, F).await;
    let list = rig.client.list::<u8>("c", 0).await.unwrap();
    let append = |bytes: &'static [u8]| Op::Append {
        value: Bytes::from_static(bytes),
    };
    let long = Op::Append {
        value: vec![0; MAX_VALUE_BYTES + 1].into(),
    };
    let ops = [
        append(b"\x01"),
        Op::RemoveIndex { index: 5 },
        long,
        append(b"\x02"),
        Op::Len,
        Op::RemoveIndex { index: 0 },
    ];
    let answers = list.raw().call_all(ops).await;
    assert!(matches!(answers[0], Ok(Reply::Index(0))));
    assert!(matches!(
        answers[1],
        Err(Error::IndexError { index: 5, len: 1 })
    ));
    assert!(matches!(answers[2], Err(Error::ValueTooLarge { .. })));
    assert!(matches!(answers[3], Ok(Reply::Index(1))));
    assert!(matches!(answers[4], Ok(Reply::Len(2))));
    assert!(matches!(&answers[5], Ok(Reply::Value(v)) if v[..] == [1]));
    assert!(list.raw().call_all([]).await.is_empty());
    list.append_all(&[3, 4]).await.unwrap();
    assert_eq!(list.to_vec().await.unwrap(), [2, 3, 4]);
    rig.stop().await;
}

/// A request that nobody answers in time: what is behind it is not sent, and says so.
#[tokio::test]
async fn what_is_behind_a_request_that_was_not_answered_is_not_sent() {
    let rig = start(1 + F).await;
    rig.create("c", Kind::Queue, 1, F).await;
    let client = rig.client_with(Duration::from_millis(500)).await;
    let queue = client.queue::<u32>("c", 0).await.unwrap();
    // Its session is open; a machine that is busy may need another try.
    while queue.enqueue(&0).await.is_err() {}
    let whole = rig.client.queue::<u32>("c", 0).await.unwrap();
    let before = whole.len().await.unwrap();
    let paused = rig.pause("c", &[Seat::Primary(0)]).await;
    let ops = (1..=1000u32).map(|i| Op::Enqueue {
        value: i.to_le_bytes().to_vec().into(),
    });
    let answers = queue.raw().call_all(ops).await;
    let sent = answers
        .iter()
        .take_while(|a| !matches!(a, Err(Error::NotSent)))
        .count();
    assert!(
        answers[..sent]
            .iter()
            .all(|a| matches!(a, Err(Error::OutcomeUnknown { .. }))),
        "{:?}",
        answers[0]
    );
    assert!(0 < sent && sent < 1000, "{sent}");
    assert!(
        answers[sent..]
            .iter()
            .all(|a| matches!(a, Err(Error::NotSent)))
    );
    rig.resume(&paused);
    let len = whole.len().await.unwrap();
    assert!(
        len == before || len == before + sent as u64,
        "all of a request or none: {len}"
    );
    rig.stop().await;
}

/// A caller's mistake that is seen before anything is sent.
#[tokio::test]
async fn of_changes_of_which_one_is_too_large_none_is_sent() {
    let rig = start(N + F).await;
    rig.create("m", Kind::Map, N, F).await;
    let map = rig.client.map::<u32, Vec<u8>>("m").await.unwrap();
    let mut entries: Vec<_> = (0..1000u32).map(|i| (i, vec![7; 10])).collect();
    entries[700].1 = vec![0; MAX_VALUE_BYTES];
    let error = map.put_all(entries.iter().map(|(k, v)| (k, v))).await;
    let Err(Error::Batch(error)) = error else {
        panic!("{error:?}");
    };
    let counts = (error.of, error.made, error.unknown, error.index);
    assert_eq!(counts, (1000, 0, 0, 700));
    assert!(
        matches!(*error.source, Error::ValueTooLarge { .. }),
        "{error}"
    );
    assert!(map.is_empty().await.unwrap());
    rig.stop().await;
}

/// The value is gone from the map, but not lost.
#[tokio::test]
async fn what_is_removed_as_another_type_is_in_the_error() {
    let rig = start(N + F).await;
    rig.create("m", Kind::Map, N, F).await;
    let texts = rig.client.map::<u32, String>("m").await.unwrap();
    let numbers = rig.client.map::<u32, u8>("m").await.unwrap();
    let text = "not a number".to_owned();
    let keys = [1, 2, 3];
    texts
        .put_all(keys.iter().map(|k| (k, &text)))
        .await
        .unwrap();
    let error = numbers.remove(&1).await.unwrap_err();
    let Error::NotOfType { stored, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(stored[..], *b"\x0cnot a number");
    let error = numbers.remove_all(&keys).await.unwrap_err();
    let Error::Batch(error) = &error else {
        panic!("{error:?}");
    };
    // The first was not there any more, the others are not now.
    let counts = (error.of, error.made, error.unknown, error.index);
    assert_eq!(counts, (3, 3, 0, 1));
    assert!(texts.is_empty().await.unwrap());
    rig.stop().await;
}

/// Without a spare server the keys of the lost primary have nowhere to go, and the others are put.
#[tokio::test]
async fn where_one_primary_is_lost_for_good_it_is_said_how_many_entries_were_put() {
    let mut rig = start(N).await;
    rig.create("m", Kind::Map, N - 1, 1).await;
    let client = rig.client_with(Duration::from_secs(3)).await;
    let map = client.map::<u32, u32>("m").await.unwrap();
    let entries: Vec<_> = (0..3000u32).map(|i| (i, i)).collect();
    rig.kill("m", &[Seat::Primary(1)]).await;
    let error = map.put_all(entries.iter().map(|(k, v)| (k, v))).await;
    let Err(Error::Batch(error)) = error else {
        panic!("{error:?}");
    };
    let there = map.parts()[0].len().await.unwrap();
    assert_eq!((error.of, error.made as u64), (3000, there));
    let lost = map.part_of(&entries[error.index].0).unwrap();
    assert!(std::ptr::eq(lost, &map.parts()[1]), "{error}");
    assert!((1000..2000).contains(&error.made), "{error}");
    rig.stop().await;
}
