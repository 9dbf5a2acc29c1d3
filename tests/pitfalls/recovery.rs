//! Rows 1 to 4 and 8: what is recovered is what was there.

use super::*;

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
