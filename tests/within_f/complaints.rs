//! Complaints, whatever times the coordinator was given.

use super::*;

/// Writes go on so soon after a primary and a fused structure can speak no more, whatever the coordinator was told.
const MENDED_WITHIN: Duration = Duration::from_secs(10);

/// The cluster was made with a T_s of 500 ms, and its coordinator started again with 3 s, so that it asks more seldom than
/// members look for each other. They must complain all the same (rule 56).
#[tokio::test(flavor = "multi_thread")]
async fn complaints_come_through_a_coordinator_that_was_restarted_with_longer_times() {
    let options = fusion_net::local::LocalOptions {
        faulty: true,
        suspect_after: Duration::from_millis(500),
        ..options()
    };
    let rig = start_with(options, 3).await;
    rig.create("c", Kind::Map, 1, 1).await;
    let recorder = Recorder::start(&rig.client, "c", Kind::Map, 1).await;
    let mut scene = Scene { rig, recorder };
    scene.rig.kill_coordinator().await.unwrap();
    scene.rig.suspect_after(Duration::from_secs(3));
    scene.rig.start_coordinator().await.unwrap();
    scene
        .rig
        .wait_registered(Duration::from_secs(20))
        .await
        .unwrap();
    scene.recorder.wait_more(100).await;
    let old = [
        scene.id(Seat::Primary(0)).await,
        scene.id(Seat::Fused(0)).await,
    ];
    let (primary, fused) = (
        scene.place(Seat::Primary(0)).await,
        scene.place(Seat::Fused(0)).await,
    );
    cut(&scene.links(), primary, fused);
    let since = Instant::now();
    scene
        .wait(
            "one of the two that cannot reach each other is replaced",
            |c| !old.iter().all(|old| c.members.iter().any(|m| m.id == *old)),
        )
        .await;
    scene.recorder.wait_more(50).await;
    let took = since.elapsed();
    assert!(took < MENDED_WITHIN, "writes went on after {took:?}");
    scene.links().mend_all();
    scene.end().await;
}
