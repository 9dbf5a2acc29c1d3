//! `fusion bench`: how fast, beside what a user would take instead.

use super::action::Workload;
use super::common::{Machine, OutputArgs, PeerArgs, file, seconds, writable, write};
use super::entries::MIN_VALUE_BYTES;
use super::keys::Popularity;
use super::measure::Sample;
use super::plan::{Cell, Plan};
use super::plot;
use super::redis::Redis;
use super::report::{Key, Report, Settings};
use super::stage::Stage;
use crate::playground;
use crate::progress::Progress;
use clap::Args;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Redis has as many primaries as we have, too, when they and their replicas are no more processes than these.
const MAX_PEERS: usize = 60;

/// Throughput and latency, beside Redis where it is installed.
#[derive(Clone, Debug, Args)]
pub(crate) struct ThroughputArgs {
    /// Primaries
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=200))]
    primaries: u16,
    /// Faults to tolerate, and replicas of Redis
    #[arg(long, default_value_t = 2, value_name = "F", value_parser = clap::value_parser!(u16).range(1..=50))]
    faults: u16,
    /// What is done
    #[arg(
        long,
        default_value = "put,get,mixed,delete,list,queue",
        value_delimiter = ',',
        value_name = "WHAT,..."
    )]
    workloads: Vec<Workload>,
    /// How many calls are under way at a time
    #[arg(long, default_value = "1,16,64,256", value_delimiter = ',', value_name = "N,...", value_parser = clap::value_parser!(u16).range(1..=1000))]
    in_flight: Vec<u16>,
    /// Lengths of values; keys have 16 bytes
    #[arg(long, default_value = "64", value_delimiter = ',', value_name = "BYTES,...", value_parser = clap::value_parser!(u32).range(MIN_VALUE_BYTES as i64..=1 << 20))]
    values: Vec<u32>,
    /// Which keys of a map are asked for
    #[arg(
        long,
        default_value = "uniform",
        value_delimiter = ',',
        value_name = "HOW,..."
    )]
    keys: Vec<Popularity>,
    /// Keys of each map; fewer where values are so long that they would take more than 32 MiB
    #[arg(long, default_value_t = 100_000, value_name = "E", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    elements: u64,
    /// How long each row is measured in each repetition
    #[arg(long, default_value = "0.5", value_name = "SECONDS", value_parser = seconds)]
    seconds: f64,
    /// How often everything is measured, each time in another order
    #[arg(long, default_value_t = 5, value_name = "TIMES", value_parser = clap::value_parser!(u16).range(1..=1000))]
    repetitions: u16,
    /// The order and the keys come from this number; any, if it is not given
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// One short repetition, with 1 and 64 in flight: to see that it works
    #[arg(long, conflicts_with_all = ["seconds", "repetitions", "in_flight", "elements"])]
    quick: bool,
    /// Draw throughput and latency to FILE (SVG)
    #[arg(long, value_name = "FILE", value_parser = file)]
    plot: Option<PathBuf>,
    #[command(flatten)]
    peers: PeerArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl ThroughputArgs {
    fn quickly(mut self) -> ThroughputArgs {
        if self.quick {
            (self.seconds, self.repetitions) = (0.05, 1);
            (self.in_flight, self.elements) = (vec![1, 64], 2000);
        }
        self
    }

    fn plan(&self) -> Plan {
        Plan {
            workloads: distinct(&self.workloads),
            values: distinct(&self.values).iter().map(|v| *v as usize).collect(),
            popularities: distinct(&self.keys),
            in_flight: distinct(&self.in_flight)
                .iter()
                .map(|n| usize::from(*n))
                .collect(),
            keys: self.elements,
        }
    }
}

/// Each once, in the order given.
fn distinct<T: Copy + PartialEq>(all: &[T]) -> Vec<T> {
    let mut once = Vec::new();
    for one in all {
        if !once.contains(one) {
            once.push(*one);
        }
    }
    once
}

/// Runs it.
pub(crate) async fn run(args: ThroughputArgs) -> anyhow::Result<ExitCode> {
    let args = args.quickly();
    let (n, f) = (usize::from(args.primaries), usize::from(args.faults));
    args.output.check()?;
    if let Some(file) = &args.plot {
        anyhow::ensure!(file != Path::new("-"), "--plot -: name a file");
        writable(file)?;
    }
    anyhow::ensure!(
        args.values.len() <= 15,
        "{} lengths of values are too many; give 15 at most",
        args.values.len()
    );
    let with_redis = args.peers.redis(&args.output)?;
    let report = playground::run(n + f, async |local| {
        let redis = if with_redis {
            // The first for itself, and all of them together.
            let steady = args.workloads.iter().flat_map(|w| w.blocks());
            let any = steady.into_iter().any(|block| block.first().is_steady());
            let several = any && n * (f + 1) <= MAX_PEERS;
            Some(Redis::start(if several { n } else { 1 }, f).await?)
        } else {
            None
        };
        let length = Duration::from_secs_f64(args.seconds);
        let stage = Stage::set(local, (n, f), args.plan(), length, redis).await?;
        play(&args, &stage).await
    });
    let Some(report) = report.await? else {
        return args.output.interrupted();
    };
    args.output.note(&report.text())?;
    args.output.write(&report, &report.markdown())?;
    if let Some(file) = &args.plot {
        write(file, &plot::draw(&report))?;
    }
    Ok(if report.wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn play(args: &ThroughputArgs, stage: &Stage) -> anyhow::Result<Report> {
    let seed = args.seed.unwrap_or_else(rand::random);
    let plan = args.plan();
    let machine = Machine {
        redis: stage.redis_version(),
        ..Machine::here()
    };
    let cells = plan.cells(stage.peers());
    let settings = Settings {
        primaries: usize::from(args.primaries),
        faults: usize::from(args.faults),
        plan,
        seconds: args.seconds,
        repetitions: args.repetitions,
        seed,
        machine,
    };
    args.output.note(&settings.line())?;
    if args.quick {
        args.output
            .note("a quick run shows that everything works; its figures mean nothing")?;
    }
    let total = cells.len() * usize::from(args.repetitions);
    let about = total as f64 * args.seconds * 1.3;
    args.output.note(&format!(
        "{total} measurements in random order, about {:.1} minutes",
        about / 60.0
    ))?;
    let samples = repeat(args, stage, cells, seed).await?;
    Ok(Report::new(settings, &samples))
}

async fn repeat(
    args: &ThroughputArgs,
    stage: &Stage,
    mut cells: Vec<Cell>,
    seed: u64,
) -> anyhow::Result<BTreeMap<Key, Vec<Sample>>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut progress = if args.output.quiet() {
        Progress::silent()
    } else {
        Progress::new()
    };
    let mut samples: BTreeMap<Key, Vec<Sample>> = BTreeMap::new();
    for repetition in 1..=args.repetitions {
        cells.shuffle(&mut rng);
        for (done, cell) in cells.iter().enumerate() {
            progress.show(
                &format!("repetition {repetition} of {},", args.repetitions),
                &format!("{done} of {}", cells.len()),
            )?;
            for (action, sample) in stage.run(*cell, rng.random()).await? {
                let key = Key::new(action, cell);
                samples.entry(key).or_default().push(sample);
            }
        }
    }
    progress.end()?;
    Ok(samples)
}
