//! Moving members: `fusion cluster move` and `fusion server drain`.

use crate::connection::ConnectionArgs;
use crate::output::say;
use crate::progress::Progress;
use crate::status::{explain, plural, state};
use clap::Args;
use fusion_core::id::ServerId;
use fusion_core::membership::What;
use fusion_net::client::Client;
use fusion_net::service::{ClusterStatus, MemberState, MemberStatus, Role, Status};
use std::process::ExitCode;
use std::time::Duration;

/// Between two looks at the status.
const PAUSE: Duration = Duration::from_millis(50);

/// Which server.
#[derive(Debug, Args)]
#[command(after_help = "\
The wish is kept by the coordinator: when this command is interrupted, the draining goes on.

Examples:
  fusion server drain 7
  fusion server drain 7 --undo")]
pub(crate) struct DrainArgs {
    /// The server's id, as `fusion status` shows it
    #[arg(value_name = "SERVER")]
    server: u64,
    /// Let it have members again
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Runs `fusion server drain`.
pub(crate) async fn drain(args: DrainArgs) -> anyhow::Result<ExitCode> {
    let client = args.connection.client().await?;
    let id = ServerId(args.server);
    client.drain(id, !args.undo).await?;
    if args.undo {
        say!("server {id} takes members again")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut progress = Progress::new();
    loop {
        let status = client.status().await?;
        let server = status.servers.iter().find(|s| s.id == id);
        let members = server.map_or(0, |s| s.members);
        if members == 0 {
            progress.end()?;
            say!("server {id} is empty; it may be stopped")?;
            return Ok(ExitCode::SUCCESS);
        }
        if server.is_some_and(|s| !s.draining) {
            progress.end()?;
            anyhow::bail!(
                "the draining of server {id} was undone; {} left",
                plural(members as u64, "member")
            );
        }
        let left = format!("server {id}: {} left", plural(members as u64, "member"));
        progress.show(&left, &what_it_does(&status, id))?;
        tokio::time::sleep(PAUSE).await;
    }
}

/// What is under way, or what is waited for.
fn what_it_does(status: &Status, server: ServerId) -> String {
    let on_it = |c: &&ClusterStatus| c.members.iter().any(|m| m.server == server);
    let clusters = status.clusters.iter().filter(on_it);
    let doing = clusters.map(|c| match (&c.waiting, moving(c)) {
        (_, Some(member)) => format!("{} {}", c.name, state(member)),
        (Some(waiting), None) => format!("{} {}", c.name, explain(waiting)),
        (None, None) => c.name.clone(),
    });
    let doing = doing.collect::<Vec<_>>().join("; ");
    if doing.is_empty() {
        return "waiting until what was moved away serves where it is now".to_owned();
    }
    doing
}

fn moving(cluster: &ClusterStatus) -> Option<&MemberStatus> {
    cluster.members.iter().find(|m| {
        matches!(
            m.state,
            MemberState::Moving { .. } | MemberState::Joining { .. }
        )
    })
}

/// Moves a member, and waits until it is there.
pub(crate) async fn move_member(
    client: &Client,
    name: &str,
    what: What,
    to: Option<ServerId>,
) -> anyhow::Result<()> {
    let place = match what {
        What::Primary(index) => (Role::Primary, index.index()),
        What::Row(row) => (Role::Fused, row.index()),
    };
    let at = |c: &ClusterStatus| -> Vec<MemberStatus> {
        let there = c.members.iter().filter(|m| (m.role, m.index) == place);
        there.cloned().collect()
    };
    let before = at(&client.cluster(name).await?);
    client.move_member(name, what, to).await?;
    let mut progress = Progress::new();
    loop {
        let now = at(&client.cluster(name).await?);
        let old = |m: &MemberStatus| before.iter().any(|b| b.id == m.id);
        match now.as_slice() {
            [m] if !old(m) && m.state == MemberState::Active => {
                progress.end()?;
                say!("{what} of {name} is on server {}, {}", m.server, m.address)?;
                return Ok(());
            }
            [m] if old(m) && m.state == MemberState::Active => {
                progress.end()?;
                anyhow::bail!(
                    "the move was given up, and {what} of {name} is where it was: a server failed meanwhile, or it was cancelled; `fusion status` tells how it stands"
                );
            }
            all => {
                let newest = all.last().map_or(String::new(), state);
                progress.show(&format!("{what} of {name}"), &newest)?;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
