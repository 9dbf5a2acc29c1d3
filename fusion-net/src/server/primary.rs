//! A primary structure and the tasks that replicate it; and the service that reaches it.

use super::host::{Host, Member, Peers};
use super::link;
use super::links::Links;
use super::sound::{Broken, Sound};
use super::successor::Successor;
use crate::clock;
use crate::memory::Memory;
use crate::peer::Backoff;
use crate::service::{self, Answers, Counted};
use crate::wire::Guest;
use fusion_core::config::{Configuration, Reads};
use fusion_core::id::{Epoch, MemberId, Seq};
use fusion_core::memory::MemoryUse;
use fusion_core::message::{
    Ack, ClientBatch, ClientReply, MemberReport, RecoveryReply, RecoveryRequest, Refusal, Route,
};
use fusion_core::op::OpError;
use fusion_core::primary::{Primary, Submitted};
use fusion_core::time::Time;
use std::sync::Arc;
use std::time::Duration;
use tarpc::context::Context;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// About how many bytes of answers go into one frame; the rest of a batch is put off.
const MAX_REPLY_BYTES: usize = 4 << 20;
const MAX_BACKOFF: Duration = Duration::from_millis(200);

/// What moves as a primary works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    /// The last change made: links have something to send.
    pub applied: Seq,
    /// The stable mark: links have it to tell.
    pub stable: Seq,
    /// Up to here answers may go out.
    pub answerable: Seq,
    /// The epoch: links have something to tell.
    pub epoch: Epoch,
    /// Until when it may read.
    pub leased_until: Time,
    /// Reads that rest on no lease may go out up to this round, and wait up to that one; 0 where they rest on leases.
    pub confirmed: u64,
    pub asked: u64,
    /// Not a member any more.
    pub closed: bool,
}

impl Marks {
    fn of(primary: &Primary) -> Marks {
        Marks {
            applied: primary.applied(),
            stable: primary.stable(),
            answerable: primary.answerable(),
            epoch: primary.config().epoch,
            leased_until: primary.leased_until(),
            confirmed: primary.confirmed(),
            asked: primary.asked(),
            closed: false,
        }
    }

    /// Whether anybody may wait for what is new here. A lease that goes on is no news; one that was over is.
    fn is_news(&self, before: &Marks) -> bool {
        let regained =
            before.leased_until < self.leased_until && before.leased_until <= clock::now();
        regained
            || (Marks {
                leased_until: before.leased_until,
                ..*self
            }) != *before
    }
}

/// A primary with its tasks. Requests are applied under its lock without an await in between, so that a caller that
/// goes away leaves nothing half done; only the wait for the stable mark ends with the caller.
#[derive(Debug)]
pub(crate) struct PrimaryCell {
    primary: Sound<Primary>,
    marks: watch::Sender<Marks>,
    links: Links,
}

impl PrimaryCell {
    pub(crate) fn start(host: &Arc<Host>, primary: Primary) -> Arc<PrimaryCell> {
        let marks = Marks::of(&primary);
        let cell = Arc::new(PrimaryCell {
            primary: Sound::new(primary),
            marks: watch::Sender::new(marks),
            links: Links::default(),
        });
        cell.relink(host);
        cell
    }

    /// Runs something on the primary, and lets waiters know what it moved.
    ///
    /// # Panics
    /// When a fault has broken the primary: whoever still uses it, or waits for it, ends, too, until its host gives it up
    /// (rule 65).
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Primary) -> T) -> T {
        let mut primary = self.primary.lock().expect("the primary is sound");
        let result = act(&mut primary);
        let now = Marks::of(&primary);
        let is_news = self.marks.send_if_modified(|marks| {
            let before = *marks;
            *marks = Marks {
                closed: before.closed,
                ..now
            };
            marks.is_news(&before)
        });
        drop(primary);
        if is_news {
            // After those that wait for the stable mark: theirs are answers.
            self.links.wake();
        }
        result
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.primary.is_broken()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Marks> {
        self.marks.subscribe()
    }

    /// What it reports (rules 22, 25, 36).
    pub(crate) fn report(&self, blank: MemberReport) -> Result<MemberReport, Broken> {
        let primary = self.primary.lock()?;
        let stats = primary.structure().stats();
        Ok(MemberReport {
            condition: primary.condition(),
            complaints: primary.complaints(),
            elements: stats.elements,
            payload_bytes: stats.entry_bytes,
            page_bytes: stats.page_bytes,
            frozen_bytes: primary.frozen_bytes(),
            ..blank
        })
    }

    /// Looks at the clock (rule 56), and whether messages to those that copy it move (rule 57); returns whether it has
    /// something new to complain about.
    pub(crate) fn look(&self, peers: &Peers) -> bool {
        self.primary.lock().is_ok_and(|mut primary| {
            let now = clock::now();
            for to in moves(&primary, peers) {
                primary.on_progress(to, now);
            }
            primary.tick(now)
        })
    }

    /// It was moved: it serves nobody any more, and tells the one that takes over until that has heard (rule 36).
    pub(crate) fn retire(self: &Arc<Self>, host: &Arc<Host>, config: Arc<Configuration>) {
        self.with(|primary| primary.retire(Arc::clone(&config)));
        self.close();
        let (host, me) = (Arc::clone(host), Arc::downgrade(self));
        tokio::spawn(async move {
            let mut backoff = Backoff::new(MAX_BACKOFF);
            while let Some(cell) = me.upgrade() {
                let Ok((current, to)) = cell.primary.lock().map(|primary| {
                    let current = primary.config().epoch == config.epoch;
                    (current, primary.successor())
                }) else {
                    return;
                };
                drop(cell);
                let Some(to) = to.filter(|_| current) else {
                    return;
                };
                if host.tell(&config, to).await {
                    return;
                }
                sleep(backoff.wait()).await;
            }
        });
    }

    /// Taken for dead: no link speaks until it is named again. Who waits for an answer waits on: it may come yet.
    pub(crate) fn suspend(&self, config: Arc<Configuration>) {
        self.with(|primary| primary.suspend(config));
        self.links.end();
    }

    pub(crate) fn adopt(self: &Arc<Self>, host: &Arc<Host>, config: Arc<Configuration>) {
        self.with(|primary| primary.adopt(config));
        self.relink(host);
    }

    /// One task for each fused member that must be kept up to date; none of a primary that was taken for dead.
    fn relink(self: &Arc<Self>, host: &Arc<Host>) {
        let Ok(primary) = self.primary.lock() else {
            return;
        };
        if primary.is_suspended() {
            return;
        }
        let wanted: Vec<_> = primary.links().collect();
        drop(primary);
        self.links.keep(&wanted, |to, woken| {
            let link = link::keep(Arc::clone(host), Arc::downgrade(self), to, woken);
            tokio::spawn(link).abort_handle()
        });
    }

    /// Takes an acknowledgement. Answers whether it is the one by which a primary that was moved here is known to serve.
    pub(crate) fn take_ack(&self, route: Route, ack: Ack) -> bool {
        let (settled, completed) = self.with(|primary| {
            let unleased = primary.leased_until() == Time(0);
            let completed = primary.on_ack(route, ack, clock::now());
            let settled = unleased && primary.leased_until() > Time(0);
            (settled, completed)
        });
        if completed {
            self.links.was_last(route.to);
        }
        settled
    }

    /// The member is no more: waiting callers are told so and look for its successor.
    pub(crate) fn close(&self) {
        self.links.end();
        self.marks.send_modify(|marks| marks.closed = true);
    }

    /// As it was before it was [closed](Self::close), with what it has (rule 61).
    pub(crate) fn open(self: &Arc<Self>, host: &Arc<Host>) {
        self.marks.send_modify(|marks| marks.closed = false);
        let suspended = self.primary.lock().is_ok_and(|p| p.is_suspended());
        if !suspended {
            self.relink(host);
        }
    }

    /// Reads wait for the leases a while, since they come with the next acknowledgements; without them they are refused,
    /// and the client looks for another primary (rule 10).
    async fn wait_for_leases(&self, marks: &mut watch::Receiver<Marks>) {
        if clock::now() < marks.borrow().leased_until {
            return;
        }
        let Ok(config) = self.primary.lock().map(|p| Arc::clone(p.config())) else {
            return;
        };
        if config.reads == Reads::Confirmed {
            return;
        }
        let most = config.timing.lease_primary();
        let leased = marks.wait_for(|m| m.closed || clock::now() < m.leased_until);
        let _ = timeout(most, leased).await;
    }

    /// Executes a batch, then waits until all that its answers depend on is stable, and its reads are confirmed where they
    /// rest on no lease (rules 11, 58).
    async fn execute(
        &self,
        batch: Counted<ClientBatch>,
        guest: &Guest,
        memory: &Memory,
    ) -> Result<Answers, Refusal> {
        let mut marks = self.watch();
        let executed = self.execute_now(&batch.message, guest, memory, &mut marks);
        let executed = executed.await;
        let Some((answers, after, round)) = executed else {
            return Err(self.refusal());
        };
        // What waits for the others holds its answers, and no requests: neither their memory nor room for it.
        drop(batch);
        let is_safe = |m: &Marks| m.answerable >= after && m.confirmed >= round;
        let settled = marks.wait_for(|m| m.closed || is_safe(m)).await;
        let safe = settled.is_ok_and(|m| is_safe(&m));
        if safe {
            Ok(answers)
        } else {
            Err(Refusal::Deposed)
        }
    }

    /// Why nothing is executed: it was moved, and says where to, or it was taken for dead.
    fn refusal(&self) -> Refusal {
        let Ok(primary) = self.primary.lock() else {
            return Refusal::Deposed;
        };
        match primary.successor() {
            Some(_) => Refusal::Epoch(Arc::clone(primary.config())),
            None => Refusal::Deposed,
        }
    }

    /// Executes a batch; `None` when it was taken for dead or moved, and nothing was executed.
    async fn execute_now(
        &self,
        batch: &ClientBatch,
        guest: &Guest,
        memory: &Memory,
        marks: &mut watch::Receiver<Marks>,
    ) -> Option<(Answers, Seq, u64)> {
        if batch.requests.iter().any(|r| r.id.is_none()) {
            self.wait_for_leases(marks).await;
        }
        let mut room = guest.room_for_answer().await;
        if marks.borrow().closed {
            // While it waited: nobody reckons with what it would do now.
            return None;
        }
        let (now, memory) = (clock::now(), memory.in_use());
        // No await from here to the end of this statement: see the type's comment.
        let (replies, after, round, bytes) = self.with(|primary| {
            if primary.is_suspended() {
                return None;
            }
            primary.set_memory(memory);
            let (mut after, mut round) = (Seq(0), 0);
            let opened = batch.open.map(|session| {
                let incarnation = primary.open_session(session);
                after = incarnation.unwrap_or_default();
                let refusal = match primary.is_below_floor() {
                    true => ClientReply::BelowFloor,
                    false => ClientReply::Busy,
                };
                incarnation.map_or(refusal, ClientReply::Opened)
            });
            let mut bytes = 0;
            // Of operations that were sent together the front is executed: they keep their order.
            let mut executed = true;
            let replies = batch.requests.iter().map(|request| {
                let goes_on = executed || !request.follows;
                executed = goes_on && bytes <= MAX_REPLY_BYTES;
                if !executed {
                    return ClientReply::Deferred;
                }
                let refusal = match primary.submit(request, now) {
                    Submitted::Done {
                        result,
                        after: this,
                        round: waits_for,
                    } => {
                        after = after.max(this);
                        round = round.max(waits_for);
                        bytes += result
                            .as_ref()
                            .map_or(0, fusion_core::op::Reply::payload_bytes);
                        return ClientReply::Done(result, this);
                    }
                    Submitted::Stale => ClientReply::Stale,
                    Submitted::BadRequest => ClientReply::BadRequest,
                    Submitted::SessionUnknown => ClientReply::SessionUnknown,
                    Submitted::Busy => ClientReply::Busy,
                    Submitted::BelowFloor => ClientReply::BelowFloor,
                    // As an operation that fails: those behind it are executed, removals say.
                    Submitted::Full(MemoryUse {
                        used,
                        limit,
                        reserve,
                    }) => {
                        let full = OpError::OutOfMemory {
                            used,
                            limit,
                            reserve,
                        };
                        return ClientReply::Done(Err(full), primary.applied());
                    }
                    Submitted::NoLease => ClientReply::NoLease,
                    Submitted::Suspended => ClientReply::NoLease,
                };
                executed = false;
                refusal
            });
            let replies: Vec<_> = opened.into_iter().chain(replies).collect();
            if let Some((session, incarnation)) = batch.close {
                primary.close_session(session, incarnation);
            }
            Some((replies, after, round, bytes))
        })?;
        room.shrink_to(bytes);
        Some((Answers { replies, room }, after, round))
    }
}

/// Those that a long message is on its way to, and moves.
fn moves(primary: &Primary, peers: &Peers) -> Vec<MemberId> {
    let config = primary.config();
    let moves = |to: &MemberId| {
        let there = config.host_of(*to);
        let way = there.and_then(|host| peers.changes.known(&host.address));
        way.is_some_and(|way| way.has_moved_within(config.timing.heartbeat()))
    };
    primary.links().filter(moves).collect()
}

/// The tarpc service of all primaries of this process.
#[derive(Clone)]
pub(crate) struct PrimaryServer {
    host: Arc<Host>,
    guest: Arc<Guest>,
}

impl PrimaryServer {
    pub(crate) fn new(host: Arc<Host>, guest: Arc<Guest>) -> Self {
        PrimaryServer { host, guest }
    }
}

impl PrimaryServer {
    /// Executes a batch at one of the primaries; answers when all that the answers depend on is safe.
    pub(crate) async fn execute_batch(
        &self,
        batch: Counted<ClientBatch>,
    ) -> Result<Answers, Refusal> {
        let (cluster, member) = (batch.message.cluster, batch.message.member);
        if let Some(Member::Successor(successor)) = self.host.member(cluster, member) {
            // It takes over, and tells its clients so when it has.
            Successor::wait(successor).await;
        }
        match self.host.member(cluster, member) {
            Some(Member::Primary(cell)) => {
                cell.execute(batch, &self.guest, &self.host.memory).await
            }
            _ => Err(self.host.elsewhere(cluster, member)),
        }
    }
}

impl service::Primary for PrimaryServer {
    async fn execute(self, _: Context, batch: Counted<ClientBatch>) -> Result<Answers, Refusal> {
        self.execute_batch(batch).await
    }

    async fn streams(self, _: Context) -> Option<u16> {
        self.host.streams()
    }

    async fn recover(
        self,
        _: Context,
        route: Route,
        request: RecoveryRequest,
    ) -> Result<Counted<RecoveryReply>, Refusal> {
        match self.host.member(route.cluster, route.to) {
            Some(Member::Primary(cell)) => {
                let room = self.guest.room_for_recovery().await;
                let reply =
                    cell.with(|primary| primary.on_recovery(route, &request, clock::now()))?;
                // Not before: whoever is refused is no member.
                self.guest.is_member();
                Ok(Counted::answer(reply, room))
            }
            // It takes over: whoever recovers another primary asks again.
            Some(Member::Successor(_)) => Err(Refusal::Busy),
            _ => Err(self.host.not_here(route)),
        }
    }

    async fn adopt(self, _: Context, config: Arc<Configuration>) {
        self.host.adopt(config);
    }
}

#[cfg(test)]
mod tests;
