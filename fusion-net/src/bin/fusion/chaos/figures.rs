//! How long clients wait at each kind of loss: every primary is asked for a read and a write again and again while
//! servers are killed, and the longest wait for one answer counts.

use super::report::Spread;
use crate::bench::entries::{Entries, Target};
use crate::output::{self, say};
use crate::playground;
use crate::table::{Table, count};
use anyhow::{Context, ensure};
use bytes::Bytes;
use fusion_core::id::Epoch;
use fusion_core::op::Op;
use fusion_net::client::{Client, ClusterSpec, Kind, Raw};
use fusion_net::local::LocalCluster;
use fusion_net::service::Role;
use serde::Serialize;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const NAME: &str = "figures";
/// Values have so many bytes, keys 16.
const VALUE_BYTES: usize = 64;
/// Between two calls of a prober.
const REST: Duration = Duration::from_millis(1);
/// The coordinator is away for so long.
const AWAY: Duration = Duration::from_secs(3);
/// Before a loss, and after everything is whole again.
const CALM: Duration = Duration::from_millis(500);
const WHOLE_WITHIN: Duration = Duration::from_secs(120);

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Nothing,
    Primary,
    Fused,
    Primaries(usize),
    /// Half of them primaries, the others fused structures.
    Mixed(usize),
    Coordinator,
}

impl Loss {
    fn name(self) -> String {
        match self {
            Loss::Nothing => "nothing".to_owned(),
            Loss::Primary => "one primary".to_owned(),
            Loss::Fused => "one fused structure".to_owned(),
            Loss::Primaries(count) => format!("{count} primaries at once"),
            Loss::Mixed(count) => {
                let (lost, fused) = (primaries(count.div_ceil(2)), count / 2);
                format!("{lost} and {fused} fused at once")
            }
            Loss::Coordinator => format!("the coordinator, for {} s", AWAY.as_secs()),
        }
    }

    fn members(self) -> (usize, usize) {
        match self {
            Loss::Nothing | Loss::Coordinator => (0, 0),
            Loss::Primary => (1, 0),
            Loss::Fused => (0, 1),
            Loss::Primaries(count) => (count, 0),
            Loss::Mixed(count) => (count.div_ceil(2), count / 2),
        }
    }
}

/// A number of primaries in words.
fn primaries(count: usize) -> String {
    match count {
        1 => "1 primary".to_owned(),
        count => format!("{count} primaries"),
    }
}

/// One line of the table.
#[derive(Debug, Serialize)]
struct Row {
    loss: String,
    /// The longest wait of a client of a lost primary.
    lost_ms: Spread,
    /// Of a client of any other primary.
    others_ms: Spread,
    /// From the last sign of life to the decision that it is dead.
    detected_ms: Spread,
    /// From the kill until all faults were tolerated again.
    whole_ms: Spread,
}

#[derive(Serialize)]
struct Figures {
    primaries: usize,
    faults: usize,
    elements: u64,
    repeated: u16,
    suspect_after_ms: u64,
    debug_build: bool,
    losses: Vec<Row>,
}

/// Runs `fusion chaos --figures`.
pub(super) async fn run(
    (n, f): (usize, usize),
    elements: u64,
    repeat: u16,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let note = |text: String| if json { Ok(()) } else { say!("{text}") };
    if cfg!(debug_assertions) {
        note("(a debug build: these figures say little)".to_owned())?;
    }
    note(format!(
        "{n} + {f}, {} elements in each primary, each loss {repeat} times; min / median / max",
        count(elements)
    ))?;
    let entries = Entries {
        keys: elements,
        value_bytes: VALUE_BYTES,
    };
    let losses = playground::run(n + f + f + 1, async |local| {
        let client = local.client().await?;
        client
            .create(&ClusterSpec::new(NAME, Kind::Map, n, f))
            .await?;
        for index in 0..n {
            let target = Target::One(client.raw(NAME, index).await?);
            entries.fill(&target, 256).await?;
        }
        let mut losses = vec![Loss::Nothing, Loss::Primary, Loss::Fused];
        if f > 1 {
            losses.extend([Loss::Primaries(f.min(n)), Loss::Mixed(f)]);
        }
        losses.push(Loss::Coordinator);
        let mut rows = Vec::new();
        for loss in losses {
            rows.push(measure(local, &client, n, loss, repeat).await?);
        }
        Ok(rows)
    });
    let Some(losses) = losses.await? else {
        return Ok(ExitCode::from(playground::INTERRUPTED));
    };
    if json {
        output::json(&Figures {
            primaries: n,
            faults: f,
            elements,
            repeated: repeat,
            suspect_after_ms: suspect_after().as_millis() as u64,
            debug_build: cfg!(debug_assertions),
            losses,
        })?;
    } else {
        say!("{}", table(&losses))?;
        say!(
            "a silent server is taken for dead after {} ms",
            suspect_after().as_millis()
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn suspect_after() -> Duration {
    fusion_core::time::Timing::default().suspect_after()
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new([
        "LOST",
        "ITS CLIENTS WAIT",
        "CLIENTS OF OTHERS WAIT",
        "NOTICED AFTER",
        "ALL WHOLE AFTER",
    ]);
    for row in rows {
        let text = |spread: &Spread| match spread.count {
            0 => "-".to_owned(),
            _ => spread.to_string(),
        };
        table.row([
            row.loss.clone(),
            text(&row.lost_ms),
            text(&row.others_ms),
            text(&row.detected_ms),
            text(&row.whole_ms),
        ]);
    }
    table
}

/// One client of one primary that asks for a read and a write in turn.
struct Prober {
    index: usize,
    /// Its longest wait since it was last asked for, in microseconds.
    longest: Arc<AtomicU64>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Prober {
    fn start(index: usize, raw: Raw, stop: Arc<AtomicBool>) -> Prober {
        let longest = Arc::new(AtomicU64::new(0));
        let record = Arc::clone(&longest);
        let task = tokio::spawn(async move {
            let key = Bytes::from_static(b"probe");
            let mut reads = false;
            while !stop.load(Ordering::Relaxed) {
                let (key, value) = (key.clone(), key.clone());
                let op = if reads {
                    Op::Contains { key }
                } else {
                    Op::Put { key, value }
                };
                reads = !reads;
                let asked = Instant::now();
                raw.call(op).await?;
                record.fetch_max(asked.elapsed().as_micros() as u64, Ordering::Relaxed);
                tokio::time::sleep(REST).await;
            }
            Ok(())
        });
        Prober {
            index,
            longest,
            task,
        }
    }
}

async fn measure(
    local: &mut LocalCluster,
    client: &Client,
    primaries: usize,
    loss: Loss,
    repeat: u16,
) -> anyhow::Result<Row> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut probers = Vec::new();
    for index in 0..primaries {
        // One asks for a write when the other does for a read, most of the time.
        for _ in 0..2 {
            let raw = client.raw(NAME, index).await?;
            probers.push(Prober::start(index, raw, Arc::clone(&stop)));
        }
    }
    let (mut lost_ms, mut others_ms) = (Vec::new(), Vec::new());
    let (mut detected_ms, mut whole_ms) = (Vec::new(), Vec::new());
    for _ in 0..repeat {
        tokio::time::sleep(CALM).await;
        probers
            .iter()
            .for_each(|p| p.longest.store(0, Ordering::Relaxed));
        let (lost, fused) = loss.members();
        let victims = victims(local, client, (lost, fused)).await?;
        let before = client.cluster(NAME).await?.epoch;
        let killed_at = Instant::now();
        let mut addresses = Vec::new();
        for victim in victims {
            addresses.push(local.kill_server(victim).await?);
        }
        if loss == Loss::Coordinator {
            local.kill_coordinator().await?;
            tokio::time::sleep(AWAY).await;
            local.start_coordinator().await?;
        } else if loss != Loss::Nothing {
            let detected = wait_whole(client, before).await?;
            whole_ms.push(killed_at.elapsed().as_millis() as u64);
            detected_ms.extend(detected);
        }
        tokio::time::sleep(CALM).await;
        // Of those asked: the greatest of all probers.
        let longest = |is_lost: bool| {
            let asked = probers.iter().filter(|p| (p.index < lost) == is_lost);
            asked
                .map(|p| p.longest.load(Ordering::Relaxed) / 1000)
                .max()
        };
        lost_ms.extend(longest(true));
        others_ms.extend(longest(false));
        for address in addresses {
            local.restart_server(&address).await?;
        }
        local.wait_registered(WHOLE_WITHIN).await?;
    }
    stop.store(true, Ordering::Relaxed);
    for prober in probers {
        prober.task.await??;
    }
    Ok(Row {
        loss: loss.name(),
        lost_ms: Spread::of(lost_ms),
        others_ms: Spread::of(others_ms),
        detected_ms: Spread::of(detected_ms),
        whole_ms: Spread::of(whole_ms),
    })
}

/// The servers of the first so many primaries and fused structures.
async fn victims(
    local: &LocalCluster,
    client: &Client,
    (lost, fused): (usize, usize),
) -> anyhow::Result<Vec<usize>> {
    let status = client.status().await?;
    let cluster = status.clusters.iter().find(|c| c.name == NAME);
    let members = &cluster.context("the cluster is there")?.members;
    let of = |role: Role, count: usize| {
        members
            .iter()
            .filter(move |m| m.role == role && m.index < count)
    };
    let hit = of(Role::Primary, lost).chain(of(Role::Fused, fused));
    let victims = hit.map(|member| {
        let server = status.servers.iter().find(|s| s.id == member.server);
        server
            .and_then(|s| local.server_with_pid(s.pid))
            .context("its server runs")
    });
    victims.collect()
}

/// Waits until the cluster is whole at a later epoch; answers after how long each death was noticed.
async fn wait_whole(client: &Client, before: Epoch) -> anyhow::Result<Vec<u64>> {
    let started = Instant::now();
    loop {
        let status = client.status().await?;
        let cluster = status.clusters.iter().find(|c| c.name == NAME);
        let cluster = cluster.context("the cluster is there")?;
        if cluster.epoch > before && cluster.serving && cluster.tolerates == cluster.faults {
            let news = status
                .events
                .iter()
                .filter(|e| e.cluster == NAME && e.epoch > before);
            return Ok(news.filter_map(|e| e.detected_after_ms).collect());
        }
        ensure!(
            started.elapsed() < WHOLE_WITHIN,
            "not whole after {WHOLE_WITHIN:?}: {:?}",
            cluster.waiting
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixed_loss_is_of_as_many_members_as_it_says() {
        for count in 1..9 {
            let (primaries, fused) = Loss::Mixed(count).members();
            assert_eq!(primaries + fused, count);
        }
    }
}
