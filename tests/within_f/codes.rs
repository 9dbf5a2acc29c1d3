//! Codes that are given up, and come back with what they have.

use super::*;
use fusion_tests::cluster::within;

/// How long it may take until the code is in sync again, on a machine that has more to do. It took 0.12 s.
const SOON: Duration = Duration::from_secs(5);

fn in_sync(cluster: &ClusterStatus, id: MemberId) -> bool {
    is_whole(cluster) && cluster.members.iter().any(|m| m.id == id)
}

/// The only code stops for longer than T_s, and clients go on without it. When it goes on, it is the same member again, and
/// is sent what came since: nothing is copied (rule 52).
#[tokio::test]
async fn a_code_that_stops_is_in_sync_again_without_being_copied() {
    let scene = scene(Kind::Map, 2, 1, 0).await;
    let id = scene.id(Seat::Fused(0)).await;
    let paused = scene.rig.pause("c", &[Seat::Fused(0)]).await;
    let without = |c: &ClusterStatus| c.serving && c.tolerates == 0;
    scene.wait("it is given up", without).await;
    scene.recorder.wait_more(500).await;
    let since = Instant::now();
    scene.rig.resume(&paused);
    let cluster = scene
        .wait("the same code is in sync", |c| in_sync(c, id))
        .await;
    let took = since.elapsed();
    println!("in sync again {took:?} after it went on");
    within("the return", SOON, since, cluster);
    scene.end().await;
}

/// As above, and then the primary dies: it is recovered from the code that came back.
#[tokio::test]
async fn what_was_written_without_a_code_is_in_it_when_it_is_back() {
    let mut scene = scene(Kind::List, 1, 1, 0).await;
    let id = scene.id(Seat::Fused(0)).await;
    let paused = scene.rig.pause("c", &[Seat::Fused(0)]).await;
    let without = |c: &ClusterStatus| c.serving && c.tolerates == 0;
    scene.wait("it is given up", without).await;
    scene.recorder.wait_more(100).await;
    scene.rig.resume(&paused);
    scene
        .wait("the same code is in sync", |c| in_sync(c, id))
        .await;
    let killed = scene.rig.kill("c", &[Seat::Primary(0)]).await;
    scene.rig.restart(&killed).await;
    scene
        .wait("the primary is recovered", |c| {
            c.serving && c.members.iter().any(|m| m.id > id)
        })
        .await;
    scene.end().await;
}
