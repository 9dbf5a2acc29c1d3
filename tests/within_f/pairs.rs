//! Single pairs of servers that cannot speak.

use super::*;

/// A primary dies, and one of the two spares cannot speak with a member that its recovery needs; it may be the one that is
/// chosen. The member that is needed must not be blamed for it: the primary is recovered on the other spare (rules 51, 55).
async fn a_replacement_with_a_bad_link(primaries: usize, needed: Seat) {
    for bad in 0..2 {
        let mut scene = scene(Kind::Map, primaries, 1, 2).await;
        let links = scene.links();
        let used: Vec<usize> = host_numbers(&scene, primaries).await;
        let all: Vec<usize> = scene.rig.servers().map(|(number, _)| number).collect();
        let spares: Vec<usize> = all.into_iter().filter(|n| !used.contains(n)).collect();
        let good = spares[1 - bad];
        let needed_id = scene.id(needed).await;
        cut(
            &links,
            Place::Server(spares[bad]),
            scene.place(needed).await,
        );
        let killed = scene.rig.kill("c", &[Seat::Primary(0)]).await;
        let dead = killed[0].id;
        // Still cut: it is not the mending that ends it.
        scene
            .wait("the primary serves elsewhere", |c| {
                c.serving && c.members.iter().all(|m| m.server != dead)
            })
            .await;
        assert_eq!(scene.rig.host("c", Seat::Primary(0)).await, good);
        assert_eq!(scene.id(needed).await, needed_id, "it was blamed");
        scene.recorder.wait_more(100).await;
        links.mend_all();
        scene.end().await;
    }
}

async fn host_numbers(scene: &Scene, primaries: usize) -> Vec<usize> {
    let mut numbers = Vec::new();
    for seat in Seat::all(primaries, 1) {
        numbers.push(scene.rig.host("c", seat).await);
    }
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_cannot_reach_the_last_code_gives_way_to_another_spare() {
    a_replacement_with_a_bad_link(1, Seat::Fused(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_cannot_reach_a_survivor_gives_way_to_another_spare() {
    a_replacement_with_a_bad_link(2, Seat::Primary(1)).await;
}
