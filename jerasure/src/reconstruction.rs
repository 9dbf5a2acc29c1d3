//! Which combination of surviving shards each lost shard is.

mod packets;
mod words;

use std::mem;

use crate::galois::Field;
use crate::shards::{check_count, check_index};
use crate::technique::Generator;
use crate::{Error, Matrix, Multiplier, WordSize};

pub(crate) use packets::packet_rows;

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

    /// The factors of all lost shards, row after row.
    pub(crate) fn as_slice(&self) -> &[u32] {
        &self.coefficients
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

    /// Solves only for the data shards that are no source: each coding shard among the sources, minus its known part,
    /// is a sum of them. So with r coding shards a matrix of r rows is eliminated, where Jerasure inverts one of k for
    /// the same result.
    ///
    /// The sources need not determine all data, as long as they determine the lost shards.
    pub(crate) fn new(matrix: &Matrix, lost: &[usize], sources: &[usize]) -> Result<Self, Error> {
        let (w, k) = (matrix.word_size(), matrix.cols());
        check_count("sources", k, sources.len())?;
        check_shards(k + matrix.rows(), lost, sources)?;
        let is_source = marked(k, sources);
        let unknown: Vec<usize> = (0..k).filter(|&shard| !is_source[shard]).collect();
        let coding: Vec<usize> = sources.iter().copied().filter(|&s| s >= k).collect();
        let mut span = words::span(matrix, &unknown, coding.len());
        for &shard in &coding {
            span.add(&words::part(matrix.row(shard - k), &unknown));
        }

        let field = Field::of(w);
        let mut coefficients = Vec::with_capacity(lost.len() * k);
        for &shard in lost {
            // What the lost shard is of all data shards; adding equations makes the unknown ones of it vanish.
            let mut known = words::row(matrix, shard);
            let factors = span
                .express(&words::part(&known, &unknown))
                .ok_or(Error::Singular)?;
            for (&factor, &source) in factors.iter().zip(&coding) {
                field.add_scaled(&mut known, factor, matrix.row(source - k));
            }
            let mut factors = factors.into_iter();
            coefficients.extend(sources.iter().map(|&source| match known.get(source) {
                Some(&factor) => factor,
                None => factors.next().expect("one factor for each coding shard"),
            }));
        }
        Ok(Self {
            w,
            lost: lost.into(),
            sources: sources.into(),
            coefficients: coefficients.into(),
        })
    }
}

/// Survivors that determine the shards `wanted` when those in `erased` are gone, in order: the first k if these can be
/// solved, as in C, otherwise some that can. Codes on words always get k of them, codes on packets sometimes more.
///
/// # Errors
/// [`Error::OutOfRange`], [`Error::RepeatedShard`] or [`Error::TooManyErasures`] for a bad list of erasures;
/// [`Error::Singular`] only if all survivors together do not determine a wanted shard.
pub(crate) fn choose_sources(
    generator: &Generator,
    w: WordSize,
    erased: &[usize],
    wanted: &[usize],
) -> Result<Vec<usize>, Error> {
    match generator {
        Generator::Words(matrix) => words::choose_sources(matrix, erased, wanted),
        Generator::Packets { bits, .. } => packets::choose_sources(bits, w, erased, wanted),
    }
}

/// No shard is out of range or named twice.
fn check_shards(shards: usize, lost: &[usize], sources: &[usize]) -> Result<(), Error> {
    let mut named = vec![false; shards];
    for &index in sources.iter().chain(lost) {
        check_index("shard", index, shards)?;
        if mem::replace(&mut named[index], true) {
            return Err(Error::RepeatedShard { index });
        }
    }
    Ok(())
}

/// Which of the first `count` shards are in the list.
fn marked(count: usize, shards: &[usize]) -> Vec<bool> {
    let mut marked = vec![false; count];
    for &shard in shards.iter().filter(|&&shard| shard < count) {
        marked[shard] = true;
    }
    marked
}
