//! Matrices of numbers and bits (`jerasure.h`).

use crate::args::{Shape, count, elements, ints, word};
use crate::codes::{bit_matrix, words};
use crate::fields;
use crate::guard::guard;
use crate::memory;
use jerasure::{BitMatrix, Matrix, WordSize};
use std::ffi::c_int;
use std::ptr;

/// Writes numbers to the caller's array.
///
/// # Safety
/// It is NULL or has room for as many.
unsafe fn write(to: *mut c_int, values: impl Iterator<Item = c_int>) -> Option<()> {
    (!to.is_null()).then_some(())?;
    for (at, value) in values.enumerate() {
        // SAFETY: the caller's word.
        unsafe { to.add(at).write(value) };
    }
    Some(())
}

fn numbers(matrix: &Matrix) -> impl ExactSizeIterator<Item = c_int> + '_ {
    matrix.as_slice().iter().map(|e| e.cast_signed())
}

fn bits(matrix: &BitMatrix) -> Vec<c_int> {
    let cols = matrix.cols();
    let mut bits = vec![0; matrix.rows() * cols];
    for (row, line) in bits.chunks_exact_mut(cols).enumerate() {
        matrix.row(row).for_each(|col| line[col] = 1);
    }
    bits
}

/// A matrix of numbers for the caller, who frees it; NULL when memory is out.
pub(crate) fn handed_out(matrix: &Matrix) -> *mut c_int {
    memory::ints(numbers(matrix))
}

/// A matrix of bits, an `int` each.
pub(crate) fn bits_handed_out(matrix: &BitMatrix) -> *mut c_int {
    memory::ints(bits(matrix).into_iter())
}

/// Default fields only: see [`fields`].
pub(crate) fn default_word(w: c_int) -> Option<WordSize> {
    word(w).filter(|w| fields::other(w.bits()).is_none())
}

fn square(mat: *const c_int, rows: c_int, w: c_int) -> Option<Matrix> {
    let (rows, w) = (count(rows)?, default_word(w)?);
    // SAFETY: the caller's matrix has as many rows as columns.
    let mat = unsafe { ints(mat, rows.checked_mul(rows)?)? };
    Matrix::new(w, rows, rows, elements(mat)).ok()
}

fn square_bits(mat: *const c_int, rows: c_int) -> Option<BitMatrix> {
    let rows = count(rows)?;
    // SAFETY: the caller's matrix has as many rows as columns.
    let mat = unsafe { ints(mat, rows.checked_mul(rows)?)? };
    BitMatrix::new(rows, rows, |row, col| mat[row * rows + col] != 0).ok()
}

/// The inverse; 0, or -1 if there is none. Unlike upstream leaves `mat` as it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_invert_matrix(
    mat: *mut c_int,
    inv: *mut c_int,
    rows: c_int,
    w: c_int,
) -> c_int {
    guard(-1, || {
        let inverse = square(mat, rows, w)?.inverse().ok()?;
        // SAFETY: the caller's array is as large as the matrix.
        unsafe { write(inv, numbers(&inverse))? };
        Some(0)
    })
}

/// 1 if the matrix has an inverse.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_invertible_matrix(
    mat: *mut c_int,
    rows: c_int,
    w: c_int,
) -> c_int {
    guard(0, || {
        Some(square(mat, rows, w)?.is_invertible().ok()?.into())
    })
}

/// As [`jerasure_invert_matrix`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_invert_bitmatrix(
    mat: *mut c_int,
    inv: *mut c_int,
    rows: c_int,
) -> c_int {
    guard(-1, || {
        let inverse = square_bits(mat, rows)?.inverse().ok()?;
        // SAFETY: the caller's array is as large as the matrix.
        unsafe { write(inv, bits(&inverse).into_iter())? };
        Some(0)
    })
}

/// As [`jerasure_invertible_matrix`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_invertible_bitmatrix(mat: *mut c_int, rows: c_int) -> c_int {
    guard(0, || {
        Some(square_bits(mat, rows)?.is_invertible().ok()?.into())
    })
}

/// The product of two matrices; NULL unless they fit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_matrix_multiply(
    m1: *mut c_int,
    m2: *mut c_int,
    r1: c_int,
    c1: c_int,
    r2: c_int,
    c2: c_int,
    w: c_int,
) -> *mut c_int {
    guard(ptr::null_mut(), || {
        let w = default_word(w)?;
        let matrix = |from: *mut c_int, rows: c_int, cols: c_int| {
            let (rows, cols) = (count(rows)?, count(cols)?);
            // SAFETY: the caller's matrix.
            let numbers = unsafe { ints(from, rows.checked_mul(cols)?)? };
            Matrix::new(w, rows, cols, elements(numbers)).ok()
        };
        let product = matrix(m1, r1, c1)?.multiply(&matrix(m2, r2, c2)?).ok()?;
        Some(handed_out(&product))
    })
}

/// w x w bits for each number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_matrix_to_bitmatrix(
    k: c_int,
    m: c_int,
    w: c_int,
    matrix: *mut c_int,
) -> *mut c_int {
    guard(ptr::null_mut(), || {
        default_word(w)?;
        let shape = Shape::new(k, m, w)?;
        // SAFETY: the caller's matrix.
        let matrix = words(shape, unsafe { ints(matrix, shape.k * shape.m)? })?;
        Some(bits_handed_out(&matrix.to_bit_matrix().ok()?))
    })
}

/// What is lost, by an array of k + m numbers; `None` if it is more than m.
fn lost(erased: *const c_int, shape: Shape) -> Option<Vec<usize>> {
    let all = shape.k + shape.m;
    // SAFETY: the caller's array.
    let erased = unsafe { ints(erased, all)? };
    let lost: Vec<usize> = (0..all).filter(|&shard| erased[shard] != 0).collect();
    (lost.len() <= shape.m).then_some(lost)
}

/// The k x k matrix by which the first k survivors make the data, and their ids; 0, or -1 if they cannot.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_make_decoding_matrix(
    k: c_int,
    m: c_int,
    w: c_int,
    matrix: *mut c_int,
    erased: *mut c_int,
    decoding_matrix: *mut c_int,
    dm_ids: *mut c_int,
) -> c_int {
    guard(-1, || {
        default_word(w)?;
        let shape = Shape::new(k, m, w)?;
        // SAFETY: the caller's matrix.
        let matrix = words(shape, unsafe { ints(matrix, shape.k * shape.m)? })?;
        let lost = lost(erased, shape)?;
        // SAFETY: the caller's array has k numbers. Upstream writes the ids whether there is an inverse or not.
        unsafe { write(dm_ids, first_survivors(shape, &lost))? };
        let (made, _) = matrix.decoding_matrix(&lost).ok()?;
        // SAFETY: the caller's array has k x k numbers.
        unsafe { write(decoding_matrix, numbers(&made))? };
        Some(0)
    })
}

fn first_survivors(shape: Shape, lost: &[usize]) -> impl Iterator<Item = c_int> {
    let left = (0..shape.k + shape.m).filter(|shard| lost.binary_search(shard).is_err());
    left.take(shape.k).map(|shard| shard as c_int)
}

/// As [`jerasure_make_decoding_matrix`], of bits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_make_decoding_bitmatrix(
    k: c_int,
    m: c_int,
    w: c_int,
    matrix: *mut c_int,
    erased: *mut c_int,
    decoding_matrix: *mut c_int,
    dm_ids: *mut c_int,
) -> c_int {
    guard(-1, || {
        let shape = Shape::new(k, m, w)?;
        // SAFETY: the caller's matrix.
        let code = unsafe { ints(matrix, shape.bit_elements(shape.m)?)? };
        let code = bit_matrix(shape, shape.m, code)?;
        let lost = lost(erased, shape)?;
        // SAFETY: the caller's array has k numbers.
        unsafe { write(dm_ids, first_survivors(shape, &lost))? };
        let (made, _) = code.decoding_matrix(shape.w, &lost).ok()?;
        // SAFETY: the caller's array has kw x kw numbers.
        unsafe { write(decoding_matrix, bits(&made).into_iter())? };
        Some(0)
    })
}

/// Gives a matrix back; NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_free_matrix(matrix: *mut c_int) {
    // SAFETY: the caller had it from here.
    unsafe { memory::free(matrix) }
}

/// 0: two elements of GF(2^8) are multiplied right.
#[unsafe(no_mangle)]
pub extern "C" fn jerasure_autoconf_test() -> c_int {
    match crate::galois::galois_single_multiply(1, 2, 8) {
        2 => 0,
        _ => -1,
    }
}
