//! `fusion demo`: the paper's tests, then the loss of servers while writes are under way, on real processes.

mod check;
mod load;
pub(crate) mod loss;
mod paper;
mod words;
mod writers;

use crate::memory;
use crate::output::say;
use crate::playground;
use crate::progress::Progress;
use crate::saving::Memory;
use crate::status::plural;
use crate::table::{Table, bytes, count};
use check::Findings;
use clap::Args;
use fusion_net::client::{Client, ClusterSpec, Kind, List, Map, Queue};
use fusion_net::local::LocalCluster;
use load::{Loaded, Source};
use loss::Loss;
use paper::Paper;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use writers::{Diaries, Writers};

const MAP: &str = "elements";
const LISTS: &str = "late-lists";
const QUEUES: &str = "late-queues";
/// Writes are under way for so long before the loss, and again after the recovery.
const CALM: Duration = Duration::from_millis(300);
/// Reports that have not changed for so long are complete: several heartbeats.
const SETTLED: Duration = Duration::from_millis(700);
/// Of what differs, so much is printed.
const MAX_PRINTED: usize = 10;

/// Lose servers and lose no data.
#[derive(Debug, Args)]
#[command(after_help = "\
Starts a coordinator and servers as processes of their own on free ports; plays Tables 1 to 4 of the paper; loads a \
map; kills as many servers as may fail while lists, maps and queues are written to; waits until everything is \
recovered; compares all contents with what was acknowledged; stops everything. Status 0 only if all of it matched.

Examples:
  fusion demo
  fusion demo --primaries 5 --faults 2 --elements 100000
  fusion demo --load /usr/share/common-licenses/GPL-3")]
pub(crate) struct DemoArgs {
    /// Primaries of the loaded map and of the lists and queues written to (the paper's clusters have 3)
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=200))]
    primaries: u16,
    /// Servers that may fail at a time, and that are killed
    #[arg(long, default_value_t = 3, value_name = "F", value_parser = clap::value_parser!(u16).range(1..=50))]
    faults: u16,
    /// Elements to load, with keys of 16 and values of 64 characters
    #[arg(long, default_value_t = 10_000, value_name = "E")]
    elements: u64,
    /// Load the words of this text instead, each with how often it occurs; bytes that are not UTF-8 end words
    #[arg(long, value_name = "FILE", conflicts_with = "elements")]
    load: Option<PathBuf>,
}

/// Runs `fusion demo`.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let source = Source::open(args.elements, args.load.as_deref())?;
    let (n, f) = (usize::from(args.primaries), usize::from(args.faults));
    // One server for each member of the largest cluster, and one for each that will be lost.
    let servers = n.max(paper::PRIMARIES) + f + f;
    say!("starting a coordinator and {servers} servers, {f} of them spare, each a process")?;
    let matched = playground::run(servers, async |local| play(local, (n, f), source).await);
    Ok(match matched.await? {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => ExitCode::from(playground::INTERRUPTED),
    })
}

/// Everything that is written to while servers die.
struct Late {
    map: Map<String, String>,
    lists: Vec<List<String>>,
    queues: Vec<Queue<String>>,
}

impl Late {
    async fn create(client: &Client, primaries: usize, faults: usize) -> anyhow::Result<Late> {
        for (name, kind) in [(MAP, Kind::Map), (LISTS, Kind::List), (QUEUES, Kind::Queue)] {
            client
                .create(&ClusterSpec::new(name, kind, primaries, faults))
                .await?;
        }
        let mut late = Late {
            map: client.map(MAP).await?,
            lists: Vec::new(),
            queues: Vec::new(),
        };
        for index in 0..primaries {
            late.lists.push(client.list(LISTS, index).await?);
            late.queues.push(client.queue(QUEUES, index).await?);
        }
        Ok(late)
    }
}

/// The whole play; `true` when everything matched.
async fn play(
    local: &mut LocalCluster,
    (n, f): (usize, usize),
    source: Source,
) -> anyhow::Result<bool> {
    let client = local.client().await?;
    let paper = Paper::create(&client, f).await?;
    say!("\nThe paper's tests, on clusters of 3 primaries and {f} fused structures")?;
    let wrong = paper.play().await?;

    say!("\nLoading a map of {n} primaries and {f} fused structures")?;
    let late = Late::create(&client, n, f).await?;
    let resident_before: u64 = memory::of_servers(local).values().sum();
    let loaded = load::load(source, &late.map).await?;
    let resident_after: u64 = memory::of_servers(local).values().sum();
    let memory = settled_memory(&client, &loaded).await?;

    say!(
        "\nKilling {} while writes are under way",
        plural(f as u64, "server")
    )?;
    let (loss, diaries) = lose(local, &client, &late, (f, loaded.len())).await?;

    say!("\nComparing all contents with what was acknowledged")?;
    let mut findings = Findings::default();
    findings.map(&late.map, &loaded, &diaries).await?;
    findings.lists(&late.lists, &diaries).await?;
    findings.queues(&late.queues, &diaries).await?;
    let (differences, elements) = paper.check().await?;
    findings.differences.extend(differences);
    findings.elements += elements;
    for difference in findings.differences.iter().take(MAX_PRINTED) {
        say!("  FAILED {difference}")?;
    }
    if findings.differences.len() > MAX_PRINTED {
        say!(
            "  and {} more differences",
            findings.differences.len() - MAX_PRINTED
        )?;
    }

    let mut table = summary(&loss, &diaries, findings.elements);
    memory_rows(&mut table, &memory, f);
    table.row([
        "resident memory of all servers".to_owned(),
        format!(
            "{} before the load, {} after it",
            bytes(resident_before),
            bytes(resident_after)
        ),
    ]);
    say!("\n{table}")?;
    let matched = wrong == 0 && findings.differences.is_empty();
    if matched {
        say!("\nAll contents are as acknowledged: {f} of {n} + {f} servers lost, no data lost.")?;
    } else {
        say!(
            "\nFAILED: {wrong} of the paper's steps, {} differences after the loss.",
            findings.differences.len()
        )?;
    }
    Ok(matched)
}

/// Kills servers under the writers' hands, and waits for the recovery.
async fn lose(
    local: &mut LocalCluster,
    client: &Client,
    late: &Late,
    (faults, elements): (usize, u64),
) -> anyhow::Result<(Loss, Diaries)> {
    let writers = Writers::start(&late.map, &late.lists, &late.queues);
    tokio::time::sleep(CALM).await;
    let status = client.status().await?;
    let victims = loss::victims(local, &status, MAP, faults)?;
    let before = client.cluster(MAP).await?.epoch;
    writers.set_loss(true);
    let killed = Instant::now();
    loss::kill(local, &victims).await?;
    let limit = Duration::from_secs(60 + elements / 10_000);
    let mut loss = loss::watch(client, MAP, (before, killed), limit, Progress::new()).await?;
    loss.members = victims.into_iter().map(|(_, member)| member).collect();
    writers.set_loss(false);
    say!(
        "  every cluster tolerates {} again {:.2} s after the first kill",
        plural(faults as u64, "fault"),
        loss.all_whole.as_secs_f64()
    )?;
    tokio::time::sleep(CALM).await;
    Ok((loss, writers.stop().await?))
}

/// The sums of the loaded map, once the members have reported all of it: primaries and fused ones report apart.
async fn settled_memory(client: &Client, loaded: &Loaded) -> anyhow::Result<Memory> {
    let started = Instant::now();
    let mut last = (Memory::default(), started);
    loop {
        let memory = Memory::of(&client.cluster(MAP).await?);
        if memory != last.0 {
            last = (memory, Instant::now());
        }
        let settled = memory.elements == loaded.len() && last.1.elapsed() > SETTLED;
        if settled || started.elapsed() > 10 * SETTLED {
            return Ok(memory);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn summary(loss: &Loss, diaries: &Diaries, elements: u64) -> Table {
    let during: u64 = diaries.all().map(|d| d.during_loss).sum();
    let unknown: usize = diaries.all().map(|d| d.unknown.len()).sum();
    let longest = diaries.all().map(|d| d.longest).max().unwrap_or_default();
    let mut table = Table::new(["SUMMARY", ""]);
    let rows = [
        ("elements compared", count(elements)),
        (
            "faults survived",
            format!(
                "{} at once: {}",
                loss.members.len(),
                loss.members.join(", ")
            ),
        ),
        (
            "loss noticed after",
            format!("{} ms without a sign of life", count(loss.detected_ms)),
        ),
        (
            "lost primaries serve again",
            format!("{} ms after that", count(loss.recovered_ms)),
        ),
        (
            "all faults tolerated again",
            format!("{} ms after it was noticed", count(loss.whole_ms)),
        ),
        (
            "writes during the loss",
            format!(
                "{} acknowledged, all there; {unknown} of unknown outcome",
                count(during)
            ),
        ),
        (
            "longest pause of a writer",
            format!("{} ms", count(longest.as_millis() as u64)),
        ),
    ];
    for (what, value) in rows {
        table.row([what.to_owned(), value]);
    }
    table
}

fn memory_rows(table: &mut Table, memory: &Memory, faults: usize) {
    let ratio = |bytes: u64| bytes as f64 / memory.primary_page_bytes.max(1) as f64;
    table.row([
        "memory of the loaded map".to_owned(),
        format!(
            "keys and values {}, pages of primaries {} + of fused {}",
            bytes(memory.payload_bytes),
            bytes(memory.primary_page_bytes),
            bytes(memory.fused_page_bytes)
        ),
    ]);
    table.row([
        "price of tolerating the faults".to_owned(),
        format!(
            "{:.2} times the primaries' pages; copies would be {faults}.00 times",
            ratio(memory.fused_page_bytes)
        ),
    ]);
}
