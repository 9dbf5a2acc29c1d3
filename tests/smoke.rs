//! One cluster, one loss, everything still there.

use fusion_net::client::{ClusterSpec, Kind};
use fusion_tests::cluster::{PATIENCE, start};

#[tokio::test]
async fn three_primaries_lost_at_once_come_back_with_everything() {
    let mut local = start(9).await;
    let client = local.client().await.unwrap();
    client
        .create(&ClusterSpec::new("m", Kind::Map, 3, 3))
        .await
        .unwrap();
    let map = client.map::<String, u64>("m").await.unwrap();
    for i in 0..500u64 {
        map.put(&format!("key {i}"), &i).await.unwrap();
    }
    let status = client.status().await.unwrap();
    let cluster = &status.clusters[0];
    for member in &cluster.members[..3] {
        let pid = status
            .servers
            .iter()
            .find(|s| s.id == member.server)
            .unwrap()
            .pid;
        let number = local.server_with_pid(pid).unwrap();
        local.kill_server(number).await.unwrap();
    }
    for i in 500..600u64 {
        map.put(&format!("key {i}"), &i).await.unwrap();
    }
    client.wait_whole("m", PATIENCE, |_| {}).await.unwrap();
    assert_eq!(map.len().await.unwrap(), 600);
    for i in 0..600u64 {
        assert_eq!(map.get(&format!("key {i}")).await.unwrap(), i);
    }
    let events = client.status().await.unwrap().events;
    for event in events {
        println!("{event:?}");
    }
    local.stop().await;
}
