//! Linear maps from some shards to others: what encoding and decoding run.

use std::sync::Arc;

use super::program::Program;
use crate::engine::Factors;
use crate::schedule::Schedule;
use crate::{BitMatrix, CodeParams, Engine, Error, WordSize};

/// A linear map, prepared for one engine.
pub(super) enum Map {
    /// Of words: a row of factors for each output.
    Words(Arc<dyn Factors>),
    /// Of packets.
    Packets(Program),
}

impl Map {
    /// The map of a matrix over words, row after row.
    pub(super) fn of_words(engine: Engine, w: WordSize, elements: &[u32]) -> Result<Self, Error> {
        engine.prepare(w, elements).map(Self::Words)
    }

    /// The map of a bit matrix, `outputs * w` rows of `inputs * w`, by its smart schedule.
    pub(super) fn of_packets(
        engine: Engine,
        params: CodeParams,
        rows: &BitMatrix,
    ) -> Result<Self, Error> {
        let w = params.w().bits() as usize;
        let (inputs, outputs) = (rows.cols() / w, rows.rows() / w);
        let sources: Vec<usize> = (0..inputs).collect();
        let targets: Vec<usize> = (inputs..inputs + outputs).collect();
        let schedule = Schedule::of_rows(rows, params.w(), &sources, &targets, true);
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
    pub(super) fn run(&self, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
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
    let block = col * w..(col + 1) * w;
    for (bit, ones) in (0..w).map(|bit| (bit, bits.row(row * w + bit))) {
        for one in ones.filter(|one| block.contains(one)) {
            for stripe in (0..code.len()).step_by(w * packet) {
                let target = &mut code[stripe + bit * packet..][..packet];
                let source = stripe + (one - block.start) * packet;
                xor.xor_add(target, &old[source..][..packet]);
                xor.xor_add(target, &new[source..][..packet]);
            }
        }
    }
    Ok(())
}

fn packet_bytes(params: CodeParams) -> usize {
    params
        .packet_bytes()
        .expect("a code on packets is made with their size")
}
