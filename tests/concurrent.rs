//! Writes under way while servers are killed: what was acknowledged is there exactly once, what has an unknown outcome
//! at most once, what was refused not at all; each writer's order and each queue element's one receiver are kept.

use fusion_net::client::{Client, Kind};
use fusion_net::service::ClusterStatus;
use fusion_tests::cluster::{Rig, Seat, raws, seed, start};
use fusion_tests::writers::{Account, Writers};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use std::time::Duration;

const N: usize = 3;
const F: usize = 2;
const ROUNDS: usize = 3;

/// Two clients that wait for a recovery, and one that gives up before it is done.
async fn begin(rig: &Rig, kind: Kind) -> Writers {
    rig.create("c", kind, N, F).await;
    let mut writers = Writers::new(kind);
    let patient = Duration::from_secs(60);
    for timeout in [patient, patient, Duration::from_millis(300)] {
        let client = rig.client_with(timeout).await;
        let raws = raws(&client, "c", N).await;
        writers.write(&raws, 4);
        if kind == Kind::Queue {
            writers.take(&raws, 2);
        }
    }
    writers
}

/// Kills f members of each round, at least one primary among them, while the writers write.
async fn lose_and_verify(mut rig: Rig, writers: Writers) -> Account {
    let mut rng = StdRng::seed_from_u64(seed());
    for round in 0..ROUNDS {
        writers.wait_more(500).await;
        let mut seats = vec![Seat::Primary(round % N)];
        let others: Vec<Seat> = Seat::all(N, F)
            .into_iter()
            .filter(|s| !seats.contains(s))
            .collect();
        seats.extend(others.choose_multiple(&mut rng, F - 1));
        println!("round {round}: {seats:?}");
        let killed = rig.kill("c", &seats).await;
        rig.wait_whole_without("c", &killed).await;
        rig.restart(&killed).await;
    }
    writers.wait_more(100).await;
    let account = writers.stop().await;
    let (acknowledged, unknown) = account.counts();
    println!("{acknowledged} writes acknowledged, {unknown} of unknown outcome");
    let raws = raws(&rig.client, "c", N).await;
    account.verify(&raws).await;
    // Once more from the codes: they agree with what the primaries hold.
    let all: Vec<Seat> = (0..F).map(Seat::Primary).collect();
    let killed = rig.kill("c", &all).await;
    rig.wait_whole_without("c", &killed).await;
    account.verify(&raws).await;
    rig.stop().await;
    account
}

#[tokio::test]
async fn appends_during_losses_are_there_once_and_in_order() {
    let rig = start(N + 2 * F).await;
    let writers = begin(&rig, Kind::List).await;
    lose_and_verify(rig, writers).await;
}

#[tokio::test]
async fn puts_during_losses_are_there_once() {
    let rig = start(N + 2 * F).await;
    let writers = begin(&rig, Kind::Map).await;
    lose_and_verify(rig, writers).await;
}

#[tokio::test]
async fn queue_elements_go_to_one_taker_each_during_losses() {
    let rig = start(N + 2 * F).await;
    let writers = begin(&rig, Kind::Queue).await;
    let account = lose_and_verify(rig, writers).await;
    assert!(account.taken() > 0, "the takers took something");
}

/// One client after another comes, changes something, and goes: what primaries keep for retries goes with them.
#[tokio::test]
async fn clients_that_said_goodbye_leave_no_answers_behind() {
    let rig = start(2).await;
    rig.create("c", Kind::Queue, 1, 1).await;
    for round in 0..20u8 {
        let client = Client::connect(rig.coordinator()).await.unwrap();
        let queue = client.queue::<Vec<u8>>("c", 0).await.unwrap();
        queue.enqueue(&vec![round; 500_000]).await.unwrap();
        assert_eq!(queue.dequeue().await.unwrap(), Some(vec![round; 500_000]));
        drop(queue);
        client.close().await;
    }
    let small = |cluster: &ClusterStatus| {
        cluster
            .members
            .iter()
            .all(|m| m.page_bytes.is_some_and(|b| b < 1 << 20))
    };
    rig.wait_cluster("c", "no answers left", small).await;
    rig.stop().await;
}
