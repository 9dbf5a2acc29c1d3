//! The driver of a lane, a task of its own: gathers concurrent calls into batches, keeps sessions, follows the primary when it
//! moves.

use super::Error;
use super::call::{Ask, Pending};
use super::route::{Connections, Refreshed, Route};
use super::session::Session;
use super::structure::Answer;
use super::taken::{Take, Taken};
use super::waiting::{Again, Waiting};
use crate::peer::{Backoff, Patience};
use crate::wire::ConnectError;
use fusion_core::config::PrimaryState;
use fusion_core::id::{PrimaryIndex, Seq, SessionId};
use fusion_core::message::{ClientBatch, ClientReply, Refusal};
use fusion_core::op::{OpError, OpResult};
use futures::future::{BoxFuture, FutureExt, OptionFuture};
use futures::stream::{FuturesUnordered, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

/// How many batches are under way at a time.
const BATCHES: usize = 2;
/// How many requests are under way at a time where each has one call only.
const SINGLES: usize = 512;
/// The most calls that wait to be sent; further ones wait for room.
const QUEUE: usize = 4096;
const MAX_BACKOFF: Duration = Duration::from_millis(250);
/// How long one batch may take before it is sent again.
const CALL: Duration = Duration::from_secs(10);
/// After this time without an answer the coordinator is asked whether the primary is still the primary.
const HUNG: Duration = Duration::from_millis(500);
/// The longest time that a call is given, whatever its client asks for.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How long the end of a session may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// While a batch is under way there is a timer so near: every later one, of each call's deadline, is then set without
/// waking the runtime by a system call.
const TICK: Duration = Duration::from_millis(20);
/// The most takes that are asked about again: each takes a slot of the session.
const MOST_PARKED: usize = 256;
fn name(route: &Route, index: PrimaryIndex) -> String {
    format!("primary {} of {}", index.0, route.config().name)
}

/// Who owes an answer, as far as this client has heard.
pub(super) fn owing(route: &Route, index: PrimaryIndex) -> String {
    let (config, name) = (route.config(), name(route, index));
    match config.primary(index) {
        Some(seat) if seat.state == PrimaryState::Active => {
            format!(
                "waiting for {name}, at {}, or for the fused members behind it; `fusion status` says who is dead",
                seat.host.address
            )
        }
        _ => format!("{name} is lost, and not recovered yet"),
    }
}

enum Answered {
    Replies(Vec<ClientReply>),
    /// Not sent: there is no connection.
    NotReached(ConnectError),
    /// Not answered; `unsure` when it was perhaps executed.
    Not {
        unsure: bool,
    },
    /// Not executed: the primary is elsewhere, and the route says where.
    Elsewhere,
}

/// The driver.
pub(super) struct Driver {
    connections: Connections,
    route: Arc<Route>,
    index: PrimaryIndex,
    session: Session,
    /// The session that a batch under way opens.
    opening: Option<SessionId>,
    waiting: Waiting,
    taken: Arc<Taken>,
    /// Takes that may have been made for callers that are gone: asked about again when somebody takes something.
    parked: Vec<Pending>,
    /// How many calls under way take something.
    takes_under_way: usize,
    /// Several callers are at work: the last answers were for more than one, or somebody waited meanwhile.
    crowded: bool,
    backoff: Backoff,
    /// How long a connection may take to be made.
    patience: Patience,
    /// Nothing is sent before, since something failed.
    hold: Option<Instant>,
    /// A coordinator is asked for the next configuration. It may hang; what is under way goes on.
    looking: Option<BoxFuture<'static, Refreshed>>,
    /// Why none could say anything when it was asked last.
    unknown: Option<String>,
    /// Too few codes were in sync for a change when one was sent last (rule 53).
    below_floor: bool,
    /// No change is sent before, for that; reads are.
    hold_changes: Option<Instant>,
}

impl Driver {
    pub(super) fn new(
        connections: Connections,
        route: Arc<Route>,
        index: PrimaryIndex,
        taken: &Arc<Taken>,
    ) -> Driver {
        Driver {
            connections,
            route,
            index,
            session: Session::new(),
            opening: None,
            waiting: Waiting::default(),
            taken: Arc::clone(taken),
            parked: Vec::new(),
            takes_under_way: 0,
            crowded: false,
            backoff: Backoff::new(MAX_BACKOFF),
            patience: Patience::growing(),
            hold: None,
            looking: None,
            unknown: None,
            below_floor: false,
            hold_changes: None,
        }
    }

    /// Starts it as a task of the caller's runtime.
    pub(super) fn start(self) -> mpsc::Sender<Ask> {
        let (calls, queue) = mpsc::channel(QUEUE);
        let lanes = self.connections.lanes.clone();
        lanes.spawn(self.run(queue));
        calls
    }

    async fn run(mut self, mut queue: mpsc::Receiver<Ask>) {
        let mut under_way = FuturesUnordered::new();
        let mut open = true;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let batches = if self.connections.coalesce {
            BATCHES
        } else {
            SINGLES
        };
        while open || !self.waiting.is_empty() || !under_way.is_empty() {
            while under_way.len() < batches && self.is_worth_a_batch(under_way.len()) {
                match self.batch() {
                    Some((address, batch, calls)) => {
                        let (connections, route) =
                            (self.connections.clone(), Arc::clone(&self.route));
                        let patience = self.patience.limit();
                        under_way.push(send(connections, route, address, patience, batch, calls));
                    }
                    None => break,
                }
            }
            if under_way.is_empty() && self.is_worth_a_batch(0) {
                // Nobody to send to now: the primary is being recovered.
                self.look_again();
            }
            let held: OptionFuture<_> = self.hold.map(sleep_until).into();
            let changes_held: OptionFuture<_> = self.hold_changes.map(sleep_until).into();
            let looked: OptionFuture<_> = self.looking.as_mut().into();
            tokio::select! {
                biased;
                Some((answered, calls)) = under_way.next(), if !under_way.is_empty() => {
                    self.crowded = calls.len() > 1 || !self.waiting.is_empty();
                    self.take_answers(answered, calls);
                    self.gather(&mut queue).await;
                }
                Some(refreshed) = looked => self.take_news(refreshed),
                Some(()) = held => {
                    self.hold = None;
                    self.expire();
                }
                Some(()) = changes_held => self.hold_changes = None,
                ask = queue.recv(), if open && self.waiting.len() < QUEUE => match ask {
                    Some(ask) => {
                        self.waiting.take(ask);
                        self.gather(&mut queue).await;
                    }
                    None => open = false,
                },
                // What waits behind a batch that hangs, or for a primary, was never sent, and its caller is told so in time.
                _ = ticks.tick(), if !under_way.is_empty() || !self.waiting.is_empty() => self.expire(),
            }
        }
        self.close_session().await;
    }

    /// Whoever is ready to call does so now, and shares the batch: those who were just answered, too. A caller that is
    /// alone waits for nobody.
    async fn gather(&mut self, queue: &mut mpsc::Receiver<Ask>) {
        if self.crowded {
            tokio::task::yield_now().await;
        }
        while self.waiting.len() < QUEUE
            && let Ok(ask) = queue.try_recv()
        {
            self.waiting.take(ask);
        }
    }

    /// Whether a batch should go now, beside so many others. What a batch costs hardly depends on its length: few calls
    /// wait for the one that is under way.
    fn is_worth_a_batch(&self, under_way: usize) -> bool {
        if self.waiting.is_empty() || self.hold.is_some() {
            return false;
        }
        if self.hold_changes.is_some() && !self.waiting.has_reads() {
            return false;
        }
        under_way == 0 || !self.connections.coalesce || self.waiting.is_enough()
    }

    /// The last handle is gone: the primary need not keep this session's answers any more.
    async fn close_session(&mut self) {
        let config = self.route.config();
        let seat = config
            .primary(self.index)
            .filter(|s| s.state == PrimaryState::Active);
        let (Some(seat), Some(incarnation)) = (seat, self.session.incarnation) else {
            return;
        };
        let batch = ClientBatch {
            cluster: config.cluster,
            member: seat.id,
            open: None,
            requests: Vec::new(),
            close: Some((self.session.id, incarnation)),
        };
        if let Ok(peer) = self.connections.primaries.get(&seat.host.address).await {
            // Not worth another try: a session that is left over goes when room is needed.
            let _ = peer.client().execute(GOODBYE, batch).await;
        }
    }

    /// Takes what goes into the next batch; `None` when there is nobody to send it to, or nothing may go now.
    fn batch(&mut self) -> Option<(String, ClientBatch, Vec<Pending>)> {
        self.expire();
        let config = self.route.config();
        let seat = config
            .primary(self.index)
            .filter(|s| s.state == PrimaryState::Active)?;
        let reads_only = self.hold_changes.is_some();
        if !reads_only && self.waiting.has_changes() && self.session.incarnation.is_none() {
            if self.opening.is_some() {
                return None;
            }
            // Alone: what it is opened as is in the name of every change (rule 38).
            self.opening = Some(self.session.id);
            let batch = ClientBatch {
                cluster: config.cluster,
                member: seat.id,
                open: Some(self.session.id),
                requests: Vec::new(),
                close: None,
            };
            return Some((seat.host.address.clone(), batch, Vec::new()));
        }
        let coalesce = self.connections.coalesce;
        let hold = self.holds_takes();
        let (requests, calls) = match reads_only {
            true => self.waiting.take_reads(&mut self.session, coalesce),
            false => self.waiting.take_batch(&mut self.session, coalesce, hold),
        };
        if requests.is_empty() {
            return None;
        }
        self.takes_under_way += calls.iter().filter(|c| c.takes()).count();
        let batch = ClientBatch {
            cluster: config.cluster,
            member: seat.id,
            open: None,
            requests,
            close: None,
        };
        Some((seat.host.address.clone(), batch, calls))
    }

    /// Whether nothing more is taken before it is known what became of takes whose callers are gone: what they have brought
    /// comes first.
    fn holds_takes(&mut self) -> bool {
        self.waiting.answer_from(&self.taken);
        if !self.taken.is_open() {
            return false;
        }
        if !self.parked.is_empty() && self.waiting.has_takes() {
            let deadline = Instant::now() + self.connections.timeout.min(LONGEST);
            let parked = self.parked.drain(..).map(|mut pending| {
                pending.call.deadline = deadline;
                pending
            });
            self.waiting.ask_again(parked);
            return true;
        }
        if self.takes_under_way == 0 && self.parked.is_empty() && !self.waiting.has_abandoned() {
            // Their driver has ended before they were answered: nobody knows.
            self.taken.settle_all();
            return false;
        }
        true
    }

    /// Answers the calls whose time is over.
    fn expire(&mut self) {
        let over = self.waiting.take_over(Instant::now());
        if over.is_empty() {
            return;
        }
        let why = self.why();
        for pending in over {
            if pending.takes() && pending.is_unknown() {
                self.parked.push(pending.park(&why, &self.taken));
                continue;
            }
            self.session.free(pending.id);
            pending.give_up(&why, &self.taken);
        }
        while self.parked.len() > MOST_PARKED {
            let first = self.parked.remove(0);
            self.session.free(first.id);
            self.taken.settle();
        }
    }

    /// Who owes the answers, and what is known of it.
    fn why(&self) -> String {
        let primary = owing(&self.route, self.index);
        match &self.unknown {
            Some(unknown) => {
                format!("{primary}, and whether it was replaced is unknown: {unknown}")
            }
            None if self.below_floor => format!(
                "fewer fused members of {} are in sync than changes ask for (--min-in-sync); `fusion status` says who is missing",
                self.route.config().name
            ),
            None => primary,
        }
    }

    fn take_answers(&mut self, answered: Answered, calls: Vec<Pending>) {
        if let Answered::NotReached(error) = &answered {
            self.patience.after(error);
        }
        self.takes_under_way -= calls.iter().filter(|c| c.takes()).count();
        if calls.is_empty() {
            self.take_opening(answered);
            return;
        }
        let replies = match answered {
            Answered::Replies(replies) if replies.len() == calls.len() => replies,
            Answered::Replies(_) => {
                for pending in calls {
                    self.session.free(pending.id);
                    pending.finish(Err(Error::BadAnswer), &self.taken);
                }
                return;
            }
            Answered::Elsewhere => {
                self.waiting.put_back(calls.into_iter());
                self.take_news(Refreshed::Newer);
                return;
            }
            Answered::NotReached(_) => return self.send_again(calls, false),
            Answered::Not { unsure } => return self.send_again(calls, unsure),
        };
        if !self.below_floor {
            self.backoff.reset();
        } else if calls.iter().any(|c| c.id.is_some()) {
            // It waits for a fused member to be made again, and asks as seldom as it does.
            self.below_floor = false;
        }
        self.unknown = None;
        let mut again = Again::default();
        let (mut busy, mut unleased, mut too_few) = (false, false, false);
        for (pending, reply) in calls.into_iter().zip(replies) {
            let group = pending.group;
            match reply {
                ClientReply::Done(result, seq) => {
                    self.session.free(pending.id);
                    self.finish(pending, result, seq);
                    again.begun = Some(group);
                }
                // A slot is used again only after its call was answered or given up, so this is none of ours.
                ClientReply::Stale | ClientReply::BadRequest | ClientReply::Opened(_) => {
                    self.session.free(pending.id);
                    pending.finish(Err(Error::BadAnswer), &self.taken);
                    again.given_up = Some(group);
                }
                _ if again.given_up == Some(group) => {
                    self.session.free(pending.id);
                    pending.give_up("what was sent before it failed", &self.taken);
                }
                // One before it was told so.
                ClientReply::Deferred
                    if pending.id.is_some_and(|id| id.session != self.session.id) =>
                {
                    self.session_lost(pending, &mut again);
                }
                ClientReply::Deferred => again.push(pending),
                ClientReply::NoLease => {
                    unleased = true;
                    again.push(pending);
                }
                ClientReply::Busy => {
                    busy = true;
                    again.push(pending);
                }
                ClientReply::BelowFloor => {
                    too_few = true;
                    again.push(pending);
                }
                ClientReply::SessionUnknown => self.session_lost(pending, &mut again),
            }
        }
        self.waiting.put_back(again.into_calls());
        if unleased {
            // It does not reach all fused members: perhaps it was replaced.
            self.look_again();
        } else if busy {
            self.hold = Some(Instant::now() + self.backoff.wait());
        }
        if too_few {
            self.hold_changes();
        }
    }

    /// Sends no change for a little while; reads need none (rule 53).
    fn hold_changes(&mut self) {
        self.below_floor = true;
        self.hold_changes = Some(Instant::now() + self.backoff.wait());
    }

    /// It was executed.
    fn finish(&self, pending: Pending, mut result: OpResult, seq: Seq) {
        let op = &pending.call.op;
        if pending.call.op.is_mutation() {
            self.taken.changed(op, &result, seq);
            // The value of a key that is not there any more may have been taken in vain.
            if let (Err(OpError::KeyError { .. }), Some(take)) = (&result, Take::of(op))
                && let Some(found) = self.taken.find(&take)
            {
                result = found.result;
            }
        }
        pending.finish(Ok(Answer { result, seq }), &self.taken);
    }

    /// They were not answered, and perhaps executed, if `unsure`.
    fn send_again(&mut self, calls: Vec<Pending>, unsure: bool) {
        self.waiting.put_back(calls.into_iter().map(|c| Pending {
            unsure: c.unsure || unsure,
            ..c
        }));
        self.look_again();
    }

    /// The session is open, or not yet: then it is asked for again, before any change goes (rule 38).
    fn take_opening(&mut self, answered: Answered) {
        let opening = self.opening.take();
        let Answered::Replies(replies) = answered else {
            self.look_again();
            return;
        };
        match replies[..] {
            [ClientReply::Opened(incarnation)] => {
                self.backoff.reset();
                self.unknown = None;
                self.below_floor = false;
                // Another one is its session by now, if the cluster was removed meanwhile.
                if opening == Some(self.session.id) {
                    self.session.incarnation = Some(incarnation);
                }
            }
            [ClientReply::BelowFloor] => self.hold_changes(),
            _ => self.hold = Some(Instant::now() + self.backoff.wait()),
        }
    }

    /// The primary has forgotten the session. What was sent once was not executed now; whether it was before, nobody
    /// can tell any more.
    fn session_lost(&mut self, mut pending: Pending, again: &mut Again) {
        if pending.id.is_some_and(|id| id.session == self.session.id) {
            self.session = Session::new();
        }
        if pending.unsure {
            let why = format!(
                "{} has forgotten this client's session",
                name(&self.route, self.index)
            );
            again.given_up = Some(pending.group);
            pending.give_up(&why, &self.taken);
        } else {
            pending.id = None;
            again.push(pending);
        }
    }

    /// Sends nothing for a little while, and looks for the cluster's next configuration.
    fn look_again(&mut self) {
        let wait = self.backoff.wait();
        self.hold = Some(Instant::now() + wait);
        if self.looking.is_none() {
            let (connections, route) = (self.connections.clone(), Arc::clone(&self.route));
            self.looking = Some(async move { route.refresh(&connections, wait).await }.boxed());
        }
    }

    fn take_news(&mut self, refreshed: Refreshed) {
        self.looking = None;
        self.unknown = None;
        match refreshed {
            Refreshed::Newer => {
                // News is a success: what failed before was another primary.
                self.backoff.reset();
                (self.hold, self.hold_changes, self.below_floor) = (None, None, false);
            }
            Refreshed::Removed => {
                let name = self.route.config().name.clone();
                self.session = Session::new();
                for pending in self.waiting.take_all() {
                    if pending.is_unknown() {
                        pending.give_up(&format!("cluster {name} was removed"), &self.taken);
                        continue;
                    }
                    let gone = Error::UnknownCluster { name: name.clone() };
                    pending.finish(Err(gone), &self.taken);
                }
            }
            Refreshed::Same => {}
            Refreshed::Unknown(why) => self.unknown = Some(why),
        }
    }
}

async fn send(
    connections: Connections,
    route: Arc<Route>,
    address: String,
    patience: Duration,
    batch: ClientBatch,
    calls: Vec<Pending>,
) -> (Answered, Vec<Pending>) {
    let connected = connections.primaries.get_within(&address, patience);
    let peer = match connected.await {
        Ok(peer) => peer,
        Err(error) => return (Answered::NotReached(error), calls),
    };
    let member = batch.member;
    let call = peer.client().execute(CALL, batch);
    tokio::pin!(call);
    let answered = loop {
        tokio::select! {
            answer = &mut call => break match answer.inspect(|_| peer.heard()) {
                Ok(Ok(answers)) => Answered::Replies(answers),
                // It was moved, and says where to: no coordinator is needed for that.
                Ok(Err(Refusal::Epoch(config))) if route.learn(Arc::clone(&config)) => Answered::Elsewhere,
                Ok(Err(refusal)) => Answered::Not { unsure: refusal == Refusal::Deposed },
                Err(_) => {
                    connections.primaries.forget(&peer);
                    Answered::Not { unsure: true }
                }
            },
            // A process that hangs does not close its connection; the coordinator knows when it was replaced. The
            // answer may come while it is asked: it may hang, too.
            () = async {
                sleep(HUNG).await;
                route.refresh(&connections, Duration::ZERO).await;
            } => if !route.names(member) {
                break Answered::Not { unsure: true };
            },
        }
    };
    (answered, calls)
}

#[cfg(test)]
mod tests;
