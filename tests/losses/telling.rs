//! What operators are told when members are made again, and when they stop a server that has some.

use super::*;
use fusion_tests::cluster::wait_until;
use std::process::Command;

/// Waits until a log in the cluster's folder has a line with all of these.
async fn wait_line(rig: &Rig, log: &str, words: &[&str]) {
    let path = rig.folder().join(log);
    wait_until(&format!("{log}: {words:?}"), async || {
        let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
        let found = text.lines().any(|l| words.iter().all(|w| l.contains(w)));
        found.then_some(()).ok_or(text)
    })
    .await;
}

#[tokio::test]
async fn the_log_tells_what_was_made_again_and_status_forgets_that_it_was() {
    const ELEMENTS: u32 = 3000;
    let mut rig = start(4).await;
    let raws = rig.create("c", Kind::Map, 2, 1).await;
    let puts = (0..ELEMENTS).map(|i| {
        raws[0].call(Op::Put {
            key: Bytes::copy_from_slice(&i.to_be_bytes()),
            value: Bytes::from_static(&[7; 256]),
        })
    });
    futures::future::try_join_all(puts).await.unwrap();
    rig.kill("c", &[Seat::Primary(0)]).await;
    rig.wait_cluster("c", "mended", |c| c.epoch.0 > 1 && is_whole(c))
        .await;
    let words = format!("primary 0 is made and serves: {ELEMENTS} elements");
    wait_line(
        &rig,
        "coordinator.log",
        &[&words, " s from the decision on"],
    )
    .await;
    rig.wait_cluster("c", "all figures told", |c| {
        c.members[0].elements == Some(u64::from(ELEMENTS))
            && c.members.iter().all(|m| m.progress.is_none())
    })
    .await;
    // A fused structure, too.
    rig.add_server().await.unwrap();
    rig.kill("c", &[Seat::Fused(0)]).await;
    wait_line(
        &rig,
        "coordinator.log",
        &["fused structure 0 is made and serves"],
    )
    .await;
    rig.stop().await;
}

#[tokio::test]
async fn a_server_that_is_told_to_end_says_what_ends_with_it() {
    let rig = start(4).await;
    rig.create("c", Kind::Map, 2, 1).await;
    let number = rig.host("c", Seat::Primary(1)).await;
    let id = rig.member("c", Seat::Primary(1)).await.server;
    let pid = rig.server(number).unwrap().pid();
    let told = Command::new("kill").arg(pid.to_string()).status().unwrap();
    assert!(told.success());
    let log = format!("server-{number}.log");
    let advice = format!("fusion server drain {id}");
    wait_line(&rig, &log, &["members=1", &advice]).await;
    rig.stop().await;
}
