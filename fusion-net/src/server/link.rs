//! Keeps one fused member up to date with one primary (PROTOCOL rules 12, 13, 16).
//!
//! One message is under way at a time; while it is, changes gather for the next one: group commit without a timer.

use super::host::Host;
use super::primary::{Marks, PrimaryCell};
use crate::clock;
use crate::express::{Broken, Changes};
use crate::peer::{Backoff, Pooled, within};
use fusion_core::config::Configuration;
use fusion_core::id::{Epoch, MemberId, Seq};
use fusion_core::message::{Chunk, Condition, Refusal, Replicate, Route};
use fusion_core::time::Time;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// About how many bytes of changes go into one message.
const BATCH_BYTES: usize = 1 << 20;
/// After this time without anything else to send, the fused member is told the stable mark.
const STABLE_DELAY: Duration = Duration::from_millis(20);
/// How long pages may take before they are sent again.
const CALL: Duration = Duration::from_secs(5);
/// Changes take at least a second for so many bytes.
const BYTES_A_SECOND: u32 = 16 << 20;
const MAX_BACKOFF: Duration = Duration::from_millis(200);

/// Runs a link until its end; begins it anew after a fault of this program, since a link that is silently gone would
/// hold up every write.
pub(crate) async fn keep(host: Arc<Host>, cell: Weak<PrimaryCell>, to: MemberId) {
    loop {
        let mut task = JoinSet::new();
        task.spawn(run(Arc::clone(&host), Weak::clone(&cell), to));
        match task.join_next().await {
            Some(Err(fault)) if fault.is_panic() => {
                tracing::error!(member = %to, %fault, "a replication link failed and begins anew");
                sleep(MAX_BACKOFF).await;
            }
            _ => return,
        }
    }
}

/// Ends when the primary is gone or the member is none of its any more.
async fn run(host: Arc<Host>, cell: Weak<PrimaryCell>, to: MemberId) {
    let mut backoff = Backoff::new(MAX_BACKOFF);
    // What the member was last told, in which epoch, and when.
    let mut told: Option<(Epoch, Seq, Time)> = None;
    let mut next_chunk = 0;
    loop {
        let Some(primary) = cell.upgrade() else {
            return;
        };
        let mut marks = primary.watch();
        let seen = *marks.borrow_and_update();
        let step = primary.with(|p| {
            let config = Arc::clone(p.config());
            let chunk = p.chunk(to, next_chunk).or_else(|| p.chunk(to, 0));
            p.replicate(to, BATCH_BYTES, clock::now())
                .map(|r| (config, p.id(), r, chunk))
        });
        let Some((config, from, replicate, chunk)) = step.filter(|_| !seen.closed) else {
            return;
        };
        drop(primary);
        let heard = told
            .filter(|(epoch, ..)| *epoch == config.epoch)
            .map(|(_, stable, at)| {
                (
                    stable,
                    config
                        .timing
                        .renew_after()
                        .saturating_sub(clock::now().since(at)),
                )
            });
        if replicate.changes.count == 0
            && chunk.is_none()
            && let Some((heard, lease)) = heard
            && !lease.is_zero()
        {
            let worth_a_message =
                |m: &Marks| m.closed || m.applied != seen.applied || m.epoch != seen.epoch;
            // Without anything to say it is at least asked for its lease again in time (rule 3).
            let (wait, same) = if heard == replicate.stable {
                (lease, true)
            } else {
                (STABLE_DELAY.min(lease), false)
            };
            let news = marks.wait_for(|m| worth_a_message(m) || (same && m.stable != seen.stable));
            if timeout(wait, news).await.is_ok() || same {
                continue;
            }
        }
        let Some(address) = config.host_of(to).map(|h| h.address.clone()) else {
            return;
        };
        let route = Route {
            cluster: config.cluster,
            epoch: config.epoch,
            from,
            to,
        };
        let (stable, sent_at) = (replicate.stable, replicate.sent_at);
        let outcome = match host.peers.changes.get(&address).await {
            Ok(peer) => {
                let limit = patience(&config, &replicate);
                let work = (replicate, chunk);
                let outcome = send(&host, &peer, &address, route, &cell, work, limit).await;
                if matches!(outcome, Outcome::Broken) {
                    host.peers.changes.forget(&peer);
                }
                outcome
            }
            Err(_) => Outcome::Broken,
        };
        match outcome {
            Outcome::Sent { chunk } => {
                told = Some((config.epoch, stable, sent_at));
                next_chunk = chunk.map_or(0, |n| n + 1);
                backoff.reset();
            }
            Outcome::Refused(refusal) => {
                settle(&host, &config, refusal, to).await;
                sleep(backoff.wait()).await;
            }
            Outcome::Broken | Outcome::PagesBroken => sleep(backoff.wait()).await,
        }
    }
}

enum Outcome {
    Sent {
        chunk: Option<u32>,
    },
    Refused(Refusal),
    /// The way of the changes is broken.
    Broken,
    /// Only that of the pages is.
    PagesBroken,
}

async fn send(
    host: &Host,
    peer: &Pooled<Changes>,
    address: &str,
    route: Route,
    cell: &Weak<PrimaryCell>,
    (replicate, chunk): (Replicate, Option<Chunk>),
    limit: Duration,
) -> Outcome {
    let number = chunk.as_ref().map(|c| c.number);
    // An acknowledgement counts at once: the pages of a learner may take much longer.
    let changes = async {
        let answer = peer.client.replicate(limit, route, replicate).await;
        if answer.is_ok() {
            peer.heard();
        }
        if let (Ok(Ok(ack)), Some(primary)) = (&answer, cell.upgrade()) {
            let stopped = primary.with(|p| {
                p.on_ack(route, *ack, clock::now())
                    && matches!(p.condition(), Condition::Drained { .. })
            });
            if stopped {
                // Its clients wait for nothing but the coordinator now.
                host.news.notify_one();
            }
        }
        answer
    };
    let pages = async {
        let chunk = chunk?;
        let answer = match host.peers.fused.get(address).await {
            Ok(peer) => {
                let answer = peer.client.chunk(within(CALL), route, chunk).await;
                match answer {
                    Ok(_) => peer.heard(),
                    Err(_) => host.peers.fused.forget(&peer),
                }
                answer.map_err(|_| Broken)
            }
            Err(_) => Err(Broken),
        };
        Some(answer)
    };
    let (ack, added) = tokio::join!(changes, pages);
    let refusal = match ack {
        Ok(Ok(_)) => None,
        Ok(Err(refusal)) => Some(refusal),
        Err(_) => return Outcome::Broken,
    };
    match (added, number) {
        (Some(Ok(Ok(()))), Some(number)) => {
            // Should the primary be gone, the connection is none the worse.
            if let Some(primary) = cell.upgrade() {
                primary.with(|p| p.on_chunk_ack(route, number));
            }
        }
        (Some(Ok(Err(refusal))), _) => return Outcome::Refused(refusal),
        (Some(Err(_)), _) => return Outcome::PagesBroken,
        _ => {}
    }
    refusal.map_or(Outcome::Sent { chunk: number }, Outcome::Refused)
}

/// How long changes may take before they are sent again by another connection: not so long that a connection which died
/// unnoticed becomes a complaint.
fn patience(config: &Configuration, replicate: &Replicate) -> Duration {
    let bytes = replicate.changes.bytes.len() as u32;
    let least = config.timing.complain_after() / 2;
    least + Duration::from_secs(1) * bytes / BYTES_A_SECOND
}

async fn settle(host: &Arc<Host>, config: &Arc<Configuration>, refusal: Refusal, to: MemberId) {
    match refusal {
        Refusal::Epoch(theirs) => host.reconcile(config, theirs, to).await,
        // It has not heard of its membership yet, or is gone: tell it; the coordinator settles the rest.
        Refusal::NotMember { .. } => host.tell(config, to).await,
        refusal => {
            tracing::warn!(cluster = %config.name, member = %to, %refusal, "a fused member refused changes")
        }
    }
}
