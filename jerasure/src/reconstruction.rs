//! Which combination of surviving shards each lost shard is.

use std::mem;

use crate::combine::{check_count, check_index};
use crate::galois::Field;
use crate::{Error, Matrix, Multiplier, WordSize};

/// The factors by which lost shards are computed from k survivors; made by
/// [`Codec::reconstruction`](crate::Codec::reconstruction).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconstruction {
    w: WordSize,
    lost: Box<[usize]>,
    sources: Box<[usize]>,
    /// A row of `sources.len()` for each lost shard.
    coefficients: Box<[u32]>,
}

impl Reconstruction {
    /// The lost shards, in the order that was asked for.
    pub fn lost(&self) -> &[usize] {
        &self.lost
    }

    /// The sources, in the order that was asked for.
    pub fn sources(&self) -> &[usize] {
        &self.sources
    }

    /// The factor of source number `source_pos` in lost shard number `lost_pos`. Both are positions in
    /// [`lost`](Self::lost) and [`sources`](Self::sources), not shard indices.
    ///
    /// # Panics
    /// If a position is out of range.
    pub fn coefficient(&self, lost_pos: usize, source_pos: usize) -> u32 {
        self.row(lost_pos)[source_pos]
    }

    /// The factors of all sources in lost shard number `lost_pos`.
    ///
    /// # Panics
    /// If the position is out of range.
    pub fn row(&self, lost_pos: usize) -> &[u32] {
        let k = self.sources.len();
        &self.coefficients[lost_pos * k..][..k]
    }

    /// [`row`](Self::row), prepared for multiplying regions.
    ///
    /// # Panics
    /// If the position is out of range.
    pub fn multipliers(&self, lost_pos: usize) -> Vec<Multiplier> {
        self.row(lost_pos)
            .iter()
            .map(|&coefficient| {
                Multiplier::new(self.w, coefficient).expect("a combination of elements is one")
            })
            .collect()
    }

    /// Solves only for the data shards that are no source. With r coding shards among the sources there are r of
    /// them, and r equations: coding shard i minus its known part is the sum of its unknown part. So an r by r matrix
    /// is inverted, where Jerasure inverts a k by k one for the same result.
    pub(crate) fn new(
        w: WordSize,
        matrix: &Matrix,
        lost: &[usize],
        sources: &[usize],
    ) -> Result<Self, Error> {
        let k = matrix.cols();
        check_shards(matrix, lost, sources)?;
        let mut is_source = vec![false; k + matrix.rows()];
        for &source in sources {
            is_source[source] = true;
        }
        let unknown: Vec<usize> = (0..k).filter(|&shard| !is_source[shard]).collect();
        let solved = solve(w, matrix, &unknown, sources)?;

        let field = Field::of(w);
        let mut coefficients = Vec::with_capacity(lost.len() * k);
        for &shard in lost {
            if shard < k {
                let position = unknown.binary_search(&shard).expect("lost data is unknown");
                coefficients.extend_from_slice(&solved[position * k..][..k]);
                continue;
            }
            // A lost coding shard is its row of the matrix, with each unknown replaced by what it was solved to be.
            let row = matrix.row(shard - k);
            let start = coefficients.len();
            coefficients.extend(sources.iter().map(|&s| if s < k { row[s] } else { 0 }));
            for (position, &data) in unknown.iter().enumerate() {
                for (sum, &part) in coefficients[start..]
                    .iter_mut()
                    .zip(&solved[position * k..])
                {
                    *sum ^= field.multiply(row[data], part);
                }
            }
        }
        Ok(Self {
            w,
            lost: lost.into(),
            sources: sources.into(),
            coefficients: coefficients.into(),
        })
    }
}

/// Each unknown data shard as a row of k factors of the sources.
fn solve(
    w: WordSize,
    matrix: &Matrix,
    unknown: &[usize],
    sources: &[usize],
) -> Result<Vec<u32>, Error> {
    let k = matrix.cols();
    if unknown.is_empty() {
        return Ok(Vec::new());
    }
    let equations: Vec<&[u32]> = sources
        .iter()
        .filter(|&&shard| shard >= k)
        .map(|&shard| matrix.row(shard - k))
        .collect();
    let square: Vec<u32> = equations
        .iter()
        .flat_map(|row| unknown.iter().map(|&data| row[data]))
        .collect();
    let field = Field::of(w);
    let inverse = Matrix::of(w, unknown.len(), square).inverse()?;

    let mut solved = Vec::with_capacity(unknown.len() * k);
    for combination in inverse.as_slice().chunks_exact(unknown.len()) {
        let mut coding = combination.iter();
        solved.extend(sources.iter().map(|&shard| {
            if shard >= k {
                *coding.next().expect("one factor for each equation")
            } else {
                combination
                    .iter()
                    .zip(&equations)
                    .fold(0, |sum, (&c, row)| sum ^ field.multiply(c, row[shard]))
            }
        }));
    }
    Ok(solved)
}

/// k sources, and no shard out of range or named twice.
fn check_shards(matrix: &Matrix, lost: &[usize], sources: &[usize]) -> Result<(), Error> {
    let shards = matrix.cols() + matrix.rows();
    check_count("sources", matrix.cols(), sources.len())?;
    let mut named = vec![false; shards];
    for &index in sources.iter().chain(lost) {
        check_index("shard", index, shards)?;
        if mem::replace(&mut named[index], true) {
            return Err(Error::RepeatedShard { index });
        }
    }
    Ok(())
}
