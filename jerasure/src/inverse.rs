//! The inverse of a square matrix, by Gauss and Jordan.

use crate::WordSize;
use crate::ffi::Library;

/// The inverse of a matrix of `rows` rows, row after row; `None` if it has none.
pub(crate) fn inverse(w: WordSize, matrix: &[u32], rows: usize) -> Option<Vec<u32>> {
    assert!(rows > 0 && rows.checked_mul(rows) == Some(matrix.len()));
    let field = Library::get();
    // Each row with that of the unit matrix behind it; what makes a unit matrix of the left half makes the inverse of
    // the right one.
    let width = 2 * rows;
    let mut lines = vec![0; rows * width];
    for (row, line) in lines.chunks_exact_mut(width).enumerate() {
        line[..rows].copy_from_slice(&matrix[row * rows..][..rows]);
        line[rows + row] = 1;
    }
    for col in 0..rows {
        let pivot = (col..rows).find(|row| lines[row * width + col] != 0)?;
        let (above, below) = lines.split_at_mut(pivot * width);
        if pivot != col {
            above[col * width..][..width].swap_with_slice(&mut below[..width]);
        }
        let scale = field.divide(w, 1, lines[col * width + col]);
        let pivot: Vec<u32> = lines[col * width..][..width]
            .iter()
            .map(|&element| field.multiply(w, element, scale))
            .collect();
        for (row, line) in lines.chunks_exact_mut(width).enumerate() {
            let factor = line[col];
            if row == col {
                line.copy_from_slice(&pivot);
            } else if factor != 0 {
                // Left of `col` the pivot's row is zero by now.
                for (element, &part) in line[col..].iter_mut().zip(&pivot[col..]) {
                    *element ^= field.multiply(w, factor, part);
                }
            }
        }
    }
    Some(
        lines
            .chunks_exact(width)
            .flat_map(|line| &line[rows..])
            .copied()
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [WordSize; 3] = [WordSize::W8, WordSize::W16, WordSize::W32];

    fn product(w: WordSize, a: &[u32], b: &[u32], rows: usize) -> Vec<u32> {
        let field = Library::get();
        let element = |row: usize, col: usize| {
            (0..rows).fold(0, |sum, i| {
                sum ^ field.multiply(w, a[row * rows + i], b[i * rows + col])
            })
        };
        (0..rows * rows)
            .map(|at| element(at / rows, at % rows))
            .collect()
    }

    fn unit(rows: usize) -> Vec<u32> {
        (0..rows * rows)
            .map(|at| u32::from(at / rows == at % rows))
            .collect()
    }

    #[test]
    fn a_matrix_times_its_inverse_is_the_unit_matrix() {
        let mut state = 0x2545_f491_u32;
        for w in ALL {
            for rows in 1..=24 {
                let matrix: Vec<u32> = (0..rows * rows)
                    .map(|_| {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        // Many zeros, so that pivots are looked for.
                        if state >> 30 == 0 {
                            0
                        } else {
                            state >> 4 & w.max_element()
                        }
                    })
                    .collect();
                match (
                    inverse(w, &matrix, rows),
                    Library::get().invert(w, &matrix, rows),
                ) {
                    (None, None) => {}
                    (ours, theirs) => {
                        assert_eq!(ours, theirs, "{w:?}, {rows} rows");
                        let ours = ours.unwrap();
                        assert_eq!(product(w, &matrix, &ours, rows), unit(rows));
                        assert_eq!(product(w, &ours, &matrix, rows), unit(rows));
                    }
                }
            }
        }
    }

    #[test]
    fn rows_are_swapped_where_a_pivot_is_zero() {
        for w in ALL {
            let swap = [0, 1, 1, 0];
            assert_eq!(inverse(w, &swap, 2), Some(swap.to_vec()));
            let rotate = [0, 1, 0, 0, 0, 1, 1, 0, 0];
            let back = [0, 0, 1, 1, 0, 0, 0, 1, 0];
            assert_eq!(inverse(w, &rotate, 3), Some(back.to_vec()));
        }
    }

    #[test]
    fn a_singular_matrix_has_no_inverse() {
        for w in ALL {
            assert_eq!(inverse(w, &[0], 1), None);
            assert_eq!(inverse(w, &[3, 3, 3, 3], 2), None);
            assert_eq!(inverse(w, &[1, 2, 0, 4, 5, 0, 6, 7, 0], 3), None);
        }
    }
}
