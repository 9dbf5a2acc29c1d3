//! A primary's entries in dense slots: the paper's auxiliary stack (section 5.3), one for each size class.
//!
//! Insertion appends a slot. Removal moves the last entry of the class into the hole and clears what it leaves, so
//! that slots stay dense and what is not there counts as zero. Each step is recorded into a change.

use crate::change::{ChangeBuf, MalformedChange, Write, add_to_pages, validate, writes};
use crate::class::{CLASS_COUNT, ClassId};
use crate::limits::{MAX_NEW_PAGES, MAX_SESSION_SLOTS};
use crate::op::OpError;
use crate::page::{PageId, PageTable, is_zero};
use thiserror::Error;

/// Slots of each class that elements leave to the records of sessions, so that an answer can always be recorded.
const RECORD_SLOTS: u32 = 2 * MAX_SESSION_SLOTS as u32 + 4;

/// Where an entry lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Its size class.
    pub class: ClassId,
    /// Its slot in that class.
    pub slot: u32,
}

/// A [`Location`] in 5 bytes without alignment, for indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedLocation {
    class: ClassId,
    slot: [u8; 4],
}

impl From<Location> for PackedLocation {
    #[inline]
    fn from(location: Location) -> Self {
        PackedLocation {
            class: location.class,
            slot: location.slot.to_le_bytes(),
        }
    }
}

impl From<PackedLocation> for Location {
    #[inline]
    fn from(packed: PackedLocation) -> Self {
        Location {
            class: packed.class,
            slot: u32::from_le_bytes(packed.slot),
        }
    }
}

/// An entry that a removal moved into the hole that it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Where it was: the last slot of the class.
    pub from: Location,
    /// Where it is.
    pub to: Location,
}

/// Who asks for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An element: refused when the class is full.
    Element,
    /// A record of the structure's own (descriptor, sessions), for which slots are reserved.
    Record,
}

/// Why pages are not those of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("page {page} is {fault}")]
pub struct NotDense {
    /// The page.
    pub page: PageId,
    /// What is wrong with it.
    pub fault: DensityFault,
}

/// How a page can break the density of its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DensityFault {
    /// A later page of the class is there.
    #[error("missing")]
    Missing,
    /// The class would end before it.
    #[error("without entries")]
    Empty,
    /// Something follows the first empty slot.
    #[error("not cleared after its last entry")]
    NotCleared,
}

/// The slots of one primary. Each entry begins with a byte that is not zero.
#[derive(Clone, Debug)]
pub struct PrimaryStore {
    pages: PageTable,
    /// The number of slots in use, by class.
    lens: Box<[u32]>,
}

impl Default for PrimaryStore {
    fn default() -> Self {
        PrimaryStore::new()
    }
}

impl PrimaryStore {
    /// A store without entries.
    #[must_use]
    pub fn new() -> Self {
        PrimaryStore {
            pages: PageTable::new(),
            lens: vec![0; CLASS_COUNT].into_boxed_slice(),
        }
    }

    /// The store that has these pages. Entries end where a slot begins with a zero byte.
    ///
    /// # Errors
    /// [`NotDense`] if a page is missing or empty, or anything follows the last entry of a class.
    pub fn from_pages(pages: PageTable) -> Result<Self, NotDense> {
        let mut lens = vec![0; CLASS_COUNT].into_boxed_slice();
        for class in ClassId::all() {
            let Some(last) = pages.end(class).checked_sub(1) else {
                continue;
            };
            let not_dense = |page, fault| NotDense {
                page: PageId { class, page },
                fault,
            };
            for page in 0..last {
                if pages.get(PageId { class, page }).is_none() {
                    return Err(not_dense(page, DensityFault::Missing));
                }
            }
            // A hole in an earlier page shows itself as an entry that cannot be parsed.
            let bytes = pages.get(PageId { class, page: last }).unwrap_or_default();
            let used = bytes
                .chunks_exact(class.stride())
                .take_while(|slot| slot[0] != 0)
                .count();
            if used == 0 {
                return Err(not_dense(last, DensityFault::Empty));
            }
            if bytes[used * class.stride()..].iter().any(|&byte| byte != 0) {
                return Err(not_dense(last, DensityFault::NotCleared));
            }
            lens[class.index()] = class.first_slot(last) + used as u32;
        }
        Ok(PrimaryStore { pages, lens })
    }

    /// The pages: what fused structures code and what recovery brings back.
    #[must_use]
    pub fn pages(&self) -> &PageTable {
        &self.pages
    }

    /// The number of entries of a class.
    #[must_use]
    pub fn len(&self, class: ClassId) -> u32 {
        self.lens[class.index()]
    }

    /// The number of entries.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.lens.iter().map(|&len| u64::from(len)).sum()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries() == 0
    }

    /// The whole slot of an entry: the entry, then zeros.
    ///
    /// # Panics
    /// If there is no entry.
    #[inline]
    #[must_use]
    pub fn slot(&self, location: Location) -> &[u8] {
        let Location { class, slot } = location;
        debug_assert!(
            slot < self.len(class),
            "no entry at slot {slot} of class {class}"
        );
        let place = class.locate(slot);
        match self.pages.get(PageId {
            class,
            page: place.page,
        }) {
            Some(page) => &page[place.offset..place.offset + class.stride()],
            None => panic!("no entry at slot {slot} of class {class}"),
        }
    }

    /// All entries with their slots, the smallest class first, in the order of slots.
    pub fn iter(&self) -> impl Iterator<Item = (Location, &[u8])> {
        self.pages
            .iter()
            .flat_map(|(PageId { class, page }, bytes)| {
                let first = class.first_slot(page);
                let used = self.len(class) - first;
                (first..)
                    .zip(bytes.chunks_exact(class.stride()).take(used as usize))
                    .map(move |(slot, bytes)| (Location { class, slot }, bytes))
            })
    }

    #[inline]
    fn slot_mut(pages: &mut PageTable, location: Location) -> &mut [u8] {
        let Location { class, slot } = location;
        let place = class.locate(slot);
        let page = pages.get_mut(PageId {
            class,
            page: place.page,
        });
        &mut page[place.offset..place.offset + class.stride()]
    }

    /// Appends an entry, given in parts.
    ///
    /// # Errors
    /// [`OpError::Full`] if its class has no slot left; nothing changes then.
    ///
    /// # Panics
    /// If the entry is longer than the largest slot or begins with zero: callers check sizes before.
    pub fn insert(
        &mut self,
        purpose: Purpose,
        parts: &[&[u8]],
        change: &mut ChangeBuf,
    ) -> Result<Location, OpError> {
        let len = parts.iter().map(|part| part.len()).sum();
        let class = ClassId::for_len(len).expect("sizes are checked before an entry is made");
        let slot = self.len(class);
        let reserved = match purpose {
            Purpose::Element => RECORD_SLOTS.min(class.max_slots() / 2),
            Purpose::Record => 0,
        };
        if slot >= class.max_slots() - reserved {
            return Err(OpError::Full {
                slots: u64::from(slot),
            });
        }
        let location = Location { class, slot };
        let bytes = Self::slot_mut(&mut self.pages, location);
        debug_assert!(is_zero(bytes), "a free slot is zero");
        let write = change.open(class, slot, 0);
        let mut at = 0;
        for part in parts {
            bytes[at..at + part.len()].copy_from_slice(part);
            change.push(part);
            at += part.len();
        }
        assert_ne!(bytes[0], 0, "an entry begins with its tag");
        change.close(write);
        self.lens[class.index()] += 1;
        Ok(location)
    }

    /// Makes the entry at `location` another one that fits the same class.
    pub fn overwrite(&mut self, location: Location, parts: &[&[u8]], change: &mut ChangeBuf) {
        let bytes = Self::slot_mut(&mut self.pages, location);
        let write = change.open(location.class, location.slot, 0);
        let mut rest = bytes;
        for part in parts {
            let (head, tail) = rest.split_at_mut(part.len());
            change.push_exchange(head, part);
            rest = tail;
        }
        // What a longer entry left.
        change.push(rest);
        rest.fill(0);
        change.close(write);
    }

    /// Writes `new` at byte `offset` of the entry.
    pub fn patch(&mut self, location: Location, offset: usize, new: &[u8], change: &mut ChangeBuf) {
        let bytes = Self::slot_mut(&mut self.pages, location);
        let write = change.open(location.class, location.slot, offset as u32);
        change.push_exchange(&mut bytes[offset..offset + new.len()], new);
        change.close(write);
    }

    /// Makes the entry at `location` another one, and answers where it is. Leaving its class, it is appended to the new
    /// one, and the old location is answered too: the caller then [removes](Self::remove) it.
    ///
    /// # Errors
    /// [`OpError::Full`] if the new class has no slot left; nothing changes then.
    pub fn replace(
        &mut self,
        location: Location,
        purpose: Purpose,
        parts: &[&[u8]],
        change: &mut ChangeBuf,
    ) -> Result<(Location, Option<Location>), OpError> {
        let len = parts.iter().map(|part| part.len()).sum();
        if ClassId::for_len(len) == Some(location.class) {
            self.overwrite(location, parts, change);
            return Ok((location, None));
        }
        Ok((self.insert(purpose, parts, change)?, Some(location)))
    }

    /// The slots that a change of another store writes to, each once, ascending.
    ///
    /// # Errors
    /// [`MalformedChange`] if it is none, or writes far beyond what is here.
    pub(crate) fn touched(&self, change: &[u8]) -> Result<Vec<Location>, MalformedChange> {
        validate(change)?;
        let mut touched = Vec::new();
        for write in writes(change) {
            if let Write::Xor { class, slot, .. } = write? {
                if class.locate(slot).page >= class.pages_for(self.len(class)) + MAX_NEW_PAGES {
                    return Err(MalformedChange::Gap { class, slot });
                }
                touched.push(Location { class, slot });
            }
        }
        touched.sort_unstable();
        touched.dedup();
        Ok(touched)
    }

    /// Makes the change of another store that had these pages; `touched` is what [`touched`](Self::touched) says of it.
    ///
    /// # Errors
    /// [`NotDense`] if the slots are not dense afterwards: the store is of no use any more then.
    pub(crate) fn follow(&mut self, change: &[u8], touched: &[Location]) -> Result<(), NotDense> {
        let xor = |bytes: &mut [u8], with: &[u8]| {
            for (byte, with) in bytes.iter_mut().zip(with) {
                *byte ^= with;
            }
        };
        add_to_pages(&mut self.pages, change, xor).expect("what was touched was checked");
        for class in touched.chunk_by(|a, b| a.class == b.class) {
            self.settle(class)?;
        }
        Ok(())
    }

    /// How many slots of a class are in use, of which these were written to.
    fn settle(&mut self, touched: &[Location]) -> Result<(), NotDense> {
        let class = touched[0].class;
        let before = self.len(class);
        let bytes = |&Location { slot, .. }: &Location| {
            let place = class.locate(slot);
            let id = PageId {
                class,
                page: place.page,
            };
            let page = self.pages.get(id).unwrap_or_default();
            &page[place.offset..place.offset + class.stride()]
        };
        let used = |location: &&Location| bytes(location)[0] != 0;
        let appended = touched.iter().filter(|l| l.slot >= before).filter(used);
        let left = touched.iter().filter(|l| l.slot < before);
        let left = left.filter(|l| !used(l));
        let len = before + appended.count() as u32 - left.count() as u32;
        for location in touched {
            let fits = match location.slot < len {
                true => used(&location),
                false => bytes(location).iter().all(|&byte| byte == 0),
            };
            if !fits {
                let page = class.locate(location.slot).page;
                return Err(NotDense {
                    page: PageId { class, page },
                    fault: DensityFault::NotCleared,
                });
            }
        }
        self.lens[class.index()] = len;
        self.pages.truncate(class, class.pages_for(len));
        Ok(())
    }

    /// Removes an entry. If it was not the last of its class, the last one moves into its slot, which is answered.
    ///
    /// # Panics
    /// If there is no entry at `location`.
    pub fn remove(&mut self, location: Location, change: &mut ChangeBuf) -> Option<Moved> {
        let class = location.class;
        let len = self.len(class);
        assert!(
            location.slot < len,
            "no entry at slot {} of class {class}",
            location.slot
        );
        let last = Location {
            class,
            slot: len - 1,
        };
        let bytes = Self::slot_mut(&mut self.pages, last);
        let write = change.open(class, last.slot, 0);
        change.push(bytes);
        bytes.fill(0);
        let recorded = change.close(write).expect("an entry is not zero");
        let moved = (location != last).then(|| {
            let bytes = Self::slot_mut(&mut self.pages, location);
            let write = change.open(class, location.slot, 0);
            change.push_exchange_within(bytes, recorded);
            change.close(write);
            Moved {
                from: last,
                to: location,
            }
        });
        self.lens[class.index()] = len - 1;
        let pages = class.pages_for(len - 1);
        if pages < class.pages_for(len) {
            self.pages.truncate(class, pages);
            change.extent(class, len - 1);
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(pages: &mut PageTable, change: &[u8]) {
        for write in writes(change) {
            match write.unwrap() {
                Write::Xor {
                    class,
                    slot,
                    offset,
                    bytes,
                } => {
                    let slot = PrimaryStore::slot_mut(pages, Location { class, slot });
                    for (byte, xor) in slot[offset as usize..].iter_mut().zip(bytes) {
                        *byte ^= xor;
                    }
                }
                Write::Extent { class, slots } => pages.truncate(class, class.pages_for(slots)),
            }
        }
    }

    #[test]
    fn changes_tell_all_that_happens_to_the_slots() {
        let (mut store, mut copy) = (PrimaryStore::new(), PageTable::new());
        let mut change = ChangeBuf::new();
        let class = ClassId::for_len(10).unwrap();
        for i in 1..=600u16 {
            let location = store
                .insert(Purpose::Element, &[&[1; 8], &i.to_le_bytes()], &mut change)
                .unwrap();
            assert_eq!(
                location,
                Location {
                    class,
                    slot: u32::from(i) - 1
                }
            );
        }
        let at = |slot| Location { class, slot };
        store.overwrite(at(7), &[&[9; 9]], &mut change);
        store.patch(at(8), 3, &[5; 2], &mut change);
        let (new, old) = store
            .replace(at(9), Purpose::Element, &[&[3; 100]], &mut change)
            .unwrap();
        assert_eq!((new.slot, old), (0, Some(at(9))));
        assert_eq!(
            store.remove(at(9), &mut change),
            Some(Moved {
                from: at(599),
                to: at(9)
            })
        );
        assert_eq!(store.slot(at(9))[8..10], 600u16.to_le_bytes());
        assert_eq!(
            store.slot(at(7)),
            [9, 9, 9, 9, 9, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0]
        );
        apply(&mut copy, &change.take());
        assert_eq!(store.pages(), &copy);
        let rebuilt = PrimaryStore::from_pages(copy.clone()).unwrap();
        assert_eq!(rebuilt.lens, store.lens);
        assert_eq!(rebuilt.iter().count(), 600);
        for slot in (0..599).rev() {
            assert_eq!(store.remove(at(slot), &mut change), None);
        }
        store.remove(new, &mut change);
        apply(&mut copy, &change.take());
        assert!(store.is_empty() && store.pages().is_empty() && copy.is_empty());
    }

    #[test]
    fn sparse_pages_are_refused() {
        let class = ClassId::for_len(64).unwrap();
        let id = |page| PageId { class, page };
        let fault = |pages: PageTable| PrimaryStore::from_pages(pages).unwrap_err();
        let mut pages = PageTable::new();
        pages.get_mut(id(1))[0] = 1;
        assert_eq!(
            fault(pages.clone()),
            NotDense {
                page: id(0),
                fault: DensityFault::Missing
            }
        );
        pages.get_mut(id(0))[0] = 1;
        pages.get_mut(id(1))[70] = 1;
        assert_eq!(
            fault(pages.clone()),
            NotDense {
                page: id(1),
                fault: DensityFault::NotCleared
            }
        );
        pages.get_mut(id(1)).fill(0);
        assert_eq!(
            fault(pages),
            NotDense {
                page: id(1),
                fault: DensityFault::Empty
            }
        );
    }
}
