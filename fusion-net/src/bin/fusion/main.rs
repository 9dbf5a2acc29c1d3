//! The `fusion` command: the processes of a deployment, a client for the shell, a demo and a benchmark.

mod acceptance;
mod args;
mod bench;
mod certificate;
mod chaos;
mod cluster;
mod connection;
mod demo;
mod dev;
mod fullness;
mod list;
mod logs;
mod map;
mod memory;
mod name;
mod output;
mod playground;
mod process;
mod progress;
mod queue;
mod relocation;
mod saving;
mod security;
mod shown;
mod status;
mod table;

use args::{Args, Command, ServerCommand};
use clap::Parser;
use fusion_net::client::{Attempt, Error};
use fusion_net::transport::{ListenError, ReachError};
use fusion_net::wire::ConnectError;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    #[cfg(feature = "planted-faults")]
    if let Err(error) = plant_fault() {
        return fail(&error);
    }
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

/// Breaks the protocol in this process in the way that the environment names, if it names one. Only for showing that
/// `fusion chaos` finds it: a release cannot have this.
#[cfg(feature = "planted-faults")]
fn plant_fault() -> anyhow::Result<()> {
    use fusion_core::fault::{Fault, plant};
    if let Ok(name) = std::env::var("FUSION_PLANTED_FAULT") {
        let fault = Fault::ALL.iter().find(|fault| fault.name() == name);
        let fault = fault.ok_or_else(|| anyhow::anyhow!("there is no deliberate fault {name}"))?;
        // Members are driven by this thread alone.
        plant(Some(*fault));
    }
    Ok(())
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Server(args) => match args.command {
            Some(ServerCommand::Drain(args)) => relocation::drain(args).await,
            None => process::server(args.serve).await,
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
    let needs =
        |reach: &ReachError| matches!(reach, ReachError::NotLoopback(_) | ReachError::TlsThere);
    let tried = |attempt: &Attempt| match attempt {
        Attempt::NotReached(why) => matches!(&**why, ConnectError::Reach(reach) if needs(reach)),
        _ => false,
    };
    let reach = match error.downcast_ref() {
        Some(Error::NoCoordinator { tried: all }) => all.iter().any(|(_, attempt)| tried(attempt)),
        _ => error.downcast_ref().is_some_and(needs),
    };
    reach || matches!(error.downcast_ref(), Some(ListenError::NotLoopback(_)))
}

/// What to do about an error of the client, where a command helps.
fn advice(error: &Error) -> Option<&'static str> {
    match error {
        Error::UnknownCluster { .. } => Some("; `fusion cluster list` shows those there are"),
        Error::WrongKind { .. } => Some("; use the command of that name"),
        // They are there, and the right ones.
        Error::NoCoordinator { tried } if tried.hopeful() => None,
        Error::NoCoordinator { .. } => Some(
            "; give the addresses of running coordinators by --coordinator or FUSION_COORDINATOR (`fusion dev` starts one)",
        ),
        Error::OutcomeUnknown { .. } | Error::TimedOut { .. } => {
            Some("; `fusion status` tells how the cluster stands, --timeout allows more time")
        }
        Error::NotOfType { .. } | Error::BadEntry { .. } => {
            Some("; this command reads and writes text only")
        }
        _ => None,
    }
}
