//! How long a lost primary is away.

use super::workload::{Entries, Target};
use crate::demo::loss;
use crate::progress::Progress;
use crate::table::{Table, count};
use fusion_net::client::{Client, ClusterSpec, Kind};
use fusion_net::local::LocalCluster;
use serde::Serialize;
use std::time::{Duration, Instant};

const NAME: &str = "bench-recovery";

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Recovery {
    /// Elements of each primary, the lost one as well.
    pub(crate) elements: u64,
    /// From the last sign of life until the coordinator took the server for dead.
    pub(crate) detected_ms: u64,
    /// From there until the primary served again.
    pub(crate) recovered_ms: u64,
}

/// Fills every primary, kills the server of the first one, and looks up each of its elements afterwards.
pub(crate) async fn run(
    local: &mut LocalCluster,
    client: &Client,
    (primaries, faults): (usize, usize),
    entries: Entries,
    progress: Progress,
) -> anyhow::Result<Recovery> {
    client
        .create(&ClusterSpec::new(NAME, Kind::Map, primaries, faults))
        .await?;
    for index in 0..primaries {
        let target = Target::One(client.raw(NAME, index).await?);
        entries.fill("fill", &target, 256).await?;
    }
    let status = client.status().await?;
    let before = client.cluster(NAME).await?.epoch;
    let victims = loss::victims(local, &status, NAME, 1)?;
    let killed = Instant::now();
    for (number, _) in &victims {
        local.kill_server(*number).await?;
    }
    let limit = Duration::from_secs(60 + entries.keys / 10_000);
    let loss = loss::watch(client, NAME, (before, killed), limit, progress).await?;
    entries
        .check(&Target::One(client.raw(NAME, 0).await?), 256)
        .await?;
    client.remove(NAME).await?;
    Ok(Recovery {
        elements: entries.keys,
        detected_ms: loss.detected_ms,
        recovered_ms: loss.recovered_ms,
    })
}

impl Recovery {
    /// As people read it.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new([
            "ELEMENTS OF EACH PRIMARY",
            "DETECTED AFTER MS",
            "THEN RECOVERED IN MS",
        ]);
        table.row([
            count(self.elements),
            count(self.detected_ms),
            count(self.recovered_ms),
        ]);
        table
    }
}
