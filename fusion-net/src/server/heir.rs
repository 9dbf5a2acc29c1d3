//! The heir of a primary that is being moved (PROTOCOL rule 36).

use super::host::Host;
use super::replacement::call;
use super::sound::Sound;
use crate::clock;
use fusion_core::config::Configuration;
use fusion_core::heir::{Copy, Heir};
use fusion_core::id::MemberId;
use fusion_core::message::{Ack, Chunk, Condition, RecoveryRequest, Refusal, Replicate, Route};
use fusion_core::structure::FollowError;
use fusion_core::takeover::Takeover;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// An heir looks at least so often whether there is somebody to ask.
const LOOK: Duration = Duration::from_millis(100);

/// An heir under construction.
#[derive(Debug)]
pub(crate) struct HeirCell {
    /// `None` when it has become the primary.
    heir: Sound<Option<Heir>>,
    /// Its structure is there.
    built: Notify,
}

impl HeirCell {
    pub(crate) fn start(
        host: &Arc<Host>,
        config: Arc<Configuration>,
        id: MemberId,
    ) -> Arc<HeirCell> {
        let heir = Heir::create(config, id);
        let cell = Arc::new(HeirCell {
            heir: Sound::new(Some(heir)),
            built: Notify::new(),
        });
        tokio::spawn(ask(Arc::clone(host), Arc::downgrade(&cell)));
        cell
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.heir.is_broken()
    }

    pub(crate) fn is_ready(&self) -> bool {
        let heir = self.heir.lock();
        heir.is_ok_and(|heir| heir.as_ref().is_some_and(Heir::is_ready))
    }

    pub(crate) fn adopt(&self, config: Arc<Configuration>) {
        if let Ok(mut heir) = self.heir.lock()
            && let Some(heir) = heir.as_mut()
        {
            heir.adopt(config);
        }
        self.built.notify_one();
    }

    /// This heir is the primary now.
    pub(crate) fn take_over(&self, config: Arc<Configuration>) -> Option<Takeover> {
        let heir = self.heir.lock().ok()?.take()?;
        Takeover::new(config, heir)
    }

    /// What it reports beside figures (rule 22).
    pub(crate) fn condition(&self) -> (Condition, Vec<MemberId>) {
        if let Ok(heir) = self.heir.lock()
            && let Some(heir) = heir.as_ref()
        {
            return (heir.condition(), heir.complaints());
        }
        (Condition::Missing, Vec::new())
    }

    /// Looks at the clock (rule 56); returns whether it has something new to complain about.
    pub(crate) fn look(&self) -> bool {
        let heir = self.heir.lock();
        heir.is_ok_and(|mut heir| heir.as_mut().is_some_and(|heir| heir.tick(clock::now())))
    }

    /// The bytes of the pages that it was sent.
    pub(crate) fn taken_bytes(&self) -> u64 {
        let heir = self.heir.lock();
        heir.map_or(0, |heir| heir.as_ref().map_or(0, Heir::taken_bytes))
    }

    pub(crate) fn replicate(
        self: &Arc<Self>,
        host: &Arc<Host>,
        route: Route,
        message: &Replicate,
    ) -> Result<Ack, Refusal> {
        self.with(host, route, |heir| {
            heir.on_replicate(route, message, clock::now())
        })
    }

    pub(crate) fn chunk(
        self: &Arc<Self>,
        host: &Arc<Host>,
        route: Route,
        chunk: &Chunk,
    ) -> Result<(), Refusal> {
        self.with(host, route, |heir| {
            heir.on_chunk(route, chunk, clock::now())
        })
    }

    fn with<T>(
        self: &Arc<Self>,
        host: &Arc<Host>,
        route: Route,
        act: impl FnOnce(&mut Heir) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        // Who waited while it broke is refused, too (rule 65).
        let mut held = self.heir.lock().map_err(|_| Refusal::NotAllowed)?;
        let Some(heir) = held.as_mut() else {
            // It has just become the primary: the old one has to hear of that epoch.
            drop(held);
            return Err(host.not_here(route));
        };
        let before = heir.condition();
        let result = act(heir);
        tell(host, before, heir.condition());
        if let Some(copy) = heir.take_copy() {
            // The index of a large structure takes its time; other members are served meanwhile.
            let (me, host) = (Arc::clone(self), Arc::clone(host));
            tokio::task::spawn_blocking(move || {
                let build = || me.build(&host, copy);
                if let Err(fault) = catch_unwind(AssertUnwindSafe(build)) {
                    // Nobody would wait for the structure but its primary: the heir is broken.
                    let _held = me.heir.lock();
                    host.news.notify_one();
                    resume_unwind(fault)
                }
            });
        }
        result
    }

    /// Builds the structure, and has it follow what came meanwhile until little is left.
    fn build(&self, host: &Host, copy: Copy) {
        let cluster = copy.expected.cluster;
        let mut built = copy.build().map_err(FollowError::from);
        loop {
            if let Err(error) = &built {
                tracing::error!(%cluster, %error, "a copied primary is damaged");
            }
            let Ok(mut heir) = self.heir.lock() else {
                break;
            };
            let behind = heir.as_mut().and_then(|heir| heir.on_built(built));
            drop(heir);
            match behind {
                Some(behind) => built = behind.follow(),
                None => break,
            }
        }
        self.built.notify_one();
        host.news.notify_one();
    }
}

fn tell(host: &Host, before: Condition, now: Condition) {
    if before != now && matches!(now, Condition::Complete | Condition::Missing) {
        host.news.notify_one();
    }
}

/// Asks every fused member in sync, in each epoch, as long as there is an heir.
async fn ask(host: Arc<Host>, cell: Weak<HeirCell>) {
    let mut asked = FuturesUnordered::new();
    loop {
        let Some(me) = cell.upgrade() else { return };
        let wait = {
            let Ok(mut heir) = me.heir.lock() else { return };
            let Some(heir) = heir.as_mut() else { return };
            let (config, id) = (Arc::clone(heir.config()), heir.id());
            for (to, request) in heir.requests(clock::now()) {
                asked.push(ask_once(
                    Weak::clone(&cell),
                    Arc::clone(&host),
                    Arc::clone(&config),
                    id,
                    to,
                    request,
                ));
            }
            heir.wake_at().since(clock::now()).min(LOOK)
        };
        tokio::select! {
            Some(answered) = asked.next() => {
                let Ok(mut heir) = me.heir.lock() else { return };
                if let (Some(route), Some(heir)) = (answered, heir.as_mut()) {
                    let before = heir.condition();
                    heir.on_reply(route);
                    tell(&host, before, heir.condition());
                }
            }
            () = me.built.notified() => {}
            () = sleep(wait.max(Duration::from_millis(1))) => {}
        }
    }
}

/// The way that was answered on.
async fn ask_once(
    heir: Weak<HeirCell>,
    host: Arc<Host>,
    config: Arc<Configuration>,
    me: MemberId,
    to: MemberId,
    request: RecoveryRequest,
) -> Option<Route> {
    let route = config.route(me, to);
    let moves = || {
        if let Some(cell) = heir.upgrade()
            && let Ok(mut heir) = cell.heir.lock()
            && let Some(heir) = heir.as_mut()
        {
            heir.on_progress(to, clock::now());
        }
    };
    match call(&host, &config, me, to, &request, moves).await? {
        Ok(_) => Some(route),
        Err(Refusal::Epoch(theirs)) => {
            host.reconcile(&config, theirs, to).await;
            None
        }
        Err(_) => None,
    }
}
