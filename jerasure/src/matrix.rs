//! Matrices over GF(2^w) as values.

#[cfg(all(test, feature = "reference", not(miri)))]
mod against_c;
mod decoding;
mod span;

pub(crate) use decoding::survivors;
pub(crate) use span::Span;

use std::fmt;

use crate::galois::Field;
use crate::memory;
use crate::shards::check_count;
use crate::{BitMatrix, Error, WordSize};

/// A matrix over GF(2^w), row-major, at least 1 x 1 and of at most 2^31 - 1 elements.
///
/// As a coding matrix it has m rows of k: coding shard i is the sum over j of element (i, j) times data shard j. The
/// constructors of Jerasure's coding matrices are named after its techniques; see [`Technique`](crate::Technique)
/// for which of them make a code.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Matrix {
    w: WordSize,
    cols: usize,
    elements: Box<[u32]>,
}

impl Matrix {
    /// Takes `rows * cols` elements, row after row.
    ///
    /// # Errors
    /// [`Error::NoShards`] if `rows` or `cols` is 0, [`Error::MatrixTooLarge`] if there are more elements than an `int`
    /// can number, [`Error::Count`] for another number of elements, [`Error::NotAnElement`] if one is 2^w or more.
    pub fn new(
        w: WordSize,
        rows: usize,
        cols: usize,
        elements: impl Into<Vec<u32>>,
    ) -> Result<Self, Error> {
        let count = checked_size(rows, cols)?;
        let elements = elements.into();
        check_count("matrix elements", count, elements.len())?;
        elements.iter().try_for_each(|&e| w.check_element(e))?;
        Ok(Self::of(w, cols, elements))
    }

    /// The unit matrix of `size` rows.
    ///
    /// # Errors
    /// [`Error::NoShards`] if `size` is 0, [`Error::MatrixTooLarge`] or [`Error::OutOfMemory`] if it is too large.
    pub fn identity(w: WordSize, size: usize) -> Result<Self, Error> {
        let mut elements = zeros(size, size)?;
        elements.iter_mut().step_by(size + 1).for_each(|e| *e = 1);
        Ok(Self::of(w, size, elements))
    }

    /// Takes a whole number of rows of elements of the field.
    pub(crate) fn of(w: WordSize, cols: usize, elements: Vec<u32>) -> Self {
        assert!(!elements.is_empty() && elements.len().is_multiple_of(cols));
        debug_assert!(elements.iter().all(|&e| e <= w.max_element()));
        Self {
            w,
            cols,
            elements: elements.into(),
        }
    }

    /// The word size: elements are below 2^w.
    pub fn word_size(&self) -> WordSize {
        self.w
    }

    /// Rows: in a coding matrix, one for each coding shard.
    pub fn rows(&self) -> usize {
        self.elements.len() / self.cols
    }

    /// Columns: in a coding matrix, one for each data shard.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The element at `row` and `col`.
    ///
    /// # Panics
    /// If `row` or `col` is out of range.
    pub fn get(&self, row: usize, col: usize) -> u32 {
        self.row(row)[col]
    }

    /// One row, [`cols`](Self::cols) long.
    ///
    /// # Panics
    /// If `row` is out of range.
    pub fn row(&self, row: usize) -> &[u32] {
        let rows = self.rows();
        assert!(row < rows, "row {row} of {rows}");
        &self.elements[row * self.cols..][..self.cols]
    }

    /// All elements, row after row.
    pub fn as_slice(&self) -> &[u32] {
        &self.elements
    }

    /// The product of this matrix and `right` (`jerasure_matrix_multiply`).
    ///
    /// # Errors
    /// [`Error::MatrixShape`] unless `right` has as many rows as this one has columns, [`Error::WordSize`] if it is
    /// over another field, [`Error::MatrixTooLarge`] or [`Error::OutOfMemory`] if the product is too large.
    pub fn multiply(&self, right: &Self) -> Result<Self, Error> {
        if self.w != right.w {
            return Err(Error::WordSize {
                w: right.w.bits(),
                allowed: "the same w in both matrices",
            });
        }
        right.check_shape(self.cols, right.cols)?;
        let field = Field::of(self.w);
        let mut product = zeros(self.rows(), right.cols)?;
        for (row, sums) in product.chunks_exact_mut(right.cols).enumerate() {
            for (inner, &factor) in self.row(row).iter().enumerate() {
                field.add_scaled(sums, factor, right.row(inner));
            }
        }
        Ok(Self::of(self.w, right.cols, product))
    }

    /// The matrix that multiplied by this one gives the unit matrix (`jerasure_invert_matrix`, which destroys its
    /// argument).
    ///
    /// # Errors
    /// [`Error::MatrixShape`] if it is not square, [`Error::Singular`] if there is none.
    pub fn inverse(&self) -> Result<Self, Error> {
        let span = self.span_of_rows()?;
        if span.rank() < self.cols {
            return Err(Error::Singular);
        }
        let mut elements = Vec::with_capacity(self.elements.len());
        let mut unit = vec![0; self.cols];
        for position in 0..self.cols {
            unit[position] = 1;
            let row = span.express(&unit);
            elements.extend(row.expect("rows of full rank span everything"));
            unit[position] = 0;
        }
        Ok(Self::of(self.w, self.cols, elements))
    }

    /// Whether there is an inverse (`jerasure_invertible_matrix`).
    ///
    /// # Errors
    /// [`Error::MatrixShape`] if it is not square.
    pub fn is_invertible(&self) -> Result<bool, Error> {
        Ok(self.span_of_rows()?.rank() == self.cols)
    }

    /// The ones in its [bit matrix](Self::to_bit_matrix): `cauchy_n_ones` of all elements.
    pub fn n_ones(&self) -> u64 {
        let field = Field::of(self.w);
        let ones = |&element: &u32| u64::from(field.n_ones(element));
        self.elements.iter().map(ones).sum()
    }

    /// The matrix of bits that does to packets what this one does to words (`jerasure_matrix_to_bitmatrix`): `rows * w`
    /// rows of `cols * w`, in which each element has become a block whose column x is the element times 2^x.
    ///
    /// # Errors
    /// [`Error::MatrixTooLarge`] if there are more bits than an `int` can number.
    pub fn to_bit_matrix(&self) -> Result<BitMatrix, Error> {
        let w = self.w.bits() as usize;
        let field = Field::of(self.w);
        let mut bits = BitMatrix::zeros(self.rows() * w, self.cols * w)?;
        for (at, &element) in self.elements.iter().enumerate() {
            let (top, left) = (at / self.cols * w, at % self.cols * w);
            let mut column = element;
            for x in 0..w {
                (0..w)
                    .filter(|bit| column >> bit & 1 == 1)
                    .for_each(|bit| bits.set(top + bit, left + x));
                column = field.double(column);
            }
        }
        Ok(bits)
    }

    /// Refuses a matrix of another shape.
    pub(crate) fn check_shape(&self, rows: usize, cols: usize) -> Result<(), Error> {
        check_shape((rows, cols), (self.rows(), self.cols))
    }

    fn span_of_rows(&self) -> Result<Span, Error> {
        self.check_shape(self.cols, self.cols)?;
        let mut span = Span::new(self.w, self.cols, self.cols);
        for row in self.elements.chunks_exact(self.cols) {
            span.add(row);
        }
        Ok(span)
    }
}

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GF(2^{}) ", self.w)?;
        f.debug_list()
            .entries(self.elements.chunks_exact(self.cols))
            .finish()
    }
}

/// `rows * cols`, if it is from 1 to what an `int` can number.
pub(crate) fn checked_size(rows: usize, cols: usize) -> Result<usize, Error> {
    if rows == 0 || cols == 0 {
        return Err(Error::NoShards { k: cols, m: rows });
    }
    rows.checked_mul(cols)
        .filter(|&count| i32::try_from(count).is_ok())
        .ok_or(Error::MatrixTooLarge { rows, cols })
}

/// The elements of a zero matrix.
pub(crate) fn zeros(rows: usize, cols: usize) -> Result<Vec<u32>, Error> {
    let count = checked_size(rows, cols)?;
    memory::zeros(count)
}

/// Refuses one shape where another is needed.
pub(crate) fn check_shape(
    (rows, cols): (usize, usize),
    (got_rows, got_cols): (usize, usize),
) -> Result<(), Error> {
    if (rows, cols) != (got_rows, got_cols) {
        return Err(Error::MatrixShape {
            rows,
            cols,
            got_rows,
            got_cols,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn w(bits: u32) -> WordSize {
        WordSize::new(bits).unwrap()
    }

    fn square(w: WordSize, rows: usize, elements: &[u32]) -> Matrix {
        Matrix::new(w, rows, rows, elements).unwrap()
    }

    #[test]
    fn rows_are_swapped_where_a_pivot_is_zero() {
        for w in [w(1), w(3), WordSize::W8, WordSize::W32] {
            let swap = square(w, 2, &[0, 1, 1, 0]);
            assert_eq!(swap.inverse(), Ok(swap.clone()));
            let rotate = square(w, 3, &[0, 1, 0, 0, 0, 1, 1, 0, 0]);
            let back = square(w, 3, &[0, 0, 1, 1, 0, 0, 0, 1, 0]);
            assert_eq!(rotate.inverse(), Ok(back));
        }
    }

    #[test]
    fn a_singular_matrix_has_no_inverse() {
        for w in [w(3), WordSize::W8, WordSize::W16, WordSize::W32] {
            for (rows, elements) in [
                (1, vec![0]),
                (2, vec![3, 3, 3, 3]),
                (3, vec![1, 2, 0, 4, 5, 0, 6, 7, 0]),
            ] {
                let matrix = square(w, rows, &elements);
                assert_eq!(matrix.inverse(), Err(Error::Singular));
                assert_eq!(matrix.is_invertible(), Ok(false));
            }
        }
    }

    #[test]
    fn a_coding_matrix_has_the_ones_of_its_bit_matrix() {
        for w in (1..=32).map(w) {
            let elements = [0, 1, w.max_element(), w.max_element() / 2 + 1];
            let matrix = square(w, 2, &elements);
            let bits = matrix.to_bit_matrix().unwrap();
            assert_eq!(bits.n_ones(), matrix.n_ones());
        }
    }

    #[test]
    fn without_erasures_the_data_decode_to_themselves() {
        let matrix = Matrix::reed_sol_van(3, 2, WordSize::W8).unwrap();
        let (decoding, sources) = matrix.decoding_matrix(&[]).unwrap();
        assert_eq!(decoding, Matrix::identity(WordSize::W8, 3).unwrap());
        assert_eq!(sources, [0, 1, 2]);
    }
}
