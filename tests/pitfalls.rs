//! What goes wrong in the paper's own implementation must not go wrong here: one test for each fault that was
//! reproduced in it, by its row in the list of them.

use bytes::Bytes;
use fusion_core::config::ShapeError;
use fusion_core::limits::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use fusion_core::op::{Op, Reply};
use fusion_net::client::{ClusterSpec, Error, Kind, Raw};
use fusion_net::service::AdminError;
use fusion_tests::cluster::{Rig, Seat, is_whole, raws, seed, start, wait_until, within};
use fusion_tests::model::{Drive, Model};
use fusion_tests::writers::Writers;
use futures::future::{join_all, try_join_all};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const N: usize = 3;
const F: usize = 3;

fn number(value: u64) -> Bytes {
    Bytes::copy_from_slice(&value.to_be_bytes())
}

/// Creates clusters `c0`, `c1`, ... in one go.
async fn create_many(rig: &Rig, kind: Kind, count: usize) -> Vec<(String, Vec<Raw>)> {
    let create = async |i: usize| {
        let name = format!("c{i}");
        let raws = rig.create(&name, kind, N, F).await;
        (name, raws)
    };
    join_all((0..count).map(create)).await
}

/// Kills servers of `name`'s seats, which are members of the other clusters too, and waits until all are whole.
async fn lose(rig: &mut Rig, name: &str, seats: &[Seat], all: &[(String, Vec<Raw>)]) {
    let killed = rig.kill(name, seats).await;
    for (name, _) in all {
        rig.wait_whole_without(name, &killed).await;
    }
    rig.restart(&killed).await;
}

/// 64 inserts in flight at random places of each list; then servers die. A list that was recovered must be the very
/// one that was there: 6 clusters in 5 rounds are 30 recoveries.
#[tokio::test]
async fn row_01_concurrent_inserts_then_recovery_equals_the_model() {
    let mut rng = StdRng::seed_from_u64(seed());
    let mut rig = start(N + 2 * F).await;
    let clusters = create_many(&rig, Kind::List, 6).await;
    let mut next = 0;
    for round in 0..5 {
        let mut calls = Vec::new();
        for (_, raws) in &clusters {
            for raw in raws {
                for _ in 0..64 {
                    // Everybody knows that there are at least so many elements.
                    let index = rng.random_range(0..=round * 64);
                    let value = number(next);
                    next += 1;
                    calls.push(raw.call(Op::Insert { index, value }));
                }
            }
        }
        try_join_all(calls).await.expect("every index is there");
        let mut before = Vec::new();
        for (_, raws) in &clusters {
            for raw in raws {
                let held = fusion_tests::model::contents(raw, Kind::List).await;
                assert_eq!(held.len() as u64, (round + 1) * 64);
                before.push((raw, held));
            }
        }
        let seats: Vec<Seat> = Seat::all(N, 0)
            .choose_multiple(&mut rng, 1 + round as usize % N)
            .copied()
            .collect();
        lose(&mut rig, "c0", &seats, &clusters).await;
        for (raw, held) in before {
            held.verify(raw, &format!("round {round}")).await;
        }
    }
    rig.stop().await;
}

/// A primary is recovered again and again while the others, and its own clients, write without a pause.
#[tokio::test]
async fn row_02_recovery_while_others_write_is_exact() {
    let mut rig = start(N + 2).await;
    let raws = rig.create("c", Kind::Map, N, 1).await;
    let mut writers = Writers::new(Kind::Map);
    writers.write(&raws, 8);
    for round in 0..6 {
        writers.wait_more(500).await;
        let killed = rig.kill("c", &[Seat::Primary(round % N)]).await;
        rig.wait_whole_without("c", &killed).await;
        rig.restart(&killed).await;
    }
    writers.stop().await.verify(&raws).await;
    rig.stop().await;
}

/// 60 clusters are created at the same moment, and all survive the loss of three servers.
#[tokio::test]
async fn row_03_sixty_clusters_created_at_once_are_all_recoverable() {
    let mut rig = start(N + 2 * F).await;
    let clusters = create_many(&rig, Kind::Queue, 60).await;
    let mut enqueues = Vec::new();
    for (c, (_, raws)) in clusters.iter().enumerate() {
        for (p, raw) in raws.iter().enumerate() {
            for i in 0..5 {
                let value = number((c * 100 + p * 10 + i) as u64);
                enqueues.push(raw.call(Op::Enqueue { value }));
            }
        }
    }
    // Those of one queue are under way in this order on one connection.
    try_join_all(enqueues).await.unwrap();
    let mut models = Vec::new();
    for (_, raws) in &clusters {
        for raw in raws {
            models.push((raw, fusion_tests::model::contents(raw, Kind::Queue).await));
        }
    }
    let seats = [Seat::Primary(0), Seat::Primary(1), Seat::Fused(2)];
    lose(&mut rig, "c7", &seats, &clusters).await;
    for (raw, model) in &models {
        assert_eq!(model.len(), 5);
        model.verify(raw, "one of sixty clusters").await;
    }
    rig.stop().await;
}

/// Callers drop their calls at every stage. What became of each is unknown to them, but all members agree: what the
/// primary holds is what its replacement holds.
#[tokio::test]
async fn row_04_a_call_dropped_in_the_middle_reaches_all_members_or_none() {
    let mut rng = StdRng::seed_from_u64(seed());
    let mut rig = start(N + 2 * F).await;
    let raws = rig.create("c", Kind::List, N, F).await;
    let mut kept = 0;
    for i in 0..900u64 {
        let raw = &raws[i as usize % N];
        let value = number(i);
        let call = raw.call(Op::Append { value });
        if i % 3 == 0 {
            call.await.unwrap();
            kept += 1;
        } else {
            let patience = Duration::from_micros(rng.random_range(0..1500));
            let _ = tokio::time::timeout(patience, call).await;
        }
    }
    let mut models = Vec::new();
    for raw in &raws {
        let held = fusion_tests::model::contents(raw, Kind::List).await;
        let Model::Sequence(_, elements) = &held else {
            panic!("a list")
        };
        let distinct: BTreeSet<_> = elements.iter().collect();
        assert_eq!(distinct.len(), elements.len(), "none is there twice");
        models.push(held);
    }
    let total: usize = models.iter().map(Model::len).sum();
    println!("{total} of 900 appends were made, {kept} of them waited for");
    assert!(total >= kept);
    let seats = [Seat::Primary(0), Seat::Primary(1), Seat::Primary(2)];
    let killed = rig.kill("c", &seats).await;
    rig.wait_whole_without("c", &killed).await;
    for (model, raw) in models.iter().zip(&raws) {
        model.verify(raw, "after dropped calls and recovery").await;
    }
    rig.stop().await;
}

/// With detection after 0.7 s, writes go on within 5 s of the death, or of the silence, of a fused server.
async fn fused_gone(dead: bool) {
    let mut rig = start(N + F).await;
    let raws = rig.create("c", Kind::Map, N, F).await;
    let mut writers = Writers::new(Kind::Map);
    writers.write(&raws, 2);
    writers.wait_more(200).await;
    let paused = if dead {
        rig.kill("c", &[Seat::Fused(1)]).await;
        Vec::new()
    } else {
        rig.pause("c", &[Seat::Fused(1)]).await
    };
    let since = Instant::now();
    let writes = raws.iter().map(|raw| {
        let (key, value) = (Bytes::from_static(b"now"), Bytes::new());
        raw.call(Op::Put { key, value })
    });
    let answers = try_join_all(writes).await.unwrap();
    within(
        "writes at three primaries",
        Duration::from_secs(5),
        since,
        answers,
    );
    for raw in &raws {
        // Out of the way of the writers' account.
        let key = Bytes::from_static(b"now");
        raw.call(Op::Remove { key }).await.unwrap();
    }
    let cluster = rig.client.cluster("c").await.unwrap();
    assert_eq!((cluster.serving, cluster.tolerates), (true, F - 1));
    writers.wait_more(200).await;
    if dead {
        rig.add_server().await.unwrap();
    } else {
        rig.resume(&paused);
    }
    rig.wait_cluster("c", "whole again", is_whole).await;
    let account = writers.stop().await;
    assert_eq!(account.counts().1, 0, "every write has an answer");
    account.verify(&raws).await;
    // Nothing is half applied: the codes, the new ones too, give the same contents.
    let seats = [Seat::Primary(0), Seat::Primary(1), Seat::Primary(2)];
    for _ in seats {
        rig.add_server().await.unwrap();
    }
    let killed = rig.kill("c", &seats).await;
    rig.wait_whole_without("c", &killed).await;
    account.verify(&raws).await;
    rig.stop().await;
}

#[tokio::test]
async fn row_05_a_dead_fused_server_holds_writes_up_for_seconds_only() {
    fused_gone(true).await;
}

#[tokio::test]
async fn row_05_a_hung_fused_server_holds_writes_up_for_seconds_only() {
    fused_gone(false).await;
}

/// There are no spares: the servers of a primary and of a code come back at their old addresses, at once, and the
/// cluster is whole on them without anybody's help.
#[tokio::test]
async fn row_06_restarted_servers_rejoin_by_themselves() {
    let mut rng = StdRng::seed_from_u64(seed());
    let mut rig = start(N + 2).await;
    let raws = rig.create("c", Kind::List, N, 2).await;
    let mut models = vec![Model::new(Kind::List); N];
    for seats in [
        [Seat::Primary(0), Seat::Fused(0)],
        [Seat::Fused(1), Seat::Fused(0)],
        [Seat::Primary(0), Seat::Primary(2)],
    ] {
        for (model, raw) in models.iter_mut().zip(&raws) {
            for _ in 0..20 {
                let op = model.random_op(&mut rng);
                model.apply_to_both(raw, op).await;
            }
        }
        let killed = rig.kill("c", &seats).await;
        rig.restart(&killed).await;
        let cluster = rig.wait_whole_without("c", &killed).await;
        let addresses: BTreeSet<_> = cluster.members.iter().map(|m| &m.address).collect();
        assert!(killed.iter().all(|k| addresses.contains(&k.address)));
        for (model, raw) in models.iter().zip(&raws) {
            model.verify(raw, &format!("{seats:?} restarted")).await;
        }
    }
    rig.stop().await;
}

#[tokio::test]
async fn row_07_fifty_concurrent_dequeues_give_fifty_values() {
    let mut rig = start(N + 1).await;
    let raws = rig.create("c", Kind::Queue, 2, 1).await;
    let other = rig.client_with(Duration::from_secs(30)).await;
    let other = fusion_tests::cluster::raws(&other, "c", 2).await;
    for i in 0..60 {
        let value = number(i);
        raws[0].call(Op::Enqueue { value }).await.unwrap();
    }
    let calls = (0..50).map(|i| [&raws, &other][i % 2][0].call(Op::Dequeue));
    let given = try_join_all(calls).await.unwrap();
    let given: BTreeSet<Bytes> = given
        .into_iter()
        .map(|reply| match reply {
            Reply::Maybe(Some(value)) => value,
            reply => panic!("{reply:?}"),
        })
        .collect();
    assert_eq!(given, (0..50).map(number).collect());
    let killed = rig.kill("c", &[Seat::Primary(0)]).await;
    rig.wait_whole_without("c", &killed).await;
    for i in 50..60 {
        let reply = raws[0].call(Op::Dequeue).await.unwrap();
        assert_eq!(reply, Reply::Maybe(Some(number(i))));
    }
    let reply = raws[0].call(Op::Dequeue).await.unwrap();
    assert_eq!(reply, Reply::Maybe(None));
    rig.stop().await;
}

/// Random changes with many removals at clusters of each kind, and random losses in between.
#[tokio::test]
async fn row_08_random_changes_and_faults_equal_the_models() {
    let mut rng = StdRng::seed_from_u64(seed());
    let mut rig = start(N + 2 * F).await;
    let mut all = Vec::new();
    for kind in [Kind::List, Kind::Map, Kind::Queue] {
        let name = kind.to_string();
        let raws = rig.create(&name, kind, N, F).await;
        all.push((name, raws, vec![Model::new(kind); N]));
    }
    for round in 0..6 {
        for (_, raws, models) in &mut all {
            for (raw, model) in raws.iter().zip(models) {
                for _ in 0..rng.random_range(1..40) {
                    let op = model.random_op(&mut rng);
                    model.apply_to_both(raw, op).await;
                }
            }
        }
        // What dies is chosen by one cluster's seats; the others lose whatever of theirs lives there.
        let name = all.choose(&mut rng).expect("three").0.clone();
        let count = rng.random_range(1..=F);
        let seats: Vec<Seat> = Seat::all(N, F)
            .choose_multiple(&mut rng, count)
            .copied()
            .collect();
        println!("round {round}: {seats:?} of {name}");
        let killed = rig.kill(&name, &seats).await;
        for (name, raws, models) in &all {
            rig.wait_whole_without(name, &killed).await;
            for (i, (raw, model)) in raws.iter().zip(models).enumerate() {
                model
                    .verify(raw, &format!("{name} {i}, round {round}"))
                    .await;
            }
        }
        rig.restart(&killed).await;
    }
    rig.stop().await;
}

/// Keys and values that look like marks, numbers, paddings or nothing at all; and the greatest ones.
#[tokio::test]
async fn row_09_any_bytes_are_keys_and_values() {
    let mut rig = start(2 + 2 * 2).await;
    let raws = rig.create("c", Kind::Map, 2, 2).await;
    let raw = &raws[0];
    let mut model = Model::new(Kind::Map);
    let mut odd: Vec<Bytes> = (0..=255u8).map(|b| vec![b].into()).collect();
    odd.push(Bytes::new());
    for number in [-1i64, 0, 1, 65535, 65536, i64::MIN, i64::MAX] {
        odd.push(number.to_le_bytes().to_vec().into());
        odd.push(number.to_be_bytes().to_vec().into());
    }
    for len in [2, 7, 8, 9, 4095, 4096, 4097, 70_000] {
        odd.push(vec![0; len].into());
        odd.push(vec![0xff; len].into());
    }
    for (i, key) in odd.iter().enumerate() {
        let (key, value) = (key.clone(), odd[odd.len() - 1 - i].clone());
        model.apply_to_both(raw, Op::Put { key, value }).await;
    }
    let biggest = Bytes::from(vec![0xab; MAX_VALUE_BYTES]);
    let longest = Bytes::from(vec![0xcd; MAX_KEY_BYTES]);
    let big = [
        (Bytes::from_static(b"8 MiB"), biggest.clone()),
        (longest.clone(), biggest.clone()),
        (longest.slice(1..), Bytes::new()),
    ];
    for (key, value) in big {
        model.apply_to_both(raw, Op::Put { key, value }).await;
    }

    let too_long = Bytes::from(vec![0; MAX_VALUE_BYTES + 1]);
    let key = Bytes::from_static(b"never");
    let put = raw.call(Op::Put {
        key: key.clone(),
        value: too_long.clone(),
    });
    let error = put.await.unwrap_err();
    assert!(
        matches!(error, Error::ValueTooLarge { len, max }
            if len == max + 1 && max == MAX_VALUE_BYTES as u64),
        "{error:?}"
    );
    let put = raw.call(Op::Put {
        key: too_long,
        value: Bytes::new(),
    });
    let error = put.await.unwrap_err();
    assert!(
        matches!(error, Error::KeyTooLarge { len, max }
            if len == max + 1 && max == MAX_KEY_BYTES as u64),
        "{error:?}"
    );

    model.verify(raw, "before any loss").await;
    let killed = rig.kill("c", &[Seat::Primary(0), Seat::Fused(0)]).await;
    rig.wait_whole_without("c", &killed).await;
    model.verify(raw, "the recovered map").await;
    // The codes that a learner made are as good.
    rig.restart(&killed).await;
    let killed = rig.kill("c", &[Seat::Primary(0), Seat::Fused(1)]).await;
    rig.wait_whole_without("c", &killed).await;
    model.verify(raw, "the map recovered twice").await;
    for key in odd {
        model.apply_to_both(raw, Op::Remove { key }).await;
    }
    model.verify(raw, "after the removals").await;
    rig.stop().await;
}

/// The longest changes that there can be: a great entry goes to another size class, its neighbour moves into the
/// hole, and the record of a great answer makes room as well.
#[tokio::test]
async fn row_09_the_longest_changes_are_replicated() {
    let rig = start(2 + 2).await;
    rig.create("c", Kind::Map, 2, 2).await;
    let clients = [
        rig.client_with(Duration::from_secs(60)).await,
        rig.client_with(Duration::from_secs(60)).await,
    ];
    let ways = [
        raws(&clients[0], "c", 2).await,
        raws(&clients[1], "c", 2).await,
    ];
    let mut model = Model::new(Kind::Map);
    // Random bytes: where neighbours have the same ones a change has nothing to write.
    let mut rng = StdRng::seed_from_u64(seed());
    let mut random = |len: usize| {
        let mut bytes = vec![0; len];
        rng.fill(&mut bytes[..]);
        Bytes::from(bytes)
    };
    let keys = [random(MAX_KEY_BYTES), random(MAX_KEY_BYTES)];
    let put = |key: Bytes, value: Bytes| Op::Put { key, value };
    for smaller in [2 << 20, 3 << 20] {
        // Two entries of the greatest class, one on top of the other.
        for key in &keys {
            let op = put(key.clone(), random(MAX_VALUE_BYTES));
            model.apply_to_both(&ways[0][0], op).await;
        }
        // Two recorded answers of 8 MiB, one for each client's session.
        for (client, name) in ways.iter().zip([b"x", b"y"]) {
            let name = Bytes::from_static(name);
            let op = put(name.clone(), random(MAX_VALUE_BYTES));
            model.apply_to_both(&client[0], op).await;
            let op = Op::Remove { key: name };
            model.apply_to_both(&client[0], op).await;
        }
        let op = put(keys[0].clone(), random(MAX_VALUE_BYTES - smaller));
        model.apply_to_both(&ways[0][0], op).await;
        model.verify(&ways[1][0], "the longest change").await;
    }
    rig.stop().await;
}

#[tokio::test]
async fn row_10_every_mistake_has_its_own_error() {
    let rig = start(N + 1).await;
    let client = &rig.client;
    let spec = |name: &str, n, f| ClusterSpec::new(name, Kind::List, n, f);
    client.create(&spec("l", N, 1)).await.unwrap();
    client
        .create(&ClusterSpec::new("m", Kind::Map, 2, 1))
        .await
        .unwrap();
    let list = client.list::<String>("l", 1).await.unwrap();
    for text in ["a", "b", "c"] {
        list.append(&text.to_owned()).await.unwrap();
    }
    let text = "x".to_owned();
    let errors = [
        list.insert(50, &text).await.unwrap_err(),
        list.get(50).await.unwrap_err(),
        list.set(50, &text).await.unwrap_err(),
        list.remove(50).await.unwrap_err(),
    ];
    for error in errors {
        assert!(
            matches!(error, Error::IndexError { index: 50, len: 3 }),
            "{error:?}"
        );
    }
    let error = list.get(3).await.unwrap_err();
    assert!(matches!(error, Error::IndexError { index: 3, len: 3 }));
    assert_eq!(list.to_vec().await.unwrap(), ["a", "b", "c"], "unchanged");

    let map = client.map_part::<u32, u32>("m", 0).await.unwrap();
    for error in [
        map.get(&9).await.unwrap_err(),
        map.remove(&9).await.unwrap_err(),
    ] {
        assert!(
            matches!(&error, Error::KeyError { key } if key[..] == [9]),
            "{error:?}"
        );
    }
    let error = client.list::<u32>("nobody", 0).await.unwrap_err();
    assert!(
        matches!(&error, Error::UnknownCluster { name } if name == "nobody"),
        "{error:?}"
    );
    let error = client.list::<u32>("l", 3).await.unwrap_err();
    let fits = matches!(
        error,
        Error::UnknownPrimary {
            index: 3,
            primaries: 3,
            ..
        }
    );
    assert!(fits, "{error:?}");
    let error = client.queue::<u32>("m", 0).await.unwrap_err();
    let (wanted, found) = (Kind::Queue, Kind::Map);
    let fits = matches!(&error, Error::WrongKind { wanted: w, found: f, .. }
        if (*w, *f) == (wanted, found));
    assert!(fits, "{error:?}");
    let error = list.raw().call(Op::Dequeue).await.unwrap_err();
    assert!(matches!(error, Error::WrongKind { .. }), "{error:?}");

    let error = client.create(&spec("l", 1, 1)).await.unwrap_err();
    let fits = matches!(&error, Error::Refused(AdminError::NameTaken { name }) if name == "l");
    assert!(fits, "{error:?}");
    let error = client.create(&spec("big", 4, 1)).await.unwrap_err();
    let fits = matches!(
        error,
        Error::Refused(AdminError::NotEnoughServers {
            members: 5,
            servers: 4
        })
    );
    assert!(fits, "{error:?}");
    for (bad, error) in [
        (spec("no primaries", 1, 1), None),
        (spec("p", 0, 1), Some(ShapeError::NoPrimaries)),
        (spec("f", 1, 0), Some(ShapeError::NoFaults)),
    ] {
        let got = client.create(&bad).await.unwrap_err();
        let fits = match (&got, error) {
            (Error::BadShape(ShapeError::BadName { .. }), None) => true,
            (Error::BadShape(got), Some(wanted)) => *got == wanted,
            _ => false,
        };
        assert!(fits, "{got:?}");
    }
    client.remove("m").await.unwrap();
    // The servers hear of it with their next heartbeat.
    wait_until("the removed map to be unknown", async || {
        match map.get(&1).await {
            Err(Error::UnknownCluster { .. }) => Ok(()),
            answer => Err(format!("{answer:?}")),
        }
    })
    .await;
    let error = client.remove("m").await.unwrap_err();
    assert!(matches!(error, Error::UnknownCluster { .. }), "{error:?}");
    rig.stop().await;
}

/// One primary of a queue cluster is lost alone; what comes back is a queue that serves, at the same place in line.
#[tokio::test]
async fn row_11_a_recovered_queue_serves_again() {
    let mut rig = start(N + 1 + 1).await;
    let mut queues = Vec::new();
    rig.create("c", Kind::Queue, N, 1).await;
    for index in 0..N {
        queues.push(rig.client.queue::<String>("c", index).await.unwrap());
    }
    let mut expected: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for i in 0..40 {
        for (q, queue) in queues.iter().enumerate() {
            let text = format!("{i} of queue {q}");
            queue.enqueue(&text).await.unwrap();
            expected.entry(q).or_default().push(text);
        }
    }
    for (lost, line) in &mut expected {
        assert_eq!(
            queues[*lost].dequeue().await.unwrap().as_ref(),
            line.first()
        );
        line.remove(0);
        let killed = rig.kill("c", &[Seat::Primary(*lost)]).await;
        // Right away, not only when it is whole.
        let text = "after the loss".to_owned();
        queues[*lost].enqueue(&text).await.unwrap();
        line.push(text);
        assert_eq!(
            queues[*lost].dequeue().await.unwrap().as_ref(),
            line.first()
        );
        line.remove(0);
        assert_eq!(queues[*lost].to_vec().await.unwrap(), *line);
        rig.wait_whole_without("c", &killed).await;
        rig.restart(&killed).await;
    }
    for (q, line) in &expected {
        assert_eq!(queues[*q].to_vec().await.unwrap(), *line);
    }
    rig.stop().await;
}
