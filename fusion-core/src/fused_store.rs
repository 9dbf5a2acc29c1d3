//! A fused structure: the codes of all primaries' slots, and nothing else (section 5.4 of the paper).
//!
//! It knows nothing of the kinds of the structures it backs, and keeps no index: a change names the class, slot and
//! range that it adds to, and slot s of the codes is the sum over all primaries of slot s.

use crate::change::{MalformedChange, Write, validate, writes};
use crate::class::{CLASS_COUNT, ClassId};
use crate::code::{Code, CodeError, add_product};
use crate::id::{PrimaryIndex, Row};
use crate::page::{PageError, PageId, PageTable};
use jerasure::Multiplier;
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
    /// [`MalformedChange`]; nothing has changed then. [`Gap`](MalformedChange::Gap) cannot be told by a learner, which
    /// does not know yet how many pages a primary has.
    pub fn apply(&mut self, primary: PrimaryIndex, change: &[u8]) -> Result<(), MalformedChange> {
        self.check(primary, change)?;
        let multiplier = &self.multipliers[primary.index()];
        let first_end = primary.index() * CLASS_COUNT;
        for write in writes(change) {
            match write? {
                Write::Xor {
                    class,
                    slot,
                    offset,
                    bytes,
                } => {
                    let place = class.locate(slot);
                    let page = self.pages.get_mut(PageId {
                        class,
                        page: place.page,
                    });
                    let from = place.offset + offset as usize;
                    add_product(multiplier, &mut page[from..from + bytes.len()], bytes);
                    let end = &mut self.ends[first_end + class.index()];
                    *end = (*end).max(place.page + 1);
                }
                Write::Extent { class, slots } => {
                    let at = first_end + class.index();
                    match &mut self.learning {
                        Some(learning) => {
                            learning.told[at] = true;
                            self.ends[at] = class.pages_for(slots);
                        }
                        None => {
                            self.ends[at] = self.ends[at].min(class.pages_for(slots));
                            let end = self.longest(class);
                            self.pages.truncate(class, end);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Checks all that could be wrong with a change before any of it is applied.
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
        // Slots are dense, so each write reaches at most into the page after the last one. This also bounds the memory
        // that a change can take.
        let ends = &self.ends[primary.index() * CLASS_COUNT..][..CLASS_COUNT];
        for (earlier, write) in (0u32..).zip(writes(change)) {
            if let Write::Xor { class, slot, .. } = write?
                && class.locate(slot).page > ends[class.index()] + earlier
            {
                return Err(MalformedChange::Gap { class, slot });
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
            if page.page >= self.longest(page.class) && bytes.iter().any(|&byte| byte != 0) {
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
