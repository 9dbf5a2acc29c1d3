//! The loss of servers, and how the clusters come back from it.

use crate::output::say;
use crate::progress::Progress;
use crate::status::{explain, tolerance};
use anyhow::Context;
use fusion_core::id::Epoch;
use fusion_core::membership::{Reason, Waiting};
use fusion_net::client::Client;
use fusion_net::local::LocalCluster;
use fusion_net::service::{ClusterStatus, Event, MemberState, Role, Status};
use std::time::{Duration, Instant};

/// Between two looks at how far the recovery is.
const LOOK: Duration = Duration::from_millis(50);

/// After so long without any hope it is given up.
const STUCK: Duration = Duration::from_secs(10);

/// What the loss was, as the coordinator and this process saw it.
#[derive(Debug)]
pub(crate) struct Loss {
    /// The members of the cluster that were on the killed servers.
    pub(crate) members: Vec<String>,
    /// From the last sign of life of what died until the coordinator took it for dead.
    pub(crate) detected_ms: u64,
    /// From there until the last lost primary served again; 0 when none was lost.
    pub(crate) recovered_ms: u64,
    /// From there until as many faults were tolerated as before.
    pub(crate) whole_ms: u64,
    /// From the first kill until every cluster was whole, on this process's clock.
    pub(crate) all_whole: Duration,
}

/// The servers that host the cluster's first `faults` members: primaries, and then fused ones.
pub(crate) fn victims(
    local: &LocalCluster,
    status: &Status,
    cluster: &str,
    faults: usize,
) -> anyhow::Result<Vec<(usize, String)>> {
    let cluster = find(status, cluster)?;
    let members = cluster.members.iter().take(faults);
    let victims = members.map(|member| {
        let role = if member.role == Role::Primary {
            "primary"
        } else {
            "fused"
        };
        let server = status.servers.iter().find(|s| s.id == member.server);
        let number = server.and_then(|s| local.server_with_pid(s.pid));
        let number = number
            .with_context(|| format!("the server of {role} {} is gone already", member.index))?;
        Ok((number, format!("{role} {}", member.index)))
    });
    victims.collect()
}

/// Kills servers with SIGKILL, one right after the other.
pub(crate) async fn kill(
    local: &mut LocalCluster,
    victims: &[(usize, String)],
) -> anyhow::Result<()> {
    for (number, member) in victims {
        let pid = local.server(*number)?.pid();
        local.kill_server(*number).await?;
        say!("  killed server {number} (process {pid}) with {member}")?;
    }
    Ok(())
}

/// Waits until every cluster is whole, and shows how far it is; `before` is the epoch of `cluster` before the loss.
pub(crate) async fn watch(
    client: &Client,
    cluster: &str,
    (before, killed): (Epoch, Instant),
    limit: Duration,
    mut progress: Progress,
) -> anyhow::Result<Loss> {
    let mut moved = Instant::now();
    loop {
        let status = client.status().await?;
        let whole = |c: &ClusterStatus| c.serving && c.tolerates == c.faults;
        let seconds = killed.elapsed().as_secs_f64();
        // Before the loss is noticed, everything looks whole.
        let noticed = find(&status, cluster)?.epoch > before;
        if noticed && status.clusters.iter().all(whole) {
            progress.end()?;
            return Ok(measure(&status.events, cluster, before, killed.elapsed()));
        }
        if !status.clusters.iter().any(stuck) {
            moved = Instant::now();
        }
        if killed.elapsed() > limit || moved.elapsed() > STUCK {
            progress.end()?;
            for cluster in status.clusters.iter().filter(|c| !whole(c)) {
                let why = cluster.waiting.as_ref().map(explain).unwrap_or_default();
                say!("  {} tolerates {}; {why}", cluster.name, tolerance(cluster))?;
            }
            let dead = status.servers.iter().filter(|s| !s.alive).count();
            anyhow::bail!(
                "not recovered after {seconds:.0} s: {dead} servers are dead; more died than were killed here, or this machine is too slow"
            );
        }
        let (stage, detail) = if noticed {
            describe(&status)
        } else {
            (
                "waiting for the coordinator to notice".to_owned(),
                String::new(),
            )
        };
        progress.show(&format!("{stage},"), &format!("{seconds:.1} s {detail}"))?;
        tokio::time::sleep(LOOK).await;
    }
}

/// Nothing will move here unless somebody starts servers.
fn stuck(cluster: &ClusterStatus) -> bool {
    matches!(
        cluster.waiting,
        Some(
            Waiting::MoreThanF { .. }
                | Waiting::NoServer { .. }
                | Waiting::NoMemory { .. }
                | Waiting::Avoided { .. }
        )
    )
}

fn find<'a>(status: &'a Status, cluster: &str) -> anyhow::Result<&'a ClusterStatus> {
    let found = status.clusters.iter().find(|c| c.name == cluster);
    found.with_context(|| format!("the cluster {cluster} is gone"))
}

/// What is under way, and how far.
fn describe(status: &Status) -> (String, String) {
    let mut recovering = 0;
    let mut joining = 0;
    let mut dead = 0;
    let (mut done, mut total) = (0, 0);
    for member in status.clusters.iter().flat_map(|c| &c.members) {
        match member.state {
            MemberState::Active | MemberState::Moving { .. } => {}
            MemberState::Dead => dead += 1,
            MemberState::Recovering { done: d, total: t } => {
                recovering += 1;
                done += d;
                total += t;
            }
            MemberState::Joining { done: d, total: t } => {
                joining += 1;
                done += d;
                total += t;
            }
        }
    }
    let stage =
        format!("{recovering} primaries recovering, {joining} fused being made again, {dead} dead");
    (stage, format!("({done} of {total} pages)"))
}

/// The times of the cluster's changes since epoch `before`.
pub(crate) fn measure(events: &[Event], cluster: &str, before: Epoch, all_whole: Duration) -> Loss {
    let news: Vec<&Event> = events
        .iter()
        .filter(|e| e.cluster == cluster && e.epoch > before)
        .collect();
    let first = news.first().map_or(0, |e| e.at_ms);
    let recovered = |e: &&&Event| matches!(e.reason, Reason::PrimariesRecovered(_));
    let since_first = |event: Option<&&Event>| event.map_or(0, |e| e.at_ms - first);
    Loss {
        members: Vec::new(),
        detected_ms: news
            .first()
            .and_then(|e| e.detected_after_ms)
            .unwrap_or_default(),
        recovered_ms: since_first(news.iter().rev().find(recovered)),
        whole_ms: since_first(news.last()),
        all_whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusion_core::id::PrimaryIndex;

    #[test]
    fn times_are_those_of_the_cluster_and_of_this_loss() {
        let event = |at_ms, cluster: &str, epoch, reason, detected_after_ms| Event {
            at_ms,
            cluster: cluster.to_owned(),
            epoch: Epoch(epoch),
            reason,
            detected_after_ms,
        };
        let lost = || Reason::PrimariesLost(vec![PrimaryIndex(0)]);
        let back = || Reason::PrimariesRecovered(vec![PrimaryIndex(0)]);
        let events = [
            event(100, "a", 2, lost(), Some(900)),
            event(5000, "b", 3, lost(), Some(1)),
            event(5010, "a", 3, lost(), Some(1010)),
            event(5060, "a", 4, back(), None),
            event(5100, "a", 5, Reason::LearnersPromoted(Vec::new()), None),
        ];
        let loss = measure(&events, "a", Epoch(2), Duration::ZERO);
        assert_eq!(
            (loss.detected_ms, loss.recovered_ms, loss.whole_ms),
            (1010, 50, 90)
        );
    }
}
