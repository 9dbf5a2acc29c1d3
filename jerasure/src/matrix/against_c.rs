//! Inverses, products and decoding matrices, compared with those of the C library.

use crate::ffi::Oracle;
use crate::golden::bits;
use crate::{Error, Matrix, WordSize};

/// All word sizes but 1, in which the C library cannot double an element.
fn word_sizes() -> impl Iterator<Item = WordSize> {
    (2..=32).map(|w| WordSize::new(w).unwrap())
}

/// Elements of which one in four is 0, so that pivots are looked for.
struct Random(u32);

impl Random {
    fn element(&mut self, w: WordSize) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if self.0 >> 30 == 0 {
            return 0;
        }
        (self.0 >> 4 ^ self.0 << 13) & w.max_element()
    }

    fn matrix(&mut self, w: WordSize, rows: usize, cols: usize) -> Matrix {
        let elements: Vec<u32> = (0..rows * cols).map(|_| self.element(w)).collect();
        Matrix::new(w, rows, cols, elements).unwrap()
    }
}

#[test]
fn inverses_are_those_of_c() {
    let mut random = Random(1);
    let mut singular = 0;
    for w in word_sizes() {
        for rows in (1..=24).chain([40]) {
            let matrix = random.matrix(w, rows, rows);
            let ours = matrix.inverse();
            match Oracle::get().invert(w, matrix.as_slice(), rows) {
                Some(theirs) => {
                    assert_eq!(ours.unwrap().as_slice(), theirs, "w = {w}, {rows} rows")
                }
                None => {
                    singular += 1;
                    assert_eq!(ours, Err(Error::Singular), "w = {w}, {rows} rows");
                }
            }
        }
    }
    assert!(singular > 10);
}

#[test]
fn products_are_those_of_c() {
    let mut random = Random(2);
    for w in word_sizes() {
        for (rows, inner, cols) in [(1, 1, 1), (1, 5, 3), (4, 2, 7), (6, 6, 40)] {
            let (a, b) = (random.matrix(w, rows, inner), random.matrix(w, inner, cols));
            let want = Oracle::get().product(w, (a.as_slice(), inner), (b.as_slice(), cols));
            assert_eq!(a.multiply(&b).unwrap().as_slice(), want, "w = {w}");
        }
    }
}

#[test]
fn bit_matrices_are_those_of_c() {
    let mut random = Random(3);
    for w in word_sizes() {
        for (m, k) in [(1, 1), (2, 3), (3, 5)] {
            let matrix = random.matrix(w, m, k);
            let want = Oracle::get().to_bit_matrix(w, matrix.as_slice(), k);
            assert_eq!(bits(&matrix.to_bit_matrix().unwrap()), want, "w = {w}");
        }
    }
}

#[test]
fn decoding_matrices_are_those_of_c() {
    let mut random = Random(4);
    for w in word_sizes() {
        let (k, m) = (4, 3);
        for matrix in [
            random.matrix(w, m, k),
            Matrix::extended_vandermonde(k.min(1 << w.bits()), k, w).unwrap(),
        ] {
            let shards = k + matrix.rows();
            for set in 0_u32..1 << shards {
                let erased: Vec<usize> = (0..shards).filter(|s| set >> s & 1 == 1).collect();
                if erased.len() > matrix.rows() {
                    continue;
                }
                let want = Oracle::get().decoding_matrix(w, matrix.as_slice(), k, &erased);
                match matrix.decoding_matrix(&erased) {
                    Ok((ours, sources)) => {
                        assert_eq!(Some((ours.as_slice().to_vec(), sources)), want);
                    }
                    Err(error) => {
                        assert_eq!(error, Error::Singular);
                        assert_eq!(want, None, "w = {w}, lost {erased:?}");
                    }
                }
            }
        }
    }
}
