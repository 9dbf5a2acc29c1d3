//! Which of several coordinators is the active one, and for how long it may think so.

use super::store::{ConfigStore, StoreContents, StoreError};
use crate::clock;
use crate::peer::Backoff;
use async_trait::async_trait;
use fusion_core::time::Time;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The longest sleep between two looks at the clock: tokio's own does not count suspension.
const LOOK: Duration = Duration::from_millis(100);

/// The time in which a coordinator is the active one, as it counts it itself. A term that was once seen to be over
/// stays over. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Term {
    /// In microseconds of the boot clock; `u64::MAX`: no end.
    until: Arc<AtomicU64>,
    over: CancellationToken,
}

impl Term {
    /// One that ends at `until` if it is not extended; [`Time::NEVER`] for a coordinator that is alone.
    #[must_use]
    pub fn until(until: Time) -> Term {
        Term {
            until: Arc::new(AtomicU64::new(until.0)),
            over: CancellationToken::new(),
        }
    }

    /// Lasts until `until` at least, if it is not over.
    pub fn extend(&self, until: Time) {
        if !self.is_over() {
            self.until.fetch_max(until.0, Ordering::SeqCst);
        }
    }

    /// Ends it now.
    pub fn end(&self) {
        self.over.cancel();
    }

    fn left(&self) -> Duration {
        Time(self.until.load(Ordering::SeqCst)).since(clock::now())
    }

    /// Whether it is over, by the clock: a process that was stopped for a while finds out before it acts again.
    #[must_use]
    pub fn is_over(&self) -> bool {
        if !self.over.is_cancelled() && self.left().is_zero() {
            self.over.cancel();
        }
        self.over.is_cancelled()
    }

    /// Waits until it is over.
    pub async fn ended(&self) {
        while !self.is_over() {
            let look = self.left().min(LOOK);
            let _ = tokio::time::timeout(look, self.over.cancelled()).await;
        }
    }
}

/// What a coordinator sees of the others and of the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The address of the active coordinator, if one is known.
    pub active: Option<String>,
    /// The addresses of those that stand by, as far as is known.
    pub standbys: Vec<String>,
    /// What is wrong with the engine, if something is.
    pub problem: Option<String>,
}

/// What the active coordinator begins with.
pub struct Elected {
    /// For changes under this term.
    pub store: Arc<dyn ConfigStore>,
    /// How long it may act.
    pub term: Term,
    /// What the store held after the election.
    pub contents: StoreContents,
}

/// Makes one of several coordinators the active one.
#[async_trait]
pub trait Election: Send + Sync + 'static {
    /// What decides and where, for operators.
    fn describe(&self) -> String;

    /// Whether several coordinators can take part in it.
    fn is_shared(&self) -> bool;

    /// Waits, as long as it takes, until this coordinator is the active one, and reads the store.
    ///
    /// # Errors
    /// [`StoreError`] when waiting would be in vain.
    async fn win(&self) -> Result<Elected, StoreError>;

    /// What is seen of the others.
    fn standing(&self) -> watch::Receiver<Standing>;

    /// Makes way for the next one at once, instead of when the lease ends.
    async fn resign(&self);
}

/// The longest pause between two attempts to read the store anew.
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// The election of a coordinator that is the only one, since nobody else can open its store. Its term ends only when what
/// came of a change is not known, and the next one begins as soon as the store can be read.
pub struct Alone {
    store: Arc<dyn ConfigStore>,
    standing: watch::Sender<Standing>,
    /// A store that cannot be read at the start is the wrong one, say; one that cannot be read any more may come back.
    began: AtomicBool,
}

impl Alone {
    /// With its store.
    #[must_use]
    pub fn new(store: Arc<dyn ConfigStore>) -> Alone {
        Alone {
            store,
            standing: watch::Sender::default(),
            began: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl Election for Alone {
    fn describe(&self) -> String {
        self.store.describe()
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn win(&self) -> Result<Elected, StoreError> {
        let mut backoff = Backoff::new(MAX_BACKOFF);
        let contents = loop {
            match self.store.load().await {
                Ok(contents) => break contents,
                Err(error) if !self.began.load(Ordering::SeqCst) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "the store cannot be read; trying on");
                    let problem = Some(error.to_string());
                    self.standing.send_modify(|s| s.problem = problem);
                    sleep(backoff.wait()).await;
                }
            }
        };
        self.began.store(true, Ordering::SeqCst);
        self.standing.send_modify(|s| s.problem = None);
        Ok(Elected {
            store: Arc::clone(&self.store),
            term: Term::until(Time::NEVER),
            contents,
        })
    }

    fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    async fn resign(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_term_ends_by_the_clock_and_is_not_prolonged_afterwards() {
        let term = Term::until(clock::now().after(Duration::from_millis(20)));
        assert!(!term.is_over());
        term.extend(clock::now().after(Duration::from_millis(40)));
        term.ended().await;
        assert!(term.is_over());
        term.extend(Time::NEVER);
        assert!(term.is_over());
    }

    #[test]
    fn a_term_without_an_end_can_be_ended() {
        let term = Term::until(Time::NEVER);
        assert!(!term.is_over());
        term.clone().end();
        assert!(term.is_over());
    }
}
