//! Linear maps from some shards to others: what encoding and decoding run.

use std::sync::Arc;

use super::program::Program;
use crate::engine::Factors;
use crate::schedule::Schedule;
use crate::{BitMatrix, CodeParams, Engine, Error, WordSize, bit_matrix};

/// A linear map, prepared for one engine.
pub(crate) enum Map {
    /// Of words: a row of factors for each output.
    Words(Arc<dyn Factors>),
    /// Of packets.
    Packets(Program),
}

impl Map {
    /// The map of a matrix over words, row after row.
    pub(crate) fn of_words(engine: Engine, w: WordSize, elements: &[u32]) -> Result<Self, Error> {
        engine.prepare(w, elements).map(Self::Words)
    }

    /// The map of a bit matrix, `outputs * w` rows of `inputs * w`, by its smart schedule
    /// if that is found soon.
    pub(crate) fn of_packets(
        engine: Engine,
        params: CodeParams,
        rows: &BitMatrix,
    ) -> Result<Self, Error> {
        let w = params.w().bits() as usize;
        let (inputs, outputs) = (rows.cols() / w, rows.rows() / w);
        let sources: Vec<usize> = (0..inputs).collect();
        let targets: Vec<usize> = (inputs..inputs + outputs).collect();
        let schedule = Schedule::cheapest(rows, params.w(), &sources, &targets);
        let packet_bytes = packet_bytes(params);
        Ok(Self::Packets(Program::new(
            engine.xor()?,
            schedule,
            inputs,
            w,
            packet_bytes,
        )))
    }

    /// Makes the outputs of the inputs. All are equally long and of whole units.
    pub(crate) fn run(&self, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        match self {
            Self::Words(factors) => factors.dot(0, inputs, outputs),
            Self::Packets(program) => program.run(inputs, outputs),
        }
    }

    /// What it holds in memory.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Words(factors) => factors.bytes(),
            Self::Packets(program) => program.bytes(),
        }
    }
}

/// `code ^= block(row, col) * (old ^ new)`, stripe by stripe.
pub(super) fn update_packets(
    engine: Engine,
    params: CodeParams,
    bits: &BitMatrix,
    (row, col): (usize, usize),
    code: &mut [u8],
    (old, new): (&[u8], &[u8]),
) -> Result<(), Error> {
    let xor = engine.xor()?;
    let w = params.w().bits() as usize;
    let packet = packet_bytes(params);
    let mut block = [0_u64; 32];
    for (bit, block) in block[..w].iter_mut().enumerate() {
        *block = bit_matrix::block(bits.words(row * w + bit), col, w);
    }
    // The difference, a piece at a time, on the stack.
    let mut difference = [0; PIECE];
    for stripe in (0..code.len()).step_by(w * packet) {
        for source in 0..w {
            for piece in (0..packet).step_by(PIECE) {
                let at = stripe + source * packet + piece;
                let bytes = PIECE.min(packet - piece);
                let difference = &mut difference[..bytes];
                xor.xor_many(difference, &[&old[at..][..bytes], &new[at..][..bytes]]);
                for bit in (0..w).filter(|&bit| block[bit] >> source & 1 == 1) {
                    let at = stripe + bit * packet + piece;
                    xor.xor_add(&mut code[at..][..bytes], difference);
                }
            }
        }
    }
    Ok(())
}

/// Bytes of a packet whose difference is made at a time.
const PIECE: usize = 1024;

fn packet_bytes(params: CodeParams) -> usize {
    params
        .packet_bytes()
        .expect("a code on packets is made with their size")
}
