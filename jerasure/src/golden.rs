//! The checked-in matrices of the C library, for tests.

use serde_json::Value;

use crate::{BitMatrix, WordSize};

/// One matrix of `tests/golden/jerasure.json`.
pub(crate) struct GoldenMatrix {
    pub(crate) k: usize,
    pub(crate) m: usize,
    pub(crate) w: WordSize,
    pub(crate) elements: Vec<u32>,
}

/// Hands each of a technique's matrices to `check`; how many there are.
pub(crate) fn each_matrix(technique: &str, check: impl Fn(GoldenMatrix)) -> usize {
    let text = include_str!("../../tests/golden/jerasure.json");
    let all: Value = serde_json::from_str(text).unwrap();
    let cases = all["matrices"].as_array().unwrap().iter();
    let cases: Vec<&Value> = cases
        .filter(|case| case["technique"] == technique)
        .collect();
    for case in &cases {
        let number = |name: &str| case[name].as_u64().unwrap();
        check(GoldenMatrix {
            k: number("k") as usize,
            m: number("m") as usize,
            w: WordSize::new(number("w") as u32).unwrap(),
            elements: serde_json::from_value(case["matrix"].clone()).unwrap(),
        });
    }
    cases.len()
}

/// A bit matrix as the C library has it: a number for each bit.
pub(crate) fn bits(matrix: &BitMatrix) -> Vec<u32> {
    let row = |row| (0..matrix.cols()).map(move |col| u32::from(matrix.get(row, col)));
    (0..matrix.rows()).flat_map(row).collect()
}
