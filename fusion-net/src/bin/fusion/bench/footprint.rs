//! How much more memory servers take for elements, each server with one member.

use super::workload::{Entries, Target};
use crate::memory;
use crate::table::{Table, bytes};
use anyhow::Context;
use fusion_net::client::{ClusterSpec, Kind};
use fusion_net::local::LocalCluster;
use fusion_net::service::Role;
use serde::Serialize;
use std::time::Duration;

const NAME: &str = "bench-footprint";
/// Members' reports come several times in this time.
const SETTLE: Duration = Duration::from_secs(1);

/// What was measured: growth of resident memory by the elements.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Footprint {
    /// The primaries, and so many fused structures.
    pub(crate) primaries: usize,
    /// How many faults are tolerated.
    pub(crate) faults: usize,
    /// Elements over all primaries.
    pub(crate) elements: u64,
    /// Bytes of keys and values.
    pub(crate) payload_bytes: u64,
    /// Growth of the processes with primaries.
    pub(crate) primary_resident_bytes: u64,
    /// Growth of the processes with fused structures.
    pub(crate) fused_resident_bytes: u64,
    /// Pages of the primaries.
    pub(crate) primary_page_bytes: u64,
    /// Pages of the fused structures.
    pub(crate) fused_page_bytes: u64,
}

/// Loads a map on servers that host nothing else.
pub(crate) async fn run(
    local: &LocalCluster,
    (primaries, faults): (usize, usize),
    entries: Entries,
) -> anyhow::Result<Footprint> {
    let client = local.client().await?;
    client
        .create(&ClusterSpec::new(NAME, Kind::Map, primaries, faults))
        .await?;
    tokio::time::sleep(SETTLE).await;
    let before = memory::of_servers(local);
    let target = Target::Spread(client.map(NAME).await?);
    entries.fill("fill", &target, 64).await?;
    tokio::time::sleep(SETTLE).await;
    let after = memory::of_servers(local);
    let status = client.status().await?;
    let mut footprint = Footprint {
        primaries,
        faults,
        elements: entries.keys,
        ..Footprint::default()
    };
    for member in client.cluster(NAME).await?.members {
        let server = status.servers.iter().find(|s| s.id == member.server);
        let pid = server.context("a server of the cluster is gone")?.pid;
        let growth = || Some(after.get(&pid)?.saturating_sub(*before.get(&pid)?));
        let growth = growth().context("a server's memory cannot be read from /proc")?;
        footprint.payload_bytes += member.payload_bytes;
        match member.role {
            Role::Primary => {
                footprint.primary_resident_bytes += growth;
                footprint.primary_page_bytes += member.page_bytes;
            }
            Role::Fused => {
                footprint.fused_resident_bytes += growth;
                footprint.fused_page_bytes += member.page_bytes;
            }
        }
    }
    Ok(footprint)
}

impl Footprint {
    /// As people read it.
    pub(crate) fn table(&self) -> Table {
        let ratio = |part: u64, whole: u64| format!("{:.2}", part as f64 / whole.max(1) as f64);
        let mut table = Table::new([
            "MEMORY",
            "PRIMARIES",
            "FUSED",
            "FUSED / PRIMARIES",
            "COPIES / PRIMARIES",
            "BYTES AN ELEMENT",
        ]);
        let rows = [
            (
                "growth of resident memory",
                self.primary_resident_bytes,
                self.fused_resident_bytes,
            ),
            ("pages", self.primary_page_bytes, self.fused_page_bytes),
        ];
        for (what, primaries, fused) in rows {
            table.row([
                what.to_owned(),
                bytes(primaries),
                bytes(fused),
                ratio(fused, primaries),
                format!("{}.00", self.faults),
                ((primaries + fused) / self.elements.max(1)).to_string(),
            ]);
        }
        table
    }
}
