//! A code ready for use: encode, update, decode.

use std::fmt;
use std::mem;
use std::sync::{Arc, OnceLock};

use crate::combine::{blocks, check_count, check_index, combine, common_length};
use crate::{CodeParams, CodingMatrix, Error, Multiplier, Reconstruction, Technique};

/// A code of k data shards and m coding shards.
///
/// Shards are byte regions of one length, a whole number of words, anywhere in memory. They are numbered data
/// first: `0..k`, then coding `k..k + m`. A clone is one pointer; all methods may run in several threads at once.
#[derive(Clone)]
pub struct Codec {
    inner: Arc<Inner>,
}

struct Inner {
    technique: Technique,
    params: CodeParams,
    matrix: CodingMatrix,
    /// One for each element of the matrix, prepared when first used: a large code rarely needs all.
    multipliers: Box<[OnceLock<Multiplier>]>,
}

impl Codec {
    /// Makes the code's matrix, in time proportional to its k * m elements: well under a millisecond for thousands
    /// of data shards and two coding shards. Still, a clone is cheaper, and shares the prepared multipliers.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the matrix could not be allocated.
    pub fn new(technique: Technique, params: CodeParams) -> Result<Self, Error> {
        let matrix = technique.matrix(params)?;
        let elements = matrix.as_slice().len();
        let mut multipliers = Vec::new();
        multipliers
            .try_reserve_exact(elements)
            .map_err(|_| Error::OutOfMemory {
                k: params.k(),
                m: params.m(),
            })?;
        multipliers.resize_with(elements, OnceLock::new);
        Ok(Self {
            inner: Arc::new(Inner {
                technique,
                params,
                matrix,
                multipliers: multipliers.into(),
            }),
        })
    }

    /// How the matrix was made.
    pub fn technique(&self) -> Technique {
        self.inner.technique
    }

    /// The code's shape.
    pub fn params(&self) -> CodeParams {
        self.inner.params
    }

    /// The coding matrix: m rows of k.
    pub fn matrix(&self) -> &CodingMatrix {
        &self.inner.matrix
    }

    /// The factor of data shard `col` in coding shard `row` (`0..m`).
    ///
    /// # Panics
    /// If `row` or `col` is out of range.
    pub fn coefficient(&self, row: usize, col: usize) -> u32 {
        self.inner.matrix.get(row, col)
    }

    /// [`coefficient`](Self::coefficient), prepared for multiplying regions and kept.
    ///
    /// # Panics
    /// If `row` or `col` is out of range.
    pub fn multiplier(&self, row: usize, col: usize) -> &Multiplier {
        let coefficient = self.coefficient(row, col);
        self.inner.multipliers[row * self.inner.params.k() + col].get_or_init(|| {
            Multiplier::new(self.inner.params.w(), coefficient)
                .expect("a matrix holds elements of its field")
        })
    }

    /// Computes all coding shards from all data shards: k of `data`, m of `coding`.
    ///
    /// Once each coefficient has been used, allocates two lists of slices and nothing else. Each shard is asked for its
    /// slice once.
    ///
    /// # Errors
    /// [`Error::Count`] for a wrong number of shards, [`Error::LengthMismatch`] if they differ in length,
    /// [`Error::PartialWord`] if they are not whole words; nothing is written then.
    pub fn encode(
        &self,
        data: &[impl AsRef<[u8]>],
        coding: &mut [impl AsMut<[u8]>],
    ) -> Result<(), Error> {
        let params = self.params();
        check_count("data shards", params.k(), data.len())?;
        check_count("coding shards", params.m(), coding.len())?;
        // Each slice is taken once, so the lengths that are checked are those that are used.
        let data: Vec<&[u8]> = data.iter().map(AsRef::as_ref).collect();
        let mut coding: Vec<&mut [u8]> = coding.iter_mut().map(AsMut::as_mut).collect();
        let data_lengths = data.iter().map(|shard| shard.len());
        let coding_lengths = coding.iter().map(|shard| shard.len());
        let bytes = common_length(data_lengths.chain(coding_lengths))?;
        params.w().check_length(bytes)?;

        for block in blocks(bytes) {
            for (row, code) in coding.iter_mut().enumerate() {
                let terms = data
                    .iter()
                    .enumerate()
                    .map(|(col, shard)| (self.multiplier(row, col), &shard[block.clone()]));
                combine(&mut code[block.clone()], terms)?;
            }
        }
        Ok(())
    }

    /// Brings one coding shard up to date with one changed data shard, or with the same part of both:
    /// `code ^= coefficient(row, data_index) * (old ^ new)`.
    ///
    /// Allocates nothing once the coefficient has been used. The paper calls this updating the fused node.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `row` is not in `0..m` or `data_index` not in `0..k`; [`Error::LengthMismatch`] and
    /// [`Error::PartialWord`] as for [`encode`](Self::encode). Nothing is written then.
    pub fn update(
        &self,
        row: usize,
        data_index: usize,
        old: &[u8],
        new: &[u8],
        code: &mut [u8],
    ) -> Result<(), Error> {
        let params = self.params();
        check_index("coding row", row, params.m())?;
        check_index("data shard", data_index, params.k())?;
        let bytes = common_length([code.len(), old.len(), new.len()])?;
        params.w().check_length(bytes)?;

        self.multiplier(row, data_index).update(code, old, new)
    }

    /// Computes the lost shards in place. `shards` holds all k + m, data first; the contents of those whose index is
    /// in `erased` are ignored and overwritten, but they must have the others' length. Returns at once if none is.
    ///
    /// # Errors
    /// [`Error::Count`], [`Error::LengthMismatch`] and [`Error::PartialWord`] as for [`encode`](Self::encode);
    /// [`Error::OutOfRange`] or [`Error::RepeatedShard`] for a bad index; [`Error::TooManyErasures`] for more than m.
    /// Nothing is written then.
    pub fn decode(&self, shards: &mut [impl AsMut<[u8]>], erased: &[usize]) -> Result<(), Error> {
        let params = self.params();
        check_count("shards", params.shards(), shards.len())?;
        // Each slice is taken once, so the lengths that are checked are those that are used.
        let mut shards: Vec<&mut [u8]> = shards.iter_mut().map(AsMut::as_mut).collect();
        let bytes = common_length(shards.iter().map(|shard| shard.len()))?;
        params.w().check_length(bytes)?;
        let Some(sources) = self.survivors(erased)? else {
            return Ok(());
        };
        let plan = self.reconstruction(erased, &sources)?;
        let mut targets: Vec<(Vec<Multiplier>, &mut [u8])> = erased
            .iter()
            .enumerate()
            .map(|(position, &lost)| (plan.multipliers(position), mem::take(&mut shards[lost])))
            .collect();
        for block in blocks(bytes) {
            for (multipliers, target) in &mut targets {
                let blocks = sources.iter().map(|&source| &shards[source][block.clone()]);
                combine(&mut target[block.clone()], multipliers.iter().zip(blocks))?;
            }
        }
        Ok(())
    }

    /// How to compute the shards `lost` from exactly k surviving `sources`, both in any order:
    /// lost\[l\] is the sum over s of `coefficient(l, s)` times sources\[s\].
    ///
    /// # Errors
    /// [`Error::Count`] unless there are k sources; [`Error::OutOfRange`] for an index beyond `0..k + m`;
    /// [`Error::RepeatedShard`] for one named twice, also once in each list; [`Error::Singular`] if the sources do not
    /// determine the data, which cannot happen with [`Technique::ReedSolVan`].
    pub fn reconstruction(
        &self,
        lost: &[usize],
        sources: &[usize],
    ) -> Result<Reconstruction, Error> {
        Reconstruction::new(self.params().w(), self.matrix(), lost, sources)
    }

    /// The first k shards that are not erased, or `None` if nothing is.
    pub(crate) fn survivors(&self, erased: &[usize]) -> Result<Option<Vec<usize>>, Error> {
        let params = self.params();
        let mut is_erased = vec![false; params.shards()];
        for &index in erased {
            check_index("shard", index, params.shards())?;
            if mem::replace(&mut is_erased[index], true) {
                return Err(Error::RepeatedShard { index });
            }
        }
        if erased.len() > params.m() {
            return Err(Error::TooManyErasures {
                lost: erased.len(),
                m: params.m(),
            });
        }
        if erased.is_empty() {
            return Ok(None);
        }
        let survivors = (0..params.shards()).filter(|&index| !is_erased[index]);
        Ok(Some(survivors.take(params.k()).collect()))
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec")
            .field("technique", &self.inner.technique)
            .field("params", &self.inner.params)
            .finish_non_exhaustive()
    }
}
