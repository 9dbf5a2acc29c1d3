//! Cauchy codes (`cauchy.h`).

use crate::args::{Shape, count, elements, ints, word};
use crate::codes::words;
use crate::guard::guard;
use crate::matrices::{default_word, handed_out};
use jerasure::{Matrix, galois};
use std::ffi::c_int;
use std::ptr;

/// m rows of k; NULL unless k + m is at most 2^w.
#[unsafe(no_mangle)]
pub extern "C" fn cauchy_original_coding_matrix(k: c_int, m: c_int, w: c_int) -> *mut c_int {
    guard(ptr::null_mut(), || {
        let (k, m, w) = (count(k)?, count(m)?, default_word(w)?);
        Some(handed_out(&Matrix::cauchy_original(k, m, w).ok()?))
    })
}

/// By points of the caller's; NULL where two of them are one, for which upstream writes -1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cauchy_xy_coding_matrix(
    k: c_int,
    m: c_int,
    w: c_int,
    x: *mut c_int,
    y: *mut c_int,
) -> *mut c_int {
    guard(ptr::null_mut(), || {
        let (k, m, w) = (count(k)?, count(m)?, default_word(w)?);
        // SAFETY: the caller's arrays.
        let (x, y) = unsafe { (elements(ints(x, m)?), elements(ints(y, k)?)) };
        Some(handed_out(&Matrix::cauchy_xy(w, &x, &y).ok()?))
    })
}

/// Scales columns and rows so that the matrix has fewer ones; does nothing to one with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cauchy_improve_coding_matrix(
    k: c_int,
    m: c_int,
    w: c_int,
    matrix: *mut c_int,
) {
    guard((), || {
        default_word(w)?;
        let shape = Shape::new(k, m, w)?;
        // SAFETY: the caller's matrix.
        let given = words(shape, unsafe { ints(matrix, shape.k * shape.m)? })?;
        let better = given.improve_cauchy().ok()?;
        for (at, element) in better.as_slice().iter().enumerate() {
            // SAFETY: the caller's matrix has as many.
            unsafe { matrix.add(at).write(element.cast_signed()) };
        }
        Some(())
    });
}

/// The best known matrix for m = 2, an improved one otherwise.
#[unsafe(no_mangle)]
pub extern "C" fn cauchy_good_general_coding_matrix(k: c_int, m: c_int, w: c_int) -> *mut c_int {
    guard(ptr::null_mut(), || {
        let (k, m, w) = (count(k)?, count(m)?, default_word(w)?);
        Some(handed_out(&Matrix::cauchy_good(k, m, w).ok()?))
    })
}

/// The ones in the bit matrix of an element; 0 where upstream reads out of bounds.
#[unsafe(no_mangle)]
pub extern "C" fn cauchy_n_ones(n: c_int, w: c_int) -> c_int {
    guard(0, || {
        let ones = galois::n_ones(word(w)?, n.cast_unsigned()).ok()?;
        Some(ones as c_int)
    })
}
