//! The `fusion` command: the processes of a deployment, a client for the shell, a demo and a benchmark.

mod args;
mod dev;
mod process;

use args::{Args, Command};
use clap::Parser;
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
        Command::Server(args) => process::server(args).await,
        Command::Coordinator(args) => process::coordinator(args).await,
        Command::Dev(args) => dev::run(args).await,
    }
}

/// One line on standard error; exit status 1.
fn fail(error: &anyhow::Error) -> ExitCode {
    let message: Vec<String> = format!("{error:#}")
        .lines()
        .map(|l| l.trim().to_owned())
        .collect();
    eprintln!("fusion: {}", message.join(" "));
    ExitCode::FAILURE
}
