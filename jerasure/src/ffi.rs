//! The only file that calls the C library: pointers, casts and locks end here.
//!
//! Three rules keep the C code defined:
//! - No C function runs before [`Library::get`] has returned: the library fills its field tables on first
//!   use without a lock. Afterwards it only reads them, for w = 8 and 16 in regions and for every w in
//!   single multiplications.
//! - The C region functions for w = 32 run under a lock: without SSSE3 they rebuild a shared table in every call.
//! - Elements are multiplied, and matrices made and inverted, in Rust; the C functions for that are the tests'
//!   oracles.
//!
//! Preconditions are assertions here: their violation is a bug of this crate, not of its caller.

#[cfg(all(test, not(miri)))]
mod matrices;
mod regions;

use std::ffi::c_int;
use std::sync::OnceLock;

#[cfg(all(test, not(miri)))]
pub(crate) use matrices::{Oracle, RawOperation};
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
}
