//! A cluster that was asked to keep codes (rule 53).

use super::*;
use fusion_net::client::{ClientOptions, ClusterSpec, Error};

/// One of two fused structures dies, and there is no spare: what is written then would be lost with the primary and the
/// other one. The cluster was asked to keep two: no change is made until the second is there again, the client is told
/// why, and reads of what was answered before go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_too_few_codes_would_have_waits() {
    let mut rig = start_faulty(3).await;
    let spec = ClusterSpec::new("c", Kind::Map, 1, 2).min_in_sync(2);
    rig.client.create(&spec).await.expect("it can be had");
    let options = ClientOptions {
        timeout: Duration::from_secs(3),
        ..ClientOptions::default()
    };
    let client = rig.client_like(options).await;
    let map = client.map::<String, u64>("c").await.expect("it is there");
    let key = "k".to_owned();
    map.put(&key, &1).await.expect("two codes have it");
    let killed = rig.kill("c", &[Seat::Fused(0)]).await;
    let says = |c: &ClusterStatus| c.in_sync == 1 && c.min_in_sync == 2;
    rig.wait_cluster("c", "one code is left", says).await;
    let put = map.put(&key, &2);
    tokio::pin!(put);
    let read = tokio::select! {
        _ = &mut put => panic!("it should wait, and the read not for it"),
        read = map.get(&key) => read,
    };
    assert_eq!(read.expect("it needs no change"), 1);
    let error = put.await.expect_err("one code would have it");
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("in sync") && text.contains("it was not executed"),
        "{text}"
    );
    assert_eq!(map.get(&key).await.expect("nothing was under way"), 1);
    rig.restart(&killed).await;
    rig.wait_cluster("c", "whole again", is_whole).await;
    map.put(&key, &3).await.expect("two codes have it again");
    assert_eq!(map.get(&key).await.expect("it is there"), 3);
    rig.stop().await;
}
