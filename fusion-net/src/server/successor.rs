//! A primary that was moved here and does not serve yet: drives `fusion_core::takeover` over the network (PROTOCOL rule 36).

use super::host::{Host, lock};
use super::replacement::call;
use super::sound::Sound;
use crate::clock;
use fusion_core::config::Configuration;
use fusion_core::id::MemberId;
use fusion_core::message::{Condition, RecoveryReply, RecoveryRequest, Refusal, Route};
use fusion_core::primary::Primary;
use fusion_core::takeover::Takeover;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// It looks at least so often whether there is somebody to ask.
const LOOK: Duration = Duration::from_secs(1);

/// A primary that takes over.
#[derive(Debug)]
pub(crate) struct Successor {
    id: MemberId,
    /// `None` when it serves.
    takeover: Sound<Option<Takeover>>,
    task: Mutex<Option<AbortHandle>>,
    serves: watch::Sender<bool>,
}

impl Successor {
    pub(crate) fn start(host: &Arc<Host>, takeover: Takeover) -> Arc<Successor> {
        let successor = Arc::new(Successor {
            id: takeover.id(),
            takeover: Sound::new(Some(takeover)),
            task: Mutex::default(),
            serves: watch::Sender::new(false),
        });
        Successor::drive(&successor, host);
        successor
    }

    /// A new epoch: everybody is asked again.
    pub(crate) fn adopt(this: &Arc<Self>, host: &Arc<Host>, config: Arc<Configuration>) {
        if let Ok(mut takeover) = this.takeover.lock()
            && let Some(takeover) = takeover.as_mut()
        {
            takeover.adopt(config);
        }
        Successor::drive(this, host);
    }

    /// Asks, from the beginning.
    pub(crate) fn drive(this: &Arc<Self>, host: &Arc<Host>) {
        this.stop();
        let (host, me) = (Arc::clone(host), Arc::clone(this));
        let task = tokio::spawn(async move { me.ask(host).await });
        *lock(&this.task) = Some(task.abort_handle());
    }

    pub(crate) fn stop(&self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.takeover.is_broken()
    }

    /// What it reports beside figures (rule 22).
    pub(crate) fn condition(&self) -> (Condition, Vec<MemberId>) {
        match self.takeover.lock().as_deref() {
            Ok(Some(takeover)) => (takeover.condition(clock::now()), takeover.complaints()),
            Ok(None) => (Condition::TakingOver, Vec::new()),
            Err(_) => (Condition::Missing, Vec::new()),
        }
    }

    /// Counts silence (rule 56); answers whether there is something new to say.
    pub(crate) fn tick(&self) -> bool {
        let takeover = self.takeover.lock();
        takeover.is_ok_and(|mut t| t.as_mut().is_some_and(|t| t.tick(clock::now())))
    }

    /// The primary, once it may serve.
    pub(crate) fn take_primary(&self) -> Option<Primary> {
        let mut takeover = self.takeover.lock().ok()?;
        if !takeover.as_ref().is_some_and(Takeover::may_serve) {
            return None;
        }
        takeover.take().map(Takeover::into_primary)
    }

    /// Whoever waits for it finds the primary now.
    pub(crate) fn is_done(&self) {
        self.serves.send_replace(true);
    }

    /// Waits until it serves, or is no more.
    pub(crate) async fn wait(this: Arc<Self>) {
        let mut serves = this.serves.subscribe();
        drop(this);
        let _ = serves.wait_for(|serves| *serves).await;
    }

    /// Asks until it may serve; a new epoch ends it from outside.
    async fn ask(self: Arc<Self>, host: Arc<Host>) {
        let mut asked = FuturesUnordered::new();
        // Changes that are under way are not asked for beside that (rule 57).
        let mut under_way = Vec::new();
        loop {
            let (config, requests, wake_at) = {
                let Ok(mut takeover) = self.takeover.lock() else {
                    return;
                };
                let Some(takeover) = takeover.as_mut() else {
                    return;
                };
                let requests = takeover.requests(clock::now());
                (Arc::clone(takeover.config()), requests, takeover.wake_at())
            };
            for (to, request) in requests {
                if request != RecoveryRequest::Vector {
                    if under_way.contains(&(to, request.clone())) {
                        continue;
                    }
                    under_way.push((to, request.clone()));
                }
                asked.push(self.ask_once(&host, Arc::clone(&config), to, request));
            }
            let wait = wake_at
                .since(clock::now())
                .clamp(Duration::from_millis(1), LOOK);
            tokio::select! {
                Some((route, request, answer)) = asked.next() => {
                    under_way.retain(|(asked, what)| *asked != route.to || *what != request);
                    self.take(route, &request, answer);
                }
                () = sleep(wait) => {}
            }
            let may = |t: &Option<Takeover>| t.as_ref().is_some_and(Takeover::may_serve);
            if self.takeover.lock().is_ok_and(|t| may(&t)) {
                host.take_over(config.cluster, self.id);
            }
        }
    }

    fn take(
        &self,
        route: Route,
        request: &RecoveryRequest,
        answer: Option<Result<RecoveryReply, Refusal>>,
    ) {
        let Ok(mut takeover) = self.takeover.lock() else {
            return;
        };
        match (takeover.as_mut(), answer) {
            (Some(takeover), Some(Ok(reply))) => {
                takeover.on_reply(route, request, reply, clock::now());
            }
            (Some(takeover), Some(Err(refusal))) => takeover.on_refusal(route, request, &refusal),
            _ => {}
        }
    }

    /// Who has not heard of the epoch yet is told.
    async fn ask_once(
        &self,
        host: &Arc<Host>,
        config: Arc<Configuration>,
        to: MemberId,
        request: RecoveryRequest,
    ) -> Answer {
        let moves = || {
            if let Ok(mut takeover) = self.takeover.lock()
                && let Some(takeover) = takeover.as_mut()
            {
                takeover.on_progress(to, clock::now());
            }
        };
        let answer = call(host, &config, self.id, to, &request, moves).await;
        let answer = match answer {
            Some(Err(Refusal::Epoch(theirs))) => {
                host.reconcile(&config, theirs, to).await;
                // It is sealed now, most likely.
                call(host, &config, self.id, to, &request, moves).await
            }
            answer => answer,
        };
        (config.route(self.id, to), request, answer)
    }
}

type Answer = (
    Route,
    RecoveryRequest,
    Option<Result<RecoveryReply, Refusal>>,
);
