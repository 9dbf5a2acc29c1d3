//! Splits files into pieces of which some may be lost, and puts them together again. For Unix.
#![forbid(unsafe_code)]

mod bench;
mod coder;
mod decode;
mod encode;
mod encoding;
mod input;
mod interrupt;
mod matrix;
mod metadata;
mod names;
mod output;
mod progress;
mod repair;
mod report;
mod scheme;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Erasure coding of files: K data pieces and M coding pieces, of which any K give the file back.
///
/// Files, names and metadata are those of the example programs `encoder` and `decoder` of Jerasure 2, in both directions.
#[derive(Debug, Parser)]
#[command(name = "jerasure", version, max_term_width = 100)]
#[command(after_help = "\
Example:
  jerasure encode report.pdf -k 4 -m 2     writes Coding/report_k1.pdf ... Coding/report_meta.txt
  rm Coding/report_k2.pdf Coding/report_m1.pdf
  jerasure decode Coding -o report.pdf     any 2 of the 6 pieces may be gone
  jerasure repair Coding                   makes them again")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Encode(encode::Args),
    Decode(decode::Args),
    Verify(verify::Args),
    Repair(repair::Args),
    Matrix(matrix::Args),
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::fail(&error),
    }
}

fn run(command: &Command) -> Result<()> {
    raise_file_limit();
    match command {
        Command::Encode(args) => encode::run(args),
        Command::Decode(args) => decode::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Repair(args) => repair::run(args),
        Command::Matrix(args) => matrix::run(args),
        Command::Bench(args) => bench::run(args),
    }
}

/// Every piece is open at once, and there may be thousands. Where it cannot be raised, opening says what is wrong.
fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
