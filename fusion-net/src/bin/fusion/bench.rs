//! `fusion bench`: speed, memory and recovery, measured on real processes of this machine beside a real Redis.

mod action;
mod common;
pub(crate) mod entries;
mod figures;
mod keys;
mod measure;
mod plan;
mod plot;
mod processor;
mod redis;
mod report;
mod session;
mod source;
mod stage;
mod table;
mod throughput;

use clap::Args;
use std::process::ExitCode;

/// Measures; the client and all servers share this machine's processors.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    throughput: throughput::ThroughputArgs,
}

/// Runs `fusion bench`.
pub(crate) async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    throughput::run(args.throughput).await
}
