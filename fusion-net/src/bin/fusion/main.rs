//! The `fusion` command: the processes of a deployment, a client for the shell, a demo and a benchmark.

mod args;
mod bench;
mod certificate;
mod chaos;
mod cluster;
mod connection;
mod demo;
mod dev;
mod list;
mod map;
mod memory;
mod name;
mod output;
mod playground;
mod process;
mod progress;
mod queue;
mod relocation;
mod security;
mod status;
mod table;

use args::{Args, Command, ServerCommand};
use clap::Parser;
use fusion_net::client::Error;
use fusion_net::transport::{ListenError, ReachError};
use fusion_net::wire::ConnectError;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::anyhow!("cannot start the async runtime: {error}")),
    };
    match runtime.block_on(run(args.command)) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Server(args) => match (args.command, args.serve) {
            (Some(ServerCommand::Drain(args)), _) => relocation::drain(args).await,
            (None, Some(args)) => process::server(args).await,
            (None, None) => anyhow::bail!("give --coordinator HOST:PORT to run a server"),
        },
        Command::Coordinator(args) => process::coordinator(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Bench(args) => bench::run(args).await,
        Command::Chaos(args) => chaos::run(args).await,
        Command::Dev(args) => dev::run(args).await,
        Command::Certificate(args) => certificate::run(args),
        Command::Cluster(args) => cluster::run(args).await,
        Command::Map(args) => map::run(args).await,
        Command::List(args) => list::run(args).await,
        Command::Queue(args) => queue::run(args).await,
        Command::Status(args) => status::run(args).await,
    }
}

/// One line on standard error, exit status 1; but a reader that has seen enough (`| head`) is no failure.
fn fail(error: &anyhow::Error) -> ExitCode {
    if output::nobody_reads(error) {
        return ExitCode::SUCCESS;
    }
    let message: Vec<String> = format!("{error:#}")
        .lines()
        .map(|l| l.trim().to_owned())
        .collect();
    let advice = if needs_tls(error) {
        Some(
            "; give --tls-cert, --tls-key and --tls-ca (`fusion certificate` makes such files), or --insecure",
        )
    } else {
        error.downcast_ref().and_then(advice)
    };
    let advice = advice.unwrap_or_default();
    // Nobody may read standard error either: that is no reason to panic.
    let _ = writeln!(std::io::stderr(), "fusion: {}{advice}", message.join(" "));
    ExitCode::FAILURE
}

/// Whether it failed for want of TLS.
fn needs_tls(error: &anyhow::Error) -> bool {
    let reach = match error.downcast_ref() {
        Some(Error::NoCoordinator {
            reason: ConnectError::Reach(reach),
            ..
        }) => Some(reach),
        _ => error.downcast_ref(),
    };
    matches!(error.downcast_ref(), Some(ListenError::NotLoopback(_)))
        || matches!(
            reach,
            Some(ReachError::NotLoopback(_) | ReachError::TlsThere)
        )
}

/// What to do about an error of the client, where a command helps.
fn advice(error: &Error) -> Option<&'static str> {
    match error {
        Error::UnknownCluster { .. } => Some("; `fusion cluster list` shows those there are"),
        Error::WrongKind { .. } => Some("; use the command of that name"),
        Error::NoCoordinator { .. } => Some(
            "; give a running coordinator's address by --coordinator or FUSION_COORDINATOR (`fusion dev` starts one)",
        ),
        Error::OutcomeUnknown { .. } | Error::TimedOut { .. } => {
            Some("; `fusion status` tells how the cluster stands, --timeout allows more time")
        }
        Error::Codec(_) => Some("; this command reads and writes text only"),
        _ => None,
    }
}
