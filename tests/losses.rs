//! Servers die, hang, come back; nothing that was acknowledged is lost.

#[path = "losses/beyond.rs"]
mod beyond;
#[path = "losses/coordinator.rs"]
mod coordinator;
#[path = "losses/hangs.rs"]
mod hangs;
#[path = "losses/members.rs"]
mod members;
#[path = "losses/spares.rs"]
mod spares;
#[path = "losses/telling.rs"]
mod telling;

use bytes::Bytes;
use fusion_core::id::Row;
use fusion_core::membership::{Acceptance, LossError, Part, Waiting, What};
use fusion_core::message::{ClientBatch, ClientReply, ClientRequest};
use fusion_core::op::{Op, Reply};
use fusion_net::client::{ClusterSpec, Error, Kind, Raw};
use fusion_net::local::LocalOptions;
use fusion_net::peer;
use fusion_net::service::{AdminError, PrimaryClient};
use fusion_tests::cluster::{Rig, Seat, is_whole, options, raws, seed, start, start_with, within};
use fusion_tests::model::{Drive, Model};
use fusion_tests::writers::Writers;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};
use tokio::time::timeout;

const N: usize = 3;
const F: usize = 3;

/// Three primaries with a model of each.
struct Modelled {
    raws: Vec<Raw>,
    models: Vec<Model>,
}

impl Modelled {
    async fn create(rig: &Rig, name: &str, kind: Kind, faults: usize) -> Modelled {
        Modelled {
            raws: rig.create(name, kind, N, faults).await,
            models: vec![Model::new(kind); N],
        }
    }

    /// So many random changes at each primary.
    async fn change(&mut self, rng: &mut StdRng, count: usize) {
        for _ in 0..count {
            for (model, raw) in self.models.iter_mut().zip(&self.raws) {
                let op = model.random_op(rng);
                model.apply_to_both(raw, op).await;
            }
        }
    }

    async fn verify(&self, when: &str) {
        for (index, (model, raw)) in self.models.iter().zip(&self.raws).enumerate() {
            let who = format!("primary {index} after {when}");
            model.verify(raw, &who).await;
        }
    }
}
