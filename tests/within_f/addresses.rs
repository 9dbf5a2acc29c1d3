//! Servers that were started with a wrong address.

use super::*;

/// A server is started with the address of one that lives. That is no evidence of anybody's death.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_tells_the_address_of_another_one_has_nobody_taken_for_dead() {
    let mut scene = scene_with(calm(), Kind::Map, 2, 1, 0).await;
    for seat in [Seat::Primary(0), Seat::Fused(0)] {
        let before = scene.rig.client.cluster("c").await.unwrap().epoch;
        let address = scene.rig.member("c", seat).await.address;
        let known = scene.rig.client.status().await.unwrap().servers.len();
        scene.rig.add_server_advertising(&address).await.unwrap();
        scene
            .rig
            .wait_status("the server with a wrong address to be heard of", |s| {
                s.servers.iter().filter(|s| s.alive).count() == known + 1
            })
            .await;
        scene.recorder.wait_more(500).await;
        let after = scene.rig.client.cluster("c").await.unwrap().epoch;
        assert_eq!(before, after, "somebody was taken for dead");
    }
    scene.end().await;
}
