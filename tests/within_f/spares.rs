//! Spares that members cannot reach.

use super::*;

/// How long writes are counted.
const COUNTED: Duration = Duration::from_secs(5);

/// How many writes are acknowledged in [`COUNTED`].
async fn rate(writers: &Writers) -> u64 {
    let before = writers.acknowledged();
    tokio::time::sleep(COUNTED).await;
    writers.acknowledged() - before
}

/// The only spare says that it is where nobody listens. While it is tried as a learner again and again, writes go on as
/// they would without it, and not by bursts between its trials (rules 54, 55).
async fn a_spare_at(address: &str) {
    let mut rig = start_faulty(2).await;
    let raws = rig.create("c", Kind::Map, 1, 1).await;
    let mut writers = Writers::new(Kind::Map);
    writers.write(&raws, 2);
    writers.wait_more(100).await;
    let fused = rig.kill("c", &[Seat::Fused(0)]).await;
    rig.wait_cluster("c", "the dead one is out", |c| {
        c.members.iter().all(|m| m.server != fused[0].id)
    })
    .await;
    writers.wait_more(100).await;
    let without = rate(&writers).await;
    rig.add_server_advertising(address).await.unwrap();
    rig.wait_status("the spare to be heard of", |s| {
        s.servers.iter().filter(|s| s.alive).count() == 2
    })
    .await;
    let with = rate(&writers).await;
    assert!(
        with > without / 10,
        "{with} writes in {COUNTED:?} beside it, {without} without it"
    );
    // A spare that can be reached takes the place all the same.
    rig.restart(&fused).await;
    rig.wait_cluster("c", "whole with the good spare", is_whole)
        .await;
    writers.stop().await.verify(&raws).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_with_a_closed_port_does_not_hold_up_writes() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap().to_string();
    drop(closed);
    a_spare_at(&address).await;
}

/// Connections are made there, and nobody ever says anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_spare_at_an_address_where_nobody_answers_does_not_hold_up_writes() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    a_spare_at(&silent.local_addr().unwrap().to_string()).await;
}
