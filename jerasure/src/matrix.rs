//! Coding matrices as values.

/// The rows by which coding shards are made of data shards: m rows of k elements, row-major.
///
/// Coding shard i is the sum over j of element (i, j) times data shard j.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodingMatrix {
    cols: usize,
    elements: Box<[u32]>,
}

impl CodingMatrix {
    /// Takes a whole number of rows.
    pub(crate) fn new(cols: usize, elements: Vec<u32>) -> Self {
        assert!(cols > 0 && elements.len().is_multiple_of(cols));
        Self {
            cols,
            elements: elements.into(),
        }
    }

    /// Rows: one for each coding shard.
    pub fn rows(&self) -> usize {
        self.elements.len() / self.cols
    }

    /// Columns: one for each data shard.
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
        &self.elements[row * self.cols..][..self.cols]
    }

    /// All elements, row after row.
    pub fn as_slice(&self) -> &[u32] {
        &self.elements
    }
}
