//! Codes whose shards are words of 8, 16 or 32 bits.

use std::sync::{Arc, OnceLock};

use super::{Map, Plan};
use crate::engine::{Engine, Factors};
use crate::reconstruction::choose_sources;
use crate::{CodeParams, Error, Matrix, Multiplier, Reconstruction, WordSize};

/// A coding matrix and what is prepared of it.
pub(super) struct Words {
    matrix: Matrix,
    engine: Engine,
    /// Prepared by the first encoding: who only updates a large code never needs it.
    encoder: OnceLock<Map>,
    /// One for each element of the matrix, prepared when first used: a large code rarely needs all.
    multipliers: Box<[OnceLock<Multiplier>]>,
}

impl Words {
    pub(super) fn new(params: CodeParams, matrix: Matrix, engine: Engine) -> Result<Self, Error> {
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
            matrix,
            engine,
            encoder: OnceLock::new(),
            multipliers: multipliers.into(),
        })
    }

    pub(super) fn matrix(&self) -> &Matrix {
        &self.matrix
    }

    pub(super) fn encoder(&self) -> &Map {
        self.encoder.get_or_init(|| {
            let elements = self.matrix.as_slice();
            Map::Words(Dots::new(self.engine, self.matrix.word_size(), elements))
        })
    }

    #[inline]
    pub(super) fn multiplier(&self, row: usize, col: usize) -> &Multiplier {
        assert!(col < self.matrix.cols(), "column {col} is out of range");
        self.multipliers[row * self.matrix.cols() + col].get_or_init(|| {
            let coefficient = self.matrix.get(row, col);
            Multiplier::with_engine(self.matrix.word_size(), coefficient, self.engine)
                .expect("a matrix holds elements of its field")
        })
    }

    pub(super) fn plan(&self, erased: &[usize], wanted: &[usize]) -> Result<Plan, Error> {
        let sources = choose_sources(&self.matrix, erased, wanted)?;
        let factors = Reconstruction::new(&self.matrix, wanted, &sources)?;
        let factors = factors.as_slice();
        Ok(Plan {
            sources: sources.into(),
            map: Map::Words(Dots::new(self.engine, self.matrix.word_size(), factors)),
        })
    }
}

/// A matrix that makes outputs of inputs.
pub(super) struct Dots {
    factors: Arc<dyn Factors>,
}

impl Dots {
    fn new(engine: Engine, w: WordSize, elements: &[u32]) -> Self {
        let factors = engine
            .prepare(w, elements)
            .expect("the engine was checked, and a matrix holds elements of its field");
        Self { factors }
    }

    pub(super) fn run(&self, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        self.factors.dot(0, inputs, outputs);
    }

    pub(super) fn bytes(&self) -> usize {
        self.factors.bytes()
    }
}
