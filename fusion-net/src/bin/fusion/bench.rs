//! `fusion bench`: speed, memory and recovery, measured on real processes of this machine beside a real Redis.

mod action;
mod common;
mod copies;
mod deployment;
pub(crate) mod entries;
mod figures;
mod footprint;
mod keys;
mod measure;
mod plan;
mod plot;
mod processor;
mod recovery;
mod redis;
mod report;
mod resident;
mod scale;
mod session;
mod sizes;
mod source;
mod stage;
mod svg;
mod table;
mod throughput;

use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Measures; the client and all servers share this machine's processors.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Without a command it is throughput and latency: Fusion, and Redis where redis-server is on PATH, driven by the same client \
in the same run, in an order that is shuffled for each repetition. A write to Redis is followed by a WAIT for all replicas \
on the same connection, since that is what an answered write means here; it is sent together with the write, unless the line \
says otherwise. Each answer is checked; a wrong one is told, and the exit status is 1 then. docs/benchmarks.md says what is compared with what.

Examples:
  fusion bench
  fusion bench --quick
  fusion bench --peers --workloads put,get --values 8,64,1024,16384 --keys uniform,zipf
  fusion bench --json figures.json --markdown figures.md --plot figures.svg"
)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    throughput: throughput::ThroughputArgs,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Memory of all servers for each element, beside Redis
    Memory(footprint::FootprintArgs),
    /// How long a lost primary is away
    Recovery(recovery::RecoveryArgs),
    /// What a put, memory and recovery cost as clusters, elements and values grow
    Scale(scale::ScaleArgs),
    /// Codes against copies, by the same program
    Copies(copies::CopiesArgs),
}

/// Runs `fusion bench`.
pub(crate) async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    // Redis is given a connection for each call in flight, and one to each of its primaries.
    crate::process::allow_many_files();
    match args.what {
        None => throughput::run(args.throughput).await,
        Some(What::Memory(args)) => footprint::run(args).await,
        Some(What::Recovery(args)) => recovery::run(args).await,
        Some(What::Scale(args)) => scale::run(args).await,
        Some(What::Copies(args)) => copies::run(args).await,
    }
}
