//! `fusion dev`: a standing local cluster.

use crate::args::DevArgs;
use crate::output::say;
use crate::playground;
use fusion_net::local::LocalCluster;
use std::process::ExitCode;

/// Runs `fusion dev`; to be ended by a signal is its success.
pub(crate) async fn run(args: DevArgs) -> anyhow::Result<ExitCode> {
    let servers = usize::from(args.servers);
    let stand = async |local: &mut LocalCluster| {
        show(local)?;
        std::future::pending::<anyhow::Result<()>>().await
    };
    playground::run_at(args.coordinator_port, servers, stand).await?;
    Ok(ExitCode::SUCCESS)
}

fn show(local: &LocalCluster) -> std::io::Result<()> {
    let coordinator = local.coordinator();
    let pid = local.coordinator_pid().unwrap_or_default();
    say!("coordinator {coordinator} (process {pid})")?;
    for (number, server) in local.servers() {
        let (address, pid) = (server.address(), server.pid());
        say!("server {number:3} {address} (process {pid})")?;
    }
    say!("logs in {}", local.folder().display())?;
    say!("\nIn another terminal:")?;
    if coordinator != "127.0.0.1:7400" {
        say!("  export FUSION_COORDINATOR={coordinator}")?;
    }
    say!("  fusion cluster create scores --kind map --primaries 3 --faults 2")?;
    say!("  fusion map put scores ada 36")?;
    say!("  fusion status")?;
    say!("Kill up to 2 of the servers (kill -9 PROCESS) and look again: nothing is lost.")?;
    say!("Ctrl-C stops everything.")
}
