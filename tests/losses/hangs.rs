//! A server hangs instead of dying.

use super::*;

/// A primary's server hangs instead of dying: connections to it stay open and nobody answers on them.
#[tokio::test]
async fn callers_leave_a_primary_that_hangs_and_it_takes_no_more_writes_afterwards() {
    let mut rng = StdRng::seed_from_u64(seed());
    let rig = start(N + 2 + 1).await;
    let mut all = Modelled::create(&rig, "c", Kind::List, 2).await;
    all.change(&mut rng, 20).await;
    let server = rig.member("c", Seat::Primary(1)).await.server;
    let paused = rig.pause("c", &[Seat::Primary(1)]).await;
    let since = Instant::now();
    all.change(&mut rng, 1).await;
    within(
        "a change at each primary",
        Duration::from_secs(8),
        since,
        (),
    );
    rig.wait_cluster("c", "recovered elsewhere", |c| {
        is_whole(c) && c.members.iter().all(|m| m.server != server)
    })
    .await;
    all.change(&mut rng, 20).await;
    // The old primary still believes that it is one; it must find out, and answer nothing of its own.
    rig.resume(&paused);
    rig.wait_status("the old primary's server to hold no member", |s| {
        s.servers
            .iter()
            .any(|s| s.id == server && s.alive && s.members == 0)
    })
    .await;
    all.verify("the old primary's return").await;
    all.change(&mut rng, 20).await;
    all.verify("the changes since").await;
    rig.stop().await;
}

/// It ended as if it had perhaps been made.
#[tokio::test]
async fn a_call_that_was_never_sent_is_not_of_unknown_outcome() {
    // Nobody is replaced meanwhile.
    let options = LocalOptions {
        suspect_after: Duration::from_secs(60),
        ..options()
    };
    let rig = start_with(options, 2).await;
    rig.create("c", Kind::Map, 1, 1).await;
    let client = rig.client_with(Duration::from_secs(2)).await;
    let raw = client.raw("c", 0).await.unwrap();
    let put = |key: &'static str, bytes: usize| Op::Put {
        key: key.into(),
        value: vec![7; bytes].into(),
    };
    raw.call(put("opens the session", 1)).await.unwrap();
    let paused = rig.pause("c", &[Seat::Primary(0)]).await;
    // The first one fills a batch by itself, and the second one waits behind that.
    let (sent, never) = tokio::join!(
        raw.call(put("sent", 5 << 20)),
        raw.call(put("never sent", 1))
    );
    assert!(
        matches!(sent, Err(Error::OutcomeUnknown { .. })),
        "{sent:?}"
    );
    assert!(matches!(never, Err(Error::TimedOut { .. })), "{never:?}");
    rig.resume(&paused);
    rig.stop().await;
}

/// A read that waits in the socket of a primary that hangs is looked at as soon as it goes on, before it can have heard
/// that it was replaced: its leases are over by then (PROTOCOL rule 10).
#[tokio::test]
async fn a_primary_that_was_replaced_while_it_hung_answers_no_read_from_its_old_state() {
    let rig = start(2 + 1 + 1).await;
    let raw = rig.create("c", Kind::Map, 2, 1).await.remove(0);
    let put = |value: &'static str| Op::Put {
        key: "k".into(),
        value: value.into(),
    };
    raw.call(put("old")).await.unwrap();
    let cluster = rig.client.cluster("c").await.unwrap();
    let old = rig.member("c", Seat::Primary(0)).await;
    let direct: PrimaryClient = peer::connect(rig.network(), &old.address).await.unwrap();
    let read = || {
        let batch = ClientBatch {
            cluster: cluster.id,
            member: old.id,
            open: None,
            requests: vec![ClientRequest {
                id: None,
                op: Op::Get { key: "k".into() },
                follows: false,
            }],
            close: None,
        };
        let limit = peer::within(Duration::from_secs(20));
        direct.execute(limit, batch.into())
    };
    let before = read().await.unwrap().unwrap().replies;
    assert!(
        matches!(&before[..], [ClientReply::Done(Ok(Reply::Value(value)), _)] if value == "old"),
        "{before:?}"
    );
    let paused = rig.pause("c", &[Seat::Primary(0)]).await;
    rig.wait_cluster("c", "recovered elsewhere", |c| {
        is_whole(c) && c.members.iter().all(|m| m.server != old.server)
    })
    .await;
    raw.call(put("new")).await.unwrap();
    let mut late = Box::pin(read());
    // It is in the socket now, and nobody reads there.
    assert!(timeout(Duration::from_millis(50), &mut late).await.is_err());
    rig.resume(&paused);
    match late.await.unwrap() {
        Err(_) => {}
        Ok(answers) => assert_eq!(answers.replies, [ClientReply::NoLease]),
    }
    rig.stop().await;
}
