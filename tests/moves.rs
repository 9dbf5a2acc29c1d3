//! Members are moved from server to server under load; nothing is lost, nothing is done twice, and the stall is short.

use bytes::Bytes;
use fusion_core::id::{PrimaryIndex, Row, ServerId};
use fusion_core::membership::What;
use fusion_core::op::{Op, Reply};
use fusion_net::client::{Kind, Raw};
use fusion_net::service::{MemberState, Role};
use fusion_tests::cluster::{Rig, Seat, binary, calm, is_whole, start, start_with, wait_until};
use fusion_tests::writers::Writers;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const N: usize = 3;
const F: usize = 2;

/// Runs the program against the rig's coordinator.
async fn fusion(rig: &Rig, args: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(binary());
    command
        .args(args)
        .args(["--coordinator", rig.coordinator()]);
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
    output.expect("it ends").expect("it starts")
}

async fn kill_server(rig: &mut Rig, id: ServerId) {
    let status = rig.client.status().await.expect("a status");
    let server = status.servers.iter().find(|s| s.id == id);
    let number = server.and_then(|s| rig.server_with_pid(s.pid));
    let number = number.expect("it is one of this rig's");
    rig.kill_server(number).await.expect("it runs");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Writes and reads one key of a primary all the while, one call at a time; answers how many calls there were, and the
/// longest.
async fn watch(raw: Raw, stop: Arc<AtomicBool>) -> (u64, Duration) {
    let (mut calls, mut longest) = (0, Duration::ZERO);
    let key = Bytes::from("watched");
    for number in 0u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let value = Bytes::from(number.to_string());
        let put = Op::Put {
            key: key.clone(),
            value: value.clone(),
        };
        let began = Instant::now();
        raw.call(put).await.expect("a write in spite of the move");
        let wrote = began.elapsed();
        let read = raw.call(Op::Get { key: key.clone() }).await;
        assert_eq!(
            read.expect("a read in spite of the move"),
            Reply::Value(value)
        );
        longest = longest.max(wrote).max(began.elapsed() - wrote);
        calls += 2;
    }
    (calls, longest)
}

#[tokio::test]
async fn a_primary_that_is_moved_under_load_stalls_its_clients_for_a_moment_and_loses_nothing() {
    let mut rig = start_with(calm(), N + F + 3).await;
    let raws = rig.create("c", Kind::Map, N, F).await;
    let watched = rig.create("w", Kind::Map, N, F).await;
    for i in 0..2000u32 {
        let (key, value) = (
            Bytes::from(i.to_le_bytes().to_vec()),
            Bytes::from(vec![7; 64]),
        );
        watched[0].call(Op::Put { key, value }).await.unwrap();
    }
    let mut writers = Writers::new(Kind::Map);
    writers.write(&raws, 2);
    let stop = Arc::new(AtomicBool::new(false));
    let watching = tokio::spawn(watch(watched[0].clone(), Arc::clone(&stop)));
    writers.wait_more(200).await;
    for round in 0..3 {
        rig.client
            .move_member("c", What::Primary(PrimaryIndex(0)), None)
            .await
            .unwrap();
        let before = rig.member("w", Seat::Primary(0)).await;
        let moved = fusion(&rig, &["cluster", "move", "w", "--primary", "0"]).await;
        assert!(moved.status.success(), "{}", text(&moved.stderr));
        let after = rig.member("w", Seat::Primary(0)).await;
        assert_ne!(
            (after.id, after.server),
            (before.id, before.server),
            "move {round}"
        );
        assert!(text(&moved.stdout).contains(&format!("server {}", after.server)));
        rig.wait_cluster("c", "moved, too", |c| {
            let moving = |state| matches!(state, MemberState::Moving { .. });
            is_whole(c) && !c.members.iter().any(|m| moving(m.state))
        })
        .await;
        writers.wait_more(200).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (calls, longest) = watching.await.expect("no call failed");
    println!("{calls} calls; the longest took {longest:?}");
    // Far below the time of suspicion and the length of a lease, which are what it must not wait for.
    assert!(
        calls > 100 && longest < Duration::from_secs(4),
        "{calls} calls, {longest:?}"
    );
    let account = writers.stop().await;
    account.verify(&raws).await;
    // What was moved is as safe as before.
    rig.kill("c", &[Seat::Primary(0), Seat::Primary(1)]).await;
    account.verify(&raws).await;
    assert_eq!(watched[0].len().await.unwrap(), 2001);
    rig.stop().await;
}

#[tokio::test]
async fn whoever_fails_during_a_move_no_write_is_lost() {
    for victim in ["primary", "heir", "another primary", "a code"] {
        let mut rig = start(N + F + 3).await;
        let raws = rig.create("c", Kind::Map, N, F).await;
        let mut writers = Writers::new(Kind::Map);
        writers.write(&raws, 2);
        writers.wait_more(300).await;
        let before = rig.member("c", Seat::Primary(0)).await;
        let what = What::Primary(PrimaryIndex(0));
        let free = rig.client.status().await.unwrap();
        let free = free.servers.iter().find(|s| s.members == 0).unwrap().id;
        rig.client.move_member("c", what, Some(free)).await.unwrap();
        match victim {
            "primary" => drop(rig.kill("c", &[Seat::Primary(0)]).await),
            "another primary" => drop(rig.kill("c", &[Seat::Primary(1)]).await),
            "a code" => drop(rig.kill("c", &[Seat::Fused(0)]).await),
            _ => kill_server(&mut rig, free).await,
        }
        rig.wait_cluster("c", "whole, and nobody moves", |c| {
            let moving = |state| matches!(state, MemberState::Moving { .. });
            is_whole(c) && !c.members.iter().any(|m| moving(m.state))
        })
        .await;
        writers.wait_more(100).await;
        writers.stop().await.verify(&raws).await;
        println!(
            "{victim}: {} then {}",
            before.server,
            rig.member("c", Seat::Primary(0)).await.server
        );
        rig.stop().await;
    }
}

/// Entries of the primary that moves; `FUSION_TEST_ENTRIES` takes another number.
fn entries() -> u32 {
    let asked = std::env::var("FUSION_TEST_ENTRIES").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(50_000)
}

/// Row 9 of "within f means within f": before, its clients hung until a coordinator was back.
#[tokio::test]
async fn a_coordinator_that_dies_at_any_moment_of_a_move_stalls_nobody() {
    let mut rig = start(N + F + 1).await;
    let raws = rig.create("c", Kind::Map, N, F).await;
    let fill = (0..64u32).map(|lane| {
        let raw = raws[0].clone();
        async move {
            for i in (lane..entries()).step_by(64) {
                let key = Bytes::from(i.to_le_bytes().to_vec());
                let value = Bytes::from(vec![7; 64]);
                raw.call(Op::Put { key, value }).await.expect("a write");
            }
        }
    });
    futures::future::join_all(fill).await;
    // Longer than anybody may wait, so that whoever needs a coordinator is found out.
    let (away, most) = (Duration::from_secs(8), Duration::from_secs(5));
    for delay_ms in [0, 10, 30, 80, 300] {
        let stop = Arc::new(AtomicBool::new(false));
        let watching = tokio::spawn(watch(raws[0].clone(), Arc::clone(&stop)));
        let before = rig.member("c", Seat::Primary(0)).await;
        let what = What::Primary(PrimaryIndex(0));
        // A coordinator that has just begun has not heard of the spare yet.
        wait_until("the move begins", async || {
            let begun = rig.client.move_member("c", what, None).await;
            begun.map_err(|e| e.to_string())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        rig.kill_coordinator().await.expect("it runs");
        tokio::time::sleep(away).await;
        stop.store(true, Ordering::Relaxed);
        let (calls, longest) = watching.await.expect("no call failed");
        rig.start_coordinator().await.expect("it starts again");
        rig.wait_cluster("c", "whole, and nobody moves", |c| {
            let moving = |state| matches!(state, MemberState::Moving { .. });
            is_whole(c) && !c.members.iter().any(|m| moving(m.state))
        })
        .await;
        let after = rig.member("c", Seat::Primary(0)).await;
        println!(
            "killed after {delay_ms} ms: {calls} calls, the longest took {longest:?}; server {} then {}",
            before.server, after.server
        );
        assert!(longest < most, "killed after {delay_ms} ms: {longest:?}");
        assert_eq!(raws[0].len().await.unwrap(), u64::from(entries()) + 1);
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_server_is_drained_and_may_be_stopped() {
    let mut rig = start_with(calm(), N + F + 2).await;
    let maps = rig.create("maps", Kind::Map, N, F).await;
    let lists = rig.create("lists", Kind::List, N, F).await;
    let mut writers = Writers::new(Kind::Map);
    writers.write(&maps, 2);
    for list in &lists {
        list.call(Op::Append { value: "v".into() }).await.unwrap();
    }
    let server = rig.member("maps", Seat::Primary(1)).await.server;
    let id = server.to_string();
    let drained = fusion(&rig, &["server", "drain", &id]).await;
    assert!(drained.status.success(), "{}", text(&drained.stderr));
    assert!(text(&drained.stdout).contains("is empty; it may be stopped"));
    let status = rig.client.status().await.unwrap();
    let seen = status.servers.iter().find(|s| s.id == server).unwrap();
    assert_eq!((seen.members, seen.draining), (0, true));
    // The mark is durable, and new clusters keep away from it.
    rig.kill_coordinator().await.expect("it runs");
    rig.start_coordinator().await.expect("it starts again");
    rig.wait_status("the coordinator is back", |s| s.servers.len() == N + F + 2)
        .await;
    rig.create("queues", Kind::Queue, N, F).await;
    let status = rig.client.status().await.unwrap();
    let seen = status.servers.iter().find(|s| s.id == server).unwrap();
    assert_eq!((seen.members, seen.draining), (0, true));
    let epochs = |name: &'static str| {
        let clusters = status.clusters.iter();
        clusters.filter(|c| c.name == name).map(|c| c.epoch).next()
    };
    let before = (epochs("maps"), epochs("lists"));
    kill_server(&mut rig, server).await;
    writers.wait_more(300).await;
    writers.stop().await.verify(&maps).await;
    let status = rig.client.status().await.unwrap();
    let after = |name: &str| {
        status
            .clusters
            .iter()
            .find(|c| c.name == name)
            .map(|c| c.epoch)
    };
    assert_eq!((after("maps"), after("lists")), before, "nobody missed it");
    rig.stop().await;
}

#[tokio::test]
async fn a_server_that_has_members_which_fit_nowhere_else_is_not_drained() {
    let rig = start(N + F).await;
    rig.create("c", Kind::Map, N, F).await;
    let server = rig.member("c", Seat::Fused(0)).await.server.to_string();
    let refused = fusion(&rig, &["server", "drain", &server]).await;
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.lines().count() == 1 && said.contains("no server is alive on another host"),
        "{said}"
    );
    let unknown = fusion(&rig, &["server", "drain", "99"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    let refused = rig.client.move_member("c", What::Row(Row(0)), None).await;
    assert!(refused.is_err());
    let undone = fusion(&rig, &["server", "drain", &server, "--undo"]).await;
    assert!(undone.status.success(), "{}", text(&undone.stderr));
    let status = rig.client.status().await.unwrap();
    assert!(status.servers.iter().all(|s| !s.draining));
    rig.stop().await;
}

#[tokio::test]
async fn a_move_to_a_server_that_cannot_take_it_is_refused_in_one_line() {
    let rig = start(N + F + 1).await;
    rig.create("c", Kind::Map, N, F).await;
    let taken = rig.member("c", Seat::Fused(0)).await.server.to_string();
    let to_taken = ["cluster", "move", "c", "--primary", "0", "--to", &taken];
    let no_such = ["cluster", "move", "c", "--primary", "3"];
    for args in [&to_taken[..], &no_such[..]] {
        let refused = fusion(&rig, args).await;
        let said = text(&refused.stderr);
        assert_eq!(
            (refused.status.code(), said.lines().count()),
            (Some(1), 1),
            "{said}"
        );
    }
    let neither = fusion(&rig, &["cluster", "move", "c"]).await;
    assert_eq!(neither.status.code(), Some(2));
    let both = ["cluster", "move", "c", "--primary", "0", "--row", "0"];
    assert_eq!(fusion(&rig, &both).await.status.code(), Some(2));
    let whole = wait_until("still whole", async || {
        let cluster = rig.client.cluster("c").await.map_err(|e| e.to_string())?;
        let primaries = cluster.members.iter().filter(|m| m.role == Role::Primary);
        if is_whole(&cluster) {
            Ok(primaries.count())
        } else {
            Err(format!("{cluster:?}"))
        }
    });
    assert_eq!(whole.await, N);
    rig.stop().await;
}

#[tokio::test]
async fn a_move_is_cancelled_and_the_member_stays_where_it_was() {
    let rig = start_with(calm(), N + F + 1).await;
    rig.create("c", Kind::Map, N, F).await;
    let cancel = ["cluster", "move", "c", "--primary", "0", "--cancel"];
    let refused = fusion(&rig, &cancel).await;
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.lines().count() == 1 && said.contains("primary 0 is not being moved"),
        "{said}"
    );
    let before = rig.member("c", Seat::Primary(0)).await;
    // Whoever is to take it is stopped, so that the move goes on until that is noticed.
    let status = rig.client.status().await.unwrap();
    let spare = status.servers.iter().find(|s| s.members == 0).unwrap();
    let number = rig
        .server_with_pid(spare.pid)
        .expect("it is one of this rig's");
    rig.server(number)
        .expect("it runs")
        .pause()
        .expect("it can be");
    let what = What::Primary(PrimaryIndex(0));
    let moving = rig.client.move_member("c", what, Some(spare.id)).await;
    moving.expect("it is not suspected yet");
    let cancelled = fusion(&rig, &cancel).await;
    assert!(cancelled.status.success(), "{}", text(&cancelled.stderr));
    rig.resume(&[number]);
    wait_until("whole again", async || {
        let cluster = rig.client.cluster("c").await.map_err(|e| e.to_string())?;
        let mut states = cluster.members.iter().map(|m| m.state);
        let quiet = !states.any(|state| matches!(state, MemberState::Moving { .. }));
        (is_whole(&cluster) && quiet)
            .then_some(())
            .ok_or(format!("{cluster:?}"))
    })
    .await;
    assert_eq!(rig.member("c", Seat::Primary(0)).await.id, before.id);
    rig.stop().await;
}
