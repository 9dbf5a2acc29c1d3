//! Matrices of bits as values.

#[cfg(all(test, feature = "reference", not(miri)))]
mod against_c;
mod decoding;
mod span;

pub(crate) use span::BitSpan;

use std::{fmt, iter};

use crate::Error;
use crate::matrix::{check_shape, checked_size};
use crate::memory;

/// A matrix of bits, at least 1 x 1 and of at most 2^31 - 1 bits, 64 of them to a machine word.
///
/// As a coding matrix it has m * w rows of k * w: packet p of coding shard i is the XOR of the packets that row
/// `i * w + p` names, where column `j * w + q` is packet q of data shard j.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BitMatrix {
    rows: usize,
    cols: usize,
    /// Rows of [`words`](Self::words), the first bit lowest; bits beyond the last column are 0.
    bits: Box<[u64]>,
}

impl BitMatrix {
    /// Asks `bit` for each row and column, row after row.
    ///
    /// # Errors
    /// [`Error::NoShards`] if `rows` or `cols` is 0, [`Error::MatrixTooLarge`] if there are more bits than an `int`
    /// can number, [`Error::OutOfMemory`].
    pub fn new(
        rows: usize,
        cols: usize,
        mut bit: impl FnMut(usize, usize) -> bool,
    ) -> Result<Self, Error> {
        let mut matrix = Self::zeros(rows, cols)?;
        for row in 0..rows {
            for col in 0..cols {
                if bit(row, col) {
                    matrix.set(row, col);
                }
            }
        }
        Ok(matrix)
    }

    /// The unit matrix of `size` rows.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn identity(size: usize) -> Result<Self, Error> {
        let mut matrix = Self::zeros(size, size)?;
        (0..size).for_each(|row| matrix.set(row, row));
        Ok(matrix)
    }

    pub(crate) fn zeros(rows: usize, cols: usize) -> Result<Self, Error> {
        checked_size(rows, cols)?;
        let words = rows * cols.div_ceil(64);
        let bits = memory::zeros::<u64>(words)?;
        Ok(Self {
            rows,
            cols,
            bits: bits.into(),
        })
    }

    /// Sets a bit.
    pub(crate) fn set(&mut self, row: usize, col: usize) {
        assert!(col < self.cols);
        self.words_mut(row)[col / 64] |= 1 << (col % 64);
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The bit at `row` and `col`.
    ///
    /// # Panics
    /// If `row` or `col` is out of range.
    pub fn get(&self, row: usize, col: usize) -> bool {
        assert!(col < self.cols, "column {col} of {}", self.cols);
        self.words(row)[col / 64] >> (col % 64) & 1 == 1
    }

    /// The columns of a row that are 1, in order.
    ///
    /// # Panics
    /// If `row` is out of range.
    pub fn row(&self, row: usize) -> impl Iterator<Item = usize> + '_ {
        ones(self.words(row))
    }

    /// How many bits are 1.
    pub fn n_ones(&self) -> u64 {
        let ones = self.bits.iter().map(|word| u64::from(word.count_ones()));
        ones.sum()
    }

    /// The product of this matrix and `right`.
    ///
    /// # Errors
    /// [`Error::MatrixShape`] unless `right` has as many rows as this one has columns; [`Error::MatrixTooLarge`] or
    /// [`Error::OutOfMemory`] if the product is too large.
    pub fn multiply(&self, right: &Self) -> Result<Self, Error> {
        right.check_shape(self.cols, right.cols)?;
        let mut product = Self::zeros(self.rows, right.cols)?;
        for row in 0..self.rows {
            for inner in self.row(row) {
                xor(product.words_mut(row), right.words(inner));
            }
        }
        Ok(product)
    }

    /// The matrix that multiplied by this one gives the unit matrix (`jerasure_invert_bitmatrix`, which destroys its
    /// argument).
    ///
    /// # Errors
    /// [`Error::MatrixShape`] if it is not square, [`Error::Singular`] if there is none.
    pub fn inverse(&self) -> Result<Self, Error> {
        let span = self.span_of_rows()?;
        if span.rank() < self.cols {
            return Err(Error::Singular);
        }
        let mut inverse = Self::zeros(self.rows, self.cols)?;
        let mut unit = Self::zeros(1, self.cols)?;
        for row in 0..self.rows {
            unit.words_mut(0).fill(0);
            unit.set(0, row);
            let sum = span.express(unit.words(0));
            let sum = sum.expect("rows of full rank span everything");
            inverse.words_mut(row).copy_from_slice(&sum);
        }
        Ok(inverse)
    }

    /// Whether there is an inverse (`jerasure_invertible_bitmatrix`).
    ///
    /// # Errors
    /// [`Error::MatrixShape`] if it is not square.
    pub fn is_invertible(&self) -> Result<bool, Error> {
        Ok(self.span_of_rows()?.rank() == self.cols)
    }

    /// Refuses a matrix of another shape.
    pub(crate) fn check_shape(&self, rows: usize, cols: usize) -> Result<(), Error> {
        check_shape((rows, cols), (self.rows, self.cols))
    }

    /// A row, packed.
    pub(crate) fn words(&self, row: usize) -> &[u64] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let stride = self.cols.div_ceil(64);
        &self.bits[row * stride..][..stride]
    }

    /// A row, packed; bits beyond the last column stay 0.
    pub(crate) fn words_mut(&mut self, row: usize) -> &mut [u64] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let stride = self.cols.div_ceil(64);
        &mut self.bits[row * stride..][..stride]
    }

    fn span_of_rows(&self) -> Result<BitSpan, Error> {
        self.check_shape(self.cols, self.cols)?;
        let mut span = BitSpan::new(self.cols, self.rows);
        for row in 0..self.rows {
            span.add(self.words(row));
        }
        Ok(span)
    }
}

impl fmt::Debug for BitMatrix {
    /// Rows of digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |bit| if bit { '1' } else { '0' };
        let row = |row| -> String { (0..self.cols).map(|c| digit(self.get(row, c))).collect() };
        f.debug_list().entries((0..self.rows).map(row)).finish()
    }
}

/// Block number `index` of `size` bits, at most 32.
pub(crate) fn block(words: &[u64], index: usize, size: usize) -> u64 {
    let (word, bit) = (index * size / 64, index * size % 64);
    let mut block = words[word] >> bit;
    if bit + size > 64 {
        block |= words[word + 1] << (64 - bit);
    }
    block & ((1 << size) - 1)
}

/// Puts a block where there are zeros.
pub(crate) fn put(words: &mut [u64], index: usize, size: usize, block: u64) {
    let (word, bit) = (index * size / 64, index * size % 64);
    words[word] |= block << bit;
    if bit + size > 64 {
        words[word + 1] |= block >> (64 - bit);
    }
}

/// The numbers of the bits that are 1, in order.
pub(crate) fn ones(words: &[u64]) -> impl Iterator<Item = usize> + '_ {
    words.iter().enumerate().flat_map(|(at, &word)| {
        let rests = iter::successors(Some(word), |rest| Some(rest & rest.wrapping_sub(1)));
        rests
            .take_while(|&rest| rest != 0)
            .map(move |rest| at * 64 + rest.trailing_zeros() as usize)
    })
}

/// `dst ^= src`, packed.
pub(crate) fn xor(dst: &mut [u64], src: &[u64]) {
    debug_assert_eq!(dst.len(), src.len());
    dst.iter_mut().zip(src).for_each(|(d, s)| *d ^= s);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Matrix, WordSize};

    #[test]
    fn bits_are_where_they_were_put() {
        for cols in [1, 63, 64, 65, 127, 128, 200] {
            let bit = |row: usize, col: usize| (row * 7 + col * col).is_multiple_of(3);
            let matrix = BitMatrix::new(5, cols, bit).unwrap();
            let mut ones = 0;
            for row in 0..5 {
                let want: Vec<usize> = (0..cols).filter(|&col| bit(row, col)).collect();
                assert_eq!(matrix.row(row).collect::<Vec<_>>(), want);
                assert!((0..cols).all(|col| matrix.get(row, col) == bit(row, col)));
                ones += want.len() as u64;
            }
            assert_eq!(matrix.n_ones(), ones);
        }
    }

    #[test]
    #[should_panic(expected = "column 3 of 3")]
    fn a_column_beyond_the_last_is_a_panic_and_no_bit() {
        BitMatrix::identity(3).unwrap().get(0, 3);
    }

    #[test]
    fn a_matrix_without_full_rank_has_no_inverse() {
        for size in [2, 64, 100] {
            let matrix = BitMatrix::new(size, size, |row, col| row.max(1) == col.max(1)).unwrap();
            assert_eq!(matrix.inverse(), Err(Error::Singular));
            assert_eq!(matrix.is_invertible(), Ok(false));
        }
    }

    #[test]
    fn a_bit_matrix_does_to_packets_what_its_matrix_does_to_words() {
        // Bit q of word j is packet q of shard j, for stripes of one bit.
        let w = WordSize::new(13).unwrap();
        let matrix = Matrix::cauchy_original(3, 2, w).unwrap();
        let bits = matrix.to_bit_matrix().unwrap();
        let words = [0x1234, 0x0a5b, 0x1fff];
        let vector = Matrix::new(w, 3, 1, words).unwrap();
        let codes = matrix.multiply(&vector).unwrap();
        let packets = BitMatrix::new(39, 1, |row, _| words[row / 13] >> (row % 13) & 1 == 1);
        let coded = bits.multiply(&packets.unwrap()).unwrap();
        for row in 0..26 {
            assert_eq!(
                coded.get(row, 0),
                codes.get(row / 13, 0) >> (row % 13) & 1 == 1
            );
        }
    }
}
