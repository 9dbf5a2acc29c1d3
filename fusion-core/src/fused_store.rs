//! A fused structure: the codes of all primaries' slots, and nothing else (section 5.4 of the paper).
//!
//! It knows nothing of the kinds of the structures it backs, and keeps no index: a change names the class, slot and
//! range that it adds to, and slot s of the codes is the sum over all primaries of slot s.

use crate::change::{MalformedChange, Write, validate, writes};
use crate::class::{CLASS_COUNT, ClassId};
use crate::code::{Code, CodeError, add_product};
use crate::id::{PrimaryIndex, Row};
use crate::limits::{MAX_NEW_PAGE_BYTES, MAX_NEW_PAGES};
use crate::page::{PageError, PageId, PageTable, is_zero};
use jerasure::Multiplier;
use std::ops::Range;
use thiserror::Error;

/// The codes of one row.
#[derive(Clone, Debug)]
pub struct FusedStore {
    code: Code,
    row: Row,
    /// By primary.
    multipliers: Box<[Multiplier]>,
    pages: PageTable,
    /// How many pages each primary has, by primary and class.
    ends: Box<[u32]>,
    learning: Option<Learning>,
}

#[derive(Clone, Debug)]
struct Learning {
    /// By primary and class: a change has told the number of pages, so that the pages of the snapshot, which is
    /// older than any change, no longer do.
    told: Box<[bool]>,
}

/// Why a page of a primary was not added, or learning not ended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LearnError {
    /// The page is not one.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The primary is not one.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// Pages are only added to a learner that is not complete yet.
    #[error("this fused structure is complete; pages are only added to a learner")]
    NotLearning,
    /// A page that no primary has any more is not zero: something is missing or was added twice.
    #[error("page {page} belongs to no primary but is not zero: a page or change is missing")]
    Incomplete {
        /// The page.
        page: PageId,
    },
}

impl FusedStore {
    /// The codes of row `row` while all primaries are empty.
    ///
    /// # Errors
    /// [`CodeError`] if the code has no such row.
    pub fn new(code: Code, row: Row) -> Result<FusedStore, CodeError> {
        code.check_row(row)?;
        let primaries = code.primaries();
        let multipliers = (0..primaries as u16)
            .map(|primary| code.multiplier(row, PrimaryIndex(primary)))
            .collect::<Result<_, _>>()?;
        Ok(FusedStore {
            row,
            multipliers,
            pages: PageTable::new(),
            ends: vec![0; primaries * CLASS_COUNT].into_boxed_slice(),
            learning: None,
            code,
        })
    }

    /// Codes that are yet to be learned: the pages of each primary's snapshot, each added once, and the changes after
    /// the snapshots, in any order between them, until [`finish_learning`](Self::finish_learning).
    ///
    /// # Errors
    /// [`CodeError`] if the code has no such row.
    pub fn learner(code: Code, row: Row) -> Result<FusedStore, CodeError> {
        let mut store = FusedStore::new(code, row)?;
        let told = vec![false; store.ends.len()].into_boxed_slice();
        store.learning = Some(Learning { told });
        Ok(store)
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> &Code {
        &self.code
    }

    /// The row.
    #[must_use]
    pub fn row(&self) -> Row {
        self.row
    }

    /// Whether it is a learner that is not complete.
    #[must_use]
    pub fn is_learning(&self) -> bool {
        self.learning.is_some()
    }

    /// The codes.
    #[must_use]
    pub fn pages(&self) -> &PageTable {
        &self.pages
    }

    /// The codes as they are now: a cheap clone, shared until written.
    #[must_use]
    pub fn snapshot(&self) -> PageTable {
        self.pages.clone()
    }

    /// The bytes of all pages. Takes time linear in the number of pages.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.pages.bytes()
    }

    /// Adds a change of a primary to the codes, and frees pages that no primary has any more: the paper's update of a
    /// fused node, `code + coefficient * (old XOR new)`. Changes of one primary must come in their order.
    ///
    /// # Errors
    /// [`MalformedChange`]; nothing has changed then. A learner does not know yet how many pages a primary has, and so
    /// cannot tell [`Gap`](MalformedChange::Gap), [`TooManyPages`](MalformedChange::TooManyPages) or
    /// [`NotCleared`](MalformedChange::NotCleared): there the limits of the classes alone bound what a change takes,
    /// and [`finish_learning`](Self::finish_learning) finds what was not cleared.
    pub fn apply(&mut self, primary: PrimaryIndex, change: &[u8]) -> Result<(), MalformedChange> {
        self.check(primary, change)?;
        let own = self.own_ends(primary);
        let mut before = [0; CLASS_COUNT];
        before.copy_from_slice(&self.ends[own.clone()]);
        for (count, write) in writes(change).enumerate() {
            match write? {
                Write::Xor {
                    class,
                    slot,
                    offset,
                    bytes,
                } => {
                    self.add(primary, class, slot, offset, bytes);
                    let end = &mut self.ends[own.start + class.index()];
                    *end = (*end).max(class.locate(slot).page + 1);
                }
                Write::Extent { class, slots } => {
                    let at = own.start + class.index();
                    if let Some(learning) = &mut self.learning {
                        learning.told[at] = true;
                        self.ends[at] = class.pages_for(slots);
                        continue;
                    }
                    self.ends[at] = self.ends[at].min(class.pages_for(slots));
                    if let Err(error) = self.free_unused(class) {
                        self.ends[own].copy_from_slice(&before);
                        self.undo(primary, change, count);
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    /// Where the pages of that primary are counted, by class.
    fn own_ends(&self, primary: PrimaryIndex) -> Range<usize> {
        let first = primary.index() * CLASS_COUNT;
        first..first + CLASS_COUNT
    }

    #[inline]
    fn add(&mut self, primary: PrimaryIndex, class: ClassId, slot: u32, offset: u32, bytes: &[u8]) {
        let place = class.locate(slot);
        let page = self.pages.get_mut(PageId {
            class,
            page: place.page,
        });
        let from = place.offset + offset as usize;
        let multiplier = &self.multipliers[primary.index()];
        add_product(multiplier, &mut page[from..from + bytes.len()], bytes);
    }

    /// Frees the pages of a class that no primary has any more, which must be zero.
    fn free_unused(&mut self, class: ClassId) -> Result<(), MalformedChange> {
        let end = self.longest(class);
        for page in end..self.pages.end(class) {
            let page = PageId { class, page };
            if self.pages.get(page).is_some_and(|bytes| !is_zero(bytes)) {
                return Err(MalformedChange::NotCleared { page });
            }
        }
        self.pages.truncate(class, end);
        Ok(())
    }

    /// Takes the first `count` entries of a change back: adding the same again cancels it. The numbers of pages are
    /// those before it already.
    fn undo(&mut self, primary: PrimaryIndex, change: &[u8], count: usize) {
        for write in writes(change).take(count).flatten() {
            if let Write::Xor {
                class,
                slot,
                offset,
                bytes,
            } = write
            {
                self.add(primary, class, slot, offset, bytes);
            }
        }
        for class in ClassId::all() {
            let end = self.longest(class);
            self.pages.truncate(class, end);
            // Pages that were zero and freed.
            for page in 0..end {
                let page = PageId { class, page };
                if self.pages.get(page).is_none() {
                    self.pages.get_mut(page);
                }
            }
        }
    }

    /// Checks all that can be told of a change before any of it is applied.
    fn check(&self, primary: PrimaryIndex, change: &[u8]) -> Result<(), MalformedChange> {
        let primaries = self.code.primaries();
        if primary.index() >= primaries {
            return Err(MalformedChange::NoSuchPrimary {
                primary: primary.0,
                primaries,
            });
        }
        validate(change)?;
        if self.learning.is_some() {
            return Ok(());
        }
        // Slots are dense, so that each write reaches at most into the page after the last one.
        let mut ends = [0; CLASS_COUNT];
        ends.copy_from_slice(&self.ends[self.own_ends(primary)]);
        let (mut pages, mut bytes) = (0, 0);
        for write in writes(change) {
            match write? {
                Write::Xor { class, slot, .. } => {
                    let (page, end) = (class.locate(slot).page, &mut ends[class.index()]);
                    if page > *end {
                        return Err(MalformedChange::Gap { class, slot });
                    }
                    if page == *end {
                        *end += 1;
                        pages += 1;
                        bytes += class.page_bytes(page);
                        check_new_pages(pages, bytes)?;
                    }
                }
                Write::Extent { class, slots } => {
                    let end = &mut ends[class.index()];
                    *end = (*end).min(class.pages_for(slots));
                }
            }
        }
        Ok(())
    }

    /// Adds a page of a primary's snapshot to the codes of a learner.
    ///
    /// # Errors
    /// [`LearnError`] if the page or the primary is not one, or this is no learner; nothing has changed then.
    pub fn add_page(
        &mut self,
        primary: PrimaryIndex,
        id: PageId,
        bytes: &[u8],
    ) -> Result<(), LearnError> {
        self.code.check_primary(primary)?;
        id.check(bytes.len())?;
        let learning = self.learning.as_ref().ok_or(LearnError::NotLearning)?;
        let at = primary.index() * CLASS_COUNT + id.class.index();
        if !learning.told[at] {
            self.ends[at] = self.ends[at].max(id.page + 1);
        }
        add_product(
            &self.multipliers[primary.index()],
            self.pages.get_mut(id),
            bytes,
        );
        Ok(())
    }

    /// Says that all pages of all primaries were added: pages that no primary has any more are freed, and from now on
    /// as they become so.
    ///
    /// # Errors
    /// [`LearnError::Incomplete`] if one of those is not zero, [`LearnError::NotLearning`] if this is no learner.
    pub fn finish_learning(&mut self) -> Result<(), LearnError> {
        if self.learning.is_none() {
            return Err(LearnError::NotLearning);
        }
        for (page, bytes) in self.pages.iter() {
            if page.page >= self.longest(page.class) && !is_zero(bytes) {
                return Err(LearnError::Incomplete { page });
            }
        }
        for class in ClassId::all() {
            let end = self.longest(class);
            self.pages.truncate(class, end);
        }
        self.learning = None;
        Ok(())
    }

    /// The pages of the primary that has most of the class.
    fn longest(&self, class: ClassId) -> u32 {
        self.ends
            .iter()
            .skip(class.index())
            .step_by(CLASS_COUNT)
            .copied()
            .max()
            .unwrap_or(0)
    }
}

/// Bounds the memory that one change can take.
fn check_new_pages(pages: u32, bytes: usize) -> Result<(), MalformedChange> {
    if pages <= MAX_NEW_PAGES && bytes <= MAX_NEW_PAGE_BYTES {
        return Ok(());
    }
    Err(MalformedChange::TooManyPages {
        pages,
        bytes,
        max_pages: MAX_NEW_PAGES,
        max_bytes: MAX_NEW_PAGE_BYTES,
    })
}
