//! The ways to make a coding matrix.

use crate::{CodeParams, CodingMatrix, Error, vandermonde};

/// How a code's matrix is made; part of the format of stored data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Technique {
    /// Reed-Solomon by a systematic Vandermonde matrix (`reed_sol_vandermonde_coding_matrix`). Row 0 and column 0
    /// are all ones, so the first coding shard is the XOR of the data shards. Any m losses are recoverable.
    ReedSolVan,
}

impl Technique {
    /// Makes the matrix, in two multiplications an element.
    pub(crate) fn matrix(self, params: CodeParams) -> Result<CodingMatrix, Error> {
        let elements = match self {
            Self::ReedSolVan => vandermonde::coding_matrix(params),
        };
        elements
            .map(|elements| CodingMatrix::new(params.k(), elements))
            .ok_or(Error::OutOfMemory {
                k: params.k(),
                m: params.m(),
            })
    }
}
