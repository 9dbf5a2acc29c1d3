//! Connections to other processes: made when first needed, shared, made again after a failure.

use crate::service::{CoordinatorClient, FusedClient, PrimaryClient};
use crate::transport::Network;
use crate::wire::{self, ConnectError, Moved, Service};
use fusion_core::time::Timing;
use std::collections::HashMap;
use std::ops::Deref;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tarpc::client::{Config, NewClient};
use tarpc::context::Context;
use tokio::task::AbortHandle;

/// How long a connection may take to be made at first.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A call that was given up after so long without an answer casts doubt on its connection.
const UNANSWERED: Duration = Duration::from_millis(500);
/// A way on which nothing moves is given up after T_c / 2, but not sooner: under load answers take their time.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

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

/// A client of a service, over a connection to one process.
pub trait Connect: Clone + Send + Sync + 'static {
    /// Connects to one address; each step of it may take `limit`.
    ///
    /// # Errors
    /// [`ConnectError`].
    fn connect(
        network: &Network,
        address: &str,
        limit: Duration,
    ) -> impl Future<Output = Result<Driven<Self>, ConnectError>> + Send;
}

/// A client, and the task that drives its connection in the runtime that it was made in.
#[derive(Clone, Debug)]
pub struct Driven<C> {
    /// The client.
    pub client: C,
    driver: AbortHandle,
}

impl<C> Driven<C> {
    pub(crate) fn new(client: C, driver: AbortHandle) -> Driven<C> {
        Driven { client, driver }
    }

    /// Whether its task has ended: with the connection, or with its runtime. Every call would be in vain.
    pub(crate) fn is_dead(&self) -> bool {
        self.driver.is_finished()
    }

    /// The same connection for another client of it.
    pub(crate) fn map<D>(self, client: impl FnOnce(C) -> D) -> Driven<D> {
        Driven::new(client(self.client), self.driver)
    }
}

/// A client of which calls may take long, and when something last moved for one of them.
#[derive(Clone, Debug)]
pub struct Watched<C> {
    client: C,
    moved: Moved,
}

impl<C> Deref for Watched<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.client
    }
}

/// How long an answer is waited for while nothing moves.
#[derive(Clone, Copy, Debug)]
pub struct Movement {
    most: Duration,
    look: Duration,
}

impl Movement {
    /// T_c / 2, and one second at least; whether it moves is looked at every T_h.
    #[must_use]
    pub fn of(timing: &Timing) -> Movement {
        Movement {
            most: (timing.complain_after() / 2).max(LEAST_PATIENCE),
            look: timing.heartbeat().min(LEAST_PATIENCE / 4),
        }
    }

    /// The context of a call that takes as long as it moves.
    #[must_use]
    pub fn context() -> Context {
        within(wire::MAX_DEADLINE)
    }
}

impl<C> Watched<C> {
    /// Waits for the answer to a call on this connection as long as something long moves on it, and says so each time that
    /// it looks: the answer, its request, or what they wait behind. `None` when nothing has moved for too long (rule 57).
    pub async fn while_it_moves<T>(
        &self,
        patience: Movement,
        moves: impl Fn(),
        answer: impl Future<Output = T>,
    ) -> Option<T> {
        let mut answer = pin!(answer);
        let mut last = tokio::time::Instant::now();
        loop {
            if let Ok(answer) = tokio::time::timeout(patience.look, answer.as_mut()).await {
                return Some(answer);
            }
            match self.moved.at() {
                Some(at) if at > last => {
                    last = at;
                    moves();
                }
                _ if last.elapsed() >= patience.most => return None,
                _ => {}
            }
        }
    }
}

macro_rules! connect {
    ($client:ty, $service:expr) => {
        impl Connect for $client {
            async fn connect(
                network: &Network,
                address: &str,
                limit: Duration,
            ) -> Result<Driven<Self>, ConnectError> {
                let watched = Watched::<$client>::connect(network, address, limit).await?;
                Ok(watched.map(|watched| watched.client))
            }
        }

        impl Connect for Watched<$client> {
            async fn connect(
                network: &Network,
                address: &str,
                limit: Duration,
            ) -> Result<Driven<Self>, ConnectError> {
                let stream = wire::connect(network, address, $service, limit).await?;
                let transport = wire::client_transport(stream);
                let moved = transport.moved();
                let NewClient { client, dispatch } = <$client>::new(config(), transport);
                let driver = tokio::spawn(async move {
                    if let Err(error) = dispatch.await {
                        tracing::debug!(%error, "a connection broke");
                    }
                });
                Ok(Driven::new(Watched { client, moved }, driver.abort_handle()))
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
    Ok(C::connect(network, address, CONNECT_TIMEOUT).await?.client)
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
    driven: Driven<C>,
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
        &self.entry.driven.client
    }

    /// The other side has answered.
    pub fn heard(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    fn forget(&self) {
        forget(&self.pool, &self.entry);
    }
}

/// Forgets a connection, unless another one has taken its place already.
fn forget<C>(clients: &Clients<C>, entry: &Arc<Entry<C>>) {
    let mut clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
    let same = |known: &Arc<Entry<C>>| Arc::ptr_eq(known, entry);
    if clients.get(&entry.address).is_some_and(same) {
        clients.remove(&entry.address);
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

    /// The connection to `address`, made now if there is none that lives.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn get(&self, address: &str) -> Result<Pooled<C>, ConnectError> {
        self.get_within(address, CONNECT_TIMEOUT).await
    }

    /// As [`get`](Self::get), where each step of making one may take `limit`.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn get_within(
        &self,
        address: &str,
        limit: Duration,
    ) -> Result<Pooled<C>, ConnectError> {
        let known = self.lock().get(address).cloned();
        if let Some(entry) = known {
            if !entry.driven.is_dead() {
                return Ok(Pooled::new(self, entry));
            }
            forget(&self.clients, &entry);
        }
        let driven = C::connect(&self.network, address, limit).await?;
        let address = address.to_owned();
        let mut clients = self.lock();
        let entry = clients
            .entry(address.clone())
            .or_insert_with(|| Arc::new(Entry { driven, address }));
        let entry = Arc::clone(entry);
        drop(clients);
        Ok(Pooled::new(self, entry))
    }

    /// The connection to `address`, if there is one.
    pub(crate) fn known(&self, address: &str) -> Option<C> {
        let clients = self.lock();
        let entry = clients.get(address).filter(|e| !e.driven.is_dead());
        entry.map(|entry| entry.driven.client.clone())
    }

    /// What came of a call: a connection that gave no answer is forgotten.
    pub(crate) fn settle<T, E>(&self, by: &Pooled<C>, answer: Option<Result<T, E>>) -> Option<T> {
        match answer {
            Some(Ok(answer)) => {
                by.heard();
                Some(answer)
            }
            _ => {
                self.forget(by);
                None
            }
        }
    }

    /// Forgets a connection that failed, unless another one has taken its place already.
    pub fn forget(&self, failed: &Pooled<C>) {
        failed.forget();
    }
}

/// Waits that grow from 10 ms to `most` with each failure in a row, each by chance between half of it and all of it: many
/// that fail together do not come again together.
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
        wait.mul_f64(rand::random_range(0.5..=1.0))
    }
}

/// How long an attempt to connect may take: [`CONNECT_TIMEOUT`], or, where it grows, from that on twice as long after each
/// that took too long. Whoever hangs is soon tried again, and who is far away is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    limit: Duration,
    most: Duration,
}

/// The longest that an attempt is given.
const MOST_PATIENCE: Duration = Duration::from_secs(10);

impl Patience {
    pub(crate) fn constant() -> Patience {
        Patience {
            limit: CONNECT_TIMEOUT,
            most: CONNECT_TIMEOUT,
        }
    }

    pub(crate) fn growing() -> Patience {
        Patience {
            limit: CONNECT_TIMEOUT,
            most: MOST_PATIENCE,
        }
    }

    pub(crate) fn limit(self) -> Duration {
        self.limit
    }

    /// The last attempt ended with that.
    pub(crate) fn after(&mut self, error: &ConnectError) {
        if matches!(error, ConnectError::TimedOut(_)) {
            self.wait_longer();
        }
    }

    pub(crate) fn wait_longer(&mut self) {
        self.limit = (self.limit * 2).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two thousand clients that failed together came again together.
    #[test]
    fn waits_grow_to_the_most_and_no_two_need_be_alike() {
        let most = Duration::from_millis(80);
        let waits = || -> Vec<Duration> {
            let mut backoff = Backoff::new(most);
            (0..20).map(|_| backoff.wait()).collect()
        };
        let all = waits();
        for (i, wait) in all.iter().enumerate() {
            let full = (Duration::from_millis(10) * 2_u32.pow(i as u32)).min(most);
            assert!(*wait >= full / 2 && *wait <= full, "{i}: {wait:?}");
        }
        assert_ne!(all, waits(), "twenty waits are alike by no chance");
    }
}
