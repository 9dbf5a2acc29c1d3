//! Jerasure's Vandermonde matrices (`reed_sol.c`), element by element.
//!
//! The C function for the systematic one takes the Vandermonde matrix of the points 0, 1, .. k + m - 2 and infinity, and
//! multiplies it by the inverse of its first k rows: k * k * (k + m) multiplications. Then it scales the columns so that
//! the first coding row is all ones, and the rows so that the first column is.
//!
//! A row of the product holds the Lagrange polynomials of the points 0..k at that row's point, and these have a closed
//! form. In that of point x, all columns share the factors (x - 0)(x - 1)..(x - (k - 1)), and each column has one of its
//! own that does not depend on x. The two scalings cancel both, and leave for coding row r, whose point is x = k + r,
//!
//! ```text
//! c[r][j] = (k - j) / (x - j) * x / k       c[m-1][j] = (k - j) / k, the point at infinity
//! ```
//!
//! where subtraction is XOR. With one coding row, which is first and last, the scaling makes it all ones.

use crate::galois::Field;
use crate::matrix::{checked_size, zeros};
use crate::{CodeParams, Error, Matrix, WordSize};

impl Matrix {
    /// The systematic Vandermonde coding matrix, m rows of k (`reed_sol_vandermonde_coding_matrix`). Row 0 and column 0
    /// are all ones. Takes two multiplications an element.
    ///
    /// # Errors
    /// [`Error::NoShards`] if k or m is 0, [`Error::TooManyShards`] if k + m exceeds 2^w or 46,340,
    /// [`Error::OutOfMemory`].
    pub fn reed_sol_van(k: usize, m: usize, w: WordSize) -> Result<Self, Error> {
        check_points(k, m, w)?;
        let mut elements = zeros(m, k)?;
        if m == 1 {
            elements.fill(1);
            return Ok(Self::of(w, k, elements));
        }
        let field = Field::of(w);
        // Every difference of two points, and no more, is below this power of two; and that is at most 2^w.
        let differences = point((k + m).next_power_of_two());
        let inverses: Vec<u32> = (0..differences)
            .map(|d| if d == 0 { 0 } else { field.inverse(d) })
            .collect();

        let numerators: Vec<u32> = (0..k).map(|col| point(k ^ col)).collect();
        let by_k = inverses[k];
        for (row, line) in elements.chunks_exact_mut(k).enumerate() {
            let x = k + row;
            let scale = field.multiply(point(x), by_k);
            for (col, element) in line.iter_mut().enumerate() {
                *element = if row == m - 1 {
                    field.multiply(numerators[col], by_k)
                } else {
                    let fraction = field.multiply(numerators[col], inverses[x ^ col]);
                    field.multiply(fraction, scale)
                };
            }
        }
        Ok(Self::of(w, k, elements))
    }

    /// The Vandermonde matrix of the points 0, 1, .. `rows` - 2 and infinity
    /// (`reed_sol_extended_vandermonde_matrix`): row i holds the powers of i, and the last one 0, .. 0, 1. Any `cols`
    /// of its rows are independent; it is no coding matrix yet.
    ///
    /// # Errors
    /// [`Error::NoShards`] if `rows` or `cols` is 0, [`Error::TooManyShards`] if one of them exceeds 2^w,
    /// [`Error::MatrixTooLarge`] or [`Error::OutOfMemory`].
    pub fn extended_vandermonde(rows: usize, cols: usize, w: WordSize) -> Result<Self, Error> {
        checked_size(rows, cols)?;
        let limit = field_size(w);
        if rows.max(cols) > limit {
            let (k, m) = (cols, rows.saturating_sub(cols));
            let w = w.bits();
            return Err(Error::TooManyShards { k, m, w, limit });
        }
        let mut elements = zeros(rows, cols)?;
        let field = Field::of(w);
        elements[0] = 1;
        for (row, line) in elements.chunks_exact_mut(cols).enumerate().skip(1) {
            if row == rows - 1 {
                line[cols - 1] = 1;
                continue;
            }
            let mut power = 1;
            for element in line {
                *element = power;
                power = field.multiply(power, point(row));
            }
        }
        Ok(Self::of(w, cols, elements))
    }

    /// The unit matrix of `cols` rows with the [systematic coding matrix](Self::reed_sol_van) below it, `rows` in all
    /// (`reed_sol_big_vandermonde_distribution_matrix`).
    ///
    /// # Errors
    /// As [`reed_sol_van`](Self::reed_sol_van) for k = `cols` and m = `rows - cols`; [`Error::MatrixTooLarge`].
    pub fn big_vandermonde_distribution(
        rows: usize,
        cols: usize,
        w: WordSize,
    ) -> Result<Self, Error> {
        let coding = Self::reed_sol_van(cols, rows.saturating_sub(cols), w)?;
        let mut elements = zeros(rows, cols)?;
        let (unit, below) = elements.split_at_mut(cols * cols);
        unit.iter_mut().step_by(cols + 1).for_each(|e| *e = 1);
        below.copy_from_slice(coding.as_slice());
        Ok(Self::of(w, cols, elements))
    }

    /// The RAID-6 coding matrix, 2 rows of k: all ones, and the powers of 2 (`reed_sol_r6_coding_matrix`).
    ///
    /// # Errors
    /// [`Error::WordSize`] unless w is 8, 16 or 32; [`Error::NoShards`] if k is 0; [`Error::TooManyDataShards`] if k
    /// exceeds 2^w - 1, where the C function silently repeats columns; [`Error::MatrixTooLarge`].
    pub fn reed_sol_r6(k: usize, w: WordSize) -> Result<Self, Error> {
        check_r6(k, w)?;
        let mut elements = zeros(2, k)?;
        let field = Field::of(w);
        let (ones, powers) = elements.split_at_mut(k);
        ones.fill(1);
        let mut power = 1;
        for element in powers {
            *element = power;
            power = field.double(power);
        }
        Ok(Self::of(w, k, elements))
    }
}

/// What `reed_sol_van` and `cauchy_orig` ask for: a point of the field for each shard.
pub(crate) fn check_points(k: usize, m: usize, w: WordSize) -> Result<(), Error> {
    CodeParams::new(k, m, w)?;
    let limit = field_size(w);
    if k + m > limit {
        let w = w.bits();
        return Err(Error::TooManyShards { k, m, w, limit });
    }
    Ok(())
}

/// What `reed_sol_r6_op` asks for: a power of 2 for each data shard, and words that are whole bytes.
pub(crate) fn check_r6(k: usize, w: WordSize) -> Result<(), Error> {
    w.check_region()?;
    if k == 0 {
        return Err(Error::NoShards { k, m: 2 });
    }
    let limit = w.max_element() as usize;
    if k > limit {
        return Err(Error::TooManyDataShards {
            technique: "reed_sol_r6_op",
            k,
            w: w.bits(),
            limit,
        });
    }
    Ok(())
}

/// 2^w, or the largest number.
fn field_size(w: WordSize) -> usize {
    (w.max_element() as usize).saturating_add(1)
}

fn point(number: usize) -> u32 {
    u32::try_from(number).expect("points are few")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn matrices_are_the_golden_ones() {
        let compared = golden::each_matrix("reed_sol_van", |case| {
            let matrix = Matrix::reed_sol_van(case.k, case.m, case.w).unwrap();
            assert_eq!(matrix.as_slice(), case.elements);
        });
        assert_eq!(compared, 6);
        let compared = golden::each_matrix("reed_sol_r6_op", |case| {
            let matrix = Matrix::reed_sol_r6(case.k, case.w).unwrap();
            assert_eq!(matrix.as_slice(), case.elements);
        });
        assert_eq!(compared, 1);
    }
}

#[cfg(all(test, feature = "reference", not(miri)))]
mod against_c {
    use super::*;
    use crate::ffi::Oracle;

    const REGIONS: [WordSize; 3] = [WordSize::W8, WordSize::W16, WordSize::W32];

    fn assert_is_that_of_c(k: usize, m: usize, w: WordSize) {
        let want = Oracle::get().vandermonde(k, m, w);
        let got = Matrix::reed_sol_van(k, m, w).unwrap();
        assert!(got.as_slice() == want, "k = {k}, m = {m}, w = {w}");
    }

    #[test]
    fn small_matrices_are_those_of_c() {
        for w in REGIONS {
            for k in 1..=20 {
                for m in 1..=20 {
                    assert_is_that_of_c(k, m, w);
                }
            }
        }
    }

    #[test]
    fn small_fields_have_the_matrices_of_c_up_to_the_largest() {
        for w in (1..=5).map(|w| WordSize::new(w).unwrap()) {
            for k in 1..1 << w.bits() {
                for m in 1..=(1 << w.bits()) - k {
                    assert_is_that_of_c(k, m, w);
                }
            }
        }
    }

    #[test]
    fn odd_fields_have_the_matrices_of_c() {
        for w in (6..=32).map(|w| WordSize::new(w).unwrap()) {
            for (k, m) in [(1, 2), (3, 2), (6, 4), (13, 7), (32, 3)] {
                assert_is_that_of_c(k, m, w);
            }
        }
    }

    #[test]
    fn matrices_over_bytes_are_those_of_c_up_to_the_largest() {
        for shards in [31, 32, 33, 64, 65, 100, 127, 128, 129, 200, 255, 256] {
            for m in [1, 2, 3, 7, shards / 2, shards - 2, shards - 1] {
                assert_is_that_of_c(shards - m, m, WordSize::W8);
            }
        }
    }

    #[test]
    fn larger_matrices_are_those_of_c() {
        for w in [WordSize::W16, WordSize::W32] {
            for (k, m) in [
                (1, 300),
                (2, 255),
                (64, 64),
                (127, 2),
                (128, 1),
                (128, 130),
                (200, 60),
                (255, 2),
                (256, 3),
            ] {
                assert_is_that_of_c(k, m, w);
            }
        }
    }

    #[test]
    fn the_matrices_behind_it_are_those_of_c() {
        for w in [3, 4, 8, 11, 16, 32].map(|w| WordSize::new(w).unwrap()) {
            for (rows, cols) in [
                (1, 1),
                (1, 4),
                (2, 1),
                (2, 5),
                (5, 2),
                (8, 8),
                (8, 3),
                (7, 6),
            ] {
                let want = Oracle::get().extended_vandermonde(rows, cols, w);
                let got = Matrix::extended_vandermonde(rows, cols, w).unwrap();
                assert_eq!(got.as_slice(), want, "{rows} x {cols}, w = {w}");
                if cols < rows {
                    let want = Oracle::get().big_vandermonde(rows, cols, w);
                    let got = Matrix::big_vandermonde_distribution(rows, cols, w).unwrap();
                    assert_eq!(got.as_slice(), want, "{rows} x {cols}, w = {w}");
                }
            }
        }
    }

    #[test]
    fn raid_6_matrices_are_those_of_c() {
        for w in REGIONS {
            for k in [1, 2, 3, 17, 200, 255] {
                let want = Oracle::get().reed_sol_r6(k, w);
                assert_eq!(Matrix::reed_sol_r6(k, w).unwrap().as_slice(), want);
            }
        }
    }
}
