//! Calls that wait to be sent to one primary, in their order.

use super::call::{Ask, Pending};
use super::session::Session;
use super::taken::{Take, Taken};
use fusion_core::message::ClientRequest;
use fusion_core::op::Op;
use std::collections::VecDeque;
use tokio::time::Instant;

/// The most requests in one batch.
const MAX_BATCH: usize = 512;
/// About the most bytes of one batch.
const MAX_BATCH_BYTES: usize = 4 << 20;
/// So many calls are worth a batch beside one that is under way.
const ENOUGH: usize = 64;
/// Or so many bytes of them.
const ENOUGH_BYTES: usize = 64 << 10;

/// The calls. Those that were asked together are neighbours, and go, wait and end together.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    calls: VecDeque<Pending>,
    /// The number of the last group.
    group: u64,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Whether so much waits that it should not wait for the batch that is under way.
    pub(super) fn is_enough(&self) -> bool {
        let bytes = || -> usize { self.calls.iter().map(|p| p.call.op.payload_bytes()).sum() };
        self.calls.len() >= ENOUGH || bytes() >= ENOUGH_BYTES
    }

    pub(super) fn has_changes(&self) -> bool {
        self.calls.iter().any(|p| p.call.op.is_mutation())
    }

    /// Whether some that were asked together change nothing.
    pub(super) fn has_reads(&self) -> bool {
        let mut from = 0;
        while let Some(count) = self.group_at(from) {
            if !self.changes_at(from, count) {
                return true;
            }
            from += count;
        }
        false
    }

    pub(super) fn take(&mut self, ask: Ask) {
        self.group += 1;
        let group = self.group;
        match ask {
            Ask::One(call) => self.calls.push_back(Pending::new(call, group)),
            Ask::Together(calls) => {
                let calls = calls.into_iter().map(|call| Pending::new(call, group));
                self.calls.extend(calls);
            }
        }
    }

    /// Puts calls that must be sent again before all others.
    pub(super) fn put_back(&mut self, calls: impl DoubleEndedIterator<Item = Pending>) {
        for pending in calls.rev() {
            self.calls.push_front(pending);
        }
    }

    /// Takes out the calls whose time is over or whose caller is gone, with all that were asked together with one: what is
    /// behind it must not be executed without it.
    pub(super) fn take_over(&mut self, now: Instant) -> Vec<Pending> {
        let is_over = |p: &Pending| p.is_over(now);
        if !self.calls.iter().any(is_over) {
            return Vec::new();
        }
        let (mut over, mut rest) = (Vec::new(), VecDeque::with_capacity(self.calls.len()));
        while let Some(count) = self.front_group() {
            if self.calls.iter().take(count).any(is_over) {
                over.extend(self.calls.drain(..count));
            } else {
                rest.extend(self.calls.drain(..count));
            }
        }
        self.calls = rest;
        over
    }

    /// Whether somebody waits for an element to be taken.
    pub(super) fn has_takes(&self) -> bool {
        self.calls.iter().any(|p| p.takes() && !p.abandoned)
    }

    /// Whether something is asked about again.
    pub(super) fn has_abandoned(&self) -> bool {
        self.calls.iter().any(|p| p.abandoned)
    }

    /// Asks again about takes that may have been made: before all others, each for itself.
    pub(super) fn ask_again(&mut self, parked: impl DoubleEndedIterator<Item = Pending>) {
        for mut pending in parked.rev() {
            self.group += 1;
            pending.group = self.group;
            self.calls.push_front(pending);
        }
    }

    /// Answers takes that were never sent with what was taken in vain before; but none behind another one of its group that
    /// must be executed first.
    pub(super) fn answer_from(&mut self, taken: &Taken) {
        if !taken.has_any() {
            return;
        }
        let mut rest = VecDeque::with_capacity(self.calls.len());
        let mut before = None;
        for pending in std::mem::take(&mut self.calls) {
            let at_front = before != Some(pending.group);
            let found = match Take::of(&pending.call.op) {
                // Whether a key is there now is asked first.
                Some(Take::Key(_)) | None => None,
                Some(take) if at_front && pending.id.is_none() => taken.find(&take),
                Some(_) => None,
            };
            match found {
                Some(answer) => pending.finish(Ok(answer), taken),
                None => {
                    before = Some(pending.group);
                    rest.push_back(pending);
                }
            }
        }
        self.calls = rest;
    }

    pub(super) fn take_all(&mut self) -> VecDeque<Pending> {
        std::mem::take(&mut self.calls)
    }

    /// Takes out what goes into the next batch, and names its changes; with `coalesce` as many groups as fit, else one.
    /// With `hold_takes` nothing is taken, nor asked behind that, but what is asked about again.
    pub(super) fn take_batch(
        &mut self,
        session: &mut Session,
        coalesce: bool,
        hold_takes: bool,
    ) -> (Vec<ClientRequest>, Vec<Pending>) {
        let (mut requests, mut calls) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        while let Some(count) = self.front_group() {
            let (mut longer, mut slots, mut held) = (0, 0, false);
            for pending in self.calls.iter().take(count) {
                held |= hold_takes && pending.takes() && !pending.abandoned;
                longer += pending.call.op.payload_bytes();
                slots += usize::from(pending.needs_slot());
            }
            let fits = requests.is_empty()
                || coalesce
                    && requests.len() + count <= MAX_BATCH
                    && bytes + longer <= MAX_BATCH_BYTES;
            if !fits || held || slots > session.free_slots() {
                break;
            }
            bytes += longer;
            for (i, mut next) in self.calls.drain(..count).enumerate() {
                if next.needs_slot() {
                    next.id = session.next();
                }
                requests.push(ClientRequest {
                    id: next.id,
                    op: next.call.op.clone(),
                    follows: i > 0,
                });
                calls.push(next);
            }
        }
        (requests, calls)
    }

    /// As [`take_batch`](Self::take_batch), of the groups without a change; the others stay in their order.
    pub(super) fn take_reads(
        &mut self,
        session: &mut Session,
        coalesce: bool,
    ) -> (Vec<ClientRequest>, Vec<Pending>) {
        let (mut reads, mut changes) = (VecDeque::new(), VecDeque::new());
        while let Some(count) = self.front_group() {
            let rest = match self.changes_at(0, count) {
                true => &mut changes,
                false => &mut reads,
            };
            rest.extend(self.calls.drain(..count));
        }
        self.calls = reads;
        let batch = self.take_batch(session, coalesce, false);
        changes.append(&mut self.calls);
        self.calls = changes;
        batch
    }

    /// How many calls the first group has.
    fn front_group(&self) -> Option<usize> {
        self.group_at(0)
    }

    /// How many calls the group has that begins there.
    fn group_at(&self, from: usize) -> Option<usize> {
        let group = self.calls.get(from)?.group;
        let same = self.calls.range(from..).take_while(|p| p.group == group);
        Some(same.count())
    }

    /// Whether any of so many calls from there on is a change.
    fn changes_at(&self, from: usize, count: usize) -> bool {
        let group = self.calls.range(from..from + count);
        group.map(|p| &p.call.op).any(Op::is_mutation)
    }
}

/// What becomes of the calls of a batch that were not executed.
#[derive(Debug, Default)]
pub(super) struct Again {
    /// The group that was executed in part, if its calls are looked at.
    pub(super) begun: Option<u64>,
    /// The group of which one was given up, if its calls are looked at: those behind it are not executed without it.
    pub(super) given_up: Option<u64>,
    /// Groups, to be sent again.
    whole: Vec<Pending>,
    /// What is left of groups: behind the others, which have waited for their long answers.
    rests: Vec<Pending>,
}

impl Again {
    pub(super) fn push(&mut self, pending: Pending) {
        if self.begun == Some(pending.group) {
            self.rests.push(pending);
        } else {
            self.whole.push(pending);
        }
    }

    /// All of them.
    pub(super) fn into_calls(self) -> impl DoubleEndedIterator<Item = Pending> {
        self.whole.into_iter().chain(self.rests)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Error;
    use super::super::call::Call;
    use super::super::structure::Answer;
    use super::*;
    use fusion_core::id::Seq;
    use std::time::Duration;
    use tokio::sync::oneshot;

    type Promise = oneshot::Receiver<Result<Answer, Error>>;

    fn calls(ops: impl IntoIterator<Item = Op>, deadline: Instant) -> (Vec<Call>, Vec<Promise>) {
        let call = |op| {
            let (answer, promise) = oneshot::channel();
            let call = Call {
                op,
                begun: Instant::now(),
                deadline,
                answer,
            };
            (call, promise)
        };
        ops.into_iter().map(call).unzip()
    }

    fn enqueue(value: u8) -> Op {
        Op::Enqueue {
            value: vec![value].into(),
        }
    }

    fn open_session() -> Session {
        let mut session = Session::new();
        session.incarnation = Some(Seq(1));
        session
    }

    fn ask_together(waiting: &mut Waiting, count: u8, deadline: Instant) -> Vec<Promise> {
        let (calls, promises) = calls((0..count).map(enqueue), deadline);
        waiting.take(Ask::Together(calls));
        promises
    }

    fn ask_one(waiting: &mut Waiting, op: Op, deadline: Instant) -> Promise {
        let (mut calls, mut promises) = calls([op], deadline);
        waiting.take(Ask::One(calls.pop().unwrap()));
        promises.pop().unwrap()
    }

    /// Its promises are dropped one by one: the driver may look in between.
    #[test]
    fn of_a_group_whose_caller_goes_all_or_nothing_is_left() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut waiting = Waiting::default();
        let mut gone = ask_together(&mut waiting, 5, later);
        let _stays = ask_together(&mut waiting, 3, later);
        assert!(waiting.take_over(now).is_empty());
        drop(gone.remove(2));
        assert_eq!(waiting.take_over(now).len(), 5);
        assert_eq!(waiting.len(), 3);
        let _in_time = ask_one(&mut waiting, enqueue(9), later + Duration::from_secs(1));
        assert_eq!(waiting.take_over(later).len(), 3);
        assert_eq!(waiting.len(), 1);
    }

    #[test]
    fn a_group_goes_in_one_batch_and_says_what_follows() {
        let later = Instant::now() + Duration::from_secs(1);
        let mut waiting = Waiting::default();
        let mut session = open_session();
        let mut promises = ask_together(&mut waiting, 3, later);
        promises.push(ask_one(&mut waiting, Op::Len, later));
        promises.extend(ask_together(&mut waiting, 2, later));
        let (requests, calls) = waiting.take_batch(&mut session, true, false);
        let follow: Vec<_> = requests.iter().map(|r| r.follows).collect();
        assert_eq!(follow, [false, true, true, false, false, true]);
        // The front of the first group was executed: the rest of it is the front now.
        waiting.put_back(calls.into_iter().skip(1));
        let (requests, calls) = waiting.take_batch(&mut session, false, false);
        let follow: Vec<_> = requests.iter().map(|r| r.follows).collect();
        assert_eq!(follow, [false, true]);
        assert!(calls.iter().all(|c| c.id.is_some()));
        assert_eq!(waiting.len(), 3, "one group only, without coalescing");
    }

    #[test]
    fn a_group_waits_for_slots_for_all_of_it() {
        let later = Instant::now() + Duration::from_secs(1);
        let mut waiting = Waiting::default();
        let mut session = open_session();
        let mut ids = Vec::new();
        while session.free_slots() > 2 {
            ids.push(session.next());
        }
        let _promises = ask_together(&mut waiting, 3, later);
        assert!(waiting.take_batch(&mut session, true, false).0.is_empty());
        assert_eq!(waiting.len(), 3);
        session.free(ids[0]);
        assert_eq!(waiting.take_batch(&mut session, true, false).0.len(), 3);
    }

    #[test]
    fn reads_go_without_the_changes_before_them_and_those_stay_in_order() {
        let later = Instant::now() + Duration::from_secs(1);
        let mut waiting = Waiting::default();
        let mut session = open_session();
        let mut promises = ask_together(&mut waiting, 2, later);
        promises.push(ask_one(&mut waiting, Op::Len, later));
        let (mixed, promised) = calls([Op::Peek, enqueue(7)], later);
        waiting.take(Ask::Together(mixed));
        promises.extend(promised);
        promises.push(ask_one(&mut waiting, Op::Peek, later));
        let (requests, _) = waiting.take_reads(&mut session, true);
        let ops: Vec<_> = requests.into_iter().map(|r| r.op).collect();
        assert_eq!(ops, [Op::Len, Op::Peek]);
        assert!(
            !waiting.has_reads(),
            "what goes with a change waits with it"
        );
        let (requests, _) = waiting.take_batch(&mut session, true, false);
        let ops: Vec<_> = requests.into_iter().map(|r| r.op).collect();
        assert_eq!(ops, [enqueue(0), enqueue(1), Op::Peek, enqueue(7)]);
    }

    #[test]
    fn a_batch_is_bounded_in_calls_and_bytes() {
        let later = Instant::now() + Duration::from_secs(1);
        let mut waiting = Waiting::default();
        let mut session = open_session();
        let mut promises = Vec::new();
        for _ in 0..MAX_BATCH + 1 {
            promises.push(ask_one(&mut waiting, Op::Len, later));
        }
        let (requests, _) = waiting.take_batch(&mut session, true, false);
        assert_eq!((requests.len(), waiting.len()), (MAX_BATCH, 1));
        for _ in 0..3 {
            let value = vec![0; MAX_BATCH_BYTES / 2].into();
            promises.push(ask_one(&mut waiting, Op::Enqueue { value }, later));
        }
        let (requests, _) = waiting.take_batch(&mut session, true, false);
        assert_eq!((requests.len(), waiting.len()), (3, 1));
    }
}
