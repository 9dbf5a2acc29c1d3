//! A cluster of child processes that ends with the command, however that ends.

use anyhow::{Context, anyhow};
use fusion_net::client::Error;
use fusion_net::local::{LocalCluster, LocalOptions};
use tokio::signal::unix::{SignalKind, signal};

/// The exit status of a command that Ctrl-C ended.
pub(crate) const INTERRUPTED: u8 = 130;

/// Starts servers of this very program, runs `play` on them and stops them; `None` when a signal came in between.
pub(crate) async fn run<T>(
    servers: usize,
    play: impl AsyncFnOnce(&mut LocalCluster) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    run_at(0, servers, play).await
}

/// As [`run`], with the coordinator at this port; 0 means any free one.
pub(crate) async fn run_at<T>(
    coordinator_port: u16,
    servers: usize,
    play: impl AsyncFnOnce(&mut LocalCluster) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    let told_to_end = told_to_end()?;
    tokio::pin!(told_to_end);
    let options = options(coordinator_port)?;
    let mut local = tokio::select! {
        started = LocalCluster::start(options, servers) => started?,
        () = &mut told_to_end => return Ok(None),
    };
    let result = tokio::select! {
        result = play(&mut local) => result.map(Some),
        () = &mut told_to_end => Ok(None),
    };
    local.stop().await;
    result.map_err(at_home)
}

/// Runs `play`, which starts servers of its own; `None` when a signal came in between. What it has started ends with it.
pub(crate) async fn alone<T>(
    play: impl AsyncFnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    let told_to_end = told_to_end()?;
    tokio::select! {
        result = play() => result.map(Some).map_err(at_home),
        () = told_to_end => Ok(None),
    }
}

/// Starts servers of this very program.
pub(crate) async fn start(servers: usize) -> anyhow::Result<LocalCluster> {
    Ok(LocalCluster::start(options(0)?, servers).await?)
}

fn options(coordinator_port: u16) -> anyhow::Result<LocalOptions> {
    let binary = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(LocalOptions {
        coordinator_port,
        ..LocalOptions::new(binary)
    })
}

/// Waits for a signal that ends programs.
fn told_to_end() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

fn at_home(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref() {
        // The coordinator was a child of this command: no other address would help.
        Some(Error::NoCoordinator { .. }) => {
            anyhow!("the coordinator that this command started is gone")
        }
        _ => error,
    }
}
