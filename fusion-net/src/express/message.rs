//! Calls and answers as bytes.

use crate::service::Answers;
use fusion_core::id::{PrimaryIndex, Seq};
use fusion_core::message::{
    Ack, ChangeRun, ClientBatch, ClientReply, JoinSnapshot, Refusal, Replicate, Route,
};
use fusion_core::time::Time;
use serde::{Deserialize, Serialize};
use std::io;
use tokio_util::bytes::{Bytes, BytesMut};

const LENGTH_BYTES: usize = 4;

/// A message to a fused member but its changes.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    route: Route,
    index: PrimaryIndex,
    first: Seq,
    count: u32,
    stable: Seq,
    sent_at: Time,
    join: Option<JoinSnapshot>,
    taken: u32,
    number: u64,
}

/// The answer to a message to a fused member.
pub(super) type Acknowledged = Result<Ack, Refusal>;

pub(super) fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Appends a frame: `message`, then `tail`.
pub(super) fn append(
    out: &mut BytesMut,
    number: u64,
    message: &impl Serialize,
    tail: &[u8],
) -> io::Result<()> {
    let begin = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    let written = write(out, number, message, tail);
    let length = out.len() - begin - LENGTH_BYTES;
    let length = u32::try_from(length)
        .ok()
        .filter(|_| length <= crate::wire::MAX_FRAME_BYTES);
    match (written, length) {
        (Ok(()), Some(length)) => {
            out[begin..begin + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
            Ok(())
        }
        (written, _) => {
            out.truncate(begin);
            written?;
            Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a frame that is too long",
            ))
        }
    }
}

fn write(out: &mut BytesMut, number: u64, message: &impl Serialize, tail: &[u8]) -> io::Result<()> {
    let out = postcard::serialize_with_flavor(&(number, message), Buffer(out)).map_err(invalid)?;
    out.extend_from_slice(tail);
    Ok(())
}

/// Where postcard writes to.
struct Buffer<'a>(&'a mut BytesMut);

impl<'a> postcard::ser_flavors::Flavor for Buffer<'a> {
    type Output = &'a mut BytesMut;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.extend_from_slice(&[byte]);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<&'a mut BytesMut> {
        Ok(self.0)
    }
}

/// The number of a frame's call, and the rest of the frame.
pub(super) fn number(frame: &[u8]) -> io::Result<(u64, &[u8])> {
    postcard::take_from_bytes(frame).map_err(invalid)
}

/// The message that is all the rest of a frame.
pub(super) fn whole<'a, T: Deserialize<'a>>(rest: &'a [u8]) -> io::Result<T> {
    match postcard::take_from_bytes(rest).map_err(invalid)? {
        (message, []) => Ok(message),
        _ => Err(invalid("something stands behind the message")),
    }
}

pub(super) fn append_changes(
    out: &mut BytesMut,
    number: u64,
    route: Route,
    message: &Replicate,
) -> io::Result<()> {
    let head = Head {
        route,
        index: message.index,
        first: message.changes.first,
        count: message.changes.count,
        stable: message.stable,
        sent_at: message.sent_at,
        join: message.join,
        taken: message.taken,
        number: message.number,
    };
    append(out, number, &head, &message.changes.bytes)
}

/// A call to a fused member: its number, for whom it is, and the message. Its changes have memory of their own: they
/// stay in a log for as long as they are needed, and the frames that came with them should not.
///
/// # Errors
/// `InvalidData` for whatever is no such call. Changes are looked at by whoever takes them.
pub fn decode_changes(frame: &[u8]) -> io::Result<(u64, Route, Replicate)> {
    let (number, rest) = number(frame)?;
    let (head, changes): (Head, _) = postcard::take_from_bytes(rest).map_err(invalid)?;
    let message = Replicate {
        index: head.index,
        changes: ChangeRun {
            first: head.first,
            count: head.count,
            bytes: Bytes::copy_from_slice(changes),
        },
        stable: head.stable,
        sent_at: head.sent_at,
        join: head.join,
        taken: head.taken,
        number: head.number,
    };
    Ok((number, head.route, message))
}

/// A call to a primary: its number, and the batch.
///
/// # Errors
/// `InvalidData` for whatever is no such call.
pub fn decode_operations(frame: &[u8]) -> io::Result<(u64, ClientBatch)> {
    let (number, rest) = number(frame)?;
    Ok((number, whole(rest)?))
}

/// The answers to a batch.
pub(super) fn replies(frame: &[u8]) -> io::Result<Result<Vec<ClientReply>, Refusal>> {
    let (_, rest) = number(frame)?;
    let answers: Result<Answers, Refusal> = whole(rest)?;
    Ok(answers.map(|answers| answers.replies))
}
