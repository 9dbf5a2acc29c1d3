//! `fusion bench`: throughput, recovery and memory, measured on real processes of this machine.

mod footprint;
mod recovery;
pub(crate) mod workload;

use crate::output::{self, say};
use crate::playground;
use crate::progress::Progress;
use clap::Args;
use fusion_net::client::{Client, ClusterSpec, Kind};
use fusion_net::local::LocalCluster;
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;
use workload::{Entries, MIN_VALUE_BYTES, Row, Target};

/// Lists and queues are measured with so many calls under way.
const USUAL_IN_FLIGHT: usize = 64;
/// The shape that memory is measured on, beside --primaries and --faults for all else.
const FOOTPRINT: (usize, usize) = (5, 2);

/// Measures; the client and all servers share this machine's processors.
#[derive(Debug, Args)]
#[command(after_help = "\
Each call is answered when all fused structures have it, and each answer is checked. Recovery is that of a primary \
with --elements elements, beside others with as many. Memory is the growth of the processes' resident memory on 5 \
primaries and 2 fused structures with --elements elements in all, one member on each server.

Examples:
  fusion bench
  fusion bench --primaries 5 --faults 2 --in-flight 1,64 --seconds 5
  fusion bench --json > figures.json")]
pub(crate) struct BenchArgs {
    /// Primaries
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=200))]
    primaries: u16,
    /// Faults to tolerate
    #[arg(long, default_value_t = 3, value_name = "F", value_parser = clap::value_parser!(u16).range(1..=50))]
    faults: u16,
    /// Elements
    #[arg(long, default_value_t = 100_000, value_name = "E", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    elements: u64,
    /// How long each row of throughput is measured
    #[arg(long, default_value_t = 2, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// How many calls are under way at a time, one row for each
    #[arg(long, default_value = "1,16,64,256", value_delimiter = ',', value_name = "N,...", value_parser = clap::value_parser!(u16).range(1..=4096))]
    in_flight: Vec<u16>,
    /// The length of a value; keys have 16 bytes
    #[arg(long, default_value_t = 64, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(MIN_VALUE_BYTES as u64..=1 << 20))]
    value_bytes: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Figures {
    primaries: usize,
    faults: usize,
    value_bytes: usize,
    debug_build: bool,
    throughput: Vec<Row>,
    recovery: recovery::Recovery,
    footprint: footprint::Footprint,
}

impl BenchArgs {
    fn shape(&self) -> (usize, usize) {
        (usize::from(self.primaries), usize::from(self.faults))
    }

    fn entries(&self) -> Entries {
        Entries {
            keys: self.elements,
            value_bytes: self.value_bytes as usize,
        }
    }

    fn note(&self, text: &str) -> std::io::Result<()> {
        if self.json { Ok(()) } else { say!("{text}") }
    }
}

/// Runs `fusion bench`.
pub(crate) async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let (n, f) = args.shape();
    if cfg!(debug_assertions) {
        args.note("(a debug build: these figures say little)")?;
    }
    // Memory first, on processes that have done nothing else.
    let (servers, fp) = (FOOTPRINT.0 + FOOTPRINT.1, FOOTPRINT);
    args.note(&format!(
        "memory: {} + {} on {servers} servers, {} elements",
        fp.0, fp.1, args.elements
    ))?;
    let footprint = playground::run(servers, async |local| {
        footprint::run(local, FOOTPRINT, args.entries()).await
    });
    let Some(footprint) = footprint.await? else {
        return Ok(ExitCode::from(playground::INTERRUPTED));
    };
    args.note(&format!("{}\n", footprint.table()))?;
    let figures = playground::run(n + f + 1, async |local| {
        args.note(&format!(
            "throughput: {n} + {f} on {} servers, values of {} bytes",
            n + f,
            args.value_bytes
        ))?;
        let client = local.client().await?;
        let throughput = throughput(&args, &client).await?;
        args.note(&format!("{}\n", workload::table(&throughput)))?;
        let recovery = recover(&args, local, &client).await?;
        args.note(&recovery.table().to_string())?;
        Ok((throughput, recovery))
    });
    let Some((throughput, recovery)) = figures.await? else {
        return Ok(ExitCode::from(playground::INTERRUPTED));
    };
    if args.json {
        output::json(&Figures {
            primaries: n,
            faults: f,
            value_bytes: args.value_bytes as usize,
            debug_build: cfg!(debug_assertions),
            throughput,
            recovery,
            footprint,
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn recover(
    args: &BenchArgs,
    local: &mut LocalCluster,
    client: &Client,
) -> anyhow::Result<recovery::Recovery> {
    args.note("recovery of one primary")?;
    let progress = if args.json {
        Progress::silent()
    } else {
        Progress::new()
    };
    recovery::run(local, client, args.shape(), args.entries(), progress).await
}

async fn throughput(args: &BenchArgs, client: &Client) -> anyhow::Result<Vec<Row>> {
    let (n, f) = args.shape();
    let duration = Duration::from_secs(args.seconds);
    let entries = args.entries();
    let mut rows = Vec::new();
    let create = async |name: &str, kind| client.create(&ClusterSpec::new(name, kind, n, f)).await;

    create("bench-map", Kind::Map).await?;
    let map = Target::Spread(client.map("bench-map").await?);
    rows.push(
        entries
            .fill("map put, new keys", &map, USUAL_IN_FLIGHT)
            .await?,
    );
    for &in_flight in &args.in_flight {
        rows.push(entries.puts(&map, usize::from(in_flight), duration).await?);
    }
    for &in_flight in &args.in_flight {
        rows.push(entries.gets(&map, usize::from(in_flight), duration).await?);
    }
    client.remove("bench-map").await?;

    create("bench-list", Kind::List).await?;
    let mut lists = Vec::new();
    for index in 0..n {
        lists.push(client.list("bench-list", index).await?);
    }
    rows.push(workload::appends(&lists, entries.value_bytes, USUAL_IN_FLIGHT, duration).await?);
    client.remove("bench-list").await?;

    create("bench-queue", Kind::Queue).await?;
    let mut queues = Vec::new();
    for index in 0..n {
        queues.push(client.queue("bench-queue", index).await?);
    }
    rows.extend(workload::queues(&queues, USUAL_IN_FLIGHT, duration).await?);
    client.remove("bench-queue").await?;
    Ok(rows)
}
