//! The C library's arithmetic, matrices and schedules, with which the tests compare ours.
//!
//! Preconditions are assertions: their violation is a bug of a test. Every call holds one lock, because Jerasure keeps
//! tables of its own that it fills on first use (`cauchy.c`), and GF-Complete does for word sizes that [`Library`] does
//! not prepare.

use std::ffi::c_int;
use std::slice;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::Library;
use crate::WordSize;

/// The C library with the tables of every word size made, and nobody else calling it through here.
pub(crate) struct Oracle(#[expect(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

/// One operation of a C schedule: source shard and packet, target shard and packet, and whether it is an XOR.
pub(crate) type RawOperation = [c_int; 5];

impl Oracle {
    /// Waits for its turn.
    pub(crate) fn get() -> Self {
        static LOCK: Mutex<()> = Mutex::new(());
        static WARM: OnceLock<()> = OnceLock::new();
        let guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
        Library::get();
        WARM.get_or_init(|| {
            for w in 1..=32 {
                // SAFETY: 1 is an element of each field and w is one that the library knows. The lock keeps
                // this file's other calls out, and those elsewhere only use the word sizes that `Library` has made.
                let one = unsafe { jerasure_sys::galois_single_multiply(1, 1, w) };
                assert_eq!(one, 1, "the C library cannot multiply in GF(2^{w})");
            }
        });
        Self(guard)
    }

    /// `galois_single_multiply`.
    pub(crate) fn multiply(&self, w: WordSize, a: u32, b: u32) -> u32 {
        assert!(a.max(b) <= w.max_element());
        // SAFETY: both operands are elements, so they index the tables within bounds, and the tables are made.
        let product = unsafe {
            jerasure_sys::galois_single_multiply(a.cast_signed(), b.cast_signed(), bits(w))
        };
        product.cast_unsigned()
    }

    /// `galois_single_divide`.
    pub(crate) fn divide(&self, w: WordSize, a: u32, b: u32) -> u32 {
        assert!(a.max(b) <= w.max_element() && b != 0);
        // SAFETY: as in `multiply`; the divisor is not 0.
        let quotient = unsafe {
            jerasure_sys::galois_single_divide(a.cast_signed(), b.cast_signed(), bits(w))
        };
        quotient.cast_unsigned()
    }

    /// `cauchy_n_ones`, which doubles 2^(w-1) and so has no answer for w = 1.
    pub(crate) fn n_ones(&self, w: WordSize, a: u32) -> u32 {
        assert!(a <= w.max_element() && w.bits() > 1);
        // SAFETY: w is 2 to 32, so it indexes the function's tables within bounds; the lock keeps other users of these
        // tables out.
        let ones = unsafe { jerasure_sys::cauchy_n_ones(a.cast_signed(), bits(w)) };
        ones.cast_unsigned()
    }

    /// `reed_sol_vandermonde_coding_matrix`: m rows of k.
    pub(crate) fn vandermonde(&self, k: usize, m: usize, w: WordSize) -> Vec<u32> {
        let (ck, cm) = checked_shape(k, m, w);
        // SAFETY: k, m >= 1 and k + m <= 2^w; every product of them that the library forms fits an `int`.
        let matrix = unsafe { jerasure_sys::reed_sol_vandermonde_coding_matrix(ck, cm, bits(w)) };
        taken(matrix, k * m)
    }

    /// `reed_sol_extended_vandermonde_matrix`: `rows` rows of `cols`.
    pub(crate) fn extended_vandermonde(&self, rows: usize, cols: usize, w: WordSize) -> Vec<u32> {
        let (crows, ccols) = (int(rows), int(cols));
        assert!(rows.max(cols) as u64 <= 1 << w.bits() && rows * cols > 0);
        // SAFETY: both dimensions are from 1 to 2^w.
        let matrix =
            unsafe { jerasure_sys::reed_sol_extended_vandermonde_matrix(crows, ccols, bits(w)) };
        taken(matrix, rows * cols)
    }

    /// `reed_sol_big_vandermonde_distribution_matrix`: `rows` rows of `cols`.
    pub(crate) fn big_vandermonde(&self, rows: usize, cols: usize, w: WordSize) -> Vec<u32> {
        assert!(cols < rows);
        checked_shape(cols, rows - cols, w);
        let (crows, ccols) = (int(rows), int(cols));
        // SAFETY: 1 <= cols < rows <= 2^w, and their products fit an `int`.
        let matrix = unsafe {
            jerasure_sys::reed_sol_big_vandermonde_distribution_matrix(crows, ccols, bits(w))
        };
        taken(matrix, rows * cols)
    }

    /// `reed_sol_r6_coding_matrix`: 2 rows of k.
    pub(crate) fn reed_sol_r6(&self, k: usize, w: WordSize) -> Vec<u32> {
        assert!(k > 0 && matches!(w.bits(), 8 | 16 | 32));
        // SAFETY: k is at least 1, which is the first element that the function writes.
        taken(
            unsafe { jerasure_sys::reed_sol_r6_coding_matrix(int(k), bits(w)) },
            2 * k,
        )
    }

    /// `cauchy_original_coding_matrix`: m rows of k.
    pub(crate) fn cauchy_original(&self, k: usize, m: usize, w: WordSize) -> Vec<u32> {
        let (ck, cm) = checked_shape(k, m, w);
        // SAFETY: k, m >= 1 and k + m <= 2^w, so that no divisor is 0 and all operands are elements.
        taken(
            unsafe { jerasure_sys::cauchy_original_coding_matrix(ck, cm, bits(w)) },
            k * m,
        )
    }

    /// `cauchy_xy_coding_matrix`: a row for each of `x`, a column for each of `y`.
    pub(crate) fn cauchy_xy(&self, w: WordSize, x: &[u32], y: &[u32]) -> Vec<u32> {
        assert!(x.iter().all(|p| !y.contains(p) && *p <= w.max_element()));
        assert!(y.iter().all(|p| *p <= w.max_element()) && !x.is_empty() && !y.is_empty());
        let (mut x, mut y) = (signed(x), signed(y));
        let (k, m) = (int(y.len()), int(x.len()));
        // SAFETY: the arrays hold m and k elements; no point of one is in the other, so no divisor is 0.
        let matrix = unsafe {
            jerasure_sys::cauchy_xy_coding_matrix(k, m, bits(w), x.as_mut_ptr(), y.as_mut_ptr())
        };
        taken(matrix, x.len() * y.len())
    }

    /// `cauchy_improve_coding_matrix` on m rows of k.
    pub(crate) fn improve_cauchy(&self, k: usize, w: WordSize, matrix: &[u32]) -> Vec<u32> {
        assert!(k > 0 && matrix.len().is_multiple_of(k) && w.bits() > 1);
        assert!(matrix.iter().all(|&e| e != 0 && e <= w.max_element()));
        let m = int(matrix.len() / k);
        let mut elements = signed(matrix);
        // SAFETY: the array holds m rows of k elements of the field, none of them 0.
        unsafe {
            jerasure_sys::cauchy_improve_coding_matrix(int(k), m, bits(w), elements.as_mut_ptr());
        }
        unsigned(&elements)
    }

    /// `cauchy_good_general_coding_matrix`: m rows of k.
    pub(crate) fn cauchy_good(&self, k: usize, m: usize, w: WordSize) -> Vec<u32> {
        assert!(k > 0 && m > 0 && w.bits() > 1);
        let tabled = m == 2 && w.bits() <= 10 && k <= w.max_element() as usize;
        assert!(tabled || (k + m) as u64 <= 1 << w.bits());
        // SAFETY: w is 2 to 32; either k is within the table for w, or k + m <= 2^w.
        let matrix =
            unsafe { jerasure_sys::cauchy_good_general_coding_matrix(int(k), int(m), bits(w)) };
        taken(matrix, k * m)
    }

    /// `jerasure_invert_matrix`; `None` if there is no inverse.
    pub(crate) fn invert(&self, w: WordSize, matrix: &[u32], rows: usize) -> Option<Vec<u32>> {
        assert!(rows > 0 && rows.checked_mul(rows) == Some(matrix.len()));
        assert!(matrix.iter().all(|&e| e <= w.max_element()));
        int(matrix.len());
        let mut scratch = signed(matrix);
        let mut inverse: Vec<c_int> = vec![0; matrix.len()];
        // SAFETY: both arrays hold rows * rows integers, do not overlap and are ours alone; the first may be, and is,
        // destroyed. Every element is one of the field.
        let status = unsafe {
            jerasure_sys::jerasure_invert_matrix(
                scratch.as_mut_ptr(),
                inverse.as_mut_ptr(),
                int(rows),
                bits(w),
            )
        };
        (status == 0).then(|| unsigned(&inverse))
    }

    /// `jerasure_matrix_multiply` of a by b, whose rows are as many as the columns of a.
    pub(crate) fn product(
        &self,
        w: WordSize,
        (a, a_cols): (&[u32], usize),
        (b, b_cols): (&[u32], usize),
    ) -> Vec<u32> {
        assert_eq!(b.len(), a_cols * b_cols);
        assert!(a.len().is_multiple_of(a_cols));
        assert!(a.iter().chain(b).all(|&e| e <= w.max_element()));
        let rows = a.len() / a_cols;
        let (mut a, mut b) = (signed(a), signed(b));
        let (cols, inner) = (int(b_cols), int(a_cols));
        // SAFETY: the arrays hold rows * inner and inner * cols elements of the field.
        let product = unsafe {
            jerasure_sys::jerasure_matrix_multiply(
                a.as_mut_ptr(),
                b.as_mut_ptr(),
                int(rows),
                inner,
                inner,
                cols,
                bits(w),
            )
        };
        taken(product, rows * b_cols)
    }

    /// `jerasure_make_decoding_matrix`: the k x k matrix and the survivors; `None` if it is singular.
    pub(crate) fn decoding_matrix(
        &self,
        w: WordSize,
        matrix: &[u32],
        k: usize,
        erased: &[usize],
    ) -> Option<(Vec<u32>, Vec<usize>)> {
        assert!(k > 0 && matrix.len().is_multiple_of(k));
        assert!(matrix.iter().all(|&e| e <= w.max_element()));
        let m = matrix.len() / k;
        let mut flags = erased_flags(k, m, erased);
        let mut matrix = signed(matrix);
        let (mut decoding, mut ids): (Vec<c_int>, Vec<c_int>) = (vec![0; k * k], vec![0; k]);
        // SAFETY: the arrays hold m * k, k + m, k * k and k integers; at least k of the flags are 0.
        let status = unsafe {
            jerasure_sys::jerasure_make_decoding_matrix(
                int(k),
                int(m),
                bits(w),
                matrix.as_mut_ptr(),
                flags.as_mut_ptr(),
                decoding.as_mut_ptr(),
                ids.as_mut_ptr(),
            )
        };
        let ids = ids.iter().map(|&id| id as usize).collect();
        (status == 0).then(|| (unsigned(&decoding), ids))
    }

    /// `jerasure_matrix_to_bitmatrix` of m rows of k: m * w rows of k * w bits.
    pub(crate) fn to_bit_matrix(&self, w: WordSize, matrix: &[u32], k: usize) -> Vec<u32> {
        // The function doubles elements, and 2 is none of GF(2).
        assert!(matrix.iter().all(|&e| e <= w.max_element()) && w.bits() > 1);
        assert!(k > 0 && matrix.len().is_multiple_of(k));
        let size = w.bits() as usize;
        let m = matrix.len() / k;
        int(k * m * size * size);
        let mut matrix = signed(matrix);
        // SAFETY: the array holds m rows of k elements; the number of bits fits an `int`.
        let matrix = unsafe {
            jerasure_sys::jerasure_matrix_to_bitmatrix(int(k), int(m), bits(w), matrix.as_mut_ptr())
        };
        taken(matrix, k * m * size * size)
    }

    /// `liberation_coding_bitmatrix`.
    pub(crate) fn liberation(&self, k: usize, w: usize) -> Vec<u32> {
        assert!(0 < k && k <= w && w <= 32);
        // SAFETY: 1 <= k <= w, and the bits are few.
        let matrix = unsafe { jerasure_sys::liberation_coding_bitmatrix(int(k), int(w)) };
        taken(matrix, 2 * k * w * w)
    }

    /// `blaum_roth_coding_bitmatrix`.
    pub(crate) fn blaum_roth(&self, k: usize, w: usize) -> Vec<u32> {
        assert!(0 < k && k <= w && w <= 32);
        // SAFETY: as in `liberation`.
        let matrix = unsafe { jerasure_sys::blaum_roth_coding_bitmatrix(int(k), int(w)) };
        taken(matrix, 2 * k * w * w)
    }

    /// `liber8tion_coding_bitmatrix`.
    pub(crate) fn liber8tion(&self, k: usize) -> Vec<u32> {
        assert!(0 < k && k <= 8);
        // SAFETY: k is 1 to 8.
        taken(
            unsafe { jerasure_sys::liber8tion_coding_bitmatrix(int(k)) },
            2 * k * 64,
        )
    }

    /// `jerasure_invert_bitmatrix`; `None` if there is no inverse.
    pub(crate) fn invert_bits(&self, matrix: &[u32], rows: usize) -> Option<Vec<u32>> {
        assert!(rows > 0 && rows.checked_mul(rows) == Some(matrix.len()));
        let mut scratch = checked_bits(matrix);
        let mut inverse: Vec<c_int> = vec![0; matrix.len()];
        // SAFETY: both arrays hold rows * rows integers, do not overlap and are ours alone; the first may be, and is,
        // destroyed.
        let status = unsafe {
            jerasure_sys::jerasure_invert_bitmatrix(
                scratch.as_mut_ptr(),
                inverse.as_mut_ptr(),
                int(rows),
            )
        };
        (status == 0).then(|| unsigned(&inverse))
    }

    /// `jerasure_make_decoding_bitmatrix` of m * w rows of k * w bits; `None` if it is singular.
    pub(crate) fn decoding_bit_matrix(
        &self,
        (k, m, w): (usize, usize, usize),
        matrix: &[u32],
        erased: &[usize],
    ) -> Option<(Vec<u32>, Vec<usize>)> {
        assert!(k * m * w > 0 && w <= 32 && matrix.len() == k * m * w * w);
        let mut flags = erased_flags(k, m, erased);
        let mut matrix = checked_bits(matrix);
        let mut decoding: Vec<c_int> = vec![0; k * k * w * w];
        let mut ids: Vec<c_int> = vec![0; k];
        // SAFETY: the arrays hold k * m * w * w, k + m, k * k * w * w and k integers; at least k of the flags are 0.
        let status = unsafe {
            jerasure_sys::jerasure_make_decoding_bitmatrix(
                int(k),
                int(m),
                int(w),
                matrix.as_mut_ptr(),
                flags.as_mut_ptr(),
                decoding.as_mut_ptr(),
                ids.as_mut_ptr(),
            )
        };
        let ids = ids.iter().map(|&id| id as usize).collect();
        (status == 0).then(|| (unsigned(&decoding), ids))
    }

    /// `jerasure_smart_bitmatrix_to_schedule` or `jerasure_dumb_bitmatrix_to_schedule`.
    pub(crate) fn schedule(
        &self,
        (k, m, w): (usize, usize, usize),
        matrix: &[u32],
        smart: bool,
    ) -> Vec<RawOperation> {
        assert!(k * m * w > 0 && w <= 32 && matrix.len() == k * m * w * w);
        let mut matrix = checked_bits(matrix);
        let (k, m, w) = (int(k), int(m), int(w));
        // SAFETY: the array holds m * w rows of k * w bits, and their number fits an `int`.
        let schedule = unsafe {
            if smart {
                jerasure_sys::jerasure_smart_bitmatrix_to_schedule(k, m, w, matrix.as_mut_ptr())
            } else {
                jerasure_sys::jerasure_dumb_bitmatrix_to_schedule(k, m, w, matrix.as_mut_ptr())
            }
        };
        assert!(!schedule.is_null());
        // SAFETY: the library returned a schedule.
        let operations = unsafe { operations(schedule) };
        // SAFETY: it is ours, and freed once.
        unsafe { jerasure_sys::jerasure_free_schedule(schedule) };
        operations
    }

    /// The decoding schedules for one and two erasures of a code with m = 2 (`jerasure_generate_schedule_cache`):
    /// that for erasures a and b, which may be one, is number `a * (k + 2) + b`. Numbers of shards in it are
    /// positions: see [`Schedule`](crate::Schedule)'s tests.
    pub(crate) fn decoding_schedules(
        &self,
        k: usize,
        w: usize,
        matrix: &[u32],
        smart: bool,
    ) -> Vec<Vec<RawOperation>> {
        assert!(k * w > 0 && w <= 32 && matrix.len() == 2 * k * w * w);
        let mut matrix = checked_bits(matrix);
        let shards = k + 2;
        // SAFETY: the array holds 2 * w rows of k * w bits.
        let cache = unsafe {
            jerasure_sys::jerasure_generate_schedule_cache(
                int(k),
                2,
                int(w),
                matrix.as_mut_ptr(),
                c_int::from(smart),
            )
        };
        assert!(!cache.is_null());
        // SAFETY: for m = 2 the function fills one pointer for each pair of shards.
        let schedules = unsafe { slice::from_raw_parts(cache, shards * shards) };
        let schedules = schedules
            .iter()
            // SAFETY: each is a schedule that the library made.
            .map(|&schedule| unsafe { operations(schedule) })
            .collect();
        // SAFETY: the cache is ours, made for this k and m = 2, and freed once.
        unsafe { jerasure_sys::jerasure_free_schedule_cache(int(k), 2, cache) };
        schedules
    }
}

fn bits(w: WordSize) -> c_int {
    w.bits().cast_signed()
}

fn int(number: usize) -> c_int {
    c_int::try_from(number).expect("the library counts in `int`")
}

fn signed(elements: &[u32]) -> Vec<c_int> {
    elements.iter().map(|e| e.cast_signed()).collect()
}

fn unsigned(elements: &[c_int]) -> Vec<u32> {
    elements.iter().map(|e| e.cast_unsigned()).collect()
}

/// What every matrix of k + m shards needs.
fn checked_shape(k: usize, m: usize, w: WordSize) -> (c_int, c_int) {
    assert!(k > 0 && m > 0 && (k + m) as u64 <= 1 << w.bits());
    int((k + m) * (k + m + 1));
    (int(k), int(m))
}

fn checked_bits(matrix: &[u32]) -> Vec<c_int> {
    assert!(matrix.iter().all(|&bit| bit <= 1));
    int(matrix.len());
    signed(matrix)
}

/// `jerasure_erasures_to_erased`, for at most m erasures.
fn erased_flags(k: usize, m: usize, erased: &[usize]) -> Vec<c_int> {
    let mut flags = vec![0; k + m];
    for &shard in erased {
        flags[shard] = 1;
    }
    assert!(flags.iter().filter(|&&flag| flag == 0).count() >= k);
    flags
}

/// Copies a matrix that the library has allocated, and frees it.
fn taken(matrix: *mut c_int, elements: usize) -> Vec<u32> {
    assert!(!matrix.is_null(), "the library has no such matrix");
    // SAFETY: callers pass what the library has just returned, which holds that many initialised integers and is ours;
    // they are copied before they are freed.
    let copy = unsigned(unsafe { slice::from_raw_parts(matrix, elements) });
    // SAFETY: the library allocated it with `malloc` of the same C runtime, and we free it once.
    unsafe { libc::free(matrix.cast()) };
    copy
}

/// # Safety
/// `schedule` is one that the library made: pointers to five integers, the last with a first integer below 0.
unsafe fn operations(schedule: *mut *mut c_int) -> Vec<RawOperation> {
    let mut copy = Vec::new();
    loop {
        // SAFETY: the end mark has not been seen, so this pointer is there.
        let operation = unsafe { *schedule.add(copy.len()) };
        // SAFETY: each operation and the end mark has a first integer.
        if unsafe { *operation } < 0 {
            return copy;
        }
        // SAFETY: an operation that is not the end mark has five initialised integers.
        copy.push(unsafe { *operation.cast::<RawOperation>() });
    }
}
