//! Size classes and the geometry of their pages.
//!
//! Every entry lies in one slot of the smallest class that holds it. Strides are multiples of 8 bytes: 8 to 64 in
//! steps of 8, then growing by about an eighth. The slots of a class lie in pages: the first four pages hold about
//! 4 KiB each, the next four 8 KiB, then 16 KiB, 32 KiB, and all further ones 64 KiB; a page holds whole slots only,
//! at least one. Primaries and fused structures use the same formulas, so that slot s of a primary and the codes of
//! slot s (the paper's *FusedNode*) have the same place.

use crate::limits::{MAX_CLASS_BYTES, MAX_KEY_BYTES, MAX_SLOTS, MAX_VALUE_BYTES};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Room for the header of the largest entry.
const MAX_HEADER_BYTES: usize = 64;
/// The longest entry, in bytes, with its header.
pub const MAX_ENTRY_BYTES: usize = MAX_KEY_BYTES + MAX_VALUE_BYTES + MAX_HEADER_BYTES;

const SMALLEST_PAGE_BYTES: u32 = 4 << 10;
const PAGES_PER_TIER: u32 = 4;
const TIERS: usize = 5;

const fn stride_after(stride: u32) -> u32 {
    if stride < 64 {
        return stride + 8;
    }
    let grown = (stride + stride / 8) / 8 * 8;
    if grown > stride { grown } else { stride + 8 }
}

const fn count_classes() -> usize {
    let (mut count, mut stride) = (1, 8);
    while (stride as usize) < MAX_ENTRY_BYTES {
        stride = stride_after(stride);
        count += 1;
    }
    count
}

/// The number of size classes.
pub const CLASS_COUNT: usize = count_classes();

// The change format keeps the class in 7 bits and uses the last value as an escape.
const _: () = assert!(CLASS_COUNT < 127);

#[derive(Clone, Copy)]
struct Geometry {
    stride: u32,
    max_slots: u32,
    /// Slots of one page, by tier.
    page_slots: [u32; TIERS],
    /// The first slot of each tier.
    first_slot: [u32; TIERS],
}

const fn geometry(stride: u32) -> Geometry {
    let by_bytes = MAX_CLASS_BYTES / stride as u64;
    let max_slots = if by_bytes < MAX_SLOTS {
        by_bytes
    } else {
        MAX_SLOTS
    } as u32;
    let mut page_slots = [0; TIERS];
    let mut first_slot = [0; TIERS];
    let mut tier = 0;
    while tier < TIERS {
        let whole = (SMALLEST_PAGE_BYTES << tier) / stride;
        page_slots[tier] = if whole == 0 { 1 } else { whole };
        if tier > 0 {
            first_slot[tier] = first_slot[tier - 1] + PAGES_PER_TIER * page_slots[tier - 1];
        }
        tier += 1;
    }
    Geometry {
        stride,
        max_slots,
        page_slots,
        first_slot,
    }
}

static GEOMETRY: [Geometry; CLASS_COUNT] = {
    let mut table = [geometry(8); CLASS_COUNT];
    let (mut class, mut stride) = (0, 8);
    while class < CLASS_COUNT {
        table[class] = geometry(stride);
        stride = stride_after(stride);
        class += 1;
    }
    table
};

/// A size class: always a valid one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct ClassId(u8);

/// Where a slot lies: its page, and its first byte there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The page's number in its class.
    pub page: u32,
    /// The slot's first byte within the page.
    pub offset: usize,
}

/// The number is not that of a size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no size class {0}; classes are 0..{CLASS_COUNT}")]
pub struct NoSuchClass(pub u8);

impl ClassId {
    /// The class of that number, if there is one.
    #[must_use]
    pub fn new(number: u8) -> Option<ClassId> {
        (usize::from(number) < CLASS_COUNT).then_some(ClassId(number))
    }

    /// The smallest class that holds `len` bytes; `None` above [`MAX_ENTRY_BYTES`] (rounded up to a stride).
    #[must_use]
    pub fn for_len(len: usize) -> Option<ClassId> {
        // Up to 128 bytes the strides are all the multiples of 8.
        let class = if len <= 128 {
            len.saturating_sub(1) / 8
        } else {
            GEOMETRY.partition_point(|geometry| (geometry.stride as usize) < len)
        };
        (class < CLASS_COUNT).then_some(ClassId(class as u8))
    }

    /// All classes, the smallest stride first.
    pub fn all() -> impl DoubleEndedIterator<Item = ClassId> + ExactSizeIterator {
        (0..CLASS_COUNT).map(|class| ClassId(class as u8))
    }

    /// The class's number, `0..CLASS_COUNT`.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// As an index into arrays of classes.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    #[inline]
    fn geometry(self) -> &'static Geometry {
        &GEOMETRY[self.index()]
    }

    /// The bytes of one slot.
    #[inline]
    #[must_use]
    pub fn stride(self) -> usize {
        self.geometry().stride as usize
    }

    /// The most slots that one structure has of this class.
    #[must_use]
    pub fn max_slots(self) -> u32 {
        self.geometry().max_slots
    }

    /// The most pages that one structure has of this class.
    #[must_use]
    pub fn max_pages(self) -> u32 {
        self.pages_for(self.max_slots())
    }

    /// Where `slot` lies.
    #[inline]
    #[must_use]
    pub fn locate(self, slot: u32) -> Place {
        let geometry = self.geometry();
        let mut tier = TIERS - 1;
        while slot < geometry.first_slot[tier] {
            tier -= 1;
        }
        let within = slot - geometry.first_slot[tier];
        let page = within / geometry.page_slots[tier];
        let slot_in_page = within - page * geometry.page_slots[tier];
        Place {
            page: tier as u32 * PAGES_PER_TIER + page,
            offset: slot_in_page as usize * geometry.stride as usize,
        }
    }

    fn tier_of_page(page: u32) -> usize {
        ((page / PAGES_PER_TIER) as usize).min(TIERS - 1)
    }

    /// The number of slots that page number `page` holds.
    #[inline]
    #[must_use]
    pub fn page_slots(self, page: u32) -> u32 {
        self.geometry().page_slots[Self::tier_of_page(page)]
    }

    /// The bytes of page number `page`.
    #[inline]
    #[must_use]
    pub fn page_bytes(self, page: u32) -> usize {
        self.page_slots(page) as usize * self.stride()
    }

    /// The first slot of page number `page`, which must be one of the first [`max_pages`](Self::max_pages).
    #[must_use]
    pub fn first_slot(self, page: u32) -> u32 {
        let tier = Self::tier_of_page(page);
        let within = page - tier as u32 * PAGES_PER_TIER;
        self.geometry().first_slot[tier] + within * self.geometry().page_slots[tier]
    }

    /// The number of pages that the first `slots` slots take.
    #[inline]
    #[must_use]
    pub fn pages_for(self, slots: u32) -> u32 {
        match slots.checked_sub(1) {
            None => 0,
            Some(last) => self.locate(last).page + 1,
        }
    }
}

impl fmt::Display for ClassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<u8> for ClassId {
    type Error = NoSuchClass;

    fn try_from(number: u8) -> Result<Self, NoSuchClass> {
        ClassId::new(number).ok_or(NoSuchClass(number))
    }
}

impl From<ClassId> for u8 {
    fn from(class: ClassId) -> u8 {
        class.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_grow_by_about_an_eighth() {
        let strides: Vec<usize> = ClassId::all().map(ClassId::stride).collect();
        assert_eq!(&strides[..8], &[8, 16, 24, 32, 40, 48, 56, 64]);
        for pair in strides.windows(2) {
            assert!(pair[1] > pair[0] && pair[1] % 8 == 0);
            assert!(pair[0] < 64 || pair[1] - pair[0] <= (pair[0] / 8).max(8));
        }
        assert!(*strides.last().unwrap() >= MAX_ENTRY_BYTES);
    }

    #[test]
    fn the_smallest_class_that_fits_is_chosen() {
        for len in (0..3000).chain([65_535, 65_536, MAX_ENTRY_BYTES]) {
            let class = ClassId::for_len(len).unwrap();
            assert!(class.stride() >= len);
            if class.index() > 0 {
                assert!(ClassId::new(class.number() - 1).unwrap().stride() < len);
            }
        }
        for len in 83..=88 {
            assert_eq!(ClassId::for_len(len).unwrap().stride(), 88);
        }
        let top = ClassId::all().next_back().unwrap();
        assert_eq!(ClassId::for_len(top.stride() + 1), None);
    }

    #[test]
    fn slots_fill_their_pages_without_gaps() {
        for class in ClassId::all() {
            let mut slot = 0;
            for page in 0..24 {
                assert_eq!(class.first_slot(page), slot);
                assert_eq!(class.pages_for(slot), page);
                for in_page in 0..class.page_slots(page) {
                    let place = class.locate(slot);
                    assert_eq!(
                        (place.page, place.offset),
                        (page, in_page as usize * class.stride())
                    );
                    slot += 1;
                }
                assert_eq!(class.pages_for(slot), page + 1);
                assert!(class.page_bytes(page) <= (64 << 10).max(class.stride()));
            }
            assert_eq!(
                class.locate(class.max_slots() - 1).page + 1,
                class.max_pages()
            );
        }
    }
}
