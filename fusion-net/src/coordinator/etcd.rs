//! Several coordinators that share an etcd: one is active, by a lease; the configurations are there, too.
//!
//! Each coordinator keeps a key below `coordinators/` for as long as its lease lasts; the one whose key was created
//! first is the active one, and stays it until its key goes. It counts its own lease from before the request that
//! prolonged it, and a tenth shorter than etcd does, so that it stops before another one can be elected. Nothing
//! rests on these clocks: every change is made by a transaction that finds the key still there.

mod engine;
mod keys;
mod store;

pub use engine::{Endpoints, EndpointsError};
pub use keys::Prefix;

use super::election::{Elected, Election, Standing, Term};
use super::store::{ConfigStore, StoreError};
use crate::clock;
use crate::peer::Backoff;
use async_trait::async_trait;
use engine::Engine;
use etcd_client::{Compare, CompareOp, KeyValue, PutOptions, Txn, TxnOp};
use std::sync::Arc;
use std::time::Duration;
use store::{EtcdStore, Leadership};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// The longest pause between two attempts to become a candidate.
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// A candidate looks at the others at least so often, even when nothing tells it that they changed.
const LOOK: Duration = Duration::from_secs(1);
/// How long the end of a lease that is not needed any more may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// How a coordinator uses etcd.
#[derive(Clone, Debug)]
pub struct EtcdOptions {
    /// Its members.
    pub endpoints: Endpoints,
    /// The beginning of all keys.
    pub prefix: Prefix,
    /// How long a coordinator stays the active one without a sign of life: whole seconds, 2 to 60.
    pub lease: Duration,
    /// The address of this coordinator, for servers, clients and the other coordinators.
    pub address: String,
}

/// One coordinator's part in the election.
pub struct Etcd {
    engine: Arc<Engine>,
    options: EtcdOptions,
    standing: Arc<watch::Sender<Standing>>,
    /// The lease that this process may still have.
    lease: tokio::sync::Mutex<Option<(i64, Term)>>,
}

impl Etcd {
    /// Takes no part yet; etcd is not asked before it does.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when an endpoint cannot even be called.
    pub async fn new(options: EtcdOptions) -> Result<Etcd, StoreError> {
        let engine = Engine::new(&options.endpoints, options.prefix.clone()).await?;
        Ok(Etcd {
            engine: Arc::new(engine),
            options,
            standing: Arc::default(),
            lease: tokio::sync::Mutex::default(),
        })
    }

    /// Ends the lease of a term before, if there is one: nobody should wait for it.
    async fn give_up_lease(&self) {
        let Some((lease, term)) = self.lease.lock().await.take() else {
            return;
        };
        term.end();
        let revoked = timeout(GOODBYE, self.engine.revoke(lease)).await;
        if !matches!(revoked, Ok(Ok(()))) {
            tracing::debug!("a lease could not be given back to etcd; it ends by itself");
        }
    }

    /// From a new lease to being elected.
    async fn run_for_office(&self) -> Result<Elected, StoreError> {
        self.give_up_lease().await;
        let asked = clock::now();
        let lease = self.engine.grant(self.options.lease).await?;
        let term = Term::until(asked.after(self.counted()));
        *self.lease.lock().await = Some((lease, term.clone()));
        let leadership = self.announce(lease).await?;
        let keeper = Keeper {
            engine: Arc::clone(&self.engine),
            standing: Arc::clone(&self.standing),
            every: self.options.lease / 5,
            counted: self.counted(),
            lease,
            term: term.clone(),
        };
        tokio::spawn(keeper.run());
        loop {
            let (candidates, revision) = look(&self.engine, &self.standing).await?;
            let first = candidates.first().map(KeyValue::create_revision);
            let here = candidates
                .iter()
                .any(|kv| kv.create_revision() == leadership.revision);
            if !here || term.is_over() {
                return Err(StoreError::Deposed);
            }
            if first == Some(leadership.revision) {
                break;
            }
            let coordinators = self.options.prefix.coordinators();
            tokio::select! {
                () = self.engine.wait_change(&coordinators, revision, LOOK) => {}
                () = term.ended() => return Err(StoreError::Deposed),
            }
        }
        let store = EtcdStore {
            engine: Arc::clone(&self.engine),
            leadership,
            term: term.clone(),
            name: self.describe(),
        };
        store.prepare().await?;
        let contents = store.load().await?;
        Ok(Elected {
            store: Arc::new(store),
            term,
            contents,
        })
    }

    /// The lease as this coordinator counts it: clocks may differ by much less than a tenth.
    fn counted(&self) -> Duration {
        self.options.lease * 9 / 10
    }

    /// Makes this coordinator's key.
    async fn announce(&self, lease: i64) -> Result<Leadership, StoreError> {
        let key = self.options.prefix.coordinator(lease);
        let put = PutOptions::new().with_lease(lease);
        let txn = Txn::new()
            .when([Compare::version(key.as_str(), CompareOp::Equal, 0)])
            .and_then([TxnOp::put(
                key.as_str(),
                self.options.address.as_str(),
                Some(put),
            )]);
        // A repeated one finds the key of the first.
        self.engine.transact(txn).await?;
        let made = self.engine.get(&key).await?.ok_or(StoreError::Deposed)?;
        let revision = made.create_revision();
        Ok(Leadership { key, revision })
    }
}

#[async_trait]
impl Election for Etcd {
    fn describe(&self) -> String {
        format!(
            "etcd {} (prefix {})",
            self.options.endpoints, self.options.prefix
        )
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn win(&self) -> Result<Elected, StoreError> {
        let mut backoff = Backoff::new(MAX_BACKOFF);
        let mut said = String::new();
        loop {
            match self.run_for_office().await {
                Ok(elected) => {
                    tracing::info!(store = %self.describe(), "this coordinator is the active one");
                    return Ok(elected);
                }
                Err(StoreError::Deposed) => {}
                Err(error) => {
                    let error = error.to_string();
                    self.standing.send_modify(|s| {
                        *s = Standing {
                            problem: Some(error.clone()),
                            ..Standing::default()
                        };
                    });
                    if said != error {
                        tracing::warn!(%error, "{} cannot be used; trying on", self.describe());
                        said = error;
                    }
                }
            }
            sleep(backoff.wait()).await;
        }
    }

    fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    async fn resign(&self) {
        self.give_up_lease().await;
    }
}

/// Reads who takes part, the active one first, and at which revision that was so.
async fn look(
    engine: &Engine,
    standing: &watch::Sender<Standing>,
) -> Result<(Vec<KeyValue>, i64), StoreError> {
    let (candidates, revision) = engine.list(&engine.prefix.coordinators()).await?;
    let mut addresses = candidates
        .iter()
        .map(|kv| String::from_utf8_lossy(kv.value()).into_owned());
    standing.send_replace(Standing {
        active: addresses.next(),
        standbys: addresses.collect(),
        problem: None,
    });
    Ok((candidates, revision))
}

/// Prolongs a lease while its term lasts.
struct Keeper {
    engine: Arc<Engine>,
    standing: Arc<watch::Sender<Standing>>,
    every: Duration,
    counted: Duration,
    lease: i64,
    term: Term,
}

impl Keeper {
    async fn run(self) {
        loop {
            tokio::select! {
                () = sleep(self.every) => {}
                () = self.term.ended() => return,
            }
            let sent = clock::now();
            match self.engine.keep_alive(self.lease).await {
                Ok(()) => {
                    self.term.extend(sent.after(self.counted));
                    // Who stands by is for operators only: a failure shows in the next keep-alive.
                    let _ = look(&self.engine, &self.standing).await;
                }
                Err(StoreError::Deposed) => {
                    tracing::warn!("etcd has ended this coordinator's lease");
                    self.term.end();
                }
                Err(error) => {
                    tracing::warn!(%error, "this coordinator's lease could not be prolonged");
                    let problem = Some(error.to_string());
                    self.standing.send_modify(|s| s.problem = problem);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
