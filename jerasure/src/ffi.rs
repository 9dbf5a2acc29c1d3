//! The only file that calls the C library: pointers, casts and locks end here.
//!
//! Three rules keep the C code defined:
//! - No C function runs before [`Library::get`] has returned: the library fills its field tables on first
//!   use without a lock. Afterwards it only reads them, for w = 8 and 16 in regions and for every w in
//!   single multiplications.
//! - The C region function for w = 32 is never called: without SSSE3 it rebuilds a shared table in every call.
//! - Matrices are made and inverted in Rust; the C functions for that are the tests' oracles.
//!
//! Preconditions are assertions here: their violation is a bug of this crate, not of its caller.

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

    /// The product of two elements.
    pub(crate) fn multiply(&self, w: WordSize, a: u32, b: u32) -> u32 {
        assert!(a.max(b) <= w.max_element());
        // SAFETY: both operands are elements, so they index the tables within bounds; the tables are made and only
        // read from now on, so threads do not matter.
        let product = unsafe {
            jerasure_sys::galois_single_multiply(
                a.cast_signed(),
                b.cast_signed(),
                w.bits() as c_int,
            )
        };
        product.cast_unsigned()
    }

    /// `a` divided by `b`, which is not 0.
    pub(crate) fn divide(&self, w: WordSize, a: u32, b: u32) -> u32 {
        assert!(a.max(b) <= w.max_element() && b != 0);
        // SAFETY: as in `multiply`; the divisor is not 0.
        let quotient = unsafe {
            jerasure_sys::galois_single_divide(a.cast_signed(), b.cast_signed(), w.bits() as c_int)
        };
        quotient.cast_unsigned()
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

/// What the tests compare our own matrices with. These C functions keep no state of their own.
#[cfg(test)]
impl Library {
    /// Jerasure's Vandermonde coding matrix, m rows of k; `None` if it could not be allocated.
    pub(crate) fn vandermonde(&self, params: crate::CodeParams) -> Option<Vec<u32>> {
        let (k, m) = (params.k(), params.m());
        // SAFETY: `CodeParams` has checked k, m >= 1, k + m <= 2^w, and that every product that the library forms
        // of them fits an `int`, so the casts keep their values, and that its largest allocation, k * (k + m) integers,
        // fits an `isize`, so its sizes in bytes do not wrap.
        let matrix = unsafe {
            jerasure_sys::reed_sol_vandermonde_coding_matrix(
                k as c_int,
                m as c_int,
                params.w().bits() as c_int,
            )
        };
        if matrix.is_null() {
            return None;
        }
        // SAFETY: the library returned k * m initialised integers that we own; they are copied before they are freed.
        let elements = unsafe { std::slice::from_raw_parts(matrix, k * m) };
        let elements = elements.iter().map(|e| e.cast_unsigned()).collect();
        // SAFETY: the library allocated it with `malloc` of the same C runtime, and we free it once.
        unsafe { libc::free(matrix.cast()) };
        Some(elements)
    }

    /// The inverse of a square matrix of `rows` rows; `None` if it has none.
    pub(crate) fn invert(&self, w: WordSize, matrix: &[u32], rows: usize) -> Option<Vec<u32>> {
        assert!(rows > 0 && rows.checked_mul(rows) == Some(matrix.len()));
        assert!(c_int::try_from(matrix.len()).is_ok());
        assert!(matrix.iter().all(|&e| e <= w.max_element()));
        let mut scratch: Vec<c_int> = matrix.iter().map(|e| e.cast_signed()).collect();
        let mut inverse: Vec<c_int> = vec![0; matrix.len()];
        // SAFETY: both arrays hold rows * rows integers, do not overlap and are ours alone; the first may be, and is,
        // destroyed. Every element is one of the field, and the product of `rows` with itself fits an `int`.
        let status = unsafe {
            jerasure_sys::jerasure_invert_matrix(
                scratch.as_mut_ptr(),
                inverse.as_mut_ptr(),
                rows as c_int,
                w.bits() as c_int,
            )
        };
        (status == 0).then(|| inverse.iter().map(|e| e.cast_unsigned()).collect())
    }
}
