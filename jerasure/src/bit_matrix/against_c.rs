//! Inverses and decoding matrices of bits, compared with those of the C library.

use crate::ffi::Oracle;
use crate::golden::bits;
use crate::{BitMatrix, Error, WordSize};

fn random(seed: u64, rows: usize, cols: usize) -> BitMatrix {
    let mut state = seed | 1;
    BitMatrix::new(rows, cols, |_, _| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 40 & 1 == 1
    })
    .unwrap()
}

#[test]
fn inverses_are_those_of_c() {
    let (mut regular, mut singular) = (0, 0);
    for rows in (1..=24).chain([63, 64, 65, 130]) {
        for seed in 0..8 {
            let matrix = random(seed * 1_000_003 + rows as u64, rows, rows);
            let ours = matrix.inverse();
            let invertible = matrix.is_invertible().unwrap();
            match Oracle::get().invert_bits(&bits(&matrix), rows) {
                Some(theirs) => {
                    regular += 1;
                    assert_eq!(bits(&ours.unwrap()), theirs, "{rows} rows");
                    assert!(invertible);
                }
                None => {
                    singular += 1;
                    assert_eq!(ours, Err(Error::Singular), "{rows} rows");
                    assert!(!invertible);
                }
            }
        }
    }
    assert!(regular > 10 && singular > 10);
}

#[test]
fn decoding_matrices_are_those_of_c() {
    let mut codes: Vec<(usize, usize, BitMatrix)> = vec![(4, 8, BitMatrix::liber8tion(4).unwrap())];
    for size in [3, 5, 7] {
        let w = WordSize::new(size).unwrap();
        codes.push((3, size as usize, BitMatrix::liberation(3, w).unwrap()));
        // Three shards of three, mostly without an inverse.
        let poor = random(u64::from(size), 3 * size as usize, 3 * size as usize);
        codes.push((3, size as usize, poor));
    }
    let mut singular = 0;
    for (k, size, matrix) in codes {
        let w = WordSize::new(size as u32).unwrap();
        let m = matrix.rows() / size;
        for set in 0_u32..1 << (k + m) {
            let erased: Vec<usize> = (0..k + m).filter(|s| set >> s & 1 == 1).collect();
            if erased.len() > m {
                continue;
            }
            let want = Oracle::get().decoding_bit_matrix((k, m, size), &bits(&matrix), &erased);
            match matrix.decoding_matrix(w, &erased) {
                Ok((ours, sources)) => assert_eq!(Some((bits(&ours), sources)), want),
                Err(error) => {
                    assert_eq!(error, Error::Singular);
                    assert_eq!(want, None, "w = {w}, lost {erased:?}");
                    singular += 1;
                }
            }
        }
    }
    assert!(singular > 10);
}
