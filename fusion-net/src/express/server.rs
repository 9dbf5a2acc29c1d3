//! The side that answers.

use super::MOVES;
use super::message::{Acknowledged, append, decode_changes, decode_operations};
use super::outgoing::{Outgoing, push};
use crate::server::{FusedServer, PrimaryServer};
use crate::service::Counted;
use crate::transport::Stream;
use crate::wire::{Frames, Guest, MAX_REQUESTS, OWN_BYTES, Service};
use fusion_core::message::Refusal;
use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_util::bytes::BytesMut;
use tokio_util::codec::Decoder;

/// What is read at once.
const READ_BYTES: usize = 16 << 10;
/// A batch waits no longer than this for what it depends on; longer than any client does.
const LONGEST: Duration = Duration::from_secs(30);
/// When answers that are not sent yet take so much, no further request is read.
const SEND_BYTES: usize = 256 << 10;

/// While a long message comes in, its sender is told so at most this often.
const SAY_MOVES: Duration = Duration::from_millis(25);

/// Takes changes for the fused structures of this process, all that have come at a time, and answers them in one write.
/// Of one that comes in slowly it says meanwhile that it does (PROTOCOL rule 57).
pub(crate) async fn serve_changes(
    mut stream: Stream,
    guest: Arc<Guest>,
    server: FusedServer,
) -> io::Result<()> {
    guest.is_member();
    let longest = Service::Changes.max_request_bytes();
    let mut frames = Frames::new(longest, Some(Arc::clone(&guest)));
    let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
    let mut said = Instant::now();
    while read(&mut stream, &mut input).await? > 0 {
        while let Some(frame) = frames.decode(&mut input)? {
            let (number, route, message) = decode_changes(&frame.bytes)?;
            let answer: Acknowledged = server.take_changes(route, &message);
            append(&mut out, number, &answer, &[])?;
            if out.len() >= SEND_BYTES {
                send(&mut stream, &mut out, &guest).await?;
            }
        }
        if input.len() >= READ_BYTES && said.elapsed() >= SAY_MOVES {
            append(&mut out, MOVES, &(), &[])?;
            said = Instant::now();
        }
        send(&mut stream, &mut out, &guest).await?;
    }
    Ok(())
}

async fn send(stream: &mut Stream, out: &mut BytesMut, guest: &Guest) -> io::Result<()> {
    guest.stalls(true);
    stream.write_all(out).await?;
    stream.flush().await?;
    guest.stalls(false);
    out.clear();
    Ok(())
}

/// Executes batches at the primaries of this process, each answered when it is safe.
///
/// Batches are worked on while answers go out: one that waits for memory must take it when it is given, however slow its
/// client is.
pub(crate) async fn serve_operations(
    stream: Stream,
    guest: Arc<Guest>,
    server: PrimaryServer,
) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let longest = Service::Operations.max_request_bytes();
    let mut frames = Frames::new(longest, Some(Arc::clone(&guest)));
    let mut input = BytesMut::new();
    let mut outgoing = Outgoing::default();
    let mut waiting = FuturesUnordered::new();
    // Of small requests under way; long ones have their room of the common share.
    let mut open_bytes = 0;
    loop {
        let mut may_read = true;
        while may_read {
            may_read = waiting.len() < MAX_REQUESTS
                && open_bytes < OWN_BYTES
                && outgoing.len() < SEND_BYTES;
            if !may_read {
                break;
            }
            let Some(frame) = frames.decode(&mut input)? else {
                break;
            };
            let own_bytes = match frame.held.kib() {
                0 => frame.bytes.len(),
                _ => 0,
            };
            let (number, batch) = decode_operations(&frame.bytes)?;
            let batch = Counted::holding(batch, frame.held);
            let server = server.clone();
            open_bytes += own_bytes;
            waiting.push(async move {
                let answer = timeout(LONGEST, server.execute_batch(batch)).await;
                // Its client has given up by now. Whether it was executed is for the next attempt to find out.
                let answer = answer.unwrap_or(Err(Refusal::Deposed));
                (number, own_bytes, answer)
            });
        }
        if !may_read {
            // It is not the peer's fault that the rest of a frame is not read.
            guest.waits_for_rest(false);
        }
        guest.has_requests(waiting.len());
        tokio::select! {
            biased;
            Some(done) = waiting.next(), if !waiting.is_empty() => {
                let mut next = Some(done);
                while let Some((number, own_bytes, answer)) = next {
                    open_bytes -= own_bytes;
                    outgoing.append(number, answer, &guest)?;
                    next = waiting.next().now_or_never().flatten();
                }
            }
            sent = push(&mut writer, &mut outgoing.out), if outgoing.unsent => {
                outgoing.has_sent(sent?, &guest);
            }
            read = read(&mut reader, &mut input), if may_read => if read? == 0 {
                return Ok(());
            },
        }
    }
}

/// Reads what has come; nothing is lost when it is dropped.
async fn read(reader: &mut (impl AsyncRead + Unpin), into: &mut BytesMut) -> io::Result<usize> {
    into.reserve(READ_BYTES);
    reader.read_buf(into).await
}
