//! A cluster is removed while one of its servers does not hear of it (rule 68).

use super::*;
use fusion_core::message::{ClientBatch, ClientReply, ClientRequest, Refusal};
use fusion_core::op::{Op, Reply};
use fusion_net::peer;
use fusion_net::service::PrimaryClient;
use fusion_tests::cluster::{start, wait_until};

/// The operator was told that all is gone, and a primary that was cut off had its data, and answered who reached it. He is
/// told whom to look after, and the server discards its member as soon as it can hear.
#[tokio::test]
async fn a_server_that_did_not_hear_of_a_removal_is_named_and_told_when_it_is_back() {
    let rig = start(2 + 1).await;
    let raw = rig.create("c", Kind::Map, 2, 1).await.remove(0);
    let put = Op::Put {
        key: "k".into(),
        value: "v".into(),
    };
    raw.call(put).await.unwrap();
    let cluster = rig.client.cluster("c").await.unwrap();
    let member = rig.member("c", Seat::Primary(0)).await;
    let direct: PrimaryClient = peer::connect(rig.network(), &member.address).await.unwrap();
    let read = async || {
        let batch = ClientBatch {
            cluster: cluster.id,
            member: member.id,
            open: None,
            requests: vec![ClientRequest {
                id: None,
                op: Op::Get { key: "k".into() },
                follows: false,
            }],
            close: None,
        };
        let limit = peer::within(Duration::from_secs(20));
        direct.execute(limit, batch.into()).await.unwrap()
    };
    let before = read().await.unwrap().replies;
    assert!(
        matches!(&before[..], [ClientReply::Done(Ok(Reply::Value(value)), _)] if value == "v"),
        "{before:?}"
    );
    let paused = rig.pause("c", &[Seat::Primary(0)]).await;
    let untold = rig.client.remove("c").await.unwrap();
    let named: Vec<_> = untold.iter().map(|u| (u.server, &u.address)).collect();
    assert_eq!(named, [(member.server, &member.address)]);
    rig.resume(&paused);
    wait_until("it holds the member no more", async || match read().await {
        Err(Refusal::NotMember { member: gone, .. }) if gone == member.id => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    rig.stop().await;
}
