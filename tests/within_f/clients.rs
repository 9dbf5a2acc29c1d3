//! Clients that die.

use super::*;
use bytes::Bytes;
use fusion_core::op::Op;
use fusion_tests::cluster::raws;
use fusion_tests::model::{Model, contents};
use std::collections::BTreeSet;

/// So many clients die in a call, each later than the one before: the square of its number times this time after it began.
const CLIENTS: u32 = 100;
const LATER: Duration = Duration::from_micros(20);

/// Each client is gone while its call is under way. What it wrote is there whole and once, or not at all, and so it stays
/// when the primary is recovered from the codes.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_client_that_dies_was_made_whole_or_not_at_all() {
    let mut rig = start_faulty(1 + 1 + 1).await;
    let raw = rig.create("c", Kind::List, 1, 1).await.remove(0);
    let mut asked = BTreeSet::new();
    for number in 0..CLIENTS {
        let value = Bytes::from(format!("{number:3} ").repeat(500));
        asked.insert(value.clone());
        let client = rig.client_with(Duration::from_secs(20)).await;
        let call = raws(&client, "c", 1).await.remove(0);
        let call = tokio::spawn(async move { call.call(Op::Append { value }).await });
        // It is not waited for: this is the moment at which the client dies.
        tokio::time::sleep(LATER * (number * number)).await;
        call.abort();
        let _ = call.await;
        drop(client);
    }
    let before = elements(contents(&raw, Kind::List).await);
    let there: BTreeSet<&Bytes> = before.iter().collect();
    assert_eq!(there.len(), before.len(), "one is there twice");
    assert!(there.iter().all(|v| asked.contains(*v)), "one is not whole");
    let made = before.len();
    assert!(made > 0 && made < asked.len(), "{made} calls were made");
    let killed = rig.kill("c", &[Seat::Primary(0)]).await;
    rig.wait_whole_without("c", &killed).await;
    let after = elements(contents(&raw, Kind::List).await);
    assert!(
        after.starts_with(&before),
        "{} and then {} elements",
        before.len(),
        after.len()
    );
    rig.stop().await;
}

fn elements(model: Model) -> Vec<Bytes> {
    match model {
        Model::Sequence(_, elements) => elements.into(),
        Model::Map(_) => panic!("it is a list"),
    }
}
