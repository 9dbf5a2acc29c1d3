//! A cluster of child processes that ends with the command, however that ends.

use anyhow::Context;
use fusion_net::local::{LocalCluster, LocalOptions};
use tokio::signal::unix::{SignalKind, signal};

/// The exit status of a command that Ctrl-C ended.
pub(crate) const INTERRUPTED: u8 = 130;

/// Starts servers of this very program, runs `play` on them and stops them; `None` when a signal came in between.
pub(crate) async fn run<T>(
    servers: usize,
    play: impl AsyncFnOnce(&mut LocalCluster) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let told_to_end = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    };
    tokio::pin!(told_to_end);
    let binary = std::env::current_exe().context("cannot find this program's own file")?;
    let mut local = tokio::select! {
        started = LocalCluster::start(LocalOptions::new(binary), servers) => started?,
        () = &mut told_to_end => return Ok(None),
    };
    let result = tokio::select! {
        result = play(&mut local) => result.map(Some),
        () = &mut told_to_end => Ok(None),
    };
    local.stop().await;
    result
}
