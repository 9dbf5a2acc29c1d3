//! Servers die, hang, come back; nothing that was acknowledged is lost.

use bytes::Bytes;
use fusion_core::membership::{LossError, Waiting};
use fusion_core::message::{ClientBatch, ClientReply, ClientRequest};
use fusion_core::op::{Op, Reply};
use fusion_net::client::{ClusterSpec, Error, Kind, Raw};
use fusion_net::peer;
use fusion_net::service::{AdminError, PrimaryClient};
use fusion_tests::cluster::{Rig, Seat, is_whole, raws, seed, start, within};
use fusion_tests::model::{Drive, Model};
use fusion_tests::writers::Writers;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};
use tokio::time::timeout;

const N: usize = 3;
const F: usize = 3;

/// Three primaries with a model of each.
struct Modelled {
    raws: Vec<Raw>,
    models: Vec<Model>,
}

impl Modelled {
    async fn create(rig: &Rig, name: &str, kind: Kind, faults: usize) -> Modelled {
        Modelled {
            raws: rig.create(name, kind, N, faults).await,
            models: vec![Model::new(kind); N],
        }
    }

    /// So many random changes at each primary.
    async fn change(&mut self, rng: &mut StdRng, count: usize) {
        for _ in 0..count {
            for (model, raw) in self.models.iter_mut().zip(&self.raws) {
                let op = model.random_op(rng);
                model.apply_to_both(raw, op).await;
            }
        }
    }

    async fn verify(&self, when: &str) {
        for (index, (model, raw)) in self.models.iter().zip(&self.raws).enumerate() {
            let who = format!("primary {index} after {when}");
            model.verify(raw, &who).await;
        }
    }
}

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
async fn a_restarted_server_is_a_spare_and_is_used() {
    let mut rig = start(N + 2 + 1).await;
    let raws = rig.create("c", Kind::Queue, N, 2).await;
    let put = |value: &'static [u8]| Op::Enqueue {
        value: Bytes::from_static(value),
    };
    raws[1].call(put(b"one")).await.unwrap();
    let first = rig.kill("c", &[Seat::Primary(0)]).await;
    rig.wait_whole_without("c", &first).await;
    rig.restart(&first).await;
    let second = rig.kill("c", &[Seat::Primary(1)]).await;
    rig.wait_whole_without("c", &second).await;
    let member = rig.member("c", Seat::Primary(1)).await;
    assert_eq!(member.address, first[0].address, "the only free server");
    assert_ne!(member.server, first[0].id, "a new run, a new id");
    assert_eq!(
        raws[1].call(Op::Dequeue).await.unwrap(),
        Reply::Maybe(Some(Bytes::from_static(b"one")))
    );
    rig.stop().await;
}

#[tokio::test]
async fn without_a_spare_a_primary_is_served_again_once_a_server_comes() {
    let mut rig = start(N + 2).await;
    let patient = rig.create("c", Kind::Map, N, 2).await;
    let hasty = rig.client_with(Duration::from_millis(500)).await;
    let hasty = raws(&hasty, "c", N).await;
    let put = |key: &'static str| Op::Put {
        key: key.into(),
        value: key.into(),
    };
    for raw in &patient {
        raw.call(put("before")).await.unwrap();
    }
    rig.kill("c", &[Seat::Primary(1)]).await;
    rig.wait_cluster("c", "a primary without a server", |c| {
        matches!(c.waiting, Some(Waiting::NoServer { needed: 1 })) && !c.serving
    })
    .await;
    // The others go on; the lost one is answered for by nobody, and the caller hears so.
    hasty[0].call(put("during")).await.unwrap();
    hasty[2].call(put("during")).await.unwrap();
    let read = hasty[1].call(Op::Len).await.unwrap_err();
    assert!(matches!(read, Error::TimedOut { .. }), "{read:?}");
    let write = hasty[1].call(put("never")).await.unwrap_err();
    assert!(matches!(write, Error::TimedOut { .. }), "{write:?}");

    let waiting = patient[1].clone();
    let waiting = tokio::spawn(async move { waiting.call(put("during")).await });
    rig.add_server().await.unwrap();
    rig.wait_cluster("c", "whole on the new server", is_whole)
        .await;
    assert_eq!(waiting.await.unwrap().unwrap(), Reply::Bool(false));
    for raw in &patient {
        assert_eq!(raw.len().await.unwrap(), 2, "what timed out is not there");
        for key in ["before", "during"] {
            let got = raw.call(Op::Get { key: key.into() }).await.unwrap();
            assert_eq!(got, Reply::Value(key.into()));
        }
    }
    rig.stop().await;
}

#[tokio::test]
async fn data_flows_without_a_coordinator_and_recovery_comes_back_with_it() {
    let mut rng = StdRng::seed_from_u64(seed());
    let mut rig = start(N + 2 * 2).await;
    let mut all = Modelled::create(&rig, "c", Kind::List, 2).await;
    all.change(&mut rng, 20).await;
    let victims = [
        rig.host("c", Seat::Primary(1)).await,
        rig.host("c", Seat::Fused(0)).await,
    ];
    let ids = [
        rig.member("c", Seat::Primary(1)).await.server,
        rig.member("c", Seat::Fused(0)).await.server,
    ];
    rig.kill_coordinator().await.unwrap();
    all.change(&mut rng, 50).await;
    all.verify("the coordinator's death").await;

    // A primary and a code die while nobody can replace them: their callers wait.
    for victim in victims {
        rig.kill_server(victim).await.unwrap();
    }
    let caller = all.raws[1].clone();
    let value = Bytes::from_static(b"waits");
    let op = Op::Append {
        value: value.clone(),
    };
    all.models[1].apply(&op).unwrap();
    let waiting = tokio::spawn(async move { caller.call(op).await });
    rig.start_coordinator().await.unwrap();
    rig.wait_cluster("c", "whole after the coordinator's return", |c| {
        is_whole(c) && c.members.iter().all(|m| !ids.contains(&m.server))
    })
    .await;
    assert!(matches!(waiting.await.unwrap().unwrap(), Reply::Index(_)));
    all.verify("the recovery").await;
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

/// A primary's server hangs instead of dying: connections to it stay open and nobody answers on them.
#[tokio::test]
async fn callers_leave_a_primary_that_hangs_and_it_takes_no_more_writes_afterwards() {
    let mut rng = StdRng::seed_from_u64(seed());
    let rig = start(N + 2 + 1).await;
    let mut all = Modelled::create(&rig, "c", Kind::List, 2).await;
    all.change(&mut rng, 20).await;
    let server = rig.member("c", Seat::Primary(1)).await.server;
    let paused = rig.pause("c", &[Seat::Primary(1)]).await;
    let since = Instant::now();
    all.change(&mut rng, 1).await;
    within(
        "a change at each primary",
        Duration::from_secs(8),
        since,
        (),
    );
    rig.wait_cluster("c", "recovered elsewhere", |c| {
        is_whole(c) && c.members.iter().all(|m| m.server != server)
    })
    .await;
    all.change(&mut rng, 20).await;
    // The old primary still believes that it is one; it must find out, and answer nothing of its own.
    rig.resume(&paused);
    rig.wait_status("the old primary's server to hold no member", |s| {
        s.servers
            .iter()
            .any(|s| s.id == server && s.alive && s.members == 0)
    })
    .await;
    all.verify("the old primary's return").await;
    all.change(&mut rng, 20).await;
    all.verify("the changes since").await;
    rig.stop().await;
}

/// A read that waits in the socket of a primary that hangs is looked at as soon as it goes on, before it can have heard
/// that it was replaced: its leases are over by then (PROTOCOL rule 10).
#[tokio::test]
async fn a_primary_that_was_replaced_while_it_hung_answers_no_read_from_its_old_state() {
    let rig = start(2 + 1 + 1).await;
    let raw = rig.create("c", Kind::Map, 2, 1).await.remove(0);
    let put = |value: &'static str| Op::Put {
        key: "k".into(),
        value: value.into(),
    };
    raw.call(put("old")).await.unwrap();
    let cluster = rig.client.cluster("c").await.unwrap();
    let old = rig.member("c", Seat::Primary(0)).await;
    let direct: PrimaryClient = peer::connect(rig.network(), &old.address).await.unwrap();
    let read = || {
        let batch = ClientBatch {
            cluster: cluster.id,
            member: old.id,
            open: None,
            requests: vec![ClientRequest {
                id: None,
                op: Op::Get { key: "k".into() },
            }],
            close: None,
        };
        let limit = peer::within(Duration::from_secs(20));
        direct.execute(limit, batch)
    };
    let before = read().await.unwrap().unwrap();
    assert!(
        matches!(&before[..], [ClientReply::Done(Ok(Reply::Value(value)), _)] if value == "old"),
        "{before:?}"
    );
    let paused = rig.pause("c", &[Seat::Primary(0)]).await;
    rig.wait_cluster("c", "recovered elsewhere", |c| {
        is_whole(c) && c.members.iter().all(|m| m.server != old.server)
    })
    .await;
    raw.call(put("new")).await.unwrap();
    let mut late = Box::pin(read());
    // It is in the socket now, and nobody reads there.
    assert!(timeout(Duration::from_millis(50), &mut late).await.is_err());
    rig.resume(&paused);
    match late.await.unwrap() {
        Err(_) => {}
        Ok(replies) => assert_eq!(replies, [ClientReply::NoLease]),
    }
    rig.stop().await;
}

/// Servers die at the very moment at which clusters are created on them. Whoever was told that a cluster is there
/// can use it; it becomes whole in any case.
#[tokio::test]
async fn clusters_created_while_servers_die_become_whole() {
    let mut rng = StdRng::seed_from_u64(seed());
    let mut rig = start(N + 2 * F).await;
    for round in 0..4 {
        let creations: Vec<_> = (0..8)
            .map(|i| {
                let (client, name) = (rig.client.clone(), format!("c{round}-{i}"));
                tokio::spawn(async move {
                    let spec = ClusterSpec::new(&name, Kind::List, N, F);
                    client.create(&spec).await.map(|()| name)
                })
            })
            .collect();
        let running: Vec<usize> = rig.servers().map(|(number, _)| number).collect();
        let count = rng.random_range(1..=F);
        let mut addresses = Vec::new();
        for &victim in running.choose_multiple(&mut rng, count) {
            addresses.push(rig.kill_server(victim).await.unwrap());
        }
        for address in &addresses {
            rig.restart_server(address).await.unwrap();
        }
        for creation in creations {
            let name = match creation.await.unwrap() {
                Ok(name) => name,
                // Its servers were known to be dead already.
                Err(Error::Refused(AdminError::NotEnoughServers { .. })) => continue,
                Err(error) => panic!("round {round}: {error}"),
            };
            for raw in raws(&rig.client, &name, N).await {
                let value = Bytes::from_static(b"first");
                let reply = raw.call(Op::Append { value }).await;
                assert_eq!(reply.unwrap(), Reply::Index(0), "{name}");
            }
        }
        rig.wait_status("every cluster whole", |s| s.clusters.iter().all(is_whole))
            .await;
    }
    rig.stop().await;
}

/// The coordinator dies while clusters are created. What it acknowledged it knows afterwards, and its clusters work.
#[tokio::test]
async fn a_coordinator_that_dies_during_creations_forgets_none_that_it_acknowledged() {
    let mut rig = start(3).await;
    let mut created = Vec::new();
    for round in 0..3 {
        let creations: Vec<_> = (0..10)
            .map(|i| {
                let (client, name) = (rig.client.clone(), format!("c{round}-{i}"));
                tokio::spawn(async move {
                    let spec = ClusterSpec::new(&name, Kind::Queue, 2, 1);
                    client.create(&spec).await.map(|()| name)
                })
            })
            .collect();
        // Not before it has begun with them.
        if round > 0 {
            rig.wait_status("the first of the new clusters", |s| {
                s.clusters
                    .iter()
                    .any(|c| c.name.starts_with(&format!("c{round}-")))
            })
            .await;
        }
        rig.kill_coordinator().await.unwrap();
        rig.start_coordinator().await.unwrap();
        for creation in creations {
            match creation.await.unwrap() {
                Ok(name) => created.push(name),
                Err(Error::OutcomeUnknown { .. } | Error::NoCoordinator { .. }) => {}
                // It has started again and has not heard of the servers yet.
                Err(Error::Refused(AdminError::NotEnoughServers { .. })) => {}
                Err(error) => panic!("round {round}: {error}"),
            }
        }
    }
    let status = rig
        .wait_status("every cluster whole", |s| s.clusters.iter().all(is_whole))
        .await;
    println!("{} created, {} there", created.len(), status.clusters.len());
    for name in &created {
        assert!(status.clusters.iter().any(|c| c.name == *name), "{name}");
    }
    for cluster in &status.clusters {
        for raw in raws(&rig.client, &cluster.name, 2).await {
            let value = Bytes::from_static(b"first");
            raw.call(Op::Enqueue { value }).await.unwrap();
            assert_eq!(raw.len().await.unwrap(), 1);
        }
    }
    rig.stop().await;
}

/// The cluster says that more primaries are gone than it can spare, and its callers hear that nobody answers.
async fn assert_more_than_f(rig: &Rig, gone: &[usize]) {
    let cluster = rig
        .wait_cluster("c", "more than f are gone, and it says so", |c| {
            matches!(&c.waiting, Some(Waiting::MoreThanF { primaries, in_sync: 1 })
                if primaries.iter().map(|p| p.index()).eq(gone.iter().copied()))
        })
        .await;
    assert!(!cluster.serving);
    assert_eq!(cluster.tolerates, 0);
    let hasty = rig.client_with(Duration::from_millis(500)).await;
    for &index in gone {
        let hasty = hasty.raw("c", index).await.unwrap();
        let since = Instant::now();
        let read = hasty.call(Op::Len).await.unwrap_err();
        assert!(matches!(read, Error::TimedOut { .. }), "{read:?}");
        let key = Bytes::from_static(b"000");
        let write = hasty.call(Op::Remove { key }).await.unwrap_err();
        let typed = matches!(write, Error::TimedOut { .. } | Error::OutcomeUnknown { .. });
        assert!(typed, "{write:?}");
        within(
            "two calls that nobody answers",
            Duration::from_secs(4),
            since,
            (),
        );
    }
}

#[tokio::test]
async fn more_than_f_gone_is_said_and_a_server_that_goes_on_ends_it() {
    let mut rng = StdRng::seed_from_u64(seed());
    let mut rig = start(N + 1).await;
    let mut all = Modelled::create(&rig, "c", Kind::Map, 1).await;
    all.change(&mut rng, 30).await;
    // One dies, and there is no server to recover it on; then another hangs.
    rig.kill("c", &[Seat::Primary(0)]).await;
    rig.wait_cluster("c", "a primary without a server", |c| {
        matches!(c.waiting, Some(Waiting::NoServer { needed: 1 }))
    })
    .await;
    let paused = rig.pause("c", &[Seat::Primary(1)]).await;
    assert_more_than_f(&rig, &[0, 1]).await;
    // A new server cannot mend it: nothing may be made up.
    rig.add_server().await.unwrap();
    assert_more_than_f(&rig, &[0, 1]).await;
    rig.resume(&paused);
    rig.wait_cluster("c", "whole again", is_whole).await;
    // The hasty removals may have reached the one that hung.
    let key = Bytes::from_static(b"000");
    for (model, raw) in all.models.iter_mut().zip(&all.raws).take(2) {
        let _ = model.apply(&Op::Remove { key: key.clone() });
        let _ = raw.call(Op::Remove { key: key.clone() }).await;
    }
    all.verify("the end of the matter").await;
    all.change(&mut rng, 20).await;
    all.verify("the changes since").await;
    rig.stop().await;
}

#[tokio::test]
async fn more_than_f_hang_at_once_and_go_on() {
    let mut rng = StdRng::seed_from_u64(seed());
    let rig = start(N + 1).await;
    let mut all = Modelled::create(&rig, "c", Kind::Map, 1).await;
    all.change(&mut rng, 30).await;
    let paused = rig.pause("c", &[Seat::Primary(0), Seat::Primary(2)]).await;
    rig.wait_cluster("c", "more than f are gone, and it says so", |c| {
        matches!(c.waiting, Some(Waiting::MoreThanF { .. })) && !c.serving
    })
    .await;
    rig.resume(&paused);
    rig.wait_cluster("c", "whole again", is_whole).await;
    all.verify("the end of the matter").await;
    all.change(&mut rng, 20).await;
    all.verify("the changes since").await;
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
    rig.client.move_fused("c", 0, None).await.unwrap();
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

#[tokio::test]
async fn after_a_loss_beyond_f_is_accepted_the_lost_are_empty_and_the_others_are_as_they_were() {
    let mut rig = start(3 + 1 + 2).await;
    let raws = rig.create("c", Kind::List, 3, 1).await;
    for raw in &raws {
        raw.call(Op::Append { value: "v".into() }).await.unwrap();
    }
    let refused = rig.client.accept_loss("c", true).await;
    assert!(
        matches!(
            &refused,
            Err(Error::Refused(AdminError::Loss(LossError::NothingLost)))
        ),
        "{refused:?}"
    );
    rig.kill("c", &[Seat::Primary(0), Seat::Primary(2)]).await;
    rig.wait_cluster("c", "more than f", |c| {
        matches!(c.waiting, Some(Waiting::MoreThanF { .. }))
    })
    .await;
    let refused = rig.client.accept_loss("c", false).await;
    assert!(
        matches!(
            &refused,
            Err(Error::Refused(AdminError::Loss(
                LossError::MayStillRead { .. }
            )))
        ),
        "{refused:?}"
    );
    let lost = rig.client.accept_loss("c", true).await.unwrap();
    assert_eq!(lost.iter().map(|j| j.0).collect::<Vec<_>>(), [0, 2]);
    rig.wait_cluster("c", "whole", is_whole).await;
    for (raw, len) in raws.iter().zip([0, 1, 0]) {
        assert_eq!(raw.call(Op::Len).await.unwrap(), Reply::Len(len));
    }
    raws[0]
        .call(Op::Append { value: "w".into() })
        .await
        .unwrap();
    rig.stop().await;
}
