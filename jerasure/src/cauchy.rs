//! Jerasure's Cauchy matrices (`cauchy.c`).
//!
//! Element (i, j) is 1 / (x\[i\] + y\[j\]), where all points differ. Every square part of such a matrix can be inverted,
//! also after rows and columns are multiplied by anything but 0; "good" matrices are multiplied so that their bit
//! matrices have few ones, which are XORs to do.
//!
//! For m = 2 and w up to 11 the C library has tables of the best elements for the second row, under a first row of
//! ones. They are all elements sorted by the ones of their bit matrices, the smaller element first among equals; the
//! tests compare all ten. Here they are sorted when first needed.

use std::sync::OnceLock;

use crate::galois::Field;
use crate::matrix::zeros;
use crate::vandermonde::check_points;
use crate::{CodeParams, Error, Matrix, WordSize};

impl Matrix {
    /// The Cauchy matrix of the points 0..m for rows and m..m + k for columns (`cauchy_original_coding_matrix`).
    ///
    /// # Errors
    /// [`Error::NoShards`] if k or m is 0, [`Error::TooManyShards`] if k + m exceeds 2^w or 46,340,
    /// [`Error::OutOfMemory`].
    pub fn cauchy_original(k: usize, m: usize, w: WordSize) -> Result<Self, Error> {
        check_points(k, m, w)?;
        // Points are below k + m, which is at most 46,340.
        let row_points = 0..m as u32;
        cauchy(
            w,
            row_points,
            |row| (m..m + k).map(move |col| row ^ col as u32),
            k,
        )
    }

    /// The Cauchy matrix with a row for each point of `x` and a column for each of `y` (`cauchy_xy_coding_matrix`).
    ///
    /// # Errors
    /// [`Error::NoShards`] if `x` or `y` is empty, [`Error::NotAnElement`] if a point is 2^w or more,
    /// [`Error::RepeatedPoint`] if one is given twice, also once in each list; [`Error::MatrixTooLarge`] or
    /// [`Error::OutOfMemory`].
    pub fn cauchy_xy(w: WordSize, x: &[u32], y: &[u32]) -> Result<Self, Error> {
        let mut points = [x, y].concat();
        points
            .iter()
            .try_for_each(|&point| w.check_element(point))?;
        points.sort_unstable();
        if let Some(pair) = points.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::RepeatedPoint { value: pair[0] });
        }
        let sums = |row| y.iter().map(move |col| row ^ col);
        cauchy(w, x.iter().copied(), sums, y.len())
    }

    /// Multiplies columns so that the first row is all ones, and then each other row by what leaves its bit matrix
    /// with the fewest ones (`cauchy_improve_coding_matrix`). What can be recovered with the code stays the same, its
    /// bytes do not.
    ///
    /// Takes about k * k * m * w steps.
    ///
    /// # Errors
    /// [`Error::DivisionByZero`] if an element is 0, which no Cauchy matrix has.
    pub fn improve_cauchy(self) -> Result<Self, Error> {
        let (w, k) = (self.word_size(), self.cols());
        let field = Field::of(w);
        if self.as_slice().contains(&0) {
            return Err(Error::DivisionByZero);
        }
        let by_column: Vec<u32> = self.row(0).iter().map(|&e| field.inverse(e)).collect();
        let mut elements = self.as_slice().to_vec();
        for (row, line) in elements.chunks_exact_mut(k).enumerate() {
            for (element, &factor) in line.iter_mut().zip(&by_column) {
                *element = field.multiply(*element, factor);
            }
            if row > 0 {
                improve_row(field, line);
            }
        }
        Ok(Self::of(w, k, elements))
    }

    /// The Cauchy matrix of few ones (`cauchy_good_general_coding_matrix`): for m = 2 and w of 2 to 11 a row of ones
    /// and the k cheapest elements, otherwise [`cauchy_original`](Self::cauchy_original),
    /// [improved](Self::improve_cauchy).
    ///
    /// # Errors
    /// As [`cauchy_original`](Self::cauchy_original), but that for m = 2 and w of 2 to 10 there may be 2^w - 1 data
    /// shards.
    pub fn cauchy_good(k: usize, m: usize, w: WordSize) -> Result<Self, Error> {
        check_good(k, m, w)?;
        if m != 2 || k > most_ranked(w) {
            return Self::cauchy_original(k, m, w)?.improve_cauchy();
        }
        let mut elements = zeros(2, k)?;
        let (ones, cheapest) = elements.split_at_mut(k);
        ones.fill(1);
        cheapest.copy_from_slice(&cheapest_elements(w)[..k]);
        Ok(Self::of(w, k, elements))
    }
}

/// What `cauchy_good` asks for.
pub(crate) fn check_good(k: usize, m: usize, w: WordSize) -> Result<(), Error> {
    // The tables have one shard more than there are points; that limit is also the one of all parameters.
    if m != 2 || k > most_ranked(w) {
        return check_points(k, m, w);
    }
    CodeParams::new(k, m, w).map(drop)
}

/// The length of the C library's table of cheapest elements (`cbest_max_k`), 0 if it has none.
fn most_ranked(w: WordSize) -> usize {
    match w.bits() {
        2..=10 => w.max_element() as usize,
        11 => 1023,
        _ => 0,
    }
}

/// All elements but 0, those of fewer ones first, for w up to 11.
fn cheapest_elements(w: WordSize) -> &'static [u32] {
    static RANKED: [OnceLock<Box<[u32]>>; 12] = [const { OnceLock::new() }; 12];
    RANKED[w.bits() as usize].get_or_init(|| {
        let field = Field::of(w);
        let mut elements: Vec<u32> = (1..=w.max_element()).collect();
        elements.sort_by_cached_key(|&element| (field.n_ones(element), element));
        elements.into()
    })
}

/// A row for each point, each the inverses of the sums that `sums` has for it.
fn cauchy<S: Iterator<Item = u32>>(
    w: WordSize,
    points: impl ExactSizeIterator<Item = u32>,
    sums: impl Fn(u32) -> S,
    cols: usize,
) -> Result<Matrix, Error> {
    let field = Field::of(w);
    let mut elements = zeros(points.len(), cols)?;
    for (line, point) in elements.chunks_exact_mut(cols).zip(points) {
        for (element, sum) in line.iter_mut().zip(sums(point)) {
            *element = field.inverse(sum);
        }
    }
    Ok(Matrix::of(w, cols, elements))
}

/// Divides the row by the element that leaves the fewest ones, the first among equals; by none if that is no gain.
fn improve_row(field: &Field, row: &mut [u32]) {
    let ones = |factor: u32| -> u64 {
        let products = row.iter().map(|&e| field.multiply(e, factor));
        products.map(|e| u64::from(field.n_ones(e))).sum()
    };
    let divisors = row.iter().filter(|&&e| e != 1).map(|&e| field.inverse(e));
    let mut best = (ones(1), 1);
    for factor in divisors {
        let count = ones(factor);
        if count < best.0 {
            best = (count, factor);
        }
    }
    field.scale(row, best.1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn matrices_are_the_golden_ones() {
        let compared = golden::each_matrix("cauchy_orig", |case| {
            let matrix = Matrix::cauchy_original(case.k, case.m, case.w).unwrap();
            assert_eq!(matrix.as_slice(), case.elements);
        });
        assert_eq!(compared, 1);
        let compared = golden::each_matrix("cauchy_good", |case| {
            let matrix = Matrix::cauchy_good(case.k, case.m, case.w).unwrap();
            assert_eq!(matrix.as_slice(), case.elements);
        });
        assert_eq!(compared, 1);
    }

    #[test]
    fn an_improved_matrix_has_fewer_ones_and_a_row_of_ones() {
        for w in (3..=32).map(|w| WordSize::new(w).unwrap()) {
            let plain = Matrix::cauchy_original(4, 3, w).unwrap();
            let good = plain.clone().improve_cauchy().unwrap();
            assert!(good.n_ones() < plain.n_ones(), "w = {w}");
            assert_eq!(good.row(0), [1; 4]);
        }
    }
}

#[cfg(all(test, feature = "reference", not(miri)))]
mod against_c {
    use super::*;
    use crate::ffi::Oracle;

    fn all() -> impl Iterator<Item = WordSize> {
        (2..=32).map(|w| WordSize::new(w).unwrap())
    }

    #[test]
    fn original_and_good_matrices_are_those_of_c() {
        for w in all() {
            for (k, m) in [
                (1, 1),
                (1, 2),
                (2, 1),
                (2, 2),
                (3, 1),
                (4, 3),
                (5, 3),
                (6, 4),
                (12, 4),
            ] {
                if (k + m) as u64 > 1 << w.bits() {
                    continue;
                }
                let want = Oracle::get().cauchy_original(k, m, w);
                let got = Matrix::cauchy_original(k, m, w).unwrap();
                assert_eq!(got.as_slice(), want, "k = {k}, m = {m}, w = {w}");
                let want = Oracle::get().cauchy_good(k, m, w);
                let got = Matrix::cauchy_good(k, m, w).unwrap();
                assert_eq!(got.as_slice(), want, "k = {k}, m = {m}, w = {w}");
            }
        }
    }

    #[test]
    fn the_cheapest_elements_are_the_tables_of_c() {
        for w in (2..=11).map(|w| WordSize::new(w).unwrap()) {
            let k = most_ranked(w);
            let want = Oracle::get().cauchy_good(k, 2, w);
            assert_eq!(Matrix::cauchy_good(k, 2, w).unwrap().as_slice(), want);
        }
    }

    #[test]
    fn beyond_the_table_for_w_11_matrices_are_improved_as_in_c() {
        let w = WordSize::new(11).unwrap();
        let want = Oracle::get().cauchy_good(1024, 2, w);
        assert_eq!(Matrix::cauchy_good(1024, 2, w).unwrap().as_slice(), want);
    }

    #[test]
    fn matrices_of_chosen_points_are_those_of_c_improved_too() {
        for w in all().filter(|w| w.bits() >= 4) {
            let largest = w.max_element();
            let (x, y) = ([7, 2, largest], [1, 9, 0, largest - 1, 4]);
            let got = Matrix::cauchy_xy(w, &x, &y).unwrap();
            assert_eq!(
                got.as_slice(),
                Oracle::get().cauchy_xy(w, &x, &y),
                "w = {w}"
            );
            let want = Oracle::get().improve_cauchy(5, w, got.as_slice());
            assert_eq!(got.improve_cauchy().unwrap().as_slice(), want, "w = {w}");
        }
    }
}
