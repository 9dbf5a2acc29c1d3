//! One primary structure, in bytes: what the typed ones are made of.

use super::Error;
use super::lane::Lane;
use super::taken::Answers;
use bytes::Bytes;
use fusion_core::id::Seq;
use fusion_core::op::{Kind, Op, OpError, OpResult, Reply, ScanCursor};
use futures::stream::{Stream, StreamExt, TryStreamExt, iter, try_unfold};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::iter::Peekable;

/// So many operations go in one request, or so many bytes of them or of their answers: others must not wait long for
/// it.
const TOGETHER: usize = 256;
const TOGETHER_BYTES: usize = 1 << 20;
/// So many operations whose answers may be long go in the first request.
const LONG_AT_FIRST: usize = 32;

/// What a structure said, and where in its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it said.
    pub result: OpResult,
    /// The number of the change that executed the operation; of a read, the last change before it. All operations of one
    /// structure happen in the order of these numbers, whatever fails meanwhile.
    pub seq: Seq,
}

/// One primary structure of any kind. Cheap to clone; clones share a connection, a session and batches.
#[derive(Clone, Debug)]
pub struct Raw {
    lane: Lane,
    name: String,
    kind: Kind,
}

impl Raw {
    pub(crate) fn new(lane: Lane, name: String, kind: Kind) -> Raw {
        Raw { lane, name, kind }
    }

    /// The cluster's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The kind of the structure.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Executes one operation; a change exactly once, however often it must be sent.
    ///
    /// Dropped before it is answered: as the typed call of the operation (see "Cancel safety" of the [module](crate::client)).
    ///
    /// # Errors
    /// What the structure says, [`Error::TimedOut`] or [`Error::OutcomeUnknown`].
    pub async fn call(&self, op: Op) -> Result<Reply, Error> {
        self.ask(op)
            .await?
            .result
            .map_err(|e| Error::of_op(e, &self.name))
    }

    /// As [`call`](Self::call), with the place of the answer in the structure's history: for who records histories.
    ///
    /// # Errors
    /// As [`call`](Self::call), but what the structure itself says is in the answer.
    pub async fn ask(&self, op: Op) -> Result<Answer, Error> {
        // Said here already: what no frame takes would never come to the server.
        if let Some(error) = op.oversize() {
            return Err(Error::of_op(error, &self.name));
        }
        self.lane.call(op).await
    }

    /// Executes operations in this order and answers each, as [`call`](Self::call) does: far fewer requests than calls
    /// one by one, and the order that concurrent calls do not have. It is no transaction: those of others may come in
    /// between, and one that fails does not keep the next ones from being executed. Only when one is not answered
    /// at all ([`Error::TimedOut`], [`Error::OutcomeUnknown`], [`Error::BadAnswer`], [`Error::UnknownCluster`]), those
    /// behind its request are [`Error::NotSent`].
    ///
    /// At most 256 go in one request, or 1 MiB of keys and values; of those whose answers hold elements fewer at first, and
    /// as long as they are long. A change behind a read begins a new request: sent again, the read would see
    /// it. Each request has the client's whole time limit. When the future is dropped, the rest is not sent, and no element
    /// that was taken is lost (see "Cancel safety" of the [module](crate::client)).
    pub async fn call_all(&self, ops: impl IntoIterator<Item = Op>) -> Vec<Result<Reply, Error>> {
        self.replies(self.answers_to(ops).await)
    }

    /// What the structure said, or why it said nothing.
    pub(super) fn replies(&self, answers: Answers) -> Vec<Result<Reply, Error>> {
        let reply = |answer: Result<Answer, Error>| {
            let result = answer?.result;
            result.map_err(|e| Error::of_op(e, &self.name))
        };
        let answers = answers.done().into_iter();
        answers.map(|(_, answer)| reply(answer)).collect()
    }

    /// The answers of [`call_all`](Self::call_all), which keep what was taken if nobody comes for them.
    pub(super) async fn answers_to(&self, ops: impl IntoIterator<Item = Op>) -> Answers {
        let ops: Vec<Op> = ops.into_iter().collect();
        let mut answers = self.lane.answers(ops.len());
        let mut rest = ops.into_iter().peekable();
        let mut long_ones = LONG_AT_FIRST;
        while rest.peek().is_some() {
            let (together, oversize) = next_request(&mut rest, long_ones);
            let asked = together.iter().filter(|op| op.answers_with_elements());
            let asked = asked.count();
            let replies = self.lane.call_together(together).await;
            long_ones = after_answers(long_ones, asked, replies.iter());
            let mut replies = replies.done().into_iter();
            let mut unanswered = false;
            for error in oversize {
                let sent = error.is_none();
                let (take, answer) = match error {
                    Some(error) => (None, Err(Error::of_op(error, &self.name))),
                    None => replies.next().unwrap_or((None, Err(Error::BadAnswer))),
                };
                unanswered |= sent && answer.is_err();
                answers.push(take, answer);
            }
            if unanswered {
                for _ in rest.by_ref() {
                    answers.push(None, Err(Error::NotSent));
                }
            }
        }
        answers
    }

    /// Takes out the elements that calls which were dropped have taken, and which no later take has found (see "Cancel
    /// safety" of the [module](crate::client)), in the order in which they were taken. What is still being asked about is not
    /// among them.
    #[must_use]
    pub fn take_abandoned(&self) -> Vec<Bytes> {
        self.lane.take_abandoned()
    }

    /// The number of elements.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn len(&self) -> Result<u64, Error> {
        match self.call(Op::Len).await? {
            Reply::Len(len) => Ok(len),
            _ => Err(Error::BadAnswer),
        }
    }

    /// Whether there is no element.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len().await? == 0)
    }

    /// The elements of a list or queue in order, read page by page as they are asked for: as many at most as there were at
    /// the beginning, so it ends while others go on appending. An element may be seen twice, or not, when others insert or
    /// remove before it meanwhile. After an error there is nothing more.
    pub fn stream(&self) -> impl Stream<Item = Result<Bytes, Error>> + Send + '_ {
        let pages = try_unfold(None, async |at: Option<(u64, u64)>| {
            let (start, end) = match at {
                Some(at) => at,
                None => (0, self.len().await?),
            };
            if start >= end {
                return Ok(None);
            }
            let limit = u32::try_from(end - start).unwrap_or(u32::MAX);
            match self.call(Op::Range { start, limit }).await? {
                // Others have removed what was there.
                Reply::Values(values) if values.is_empty() => Ok(None),
                Reply::Values(values) => {
                    let next = start + values.len() as u64;
                    Ok(Some((iter(values).map(Ok), Some((next, end)))))
                }
                _ => Err(Error::BadAnswer),
            }
        });
        pages.try_flatten()
    }

    /// The entries of a map in no order, read page by page as they are asked for. What is put meanwhile may be among them,
    /// and an entry may come twice (see [`Op::Scan`]). It ends: each size class is read from its last slot of then down.
    /// After an error there is nothing more.
    pub fn scan(&self) -> impl Stream<Item = Result<(Bytes, Bytes), Error>> + Send + '_ {
        let pages = try_unfold(Some(None), async |at: Option<Option<ScanCursor>>| {
            let Some(cursor) = at else {
                return Ok(None);
            };
            let limit = u32::MAX;
            match self.call(Op::Scan { cursor, limit }).await? {
                Reply::Entries { entries, next } => {
                    Ok(Some((iter(entries).map(Ok), next.map(Some))))
                }
                _ => Err(Error::BadAnswer),
            }
        });
        pages.try_flatten()
    }
}

/// The operations of the next request that are sent, and of each of its operations why it is not, if so. Reads come last:
/// they are not recorded, and, sent again, would see the changes behind them.
fn next_request(
    rest: &mut Peekable<impl Iterator<Item = Op>>,
    long_ones: usize,
) -> (Vec<Op>, Vec<Option<OpError>>) {
    let (mut together, mut oversize) = (Vec::new(), Vec::new());
    let (mut bytes, mut long, mut read) = (0, 0, false);
    while oversize.len() < TOGETHER
        && let Some(op) = rest.next_if(|op| {
            let is_long = op.answers_with_elements();
            let fits = bytes + op.payload_bytes() <= TOGETHER_BYTES;
            oversize.is_empty()
                || fits && !(read && op.is_mutation()) && !(is_long && long >= long_ones)
        })
    {
        let error = op.oversize();
        if error.is_none() {
            bytes += op.payload_bytes();
            long += usize::from(op.answers_with_elements());
            read |= !op.is_mutation();
            together.push(op);
        }
        oversize.push(error);
    }
    (together, oversize)
}

/// How many operations whose answers may be long go in the next request, after one with so many of them and these answers.
fn after_answers<'a>(
    long_ones: usize,
    asked: usize,
    replies: impl Iterator<Item = &'a Result<Answer, Error>>,
) -> usize {
    let bytes = |reply: &Result<Answer, Error>| match reply {
        Ok(answer) => answer.result.as_ref().map_or(0, Reply::payload_bytes),
        Err(_) => 0,
    };
    let bytes: usize = replies.map(bytes).sum();
    if bytes > TOGETHER_BYTES {
        (long_ones / 2).max(1)
    } else if bytes > TOGETHER_BYTES / 2 || asked < long_ones {
        long_ones
    } else {
        (long_ones * 2).min(TOGETHER)
    }
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Bytes, Error> {
    Ok(postcard::to_stdvec(value)?.into())
}

/// The types are the caller's to agree on: postcard does not say what was stored. What is left over at least shows that
/// it was something else.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        other => Err(Error::NotOfType {
            stored: Bytes::copy_from_slice(bytes),
            why: other
                .err()
                .unwrap_or(postcard::Error::DeserializeBadEncoding),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_read_as_a_number_is_an_error() {
        let text = encode(&"36").unwrap();
        assert!(matches!(decode::<u64>(&text), Err(Error::NotOfType { .. })));
        assert_eq!(decode::<String>(&text).unwrap(), "36");
    }

    fn sizes(ops: Vec<Op>, long_ones: usize) -> Vec<usize> {
        let mut rest = ops.into_iter().peekable();
        let mut sizes = Vec::new();
        while rest.peek().is_some() {
            sizes.push(next_request(&mut rest, long_ones).1.len());
        }
        sizes
    }

    #[test]
    fn a_change_behind_a_read_begins_a_new_request() {
        let put = || Op::Enqueue {
            value: Bytes::from_static(b"x"),
        };
        assert_eq!(
            sizes(vec![put(), put(), Op::Len, Op::Len, put(), Op::Len], 32),
            [4, 2]
        );
        assert_eq!(sizes((0..600).map(|_| put()).collect(), 1), [256, 256, 88]);
    }

    #[test]
    fn requests_of_long_answers_are_short() {
        let ops = |count| (0..count).map(|_| Op::Dequeue).collect();
        assert_eq!(sizes(ops(70), 32), [32, 32, 6]);
        assert_eq!(sizes(vec![Op::Dequeue, Op::Len, Op::Peek], 1), [2, 1]);
        let answer = |len| {
            Ok(Answer {
                result: Ok(Reply::Maybe(Some(vec![0; len].into()))),
                seq: Seq(1),
            })
        };
        assert_eq!(after_answers(32, 32, [answer(10), answer(10)].iter()), 64);
        assert_eq!(after_answers(256, 256, [answer(10)].iter()), 256);
        assert_eq!(after_answers(32, 32, [answer(TOGETHER_BYTES)].iter()), 32);
        let too_long = [answer(TOGETHER_BYTES), answer(1)];
        assert_eq!(after_answers(32, 2, too_long.iter()), 16);
        assert_eq!(after_answers(1, 1, [answer(8 << 20)].iter()), 1);
        // Answers of changes say nothing of how long elements are.
        assert_eq!(after_answers(32, 31, [answer(0)].iter()), 32);
    }
}
