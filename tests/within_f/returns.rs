//! Processes that stop, together with others that die, and go on.

use super::*;

/// One primary is dead and another one stops: more than f. When that one goes on, the dead one can be recovered.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_returns_makes_the_dead_one_recoverable() {
    let mut scene = scene(Kind::List, 2, 1, 1).await;
    let paused = scene.rig.pause("c", &[Seat::Primary(1)]).await;
    let killed = scene.rig.kill("c", &[Seat::Primary(0)]).await;
    scene.wait("more than f are silent", says_more_than_f).await;
    scene.rig.resume(&paused);
    scene.wait("both serve", |c| c.serving).await;
    scene.rig.restart(&killed).await;
    scene.end().await;
}

/// Everybody stops for several T_s; they go on one after another, the last one first.
#[tokio::test(flavor = "multi_thread")]
async fn all_members_stop_and_go_on_without_a_command() {
    let scene = scene(Kind::Queue, 3, 1, 0).await;
    let paused = scene.rig.pause("c", &Seat::all(3, 1)).await;
    scene.wait("more than f are silent", says_more_than_f).await;
    for &number in paused.iter().rev() {
        scene.rig.resume(&[number]);
    }
    scene.end().await;
}

/// All codes and a primary stop, with spares that could take their places, and go on.
#[tokio::test(flavor = "multi_thread")]
async fn all_codes_and_a_primary_stop_and_go_on_without_a_command() {
    let scene = scene(Kind::Map, 2, 2, 2).await;
    let seats = [Seat::Primary(0), Seat::Fused(0), Seat::Fused(1)];
    let paused = scene.rig.pause("c", &seats).await;
    scene
        .wait("it is not served", |c| !c.serving && c.tolerates == 0)
        .await;
    scene.rig.resume(&paused);
    scene.end().await;
}

/// The coordinator stops with more than f of the members, and goes on after them.
#[tokio::test(flavor = "multi_thread")]
async fn the_coordinator_stops_with_more_than_f_and_all_go_on() {
    let scene = scene(Kind::List, 2, 1, 1).await;
    let coordinator = || scene.rig.coordinator_process().expect("it runs");
    let paused = scene
        .rig
        .pause("c", &[Seat::Primary(0), Seat::Fused(0)])
        .await;
    coordinator().pause().unwrap();
    // Longer than anybody's time of suspicion.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    scene.rig.resume(&paused);
    coordinator().resume().unwrap();
    scene.end().await;
}
