//! The coordinator is away, and clusters are created in bad moments.

use super::*;

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
