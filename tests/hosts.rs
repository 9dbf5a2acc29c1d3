//! Processes that share a host, and hosts that share a zone, are lost together: members are placed, and moved, so that no
//! more than f of them are (PROTOCOL rule 69).

use fusion_net::client::{ClusterSpec, Error, Kind};
use fusion_net::service::{AdminError, MemberState, Status};
use fusion_tests::cluster::{Rig, binary, calm, is_whole, raws, start, start_with, wait_until};
use fusion_tests::writers::Writers;
use std::collections::BTreeSet;
use tokio::process::Command;

/// Servers with these labels; answers their numbers.
async fn servers(rig: &mut Rig, labels: &[&[&str]]) -> Vec<usize> {
    let mut numbers = Vec::new();
    for labels in labels {
        numbers.push(rig.add_server_with(labels).await.unwrap());
    }
    let wanted = rig.servers().count();
    rig.wait_status("all are registered", |s| {
        s.servers.iter().filter(|s| s.alive).count() == wanted
    })
    .await;
    numbers
}

/// The hosts and zones on which a cluster's members are.
fn stands(status: &Status, name: &str) -> (BTreeSet<String>, Vec<String>) {
    let cluster = status.clusters.iter().find(|c| c.name == name).unwrap();
    let server = |id| status.servers.iter().find(|s| s.id == id).unwrap();
    let on = cluster.members.iter().map(|m| server(m.server));
    let hosts = on.clone().map(|s| s.host.clone()).collect();
    let mut zones: Vec<String> = on.map(|s| s.zone.clone().unwrap_or_default()).collect();
    zones.sort();
    (hosts, zones)
}

/// Two processes run on each host, so that the loss of a host was the loss of two members.
#[tokio::test]
async fn a_host_that_is_lost_takes_one_member_with_it_however_many_processes_it_runs() {
    let mut rig = start(0).await;
    let numbers = servers(
        &mut rig,
        &[
            &["host=a"],
            &["host=a"],
            &["host=b"],
            &["host=b"],
            &["host=c"],
            &["host=c"],
        ],
    )
    .await;
    let raws_of = rig.create("c", Kind::Map, 2, 1).await;
    let mut writers = Writers::new(Kind::Map);
    writers.write(&raws_of, 2);
    writers.wait_more(100).await;
    let status = rig.client.status().await.unwrap();
    assert_eq!(stands(&status, "c").0.len(), 3, "{status:#?}");
    let may = status.clusters[0].may_lose;
    assert_eq!((may.servers, may.hosts, may.zones), (1, 1, None));
    // Six processes, and yet no room for four members.
    let refused = rig
        .client
        .create(&ClusterSpec::new("d", Kind::Map, 3, 1))
        .await;
    let expected = AdminError::NotEnoughServers {
        members: 4,
        servers: 6,
        hosts: 3,
    };
    assert!(
        matches!(&refused, Err(Error::Refused(e)) if *e == expected),
        "{refused:?}"
    );
    for &number in &numbers[..2] {
        rig.kill_server(number).await.unwrap();
    }
    rig.wait_cluster("c", "waits for a server on a further host", |c| {
        c.waiting
            .as_ref()
            .is_some_and(|w| format!("{w:?}").contains("NoServer"))
    })
    .await;
    servers(&mut rig, &[&["host=d"]]).await;
    rig.wait_cluster("c", "whole again", is_whole).await;
    let status = rig.client.status().await.unwrap();
    let hosts: Vec<String> = stands(&status, "c").0.into_iter().collect();
    assert_eq!(hosts, ["b", "c", "d"]);
    writers.wait_more(100).await;
    writers.stop().await.verify(&raws_of).await;
    rig.stop().await;
}

#[tokio::test]
async fn members_that_had_to_share_a_host_or_a_zone_are_moved_when_better_servers_come() {
    let mut rig = start_with(calm(), 0).await;
    let together: &[&str] = &["host=a", "zone=x"];
    servers(&mut rig, &[together, together]).await;
    let spec = ClusterSpec::new("c", Kind::Map, 2, 1).colocate(true);
    rig.client.create(&spec).await.unwrap();
    let may = rig.client.cluster("c").await.unwrap().may_lose;
    assert_eq!((may.servers, may.hosts, may.zones), (0, 0, Some(0)));
    let raws = raws(&rig.client, "c", 2).await;
    let mut writers = Writers::new(Kind::Map);
    writers.write(&raws, 2);
    writers.wait_more(100).await;
    // Hosts enough first, then zones.
    servers(&mut rig, &[&["host=b", "zone=x"], &["host=c", "zone=x"]]).await;
    rig.wait_cluster("c", "on three hosts", |c| {
        is_whole(c) && c.may_lose.hosts == 1
    })
    .await;
    servers(&mut rig, &[&["host=d", "zone=y"], &["host=e", "zone=z"]]).await;
    rig.wait_cluster("c", "in three zones, and nothing moves", |c| {
        let mut states = c.members.iter().map(|m| m.state);
        let moves = states.any(|s| matches!(s, MemberState::Moving { .. }));
        is_whole(c) && c.may_lose.zones == Some(1) && !moves
    })
    .await;
    let status = rig.client.status().await.unwrap();
    let (hosts, zones) = stands(&status, "c");
    assert_eq!(
        (hosts.len(), zones),
        (3, ["x", "y", "z"].map(str::to_owned).to_vec())
    );
    // Nothing is left to be made better: the next epoch is that of a death.
    let settled = rig.client.cluster("c").await.unwrap();
    writers.wait_more(200).await;
    let still = rig.client.cluster("c").await.unwrap();
    assert_eq!((still.epoch, still.waiting), (settled.epoch, None));
    writers.stop().await.verify(&raws).await;
    rig.stop().await;
}

#[tokio::test]
async fn status_and_create_say_what_may_be_lost_and_bad_labels_are_refused() {
    let mut rig = start(0).await;
    servers(
        &mut rig,
        &[&["host=a", "zone=x", "rack=7"], &["host=b", "zone=x"]],
    )
    .await;
    let fusion = async |args: &[&str]| {
        let mut command = Command::new(binary());
        command
            .args(args)
            .env("FUSION_COORDINATOR", rig.coordinator());
        let output = command.output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    };
    let create = [
        "cluster",
        "create",
        "c",
        "--kind",
        "map",
        "--primaries",
        "1",
        "--faults",
        "1",
    ];
    let (said, warned) = fusion(&create).await;
    assert!(
        said.contains("may lose any 1 server, any 1 host, no zone"),
        "{said}"
    );
    assert!(
        warned.contains("in more zones") || warned.contains("on more zones"),
        "{warned}"
    );
    let status = wait_until("status shows it", async || {
        let (status, _) = fusion(&["status"]).await;
        match status.contains("may lose any 1 server, any 1 host, no zone") {
            true => Ok(status),
            false => Err(status),
        }
    });
    let status = status.await;
    assert!(
        status.contains("HOST") && status.contains("ZONE"),
        "{status}"
    );
    let (json, _) = fusion(&["status", "--json"]).await;
    for part in [
        "\"may_lose\"",
        "\"host\": \"a\"",
        "\"zone\": \"x\"",
        "\"rack\"",
    ] {
        assert!(json.contains(part), "{part}: {json}");
    }
    for bad in ["host", "host=a b", "=x"] {
        let (_, refused) = fusion(&["server", "--label", bad]).await;
        assert!(refused.contains("is no label"), "{refused}");
    }
    rig.stop().await;
}
