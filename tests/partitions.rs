//! Links between real processes are cut, both ways and one way, slowed and reset, and processes stop and die, while
//! clients write and read: what they were told is checked as a history of each structure.

use bytes::Bytes;
use fusion_core::op::Op;
use fusion_net::client::Kind;
use fusion_net::local::{Links, Place};
use fusion_tests::cluster::{Killed, Rig, Seat, is_whole, start_faulty};
use fusion_tests::recorder::Recorder;
use std::time::{Duration, Instant};

const N: usize = 3;
const F: usize = 2;
/// Longer than the tests' time of suspicion.
const LONG: Duration = Duration::from_millis(1500);

struct Scene {
    rig: Rig,
    links: Links,
    recorder: Recorder,
}

/// A cluster with two spare servers, and clients at work on it.
async fn scene(kind: Kind) -> Scene {
    let rig = start_faulty(N + F + 2).await;
    rig.create("c", kind, N, F).await;
    let recorder = Recorder::start(&rig.client, "c", kind, N).await;
    recorder.wait_more(200).await;
    let links = rig.links().expect("they are faulty ones").clone();
    Scene {
        rig,
        links,
        recorder,
    }
}

impl Scene {
    async fn place(&self, seat: Seat) -> Place {
        Place::Server(self.rig.host("c", seat).await)
    }

    /// Everything goes on and was right; answers the longest wait for an answer.
    async fn end(self) -> Duration {
        self.rig
            .wait_cluster("c", "whole in the end", is_whole)
            .await;
        self.recorder.wait_more(200).await;
        let longest = self.recorder.verify().await;
        self.rig.stop().await;
        longest
    }
}

/// A primary and a fused server cannot speak, while both reach the coordinator: the primary complains, the fused member
/// goes, and is made again elsewhere. Without that, nobody could write to the primary ever again.
async fn cut_between_primary_and_fused(ways: impl Fn(Place, Place) -> Vec<(Place, Place)>) {
    let scene = scene(Kind::Map).await;
    let old = scene.rig.member("c", Seat::Fused(0)).await;
    let primary = scene.place(Seat::Primary(0)).await;
    let fused = scene.place(Seat::Fused(0)).await;
    let cuts = ways(primary, fused);
    for &(from, to) in &cuts {
        scene.links.cut(from, to);
    }
    // Still cut: it is not the mending that ends it.
    scene
        .rig
        .wait_cluster("c", "the fused member was replaced", |c| {
            c.members.iter().all(|m| m.id != old.id)
        })
        .await;
    scene.recorder.wait_more(200).await;
    for (from, to) in cuts {
        scene.links.mend(from, to);
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fused_server_that_a_primary_cannot_reach_is_replaced() {
    cut_between_primary_and_fused(|p, f| vec![(p, f), (f, p)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fused_server_that_does_not_hear_a_primary_is_replaced() {
    cut_between_primary_and_fused(|p, f| vec![(p, f)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fused_server_whose_acknowledgements_are_lost_is_replaced() {
    cut_between_primary_and_fused(|p, f| vec![(f, p)]).await;
}

/// Clients reach the primary all the while, the coordinator and the others do not: it is replaced, and answers no read
/// from before.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_only_clients_reach_gives_no_stale_answer() {
    for outwards_only in [false, true] {
        let scene = scene(Kind::Queue).await;
        let old = scene.rig.member("c", Seat::Primary(1)).await;
        let victim = scene.place(Seat::Primary(1)).await;
        let mut others: Vec<Place> = scene.rig.servers().map(|(n, _)| Place::Server(n)).collect();
        others.push(Place::Coordinator);
        for &other in others.iter().filter(|o| **o != victim) {
            scene.links.cut(victim, other);
            if !outwards_only {
                scene.links.cut(other, victim);
            }
        }
        scene
            .rig
            .wait_cluster("c", "the primary serves elsewhere", |c| {
                c.serving && c.members.iter().all(|m| m.id != old.id)
            })
            .await;
        scene.recorder.wait_more(200).await;
        scene.links.mend_all();
        scene.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_cannot_reach_a_primary_for_a_while_go_on_with_it() {
    let scene = scene(Kind::List).await;
    let victim = scene.place(Seat::Primary(0)).await;
    let before = scene.rig.client.cluster("c").await.unwrap().epoch;
    scene.links.cut(victim, Place::Client);
    tokio::time::sleep(LONG).await;
    scene.links.mend(victim, Place::Client);
    scene.recorder.wait_more(200).await;
    let after = scene.rig.client.cluster("c").await.unwrap().epoch;
    assert_eq!(before, after, "nobody else missed it");
    let longest = scene.end().await;
    // Nobody may have been asking at the very moment of the cut.
    assert!(longest > LONG / 2, "the cut was felt: {longest:?}");
}

/// The coordinator hears nobody for longer than the time of suspicion; members hear each other. Who was taken for dead
/// meanwhile is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_was_cut_off_destroys_nothing() {
    let scene = scene(Kind::Map).await;
    let servers: Vec<Place> = scene.rig.servers().map(|(n, _)| Place::Server(n)).collect();
    for &server in &servers {
        scene.links.cut(server, Place::Coordinator);
    }
    tokio::time::sleep(LONG).await;
    scene.links.mend_all();
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_reset_lose_nothing() {
    let scene = scene(Kind::Queue).await;
    for round in 0..10 {
        let servers: Vec<Place> = scene.rig.servers().map(|(n, _)| Place::Server(n)).collect();
        for &a in &servers {
            for &b in servers.iter().chain([&Place::Coordinator, &Place::Client]) {
                scene.links.reset(a, b);
            }
        }
        scene.recorder.wait_more(50 + round).await;
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f_members_killed_at_once_under_load_lose_nothing() {
    for (kind, seats) in [
        (Kind::Map, [Seat::Primary(0), Seat::Primary(2)]),
        (Kind::List, [Seat::Primary(1), Seat::Fused(0)]),
        (Kind::Queue, [Seat::Fused(0), Seat::Fused(1)]),
    ] {
        let mut scene = scene(kind).await;
        let killed: Vec<Killed> = scene.rig.kill("c", &seats).await;
        scene.rig.wait_whole_without("c", &killed).await;
        scene.rig.restart(&killed).await;
        scene.end().await;
    }
}

/// Nobody can activate the replacement until the coordinator goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_stops_during_a_recovery_ends_it_afterwards() {
    let mut scene = scene(Kind::List).await;
    let before = scene.rig.client.cluster("c").await.unwrap().epoch;
    let killed = scene.rig.kill("c", &[Seat::Primary(0)]).await;
    scene.rig.wait_epoch_after("c", before).await;
    scene
        .rig
        .coordinator_process()
        .expect("it runs")
        .pause()
        .unwrap();
    tokio::time::sleep(LONG).await;
    scene
        .rig
        .coordinator_process()
        .expect("it runs")
        .resume()
        .unwrap();
    scene.rig.wait_whole_without("c", &killed).await;
    scene.end().await;
}

/// It stops for longer than its leases and is replaced meanwhile; its clients' reads wait in its sockets.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_stops_for_longer_than_its_leases_gives_no_stale_answer() {
    let scene = scene(Kind::Map).await;
    let old = scene.rig.member("c", Seat::Primary(1)).await;
    let paused = scene.rig.pause("c", &[Seat::Primary(1)]).await;
    scene
        .rig
        .wait_cluster("c", "the primary serves elsewhere", |c| {
            c.serving && c.members.iter().all(|m| m.id != old.id)
        })
        .await;
    scene.recorder.wait_more(100).await;
    scene.rig.resume(&paused);
    scene.end().await;
}

/// A read without leases makes the client ask the coordinator, which it cannot reach: what the primary answers meanwhile
/// comes at once all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_does_not_wait_for_a_coordinator_that_hangs() {
    let rig = start_faulty(2).await;
    let raws = rig.create("c", Kind::Map, 1, 1).await;
    let links = rig.links().expect("they are faulty ones").clone();
    let key = Bytes::from_static(b"key");
    let put = |value: &'static [u8]| {
        let (key, value) = (key.clone(), Bytes::from_static(value));
        let raw = raws[0].clone();
        async move { raw.call(Op::Put { key, value }).await }
    };
    put(b"before").await.unwrap();
    let primary = Place::Server(rig.host("c", Seat::Primary(0)).await);
    let fused = Place::Server(rig.host("c", Seat::Fused(0)).await);
    for (a, b) in [(Place::Client, Place::Coordinator), (primary, fused)] {
        links.cut(a, b);
        links.cut(b, a);
    }
    let write = tokio::spawn(put(b"after"));
    let reader = raws[0].clone();
    let read = tokio::spawn(async move { reader.call(Op::Get { key }).await });
    // The outage outlasts the lease.
    tokio::time::sleep(LONG).await;
    links.mend(primary, fused);
    links.mend(fused, primary);
    let since = Instant::now();
    write.await.unwrap().unwrap();
    let took = since.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    links.mend_all();
    read.await.unwrap().unwrap();
    rig.stop().await;
}
