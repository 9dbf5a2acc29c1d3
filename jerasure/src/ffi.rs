//! The only file that calls the C library: pointers, casts and locks end here.
//!
//! Three rules keep the C code defined:
//! - No C function runs before [`Library::get`] has returned: the library fills its field tables on first
//!   use without a lock. Afterwards it only reads them, for w = 8 and 16 in regions and for every w in
//!   single multiplications.
//! - The C region function for w = 32 is never called: without SSSE3 it rebuilds a shared table in every call.
//! - Elements are multiplied, and matrices made and inverted, in Rust; the C functions for that are the tests'
//!   oracles.
//!
//! Preconditions are assertions here: their violation is a bug of this crate, not of its caller.

#[cfg(all(test, not(miri)))]
mod matrices;

#[cfg(all(test, not(miri)))]
pub(crate) use matrices::{Oracle, RawOperation};

use std::ffi::{c_char, c_int};
use std::sync::OnceLock;

use crate::WordSize;

/// The shortest region that may be handed to C: its alignment code runs past shorter ones.
pub(crate) const MIN_REGION: usize = 16;

/// Source and destination of a C region must agree modulo this.
pub(crate) const REGION_ALIGN: usize = 16;

/// The C library with its field tables made.
pub(crate) struct Library(());

impl Library {
    /// The library; the first call makes its tables while other callers wait.
    pub(crate) fn get() -> &'static Self {
        static LIBRARY: OnceLock<Library> = OnceLock::new();
        LIBRARY.get_or_init(|| {
            for w in [WordSize::W8, WordSize::W16, WordSize::W32] {
                // SAFETY: 1 is an element of each field and w is one that the library knows. `get_or_init` runs
                // this in one thread, and nobody else can have a `Library` to call C with.
                let one = unsafe { jerasure_sys::galois_single_multiply(1, 1, w.bits() as c_int) };
                assert_eq!(
                    one,
                    1,
                    "the C library cannot multiply in GF(2^{})",
                    w.bits()
                );
            }
            Library(())
        })
    }

    /// `dst ^= coefficient * src`, in the library's SIMD code.
    ///
    /// The regions are equally long, at least [`MIN_REGION`] bytes, whole words, aligned to words and congruent
    /// modulo [`REGION_ALIGN`].
    pub(crate) fn multiply_region_add(
        &self,
        w: RegionWord,
        coefficient: u32,
        src: &[u8],
        dst: &mut [u8],
    ) {
        assert_eq!(src.len(), dst.len());
        assert_eq!(
            src.as_ptr().addr() % REGION_ALIGN,
            dst.as_ptr().addr() % REGION_ALIGN
        );
        // SAFETY: `src` is readable and `dst` writable for `src.len()` bytes, and borrowing keeps them apart and away
        // from other threads. The library only reads `src` although its parameter is not const. The call checks
        // lengths, alignment and coefficient.
        unsafe {
            self.region(
                w,
                coefficient,
                src.as_ptr().cast_mut(),
                dst.as_mut_ptr(),
                src.len(),
                true,
            )
        }
    }

    /// `region = coefficient * region`, with the rules of [`Library::multiply_region_add`].
    pub(crate) fn multiply_region_in_place(
        &self,
        w: RegionWord,
        coefficient: u32,
        region: &mut [u8],
    ) {
        let (start, bytes) = (region.as_mut_ptr(), region.len());
        // SAFETY: `region` is ours to read and write. Source and destination may be one: the library loads each
        // block before it stores it, and multiplies its own regions so (reed_sol.c, multby_2).
        unsafe { self.region(w, coefficient, start, start, bytes, false) }
    }

    /// # Safety
    /// `src` is readable and `dst` writable for `bytes` bytes, by no other thread; they are the same or apart, and
    /// congruent modulo [`REGION_ALIGN`].
    unsafe fn region(
        &self,
        w: RegionWord,
        coefficient: u32,
        src: *mut u8,
        dst: *mut u8,
        bytes: usize,
        add: bool,
    ) {
        let word = w.word_size();
        assert!(coefficient <= word.max_element());
        assert!(bytes >= MIN_REGION && word.divides(bytes) && word.divides(dst.addr()));
        let length = c_int::try_from(bytes).expect("callers pass bounded blocks");
        let (src, dst): (*mut c_char, *mut c_char) = (src.cast(), dst.cast());
        let (coefficient, add) = (coefficient.cast_signed(), c_int::from(add));
        // SAFETY: the caller vouches for the pointers. The assertions are the library's own conditions: it aborts
        // where words are split or regions disagree modulo 16, reads tables out of bounds for a coefficient that is no
        // element, and runs past regions under 16 bytes. `dst` is not NULL. For these w it only reads shared state.
        unsafe {
            match w {
                RegionWord::W8 => {
                    jerasure_sys::galois_w08_region_multiply(src, coefficient, length, dst, add);
                }
                RegionWord::W16 => {
                    jerasure_sys::galois_w16_region_multiply(src, coefficient, length, dst, add);
                }
            }
        }
    }
}

/// The word sizes whose C region functions are safe to call from several threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegionWord {
    W8,
    W16,
}

impl RegionWord {
    const fn word_size(self) -> WordSize {
        match self {
            Self::W8 => WordSize::W8,
            Self::W16 => WordSize::W16,
        }
    }
}
