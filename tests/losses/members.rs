//! Members of every kind die, one after the other and at once.

use super::*;

/// Every kind of loss up to f, one after another; the dead are restarted each time and are the next spares.
async fn losses_up_to_f(kind: Kind) {
    use Seat::{Fused, Primary};
    let mut rng = StdRng::seed_from_u64(seed());
    let mut rig = start(N + 2 * F).await;
    let mut all = Modelled::create(&rig, "c", kind, F).await;
    let losses: [&[Seat]; 9] = [
        &[Primary(1)],
        &[Primary(0), Primary(2)],
        &[Primary(0), Primary(1), Primary(2)],
        &[Fused(0)],
        &[Fused(1), Fused(2)],
        &[Fused(0), Fused(1), Fused(2)],
        &[Primary(2), Fused(0)],
        &[Primary(0), Fused(1), Fused(2)],
        &[Primary(0), Primary(1), Fused(2)],
    ];
    for loss in losses {
        all.change(&mut rng, 15).await;
        let killed = rig.kill("c", loss).await;
        // The first answers come from whoever is left, or after the recovery.
        all.change(&mut rng, 5).await;
        let when = format!("the loss of {loss:?}");
        all.verify(&when).await;
        rig.wait_whole_without("c", &killed).await;
        all.verify(&when).await;
        rig.restart(&killed).await;
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_list_cluster_loses_any_of_its_members_up_to_f() {
    losses_up_to_f(Kind::List).await;
}

#[tokio::test]
async fn a_map_cluster_loses_any_of_its_members_up_to_f() {
    losses_up_to_f(Kind::Map).await;
}

#[tokio::test]
async fn a_queue_cluster_loses_any_of_its_members_up_to_f() {
    losses_up_to_f(Kind::Queue).await;
}

#[tokio::test]
async fn a_replacement_and_another_primary_die_during_a_recovery() {
    let mut rng = StdRng::seed_from_u64(seed());
    let mut rig = start(N + 2 * F).await;
    let mut all = Modelled::create(&rig, "c", Kind::Map, F).await;
    all.change(&mut rng, 50).await;
    // Enough to recover that the second and third loss fall into it.
    let big: Vec<Op> = (0..40u32)
        .map(|i| Op::Put {
            key: Bytes::copy_from_slice(&i.to_be_bytes()),
            value: vec![i as u8; 1 << 20].into(),
        })
        .collect();
    for op in big {
        all.models[0].apply_to_both(&all.raws[0], op.clone()).await;
    }
    let before = rig.client.cluster("c").await.unwrap();
    let mut killed = rig.kill("c", &[Seat::Primary(0)]).await;
    let during = rig.wait_epoch_after("c", before.epoch).await;
    let replacement = &during.members[0];
    println!(
        "second loss while the replacement is {:?}",
        replacement.state
    );
    assert_ne!(replacement.server, killed[0].id, "it has a place");
    killed.extend(rig.kill("c", &[Seat::Primary(0), Seat::Primary(1)]).await);
    rig.wait_whole_without("c", &killed).await;
    all.verify("a recovery that was hit twice").await;
    all.change(&mut rng, 20).await;
    all.verify("the changes since").await;
    rig.stop().await;
}

#[tokio::test]
async fn codes_made_anew_under_writes_bring_every_primary_back() {
    let mut rig = start(N + 2 * F).await;
    let raws = rig.create("c", Kind::Map, N, F).await;
    let mut writers = Writers::new(Kind::Map);
    writers.write(&raws, 4);
    writers.wait_more(1000).await;
    // Each code dies once, so that in the end every one is a learner's work.
    for row in 0..F {
        let killed = rig.kill("c", &[Seat::Fused(row)]).await;
        rig.wait_whole_without("c", &killed).await;
        rig.restart(&killed).await;
        writers.wait_more(200).await;
    }
    let killed = rig
        .kill("c", &[Seat::Primary(0), Seat::Primary(1), Seat::Primary(2)])
        .await;
    rig.wait_whole_without("c", &killed).await;
    writers.wait_more(200).await;
    let account = writers.stop().await;
    println!("writes, of unknown outcome: {:?}", account.counts());
    account.verify(&raws).await;
    rig.stop().await;
}

#[tokio::test]
async fn rounds_of_random_losses_under_writes() {
    let mut rng = StdRng::seed_from_u64(seed());
    let mut rig = start(N + 2 * F).await;
    let raws = rig.create("c", Kind::List, N, F).await;
    let mut writers = Writers::new(Kind::List);
    writers.write(&raws, 3);
    for round in 0..5 {
        writers.wait_more(300).await;
        let seats: Vec<Seat> = Seat::all(N, F)
            .choose_multiple(&mut rng, F)
            .copied()
            .collect();
        println!("round {round}: {seats:?}");
        let killed = rig.kill("c", &seats).await;
        rig.wait_whole_without("c", &killed).await;
        rig.restart(&killed).await;
    }
    writers.wait_more(100).await;
    let account = writers.stop().await;
    println!("writes, of unknown outcome: {:?}", account.counts());
    account.verify(&raws).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_code_that_was_moved_brings_a_primary_back() {
    let mut rig = start(2 + 1 + 2).await;
    let raw = rig.create("c", Kind::Map, 2, 1).await.remove(0);
    let (key, value) = (Bytes::from("k"), Bytes::from("v"));
    let put = Op::Put {
        key: key.clone(),
        value: value.clone(),
    };
    raw.call(put).await.unwrap();
    let before = rig.member("c", Seat::Fused(0)).await.server;
    rig.client
        .move_member("c", What::Row(Row(0)), None)
        .await
        .unwrap();
    rig.wait_cluster("c", "whole on another server", |c| {
        is_whole(c) && c.members.len() == 3 && c.members.iter().all(|m| m.server != before)
    })
    .await;
    rig.kill("c", &[Seat::Primary(0)]).await;
    assert_eq!(
        raw.call(Op::Get { key }).await.unwrap(),
        Reply::Value(value)
    );
    rig.stop().await;
}
