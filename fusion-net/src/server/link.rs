//! Keeps one fused member up to date with one primary (PROTOCOL rules 12, 13, 16).
//!
//! One message of changes is under way at a time; while it is, changes gather for the next one: group commit without a
//! timer. Beside it go the pages that a learner or heir still needs, one chunk at a time.

use super::host::Host;
use super::primary::{Marks, PrimaryCell};
use crate::clock;
use crate::peer::{Backoff, Movement, within};
use fusion_core::config::Configuration;
use fusion_core::id::{Epoch, MemberId, Seq};
use fusion_core::message::{Chunk, Refusal, Replicate, Route};
use fusion_core::time::Time;
use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// About how many bytes of changes go into one message.
const BATCH_BYTES: usize = 1 << 20;
/// After this time without anything else to send, the fused member is told the stable mark.
const STABLE_DELAY: Duration = Duration::from_millis(20);
const MAX_BACKOFF: Duration = Duration::from_millis(200);

/// Runs a link until its end; begins it anew after a fault of this program, since a link that is silently gone would
/// hold up every write.
pub(crate) async fn keep(
    host: Arc<Host>,
    cell: Weak<PrimaryCell>,
    to: MemberId,
    woken: Arc<Notify>,
) {
    loop {
        let mut task = JoinSet::new();
        task.spawn(run(
            Arc::clone(&host),
            Weak::clone(&cell),
            to,
            Arc::clone(&woken),
        ));
        match task.join_next().await {
            Some(Err(fault)) if fault.is_panic() => {
                tracing::error!(member = %to, %fault, "a replication link failed and begins anew");
                sleep(MAX_BACKOFF).await;
            }
            _ => return,
        }
    }
}

/// Ends when the primary is gone or the member is none of its any more. Pages go at their own pace beside the changes:
/// who copies takes both in any order (rules 16, 19), and clients wait for the changes alone.
async fn run(host: Arc<Host>, cell: Weak<PrimaryCell>, to: MemberId, woken: Arc<Notify>) {
    let pages = async {
        send_pages(&host, &cell, to).await;
        pending().await
    };
    let renewals = async {
        renew_beside(&host, &cell, to).await;
        pending().await
    };
    tokio::select! {
        biased;
        () = send_changes(&host, &cell, to, &woken) => {}
        () = pages => {}
        () = renewals => {}
    }
}

async fn send_changes(host: &Arc<Host>, cell: &Weak<PrimaryCell>, to: MemberId, woken: &Notify) {
    let mut backoff = Backoff::new(MAX_BACKOFF);
    let mut alarm = Alarm::new();
    // What the member was last told, in which epoch, and when.
    let mut told: Option<(Epoch, Seq, Time)> = None;
    // When it is told a stable mark that nothing else brings.
    let mut tell_stable: Option<Instant> = None;
    let Some(marks) = cell.upgrade().map(|primary| primary.watch()) else {
        return;
    };
    loop {
        let Some(primary) = cell.upgrade() else {
            return;
        };
        let seen = *marks.borrow();
        let step = primary.with(|p| {
            let config = Arc::clone(p.config());
            let awaited = p.awaits(to);
            p.replicate(to, BATCH_BYTES, clock::now())
                .map(|r| (config, p.id(), awaited, r))
        });
        let Some((config, from, awaited, replicate)) = step.filter(|_| !seen.closed) else {
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
            && !awaited
            && let Some((heard, lease)) = heard
            && !lease.is_zero()
        {
            let worth_a_message = |m: &Marks| {
                let news = m.applied != seen.applied || m.epoch != seen.epoch;
                m.closed || news || m.asked != seen.asked
            };
            // Without anything to say it is at least asked for its lease again in time (rule 3).
            let (now, same) = (Instant::now(), heard == replicate.stable);
            let until = match same {
                true => now + lease,
                false => (now + lease).min(*tell_stable.get_or_insert(now + STABLE_DELAY)),
            };
            let is_news = |m: &Marks| worth_a_message(m) || (same && m.stable != seen.stable);
            let news = async {
                while !is_news(&marks.borrow()) {
                    woken.notified().await;
                }
            };
            let news = tokio::select! {
                biased;
                () = news => true,
                () = alarm.by(until) => false,
            };
            if news || same || Instant::now() < until {
                continue;
            }
        }
        tell_stable = None;
        let Some(there) = config.host_of(to) else {
            return;
        };
        let route = config.route(from, to);
        let (stable, sent_at) = (replicate.stable, replicate.sent_at);
        // Not so long that a connection which died unnoticed becomes a complaint.
        let patience = config.timing.complain_after() / 2;
        match replicate_to(host, &there.address, route, cell, replicate, patience).await {
            Some(Ok(())) => {
                told = Some((config.epoch, stable, sent_at));
                backoff.reset();
                continue;
            }
            Some(Err(refusal)) => settle(host, &config, refusal, to).await,
            None => {}
        }
        sleep(backoff.wait()).await;
    }
}

/// A timer that is seldom set, since setting one for each message costs as much as the message's coding: it goes off no
/// later than it is asked to, perhaps sooner.
struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    fn new() -> Alarm {
        Alarm(Box::pin(sleep_until(Instant::now())))
    }

    async fn by(&mut self, until: Instant) {
        if self.0.is_elapsed() || until < self.0.deadline() {
            self.0.as_mut().reset(until);
        }
        self.0.as_mut().await;
    }
}

/// Sends changes and takes the acknowledgement; `None` when the way is broken.
async fn replicate_to(
    host: &Host,
    address: &str,
    route: Route,
    cell: &Weak<PrimaryCell>,
    replicate: Replicate,
    patience: Duration,
) -> Option<Result<(), Refusal>> {
    let peer = host.peers.changes.get(address).await.ok()?;
    let Ok(answer) = peer.client().replicate(patience, route, replicate).await else {
        host.peers.changes.forget(&peer);
        return None;
    };
    peer.heard();
    // Should the primary be gone, the connection is none the worse.
    if let (Ok(ack), Some(primary)) = (&answer, cell.upgrade())
        && primary.take_ack(route, *ack)
    {
        // It serves where it was moved to, and nobody needs the one before.
        host.news.notify_one();
    }
    if let (Err(refusal @ Refusal::WentBack), Some(primary)) = (&answer, cell.upgrade()) {
        primary.with(|p| p.on_refusal(route, refusal));
        host.news.notify_one();
    }
    Some(answer.map(|_| ()))
}

/// While a message of changes takes long, asks for the lease by another connection beside it, so that reads go on (rule
/// 57). It looks by a timer of its own: nothing of this is in the way of messages that do not take long.
async fn renew_beside(host: &Arc<Host>, cell: &Weak<PrimaryCell>, to: MemberId) {
    loop {
        let Some(primary) = cell.upgrade() else {
            return;
        };
        let (config, from, message) = primary.with(|p| {
            let message = p.renewal(to, clock::now());
            (Arc::clone(p.config()), p.id(), message)
        });
        drop(primary);
        if let Some(message) = message
            && let Some(there) = config.host_of(to)
        {
            let route = config.route(from, to);
            let limit = config.timing.complain_after() / 2;
            ask_beside(host, &there.address, route, cell, message, limit).await;
        }
        sleep(config.timing.renew_after() / 2).await;
    }
}

/// Sends an empty message by a connection that no changes take. What is refused is settled by the link itself.
async fn ask_beside(
    host: &Host,
    address: &str,
    route: Route,
    cell: &Weak<PrimaryCell>,
    message: Replicate,
    limit: Duration,
) {
    let Ok(peer) = host.peers.fused.get(address).await else {
        return;
    };
    match peer.client().replicate(within(limit), route, message).await {
        Ok(answer) => {
            peer.heard();
            if let (Ok(ack), Some(primary)) = (answer, cell.upgrade())
                && primary.take_ack(route, ack)
            {
                host.news.notify_one();
            }
        }
        Err(_) => host.peers.fused.forget(&peer),
    }
}

/// Gives a learner or heir the snapshot that it starts from, a chunk at a time. Ends when it has all of it: there is never
/// a second one (rule 16).
async fn send_pages(host: &Arc<Host>, cell: &Weak<PrimaryCell>, to: MemberId) {
    let mut backoff = Backoff::new(MAX_BACKOFF);
    let mut next = 0;
    loop {
        let Some(primary) = cell.upgrade() else {
            return;
        };
        let (config, from, chunk) = primary.with(|p| {
            let chunk = p.chunk(to, next).or_else(|| p.chunk(to, 0));
            (Arc::clone(p.config()), p.id(), chunk)
        });
        drop(primary);
        let address = config.host_of(to).map(|h| h.address.clone());
        let (Some(chunk), Some(address)) = (chunk, address) else {
            return;
        };
        let route = config.route(from, to);
        let number = chunk.number;
        let patience = Movement::of(&config.timing);
        match send_chunk(host, &address, route, chunk, patience).await {
            Some(Ok(())) => {
                if let Some(primary) = cell.upgrade() {
                    primary.with(|p| p.on_chunk_ack(route, number));
                }
                next = number + 1;
                backoff.reset();
                continue;
            }
            Some(Err(refusal)) => settle(host, &config, refusal, to).await,
            None => {}
        }
        sleep(backoff.wait()).await;
    }
}

/// Sends pages until nothing of them has moved for long: one of 8 MiB takes its time on a slow network, and given up as a
/// whole it would be sent again for ever (rule 57). `None` when the way is broken.
async fn send_chunk(
    host: &Host,
    address: &str,
    route: Route,
    chunk: Chunk,
    patience: Movement,
) -> Option<Result<(), Refusal>> {
    let peer = host.peers.fused.get(address).await.ok()?;
    let way = peer.client();
    let answer = way.chunk(Movement::context(), route, chunk);
    let answer = way.while_it_moves(patience, || {}, answer).await;
    host.peers.fused.settle(&peer, answer)
}

async fn settle(host: &Arc<Host>, config: &Arc<Configuration>, refusal: Refusal, to: MemberId) {
    match refusal {
        Refusal::Epoch(theirs) => host.reconcile(config, theirs, to).await,
        // It has not heard of its membership yet, or is gone: tell it; the coordinator settles the rest.
        Refusal::NotMember { .. } => drop(host.tell(config, to).await),
        refusal => {
            tracing::warn!(cluster = %config.name, member = %to, %refusal, "a fused member refused changes")
        }
    }
}

#[cfg(test)]
mod tests;
