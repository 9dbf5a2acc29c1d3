//! `fusion dev`: a standing local cluster.

use crate::args::DevArgs;
use crate::output::say;
use crate::playground;
use crate::status::{plural, tolerance};
use fusion_net::local::LocalCluster;
use fusion_net::service::{Event, Status};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Between two looks at what has changed.
const PAUSE: Duration = Duration::from_millis(500);
/// A coordinator that takes longer to answer is not heard of.
const ANSWER: Duration = Duration::from_secs(5);
/// A cluster that is suggested has no more primaries and fused structures than these.
const PRIMARIES: usize = 3;
const FAULTS: usize = 2;

/// Runs `fusion dev`; to be ended by a signal is its success.
pub(crate) async fn run(args: DevArgs) -> anyhow::Result<ExitCode> {
    let servers = usize::from(args.servers);
    let stand = async |local: &mut LocalCluster| {
        let client = local.client().await?;
        let mut last = client.status().await?;
        show(local, &last)?;
        // Of a coordinator that does not answer.
        let mut said = None;
        loop {
            sleep(PAUSE).await;
            let Ok(Ok(now)) = timeout(ANSWER, client.status()).await else {
                // Perhaps it was killed to see what comes of it: that is not the end.
                let silence = silence(local);
                if said.as_ref() != Some(&silence) {
                    say!("{silence}")?;
                    said = Some(silence);
                }
                continue;
            };
            if said.take().is_some() {
                say!("the coordinator answers again")?;
            }
            for line in news(&last, &now) {
                say!("{line}")?;
            }
            last = now;
        }
    };
    playground::run_at::<()>(args.coordinator_port, servers, stand).await?;
    Ok(ExitCode::SUCCESS)
}

fn show(local: &LocalCluster, status: &Status) -> std::io::Result<()> {
    let coordinator = local.coordinator();
    let pid = local.coordinator_pid().unwrap_or_default();
    say!("coordinator {coordinator} (process {pid})")?;
    for server in &status.servers {
        say!(
            "server {:3} {} (process {})",
            server.id.0,
            server.address,
            server.pid
        )?;
    }
    say!("logs in {}", local.folder().display())?;
    say!("\nIn another terminal:")?;
    if coordinator != "127.0.0.1:7400" {
        say!("  export FUSION_COORDINATOR={coordinator}")?;
    }
    for line in suggestion(status.servers.len()) {
        say!("{line}")?;
    }
    say!("Ctrl-C stops everything. What happens meanwhile:\n")
}

/// Why there is no news, and what to do.
fn silence(local: &mut LocalCluster) -> String {
    if !local.coordinator_has_ended() {
        return "the coordinator does not answer; reads and writes go on without it, but nothing that dies is made again"
            .to_owned();
    }
    format!(
        "the coordinator is dead; reads and writes go on without it, but nothing that dies is made again until it is back: \
         `fusion coordinator --listen {} --data {}`",
        local.coordinator(),
        local.coordinator_file().display()
    )
}

/// What to try with so many servers.
fn suggestion(servers: usize) -> Vec<String> {
    let (primaries, faults, spare) = shape(servers);
    let colocate = if servers < 2 { " --colocate" } else { "" };
    let mut lines = vec![
        format!(
            "  fusion cluster create scores --kind map --primaries {primaries} --faults {faults}{colocate}"
        ),
        "  fusion map put scores ada 36".to_owned(),
        "  fusion status".to_owned(),
    ];
    lines.push(match (servers, spare) {
        (..2, _) => "With one server, its loss is the loss of everything: start more to try that.".to_owned(),
        (_, 0) => format!(
            "Kill {faults} of the servers (kill -9 PROCESS) and look again: nothing is lost. There is no spare server to make \
             its member again on; --servers {} would leave one.",
            servers + 1
        ),
        (_, spare) => format!(
            "Kill up to {faults} of the servers (kill -9 PROCESS) and look again: nothing is lost. What was on them is \
             made again, as far as the {} will do.",
            plural(spare as u64, "spare server")
        ),
    });
    lines
}

/// Primaries, fused structures and servers to spare.
fn shape(servers: usize) -> (usize, usize, usize) {
    let faults = if servers > FAULTS + PRIMARIES {
        FAULTS
    } else {
        1
    };
    // One to spare, unless a cluster would not fit then.
    let primaries = servers.saturating_sub(faults + 1).clamp(1, PRIMARIES);
    (
        primaries,
        faults,
        servers.saturating_sub(primaries + faults),
    )
}

/// What has changed between two looks.
fn news(before: &Status, now: &Status) -> Vec<String> {
    let mut lines = Vec::new();
    for server in &now.servers {
        let was = before.servers.iter().find(|s| s.id == server.id);
        let (id, address, pid) = (server.id, &server.address, server.pid);
        match was {
            None => lines.push(format!("server {id} has come: {address} (process {pid})")),
            Some(was) if was.alive && !server.alive => {
                lines.push(format!("server {id} is dead (process {pid})"));
            }
            Some(was) if !was.alive && server.alive => {
                lines.push(format!("server {id} is heard of again (process {pid})"));
            }
            Some(_) => {}
        }
    }
    let key = |e: &Event| (e.at_ms, e.cluster.clone(), e.epoch);
    let last = before.events.last().map(key);
    let seen = now.events.iter().rposition(|e| Some(key(e)) == last);
    for event in &now.events[seen.map_or(0, |at| at + 1)..] {
        lines.push(format!(
            "{}: {} (epoch {})",
            event.cluster, event.reason, event.epoch
        ));
    }
    for cluster in &now.clusters {
        let was = before.clusters.iter().find(|c| c.id == cluster.id);
        let (name, tolerates) = (&cluster.name, tolerance(cluster));
        match was {
            None => lines.push(format!(
                "{name}: a {} with {} primary + {} fused; tolerates {tolerates}",
                cluster.kind, cluster.primaries, cluster.faults
            )),
            Some(was) if tolerance(was) != tolerates => {
                lines.push(format!("{name}: tolerates {tolerates}"));
            }
            Some(_) => {}
        }
    }
    for cluster in &before.clusters {
        if now.clusters.iter().all(|c| c.id != cluster.id) {
            lines.push(format!("{}: removed", cluster.name));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::{cluster, member};
    use fusion_core::id::{Epoch, PrimaryIndex, ServerId};
    use fusion_core::membership::Reason;
    use fusion_net::labels::Labels;
    use fusion_net::service::{ControlPlane, Role, ServerStatus};

    /// It suggested 3 + 2 to whoever had three servers.
    #[test]
    fn the_suggested_cluster_fits_the_servers_and_leaves_one_to_spare_where_that_goes() {
        let shapes: Vec<_> = (1..=7).map(shape).collect();
        let expected = [
            (1, 1, 0),
            (1, 1, 0),
            (1, 1, 1),
            (2, 1, 1),
            (3, 1, 1),
            (3, 2, 1),
            (3, 2, 2),
        ];
        assert_eq!(shapes, expected);
        assert!(suggestion(1)[0].ends_with("--colocate"));
        assert!(suggestion(2)[3].contains("--servers 3"));
        assert!(suggestion(6)[3].contains("1 spare server will"));
        assert!(suggestion(9)[3].contains("4 spare servers will"));
    }

    fn status(servers: &[(u64, bool)]) -> Status {
        let servers = servers.iter().map(|&(id, alive)| ServerStatus {
            id: ServerId(id),
            pid: 1,
            address: format!("a:{id}"),
            alive,
            members: 0,
            draining: false,
            host: String::new(),
            zone: None,
            labels: Labels::default(),
            heard_ms_ago: Some(0),
            memory: None,
        });
        Status {
            servers: servers.collect(),
            clusters: Vec::new(),
            events: Vec::new(),
            problem: None,
            strangers: Vec::new(),
            control: ControlPlane::default(),
        }
    }

    #[test]
    fn what_happens_is_said_once() {
        let before = status(&[(1, true), (2, true)]);
        let mut now = status(&[(1, true), (2, false), (3, true)]);
        now.clusters = vec![cluster(vec![
            member(Role::Primary, 0, None),
            member(Role::Fused, 0, None),
        ])];
        let lost = |at_ms| Event {
            at_ms,
            cluster: "scores".to_owned(),
            epoch: Epoch(2),
            reason: Reason::PrimariesLost(vec![PrimaryIndex(0)]),
            detected_after_ms: None,
        };
        now.events = vec![lost(5)];
        let lines = news(&before, &now);
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[0].starts_with("server 2 is dead"));
        assert!(lines[1].starts_with("server 3 has come"));
        assert!(lines[2].starts_with("scores: primaries lost"));
        assert!(lines[3].starts_with("scores: a map with 1 primary + 1 fused"));
        assert!(news(&now, &now.clone()).is_empty());
        let mut later = now.clone();
        later.events.push(lost(6));
        later.clusters.clear();
        let lines = news(&now, &later);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[1], "scores: removed");
    }
}
