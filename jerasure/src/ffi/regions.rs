//! The C library's functions on regions of words.

use std::ffi::{c_char, c_int};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Library;
use crate::WordSize;

/// The shortest region that may be handed to C: its alignment code runs past shorter ones.
pub(crate) const MIN_REGION: usize = 16;

/// Source and destination of a C region must agree modulo this.
pub(crate) const REGION_ALIGN: usize = 16;

impl Library {
    /// `dst ^= factor * src`, in the library's SIMD code.
    ///
    /// The regions are equally long, at least [`MIN_REGION`] bytes, whole words, aligned to words and congruent
    /// modulo [`REGION_ALIGN`]. The factor is an element of the field.
    pub(crate) fn multiply_region_add(&self, w: WordSize, factor: i32, src: &[u8], dst: &mut [u8]) {
        assert_eq!(src.len(), dst.len());
        assert!(congruent(src, dst));
        // SAFETY: `src` is readable and `dst` writable for `src.len()` bytes, and borrowing keeps them apart and away
        // from other threads. The library only reads `src` although its parameter is not const. The call checks
        // lengths, alignment and factor.
        unsafe {
            self.region(
                w,
                factor,
                src.as_ptr().cast_mut(),
                dst.as_mut_ptr(),
                src.len(),
                true,
            )
        }
    }

    /// `region = factor * region`, with the rules of [`Library::multiply_region_add`].
    pub(crate) fn multiply_region_in_place(&self, w: WordSize, factor: i32, region: &mut [u8]) {
        let (start, bytes) = (region.as_mut_ptr(), region.len());
        // SAFETY: `region` is ours to read and write. Source and destination may be one: the library loads each
        // block before it stores it, and multiplies its own regions so (reed_sol.c, multby_2).
        unsafe { self.region(w, factor, start, start, bytes, false) }
    }

    /// `dst` becomes the sum of each factor times its source, as in `jerasure_matrix_encode` (jerasure.c). At least
    /// one factor is not 0: the C function writes nothing otherwise. The rules of [`Library::multiply_region_add`]
    /// hold for each source.
    pub(crate) fn dot(&self, w: WordSize, factors: &[i32], sources: &[&[u8]], dst: &mut [u8]) {
        assert_eq!(factors.len(), sources.len());
        assert!(factors.iter().any(|&factor| factor != 0));
        assert!(factors.iter().all(|&factor| is_element(w, factor)));
        assert!(
            sources
                .iter()
                .all(|source| source.len() == dst.len() && congruent(source, dst))
        );
        check_destination(w, dst.as_ptr(), dst.len());
        let length = c_int::try_from(dst.len()).expect("callers pass bounded regions");
        let mut data: Vec<*mut c_char> = sources
            .iter()
            .map(|source| source.as_ptr().cast_mut().cast())
            .collect();
        let mut coding: [*mut c_char; 1] = [dst.as_mut_ptr().cast()];
        let k = c_int::try_from(sources.len()).expect("a code has fewer shards");
        let _alone = alone(w);
        // SAFETY: the row and the list of sources have k entries and the list of destinations one, number k; the
        // library only reads the row and the sources although its parameters are not const. Each source is readable
        // and `dst` writable for `length` bytes, and borrowing keeps `dst` apart from the sources and from other
        // threads. Lengths, alignment and factors are asserted as in `region`. A null list of ids means 0 to k - 1.
        unsafe {
            jerasure_sys::jerasure_matrix_dotprod(
                k,
                w.bits() as c_int,
                factors.as_ptr().cast_mut(),
                std::ptr::null_mut(),
                k,
                data.as_mut_ptr(),
                coding.as_mut_ptr(),
                length,
            );
        }
    }

    /// `dst ^= src`: equally long, at least [`MIN_REGION`] bytes, congruent modulo [`REGION_ALIGN`].
    pub(crate) fn xor_region(&self, dst: &mut [u8], src: &[u8]) {
        assert_eq!(src.len(), dst.len());
        assert!(dst.len() >= MIN_REGION && congruent(src, dst));
        let length = c_int::try_from(dst.len()).expect("callers pass bounded regions");
        // SAFETY: `src` is readable and `dst` writable for `length` bytes, and borrowing keeps them apart and away from
        // other threads. The library only reads `src`. It holds no state for this, and regions of this length that
        // agree modulo 16 do not meet its code that runs past short ones.
        unsafe {
            jerasure_sys::galois_region_xor(
                src.as_ptr().cast_mut().cast(),
                dst.as_mut_ptr().cast(),
                length,
            );
        }
    }

    /// # Safety
    /// `src` is readable and `dst` writable for `bytes` bytes, by no other thread; they are the same or apart, and
    /// congruent modulo [`REGION_ALIGN`].
    unsafe fn region(
        &self,
        w: WordSize,
        factor: i32,
        src: *mut u8,
        dst: *mut u8,
        bytes: usize,
        add: bool,
    ) {
        assert!(is_element(w, factor));
        check_destination(w, dst, bytes);
        let length = c_int::try_from(bytes).expect("callers pass bounded regions");
        let (src, dst): (*mut c_char, *mut c_char) = (src.cast(), dst.cast());
        let add = c_int::from(add);
        let _alone = alone(w);
        // SAFETY: the caller vouches for the pointers. The assertions are the library's own conditions: it aborts
        // where words are split or regions disagree modulo 16, reads tables out of bounds for a factor that is no
        // element, and runs past regions under 16 bytes. `dst` is not NULL. For w = 8 and 16 it only reads shared
        // state; for w = 32 this thread holds the lock.
        unsafe {
            match w {
                WordSize::W8 => {
                    jerasure_sys::galois_w08_region_multiply(src, factor, length, dst, add);
                }
                WordSize::W16 => {
                    jerasure_sys::galois_w16_region_multiply(src, factor, length, dst, add);
                }
                _ => jerasure_sys::galois_w32_region_multiply(src, factor, length, dst, add),
            }
        }
    }
}

/// The library's conditions on where words lie.
fn check_destination(w: WordSize, dst: *const u8, bytes: usize) {
    assert!(w.check_region().is_ok());
    assert!(bytes >= MIN_REGION && w.divides(bytes) && w.divides(dst.addr()));
}

fn congruent(src: &[u8], dst: &[u8]) -> bool {
    (src.as_ptr().addr() ^ dst.as_ptr().addr()).is_multiple_of(REGION_ALIGN)
}

fn is_element(w: WordSize, factor: i32) -> bool {
    factor.cast_unsigned() <= w.max_element()
}

/// For w = 32: without SSSE3 the library rebuilds a shared table in every call (gf_w32.c).
fn alone(w: WordSize) -> Option<MutexGuard<'static, ()>> {
    static TABLE: Mutex<()> = Mutex::new(());
    (w == WordSize::W32).then(|| TABLE.lock().unwrap_or_else(PoisonError::into_inner))
}
