//! Finding the active one of several coordinators, and following it.
//!
//! All addresses are asked at once, each again and again with bounded pauses, until one is the active one or the time is
//! over: one that hangs or is gone does not delay what another one has to say, and one that is started again is found.

use crate::addresses::{Addresses, MAX_ADDRESSES};
use crate::peer::{Backoff, Connect, Driven, Patience, within};
use crate::service::CoordinatorClient;
use crate::text::{bounded, took};
use crate::transport::{Network, ReachError};
use crate::wire::ConnectError;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

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

impl Attempt {
    /// Whether nothing that may be waited for would change it: somebody has to.
    fn is_final(&self) -> bool {
        let Attempt::NotReached(error) = self else {
            return false;
        };
        match &**error {
            ConnectError::Version { .. } | ConnectError::WrongService { .. } => true,
            ConnectError::Reach(reach) => !matches!(reach, ReachError::Tls(_) | ReachError::Io(_)),
            // A process that goes down just then sounds like one of another kind.
            _ => false,
        }
    }

    /// Whether nobody was there, as far as the system says.
    fn is_refused(&self) -> bool {
        matches!(self, Attempt::NotReached(error) if !matches!(**error, ConnectError::TimedOut(_)))
    }
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

/// What was tried in vain, and for how long: each address with what came of it last.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    attempts: Vec<(String, Attempt)>,
    took: Duration,
}

impl Tried {
    /// Each address that was tried.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Attempt)> {
        self.attempts
            .iter()
            .map(|(address, attempt)| (&**address, attempt))
    }

    /// How long it took.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.took
    }

    fn note(&mut self, address: &str, attempt: Attempt) {
        match self.attempts.iter_mut().find(|(a, _)| a == address) {
            Some((_, last)) => *last = attempt,
            None => self.attempts.push((address.to_owned(), attempt)),
        }
    }

    /// Whether no waiting will help, or none was there for as long as that is waited for.
    fn is_in_vain(&self, refused_for: Option<Duration>, waited: Duration) -> bool {
        let mut attempts = self.attempts.iter().map(|(_, attempt)| attempt);
        let all_final = attempts.clone().all(Attempt::is_final);
        let long_enough = refused_for.is_some_and(|limit| waited >= limit);
        all_final || long_enough && attempts.all(Attempt::is_refused)
    }

    /// Whether somebody there may come to be the active one, or knows who is.
    #[must_use]
    pub fn hopeful(&self) -> bool {
        let stands_by = |(_, attempt): &(_, _)| matches!(attempt, Attempt::StandsBy { .. });
        self.attempts.iter().any(stands_by)
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = took(self.took);
        match &self.attempts[..] {
            [] => write!(f, "no coordinator answered within {took}"),
            [(address, Attempt::NotReached(reason))] => {
                let reason = bounded(&reason.to_string());
                write!(
                    f,
                    "cannot reach the coordinator at {address}: {reason} (tried for {took})"
                )
            }
            [(address, attempt)] => {
                let attempt = bounded(&attempt.to_string());
                write!(
                    f,
                    "the coordinator at {address} is of no use: {attempt} (tried for {took})"
                )
            }
            several => {
                let told = several
                    .iter()
                    .map(|(a, why)| format!("{a}: {}", bounded(&why.to_string())));
                let told: Vec<String> = told.collect();
                write!(
                    f,
                    "no coordinator is active (tried for {took}); {}",
                    told.join("; ")
                )
            }
        }
    }
}

/// A connection to a coordinator that said that it is the active one.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) client: CoordinatorClient,
    pub(crate) address: String,
    connection: Driven<()>,
    generation: u64,
}

/// The way to the active coordinator; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Coordinators {
    addresses: Addresses,
    network: Network,
    refused_for: Option<Duration>,
    patience: Patience,
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
            refused_for: None,
            patience: Patience::constant(),
            found: Arc::default(),
            searching: Arc::default(),
            tried: Arc::default(),
        }
    }

    /// For a client, which may be far away, and whose search ends at its deadline; or sooner when nobody at all has been
    /// there for so long. (A server looks for a new coordinator at a steady pace: it is given a bounded time to find it,
    /// PROTOCOL rule 22.)
    pub(crate) fn for_client(self, refused_for: Option<Duration>) -> Coordinators {
        Coordinators {
            refused_for,
            patience: Patience::growing(),
            ..self
        }
    }

    /// The connection used last, if it is of use yet.
    fn known(&self) -> Option<Found> {
        let mut found = lock(&self.found);
        if found.as_ref().is_some_and(|f| f.connection.is_dead()) {
            *found = None;
        }
        found.clone()
    }

    /// The connection used last, or, when that is [`lost`](Self::lost) or there is none, one to whoever says first that it
    /// is the active coordinator. Gives up after `limit`, and at once when all that are asked say what no waiting changes:
    /// that they speak another version, say, or do not take this side's certificate.
    pub(crate) async fn active(&self, limit: Duration) -> Result<Found, Tried> {
        if let Some(found) = self.known() {
            return Ok(found);
        }
        let began = Instant::now();
        let search = async {
            let _one_at_a_time = self.searching.lock().await;
            if let Some(found) = self.known() {
                return Ok(found);
            }
            *lock(&self.tried) = Tried::default();
            let found = self.search().await?;
            *lock(&self.found) = Some(found.clone());
            Ok(found)
        };
        let found = timeout(limit, search)
            .await
            .unwrap_or_else(|_| Err(lock(&self.tried).clone()));
        found.map_err(|tried| Tried {
            took: began.elapsed(),
            ..tried
        })
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
                self.patience,
                tell.clone(),
            ))
        };
        let began = Instant::now();
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
                    let all = tried.attempts.len() >= asked.len();
                    if all && tried.is_in_vain(self.refused_for, began.elapsed()) {
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
    mut patience: Patience,
    tell: mpsc::Sender<(String, Attempt)>,
) -> Found {
    let mut backoff = Backoff::new(MAX_BACKOFF);
    loop {
        let connected = CoordinatorClient::connect(&network, &address, patience.limit()).await;
        let attempt = match connected {
            Ok(driven) => loop {
                let who = match driven.client.who(within(patience.limit())).await {
                    Ok(who) => who,
                    Err(_) => {
                        patience.wait_longer();
                        break Attempt::Silent;
                    }
                };
                if who.active {
                    return Found {
                        client: driven.client.clone(),
                        address,
                        connection: driven.map(|_| ()),
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
            Err(error) => {
                patience.after(&error);
                Attempt::NotReached(Arc::new(error))
            }
        };
        let _ = tell.send((address.clone(), attempt)).await;
        sleep(backoff.wait()).await;
    }
}
