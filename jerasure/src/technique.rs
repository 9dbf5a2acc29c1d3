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
    /// Checks what this technique asks of a shape.
    ///
    /// # Errors
    /// [`Error::WordSize`] for a w that it does not have, [`Error::TooManyShards`] for more shards than its matrix can
    /// have, [`Error::PacketsUnused`] if a packet size is given.
    pub fn check(self, params: CodeParams) -> Result<(), Error> {
        let (k, m, w) = (params.k(), params.m(), params.w());
        w.check_region()?;
        if params.packet_bytes().is_some() {
            return Err(Error::PacketsUnused { what: self.name() });
        }
        let limit = (w.max_element() as usize).saturating_add(1);
        if params.shards() > limit {
            let w = w.bits();
            return Err(Error::TooManyShards { k, m, w, limit });
        }
        Ok(())
    }

    /// The C library's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReedSolVan => "reed_sol_van",
        }
    }

    /// Makes the matrix, in two multiplications an element.
    pub(crate) fn matrix(self, params: CodeParams) -> Result<CodingMatrix, Error> {
        self.check(params)?;
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
