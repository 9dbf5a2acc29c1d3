//! `fusion chaos`: a local cluster under load, faults of every kind, and a verdict on what the clients saw.

mod fault;
mod figures;
mod histories;
mod load;
mod nemesis;
mod report;
mod verdict;

use crate::output::{self, say};
use anyhow::Context;
use clap::Args;
use fusion_core::op::Kind;
use fusion_net::client::{Client, ClientOptions, ClusterSpec};
use fusion_net::local::{LocalCluster, LocalOptions};
use histories::Histories;
use load::Load;
use nemesis::Nemesis;
use report::Report;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

/// A call may wait for the longest recovery: what it gives up is of unknown outcome, and says less.
const CALL: Duration = Duration::from_secs(90);
/// The wider cluster has so many primaries more.
const WIDER: usize = 2;

/// Break things and see that nothing is lost.
#[derive(Debug, Args)]
#[command(after_help = "\
Starts a coordinator and servers as processes behind proxies, and a map, a list and a queue cluster and a wider map; \
writes and reads them; kills, stops, cuts off, slows down and resets at most --faults servers at a time, and the \
coordinator beside them; cuts single pairs of servers, so that a spare cannot reach a member that it needs, too; now and \
then stops more servers than --faults at once, and lets them go on. The next round of faults begins when `status` says that all is whole. In the end every \
history is checked: no acknowledged write lost, none made twice, no stale read, every answer the right one. Status 0 \
only if all was right; else the folder with logs and histories stays. --history writes the histories for a checker of \
your own: docs/histories.md says how to read them. A seed gives the same faults and operations, \
not the same moments. Ctrl-C ends it early, with a verdict on what was done.

--figures measures instead how long clients wait at the loss of a primary, of a fused structure, of --faults members \
at once, and of the coordinator, on a map of --primaries primaries with --elements elements each.

Examples:
  fusion chaos --minutes 10
  fusion chaos --seed 7 --values 16,4000 --faults 1
  fusion chaos --minutes 5 --history chaos.jsonl
  fusion chaos --figures --primaries 5 --elements 100000 --repeat 5")]
pub(crate) struct ChaosArgs {
    /// How long faults are injected
    #[arg(long, default_value_t = 1.0, value_name = "MINUTES", value_parser = minutes)]
    minutes: f64,
    /// Chooses faults and operations; by default another one each time
    #[arg(long)]
    seed: Option<u64>,
    /// Primaries of each cluster; the wider one has 2 more
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=20))]
    primaries: u16,
    /// Faults to tolerate, and servers that are hurt at a time
    #[arg(long, default_value_t = 2, value_name = "F", value_parser = clap::value_parser!(u16).range(1..=10))]
    faults: u16,
    /// The lengths of values, of which each write chooses
    #[arg(long, default_value = "16,100,3000", value_delimiter = ',', value_name = "BYTES,...", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    values: Vec<u64>,
    /// Measure what clients wait at each kind of loss, and check nothing else
    #[arg(long)]
    figures: bool,
    /// With --figures: elements of each primary
    #[arg(long, default_value_t = 100_000, value_name = "E", requires = "figures", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    elements: u64,
    /// With --figures: how often each loss is measured
    #[arg(long, default_value_t = 5, value_name = "TIMES", requires = "figures", value_parser = clap::value_parser!(u16).range(1..=1000))]
    repeat: u16,
    /// Write what every client saw as lines of JSON, for checkers of other people (docs/histories.md)
    #[arg(long, value_name = "FILE", conflicts_with = "figures")]
    history: Option<PathBuf>,
    /// Print JSON, and nothing before the end
    #[arg(long)]
    json: bool,
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(minutes) if minutes > 0.0 && minutes <= 10_000.0 => Ok(minutes),
        _ => Err("give a number of minutes above 0 and up to 10000".to_owned()),
    }
}

impl ChaosArgs {
    fn shape(&self) -> (usize, usize) {
        (usize::from(self.primaries), usize::from(self.faults))
    }

    /// One server for each member of the widest cluster, one for each that is hurt, and one more.
    fn servers(&self) -> usize {
        let (n, f) = self.shape();
        n + WIDER + f + f + 1
    }

    fn clusters(&self) -> [(&'static str, Kind, usize); 4] {
        let n = usize::from(self.primaries);
        [
            ("maps", Kind::Map, n),
            ("lists", Kind::List, n),
            ("queues", Kind::Queue, n),
            ("wide", Kind::Map, n + WIDER),
        ]
    }

    /// The command that does the same again.
    fn again(&self, seed: u64) -> String {
        let values: Vec<String> = self.values.iter().map(u64::to_string).collect();
        let (n, f, values) = (self.primaries, self.faults, values.join(","));
        let minutes = self.minutes;
        format!(
            "fusion chaos --minutes {minutes} --seed {seed} --primaries {n} --faults {f} --values {values}"
        )
    }
}

/// How the time of faults ended.
enum End {
    Over,
    Interrupted,
    /// Something could not be mended, or the harness failed.
    Stuck(anyhow::Error),
}

/// Runs `fusion chaos`.
pub(crate) async fn run(args: ChaosArgs) -> anyhow::Result<ExitCode> {
    if args.figures {
        return figures::run(args.shape(), args.elements, args.repeat, args.json).await;
    }
    let seed = args.seed.unwrap_or_else(rand::random);
    let folder = tempfile::Builder::new().prefix("fusion-chaos-").tempdir();
    let folder = folder.context("cannot make a temporary folder")?;
    if !args.json {
        say!("{}", args.again(seed))?;
    }
    let report = play(&args, seed, folder.path()).await;
    let clean = report
        .as_ref()
        .is_ok_and(|report| report.violations.is_empty());
    if !clean {
        keep(folder, &args, seed)?;
    }
    let report = report?;
    if args.json {
        output::json(&report)?;
    } else {
        say!("\n{report}")?;
    }
    Ok(if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Says where logs and histories are, on standard error: what was printed may be JSON.
fn keep(folder: TempDir, args: &ChaosArgs, seed: u64) -> std::io::Result<()> {
    use std::io::Write;
    let folder = folder.keep();
    let again = args.again(seed);
    writeln!(
        std::io::stderr(),
        "logs and histories are in {}\nonce more: {again}",
        folder.display()
    )
}

async fn play(args: &ChaosArgs, seed: u64, folder: &Path) -> anyhow::Result<Report> {
    let binary = std::env::current_exe().context("cannot find this program's own file")?;
    let options = LocalOptions {
        folder: Some(folder.to_owned()),
        faulty: true,
        ..LocalOptions::new(binary)
    };
    let suspect_after = options.suspect_after;
    let mut histories = Histories::new(args.history.as_deref())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut local = LocalCluster::start(options, args.servers()).await?;
    let calls = ClientOptions {
        timeout: CALL,
        network: local.network().clone(),
        ..ClientOptions::default()
    };
    let client = Client::connect_with(local.coordinator(), calls).await?;
    let (began, f) = (Instant::now(), usize::from(args.faults));
    let sizes = args.values.iter().map(|&len| len as usize).collect();
    let mut load = Load::new(seed, sizes, began);
    for (name, kind, primaries) in args.clusters() {
        client
            .create(&ClusterSpec::new(name, kind, primaries, f))
            .await?;
        load.start(&client, name, kind, primaries).await?;
    }
    let mut nemesis = Nemesis::new(seed, f, suspect_after, client, began, args.json);
    let until = began + Duration::from_secs_f64(args.minutes * 60.0);
    let faults = async {
        while Instant::now() < until {
            nemesis.round(&mut local).await?;
        }
        anyhow::Ok(())
    };
    let end = tokio::select! {
        done = faults => done.map_or_else(End::Stuck, |()| End::Over),
        _ = interrupt.recv() => End::Interrupted,
        _ = terminate.recv() => End::Interrupted,
    };
    if let End::Interrupted = end {
        nemesis.calm(&mut local).await?;
        nemesis.wait_whole(&local).await?;
    }
    let active = began.elapsed();
    let mut report = Report::new(args, seed, active, suspect_after, nemesis.tally);
    match end {
        End::Stuck(error) => report.violations.push(format!("{error:#}")),
        End::Over | End::Interrupted => {
            load.stop().await?;
            report.interrupted = matches!(end, End::Interrupted);
        }
    }
    let whole = report.violations.is_empty();
    verdict::check(&mut report, &load, folder, whole, &mut histories).await?;
    histories.end()?;
    local.stop().await;
    Ok(report)
}
