//! The two sides of a connection: tarpc's messages in frames of postcard.

use super::frame::{Frame, Frames, OWN_BYTES};
use super::guest::Guest;
use super::moved::{LONG_BYTES, Moved, SAY_MOVES};
use super::open::{FrameBytes, MAX_REQUESTS, OpenRequests};
use super::room::{Holds, Room};
use super::{MAX_DEADLINE, MAX_FRAME_BYTES, Service};
use crate::transport::Stream;
use futures::{Sink, SinkExt, Stream as Messages, StreamExt};
use serde::{Deserialize, Serialize};
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tarpc::{ClientMessage, Response};
use tokio::time::Instant;
use tokio_util::bytes::{Bytes, BytesMut};
use tokio_util::codec::Framed;

/// A buffer for what goes out keeps at most so much when it is empty.
const KEPT_BYTES: usize = 256 << 10;
/// While answers do not go out, further requests are read up to so many open ones: each may have a long answer that waits.
const MAX_STALLED: usize = 8;

/// The side that asks.
#[derive(Debug)]
pub struct ClientSide<Req, Resp> {
    frames: Framed<Stream, Frames>,
    moved: Moved,
    types: PhantomData<fn(Req) -> Resp>,
}

/// The side that answers.
#[derive(Debug)]
pub struct ServerSide<Req, Resp> {
    frames: Framed<Stream, Frames>,
    guest: Arc<Guest>,
    open: OpenRequests,
    /// Of the memory that long answers share, until they have gone out.
    sending: Vec<Room>,
    /// Answers do not go out.
    stalled: bool,
    /// How much of a long request had come in when that was last said, and when; `None` where it is not said.
    told: Option<(usize, Instant)>,
    types: PhantomData<fn(Req) -> Resp>,
}

/// Wraps a stream whose preface was agreed on; the side that asks.
pub fn client_transport<Req, Resp>(stream: Stream) -> ClientSide<Req, Resp> {
    let moved = Moved::default();
    let frames = Frames::new(MAX_FRAME_BYTES, None).noting(moved.clone());
    ClientSide {
        frames: Framed::new(stream, frames),
        moved,
        types: PhantomData,
    }
}

impl<Req, Resp> ClientSide<Req, Resp> {
    /// When something long last moved on it (rule 57).
    pub(crate) fn moved(&self) -> Moved {
        self.moved.clone()
    }
}

/// Wraps a stream whose preface was agreed on; the side that answers.
pub(crate) fn server_transport<Req, Resp>(
    stream: Stream,
    service: Service,
    guest: Arc<Guest>,
) -> ServerSide<Req, Resp> {
    let longest = service.max_request_bytes();
    if service == Service::Fused {
        guest.is_member();
    }
    ServerSide {
        frames: Framed::new(stream, Frames::new(longest, Some(Arc::clone(&guest)))),
        guest,
        open: OpenRequests::default(),
        sending: Vec::new(),
        stalled: false,
        // Nowhere else are requests of members so long.
        told: (service == Service::Fused).then(|| (0, Instant::now())),
        types: PhantomData,
    }
}

fn encode<T: Serialize>(message: &T) -> io::Result<Bytes> {
    postcard::to_stdvec(message)
        .map(Bytes::from)
        .map_err(invalid)
}

fn invalid(error: postcard::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Decodes a request, after a look at its deadline: tarpc adds it to the clock as soon as it is decoded, which panics
/// for a huge one. A request begins with variant 0, then seconds and nanoseconds.
///
/// # Errors
/// `InvalidData` for whatever is no request of the service.
pub fn decode_request<Req: for<'de> Deserialize<'de>>(
    frame: &[u8],
) -> io::Result<ClientMessage<Req>> {
    let (variant, rest) = postcard::take_from_bytes::<u32>(frame).map_err(invalid)?;
    if variant == 0 {
        let (seconds, _) = postcard::take_from_bytes::<u64>(rest).map_err(invalid)?;
        if seconds > MAX_DEADLINE.as_secs() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a deadline {seconds} s away"),
            ));
        }
    }
    match postcard::take_from_bytes(frame).map_err(invalid)? {
        (message, []) => Ok(message),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "something stands behind the request",
        )),
    }
}

/// Gives back what a long message took.
fn shrink(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.capacity() > KEPT_BYTES {
        *buffer = BytesMut::new();
    }
}

impl<Req, Resp> Messages for ClientSide<Req, Resp>
where
    Resp: for<'de> Deserialize<'de>,
{
    type Item = io::Result<Response<Resp>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let frame = ready!(this.frames.poll_next_unpin(context));
            // No answer is empty: some of a long request has come in there.
            if matches!(&frame, Some(Ok(frame)) if frame.bytes.is_empty()) {
                this.moved.note();
                continue;
            }
            let decode = |frame: Frame| postcard::from_bytes(&frame.bytes).map_err(invalid);
            return Poll::Ready(frame.map(|frame| frame.and_then(decode)));
        }
    }
}

impl<Req: Serialize, Resp> Sink<ClientMessage<Req>> for ClientSide<Req, Resp> {
    type Error = io::Error;

    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().frames.poll_ready_unpin(context)
    }

    fn start_send(self: Pin<&mut Self>, message: ClientMessage<Req>) -> io::Result<()> {
        self.get_mut().frames.start_send_unpin(encode(&message)?)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let frames = &mut self.get_mut().frames;
        let flushed = ready!(frames.poll_flush_unpin(context));
        shrink(frames.write_buffer_mut());
        Poll::Ready(flushed)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().frames.poll_close_unpin(context)
    }
}

impl<Req: Holds, Resp> ServerSide<Req, Resp> {
    /// A request came in this frame, or one is not wanted any more.
    fn note(&mut self, message: &mut ClientMessage<Req>, frame: FrameBytes) -> io::Result<()> {
        match message {
            ClientMessage::Request(request) => {
                let deadline = request.context.deadline;
                let place = request.message.room();
                self.open
                    .add(request.id, deadline, frame, &self.guest, place)?;
            }
            ClientMessage::Cancel { request_id, .. } => self.open.remove(*request_id),
            _ => {}
        }
        self.guest.has_requests(self.open.len());
        Ok(())
    }
}

impl<Req, Resp: Holds + Serialize> ServerSide<Req, Resp> {
    /// Tells who sends a long request slowly that it comes in, by an empty frame (rule 57). While an answer goes out, that
    /// says enough.
    fn say_moves(&mut self, context: &mut Context<'_>) {
        let come = self.frames.read_buffer().len();
        let due = |&&mut (told, at): &&mut (usize, Instant)| {
            come >= LONG_BYTES && come != told && at.elapsed() >= SAY_MOVES
        };
        let Some(told) = self.told.as_mut().filter(due) else {
            return;
        };
        *told = (come, Instant::now());
        if self.frames.write_buffer().is_empty()
            && self.frames.start_send_unpin(Bytes::new()).is_err()
        {
            return;
        }
        // Whoever answers next meets the same error.
        let _ = Pin::new(self).poll_flush(context);
    }
}

impl<Req, Resp> Messages for ServerSide<Req, Resp>
where
    Req: Holds + for<'de> Deserialize<'de>,
    Resp: Holds + Serialize,
{
    type Item = io::Result<ClientMessage<Req>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        // tarpc polls whenever a deadline is over, and then answers that request no more.
        if this.open.expire() {
            this.guest.has_requests(this.open.len());
        }
        let most = if this.stalled {
            MAX_STALLED
        } else {
            MAX_REQUESTS
        };
        if this.open.is_full(most, context) {
            return Poll::Pending;
        }
        let Poll::Ready(frame) = this.frames.poll_next_unpin(context) else {
            this.say_moves(context);
            return Poll::Pending;
        };
        let Some(frame) = frame else {
            return Poll::Ready(None);
        };
        let message = frame.and_then(|frame| {
            let mut message = decode_request(&frame.bytes)?;
            let (bytes, held) = (frame.bytes.len(), frame.held);
            this.note(&mut message, FrameBytes { bytes, held })?;
            Ok(message)
        });
        let message = message.inspect_err(super::broke);
        Poll::Ready(Some(message))
    }
}

impl<Req, Resp: Holds + Serialize> Sink<Response<Resp>> for ServerSide<Req, Resp> {
    type Error = io::Error;

    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let ready = this.frames.poll_ready_unpin(context);
        this.guest.stalls(ready.is_pending());
        if std::mem::replace(&mut this.stalled, ready.is_pending()) && !this.stalled {
            this.open.wake();
        }
        ready
    }

    fn start_send(self: Pin<&mut Self>, mut response: Response<Resp>) -> io::Result<()> {
        let this = self.get_mut();
        this.open.remove(response.request_id);
        this.guest.has_requests(this.open.len());
        let answer = encode(&response)?;
        let promised = response.message.as_mut().ok().and_then(Holds::room);
        let promised = promised.map(std::mem::take);
        drop(response);
        if answer.len() > OWN_BYTES {
            let mut room = promised.unwrap_or_default();
            // What was promised memory goes out in any case: its envelope adds little.
            let goes_out = room.kib() > 0;
            if !this.guest.room_for_sending(&mut room, answer.len()) && !goes_out {
                return Err(io::Error::new(
                    io::ErrorKind::OutOfMemory,
                    "answers that are not taken hold all the memory that they may",
                ));
            }
            this.sending.push(room);
        }
        this.frames.start_send_unpin(answer)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = this.frames.poll_flush_unpin(context);
        this.guest.stalls(flushed.is_pending());
        if flushed.is_ready() {
            this.sending.clear();
            shrink(this.frames.write_buffer_mut());
        }
        flushed
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().frames.poll_close_unpin(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tarpc::{Request, context};

    fn request_frame(seconds: u64) -> Vec<u8> {
        let mut frame = postcard::to_stdvec(&(0u32, seconds, 0u32)).unwrap();
        frame.extend_from_slice(&[0; 64]);
        frame
    }

    #[test]
    fn a_frame_with_a_huge_deadline_is_an_error_and_no_panic() {
        for seconds in [u64::MAX, 800 * 86_400, MAX_DEADLINE.as_secs() + 1] {
            assert!(decode_request::<u32>(&request_frame(seconds)).is_err());
        }
    }

    #[test]
    fn a_request_survives_the_codec_and_nothing_may_follow_it() {
        let request = Request {
            context: context::current(),
            id: 5,
            message: 77_u32,
        };
        let frame = encode(&ClientMessage::Request(request)).unwrap();
        match decode_request::<u32>(&frame).unwrap() {
            ClientMessage::Request(r) => assert_eq!((r.id, r.message), (5, 77)),
            other => panic!("{other:?}"),
        }
        let longer = [&frame[..], &[0]].concat();
        assert!(decode_request::<u32>(&longer).is_err());
    }

    #[test]
    fn the_longest_change_that_the_core_makes_fits_into_a_frame() {
        use crate::service::FusedRequest;
        use fusion_core::id::{ClusterId, Epoch, MemberId, PrimaryIndex, Seq};
        use fusion_core::limits::MAX_CHANGE_BYTES;
        use fusion_core::message::{ChangeRun, JoinSnapshot, Replicate, Route};
        use fusion_core::time::Time;
        let route = Route {
            cluster: ClusterId(u64::MAX),
            epoch: Epoch(u64::MAX),
            nonce: u64::MAX,
            from: MemberId(u64::MAX),
            to: MemberId(u64::MAX),
        };
        let longest = Bytes::from(vec![7; MAX_CHANGE_BYTES]);
        let message = Replicate {
            index: PrimaryIndex(u16::MAX),
            changes: ChangeRun::pack(Seq(u64::MAX), [longest].iter()),
            stable: Seq(u64::MAX),
            sent_at: Time(u64::MAX),
            join: Some(JoinSnapshot {
                seq: Seq(u64::MAX),
                chunks: u32::MAX,
            }),
            taken: u32::MAX,
            number: u64::MAX,
        };
        let request = Request {
            context: context::current(),
            id: u64::MAX,
            message: FusedRequest::Replicate { route, message },
        };
        let frame = encode(&ClientMessage::Request(request)).unwrap();
        assert!(frame.len() <= Service::Fused.max_request_bytes());
        assert!(frame.len() <= MAX_FRAME_BYTES);
    }

    #[test]
    fn the_largest_operation_fits_into_a_request_to_a_primary() {
        use fusion_core::id::{ClusterId, MemberId};
        use fusion_core::limits::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
        use fusion_core::message::{ClientBatch, ClientRequest};
        use fusion_core::op::Op;
        let value = || Some(Bytes::from(vec![1; MAX_VALUE_BYTES]));
        let op = Op::CompareAndSwap {
            key: vec![2; MAX_KEY_BYTES].into(),
            expected: value(),
            new: value(),
        };
        let batch = ClientBatch {
            cluster: ClusterId(1),
            member: MemberId(1),
            open: None,
            requests: vec![ClientRequest {
                id: None,
                op,
                follows: false,
            }],
            close: None,
        };
        let frame = encode(&batch).unwrap();
        assert!(frame.len() + 1000 <= Service::Primary.max_request_bytes());
    }
}
