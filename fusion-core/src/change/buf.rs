//! Building a change without an allocation for each write.

use super::{COMPACT_HEADER, ESCAPE, EXTENT, SLOT_BITS, WIDE, WIDE_HEADER};
use crate::class::ClassId;
use crate::limits::MAX_CHANGE_BYTES;
use bytes::Bytes;
use std::ops::Range;

/// A scratch buffer larger than this is given away, cut to its length, rather than copied and kept.
const KEEP_BYTES: usize = 64 << 10;

/// Builds a change. One buffer serves for many changes, so that building one allocates once.
#[derive(Clone, Debug, Default)]
pub struct ChangeBuf {
    bytes: Vec<u8>,
}

/// A write whose bytes are being appended.
#[must_use]
pub(crate) struct OpenWrite {
    class: ClassId,
    slot: u32,
    offset: u32,
    start: usize,
}

impl ChangeBuf {
    /// An empty change.
    #[must_use]
    pub fn new() -> Self {
        ChangeBuf::default()
    }

    /// Records that bytes of a slot become `new`: `old XOR new`, trimmed to the bytes that differ, and nothing when
    /// none does.
    ///
    /// # Panics
    /// If `old` and `new` differ in length or leave the slot.
    pub fn write(&mut self, class: ClassId, slot: u32, offset: u32, old: &[u8], new: &[u8]) {
        assert_eq!(old.len(), new.len(), "a write keeps the length");
        let write = self.open(class, slot, offset);
        self.bytes
            .extend(old.iter().zip(new).map(|(old, new)| old ^ new));
        self.close(write);
    }

    /// Records that the primary now has only `slots` slots in the class.
    pub fn extent(&mut self, class: ClassId, slots: u32) {
        let head = ESCAPE << SLOT_BITS | EXTENT << 8 | u32::from(class.number());
        self.bytes.extend_from_slice(&head.to_le_bytes());
        self.bytes.extend_from_slice(&slots.to_le_bytes());
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes of the change so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The change. It takes as much memory as it has bytes, since logs are bounded by the bytes of their changes.
    #[must_use]
    pub fn freeze(mut self) -> Bytes {
        assert!(
            self.bytes.len() <= MAX_CHANGE_BYTES,
            "one operation writes less than the limit"
        );
        self.bytes.shrink_to_fit();
        Bytes::from(self.bytes)
    }

    /// The change; the buffer begins afresh.
    pub(crate) fn take(&mut self) -> Bytes {
        if self.bytes.capacity() > KEEP_BYTES {
            return std::mem::take(self).freeze();
        }
        let change = Bytes::copy_from_slice(&self.bytes);
        self.bytes.clear();
        change
    }

    /// Begins a write at `offset` of a slot. XORed bytes are then pushed, and `close` ends it.
    #[inline]
    pub(crate) fn open(&mut self, class: ClassId, slot: u32, offset: u32) -> OpenWrite {
        let start = self.bytes.len();
        self.bytes.resize(start + WIDE_HEADER, 0);
        if offset % 2 == 1 {
            self.bytes.push(0);
        }
        OpenWrite {
            class,
            slot,
            offset: offset & !1,
            start,
        }
    }

    /// The bytes of a slot change from zero to `new`.
    #[inline]
    pub(crate) fn push(&mut self, new: &[u8]) {
        self.bytes.extend_from_slice(new);
    }

    /// Makes `slot` equal to `new`, which has the same length, and pushes the difference.
    #[inline]
    pub(crate) fn push_exchange(&mut self, slot: &mut [u8], new: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(slot);
        for (byte, new) in self.bytes[start..].iter_mut().zip(new) {
            *byte ^= new;
        }
        slot.copy_from_slice(new);
    }

    /// Makes `slot` equal to bytes that were recorded before, filled up by zeros, and pushes the difference.
    pub(crate) fn push_exchange_within(&mut self, slot: &mut [u8], recorded: Range<usize>) {
        let start = self.bytes.len();
        self.bytes.extend_from_within(recorded);
        self.bytes.resize(start + slot.len(), 0);
        for (byte, old) in self.bytes[start..].iter_mut().zip(slot) {
            let new = *byte;
            *byte ^= *old;
            *old = new;
        }
    }

    /// Ends a write: trims it and writes its header. Answers where its bytes lie, or `None` if all are zero.
    #[inline]
    pub(crate) fn close(&mut self, write: OpenWrite) -> Option<Range<usize>> {
        let OpenWrite {
            class,
            slot,
            offset,
            start,
        } = write;
        let from = start + WIDE_HEADER;
        let data = &self.bytes[from..];
        let first = zeros_in_front(data) & !1;
        if first >= data.len() {
            self.bytes.truncate(start);
            return None;
        }
        let len = (data.len() - zeros_behind(data) - first).next_multiple_of(2);
        let offset = offset + first as u32;
        assert!(
            offset as usize + len <= class.stride(),
            "a write stays within its slot"
        );
        // The slot's stride is even, so filling up to an even length stays within it.
        self.bytes.resize(from + first + len, 0);
        let compact =
            slot < 1 << SLOT_BITS && u16::try_from(len).is_ok() && u16::try_from(offset).is_ok();
        let number = u32::from(class.number());
        let header = if compact {
            let head = number << SLOT_BITS | slot;
            self.bytes[start..start + 4].copy_from_slice(&head.to_le_bytes());
            self.bytes[start + 4..start + 6].copy_from_slice(&(offset as u16).to_le_bytes());
            self.bytes[start + 6..start + 8].copy_from_slice(&(len as u16).to_le_bytes());
            COMPACT_HEADER
        } else {
            let head = ESCAPE << SLOT_BITS | WIDE << 8 | number;
            for (word, at) in [head, slot, offset, len as u32]
                .into_iter()
                .zip((start..).step_by(4))
            {
                self.bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
            }
            WIDE_HEADER
        };
        let to = start + header;
        if to != from + first {
            self.bytes.copy_within(from + first..from + first + len, to);
            self.bytes.truncate(to + len);
        }
        Some(to..to + len)
    }
}

/// The number of zero bytes that `bytes` begins with.
fn zeros_in_front(bytes: &[u8]) -> usize {
    let words = bytes.as_chunks::<8>().0;
    let zero_words = words
        .iter()
        .position(|word| *word != [0; 8])
        .unwrap_or(words.len());
    let rest = &bytes[zero_words * 8..];
    zero_words * 8
        + rest
            .iter()
            .position(|&byte| byte != 0)
            .unwrap_or(rest.len())
}

/// The number of zero bytes that `bytes` ends with.
fn zeros_behind(bytes: &[u8]) -> usize {
    let words = bytes.as_rchunks::<8>().1;
    let zero_words = words
        .iter()
        .rev()
        .position(|word| *word != [0; 8])
        .unwrap_or(words.len());
    let rest = &bytes[..bytes.len() - zero_words * 8];
    zero_words * 8
        + rest
            .iter()
            .rev()
            .position(|&byte| byte != 0)
            .unwrap_or(rest.len())
}
