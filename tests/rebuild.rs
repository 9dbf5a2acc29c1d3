//! The coordinator's file is lost, and made anew from what the servers know (PROTOCOL rule 39).

use fusion_core::id::{ClusterId, Epoch, MemberId};
use fusion_core::message::{RecoveryRequest, Refusal, Route};
use fusion_net::client::Kind;
use fusion_net::peer;
use fusion_net::service::{FusedClient, PrimaryClient, Role};
use fusion_net::transport::Network;
use fusion_tests::cluster::{Rig, Seat, binary, is_whole, start, wait_until};
use fusion_tests::writers::Writers;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const N: usize = 3;
const F: usize = 2;

/// A coordinator at the rig's address, with another file.
fn coordinator(rig: &Rig, file: &str, more: &[&str]) -> Child {
    let mut command = Command::new(binary());
    command.args(["coordinator", "--listen", rig.coordinator(), "--data"]);
    command.arg(rig.folder().join(file)).args(more);
    command.args(["--suspect-after-ms", "700"]);
    let piped = command.stdout(Stdio::null()).stderr(Stdio::piped());
    piped.kill_on_drop(true).spawn().expect("it starts")
}

/// What a command that fails says last; all that it says is shown when the test fails.
async fn refused(mut child: Child) -> String {
    let said = BufReader::new(child.stderr.take().expect("it is piped"));
    let (mut lines, mut last) = (said.lines(), String::new());
    let all = async {
        while let Some(line) = lines.next_line().await.expect("text") {
            println!("{line}");
            last = line;
        }
        child.wait().await.expect("it ran")
    };
    let ended = tokio::time::timeout(Duration::from_secs(30), all).await;
    assert_eq!(ended.expect("it ends").code(), Some(1), "{last}");
    assert!(last.starts_with("fusion: "), "{last}");
    last
}

#[tokio::test]
async fn a_lost_store_is_made_anew_from_the_servers_and_mends_what_dies_then() {
    let mut rig = start(N + F + 2).await;
    let raws = rig.create("c", Kind::Map, N, F).await;
    let mut writers = Writers::new(Kind::Map);
    writers.write(&raws, 2);
    writers.wait_more(200).await;
    let before = rig.client.cluster("c").await.unwrap();
    rig.kill_coordinator().await.unwrap();
    std::fs::remove_file(rig.folder().join("coordinator.redb")).unwrap();
    // Reads and writes go on without it.
    writers.wait_more(200).await;
    let _new = coordinator(&rig, "new.redb", &["--rebuild"]);
    let c = rig
        .wait_cluster("c", "known again", |c| {
            c.epoch >= before.epoch && is_whole(c)
        })
        .await;
    let members = |members: &[fusion_net::service::MemberStatus]| -> Vec<_> {
        members.iter().map(|m| (m.id, m.server)).collect()
    };
    if c.epoch == before.epoch {
        assert_eq!(members(&c.members), members(&before.members));
    }
    rig.kill("c", &[Seat::Primary(0), Seat::Fused(0)]).await;
    rig.wait_cluster("c", "mended", |c| c.epoch > before.epoch && is_whole(c))
        .await;
    writers.wait_more(200).await;
    writers.stop().await.verify(&raws).await;
    rig.stop().await;
}

#[tokio::test]
async fn without_a_dead_server_a_store_is_made_anew_only_on_an_operators_word() {
    let mut rig = start(N + F + 1).await;
    let raws = rig.create("c", Kind::List, N, F).await;
    let dead = rig.member("c", Seat::Primary(0)).await.server;
    let number = rig.host("c", Seat::Primary(0)).await;
    rig.kill_coordinator().await.unwrap();
    rig.kill_server(number).await.unwrap();
    let mut waiting = coordinator(&rig, "new.redb", &["--rebuild"]);
    let problem = wait_until("it says whom it waits for", async || {
        let status = rig.client.status().await.map_err(|e| e.to_string())?;
        let problem = status.problem.unwrap_or_default();
        if problem.contains(&format!("waits for servers {dead}.")) {
            Ok(problem)
        } else {
            Err(problem)
        }
    });
    let problem = problem.await;
    assert!(problem.contains("--servers 5"), "{problem}");
    waiting.kill().await.unwrap();
    let _new = coordinator(&rig, "newer.redb", &["--rebuild", "--servers", "5"]);
    rig.wait_cluster("c", "known again, and mended", is_whole)
        .await;
    for raw in &raws {
        raw.len().await.unwrap();
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_store_in_use_is_not_made_anew_and_an_empty_one_decides_nothing() {
    let mut rig = start(N + F).await;
    rig.create("c", Kind::Map, N, F).await;
    rig.kill_coordinator().await.unwrap();
    let said = refused(coordinator(&rig, "coordinator.redb", &["--rebuild"])).await;
    assert!(said.contains("is a store already"), "{said}");
    // Without --rebuild it wants nothing of the servers, says so, and nothing is lost.
    let mut foreign = coordinator(&rig, "empty.redb", &[]);
    let status = wait_until("an empty store refuses them all", async || {
        match rig.client.status().await {
            Ok(status) if status.strangers.len() == N + F => Ok(status),
            other => Err(format!("{other:?}")),
        }
    });
    let status = status.await;
    assert!(status.servers.is_empty(), "{:?}", status.servers);
    foreign.kill().await.unwrap();
    rig.start_coordinator().await.unwrap();
    rig.wait_cluster("c", "as it was", is_whole).await;
    rig.stop().await;
}

/// Whether the process at this address has forgotten the cluster.
async fn has_forgotten(address: &str, role: Role, cluster: ClusterId) -> bool {
    let route = Route {
        cluster,
        epoch: Epoch(0),
        nonce: 0,
        from: MemberId(0),
        to: MemberId(0),
    };
    let (network, limit) = (Network::loopback(), peer::within(Duration::from_secs(5)));
    let refused = match role {
        Role::Primary => {
            let client: PrimaryClient = peer::connect(&network, address).await.unwrap();
            client.recover(limit, route, RecoveryRequest::Vector).await
        }
        Role::Fused => {
            let client: FusedClient = peer::connect(&network, address).await.unwrap();
            client.recover(limit, route, RecoveryRequest::Vector).await
        }
    };
    matches!(refused.unwrap(), Err(Refusal::NotMember { .. }))
}

#[tokio::test]
async fn a_cluster_that_was_removed_while_a_server_was_away_comes_back_on_an_operators_word_only() {
    let mut rig = start(N + F).await;
    rig.create("c", Kind::Map, N, F).await;
    rig.create("d", Kind::Map, N, F).await;
    let c = rig.client.cluster("c").await.unwrap();
    let away = rig.pause("c", &[Seat::Primary(0)]).await;
    // Nothing is on its way to it any more then: what it waited for was answered.
    let server = c.members[0].server;
    rig.wait_status("it is taken for dead", |status| {
        status.servers.iter().any(|s| s.id == server && !s.alive)
    })
    .await;
    rig.client.remove("c").await.unwrap();
    for member in &c.members[1..] {
        wait_until("the others drop it", async || {
            match has_forgotten(&member.address, member.role, c.id).await {
                true => Ok(()),
                false => Err(member.address.clone()),
            }
        })
        .await;
    }
    rig.kill_coordinator().await.unwrap();
    rig.resume(&away);
    let said = refused(coordinator(&rig, "new.redb", &["--rebuild"])).await;
    assert!(said.contains("cluster c (id "), "{said}");
    assert!(said.contains("--drop") && said.contains("--keep"), "{said}");
    let mistyped = ["--rebuild", "--drop", "c", "--drop", "e"];
    let said = refused(coordinator(&rig, "newer.redb", &mistyped)).await;
    assert!(said.contains("no server knows of a cluster e"), "{said}");
    let _new = coordinator(&rig, "newest.redb", &["--rebuild", "--drop", "c"]);
    rig.wait_cluster("d", "known again", is_whole).await;
    let status = rig.client.status().await.unwrap();
    let names: Vec<&str> = status.clusters.iter().map(|c| &*c.name).collect();
    assert_eq!(names, ["d"]);
    let member = &c.members[0];
    wait_until(
        "the one that was away drops it, too",
        async || match has_forgotten(&member.address, member.role, c.id).await {
            true => Ok(()),
            false => Err(member.address.clone()),
        },
    )
    .await;
    rig.create("c", Kind::Map, N, F).await;
    rig.stop().await;
}
