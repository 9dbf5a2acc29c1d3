//! Vandermonde and RAID-6 codes (`reed_sol.h`).

use crate::args::{Shards, count, length, region_word};
use crate::encoding;
use crate::galois::product;
use crate::guard::guard;
use crate::matrices::{default_word, handed_out};
use jerasure::Matrix;
use libc::c_char;
use std::ffi::c_int;
use std::ptr;

/// m rows of k; NULL unless k + m is at most 2^w.
#[unsafe(no_mangle)]
pub extern "C" fn reed_sol_vandermonde_coding_matrix(k: c_int, m: c_int, w: c_int) -> *mut c_int {
    guard(ptr::null_mut(), || {
        let (k, m, w) = (count(k)?, count(m)?, default_word(w)?);
        Some(handed_out(&Matrix::reed_sol_van(k, m, w).ok()?))
    })
}

/// The powers of the points.
#[unsafe(no_mangle)]
pub extern "C" fn reed_sol_extended_vandermonde_matrix(
    rows: c_int,
    cols: c_int,
    w: c_int,
) -> *mut c_int {
    guard(ptr::null_mut(), || {
        let (rows, cols, w) = (count(rows)?, count(cols)?, default_word(w)?);
        Some(handed_out(
            &Matrix::extended_vandermonde(rows, cols, w).ok()?,
        ))
    })
}

/// The unit matrix above the coding matrix.
#[unsafe(no_mangle)]
pub extern "C" fn reed_sol_big_vandermonde_distribution_matrix(
    rows: c_int,
    cols: c_int,
    w: c_int,
) -> *mut c_int {
    guard(ptr::null_mut(), || {
        let (rows, cols, w) = (count(rows)?, count(cols)?, default_word(w)?);
        Some(handed_out(
            &Matrix::big_vandermonde_distribution(rows, cols, w).ok()?,
        ))
    })
}

/// All ones, and the powers of 2; NULL unless w is 8, 16 or 32.
#[unsafe(no_mangle)]
pub extern "C" fn reed_sol_r6_coding_matrix(k: c_int, w: c_int) -> *mut c_int {
    guard(ptr::null_mut(), || {
        region_word(w)?;
        Some(handed_out(
            &Matrix::reed_sol_r6(count(k)?, default_word(w)?).ok()?,
        ))
    })
}

/// P and Q of k regions; 1, or 0 for another w than 8, 16 and 32.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reed_sol_r6_encode(
    k: c_int,
    w: c_int,
    data_ptrs: *mut *mut c_char,
    coding_ptrs: *mut *mut c_char,
    size: c_int,
) -> c_int {
    guard(0, || {
        region_word(w)?;
        length(size)?;
        let matrix = Matrix::reed_sol_r6(count(k)?, default_word(w)?).ok()?;
        // SAFETY: the caller's arrays.
        unsafe { Shards::new(data_ptrs, coding_ptrs, (count(k)?, 2))? };
        let mut matrix: Vec<c_int> = matrix.as_slice().iter().map(|e| e.cast_signed()).collect();
        // SAFETY: the caller's arrays and regions.
        unsafe {
            encoding::jerasure_matrix_encode(
                k,
                2,
                w,
                matrix.as_mut_ptr(),
                data_ptrs,
                coding_ptrs,
                size,
            );
        }
        Some(1)
    })
}

/// Doubles every byte of a region.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reed_sol_galois_w08_region_multby_2(region: *mut c_char, nbytes: c_int) {
    // SAFETY: the caller's region.
    unsafe { double(8, region, nbytes) }
}

/// Doubles every 16-bit word of a region.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reed_sol_galois_w16_region_multby_2(region: *mut c_char, nbytes: c_int) {
    // SAFETY: the caller's region.
    unsafe { double(16, region, nbytes) }
}

/// Doubles every 32-bit word of a region.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reed_sol_galois_w32_region_multby_2(region: *mut c_char, nbytes: c_int) {
    // SAFETY: the caller's region.
    unsafe { double(32, region, nbytes) }
}

unsafe fn double(w: c_int, region: *mut c_char, nbytes: c_int) {
    guard((), || {
        let region = region.cast();
        // SAFETY: the caller's region.
        unsafe { product(region_word(w)?, 2, region, region, length(nbytes)?, false) }
    });
}
