//! Connections to other processes: made when first needed, shared, made again after a failure.

use crate::service::{CoordinatorClient, FusedClient, PrimaryClient};
use crate::transport::Network;
use crate::wire::{self, ConnectError, Service};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tarpc::client::Config;
use tarpc::context::Context;

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A call that was given up after so long without an answer casts doubt on its connection.
const UNANSWERED: Duration = Duration::from_millis(500);

/// A context for a call that may take `limit`.
#[must_use]
pub fn within(limit: Duration) -> Context {
    let mut context = tarpc::context::current();
    context.deadline = Instant::now() + limit.min(wire::MAX_DEADLINE);
    context
}

fn config() -> Config {
    let mut config = Config::default();
    config.max_in_flight_requests = 4096;
    config.pending_request_buffer = 1024;
    config
}

/// A client of a service, over a connection to one process. Its driver runs as a task of its own.
pub trait Connect: Clone + Send + Sync + 'static {
    /// Connects to one address.
    ///
    /// # Errors
    /// [`ConnectError`].
    fn connect(
        network: &Network,
        address: &str,
    ) -> impl Future<Output = Result<Self, ConnectError>> + Send;
}

macro_rules! connect {
    ($client:ty, $service:expr) => {
        impl Connect for $client {
            async fn connect(network: &Network, address: &str) -> Result<Self, ConnectError> {
                let stream = wire::connect(network, address, $service, CONNECT_TIMEOUT).await?;
                Ok(<$client>::new(config(), wire::client_transport(stream)).spawn())
            }
        }
    };
}

connect!(PrimaryClient, Service::Primary);
connect!(FusedClient, Service::Fused);
connect!(CoordinatorClient, Service::Coordinator);

/// Connects to one address.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect<C: Connect>(network: &Network, address: &str) -> Result<C, ConnectError> {
    C::connect(network, address).await
}

/// The connections to one service, by address.
#[derive(Debug)]
pub struct Pool<C> {
    network: Network,
    clients: Arc<Clients<C>>,
}

/// Connections by address.
type Clients<C> = Mutex<HashMap<String, Arc<Entry<C>>>>;

#[derive(Debug)]
struct Entry<C> {
    client: C,
    address: String,
}

/// A connection of a [`Pool`], for one call.
///
/// When it is dropped without a word of [`heard`](Self::heard) after half a second, the connection is forgotten: whoever
/// gives up a call, because the epoch has changed say, must not leave the next one a connection that is dead, which its
/// own end of it does not know for minutes.
#[derive(Debug)]
pub struct Pooled<C> {
    entry: Arc<Entry<C>>,
    pool: Arc<Clients<C>>,
    since: tokio::time::Instant,
    heard: AtomicBool,
}

impl<C> Pooled<C> {
    fn new(pool: &Pool<C>, entry: Arc<Entry<C>>) -> Pooled<C> {
        Pooled {
            entry,
            pool: Arc::clone(&pool.clients),
            since: tokio::time::Instant::now(),
            heard: AtomicBool::new(false),
        }
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &C {
        &self.entry.client
    }

    /// The other side has answered.
    pub fn heard(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    fn forget(&self) {
        let mut clients = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let address = &self.entry.address;
        let same = |known: &Arc<Entry<C>>| Arc::ptr_eq(known, &self.entry);
        if clients.get(address).is_some_and(same) {
            clients.remove(address);
        }
    }
}

impl<C> Drop for Pooled<C> {
    fn drop(&mut self) {
        if !self.heard.load(Ordering::Relaxed) && self.since.elapsed() >= UNANSWERED {
            self.forget();
        }
    }
}

impl<C> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Pool {
            network: self.network.clone(),
            clients: Arc::clone(&self.clients),
        }
    }
}

impl<C: Connect> Pool<C> {
    /// None yet, all to be made by this network.
    #[must_use]
    pub fn new(network: Network) -> Self {
        Pool {
            network,
            clients: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Entry<C>>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to `address`, made now if there is none.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn get(&self, address: &str) -> Result<Pooled<C>, ConnectError> {
        let known = self.lock().get(address).cloned();
        if let Some(entry) = known {
            return Ok(Pooled::new(self, entry));
        }
        let client: C = connect(&self.network, address).await?;
        let address = address.to_owned();
        let mut clients = self.lock();
        let entry = clients
            .entry(address.clone())
            .or_insert_with(|| Arc::new(Entry { client, address }));
        let entry = Arc::clone(entry);
        drop(clients);
        Ok(Pooled::new(self, entry))
    }

    /// The connection to `address`, if there is one.
    pub(crate) fn known(&self, address: &str) -> Option<C> {
        self.lock().get(address).map(|entry| entry.client.clone())
    }

    /// Forgets a connection that failed, unless another one has taken its place already.
    pub fn forget(&self, failed: &Pooled<C>) {
        failed.forget();
    }
}

/// Waits that grow from 10 ms to `most` with each failure in a row.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    most: Duration,
}

impl Backoff {
    /// Starts at 10 ms.
    #[must_use]
    pub fn new(most: Duration) -> Self {
        Backoff {
            next: Duration::from_millis(10),
            most,
        }
    }

    /// Something worked.
    pub fn reset(&mut self) {
        self.next = Duration::from_millis(10);
    }

    /// How long to wait now; twice as long the next time.
    #[must_use]
    pub fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.most);
        wait
    }
}
