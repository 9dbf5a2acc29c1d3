//! `fusion dev`: a standing local cluster.

use crate::args::DevArgs;
use anyhow::Context;
use fusion_net::local::{LocalCluster, LocalOptions};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) async fn run(args: DevArgs) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let binary = std::env::current_exe().context("cannot find this program's own file")?;
    let options = LocalOptions {
        coordinator_port: args.coordinator_port,
        ..LocalOptions::new(binary)
    };
    let cluster = tokio::select! {
        started = LocalCluster::start(options, usize::from(args.servers)) => started?,
        _ = interrupt.recv() => return Ok(ExitCode::from(130)),
    };
    println!(
        "coordinator {} (process {})",
        cluster.coordinator(),
        cluster.coordinator_pid().unwrap_or_default()
    );
    for (number, server) in cluster.servers() {
        println!(
            "server {number:3} {} (process {})",
            server.address(),
            server.pid()
        );
    }
    println!("logs in {}", cluster.folder().display());
    println!(
        "\nIn another terminal:\n  export FUSION_COORDINATOR={}",
        cluster.coordinator()
    );
    println!("  fusion cluster create scores --kind map --primaries 3 --faults 2");
    println!("  fusion map put scores ada 36\nCtrl-C stops everything.");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    cluster.stop().await;
    Ok(ExitCode::SUCCESS)
}
