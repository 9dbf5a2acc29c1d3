//! The encodings of entries: each describes itself, so that a structure comes back from its pages alone.
//!
//! | entry | bytes |
//! |---|---|
//! | descriptor | 1, kind, format version, cluster id `u64`, primary index `u16` |
//! | session | 2, session id `u128`, the number `u64` of the change that opened it |
//! | session slot | 3, session id `u128`, slot `u16`, request number `u64`, its change's number `u64`, the answer in postcard |
//! | map entry | 4, key length and value length as LEB128, key, value |
//! | list entry | 5, id `u48`, next id `u48`, value length as LEB128, value |
//! | queue entry | 6, sequence number `u48`, value length as LEB128, value |
//!
//! All numbers are little-endian. Zeros follow up to the end of the slot. Keys, list order, queue position, sessions
//! and the structure's own description all lie in the coded entries: that is why a fused structure needs no index,
//! unlike the paper's (section 5.4), which keeps an ordering with pointers for each primary.

use crate::id::{ClusterId, PrimaryIndex, RequestId, Seq, SessionId};
use crate::limits::{MAX_ANSWER_BYTES, MAX_KEY_BYTES, MAX_NUMBER, MAX_VALUE_BYTES};
use crate::op::{Kind, OpResult};
use std::fmt;
use thiserror::Error;

/// The version of these encodings.
pub const FORMAT_VERSION: u8 = 2;
/// Ids of list entries and sequence numbers of queue entries are below this: 2^48, nine years at a million a second.
pub const ID_LIMIT: u64 = 1 << 48;

const DESCRIPTOR: u8 = 1;
const SESSION: u8 = 2;
const SESSION_SLOT: u8 = 3;
const MAP: u8 = 4;
const LIST: u8 = 5;
const QUEUE: u8 = 6;

/// Where a list entry has the id of the next one, and how long it is.
pub(crate) const NEXT_OFFSET: usize = 7;

/// Why a slot does not hold an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The tag is not one of an entry.
    #[error("unknown entry tag {0}")]
    UnknownTag(u8),
    /// The entry would be longer than its slot.
    #[error("the entry is longer than its slot")]
    Truncated,
    /// A length is too great or written in too many bytes.
    #[error("a length of the entry is malformed")]
    BadLength,
    /// The kind of the structure is none known here.
    #[error("unknown kind of structure {0}")]
    UnknownKind(u8),
    /// Written by another version of the software.
    #[error("format version {0} is not {FORMAT_VERSION}")]
    UnknownVersion(u8),
    /// The recorded answer cannot be decoded.
    #[error("the recorded answer is malformed")]
    BadAnswer,
    /// A key, value or answer that no operation could have put there.
    #[error("the entry holds a key, value or answer of {len} bytes; at most {max} are allowed")]
    TooLarge {
        /// Its bytes.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// A change's or request's number that was never given (rule 66).
    #[error("the entry holds the number {number}, which was never given")]
    Number {
        /// The number.
        number: u64,
    },
    /// What follows the entry in its slot is not zero.
    #[error("the rest of the entry's slot is not zero")]
    NotCleared,
}

/// What a structure says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its kind.
    pub kind: Kind,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its index in the cluster.
    pub index: PrimaryIndex,
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Descriptor {
            kind,
            cluster,
            index,
        } = self;
        write!(f, "{kind} {index} of cluster {cluster}")
    }
}

/// The last request of a session's slot, and its answer in postcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRecord<'a> {
    /// The session.
    pub session: SessionId,
    /// The session's slot.
    pub slot: u16,
    /// The request's number in its slot.
    pub number: u64,
    /// The change that executed it; later than the one that opened its session (rule 38).
    pub seq: Seq,
    /// Its answer, encoded; zeros may follow.
    pub answer: &'a [u8],
}

/// A map entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapEntry<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

/// A list entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListEntry<'a> {
    /// Its id, from 1; unique within the list.
    pub id: u64,
    /// The id of the next entry; 0 at the end.
    pub next: u64,
    /// The element.
    pub value: &'a [u8],
}

/// A queue entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueEntry<'a> {
    /// Its sequence number; they follow each other without gaps.
    pub seq: u64,
    /// The element.
    pub value: &'a [u8],
}

/// Any entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// The structure's description; one in each structure.
    Descriptor(Descriptor),
    /// A session is open, since this change (rule 38).
    Session(SessionId, Seq),
    /// The last request of a session's slot.
    SlotRecord(SlotRecord<'a>),
    /// A map entry.
    Map(MapEntry<'a>),
    /// A list entry.
    List(ListEntry<'a>),
    /// A queue entry.
    Queue(QueueEntry<'a>),
}

impl<'a> Entry<'a> {
    /// Reads the entry at the beginning of a slot.
    ///
    /// # Errors
    /// [`EntryError`] if the bytes are not an entry. The answer of a slot record and the zeros after the entry are
    /// not looked at; see [`parse_whole`](Entry::parse_whole).
    pub fn parse(slot: &'a [u8]) -> Result<Entry<'a>, EntryError> {
        Ok(Self::parse_prefix(slot)?.0)
    }

    /// Reads the entry of a slot and checks all of the slot; answers also the entry's length.
    ///
    /// # Errors
    /// [`EntryError`] if the bytes are not an entry within the limits, followed by zeros.
    pub fn parse_whole(slot: &'a [u8]) -> Result<(Entry<'a>, usize), EntryError> {
        let (mut entry, mut rest) = Self::parse_prefix(slot)?;
        if let Entry::SlotRecord(record) = &mut entry {
            let (_, after) = postcard::take_from_bytes::<OpResult>(record.answer)
                .map_err(|_| EntryError::BadAnswer)?;
            record.answer = &record.answer[..record.answer.len() - after.len()];
            rest = after;
        }
        if rest.iter().any(|&byte| byte != 0) {
            return Err(EntryError::NotCleared);
        }
        entry.check_sizes()?;
        Ok((entry, slot.len() - rest.len()))
    }

    fn check_sizes(&self) -> Result<(), EntryError> {
        let within = |bytes: &[u8], max| match bytes.len() {
            len if len > max => Err(EntryError::TooLarge { len, max }),
            _ => Ok(()),
        };
        let given = |number| match number {
            0..=MAX_NUMBER => Ok(()),
            number => Err(EntryError::Number { number }),
        };
        match self {
            Entry::Descriptor(_) => Ok(()),
            Entry::Session(_, incarnation) => given(incarnation.0),
            Entry::SlotRecord(record) => {
                given(record.number.max(record.seq.0))?;
                within(record.answer, MAX_ANSWER_BYTES)
            }
            Entry::Map(entry) => {
                within(entry.key, MAX_KEY_BYTES)?;
                within(entry.value, MAX_VALUE_BYTES)
            }
            Entry::List(ListEntry { value, .. }) | Entry::Queue(QueueEntry { value, .. }) => {
                within(value, MAX_VALUE_BYTES)
            }
        }
    }

    #[inline]
    fn parse_prefix(slot: &'a [u8]) -> Result<(Entry<'a>, &'a [u8]), EntryError> {
        let mut reader = Reader { rest: slot };
        let entry = match reader.byte()? {
            DESCRIPTOR => Entry::Descriptor(reader.descriptor()?),
            SESSION => Entry::Session(
                SessionId(u128::from_le_bytes(reader.array()?)),
                Seq(u64::from_le_bytes(reader.array()?)),
            ),
            SESSION_SLOT => Entry::SlotRecord(SlotRecord {
                session: SessionId(u128::from_le_bytes(reader.array()?)),
                slot: u16::from_le_bytes(reader.array()?),
                number: u64::from_le_bytes(reader.array()?),
                seq: Seq(u64::from_le_bytes(reader.array()?)),
                answer: std::mem::take(&mut reader.rest),
            }),
            MAP => Entry::Map(reader.map_entry()?),
            LIST => Entry::List(reader.list_entry()?),
            QUEUE => Entry::Queue(reader.queue_entry()?),
            tag => return Err(EntryError::UnknownTag(tag)),
        };
        Ok((entry, reader.rest))
    }
}

/// The fixed part in front of an entry's key, value or answer. Up to 40 bytes, built without allocation.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; 40],
    len: usize,
}

impl Header {
    fn new(tag: u8) -> Self {
        let mut header = Header {
            bytes: [0; 40],
            len: 0,
        };
        header.push(&[tag]);
        header
    }

    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    #[inline]
    fn push_len(&mut self, len: usize) {
        let mut rest = u32::try_from(len).expect("sizes are checked before an entry is made");
        while rest >= 0x80 {
            self.push(&[rest as u8 | 0x80]);
            rest >>= 7;
        }
        self.push(&[rest as u8]);
    }

    /// The bytes.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The whole entry of a descriptor.
    #[must_use]
    pub fn descriptor(descriptor: Descriptor) -> Self {
        let mut header = Header::new(DESCRIPTOR);
        let kind = match descriptor.kind {
            Kind::List => 1,
            Kind::Map => 2,
            Kind::Queue => 3,
        };
        header.push(&[kind, FORMAT_VERSION]);
        header.push(&descriptor.cluster.0.to_le_bytes());
        header.push(&descriptor.index.0.to_le_bytes());
        header
    }

    /// The whole entry of a session that this change opened.
    #[must_use]
    pub fn session(session: SessionId, incarnation: Seq) -> Self {
        let mut header = Header::new(SESSION);
        header.push(&session.0.to_le_bytes());
        header.push(&incarnation.0.to_le_bytes());
        header
    }

    /// A session slot's record up to its answer.
    #[must_use]
    pub fn slot_record(request: RequestId, seq: Seq) -> Self {
        let mut header = Header::new(SESSION_SLOT);
        header.push(&request.session.0.to_le_bytes());
        header.push(&request.slot.to_le_bytes());
        header.push(&request.number.to_le_bytes());
        header.push(&seq.0.to_le_bytes());
        header
    }

    /// A map entry up to its key, which the value follows.
    #[inline]
    #[must_use]
    pub fn map_entry(key_len: usize, value_len: usize) -> Self {
        let mut header = Header::new(MAP);
        header.push_len(key_len);
        header.push_len(value_len);
        header
    }

    /// A list entry up to its value.
    #[must_use]
    pub fn list_entry(id: u64, next: u64, value_len: usize) -> Self {
        let mut header = Header::new(LIST);
        header.push(&u48(id));
        header.push(&u48(next));
        header.push_len(value_len);
        header
    }

    /// A queue entry up to its value.
    #[must_use]
    pub fn queue_entry(seq: u64, value_len: usize) -> Self {
        let mut header = Header::new(QUEUE);
        header.push(&u48(seq));
        header.push_len(value_len);
        header
    }
}

/// An id below [`ID_LIMIT`] as it is written.
pub(crate) fn u48(id: u64) -> [u8; 6] {
    assert!(id < ID_LIMIT, "ids are checked before an entry is made");
    let [a, b, c, d, e, f, _, _] = id.to_le_bytes();
    [a, b, c, d, e, f]
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], EntryError> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(EntryError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], EntryError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(EntryError::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, EntryError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn u48(&mut self) -> Result<u64, EntryError> {
        let [a, b, c, d, e, f] = self.array()?;
        Ok(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }

    /// A length as `push_len` writes it, and no other way.
    #[inline]
    fn len(&mut self) -> Result<usize, EntryError> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(usize::from(first));
        }
        let mut len = u32::from(first & 0x7f);
        for shift in [7, 14, 21, 28] {
            let byte = self.byte()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0xf {
                return Err(EntryError::BadLength);
            }
            len |= bits << shift;
            if byte < 0x80 {
                // A last byte of zero could have been left out.
                return if byte == 0 {
                    Err(EntryError::BadLength)
                } else {
                    Ok(len as usize)
                };
            }
        }
        Err(EntryError::BadLength)
    }

    fn prefixed(&mut self) -> Result<&'a [u8], EntryError> {
        let len = self.len()?;
        self.bytes(len)
    }

    #[inline]
    fn map_entry(&mut self) -> Result<MapEntry<'a>, EntryError> {
        let (key_len, value_len) = (self.len()?, self.len()?);
        Ok(MapEntry {
            key: self.bytes(key_len)?,
            value: self.bytes(value_len)?,
        })
    }

    fn list_entry(&mut self) -> Result<ListEntry<'a>, EntryError> {
        Ok(ListEntry {
            id: self.u48()?,
            next: self.u48()?,
            value: self.prefixed()?,
        })
    }

    fn queue_entry(&mut self) -> Result<QueueEntry<'a>, EntryError> {
        Ok(QueueEntry {
            seq: self.u48()?,
            value: self.prefixed()?,
        })
    }

    fn descriptor(&mut self) -> Result<Descriptor, EntryError> {
        let [kind, version] = self.array()?;
        if version != FORMAT_VERSION {
            return Err(EntryError::UnknownVersion(version));
        }
        let kind = match kind {
            1 => Kind::List,
            2 => Kind::Map,
            3 => Kind::Queue,
            kind => return Err(EntryError::UnknownKind(kind)),
        };
        Ok(Descriptor {
            kind,
            cluster: ClusterId(u64::from_le_bytes(self.array()?)),
            index: PrimaryIndex(u16::from_le_bytes(self.array()?)),
        })
    }
}

/// What `read` makes of a slot that an index names, which must hold an entry with that tag.
#[inline]
fn expect<'a, T>(
    slot: &'a [u8],
    tag: u8,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, EntryError>,
) -> T {
    let entry = match slot.split_first() {
        Some((&found, rest)) if found == tag => read(&mut Reader { rest }).ok(),
        _ => None,
    };
    entry.expect("an index names a slot with an entry of its kind")
}

/// The map entry of a slot that an index names.
#[inline]
pub(crate) fn expect_map(slot: &[u8]) -> MapEntry<'_> {
    expect(slot, MAP, Reader::map_entry)
}

/// The list entry of a slot that an index names.
#[inline]
pub(crate) fn expect_list(slot: &[u8]) -> ListEntry<'_> {
    expect(slot, LIST, Reader::list_entry)
}

/// The queue entry of a slot that an index names.
#[inline]
pub(crate) fn expect_queue(slot: &[u8]) -> QueueEntry<'_> {
    expect(slot, QUEUE, Reader::queue_entry)
}

#[cfg(test)]
mod tests;
