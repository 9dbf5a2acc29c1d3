//! Calls on their way to a primary.

use super::Error;
use super::structure::Answer;
use super::taken::{Take, Taken};
use fusion_core::id::RequestId;
use fusion_core::op::Op;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// One operation, and where its answer goes.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) op: Op,
    pub(super) begun: Instant,
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
    /// Nobody waits for it; it is asked about again, since it may have taken an element.
    pub(super) abandoned: bool,
}

impl Pending {
    pub(super) fn new(call: Call, group: u64) -> Pending {
        Pending {
            call,
            group,
            id: None,
            unsure: false,
            abandoned: false,
        }
    }

    /// Whether it takes an element for somebody who waits for it, or may have.
    pub(super) fn takes(&self) -> bool {
        matches!(
            self.call.op,
            Op::Dequeue | Op::RemoveIndex { .. } | Op::Remove { .. }
        )
    }

    /// Whether its time is over, or its caller is gone.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.call.deadline <= now || !self.abandoned && self.call.answer.is_closed()
    }

    /// Answers the caller; where that is gone, what was taken for it is kept.
    pub(super) fn finish(self, result: Result<Answer, Error>, taken: &Taken) {
        let Err(unread) = self.call.answer.send(result) else {
            return;
        };
        if let Some(take) = Take::of(&self.call.op) {
            if let Ok(answer) = unread {
                taken.keep(take, answer);
            }
            taken.settle();
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

    /// Says that there will be no answer, and why.
    pub(super) fn give_up(self, why: &str, taken: &Taken) {
        let error = self.given_up(why);
        self.finish(Err(error), taken);
    }

    /// Says that there will be no answer to a take that may have been made, which is asked about again when the next
    /// caller takes something.
    pub(super) fn park(mut self, why: &str, taken: &Taken) -> Pending {
        let error = self.given_up(why);
        let (nobody, _) = oneshot::channel();
        let caller = std::mem::replace(&mut self.call.answer, nobody);
        // Else it went away itself, and was counted then.
        if !self.abandoned && caller.send(Err(error)).is_ok() {
            taken.abandon();
        }
        self.abandoned = true;
        self
    }

    fn given_up(&self, why: &str) -> Error {
        let (after, why) = (self.call.begun.elapsed(), why.to_owned());
        if self.is_unknown() {
            Error::OutcomeUnknown { after, why }
        } else {
            Error::TimedOut { after, why }
        }
    }
}
