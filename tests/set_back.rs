//! The coordinator's file is an older one than the servers know: restored from a backup, say. Nothing is decided on it,
//! whoever asks, and the clusters serve on (PROTOCOL rules 39, 60).

use fusion_core::id::{PrimaryIndex, Row, ServerId};
use fusion_core::membership::{Acceptance, What};
use fusion_net::client::{ClusterSpec, Error, Kind};
use fusion_tests::cluster::{Killed, Rig, Seat, is_whole, start, wait_until};
use fusion_tests::writers::Writers;
use std::fmt::Debug;
use std::process::Stdio;
use tokio::process::{Child, Command};

const N: usize = 2;
const F: usize = 1;

/// A copy of the coordinator's file, made while nobody writes it.
async fn back_up(rig: &mut Rig) {
    rig.kill_coordinator().await.unwrap();
    std::fs::copy(rig.coordinator_file(), rig.folder().join("backup")).unwrap();
    rig.start_coordinator().await.unwrap();
    rig.wait_cluster(
        "c",
        "whole at the coordinator that was started again",
        is_whole,
    )
    .await;
}

/// The coordinator goes on with the copy.
async fn set_back(rig: &mut Rig) {
    rig.kill_coordinator().await.unwrap();
    std::fs::copy(rig.folder().join("backup"), rig.coordinator_file()).unwrap();
    rig.start_coordinator().await.unwrap();
    // The client finds out that its connection is over.
    rig.client.status().await.unwrap();
}

/// A coordinator that makes a new file from what the servers know.
fn rebuild(rig: &Rig) -> Child {
    let mut command = Command::new(fusion_tests::cluster::binary());
    command.args(["coordinator", "--listen", rig.coordinator(), "--rebuild"]);
    command.args(["--suspect-after-ms", "700", "--data"]);
    command.arg(rig.folder().join("new.redb"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.kill_on_drop(true).spawn().expect("it starts")
}

fn is_behind<T: Debug>(what: &str, answer: Result<T, Error>) {
    let said = match answer {
        Err(Error::Refused(error)) => error.to_string(),
        other => panic!("{what}: {other:?}"),
    };
    for part in [
        "the store is behind",
        "epoch",
        "cluster c (id ",
        "--rebuild",
    ] {
        assert!(said.contains(part), "{what}: {said}");
    }
}

/// An operator's word for the worst.
fn all_is_dead() -> Acceptance {
    Acceptance {
        lose: vec![PrimaryIndex(0)],
        wipe: (1..10).map(ServerId).collect(),
        processes_are_dead: true,
    }
}

/// All that an operator can ask for.
async fn nobody_changes_anything(rig: &Rig, server: ServerId) {
    let client = &rig.client;
    let primary = What::Primary(PrimaryIndex(0));
    is_behind("accept-loss", client.accept_loss("c", &all_is_dead()).await);
    is_behind("remove", client.remove("c").await);
    is_behind("move", client.move_member("c", primary, None).await);
    is_behind(
        "move",
        client.move_member("c", What::Row(Row(0)), None).await,
    );
    is_behind("move --cancel", client.cancel_move("c", primary).await);
    is_behind("drain", client.drain(server, true).await);
    let spec = ClusterSpec::new("d", Kind::List, 1, 1);
    is_behind("create", client.create(&spec).await);
    let status = client.status().await.unwrap();
    let problem = status.problem.expect("it says what is wrong");
    assert!(problem.contains("the store is behind"), "{problem}");
}

async fn is_known_dead(rig: &Rig, killed: &[Killed]) {
    rig.wait_status("the store's dead server is taken for dead", |status| {
        let dead = |k: &Killed| status.servers.iter().any(|s| s.id == k.id && !s.alive);
        killed.iter().all(dead)
    })
    .await;
}

#[tokio::test]
async fn a_store_of_one_or_two_epochs_ago_was_acted_on_at_an_operators_word() {
    let mut rig = start(N + F + 2).await;
    let raws = rig.create("c", Kind::Map, N, F).await;
    let mut writers = Writers::new(Kind::Map);
    writers.write(&raws, 2);
    writers.wait_more(100).await;
    back_up(&mut rig).await;
    let killed = rig.kill("c", &[Seat::Primary(0)]).await;
    let mended = rig.wait_whole_without("c", &killed).await;
    writers.wait_more(100).await;
    set_back(&mut rig).await;
    // At once: nobody was heard of yet.
    let server = mended.members[0].server;
    nobody_changes_anything(&rig, server).await;
    // And when the server that the old store names is known to be dead, which makes a decision due.
    is_known_dead(&rig, &killed).await;
    nobody_changes_anything(&rig, server).await;
    writers.wait_more(200).await;
    rig.kill_coordinator().await.unwrap();
    let _new = rebuild(&rig);
    let c = rig
        .wait_cluster("c", "known as it is", |c| {
            c.epoch >= mended.epoch && is_whole(c)
        })
        .await;
    assert_eq!(c.id, mended.id);
    writers.wait_more(100).await;
    writers.stop().await.verify(&raws).await;
    rig.stop().await;
}

/// The old store knows nothing of it: it gave it another id, whereupon it discarded its members as a forgotten server does.
#[tokio::test]
async fn a_server_that_registered_after_the_backup_was_emptied_by_it() {
    let mut rig = start(N + F).await;
    let raws = rig.create("c", Kind::Map, N, F).await;
    let mut writers = Writers::new(Kind::Map);
    writers.write(&raws, 2);
    writers.wait_more(100).await;
    back_up(&mut rig).await;
    rig.add_server().await.unwrap();
    rig.wait_status("it is registered", |s| s.servers.len() == N + F + 1)
        .await;
    let killed = rig.kill("c", &[Seat::Primary(1)]).await;
    let mended = rig.wait_whole_without("c", &killed).await;
    set_back(&mut rig).await;
    is_known_dead(&rig, &killed).await;
    wait_until("the store is known to be behind", async || {
        let status = rig.client.status().await.map_err(|e| e.to_string())?;
        status
            .problem
            .ok_or_else(|| "no problem is told".to_owned())
    })
    .await;
    nobody_changes_anything_at_all(&rig).await;
    writers.wait_more(200).await;
    rig.kill_coordinator().await.unwrap();
    let _new = rebuild(&rig);
    rig.wait_cluster("c", "known as it is", |c| {
        c.epoch >= mended.epoch && is_whole(c)
    })
    .await;
    writers.wait_more(100).await;
    writers.stop().await.verify(&raws).await;
    rig.stop().await;
}

/// Whatever says first that the store is behind: an epoch, or an id that it never gave.
async fn nobody_changes_anything_at_all(rig: &Rig) {
    for answer in [
        rig.client.accept_loss("c", &all_is_dead()).await.map(drop),
        rig.client.remove("c").await.map(drop),
    ] {
        let said = answer.expect_err("it is refused").to_string();
        assert!(said.contains("the store is behind"), "{said}");
    }
}
