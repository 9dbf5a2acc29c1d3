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
