//! Servers that come, and come back.

use super::*;

#[tokio::test]
async fn a_restarted_server_is_a_spare_and_is_used() {
    let mut rig = start(N + 2 + 1).await;
    let raws = rig.create("c", Kind::Queue, N, 2).await;
    let put = |value: &'static [u8]| Op::Enqueue {
        value: Bytes::from_static(value),
    };
    raws[1].call(put(b"one")).await.unwrap();
    let first = rig.kill("c", &[Seat::Primary(0)]).await;
    rig.wait_whole_without("c", &first).await;
    rig.restart(&first).await;
    let second = rig.kill("c", &[Seat::Primary(1)]).await;
    rig.wait_whole_without("c", &second).await;
    let member = rig.member("c", Seat::Primary(1)).await;
    assert_eq!(member.address, first[0].address, "the only free server");
    assert_ne!(member.server, first[0].id, "a new run, a new id");
    assert_eq!(
        raws[1].call(Op::Dequeue).await.unwrap(),
        Reply::Maybe(Some(Bytes::from_static(b"one")))
    );
    rig.stop().await;
}

#[tokio::test]
async fn without_a_spare_a_primary_is_served_again_once_a_server_comes() {
    let mut rig = start(N + 2).await;
    let patient = rig.create("c", Kind::Map, N, 2).await;
    let hasty = rig.client_with(Duration::from_millis(500)).await;
    let hasty = raws(&hasty, "c", N).await;
    let put = |key: &'static str| Op::Put {
        key: key.into(),
        value: key.into(),
    };
    for raw in &patient {
        raw.call(put("before")).await.unwrap();
    }
    rig.kill("c", &[Seat::Primary(1)]).await;
    rig.wait_cluster("c", "a primary without a server", |c| {
        matches!(c.waiting, Some(Waiting::NoServer { needed: 1 })) && !c.serving
    })
    .await;
    // The others go on; the lost one is answered for by nobody, and the caller hears so.
    patient[0].call(put("during")).await.unwrap();
    patient[2].call(put("during")).await.unwrap();
    let read = hasty[1].call(Op::Len).await.unwrap_err();
    assert!(matches!(read, Error::TimedOut { .. }), "{read:?}");
    let said = read.to_string();
    assert!(said.contains("primary 1 of c is lost"), "{said}");
    let write = hasty[1].call(put("never")).await.unwrap_err();
    let typed = matches!(write, Error::TimedOut { .. } | Error::OutcomeUnknown { .. });
    assert!(typed, "{write:?}");

    let waiting = patient[1].clone();
    let waiting = tokio::spawn(async move { waiting.call(put("during")).await });
    rig.add_server().await.unwrap();
    rig.wait_cluster("c", "whole on the new server", is_whole)
        .await;
    assert_eq!(waiting.await.unwrap().unwrap(), Reply::Bool(false));
    for raw in &patient {
        assert_eq!(raw.len().await.unwrap(), 2, "what timed out is not there");
        for key in ["before", "during"] {
            let got = raw.call(Op::Get { key: key.into() }).await.unwrap();
            assert_eq!(got, Reply::Value(key.into()));
        }
    }
    rig.stop().await;
}
