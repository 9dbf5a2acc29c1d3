//! Rows 5 and 6: nobody waits for ever.

use super::*;

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
        Duration::from_secs(15),
        since,
        answers,
    );
    for raw in &raws {
        // Out of the way of the writers' account.
        let key = Bytes::from_static(b"now");
        raw.call(Op::Remove { key }).await.unwrap();
    }
    rig.wait_cluster("c", "without one of its codes", |c| {
        c.serving && c.tolerates == F - 1
    })
    .await;
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
