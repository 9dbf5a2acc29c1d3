//! The only file that calls the C library: pointers, casts and locks end here.
//!
//! Three rules keep the C code defined:
//! - No C function runs before [`Library::get`] has returned: the library fills its field tables on first
//!   use without a lock. Afterwards it only reads them, for w = 8 and 16 in regions and for every w in
//!   single multiplications.
//! - The C region functions for w = 32 run under a lock: without SSSE3 they rebuild a shared table in every call.
//! - Matrices are made and inverted in Rust; the C functions for that are the tests' oracles.
//!
//! Preconditions are assertions here: their violation is a bug of this crate, not of its caller.

mod regions;

use std::ffi::c_int;
use std::sync::OnceLock;

pub(crate) use regions::{MIN_REGION, REGION_ALIGN};

use crate::WordSize;

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
