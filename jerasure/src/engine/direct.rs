//! Updates of a few bytes, which are over before a detour is: one call, all arguments in registers.

use std::fmt;
use std::sync::Arc;

use super::Factors;

/// `code ^= factor * (old ^ new)`: the factor's place, `code`, `old`, `new` and the bytes of each of the three.
///
/// # Safety
/// The machine has the instruction set that the function was compiled for, and the factor is one of its own. `old` and
/// `new` are readable and `code` is writable for the bytes; `code` does not overlap the others, and no other thread
/// writes any of them.
pub(super) type Update = unsafe fn(*const (), *mut u8, *const u8, *const u8, usize);

/// A factor with the function that updates by it.
#[derive(Clone)]
pub(crate) struct Direct {
    update: Update,
    /// In `factors`.
    factor: *const (),
    /// Keeps the factor where it is, and unchanged.
    _factors: Arc<dyn Factors>,
}

// SAFETY: `factor` is only read, and lies in what `_factors` shares between threads.
unsafe impl Send for Direct {}
// SAFETY: as above.
unsafe impl Sync for Direct {}

impl Direct {
    /// # Safety
    /// This machine has the instruction set that `update` was compiled for. `factor` is one of that set, in memory that
    /// `factors` owns and neither moves nor changes.
    pub(super) unsafe fn new(update: Update, factor: *const (), factors: Arc<dyn Factors>) -> Self {
        Self {
            update,
            factor,
            _factors: factors,
        }
    }

    /// `code ^= factor * (old ^ new)` over equally long regions of whole words.
    ///
    /// # Panics
    /// If they are not equally long.
    #[inline]
    pub(crate) fn update(&self, code: &mut [u8], old: &[u8], new: &[u8]) {
        assert!(code.len() == old.len() && code.len() == new.len());
        // SAFETY: who made this has vouched for the machine and the factor, which `_factors` keeps in place. The regions are equally long; borrowing keeps `code` apart from the others and all of them
        // from threads that write. A part of a word would be read and written within bounds, too.
        unsafe {
            (self.update)(
                self.factor,
                code.as_mut_ptr(),
                old.as_ptr(),
                new.as_ptr(),
                code.len(),
            );
        }
    }
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct").finish_non_exhaustive()
    }
}
