//! RAID-6 codes of few ones (`liberation.h`).

use crate::args::{count, word};
use crate::guard::guard;
use crate::matrices::bits_handed_out;
use jerasure::BitMatrix;
use std::ffi::c_int;
use std::ptr;

/// 2w rows of kw bits; NULL if k exceeds w. Any w, as upstream: see [`BitMatrix::existing_liberation`].
#[unsafe(no_mangle)]
pub extern "C" fn liberation_coding_bitmatrix(k: c_int, w: c_int) -> *mut c_int {
    guard(ptr::null_mut(), || {
        let matrix = BitMatrix::existing_liberation(count(k)?, word(w)?).ok()?;
        Some(bits_handed_out(&matrix))
    })
}

/// 16 rows of 8k bits; NULL if k exceeds 8.
#[unsafe(no_mangle)]
pub extern "C" fn liber8tion_coding_bitmatrix(k: c_int) -> *mut c_int {
    guard(ptr::null_mut(), || {
        Some(bits_handed_out(&BitMatrix::liber8tion(count(k)?).ok()?))
    })
}

/// 2w rows of kw bits; NULL if k exceeds w. Any w, as upstream: see [`BitMatrix::existing_blaum_roth`].
#[unsafe(no_mangle)]
pub extern "C" fn blaum_roth_coding_bitmatrix(k: c_int, w: c_int) -> *mut c_int {
    guard(ptr::null_mut(), || {
        let matrix = BitMatrix::existing_blaum_roth(count(k)?, word(w)?).ok()?;
        Some(bits_handed_out(&matrix))
    })
}
