//! The coordinator: knows the servers, keeps the configurations, replaces dead members.
//!
//! It decides membership only; reads and writes need no coordinator while nobody fails. All decisions are
//! `fusion_core::membership`'s; here are clocks, the durable store and the service. Of several coordinators that share
//! a store one is active; the others stand by and say who is.

mod changes;
mod election;
#[cfg(feature = "etcd")]
pub mod etcd;
mod office;
mod rebuilding;
mod registry;
mod service;
mod store;

pub use election::{Alone, Elected, Election, Standing, Term};
pub use rebuilding::RebuildOptions;
pub use store::{ConfigStore, RedbStore, StoreContents, StoreError, Swapped};

use crate::connections;
use crate::server::{channel_config, run};
use crate::transport::{Listener, TlsError};
use crate::wire::{self, Service};
use fusion_core::id::Epoch;
use fusion_core::time::Timing;
use office::Office;
use rebuilding::Rebuilding;
use registry::Registry;
use service::CoordinatorServer;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tarpc::server::{BaseChannel, Channel};
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long to wait after a change that the store refused.
const STORE_PAUSE: Duration = Duration::from_millis(250);

/// How long to wait between two attempts to forget what nobody needs any more.
const FORGET_PAUSE: Duration = Duration::from_secs(1);

/// How a coordinator is run.
#[derive(Clone, Debug, Default)]
pub struct CoordinatorOptions {
    /// When a silent server is taken for dead (T_s), how often servers are heard of (T_h), and how long the leases of
    /// new clusters last.
    pub timing: Timing,
    /// The store was lost, and is to be made anew from what the servers know.
    pub rebuild: Option<RebuildOptions>,
    /// The address that others reach this process at, when it is not the one it listens on.
    pub advertise: Option<String>,
}

/// Why a coordinator could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CoordinatorError {
    /// Its store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store that is to be made anew holds something.
    #[error("the file is a store already: give a new one to --data, or leave --rebuild out")]
    NotNew,
    /// No store can be made of what the servers know.
    #[error(transparent)]
    Rebuild(#[from] fusion_core::rebuild::RebuildError),
    /// The address that others reach it at cannot be told.
    #[error(
        "listening on {listen} does not say where others reach this coordinator; give --advertise HOST:PORT"
    )]
    NoAddress {
        /// Where it listens.
        listen: SocketAddr,
    },
    /// Its certificate is not for the address that others reach it at.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The listener failed.
    #[error("the listening socket failed: {0}")]
    Io(#[from] std::io::Error),
    /// The task that decides has ended, by a fault of this program; its log says which.
    #[error("an internal fault stopped the coordinator; start it again, its store is not harmed")]
    Stopped,
}

/// The state of a coordinator while it is the active one. It begins with what is in the store and ends with the term:
/// nothing that was believed outlives that (PROTOCOL rules 7, 22, 39).
pub(crate) struct Coordinator {
    options: CoordinatorOptions,
    store: Arc<dyn ConfigStore>,
    term: Term,
    registry: Mutex<Registry>,
    started: Instant,
    /// While the store is made anew.
    rebuilding: Mutex<Option<Rebuilding>>,
    /// One change of configuration at a time.
    deciding: tokio::sync::Mutex<()>,
    /// Counts changes of configurations: whoever waits for news looks again.
    version: watch::Sender<u64>,
    /// Something was reported or registered: look whether anything is to be decided.
    evidence: Notify,
}

impl Coordinator {
    fn new(options: CoordinatorOptions, elected: Elected) -> Arc<Coordinator> {
        let registry = Registry::new(elected.contents, &options.timing);
        Arc::new(Coordinator {
            rebuilding: Mutex::new(
                (options.rebuild.clone()).map(|wishes| Rebuilding::new(wishes, &options.timing)),
            ),
            options,
            store: elected.store,
            term: elected.term,
            registry: Mutex::new(registry),
            started: Instant::now(),
            deciding: tokio::sync::Mutex::new(()),
            version: watch::Sender::new(0),
            evidence: Notify::new(),
        })
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rebuilding(&self) -> MutexGuard<'_, Option<Rebuilding>> {
        self.rebuilding
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}

/// The address that others are told: the one given, or the one listened on.
///
/// # Errors
/// [`CoordinatorError::NoAddress`] when neither says it; [`CoordinatorError::Tls`] when others would not believe it.
pub fn advertised(
    listener: &Listener,
    advertise: Option<&str>,
) -> Result<String, CoordinatorError> {
    let listen = listener.local_addr()?;
    let address = match advertise {
        Some(address) => address.to_owned(),
        None if listen.ip().is_unspecified() => return Err(CoordinatorError::NoAddress { listen }),
        None => listen.to_string(),
    };
    listener.network().check_own(&address)?;
    Ok(address)
}

/// Serves until the future is dropped, as the only coordinator of a store.
///
/// # Errors
/// [`CoordinatorError`] when the store cannot be read, or an internal fault stopped it.
pub async fn serve(
    listener: Listener,
    store: Arc<dyn ConfigStore>,
    options: CoordinatorOptions,
) -> Result<(), CoordinatorError> {
    serve_elected(listener, Arc::new(Alone::new(store)), options).await
}

/// Serves until the future is dropped, as one of those that take part in an election.
///
/// # Errors
/// [`CoordinatorError`] when the election can never be won, or an internal fault stopped it.
pub async fn serve_elected(
    listener: Listener,
    election: Arc<dyn Election>,
    options: CoordinatorOptions,
) -> Result<(), CoordinatorError> {
    let listen = listener.local_addr()?;
    let address = options.advertise.clone().unwrap_or(listen.to_string());
    let office = Office::new(options, election, address);
    let mut tasks = JoinSet::new();
    tasks.spawn(office::hold(Arc::clone(&office)));
    let accepting = connections::accept(listener, move |incoming, guest| {
        let office = Arc::clone(&office);
        async move {
            let from = incoming.from();
            match wire::accept(incoming, &[Service::Coordinator]).await {
                Ok((stream, _)) => {
                    let transport =
                        wire::server_transport(stream, Service::Coordinator, Arc::clone(&guest));
                    let channel = BaseChannel::new(channel_config(), transport);
                    use crate::service::Coordinator as _;
                    run(channel.execute(CoordinatorServer::new(office, guest).serve())).await;
                }
                Err(error) => wire::refused(&error, from),
            }
        }
    });
    // A coordinator that answers but decides nothing any more would be worse than none.
    tokio::select! {
        () = accepting => Ok(()),
        ended = tasks.join_next() => match ended {
            Some(Ok(error)) => Err(error),
            _ => Err(CoordinatorError::Stopped),
        },
    }
}

/// Looks again and again whether a configuration should change (PROTOCOL rule 22).
async fn decide(coordinator: Arc<Coordinator>) {
    let tick = coordinator.options.timing.heartbeat() / 4;
    let mut forget_from = Instant::now();
    while !coordinator.term.is_over() {
        let _ = tokio::time::timeout(tick, coordinator.evidence.notified()).await;
        let now = coordinator.now_ms();
        let proposals = {
            let mut registry = coordinator.registry();
            registry.tick(now);
            registry.proposals()
        };
        for (next, reason) in proposals {
            let (name, epoch, why) = (next.name.clone(), next.epoch, reason.to_string());
            let decided = changes::commit(&coordinator, Some(reason), move |registry| {
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
            // Others were heard meanwhile: what this loop itself takes is no pause (rule 56).
            let now = coordinator.now_ms();
            coordinator.registry().tick(now);
        }
        let something = {
            let registry = coordinator.registry();
            let any =
                !registry.forgettable(now).is_empty() || !registry.remains.over(now).is_empty();
            any && registry.guard_all().is_ok()
        };
        if something && forget_from <= Instant::now() {
            if let Err(error) = changes::forget(&coordinator, now).await {
                tracing::warn!(%error, "dead servers and removed clusters could not be forgotten in the store; they are tried again");
            }
            forget_from = Instant::now() + FORGET_PAUSE;
        }
    }
}

fn void(name: &str) -> crate::service::AdminError {
    crate::service::AdminError::Store {
        message: format!("the configuration of {name} changed meanwhile"),
    }
}
