//! Changes: what one operation does to the slots of a primary, as flat bytes.
//!
//! This is the update that a primary sends to fused structures (section 5.4 of the paper), generalised: instead of an element's old and new value at a
//! position of its node, a change lists byte ranges of slots with `old XOR new`. A fused structure adds
//! `coefficient * (old XOR new)` to the same range of its codes. Changes of one primary commute with those of others
//! and, being sums, with each other.
//!
//! Layout, little-endian, entries one after the other; offsets and lengths are even, so that 16-bit words stay whole:
//!
//! | form | bytes |
//! |---|---|
//! | compact write | `u32` class in the upper 7 bits, slot in the lower 25; `u16` offset; `u16` length; the bytes |
//! | wide write | `u32` 127 in the upper 7 bits, 1 in bits 8..16, class in bits 0..8; `u32` slot, offset, length; the bytes |
//! | extent | `u32` 127 in the upper 7 bits, 2 in bits 8..16, class in bits 0..8; `u32` slots |

mod buf;

use crate::class::ClassId;
use crate::limits::MAX_CHANGE_BYTES;
use crate::page::{PageId, PageTable};
use thiserror::Error;

pub use buf::ChangeBuf;

const SLOT_BITS: u32 = 25;
const ESCAPE: u32 = 127;
const WIDE: u32 = 1;
const EXTENT: u32 = 2;
const COMPACT_HEADER: usize = 8;
const WIDE_HEADER: usize = 16;

/// One entry of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write<'a> {
    /// `bytes` is old XOR new of a range of a slot.
    Xor {
        /// The slot's class.
        class: ClassId,
        /// The slot.
        slot: u32,
        /// The first byte within the slot; even.
        offset: u32,
        /// Old XOR new; an even number of bytes, at least 2, within the slot.
        bytes: &'a [u8],
    },
    /// The primary now has only `slots` slots in this class, and all bytes beyond them are zero. Said when a page
    /// goes; growth is implied by writes.
    Extent {
        /// The class.
        class: ClassId,
        /// The slots left.
        slots: u32,
    },
}

/// Why bytes are not a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MalformedChange {
    /// Longer than [`MAX_CHANGE_BYTES`].
    #[error("the change has {len} bytes; at most {max} are allowed")]
    TooLong {
        /// Its bytes.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// It ends within an entry.
    #[error("the change ends within the entry at byte {at}")]
    Truncated {
        /// Where the entry begins.
        at: usize,
    },
    /// No such size class.
    #[error("the entry at byte {at} names size class {class}, which does not exist")]
    UnknownClass {
        /// Where the entry begins.
        at: usize,
        /// The class's number.
        class: u8,
    },
    /// No such form of entry.
    #[error("the entry at byte {at} has the unknown form {form}")]
    UnknownForm {
        /// Where the entry begins.
        at: usize,
        /// The form's number.
        form: u32,
    },
    /// The class cannot have so many slots.
    #[error("the entry at byte {at} names slot {slot} of class {class}, which has at most {slots}")]
    SlotOutOfRange {
        /// Where the entry begins.
        at: usize,
        /// The class.
        class: ClassId,
        /// The slot, or the number of slots.
        slot: u32,
        /// The most slots of the class.
        slots: u32,
    },
    /// The range is empty, odd, or leaves the slot.
    #[error(
        "the entry at byte {at} writes {len} bytes at {offset} of a slot of {stride}; \
         both must be even, and the range not empty and within the slot"
    )]
    BadRange {
        /// Where the entry begins.
        at: usize,
        /// The first byte within the slot.
        offset: u32,
        /// The number of bytes.
        len: u32,
        /// The bytes of a slot.
        stride: usize,
    },
    /// It writes far beyond what the primary has so far, so changes are missing in between.
    #[error(
        "slot {slot} of class {class} is beyond the next page of the primary: changes are missing"
    )]
    Gap {
        /// The class.
        class: ClassId,
        /// The slot.
        slot: u32,
    },
    /// It begins more pages than one operation can.
    #[error(
        "the change begins {pages} pages of {bytes} bytes together; \
         at most {max_pages} pages and {max_bytes} bytes are allowed"
    )]
    TooManyPages {
        /// The pages that it begins, up to the first that is too many.
        pages: u32,
        /// Their bytes.
        bytes: usize,
        /// The most pages.
        max_pages: u32,
        /// The most bytes.
        max_bytes: usize,
    },
    /// It gives up a page that no other primary has, but does not clear it, so that changes are missing or damaged.
    #[error("page {page} is given up by the last primary that has it, but is not zero")]
    NotCleared {
        /// The page.
        page: PageId,
    },
    /// The cluster has not so many primaries.
    #[error("there is no primary {primary}; the cluster has {primaries}")]
    NoSuchPrimary {
        /// The index given.
        primary: u16,
        /// The number of primaries.
        primaries: usize,
    },
}

/// The entries of a change in order. After an error nothing more comes.
pub fn writes(change: &[u8]) -> impl Iterator<Item = Result<Write<'_>, MalformedChange>> {
    Writes { change, at: 0 }
}

/// Checks every field of a change, so that it can be applied whole.
///
/// # Errors
/// [`MalformedChange`] names the first fault.
pub fn validate(change: &[u8]) -> Result<(), MalformedChange> {
    if change.len() > MAX_CHANGE_BYTES {
        return Err(MalformedChange::TooLong {
            len: change.len(),
            max: MAX_CHANGE_BYTES,
        });
    }
    writes(change).try_for_each(|write| write.map(drop))
}

/// Hands each place of `pages` that a change writes to, with the bytes that are added there, to `add`. Which pages there
/// are does not matter: the limits of the classes alone bound what a change takes.
///
/// # Errors
/// [`MalformedChange`] when the change is none; nothing was handed out then.
pub(crate) fn add_to_pages(
    pages: &mut PageTable,
    change: &[u8],
    mut add: impl FnMut(&mut [u8], &[u8]),
) -> Result<(), MalformedChange> {
    validate(change)?;
    for write in writes(change) {
        if let Write::Xor {
            class,
            slot,
            offset,
            bytes,
        } = write?
        {
            let place = class.locate(slot);
            let page = pages.get_mut(PageId {
                class,
                page: place.page,
            });
            let from = place.offset + offset as usize;
            add(&mut page[from..from + bytes.len()], bytes);
        }
    }
    Ok(())
}

struct Writes<'a> {
    change: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Writes<'a> {
    type Item = Result<Write<'a>, MalformedChange>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.change.len() {
            return None;
        }
        let write = self.parse();
        if write.is_err() {
            self.at = self.change.len();
        }
        Some(write)
    }
}

impl<'a> Writes<'a> {
    #[inline]
    fn parse(&mut self) -> Result<Write<'a>, MalformedChange> {
        let at = self.at;
        let rest = &self.change[at..];
        let head = word(rest, 0, at)?;
        let class_bits = head >> SLOT_BITS;
        if class_bits != ESCAPE {
            let second = word(rest, 4, at)?;
            let slot = head & ((1 << SLOT_BITS) - 1);
            return self.xor(
                class_bits as u8,
                slot,
                second & 0xffff,
                second >> 16,
                COMPACT_HEADER,
            );
        }
        let class = (head & 0xff) as u8;
        match head >> 8 & ((1 << (SLOT_BITS - 8)) - 1) {
            WIDE => {
                let (slot, offset) = (word(rest, 4, at)?, word(rest, 8, at)?);
                self.xor(class, slot, offset, word(rest, 12, at)?, WIDE_HEADER)
            }
            EXTENT => {
                let slots = word(rest, 4, at)?;
                let class =
                    ClassId::new(class).ok_or(MalformedChange::UnknownClass { at, class })?;
                if slots > class.max_slots() {
                    return Err(out_of_range(at, class, slots));
                }
                self.at += COMPACT_HEADER;
                Ok(Write::Extent { class, slots })
            }
            form => Err(MalformedChange::UnknownForm { at, form }),
        }
    }

    #[inline]
    fn xor(
        &mut self,
        class: u8,
        slot: u32,
        offset: u32,
        len: u32,
        header: usize,
    ) -> Result<Write<'a>, MalformedChange> {
        let at = self.at;
        let class = ClassId::new(class).ok_or(MalformedChange::UnknownClass { at, class })?;
        if slot >= class.max_slots() {
            return Err(out_of_range(at, class, slot));
        }
        let stride = class.stride();
        let end = u64::from(offset) + u64::from(len);
        if len == 0 || (offset | len) % 2 == 1 || end > stride as u64 {
            return Err(MalformedChange::BadRange {
                at,
                offset,
                len,
                stride,
            });
        }
        let from = at + header;
        let bytes = self
            .change
            .get(from..from + len as usize)
            .ok_or(MalformedChange::Truncated { at })?;
        self.at = from + len as usize;
        Ok(Write::Xor {
            class,
            slot,
            offset,
            bytes,
        })
    }
}

#[cold]
fn out_of_range(at: usize, class: ClassId, slot: u32) -> MalformedChange {
    MalformedChange::SlotOutOfRange {
        at,
        class,
        slot,
        slots: class.max_slots(),
    }
}

#[inline]
fn word(entry: &[u8], from: usize, at: usize) -> Result<u32, MalformedChange> {
    match entry.get(from..).and_then(<[u8]>::first_chunk::<4>) {
        Some(bytes) => Ok(u32::from_le_bytes(*bytes)),
        None => Err(MalformedChange::Truncated { at }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(stride: usize) -> ClassId {
        ClassId::for_len(stride).unwrap()
    }

    fn all(change: &[u8]) -> Vec<Write<'_>> {
        writes(change).collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn only_what_differs_is_recorded_in_whole_words() {
        let mut buf = ChangeBuf::new();
        buf.write(
            class(16),
            7,
            1,
            &[1, 2, 3, 4, 5, 6, 7],
            &[1, 2, 3, 9, 5, 6, 7],
        );
        buf.write(class(16), 8, 0, &[1; 16], &[1; 16]);
        buf.extent(class(32), 5);
        buf.write(class(16), 9, 15, &[1], &[2]);
        let change = buf.freeze();
        assert_eq!(
            all(&change),
            [
                Write::Xor {
                    class: class(16),
                    slot: 7,
                    offset: 4,
                    bytes: &[4 ^ 9, 0]
                },
                Write::Extent {
                    class: class(32),
                    slots: 5
                },
                Write::Xor {
                    class: class(16),
                    slot: 9,
                    offset: 14,
                    bytes: &[0, 3]
                },
            ]
        );
        assert_eq!(change.len(), 10 + 8 + 10);
        validate(&change).unwrap();
    }

    /// A large value of which two bytes change: what was scratch must not be held by the change.
    #[test]
    fn a_change_takes_no_more_memory_than_it_counts() {
        let old = vec![1; 1 << 20];
        let mut new = old.clone();
        new[500_000] = 2;
        let mut buf = ChangeBuf::new();
        for take in [ChangeBuf::take, |buf: &mut ChangeBuf| {
            std::mem::take(buf).freeze()
        }] {
            buf.write(class(1 << 20), 0, 0, &old, &new);
            let change = take(&mut buf);
            assert_eq!(change.len(), WIDE_HEADER + 2);
            assert!(Vec::from(change).capacity() < 64);
        }
    }

    #[test]
    fn large_slots_lengths_and_offsets_take_the_wide_form() {
        let new = vec![1; 70_000];
        let mut buf = ChangeBuf::new();
        buf.write(class(70_000), 1, 0, &vec![0; 70_000], &new);
        buf.write(class(8), 1 << 25, 0, &[0; 2], &[1; 2]);
        buf.write(class(70_000), 1, 65_540, &[0; 2], &[1; 2]);
        let change = buf.freeze();
        assert_eq!(
            all(&change),
            [
                Write::Xor {
                    class: class(70_000),
                    slot: 1,
                    offset: 0,
                    bytes: &new
                },
                Write::Xor {
                    class: class(8),
                    slot: 1 << 25,
                    offset: 0,
                    bytes: &[1, 1]
                },
                Write::Xor {
                    class: class(70_000),
                    slot: 1,
                    offset: 65_540,
                    bytes: &[1, 1]
                },
            ]
        );
        assert_eq!(change.len(), 70_016 + 18 + 18);
    }

    #[test]
    fn each_field_is_checked() {
        let mut buf = ChangeBuf::new();
        buf.write(class(16), 7, 4, &[0; 4], &[1; 4]);
        let good = buf.freeze().to_vec();
        validate(&good).unwrap();
        for len in 1..good.len() {
            assert_eq!(
                validate(&good[..len]),
                Err(MalformedChange::Truncated { at: 0 })
            );
        }
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            validate(&bad)
        };
        assert!(matches!(
            with(4, 5),
            Err(MalformedChange::BadRange { offset: 5, .. })
        ));
        assert!(matches!(
            with(4, 14),
            Err(MalformedChange::BadRange { offset: 14, .. })
        ));
        assert!(matches!(
            with(6, 0),
            Err(MalformedChange::BadRange { len: 0, .. })
        ));
        assert!(matches!(
            with(6, 3),
            Err(MalformedChange::BadRange { len: 3, .. })
        ));
        assert!(matches!(
            with(3, 126 << 1),
            Err(MalformedChange::UnknownClass { class: 126, .. })
        ));
        assert!(matches!(
            with(3, 127 << 1),
            Err(MalformedChange::UnknownForm { form: 0, .. })
        ));
        let too_long = vec![0; MAX_CHANGE_BYTES + 1];
        assert!(matches!(
            validate(&too_long),
            Err(MalformedChange::TooLong { .. })
        ));
    }
}
