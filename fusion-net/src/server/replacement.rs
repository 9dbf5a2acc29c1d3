//! A replacement of a lost primary: drives `fusion_core::recovery` over the network (PROTOCOL rules 28 to 35).

use super::host::{Host, code_of, lock};
use crate::clock;
use crate::peer::{Backoff, Movement};
use fusion_core::config::Configuration;
use fusion_core::id::{MemberId, RecoveryId, Seq};
use fusion_core::listening::Listening;
use fusion_core::message::{Condition, RecoveryReply, RecoveryRequest, Refusal};
use fusion_core::recovery::{Image, Recovered, Recovery};
use fusion_core::time::{Time, Timing};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

/// An attempt in which no answer came, and nothing of one, for so long is begun anew.
const STUCK: Duration = Duration::from_secs(30);
const MAX_BACKOFF: Duration = Duration::from_millis(200);

/// A replacement under construction.
#[derive(Debug)]
pub(crate) struct Replacement {
    id: MemberId,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    task: Option<AbortHandle>,
    /// The image of the lost primary, kept over epochs as long as it is the right one (rule 35).
    image: Option<Image>,
    condition: Condition,
    /// The bytes of the pages that came in this attempt.
    taken_bytes: u64,
    attempts: u64,
    /// Who owes an answer.
    listening: Listening,
    /// When some of an answer, or of a question, last moved.
    moved_at: Option<Instant>,
}

impl Replacement {
    pub(crate) fn start(
        host: &Arc<Host>,
        config: Arc<Configuration>,
        id: MemberId,
    ) -> Arc<Replacement> {
        let condition = Condition::Recovering { done: 0, total: 0 };
        let state = State {
            task: None,
            image: None,
            condition,
            taken_bytes: 0,
            attempts: 0,
            listening: Listening::default(),
            moved_at: None,
        };
        let replacement = Arc::new(Replacement {
            id,
            state: Mutex::new(state),
        });
        Replacement::restart(&replacement, host, config);
        replacement
    }

    /// Its task has ended without an image: a fault of this program struck, and it would say that it recovers for ever
    /// (rule 65).
    pub(crate) fn is_broken(&self) -> bool {
        let state = lock(&self.state);
        let ended = state.task.as_ref().is_some_and(AbortHandle::is_finished);
        ended && !matches!(state.condition, Condition::Ready { .. })
    }

    /// A new epoch: everything but a finished image begins anew (rule 35).
    pub(crate) fn restart(this: &Arc<Self>, host: &Arc<Host>, config: Arc<Configuration>) {
        this.stop();
        {
            let mut state = lock(&this.state);
            state.condition = Condition::Recovering { done: 0, total: 0 };
            state.taken_bytes = 0;
        }
        let (host, me) = (Arc::clone(host), Arc::clone(this));
        let task = tokio::spawn(async move { me.recover(host, config).await });
        lock(&this.state).task = Some(task.abort_handle());
    }

    pub(crate) fn stop(&self) {
        if let Some(task) = lock(&self.state).task.take() {
            task.abort();
        }
    }

    pub(crate) fn condition(&self) -> Condition {
        lock(&self.state).condition
    }

    pub(crate) fn taken_bytes(&self) -> u64 {
        lock(&self.state).taken_bytes
    }

    /// Looks at the clock (rule 56); returns whether it has something new to complain about.
    pub(crate) fn look(&self, timing: &Timing) -> bool {
        lock(&self.state).listening.look(clock::now(), timing)
    }

    /// The members that it needs and cannot reach, for its next report (rule 22).
    pub(crate) fn complaints(&self, timing: &Timing) -> Vec<MemberId> {
        lock(&self.state).listening.complaints(timing)
    }

    pub(crate) fn has_image(&self) -> bool {
        lock(&self.state).image.is_some()
    }

    /// The finished image: this replacement is the primary now.
    pub(crate) fn take_image(&self) -> Option<Image> {
        self.stop();
        lock(&self.state).image.take()
    }

    /// Tries until there is an image; a new epoch ends it from outside.
    async fn recover(self: Arc<Self>, host: Arc<Host>, config: Arc<Configuration>) {
        let mut backoff = Backoff::new(MAX_BACKOFF);
        loop {
            match self.attempt(&host, &config).await {
                Ok(seq) => {
                    let mut state = lock(&self.state);
                    state.condition = Condition::Ready { seq };
                    state.listening.to([]);
                    drop(state);
                    host.news.notify_one();
                    return;
                }
                Err(reason) => {
                    tracing::warn!(cluster = %config.name, member = %self.id, reason, "recovery begins anew");
                }
            }
            sleep(backoff.wait()).await;
        }
    }

    async fn attempt(&self, host: &Arc<Host>, config: &Arc<Configuration>) -> Result<Seq, String> {
        let code = code_of(config).ok_or("the cluster has no code")?;
        let (kept, attempt) = {
            let mut state = lock(&self.state);
            state.attempts += 1;
            (
                state.image.as_ref().map(Image::seq),
                RecoveryId(state.attempts),
            )
        };
        let mut recovery = Recovery::new(Arc::clone(config), self.id, code, attempt, kept)
            .map_err(|e| e.to_string())?;
        let mut asked = FuturesUnordered::new();
        let result = loop {
            for (to, request) in recovery.requests(clock::now()) {
                asked.push(self.ask(host, config, to, request));
            }
            self.listen(&recovery);
            if let Some(result) = recovery.take_result() {
                break result;
            }
            self.step(&mut recovery, &mut asked).await?;
            let (done, total) = recovery.progress();
            let mut state = lock(&self.state);
            state.condition = Condition::Recovering { done, total };
            state.taken_bytes = recovery.taken_bytes();
        };
        // What is still asked is only to let snapshots go; the new epoch does that as well.
        tokio::spawn({
            let (host, config, me) = (Arc::clone(host), Arc::clone(config), self.id);
            let releases = recovery.requests(Time(0));
            async move {
                for (to, request) in releases {
                    let _ = call(&host, &config, me, to, &request, || {}).await;
                }
            }
        });
        let seq = match result {
            Recovered::Kept => kept.unwrap_or_default(),
            Recovered::Image { seq, decoder } => {
                let expected = recovery.expected();
                let rebuild = move || Image::rebuild(seq, decoder.finish(), expected);
                let rebuilt = tokio::task::spawn_blocking(rebuild).await;
                let image = rebuilt.map_err(|e| e.to_string())?.map_err(|error| {
                    // Another attempt may succeed, but codes and data that disagree are never to be passed over.
                    tracing::error!(cluster = %config.name, member = %self.id, %error,
                        "a recovered image is damaged");
                    error.to_string()
                })?;
                lock(&self.state).image = Some(image);
                seq
            }
        };
        // Rule 33: as long as a lease runs, the lost primary may still answer reads.
        while !recovery.leases_are_over() {
            for (to, request) in recovery.requests(clock::now()) {
                asked.push(self.ask(host, config, to, request));
            }
            self.listen(&recovery);
            self.step(&mut recovery, &mut asked).await?;
        }
        Ok(seq)
    }

    fn listen(&self, recovery: &Recovery) {
        lock(&self.state).listening.to(recovery.owing());
    }

    /// Waits for the next answer, or until something is to be asked without one.
    async fn step<A>(
        &self,
        recovery: &mut Recovery,
        asked: &mut FuturesUnordered<A>,
    ) -> Result<(), String>
    where
        A: Future<Output = Answer>,
    {
        let wait = recovery.wake_at().since(clock::now());
        let answer = tokio::select! {
            Some(answer) = asked.next() => answer,
            () = sleep(wait.min(STUCK)) => {
                let moved_at = lock(&self.state).moved_at;
                return if wait < STUCK || moved_at.is_some_and(|at| at.elapsed() < STUCK) {
                    Ok(())
                } else {
                    Err("nobody answers".to_owned())
                };
            }
        };
        let (to, request, reply) = answer;
        lock(&self.state).listening.hear(to, clock::now());
        let reply = reply.map_err(|refusal| format!("member {to} refused: {refusal}"))?;
        let answered = recovery.on_reply(to, &request, reply, clock::now());
        answered.map_err(|e| e.to_string())
    }

    /// Asks until there is an answer: members that have not heard of the epoch yet are told, dead ones are waited for
    /// until the coordinator makes a new epoch without them.
    async fn ask(
        &self,
        host: &Arc<Host>,
        config: &Arc<Configuration>,
        to: MemberId,
        request: RecoveryRequest,
    ) -> Answer {
        let mut backoff = Backoff::new(MAX_BACKOFF);
        let moves = || {
            let mut state = lock(&self.state);
            state.listening.progress(to, clock::now());
            state.moved_at = Some(Instant::now());
        };
        loop {
            match call(host, config, self.id, to, &request, moves).await {
                Some(Err(Refusal::Epoch(theirs))) => host.reconcile(config, theirs, to).await,
                Some(Err(Refusal::NotMember { .. } | Refusal::Busy | Refusal::TwoContents))
                | None => {}
                Some(answer) => return (to, request, answer),
            }
            sleep(backoff.wait()).await;
        }
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        self.stop();
    }
}

type Answer = (MemberId, RecoveryRequest, Result<RecoveryReply, Refusal>);

/// Asks once, for as long as the answer or its request moves, which `moves` is told (rule 57); `None` when the way is
/// broken, or nothing has moved for long.
pub(super) async fn call(
    host: &Arc<Host>,
    config: &Arc<Configuration>,
    me: MemberId,
    to: MemberId,
    request: &RecoveryRequest,
    moves: impl Fn(),
) -> Option<Result<RecoveryReply, Refusal>> {
    let address = &config.host_of(to)?.address;
    let route = config.route(me, to);
    let patience = Movement::of(&config.timing);
    let answer = if config.fused_seat(to).is_none() {
        let peer = host.peers.primaries.get(address).await.ok()?;
        let way = peer.client();
        let asked = way.recover(Movement::context(), route, request.clone());
        let answer = way.while_it_moves(patience, moves, asked).await;
        host.peers.primaries.settle(&peer, answer)
    } else {
        let peer = host.peers.fused.get(address).await.ok()?;
        let way = peer.client();
        let asked = way.recover(Movement::context(), route, request.clone());
        let answer = way.while_it_moves(patience, moves, asked).await;
        host.peers.fused.settle(&peer, answer)
    };
    answer.map(|answer| answer.map(|reply| reply.message))
}
