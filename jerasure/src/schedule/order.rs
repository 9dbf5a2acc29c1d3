//! In which order rows are made, and of what.

use crate::BitMatrix;
use crate::bit_matrix::{ones, xor};

/// Rows in the order in which they are made, each with the row made before that it starts from, if it does.
type Order = Vec<(usize, Option<usize>)>;

/// Row by row.
pub(super) fn dumb(rows: &BitMatrix) -> Order {
    (0..rows.rows()).map(|row| (row, None)).collect()
}

/// Always the row that is cheapest by now, the first among equals: for a row of its own that is its ones, and from
/// another row one copy and the bits in which they differ.
pub(super) fn smart(rows: &BitMatrix) -> Order {
    struct Waiting {
        row: usize,
        cost: u32,
        base: Option<usize>,
    }
    let count = |words: &[u64]| words.iter().map(|word| word.count_ones()).sum::<u32>();
    let mut waiting: Vec<Waiting> = (0..rows.rows())
        .map(|row| Waiting {
            row,
            cost: count(rows.words(row)),
            base: None,
        })
        .collect();
    let mut order = Vec::with_capacity(waiting.len());
    while let Some(next) = (0..waiting.len()).min_by_key(|&at| waiting[at].cost) {
        let Waiting { row, base, .. } = waiting.remove(next);
        order.push((row, base));
        for other in &mut waiting {
            let pairs = rows.words(row).iter().zip(rows.words(other.row));
            let cost = 1 + pairs.map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
            if cost < other.cost {
                (other.cost, other.base) = (cost, Some(row));
            }
        }
    }
    order
}

/// The columns that are to be added for a row, in order.
pub(super) fn columns(rows: &BitMatrix, row: usize, base: Option<usize>) -> Vec<usize> {
    let mut words = rows.words(row).to_vec();
    if let Some(base) = base {
        xor(&mut words, rows.words(base));
    }
    ones(&words).collect()
}
