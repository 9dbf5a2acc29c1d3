//! A primary that was lost, goes on, and is the last that has the data.

use super::*;

/// The primary stops for longer than T_s and is lost, and there is no spare; the fused structure dies; the primary goes
/// on. It has everything, and nobody else has: it must serve (rule 50).
async fn a_primary_returns_while_the_codes_are_dead(primaries: usize) {
    let mut scene = scene(Kind::Map, primaries, 1, 0).await;
    let back = primaries - 1;
    let id = scene.id(Seat::Primary(back)).await;
    let paused = scene.rig.pause("c", &[Seat::Primary(back)]).await;
    let no_server = |c: &ClusterStatus| matches!(c.waiting, Some(Waiting::NoServer { needed: 1 }));
    scene.wait("the primary is lost", no_server).await;
    let killed = scene.rig.kill("c", &[Seat::Fused(0)]).await;
    scene
        .wait("it is said that more than f are silent", says_more_than_f)
        .await;
    scene.rig.resume(&paused);
    let cluster = scene.wait("it serves again", |c| c.serving).await;
    assert!(!says_more_than_f(&cluster), "{cluster:?}");
    assert_eq!(scene.id(Seat::Primary(back)).await, id);
    scene.recorder.wait_more(100).await;
    scene.rig.restart(&killed).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_primary_returns_while_the_codes_are_dead() {
    a_primary_returns_while_the_codes_are_dead(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_primaries_returns_while_the_codes_are_dead() {
    a_primary_returns_while_the_codes_are_dead(2).await;
}
