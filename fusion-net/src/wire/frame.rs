//! Frames: a length of 4 bytes (big-endian), then so many bytes.
//!
//! Memory grows with the bytes that have come, not with the length that is told, and a long frame takes it from a share
//! that all connections of the process have in common. What a long frame took is given back when it has been read.

use super::guest::Guest;
use super::moved::{LONG_BYTES, Moved};
use super::room::Room;
use std::io;
use std::sync::Arc;
use tokio_util::bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

/// What a connection may hold of its own. Longer frames take from the common share.
pub(crate) const OWN_BYTES: usize = 256 << 10;
const HEADER_BYTES: usize = 4;

/// Cuts bytes into frames.
#[derive(Debug)]
pub(crate) struct Frames {
    longest: usize,
    /// Of whoever has connected; nobody for connections of one's own making.
    guest: Option<Arc<Guest>>,
    /// Taken for the frame that is coming in.
    held: Room,
    /// Told when some of a long frame has come in.
    moved: Option<Moved>,
}

/// One frame, and what it took of the common share.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: BytesMut,
    pub(crate) held: Room,
}

impl Frames {
    /// Frames of at most `longest` bytes.
    pub(crate) fn new(longest: usize, guest: Option<Arc<Guest>>) -> Frames {
        Frames {
            longest,
            guest,
            held: Room::default(),
            moved: None,
        }
    }

    /// The same, which note when some of a long frame has come in.
    pub(super) fn noting(self, moved: Moved) -> Frames {
        Frames {
            moved: Some(moved),
            ..self
        }
    }

    /// Takes as much of the common share as the buffer is about to hold beyond its own.
    fn take_share(&mut self, bytes: usize) -> io::Result<()> {
        let Some(guest) = &self.guest else {
            return Ok(());
        };
        let wanted = bytes.saturating_sub(OWN_BYTES).div_ceil(1 << 10);
        if guest.room_for_request(&mut self.held, wanted) {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::OutOfMemory,
            "long frames of all connections take all the memory that they may",
        ))
    }
}

impl Decoder for Frames {
    type Item = Frame;
    type Error = io::Error;

    fn decode(&mut self, source: &mut BytesMut) -> io::Result<Option<Frame>> {
        let header = source.first_chunk::<HEADER_BYTES>().copied();
        let length = header.map(|h| u32::from_be_bytes(h) as usize);
        if let Some(length) = length.filter(|&l| l > self.longest) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "a frame of {length} bytes; at most {} are allowed",
                    self.longest
                ),
            ));
        }
        let all = HEADER_BYTES + length.unwrap_or(0);
        if length.is_none() || source.len() < all {
            if let Some(guest) = &self.guest {
                guest.waits_for_rest(!source.is_empty());
            }
            if let Some(moved) = self.moved.as_ref().filter(|_| all >= LONG_BYTES) {
                moved.note();
            }
            // Twice what is there, and not more than is missing.
            let missing = all.max(HEADER_BYTES).saturating_sub(source.len());
            let more = missing.min(source.len().max(OWN_BYTES));
            self.take_share(source.len() + more)?;
            source.reserve(more);
            return Ok(None);
        }
        if let Some(guest) = &self.guest {
            guest.heard();
        }
        let mut bytes = if all > OWN_BYTES {
            let rest = BytesMut::from(&source[all..]);
            std::mem::replace(source, rest)
        } else {
            source.split_to(all)
        };
        bytes.truncate(all);
        bytes.advance(HEADER_BYTES);
        Ok(Some(Frame {
            bytes,
            held: std::mem::take(&mut self.held),
        }))
    }
}

impl Encoder<Bytes> for Frames {
    type Error = io::Error;

    fn encode(&mut self, payload: Bytes, into: &mut BytesMut) -> io::Result<()> {
        let length = u32::try_from(payload.len());
        let length = length
            .ok()
            .filter(|_| payload.len() <= super::MAX_FRAME_BYTES);
        let length = length.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a frame of {} bytes is too long", payload.len()),
            )
        })?;
        into.reserve(HEADER_BYTES + payload.len());
        into.put_u32(length);
        into.put_slice(&payload);
        Ok(())
    }
}

/// What a conversation was cut into; for the fuzzer.
#[cfg(feature = "fuzzing")]
#[derive(Debug, Default)]
pub struct Cut {
    /// The frames.
    pub frames: Vec<Vec<u8>>,
    /// Why it ended early, if it did.
    pub refused: Option<String>,
    /// The most memory that was held for what was not complete.
    pub most_bytes: usize,
}

/// Cuts what comes after the preface into frames, as it would come in steps of so many bytes.
#[cfg(feature = "fuzzing")]
#[must_use]
pub fn cut_frames(bytes: &[u8], service: super::Service, step: usize) -> Cut {
    let guest = Guest::alone(1 << 20);
    let mut frames = Frames::new(service.max_request_bytes(), Some(guest));
    let mut source = BytesMut::new();
    let mut cut = Cut::default();
    for part in bytes.chunks(step.max(1)) {
        source.extend_from_slice(part);
        loop {
            match frames.decode(&mut source) {
                Ok(Some(frame)) => cut.frames.push(frame.bytes.to_vec()),
                Ok(None) => break,
                Err(error) => {
                    cut.refused = Some(error.to_string());
                    return cut;
                }
            }
        }
        cut.most_bytes = cut.most_bytes.max(source.capacity());
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(payloads: &[Vec<u8>]) -> BytesMut {
        let mut frames = Frames::new(1 << 30, None);
        let mut bytes = BytesMut::new();
        for payload in payloads {
            frames.encode(payload.clone().into(), &mut bytes).unwrap();
        }
        bytes
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2000), 0..8),
            step in 1usize..3000,
        ) {
            let bytes = framed(&payloads);
            let (mut frames, mut source) = (Frames::new(1 << 20, None), BytesMut::new());
            let mut got = Vec::new();
            for part in bytes.chunks(step) {
                source.extend_from_slice(part);
                while let Some(frame) = frames.decode(&mut source).unwrap() {
                    got.push(frame.bytes.to_vec());
                }
            }
            prop_assert_eq!(got, payloads);
            prop_assert!(source.is_empty());
        }
    }

    #[test]
    fn a_length_alone_takes_no_memory() {
        let mut frames = Frames::new(1 << 30, None);
        let mut source = BytesMut::from(&(1u32 << 29).to_be_bytes()[..]);
        assert!(frames.decode(&mut source).unwrap().is_none());
        assert!(source.capacity() <= 2 * OWN_BYTES, "{}", source.capacity());
    }

    #[test]
    fn a_long_frame_leaves_no_memory_behind_it() {
        let mut source = framed(&[vec![7; 8 << 20], vec![8; 10]]);
        let mut frames = Frames::new(1 << 30, None);
        let long = frames.decode(&mut source).unwrap().unwrap();
        assert_eq!(long.bytes.len(), 8 << 20);
        assert!(source.capacity() < 1024, "{}", source.capacity());
        let next = frames.decode(&mut source).unwrap().unwrap();
        assert_eq!(&next.bytes[..], [8; 10]);
    }

    #[test]
    fn long_frames_share_what_they_may_take() {
        let guest = Guest::alone(1 << 10);
        let decode = |length: u32, come: usize| {
            let mut frames = Frames::new(1 << 30, Some(Arc::clone(&guest)));
            let mut source = BytesMut::from(&length.to_be_bytes()[..]);
            source.extend_from_slice(&vec![0; come]);
            frames.decode(&mut source).map(|_| frames)
        };
        // Of a MiB that all have in common, the first takes 3/4 beyond its own.
        let first = decode(2 << 20, 512 << 10).unwrap();
        let second = decode(2 << 20, 512 << 10).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::OutOfMemory);
        drop(first);
        decode(2 << 20, 512 << 10).unwrap();
    }

    #[test]
    fn who_turns_out_to_be_a_member_within_a_long_frame_is_no_panic() {
        let guest = Guest::alone(8 << 10);
        let mut frames = Frames::new(1 << 30, Some(Arc::clone(&guest)));
        let mut source = BytesMut::from(&(3u32 << 20).to_be_bytes()[..]);
        source.extend_from_slice(&vec![0; 512 << 10]);
        assert!(frames.decode(&mut source).unwrap().is_none());
        guest.is_member();
        source.extend_from_slice(&vec![0; 1 << 20]);
        assert!(frames.decode(&mut source).unwrap().is_none());
        source.extend_from_slice(&vec![0; 3 << 19]);
        assert!(frames.decode(&mut source).unwrap().is_some());
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_by_its_length() {
        let mut frames = Frames::new(100, None);
        let mut source = BytesMut::from(&101u32.to_be_bytes()[..]);
        assert!(frames.decode(&mut source).is_err());
    }
}
