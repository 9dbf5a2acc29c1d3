//! What may never turn what can be recovered into what is lost: pairs of servers are cut, processes stop beyond f and come
//! back, a coordinator is given other times, a spare cannot be reached. Each test is named after the failure; nobody gives
//! a command, and what clients were told is checked as a history.

#[path = "within_f/addresses.rs"]
mod addresses;
#[path = "within_f/clients.rs"]
mod clients;
#[path = "within_f/codes.rs"]
mod codes;
#[path = "within_f/complaints.rs"]
mod complaints;
#[path = "within_f/floor.rs"]
mod floor;
#[path = "within_f/formers.rs"]
mod formers;
#[path = "within_f/long_values.rs"]
mod long_values;
#[path = "within_f/pairs.rs"]
mod pairs;
#[path = "within_f/removal.rs"]
mod removal;
#[path = "within_f/returns.rs"]
mod returns;
#[path = "within_f/spares.rs"]
mod spares;

use fusion_core::id::MemberId;
use fusion_core::membership::Waiting;
use fusion_net::client::Kind;
use fusion_net::local::{Links, LocalOptions, Place};
use fusion_net::service::ClusterStatus;
use fusion_tests::cluster::{Rig, Seat, calm, is_whole, options, start_faulty, start_with};
use fusion_tests::recorder::Recorder;
use fusion_tests::writers::Writers;
use std::time::{Duration, Instant};

/// A cluster `c` with clients at work on it.
struct Scene {
    rig: Rig,
    recorder: Recorder,
}

async fn scene(kind: Kind, primaries: usize, faults: usize, spares: usize) -> Scene {
    scene_with(options(), kind, primaries, faults, spares).await
}

/// As [`scene`], with other options.
async fn scene_with(
    options: LocalOptions,
    kind: Kind,
    primaries: usize,
    faults: usize,
    spares: usize,
) -> Scene {
    let options = LocalOptions {
        faulty: true,
        ..options
    };
    let rig = start_with(options, primaries + faults + spares).await;
    rig.create("c", kind, primaries, faults).await;
    let recorder = Recorder::start(&rig.client, "c", kind, primaries).await;
    recorder.wait_more(100).await;
    Scene { rig, recorder }
}

impl Scene {
    fn links(&self) -> Links {
        self.rig.links().expect("they are faulty ones").clone()
    }

    async fn place(&self, seat: Seat) -> Place {
        Place::Server(self.rig.host("c", seat).await)
    }

    async fn id(&self, seat: Seat) -> MemberId {
        self.rig.member("c", seat).await.id
    }

    async fn wait(&self, what: &str, done: impl Fn(&ClusterStatus) -> bool) -> ClusterStatus {
        self.rig.wait_cluster("c", what, done).await
    }

    /// Everything goes on, is whole, and was right.
    async fn end(self) {
        self.wait("whole in the end", is_whole).await;
        self.recorder.wait_more(100).await;
        self.recorder.verify().await;
        self.rig.stop().await;
    }
}

/// Nothing comes from the one to the other, nor back.
fn cut(links: &Links, a: Place, b: Place) {
    links.cut(a, b);
    links.cut(b, a);
}

fn says_more_than_f(cluster: &ClusterStatus) -> bool {
    matches!(cluster.waiting, Some(Waiting::MoreThanF { .. }))
}
