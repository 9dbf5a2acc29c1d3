//! What goes wrong in the paper's own implementation must not go wrong here: one test for each fault that was
//! reproduced in it, by its row in the list of them.

#[path = "pitfalls/availability.rs"]
mod availability;
#[path = "pitfalls/mistakes.rs"]
mod mistakes;
#[path = "pitfalls/queues.rs"]
mod queues;
#[path = "pitfalls/recovery.rs"]
mod recovery;
#[path = "pitfalls/values.rs"]
mod values;

use bytes::Bytes;
use fusion_core::config::ShapeError;
use fusion_core::limits::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use fusion_core::op::{Op, Reply};
use fusion_net::client::{ClusterSpec, Error, Kind, Raw};
use fusion_net::service::AdminError;
use fusion_tests::cluster::{Rig, Seat, is_whole, raws, seed, start, wait_until, within};
use fusion_tests::model::{Drive, Model};
use fusion_tests::writers::Writers;
use futures::future::{join_all, try_join_all};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const N: usize = 3;
const F: usize = 3;

fn number(value: u64) -> Bytes {
    Bytes::copy_from_slice(&value.to_be_bytes())
}

/// Creates clusters `c0`, `c1`, ... in one go.
async fn create_many(rig: &Rig, kind: Kind, count: usize) -> Vec<(String, Vec<Raw>)> {
    let create = async |i: usize| {
        let name = format!("c{i}");
        let raws = rig.create(&name, kind, N, F).await;
        (name, raws)
    };
    join_all((0..count).map(create)).await
}

/// Kills servers of `name`'s seats, which are members of the other clusters too, and waits until all are whole.
async fn lose(rig: &mut Rig, name: &str, seats: &[Seat], all: &[(String, Vec<Raw>)]) {
    let killed = rig.kill(name, seats).await;
    for (name, _) in all {
        rig.wait_whole_without(name, &killed).await;
    }
    rig.restart(&killed).await;
}
