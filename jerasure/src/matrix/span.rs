//! What a list of rows can be combined to: the one elimination behind inverses, ranks and reconstruction.

use crate::WordSize;
use crate::galois::Field;

/// The rows added so far, reduced, each with the factors of the added rows that it is the sum of.
pub(crate) struct Span {
    field: &'static Field,
    width: usize,
    capacity: usize,
    added: usize,
    /// Lines of a row, whose first element that is not 0 is 1 and stands at the line's pivot, and of its factors.
    /// It is zero at the pivots of the lines before it, though not of those behind it.
    lines: Vec<Vec<u32>>,
    pivots: Vec<usize>,
}

impl Span {
    /// For up to `capacity` rows of `width` elements.
    pub(crate) fn new(w: WordSize, width: usize, capacity: usize) -> Self {
        Self {
            field: Field::of(w),
            width,
            capacity,
            added: 0,
            lines: Vec::new(),
            pivots: Vec::new(),
        }
    }

    /// Adds a row; whether it is independent of those before it.
    pub(crate) fn add(&mut self, row: &[u32]) -> bool {
        assert!(self.added < self.capacity, "more rows than were announced");
        let mut line = self.line_of(row);
        line[self.width + self.added] = 1;
        self.added += 1;
        self.reduce(&mut line);
        let Some(pivot) = line[..self.width].iter().position(|&e| e != 0) else {
            return false;
        };
        let scale = self.field.inverse(line[pivot]);
        self.field.scale(&mut line, scale);
        // Later rows are no part of this one.
        line.truncate(self.width + self.added);
        self.lines.push(line);
        self.pivots.push(pivot);
        true
    }

    /// Independent rows so far.
    pub(crate) fn rank(&self) -> usize {
        self.pivots.len()
    }

    /// The factors, one for each row added, by which the rows sum up to `target`; `None` if they cannot.
    pub(crate) fn express(&self, target: &[u32]) -> Option<Vec<u32>> {
        let mut line = self.line_of(target);
        self.reduce(&mut line);
        let (rest, factors) = line.split_at(self.width);
        rest.iter()
            .all(|&e| e == 0)
            .then(|| factors[..self.added].to_vec())
    }

    /// Rows that are orthogonal to every row added, and independent: as many as the width has beyond the rank.
    pub(crate) fn annihilator(&self) -> Vec<Vec<u32>> {
        // Each line is made zero at the pivots of those behind it, too.
        let mut lines: Vec<Vec<u32>> = self
            .lines
            .iter()
            .map(|l| l[..self.width].to_vec())
            .collect();
        for behind in (0..lines.len()).rev() {
            let (before, rest) = lines.split_at_mut(behind);
            for line in before {
                let factor = line[self.pivots[behind]];
                self.field.add_scaled(line, factor, &rest[0]);
            }
        }
        let free = (0..self.width).filter(|column| !self.pivots.contains(column));
        let row = |column: usize| {
            let mut row = vec![0; self.width];
            row[column] = 1;
            for (&pivot, line) in self.pivots.iter().zip(&lines) {
                row[pivot] = line[column];
            }
            row
        };
        free.map(row).collect()
    }

    fn line_of(&self, row: &[u32]) -> Vec<u32> {
        assert_eq!(row.len(), self.width);
        let mut line = Vec::with_capacity(self.width + self.capacity);
        line.extend_from_slice(row);
        line.resize(self.width + self.capacity, 0);
        line
    }

    fn reduce(&self, line: &mut [u32]) {
        for (&pivot, known) in self.pivots.iter().zip(&self.lines) {
            let factor = line[pivot];
            let target = &mut line[pivot..known.len()];
            self.field.add_scaled(target, factor, &known[pivot..]);
        }
    }
}
