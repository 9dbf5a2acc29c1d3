//! Long values on slow links.

use super::*;
use bytes::Bytes;
use fusion_core::op::{Op, Reply};

/// Of 64 KiB on every link between servers, and between them and clients: 8 MiB take two seconds, longer than the time
/// after which a silent member is complained of.
const DELAY: Duration = Duration::from_millis(15);
const LONG: usize = 8 << 20;

/// A long value is under way for longer than T_c. Whoever sends or takes it is not silent: nobody is blamed, and codes that
/// acknowledged it are not thrown away for it (rule 57).
#[tokio::test(flavor = "multi_thread")]
async fn a_long_value_on_slow_links_is_not_taken_for_silence() {
    for faults in [1, 2] {
        let rig = start_faulty(1 + faults + 1).await;
        let raw = rig.create("c", Kind::Map, 1, faults).await.remove(0);
        let put = |key: &'static str, bytes: usize| Op::Put {
            key: key.into(),
            value: Bytes::from(vec![7; bytes]),
        };
        raw.call(put("short", 1)).await.unwrap();
        let links = rig.links().expect("they are faulty ones").clone();
        let servers = rig.servers().map(|(number, _)| Place::Server(number));
        let places: Vec<Place> = servers.chain([Place::Client]).collect();
        for &from in &places {
            for &to in places.iter().filter(|to| **to != from) {
                links.slow(from, to, DELAY);
            }
        }
        let before = rig.client.cluster("c").await.unwrap();
        let since = Instant::now();
        assert_eq!(
            raw.call(put("long", LONG)).await.unwrap(),
            Reply::Bool(false)
        );
        let took = since.elapsed();
        assert!(
            took > Duration::from_millis(1500),
            "the links were slow: {took:?}"
        );
        let after = rig.client.cluster("c").await.unwrap();
        assert_eq!(after.epoch, before.epoch, "somebody was taken for silent");
        assert_eq!(
            after.tolerates, faults,
            "codes are missing after the answer"
        );
        links.mend_all();
        let Reply::Value(value) = raw.call(Op::Get { key: "long".into() }).await.unwrap() else {
            panic!("a map's get answers a value");
        };
        assert_eq!(value.len(), LONG);
        rig.wait_cluster("c", "whole", is_whole).await;
        rig.stop().await;
    }
}

/// Of 64 KiB: a page of 8 MiB takes more than the five seconds that a chunk was given as a whole.
const SLOWER: Duration = Duration::from_millis(55);

/// A learner needs a page that is under way for long. Each time it was given up after a fixed time, and sent again from its
/// beginning, for ever (rule 57).
#[tokio::test]
async fn a_page_that_takes_long_was_sent_again_for_ever() {
    let mut rig = start_faulty(1 + 1 + 1).await;
    let raw = rig.create("c", Kind::Map, 1, 1).await.remove(0);
    let put = Op::Put {
        key: "long".into(),
        value: Bytes::from(vec![7; LONG]),
    };
    raw.call(put).await.unwrap();
    let links = rig.links().expect("they are faulty ones").clone();
    let primary = rig.host("c", Seat::Primary(0)).await;
    for (number, _) in rig.servers().filter(|(number, _)| *number != primary) {
        links.slow(Place::Server(primary), Place::Server(number), SLOWER);
    }
    let killed = rig.kill("c", &[Seat::Fused(0)]).await;
    let since = Instant::now();
    rig.wait_whole_without("c", &killed).await;
    let took = since.elapsed();
    assert!(
        took > Duration::from_secs(6),
        "the links were slow: {took:?}"
    );
    links.mend_all();
    rig.stop().await;
}

/// An answer to the replacement of a primary, a page of 8 MiB, is under way for longer than T_c. Only whole answers were
/// heard: the replacement complained of the code that sent it, was given up, and made elsewhere, again and again (rule 57).
#[tokio::test]
async fn a_replacement_whose_answers_take_long_was_given_up_again_and_again() {
    let mut rig = start_faulty(1 + 1 + 2).await;
    let raw = rig.create("c", Kind::Map, 1, 1).await.remove(0);
    let put = Op::Put {
        key: "long".into(),
        value: Bytes::from(vec![7; LONG]),
    };
    raw.call(put).await.unwrap();
    let links = rig.links().expect("they are faulty ones").clone();
    let code = rig.host("c", Seat::Fused(0)).await;
    for (number, _) in rig.servers().filter(|(number, _)| *number != code) {
        links.slow(Place::Server(code), Place::Server(number), SLOWER);
    }
    let before = rig.client.cluster("c").await.unwrap();
    let killed = rig.kill("c", &[Seat::Primary(0)]).await;
    let since = Instant::now();
    rig.wait_whole_without("c", &killed).await;
    let took = since.elapsed();
    assert!(
        took > Duration::from_secs(6),
        "the links were slow: {took:?}"
    );
    let after = rig.client.cluster("c").await.unwrap();
    let epochs = after.epoch.0 - before.epoch.0;
    assert_eq!(epochs, 2, "lost, and recovered by the first that was asked");
    links.mend_all();
    let Reply::Value(value) = raw.call(Op::Get { key: "long".into() }).await.unwrap() else {
        panic!("a map's get answers a value");
    };
    assert_eq!(value.len(), LONG);
    rig.stop().await;
}
