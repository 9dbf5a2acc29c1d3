//! Calls on their way to a primary.

use super::Error;
use super::structure::Answer;
use fusion_core::id::RequestId;
use fusion_core::op::Op;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// One operation, and where its answer goes.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) op: Op,
    pub(super) deadline: Instant,
    pub(super) answer: oneshot::Sender<Result<Answer, Error>>,
}

/// What a caller asks for at once.
#[derive(Debug)]
pub(super) enum Ask {
    /// One call.
    One(Call),
    /// Calls that go in one request, so that they are executed in this order.
    Together(Vec<Call>),
}

/// A call that has its place in a batch.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) call: Call,
    /// Neighbours with the same number go in one request.
    pub(super) group: u64,
    pub(super) id: Option<RequestId>,
    /// It was sent, and perhaps executed, without an answer.
    pub(super) unsure: bool,
}

impl Pending {
    pub(super) fn new(call: Call, group: u64) -> Pending {
        Pending {
            call,
            group,
            id: None,
            unsure: false,
        }
    }

    /// Whether a slot of the session must be found for it.
    pub(super) fn needs_slot(&self) -> bool {
        self.id.is_none() && self.call.op.is_mutation()
    }

    /// Whether it is a change that may have been made.
    pub(super) fn is_unknown(&self) -> bool {
        self.unsure && self.id.is_some()
    }

    pub(super) fn give_up(self, limit: Duration, why: &str) {
        let why = why.to_owned();
        let error = if self.is_unknown() {
            Error::OutcomeUnknown { limit, why }
        } else {
            Error::TimedOut { limit, why }
        };
        let _ = self.call.answer.send(Err(error));
    }
}
