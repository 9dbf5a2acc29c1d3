//! How many bytes were added, multiplied and copied (`jerasure_get_stats`): what the C library would have counted for the
//! same calls, since the last question of this thread.

use jerasure::{BitMatrix, Matrix};
use std::cell::Cell;

thread_local! {
    static COUNTED: Cell<[f64; 3]> = const { Cell::new([0.0; 3]) };
    /// Decoding is counted from the first question on: it takes a matrix that nothing else here needs.
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread has asked.
pub(crate) fn are_asked() -> bool {
    ASKED.get()
}

/// How the C library decodes: from the first k survivors, the last lost data region by a first row of ones if there is one,
/// and then the lost coding regions from all data.
pub(crate) struct Decoding<'a> {
    pub(crate) k: usize,
    pub(crate) lost: &'a [usize],
    pub(crate) row_k_ones: bool,
}

impl Decoding<'_> {
    /// The lost data regions that are made by the decoding matrix, and the one that is made by the first row.
    fn data(&self) -> (&[usize], Option<usize>) {
        let data = &self.lost[..self.lost.iter().filter(|&&shard| shard < self.k).count()];
        let by_ones = self.row_k_ones && !self.lost.contains(&self.k);
        match data.split_last() {
            Some((&last, others)) if by_ones => (others, Some(last)),
            _ => (data, None),
        }
    }

    /// Counts it by a matrix of numbers.
    pub(crate) fn of_words(&self, matrix: &Matrix, bytes: usize) {
        let (data, last) = self.data();
        let row = |row: &[u32]| {
            let factors: Vec<libc::c_int> = row.iter().map(|f| f.cast_signed()).collect();
            add_row(&factors, bytes);
        };
        if !data.is_empty() {
            let Ok((decoding, _)) = matrix.decoding_matrix(self.lost) else {
                return;
            };
            data.iter().for_each(|&shard| row(decoding.row(shard)));
        }
        if last.is_some() {
            row(matrix.row(0));
        }
        let coding = self.lost.iter().filter(|&&shard| shard >= self.k);
        coding.for_each(|&shard| row(matrix.row(shard - self.k)));
    }

    /// Counts it by a matrix of bits, `bytes` a packet of every stripe.
    pub(crate) fn of_bits(&self, bits: &BitMatrix, w: jerasure::WordSize, bytes: usize) {
        let (data, last) = self.data();
        let rows = |matrix: &BitMatrix, shard: usize| {
            let size = w.bits() as usize;
            for row in shard * size..(shard + 1) * size {
                let ones = matrix.row(row).count();
                add(ones.saturating_sub(1) * bytes, 0, ones.min(1) * bytes);
            }
        };
        if !data.is_empty() {
            let Ok((decoding, _)) = bits.decoding_matrix(w, self.lost) else {
                return;
            };
            data.iter().for_each(|&shard| rows(&decoding, shard));
        }
        if last.is_some() {
            rows(bits, 0);
        }
        let coding = self.lost.iter().filter(|&&shard| shard >= self.k);
        coding.for_each(|&shard| rows(bits, shard - self.k));
    }
}

/// Adds to what was counted: bytes of XORs, of multiplications, of copies.
pub(crate) fn add(xors: usize, products: usize, copies: usize) {
    let [a, b, c] = COUNTED.get();
    COUNTED.set([a + xors as f64, b + products as f64, c + copies as f64]);
}

/// One sum of products: the first factor 1 is a copy, the others are XORs.
pub(crate) fn add_row(factors: &[libc::c_int], bytes: usize) {
    let ones = factors.iter().filter(|&&f| f == 1).count();
    let others = factors.iter().filter(|&&f| f != 0 && f != 1).count();
    add(
        ones.saturating_sub(1) * bytes,
        others * bytes,
        ones.min(1) * bytes,
    );
}

/// One packet for each row of bits, each the copy of one packet and the sum with the others.
pub(crate) fn add_bits(bits: &[libc::c_int], cols: usize, packet_bytes: usize) {
    for row in bits.chunks_exact(cols) {
        let ones = row.iter().filter(|&&b| b != 0).count();
        add(
            ones.saturating_sub(1) * packet_bytes,
            0,
            ones.min(1) * packet_bytes,
        );
    }
}

/// Writes the three sums, and begins again at 0. The first question of a thread does not know what was decoded before it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_get_stats(fill_in: *mut f64) {
    if fill_in.is_null() {
        return;
    }
    ASKED.set(true);
    for (at, sum) in COUNTED.take().into_iter().enumerate() {
        // SAFETY: the caller's array has three numbers.
        unsafe { fill_in.add(at).write(sum) };
    }
}
