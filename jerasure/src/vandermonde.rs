//! Jerasure's systematic Vandermonde matrix, element by element.
//!
//! The C function takes the Vandermonde matrix of the points 0, 1, .. k + m - 2 and infinity, and multiplies it by the
//! inverse of its first k rows: k * k * (k + m) multiplications. Then it scales the columns so that the first coding row is
//! all ones, and the rows so that the first column is.
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

use crate::CodeParams;
use crate::ffi::Library;

/// The coding matrix, m rows of k; `None` if it could not be allocated.
pub(crate) fn coding_matrix(params: CodeParams) -> Option<Vec<u32>> {
    let (k, m, w) = (params.k(), params.m(), params.w());
    let mut elements = Vec::new();
    elements.try_reserve_exact(k * m).ok()?;
    if m == 1 {
        elements.resize(k, 1);
        return Some(elements);
    }
    let field = Library::get();
    let point = |number: usize| u32::try_from(number).expect("points are few");
    // Every difference of two points, and no more, is below this power of two; and that is at most 2^w.
    let differences = point(params.shards().next_power_of_two());
    let inverses: Vec<u32> = (0..differences)
        .map(|d| if d == 0 { 0 } else { field.divide(w, 1, d) })
        .collect();

    let numerators: Vec<u32> = (0..k).map(|col| point(k ^ col)).collect();
    let by_k = inverses[k];
    for x in k..k + m - 1 {
        let scale = field.multiply(w, point(x), by_k);
        elements.extend(numerators.iter().enumerate().map(|(col, &numerator)| {
            let fraction = field.multiply(w, numerator, inverses[x ^ col]);
            field.multiply(w, fraction, scale)
        }));
    }
    elements.extend(numerators.iter().map(|&n| field.multiply(w, n, by_k)));
    Some(elements)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WordSize;

    fn assert_is_that_of_c(k: usize, m: usize, w: WordSize) {
        let params = CodeParams::new(k, m, w).unwrap();
        let want = Library::get().vandermonde(params).unwrap();
        assert!(
            coding_matrix(params).unwrap() == want,
            "k = {k}, m = {m}, {w:?}"
        );
    }

    #[test]
    fn small_matrices_are_those_of_c() {
        for w in [WordSize::W8, WordSize::W16, WordSize::W32] {
            for k in 1..=20 {
                for m in 1..=20 {
                    assert_is_that_of_c(k, m, w);
                }
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
    fn matrices_are_the_golden_ones() {
        let text = include_str!("../../tests/golden/jerasure.json");
        let all: serde_json::Value = serde_json::from_str(text).unwrap();
        let cases = all["matrices"].as_array().unwrap().iter();
        let mut compared = 0;
        for case in cases.filter(|case| case["technique"] == "reed_sol_van") {
            let number = |name: &str| case[name].as_u64().unwrap();
            let w = WordSize::try_from(number("w") as u32).unwrap();
            let params = CodeParams::new(number("k") as usize, number("m") as usize, w).unwrap();
            let want: Vec<u32> = serde_json::from_value(case["matrix"].clone()).unwrap();
            assert_eq!(coding_matrix(params), Some(want), "{case}");
            compared += 1;
        }
        assert!(compared > 0);
    }
}
