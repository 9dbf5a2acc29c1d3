//! More than f at once: nothing is made up, and an operator may go on without it.

use super::*;

/// The cluster says that more primaries are gone than it can spare, and its callers hear that nobody answers.
async fn assert_more_than_f(rig: &Rig, gone: &[usize]) {
    let cluster = rig
        .wait_cluster("c", "more than f are gone, and it says so", |c| {
            matches!(&c.waiting, Some(Waiting::MoreThanF { primaries, in_sync: 1 })
                if primaries.iter().map(|p| p.index()).eq(gone.iter().copied()))
        })
        .await;
    assert!(!cluster.serving);
    assert_eq!(cluster.tolerates, 0);
    let hasty = rig.client_with(Duration::from_millis(500)).await;
    for &index in gone {
        let hasty = hasty.raw("c", index).await.unwrap();
        let since = Instant::now();
        let read = hasty.call(Op::Len).await.unwrap_err();
        assert!(matches!(read, Error::TimedOut { .. }), "{read:?}");
        let said = read.to_string();
        assert!(said.contains(&format!("primary {index} of c")), "{said}");
        let key = Bytes::from_static(b"000");
        let write = hasty.call(Op::Remove { key }).await.unwrap_err();
        let typed = matches!(write, Error::TimedOut { .. } | Error::OutcomeUnknown { .. });
        assert!(typed, "{write:?}");
        within(
            "two calls that nobody answers",
            Duration::from_secs(15),
            since,
            (),
        );
    }
}

#[tokio::test]
async fn more_than_f_gone_is_said_and_a_server_that_goes_on_ends_it() {
    let mut rng = StdRng::seed_from_u64(seed());
    let mut rig = start(N + 1).await;
    let mut all = Modelled::create(&rig, "c", Kind::Map, 1).await;
    all.change(&mut rng, 30).await;
    // One dies, and there is no server to recover it on; then another hangs.
    rig.kill("c", &[Seat::Primary(0)]).await;
    rig.wait_cluster("c", "a primary without a server", |c| {
        matches!(c.waiting, Some(Waiting::NoServer { needed: 1 }))
    })
    .await;
    let paused = rig.pause("c", &[Seat::Primary(1)]).await;
    assert_more_than_f(&rig, &[0, 1]).await;
    // A new server cannot mend it: nothing may be made up.
    rig.add_server().await.unwrap();
    assert_more_than_f(&rig, &[0, 1]).await;
    rig.resume(&paused);
    rig.wait_cluster("c", "whole again", is_whole).await;
    // The hasty removals may have reached the one that hung.
    let key = Bytes::from_static(b"000");
    for (model, raw) in all.models.iter_mut().zip(&all.raws).take(2) {
        let _ = model.apply(&Op::Remove { key: key.clone() });
        let _ = raw.call(Op::Remove { key: key.clone() }).await;
    }
    all.verify("the end of the matter").await;
    all.change(&mut rng, 20).await;
    all.verify("the changes since").await;
    rig.stop().await;
}

#[tokio::test]
async fn more_than_f_hang_at_once_and_go_on() {
    let mut rng = StdRng::seed_from_u64(seed());
    let rig = start(N + 1).await;
    let mut all = Modelled::create(&rig, "c", Kind::Map, 1).await;
    all.change(&mut rng, 30).await;
    let paused = rig.pause("c", &[Seat::Primary(0), Seat::Primary(2)]).await;
    rig.wait_cluster("c", "more than f are gone, and it says so", |c| {
        matches!(c.waiting, Some(Waiting::MoreThanF { .. })) && !c.serving
    })
    .await;
    rig.resume(&paused);
    rig.wait_cluster("c", "whole again", is_whole).await;
    all.verify("the end of the matter").await;
    all.change(&mut rng, 20).await;
    all.verify("the changes since").await;
    rig.stop().await;
}

#[tokio::test]
async fn after_a_loss_beyond_f_is_accepted_the_lost_are_empty_and_the_others_are_as_they_were() {
    let mut rig = start(3 + 1 + 2).await;
    let raws = rig.create("c", Kind::List, 3, 1).await;
    for raw in &raws {
        raw.call(Op::Append { value: "v".into() }).await.unwrap();
    }
    let refused = rig.client.foresee_loss("c").await;
    let nothing = |r: &AdminError| *r == AdminError::Loss(LossError::NothingLost);
    assert!(
        matches!(&refused, Err(Error::Refused(r)) if nothing(r)),
        "{refused:?}"
    );
    rig.kill("c", &[Seat::Primary(0), Seat::Primary(2)]).await;
    rig.wait_cluster("c", "more than f", |c| {
        matches!(c.waiting, Some(Waiting::MoreThanF { .. }))
    })
    .await;
    // The code lives, and would be wiped: it is named, and nothing is done before the operator names it, too. So is what a
    // spare has begun to make, when one of the two was missed before the other.
    let foreseen = rig.client.foresee_loss("c").await.unwrap();
    let (begun, wiped): (Vec<Part>, Vec<Part>) = foreseen
        .wiped
        .iter()
        .map(|m| m.part)
        .partition(|part| matches!(part, Part::CopyOf(_)));
    assert_eq!(wiped, [Part::Codes(Row(0))]);
    assert!(begun.len() <= 1, "{begun:?}");
    assert_eq!(foreseen.gone.len(), 2);
    let mut acceptance = Acceptance::default();
    let refusal =
        async |acceptance: &Acceptance| match rig.client.accept_loss("c", acceptance).await {
            Err(Error::Refused(AdminError::Loss(error))) => error,
            other => panic!("a refusal was expected: {other:?}"),
        };
    let refused = refusal(&acceptance).await;
    assert!(
        matches!(refused, LossError::OtherLoss { .. }),
        "{refused:?}"
    );
    acceptance.lose = foreseen.lost.clone();
    let refused = refusal(&acceptance).await;
    assert!(matches!(refused, LossError::Lives { .. }), "{refused:?}");
    acceptance.wipe = foreseen.wiped_servers().into_iter().collect();
    let refused = refusal(&acceptance).await;
    assert!(
        matches!(refused, LossError::MayStillRead { .. }),
        "{refused:?}"
    );
    acceptance.processes_are_dead = true;
    let lost = rig.client.accept_loss("c", &acceptance).await.unwrap();
    assert_eq!(lost.iter().map(|j| j.0).collect::<Vec<_>>(), [0, 2]);
    rig.wait_cluster("c", "whole", is_whole).await;
    for (raw, len) in raws.iter().zip([0, 1, 0]) {
        assert_eq!(raw.call(Op::Len).await.unwrap(), Reply::Len(len));
    }
    raws[0]
        .call(Op::Append { value: "w".into() })
        .await
        .unwrap();
    rig.stop().await;
}
