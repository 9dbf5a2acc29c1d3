//! From a coding matrix and a list of erasures to the matrix that decodes.

use std::mem;

use super::zeros;
use crate::shards::check_index;
use crate::{Error, Matrix};

impl Matrix {
    /// The k x k matrix by which the first k survivors, whose indices come with it, make all k data shards
    /// (`jerasure_make_decoding_matrix`). This matrix is a coding matrix of m rows of k; `erased` holds up to m of the
    /// indices `0..k + m`, in any order.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::RepeatedShard`] or [`Error::TooManyErasures`] for a bad list of erasures;
    /// [`Error::Singular`] if these survivors do not determine the data.
    pub fn decoding_matrix(&self, erased: &[usize]) -> Result<(Self, Vec<usize>), Error> {
        let (k, m) = (self.cols(), self.rows());
        let mut sources = survivors(k, m, erased)?;
        sources.truncate(k);
        let mut elements = zeros(k, k)?;
        for (row, &shard) in elements.chunks_exact_mut(k).zip(&sources) {
            if shard < k {
                row[shard] = 1;
            } else {
                row.copy_from_slice(self.row(shard - k));
            }
        }
        let inverse = Self::of(self.word_size(), k, elements).inverse()?;
        Ok((inverse, sources))
    }
}

/// The shards that are not erased, in order, of k + m: at least k.
pub(crate) fn survivors(k: usize, m: usize, erased: &[usize]) -> Result<Vec<usize>, Error> {
    let mut is_erased = vec![false; k + m];
    for &index in erased {
        check_index("shard", index, k + m)?;
        if mem::replace(&mut is_erased[index], true) {
            return Err(Error::RepeatedShard { index });
        }
    }
    if erased.len() > m {
        let lost = erased.len();
        return Err(Error::TooManyErasures { lost, m });
    }
    Ok((0..k + m).filter(|&shard| !is_erased[shard]).collect())
}
