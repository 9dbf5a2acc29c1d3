//! What a list of rows of bits can be combined to: [`Span`](crate::matrix::Span) over packed bits.

use super::{ones, xor};

/// The rows added so far, reduced, each with the numbers of the added rows that it is the sum of.
pub(crate) struct BitSpan {
    /// Machine words of a row and of a list of numbers.
    words: usize,
    number_words: usize,
    capacity: usize,
    added: usize,
    /// Lines of a row, whose pivot is its first one, and of numbers. It is zero at the pivots of the lines before it,
    /// though not of those behind it.
    lines: Vec<Vec<u64>>,
    pivots: Vec<usize>,
}

impl BitSpan {
    /// For up to `capacity` rows of `width` bits.
    pub(crate) fn new(width: usize, capacity: usize) -> Self {
        Self {
            words: width.div_ceil(64),
            number_words: capacity.div_ceil(64),
            capacity,
            added: 0,
            lines: Vec::new(),
            pivots: Vec::new(),
        }
    }

    /// Adds a row; whether it is independent of those before it.
    pub(crate) fn add(&mut self, row: &[u64]) -> bool {
        assert!(self.added < self.capacity, "more rows than were announced");
        let mut line = self.line_of(row);
        line[self.words + self.added / 64] = 1 << (self.added % 64);
        self.added += 1;
        self.reduce(&mut line);
        let Some(pivot) = ones(&line[..self.words]).next() else {
            return false;
        };
        self.lines.push(line);
        self.pivots.push(pivot);
        true
    }

    /// Independent rows so far.
    pub(crate) fn rank(&self) -> usize {
        self.pivots.len()
    }

    /// The rows that sum up to `target`, as packed bits, one for each row announced; `None` if they cannot.
    pub(crate) fn express(&self, target: &[u64]) -> Option<Vec<u64>> {
        let mut line = self.line_of(target);
        self.reduce(&mut line);
        let numbers = line.split_off(self.words);
        line.iter().all(|&word| word == 0).then_some(numbers)
    }

    fn line_of(&self, row: &[u64]) -> Vec<u64> {
        assert_eq!(row.len(), self.words);
        let mut line = Vec::with_capacity(self.words + self.number_words);
        line.extend_from_slice(row);
        line.resize(self.words + self.number_words, 0);
        line
    }

    fn reduce(&self, line: &mut [u64]) {
        for (&pivot, known) in self.pivots.iter().zip(&self.lines) {
            if line[pivot / 64] >> (pivot % 64) & 1 == 1 {
                xor(line, known);
            }
        }
    }
}
