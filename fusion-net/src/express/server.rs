//! The side that answers.

use super::message::{Acknowledged, append, decode_changes, number, whole};
use crate::server::{FusedServer, PrimaryServer};
use crate::service::{Answers, Counted};
use crate::transport::Stream;
use crate::wire::{Frames, Guest, MAX_REQUESTS, Service};
use fusion_core::message::{ClientBatch, Refusal};
use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::bytes::BytesMut;
use tokio_util::codec::Decoder;

/// What is read at once.
const READ_BYTES: usize = 16 << 10;
/// A buffer keeps at most so much when it is empty.
const KEPT_BYTES: usize = 256 << 10;
/// When the requests under way take so much, no further one is read.
const OPEN_BYTES: usize = 1 << 20;
/// When answers take so much, they are sent before anything else is done.
const SEND_BYTES: usize = 256 << 10;

/// Two buffers and what goes through them.
struct Conversation {
    stream: Stream,
    frames: Frames,
    guest: Arc<Guest>,
    input: BytesMut,
    out: BytesMut,
}

impl Conversation {
    fn new(stream: Stream, service: Service, guest: Arc<Guest>) -> Conversation {
        let longest = service.max_request_bytes();
        Conversation {
            stream,
            frames: Frames::new(longest, Some(Arc::clone(&guest))),
            guest,
            input: BytesMut::new(),
            out: BytesMut::new(),
        }
    }

    /// Reads what has come; `false` at the end. Nothing is lost when it is dropped.
    async fn read(&mut self) -> io::Result<bool> {
        self.input.reserve(READ_BYTES);
        Ok(self.stream.read_buf(&mut self.input).await? > 0)
    }

    async fn send(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.guest.stalls(true);
        self.stream.write_all(&self.out).await?;
        self.stream.flush().await?;
        self.guest.stalls(false);
        self.out.clear();
        if self.out.capacity() > KEPT_BYTES {
            self.out = BytesMut::new();
        }
        Ok(())
    }
}

/// Takes changes for the fused structures of this process, all that have come at a time, and answers them in one write.
pub(crate) async fn serve_changes(
    stream: Stream,
    guest: Arc<Guest>,
    server: FusedServer,
) -> io::Result<()> {
    guest.is_member();
    let mut talk = Conversation::new(stream, Service::Changes, guest);
    while talk.read().await? {
        while let Some(frame) = talk.frames.decode(&mut talk.input)? {
            let (number, route, message) = decode_changes(&frame.bytes)?;
            let answer: Acknowledged = server.take_changes(route, &message);
            append(&mut talk.out, number, &answer, &[])?;
            if talk.out.len() >= SEND_BYTES {
                talk.send().await?;
            }
        }
        talk.send().await?;
    }
    Ok(())
}

/// Executes batches at the primaries of this process, each answered when it is safe.
pub(crate) async fn serve_operations(
    stream: Stream,
    guest: Arc<Guest>,
    server: PrimaryServer,
) -> io::Result<()> {
    let mut talk = Conversation::new(stream, Service::Operations, Arc::clone(&guest));
    let mut waiting = FuturesUnordered::new();
    let mut open_bytes = 0;
    // Of the answers that are being sent.
    let mut rooms = Vec::new();
    loop {
        let may_read = waiting.len() < MAX_REQUESTS && open_bytes < OPEN_BYTES;
        tokio::select! {
            biased;
            Some(done) = waiting.next(), if !waiting.is_empty() => {
                let mut next = Some(done);
                while let Some((number, bytes, answer)) = next {
                    open_bytes -= bytes;
                    let answer: Result<Answers, Refusal> = answer;
                    append(&mut talk.out, number, &answer, &[])?;
                    rooms.extend(answer.ok());
                    next = match talk.out.len() {
                        0..SEND_BYTES => waiting.next().now_or_never().flatten(),
                        _ => None,
                    };
                }
                guest.has_requests(waiting.len());
            }
            read = talk.read(), if may_read => {
                if !read? {
                    return Ok(());
                }
                while let Some(frame) = talk.frames.decode(&mut talk.input)? {
                    let bytes = frame.bytes.len();
                    let (number, rest) = number(&frame.bytes)?;
                    let batch: ClientBatch = whole(rest)?;
                    let batch = Counted::holding(batch, frame.held);
                    let server = server.clone();
                    open_bytes += bytes;
                    waiting.push(async move {
                        let answer = server.execute_batch(batch).await;
                        (number, bytes, answer)
                    });
                }
                guest.has_requests(waiting.len());
            }
        }
        talk.send().await?;
        rooms.clear();
    }
}
