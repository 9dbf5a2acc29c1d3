//! Finding the active one of several coordinators, and following it.
//!
//! All addresses are asked at once, each again and again with bounded pauses: one that hangs or is gone does not delay
//! what another one has to say.

use crate::addresses::{Addresses, MAX_ADDRESSES};
use crate::peer::{self, Backoff, within};
use crate::service::CoordinatorClient;
use crate::transport::Network;
use crate::wire::ConnectError;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// How long a coordinator may take to say whether it is the active one.
const ASK: Duration = Duration::from_secs(1);
/// The longest pause between two questions to the same one.
const MAX_BACKOFF: Duration = Duration::from_millis(100);

/// Why a coordinator was of no use.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Attempt {
    /// No connection was made.
    NotReached(Arc<ConnectError>),
    /// It said nothing more, or closed the connection.
    Silent,
    /// It is not the active one.
    StandsBy {
        /// Which is, if it knows.
        active: Option<String>,
        /// Why none may be, if it knows.
        problem: Option<String>,
    },
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attempt::NotReached(error) => write!(f, "{error}"),
            Attempt::Silent => f.write_str("it was reached but does not answer"),
            Attempt::StandsBy {
                problem: Some(problem),
                ..
            } => write!(f, "it stands by: {problem}"),
            Attempt::StandsBy {
                active: Some(active),
                ..
            } => write!(f, "it stands by for {active}"),
            Attempt::StandsBy { .. } => {
                f.write_str("it stands by, and knows of none that is active")
            }
        }
    }
}

/// What was tried in vain: each address with what came of it last.
#[derive(Clone, Debug, Default)]
pub struct Tried(Vec<(String, Attempt)>);

impl Tried {
    /// Each address that was tried.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Attempt)> {
        self.0
            .iter()
            .map(|(address, attempt)| (&**address, attempt))
    }

    fn note(&mut self, address: &str, attempt: Attempt) {
        match self.0.iter_mut().find(|(a, _)| a == address) {
            Some((_, last)) => *last = attempt,
            None => self.0.push((address.to_owned(), attempt)),
        }
    }

    /// Whether somebody there may come to be the active one, or knows who is.
    #[must_use]
    pub fn hopeful(&self) -> bool {
        let stands_by = |(_, attempt): &(_, _)| matches!(attempt, Attempt::StandsBy { .. });
        self.0.iter().any(stands_by)
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [] => f.write_str("no coordinator answered in time"),
            [(address, Attempt::NotReached(reason))] => {
                write!(f, "cannot reach the coordinator at {address}: {reason}")
            }
            [(address, attempt)] => {
                write!(f, "the coordinator at {address} is of no use: {attempt}")
            }
            several => {
                let told = several.iter().map(|(a, why)| format!("{a}: {why}"));
                let told: Vec<String> = told.collect();
                write!(f, "no coordinator is active; {}", told.join("; "))
            }
        }
    }
}

/// A connection to a coordinator that said that it is the active one.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) client: CoordinatorClient,
    pub(crate) address: String,
    generation: u64,
}

/// The way to the active coordinator; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Coordinators {
    addresses: Addresses,
    network: Network,
    found: Arc<Mutex<Option<Found>>>,
    /// One search at a time; what the last one found wrong.
    searching: Arc<tokio::sync::Mutex<()>>,
    tried: Arc<Mutex<Tried>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Coordinators {
    pub(crate) fn new(addresses: Addresses, network: Network) -> Coordinators {
        Coordinators {
            addresses,
            network,
            found: Arc::default(),
            searching: Arc::default(),
            tried: Arc::default(),
        }
    }

    /// The connection used last, or, when that is [`lost`](Self::lost) or there is none, one to whoever says first that it
    /// is the active coordinator. Gives up after `limit`, and at once when nobody answers at all.
    pub(crate) async fn active(&self, limit: Duration) -> Result<Found, Tried> {
        if let Some(found) = lock(&self.found).clone() {
            return Ok(found);
        }
        let search = async {
            let _one_at_a_time = self.searching.lock().await;
            if let Some(found) = lock(&self.found).clone() {
                return Ok(found);
            }
            *lock(&self.tried) = Tried::default();
            let found = self.search().await?;
            *lock(&self.found) = Some(found.clone());
            Ok(found)
        };
        timeout(limit, search)
            .await
            .unwrap_or_else(|_| Err(lock(&self.tried).clone()))
    }

    /// The connection broke, or what it leads to is not the active coordinator any more.
    pub(crate) fn lost(&self, lost: &Found) {
        let mut found = lock(&self.found);
        if found
            .as_ref()
            .is_some_and(|f| f.generation == lost.generation)
        {
            *found = None;
        }
    }

    async fn search(&self) -> Result<Found, Tried> {
        let (tell, mut told) = mpsc::channel(1);
        let mut asked: Vec<String> = self.addresses.iter().map(str::to_owned).collect();
        let ask = |address: String| -> BoxFuture<'static, Found> {
            Box::pin(ask_until_active(
                self.network.clone(),
                address,
                tell.clone(),
            ))
        };
        let mut asking: FuturesUnordered<_> = asked.iter().cloned().map(ask).collect();
        loop {
            tokio::select! {
                Some(found) = asking.next() => return Ok(found),
                Some((address, attempt)) = told.recv() => {
                    if let Attempt::StandsBy { active: Some(named), .. } = &attempt
                        && !asked.contains(named)
                        && asked.len() < 2 * MAX_ADDRESSES
                    {
                        asked.push(named.clone());
                        asking.push(ask(named.clone()));
                    }
                    let mut tried = lock(&self.tried);
                    tried.note(&address, attempt);
                    if tried.0.len() >= asked.len() && !tried.hopeful() {
                        return Err(tried.clone());
                    }
                }
            }
        }
    }
}

/// Asks one coordinator until it is the active one; tells each time why it is not.
async fn ask_until_active(
    network: Network,
    address: String,
    tell: mpsc::Sender<(String, Attempt)>,
) -> Found {
    let mut backoff = Backoff::new(MAX_BACKOFF);
    loop {
        let attempt = match peer::connect::<CoordinatorClient>(&network, &address).await {
            Ok(client) => loop {
                let who = match client.who(within(ASK)).await {
                    Ok(who) => who,
                    Err(_) => break Attempt::Silent,
                };
                if who.active {
                    return Found {
                        client,
                        address,
                        generation: rand::random(),
                    };
                }
                let stands_by = Attempt::StandsBy {
                    active: who.active_address,
                    problem: who.control.problem,
                };
                let _ = tell.send((address.clone(), stands_by)).await;
                sleep(backoff.wait()).await;
            },
            Err(error) => Attempt::NotReached(Arc::new(error)),
        };
        let _ = tell.send((address.clone(), attempt)).await;
        sleep(backoff.wait()).await;
    }
}
