//! The way to one primary, as its callers have it: each gets its answer, or hears who owes it.
//!
//! Calls that come while a batch is under way go together in the next one: no timer, no fixed size. A change keeps
//! its `RequestId` over all retries, so it is executed once, whichever process is the primary by then.

use super::Error;
use super::call::{Ask, Call};
use super::driver::{Driver, LONGEST, owing};
use super::route::{Connections, Route};
use super::structure::Answer;
use super::taken::{Answers, Take, Taken};
use super::way::{NotTaken, Way};
use bytes::Bytes;
use fusion_core::id::PrimaryIndex;
use fusion_core::op::Op;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// A call whose time is over is answered by the driver, or else, after this time, by the caller itself.
const GRACE: Duration = Duration::from_millis(200);

/// Why there is no answer where the task that would bring it is no more.
const RUNTIME_ENDED: &str =
    "the tokio runtime that this client's tasks ran in has ended; further calls start them again";
const RUNTIME_ENDS: &str =
    "the tokio runtime of the caller is ending, and takes no task of this client";

/// A handle of the way; cheap to clone. The way ends with its last handle.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    way: Way,
    taken: Arc<Taken>,
    connections: Connections,
    route: Arc<Route>,
    index: PrimaryIndex,
}

impl Lane {
    pub(crate) fn start(connections: Connections, route: Arc<Route>, index: PrimaryIndex) -> Lane {
        let taken = Arc::<Taken>::default();
        let driver = Driver::new(connections.clone(), Arc::clone(&route), index, &taken);
        let inner = Inner {
            way: Way::new(driver.start()),
            taken,
            connections,
            route,
            index,
        };
        Lane {
            inner: Arc::new(inner),
        }
    }

    /// Executes one operation.
    pub(crate) async fn call(&self, op: Op) -> Result<Answer, Error> {
        let begun = Instant::now();
        let (call, mut promise) = self.prepare(op, begun, self.deadline(begun));
        if let Err(why) = self.ask(promise.deadline, Ask::One(call)).await {
            return Err(self.not_sent(begun, &why));
        }
        self.answer(&mut promise).await
    }

    /// Executes operations in this order, in one request; answers each.
    pub(super) async fn call_together(&self, ops: Vec<Op>) -> Answers {
        let begun = Instant::now();
        let deadline = self.deadline(begun);
        let (calls, promises): (Vec<_>, Vec<_>) = ops
            .into_iter()
            .map(|op| self.prepare(op, begun, deadline))
            .unzip();
        let mut answers = self.answers(promises.len());
        if let Err(why) = self.ask(deadline, Ask::Together(calls)).await {
            for _ in promises {
                answers.push(None, Err(self.not_sent(begun, &why)));
            }
            return answers;
        }
        for mut promise in promises {
            let take = promise.take.clone();
            let answer = self.answer(&mut promise).await;
            answers.push(take, answer);
        }
        answers
    }

    /// Answers to be gathered for one caller.
    pub(super) fn answers(&self, capacity: usize) -> Answers {
        Answers::new(Arc::clone(&self.inner.taken), capacity)
    }

    /// Takes out what calls that were dropped have taken.
    pub(super) fn take_abandoned(&self) -> Vec<Bytes> {
        self.inner.taken.take_all()
    }

    fn deadline(&self, begun: Instant) -> Instant {
        begun + self.inner.connections.timeout.min(LONGEST)
    }

    fn prepare(&self, op: Op, begun: Instant, deadline: Instant) -> (Call, Promise) {
        let (answer, answered) = oneshot::channel();
        let promise = Promise {
            begun,
            deadline,
            changes: op.is_mutation(),
            take: Take::of(&op),
            taken: Arc::clone(&self.inner.taken),
            answered,
        };
        let call = Call {
            op,
            begun,
            deadline,
            answer,
        };
        (call, promise)
    }

    async fn ask(&self, deadline: Instant, ask: Ask) -> Result<(), NotTaken> {
        let start = || {
            let (connections, route) = (
                self.inner.connections.clone(),
                Arc::clone(&self.inner.route),
            );
            Driver::new(connections, route, self.inner.index, &self.inner.taken).start()
        };
        self.inner.way.hand_over(deadline, ask, start).await
    }

    fn not_sent(&self, begun: Instant, why: &NotTaken) -> Error {
        Error::TimedOut {
            after: begun.elapsed(),
            why: match why {
                NotTaken::Late => owing(&self.inner.route, self.inner.index),
                NotTaken::NoRuntime => RUNTIME_ENDS.to_owned(),
            },
        }
    }

    async fn answer(&self, promise: &mut Promise) -> Result<Answer, Error> {
        let due = promise.deadline + GRACE;
        let why = match timeout_at(due, &mut promise.answered).await {
            Ok(Ok(answer)) => {
                // The caller has it: nothing is awaited between here and there.
                promise.take = None;
                return answer;
            }
            Ok(Err(_)) => RUNTIME_ENDED.to_owned(),
            Err(_) => owing(&self.inner.route, self.inner.index),
        };
        let after = promise.begun.elapsed();
        Err(match promise.changes {
            true => Error::OutcomeUnknown { after, why },
            false => Error::TimedOut { after, why },
        })
    }
}

/// The answer that a caller waits for.
struct Promise {
    begun: Instant,
    deadline: Instant,
    changes: bool,
    /// What it takes, until the caller has it.
    take: Option<Take>,
    taken: Arc<Taken>,
    answered: oneshot::Receiver<Result<Answer, Error>>,
}

impl Drop for Promise {
    /// Keeps what was taken for a caller that goes away without it.
    fn drop(&mut self) {
        let Some(take) = self.take.take() else {
            return;
        };
        // Before the driver can see that nobody waits.
        self.taken.abandon();
        let answer = match self.answered.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => {
                self.answered.close();
                match self.answered.try_recv() {
                    Ok(answer) => answer,
                    // The driver keeps it, when it comes.
                    Err(_) => return,
                }
            }
            Err(oneshot::error::TryRecvError::Closed) => return self.taken.settle(),
            Ok(answer) => answer,
        };
        if let Ok(answer) = answer {
            self.taken.keep(take, answer);
        }
        self.taken.settle();
    }
}
