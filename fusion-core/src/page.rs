//! Pages of slots, shared and copied on write.

use crate::class::{CLASS_COUNT, ClassId};
use memmap2::MmapMut;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use thiserror::Error;

/// Names one page of one structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PageId {
    /// The size class.
    pub class: ClassId,
    /// The page's number in its class.
    pub page: u32,
}

impl PageId {
    /// The bytes that this page has.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.class.page_bytes(self.page)
    }

    /// Checks that there can be such a page, and that it has `len` bytes.
    ///
    /// # Errors
    /// [`PageError`] says which is not so.
    pub fn check(self, len: usize) -> Result<(), PageError> {
        let pages = self.class.max_pages();
        if self.page >= pages {
            return Err(PageError::NoSuchPage { id: self, pages });
        }
        if len != self.bytes() {
            return Err(PageError::WrongLength {
                id: self,
                got: len,
                expected: self.bytes(),
            });
        }
        Ok(())
    }
}

impl fmt::Display for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.class, self.page)
    }
}

/// Why bytes were not taken as a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PageError {
    /// The class has not so many pages.
    #[error("page {id} is out of range; its class has at most {pages} pages")]
    NoSuchPage {
        /// The page.
        id: PageId,
        /// The most pages of the class.
        pages: u32,
    },
    /// A page of that number has another length.
    #[error("page {id} has {expected} bytes, not {got}")]
    WrongLength {
        /// The page.
        id: PageId,
        /// The bytes given.
        got: usize,
        /// The bytes of such a page.
        expected: usize,
    },
}

/// Pages from this length on have memory mapped for them alone, which goes back to the system with them. An allocator
/// would keep most of it after mass removals, between what else it has there.
const MAPPED_BYTES: usize = 32 << 10;

/// So many pages are mapped at a time, 2 GiB; further ones are the allocator's. A system keeps 65,530 maps of a process by
/// default, and beyond them it could not even take one back.
const MAX_MAPPED: usize = 1 << 15;
static MAPPED: AtomicUsize = AtomicUsize::new(0);

/// A page's own memory.
struct Mapped(MmapMut);

impl Mapped {
    /// `None` when there are `most` already, or the system gives none.
    fn zeros(len: usize, most: usize) -> Option<Mapped> {
        let room = |n: usize| (n < most).then_some(n + 1);
        MAPPED
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .ok()?;
        let mapped = MmapMut::map_anon(len).ok().map(Mapped);
        if mapped.is_none() {
            MAPPED.fetch_sub(1, Ordering::Relaxed);
        }
        mapped
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        MAPPED.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The bytes of one page.
enum Bytes {
    Heap(Box<[u8]>),
    Mapped(Mapped),
}

impl Bytes {
    fn zeros(len: usize) -> Bytes {
        let mapped = (len >= MAPPED_BYTES).then(|| Mapped::zeros(len, MAX_MAPPED));
        match mapped.flatten() {
            Some(mapped) => Bytes::Mapped(mapped),
            None => Bytes::Heap(vec![0; len].into_boxed_slice()),
        }
    }
}

impl From<&[u8]> for Bytes {
    fn from(from: &[u8]) -> Bytes {
        if from.len() < MAPPED_BYTES {
            return Bytes::Heap(from.into());
        }
        let mut bytes = Bytes::zeros(from.len());
        bytes.copy_from_slice(from);
        bytes
    }
}

impl Clone for Bytes {
    fn clone(&self) -> Bytes {
        Bytes::from(&**self)
    }
}

impl Deref for Bytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Heap(bytes) => bytes,
            Bytes::Mapped(bytes) => &bytes.0,
        }
    }
}

impl DerefMut for Bytes {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Bytes::Heap(bytes) => bytes,
            Bytes::Mapped(bytes) => &mut bytes.0,
        }
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Bytes) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

type Pages = Vec<Option<Arc<Bytes>>>;

/// Whether all bytes are zero. Without an early end within a block, so that whole blocks are compared at once.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes
        .chunks(256)
        .all(|block| block.iter().fold(0, |all, byte| all | byte) == 0)
}

/// The pages of a [`PageTable`] at one moment, in as little memory as they take: for snapshots that are kept for long
/// and seldom looked at. Pages are shared until written.
#[derive(Clone)]
pub struct SparsePages(Box<[(PageId, Arc<Bytes>)]>);

impl SparsePages {
    /// All pages, by class and then by number.
    pub fn iter(&self) -> impl Iterator<Item = (PageId, &[u8])> {
        self.0.iter().map(|(id, bytes)| (*id, &***bytes))
    }
}

impl fmt::Debug for SparsePages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SparsePages").field(&self.0.len()).finish()
    }
}

/// The pages of one structure, by class and number. Cloning is a cheap snapshot: pages are shared until written.
///
/// Pages that are not there count as zero. Two tables are equal when they hold the same pages with the same bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct PageTable {
    /// By class; no class ends with `None`.
    classes: Box<[Pages]>,
    spare: Spare,
}

/// The zero page that was taken away last, so that a class that shrinks and grows at the edge of a page does not
/// allocate each time. It is no content: a copy has none, and it makes no difference.
#[derive(Default)]
struct Spare(Option<Arc<Bytes>>);

/// A spare page is not longer than this.
const MAX_SPARE_BYTES: usize = 64 << 10;

impl Spare {
    fn put(&mut self, page: Arc<Bytes>) {
        if page.len() <= MAX_SPARE_BYTES {
            self.0 = Some(page);
        }
    }

    /// A zero page of that length.
    fn take(&mut self, len: usize) -> Arc<Bytes> {
        // A snapshot may still have it; writing to it would copy it.
        if let Some(page) = self.0.take_if(|page| page.len() == len)
            && Arc::strong_count(&page) == 1
        {
            return page;
        }
        Arc::new(Bytes::zeros(len))
    }
}

impl Clone for Spare {
    fn clone(&self) -> Self {
        Spare::default()
    }
}

impl PartialEq for Spare {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Spare {}

impl Default for PageTable {
    fn default() -> Self {
        PageTable::new()
    }
}

impl PageTable {
    /// A table without pages.
    #[must_use]
    pub fn new() -> Self {
        PageTable {
            classes: vec![Pages::new(); CLASS_COUNT].into_boxed_slice(),
            spare: Spare::default(),
        }
    }

    /// The bytes of a page, if it is there.
    #[inline]
    #[must_use]
    pub fn get(&self, id: PageId) -> Option<&[u8]> {
        self.classes[id.class.index()]
            .get(id.page as usize)?
            .as_ref()
            .map(|bytes| &***bytes)
    }

    /// The bytes of a page to write to; a page that is not there begins as zeros.
    ///
    /// # Panics
    /// If the class cannot have so many pages.
    #[inline]
    pub fn get_mut(&mut self, id: PageId) -> &mut [u8] {
        let pages = &mut self.classes[id.class.index()];
        let page = id.page as usize;
        if page >= pages.len() || pages[page].is_none() {
            create(pages, id, &mut self.spare);
        }
        match &mut pages[page] {
            Some(page) => {
                let bytes: &mut Bytes = Arc::make_mut(page);
                bytes
            }
            None => unreachable!("the page was just created"),
        }
    }

    /// Puts a copy of `bytes` as that page, in place of the one there.
    ///
    /// # Errors
    /// [`PageError`] if there is no such page or its length is another one; nothing changes then.
    pub fn insert(&mut self, id: PageId, bytes: &[u8]) -> Result<(), PageError> {
        id.check(bytes.len())?;
        let pages = &mut self.classes[id.class.index()];
        let page = id.page as usize;
        if page >= pages.len() {
            pages.resize(page + 1, None);
        }
        pages[page] = Some(Arc::new(Bytes::from(bytes)));
        Ok(())
    }

    /// Lets go of the pages that are zero: in a sum of members' pages they are those that only others have.
    pub(crate) fn drop_zeros(&mut self) {
        let zero: Vec<PageId> = self
            .iter()
            .filter(|(_, bytes)| is_zero(bytes))
            .map(|(id, _)| id)
            .collect();
        for id in zero {
            self.remove(id);
        }
    }

    /// Takes a page away; says whether it was there.
    pub fn remove(&mut self, id: PageId) -> bool {
        let pages = &mut self.classes[id.class.index()];
        let Some(page) = pages.get_mut(id.page as usize) else {
            return false;
        };
        let was_there = page.take().is_some();
        trim(pages);
        was_there
    }

    /// Takes all pages of the class from number `pages` on away, which are zero.
    pub(crate) fn truncate(&mut self, class: ClassId, pages: u32) {
        let table = &mut self.classes[class.index()];
        while table.len() > pages as usize {
            if let Some(page) = table.pop().flatten() {
                debug_assert!(is_zero(&page), "what goes is zero");
                self.spare.put(page);
            }
        }
        trim(table);
    }

    /// One more than the number of the last page of the class; 0 when it has none.
    #[inline]
    #[must_use]
    pub fn end(&self, class: ClassId) -> u32 {
        self.classes[class.index()].len() as u32
    }

    /// All pages, by class and then by number.
    pub fn iter(&self) -> impl Iterator<Item = (PageId, &[u8])> {
        self.shared().map(|(id, bytes)| (id, &***bytes))
    }

    fn shared(&self) -> impl Iterator<Item = (PageId, &Arc<Bytes>)> {
        let classes = ClassId::all().zip(&self.classes);
        let used = classes.filter(|(_, pages)| !pages.is_empty());
        used.flat_map(|(class, pages)| {
            let pages = (0u32..).zip(pages);
            pages.filter_map(move |(page, bytes)| Some((PageId { class, page }, bytes.as_ref()?)))
        })
    }

    /// A snapshot that takes little memory.
    #[must_use]
    pub fn to_sparse(&self) -> SparsePages {
        let pages = self.shared().map(|(id, bytes)| (id, Arc::clone(bytes)));
        SparsePages(pages.collect())
    }

    /// The number of pages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are no pages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.classes.iter().all(Vec::is_empty)
    }

    /// The bytes of the pages that a snapshot keeps in memory: those that `live`, which it was taken of, does not share with
    /// it any more. Takes time linear in the number of pages.
    #[must_use]
    pub fn bytes_apart_from(&self, live: &PageTable) -> u64 {
        let classes = self.classes.iter().zip(&live.classes);
        let apart = classes.flat_map(|(ours, theirs)| {
            let theirs = theirs.iter().map(Option::as_ref);
            let theirs = theirs.chain(std::iter::repeat(None));
            ours.iter().zip(theirs).filter_map(|(ours, theirs)| {
                let ours = ours.as_ref()?;
                (!theirs.is_some_and(|theirs| Arc::ptr_eq(ours, theirs))).then_some(ours.len())
            })
        });
        apart.map(|len| len as u64).sum()
    }

    /// The bytes of all pages (those shared with snapshots too).
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }
}

impl fmt::Debug for PageTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageTable")
            .field("pages", &self.len())
            .field("bytes", &self.bytes())
            .finish()
    }
}

#[cold]
fn create(pages: &mut Pages, id: PageId, spare: &mut Spare) {
    assert!(id.page < id.class.max_pages(), "page {id} is out of range");
    let page = id.page as usize;
    if page >= pages.len() {
        pages.resize(page + 1, None);
    }
    pages[page] = Some(spare.take(id.bytes()));
}

fn trim(pages: &mut Pages) {
    while let Some(None) = pages.last() {
        pages.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(class: u8, page: u32) -> PageId {
        PageId {
            class: ClassId::new(class).unwrap(),
            page,
        }
    }

    #[test]
    fn a_clone_is_a_snapshot() {
        let mut table = PageTable::new();
        table.get_mut(id(3, 0))[5] = 7;
        let snapshot = table.clone();
        table.get_mut(id(3, 0))[5] = 8;
        table.get_mut(id(4, 2))[0] = 1;
        assert_eq!(snapshot.get(id(3, 0)).unwrap()[5], 7);
        assert_eq!(snapshot.get(id(4, 2)), None);
        assert_eq!(table.len(), 2);
        assert_ne!(snapshot, table);
        assert!(table.remove(id(4, 2)));
        assert!(!table.remove(id(4, 2)));
        assert_eq!(table.end(ClassId::new(4).unwrap()), 0);
        table.get_mut(id(3, 0))[5] = 7;
        assert_eq!(snapshot, table);
    }

    #[test]
    fn a_sparse_snapshot_has_the_pages_of_its_moment() {
        let mut table = PageTable::new();
        for (class, page) in [(3, 0), (3, 2), (9, 1)] {
            table.get_mut(id(class, page))[5] = 7;
        }
        let (sparse, whole) = (table.to_sparse(), table.clone());
        table.get_mut(id(3, 2))[5] = 8;
        table.remove(id(9, 1));
        assert!(sparse.iter().eq(whole.iter()));
        assert_eq!(sparse.iter().count(), 3);
    }

    #[test]
    fn a_byte_anywhere_is_not_zero() {
        let mut bytes = vec![0; 300];
        assert!(is_zero(&bytes) && is_zero(&[]));
        for at in [0, 255, 256, 299] {
            bytes[at] = 1;
            assert!(!is_zero(&bytes));
            bytes[at] = 0;
        }
    }

    #[test]
    fn a_snapshot_keeps_what_was_written_or_went_since() {
        let mut table = PageTable::new();
        for page in 0..4 {
            table.get_mut(id(3, page))[5] = 7;
        }
        let snapshot = table.clone();
        assert_eq!(snapshot.bytes_apart_from(&table), 0);
        table.get_mut(id(3, 1))[5] = 8;
        table.remove(id(3, 3));
        table.get_mut(id(3, 9))[0] = 1;
        let page = id(3, 0).bytes() as u64;
        assert_eq!(snapshot.bytes_apart_from(&table), 2 * page);
        assert_eq!(snapshot.bytes_apart_from(&PageTable::new()), 4 * page);
    }

    #[test]
    fn a_page_that_goes_and_comes_back_is_not_allocated_again() {
        let mut table = PageTable::new();
        let at = |table: &mut PageTable| table.get_mut(id(3, 0)).as_ptr();
        let first = at(&mut table);
        table.truncate(id(3, 0).class, 0);
        assert!(table.is_empty() && table == PageTable::new());
        assert_eq!(at(&mut table), first);
        // A snapshot keeps its page, and other lengths are other pages.
        let snapshot = table.clone();
        table.truncate(id(3, 0).class, 0);
        table.get_mut(id(3, 0))[1] = 1;
        assert_eq!(snapshot.get(id(3, 0)).unwrap()[1], 0);
        table.get_mut(id(3, 0))[1] = 0;
        table.truncate(id(3, 0).class, 0);
        assert_eq!(table.get_mut(id(6, 0)).len(), id(6, 0).bytes());
    }

    #[test]
    fn long_pages_are_mapped_and_copied_like_short_ones() {
        let lengths = |table: &PageTable| -> Vec<(PageId, usize)> {
            table.iter().map(|(id, bytes)| (id, bytes.len())).collect()
        };
        let mut pages = (0..).map(|page| id(9, page));
        let long = pages.find(|id| id.bytes() >= MAPPED_BYTES).unwrap();
        let mut table = PageTable::new();
        for (id, fill) in [(id(9, 0), 1), (long, 2)] {
            assert!(table.get_mut(id).iter().all(|&b| b == 0));
            table.get_mut(id).fill(fill);
        }
        let mapped = |id: PageId| {
            let page = table.classes[id.class.index()][id.page as usize].as_deref();
            matches!(page, Some(Bytes::Mapped(_)))
        };
        assert!(mapped(long) && !mapped(id(9, 0)));
        let snapshot = table.clone();
        table.get_mut(long)[7] = 0;
        assert_eq!(snapshot.get(long).unwrap()[7], 2);
        assert_eq!(lengths(&snapshot), lengths(&table));
        assert_ne!(snapshot, table);
        let mut copy = PageTable::new();
        for (id, bytes) in snapshot.iter() {
            copy.insert(id, bytes).unwrap();
        }
        assert_eq!(copy, snapshot);
    }

    #[test]
    fn no_more_pages_are_mapped_than_may_be() {
        assert!(Mapped::zeros(MAPPED_BYTES, 0).is_none());
        let mapped = Mapped::zeros(MAPPED_BYTES, MAX_MAPPED).unwrap();
        // Others may map and let go meanwhile, but this one counts.
        assert!(Mapped::zeros(MAPPED_BYTES, 1).is_none());
        assert!(mapped.0.iter().all(|&b| b == 0));
    }

    #[test]
    fn pages_of_a_wrong_length_or_number_are_refused() {
        let mut table = PageTable::new();
        let bytes = vec![1; id(0, 0).bytes()];
        table.insert(id(0, 0), &bytes).unwrap();
        assert_eq!(
            table.insert(id(0, 0), &bytes[1..]),
            Err(PageError::WrongLength {
                id: id(0, 0),
                got: bytes.len() - 1,
                expected: bytes.len()
            })
        );
        let far = PageId {
            class: ClassId::new(0).unwrap(),
            page: u32::MAX,
        };
        assert!(matches!(
            table.insert(far, &bytes),
            Err(PageError::NoSuchPage { .. })
        ));
        assert_eq!(table.bytes(), bytes.len() as u64);
    }
}
