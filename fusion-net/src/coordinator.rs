//! The coordinator: knows the servers, keeps the configurations, replaces dead members.
//!
//! It decides membership only; reads and writes need no coordinator while nobody fails. All decisions are
//! `fusion_core::membership`'s; here are clocks, the durable store and the service.

mod registry;
mod service;
mod store;

pub use store::{ConfigStore, RedbStore, StoreError};

use crate::connections;
use crate::server::{channel_config, run};
use crate::transport::Listener;
use crate::wire::{self, Service};
use fusion_core::id::Epoch;
use fusion_core::time::Timing;
use registry::Registry;
use service::CoordinatorServer;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tarpc::server::{BaseChannel, Channel};
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long to wait after a change that the store refused.
const STORE_PAUSE: Duration = Duration::from_millis(250);

/// How a coordinator is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct CoordinatorOptions {
    /// When a silent server is taken for dead (T_s), how often servers are heard of (T_h), and how long the leases of
    /// new clusters last.
    pub timing: Timing,
}

/// Why a coordinator could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CoordinatorError {
    /// Its store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The task that decides has ended, by a fault of this program; its log says which.
    #[error("an internal fault stopped the coordinator; start it again, its store is not harmed")]
    Stopped,
}

/// The coordinator's shared state.
pub(crate) struct Coordinator {
    options: CoordinatorOptions,
    store: Arc<dyn ConfigStore>,
    registry: Mutex<Registry>,
    started: Instant,
    /// One change of configuration at a time.
    deciding: tokio::sync::Mutex<()>,
    /// Counts changes of configurations: whoever waits for news looks again.
    version: watch::Sender<u64>,
    /// Something was reported or registered: look whether anything is to be decided.
    evidence: Notify,
}

impl Coordinator {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}

/// Serves until the future is dropped.
///
/// # Errors
/// [`CoordinatorError`] when the store cannot be read, or an internal fault stopped it.
pub async fn serve(
    listener: Listener,
    store: Arc<dyn ConfigStore>,
    options: CoordinatorOptions,
) -> Result<(), CoordinatorError> {
    let loaded = Arc::clone(&store);
    let contents = tokio::task::spawn_blocking(move || loaded.load()).await;
    let contents = contents.map_err(|e| StoreError::Failed(e.to_string()))??;
    let coordinator = Arc::new(Coordinator {
        options,
        store,
        registry: Mutex::new(Registry::new(contents, &options.timing)),
        started: Instant::now(),
        deciding: tokio::sync::Mutex::new(()),
        version: watch::Sender::new(0),
        evidence: Notify::new(),
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(decide(Arc::clone(&coordinator)));
    let accepting = connections::accept(listener, move |incoming, guest| {
        let coordinator = Arc::clone(&coordinator);
        async move {
            match wire::accept(incoming, &[Service::Coordinator]).await {
                Ok((stream, _)) => {
                    let transport = wire::server_transport(stream, Service::Coordinator, guest);
                    let channel = BaseChannel::new(channel_config(), transport);
                    use crate::service::Coordinator as _;
                    run(channel.execute(CoordinatorServer::new(coordinator).serve())).await;
                }
                Err(error) => wire::refused(&error),
            }
        }
    });
    // A coordinator that answers but decides nothing any more would be worse than none.
    tokio::select! {
        () = accepting => Ok(()),
        _ = tasks.join_next() => Err(CoordinatorError::Stopped),
    }
}

/// Looks again and again whether a configuration should change (PROTOCOL rule 22).
async fn decide(coordinator: Arc<Coordinator>) {
    let tick = coordinator.options.timing.heartbeat() / 4;
    loop {
        let _ = tokio::time::timeout(tick, coordinator.evidence.notified()).await;
        let now = coordinator.now_ms();
        let proposals = {
            let mut registry = coordinator.registry();
            registry.tick(now);
            registry.proposals()
        };
        for (next, reason) in proposals {
            let (name, epoch, why) = (next.name.clone(), next.epoch, reason.to_string());
            let decided = service::commit(&coordinator, Some(reason), move |registry| {
                // Something else may have been decided since the proposal was made: it is void then.
                let before = registry.epoch_of(next.cluster);
                if before.map(Epoch::next) == Some(next.epoch) {
                    Ok(next)
                } else {
                    Err(void(&next.name))
                }
            });
            match decided.await {
                Ok(_) => tracing::info!(cluster = %name, %epoch, "{why}"),
                Err(error) => {
                    tracing::error!(cluster = %name, %epoch, %error, "not changed: {why}");
                    // A store that fails is not asked again at once.
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
        forget(&coordinator, now).await;
        // What this loop itself took is no pause.
        let now = coordinator.now_ms();
        coordinator.registry().detector.worked_until(now);
    }
}

/// Forgets dead servers that no configuration names; while nothing else is decided, so that none is named meanwhile.
async fn forget(coordinator: &Arc<Coordinator>, now: u64) {
    if coordinator.registry().forgettable(now).is_empty() {
        return;
    }
    let _one_at_a_time = coordinator.deciding.lock().await;
    let ids = coordinator.registry().forgettable(now);
    coordinator.registry().forget(&ids);
    let store = Arc::clone(&coordinator.store);
    let forgotten = tokio::task::spawn_blocking(move || store.forget_servers(&ids)).await;
    if !matches!(forgotten, Ok(Ok(()))) {
        tracing::warn!(
            "dead servers could not be forgotten in the store; they are tried again after a restart"
        );
    }
}

fn void(name: &str) -> crate::service::AdminError {
    crate::service::AdminError::Store {
        message: format!("the configuration of {name} changed meanwhile"),
    }
}
