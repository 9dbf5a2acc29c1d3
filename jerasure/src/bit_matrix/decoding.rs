//! From a coding matrix of bits and a list of erasures to the matrix that decodes.

use crate::matrix::survivors;
use crate::{BitMatrix, Error, WordSize};

impl BitMatrix {
    /// The matrix, k * w rows of k * w, by which the packets of the first k survivors, whose indices come with it,
    /// make those of all k data shards (`jerasure_make_decoding_bitmatrix`). This matrix is a coding matrix of m * w rows
    /// of k * w; `erased` holds up to m of the indices `0..k + m`, in any order.
    ///
    /// # Errors
    /// [`Error::MatrixShape`] if its rows or columns are no multiple of w; [`Error::OutOfRange`],
    /// [`Error::RepeatedShard`] or [`Error::TooManyErasures`] for a bad list of erasures; [`Error::Singular`] if these
    /// survivors do not determine the data.
    pub fn decoding_matrix(
        &self,
        w: WordSize,
        erased: &[usize],
    ) -> Result<(Self, Vec<usize>), Error> {
        let (k, m) = self.code_shape(w)?;
        let mut sources = survivors(k, m, erased)?;
        sources.truncate(k);
        let packets = w.bits() as usize;
        let mut matrix = Self::zeros(k * packets, k * packets)?;
        for (position, &shard) in sources.iter().enumerate() {
            for packet in 0..packets {
                let row = position * packets + packet;
                if shard < k {
                    matrix.set(row, shard * packets + packet);
                } else {
                    let code = self.words((shard - k) * packets + packet);
                    matrix.words_mut(row).copy_from_slice(code);
                }
            }
        }
        Ok((matrix.inverse()?, sources))
    }

    /// k and m of a coding matrix, at least 1 each.
    pub(crate) fn code_shape(&self, w: WordSize) -> Result<(usize, usize), Error> {
        let w = w.bits() as usize;
        let (k, m) = (self.cols().div_ceil(w), self.rows().div_ceil(w));
        self.check_shape(m * w, k * w)?;
        Ok((k, m))
    }
}
