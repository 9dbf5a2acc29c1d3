//! Codes whose shards are stripes of w packets, each packet of coding the XOR of some packets of data.

use super::program::Program;
use super::{Map, Plan};
use crate::engine::{Engine, Xor};
use crate::reconstruction::{choose_sources_of_bits, reconstruct_bits};
use crate::schedule::Schedule;
use crate::technique::Generator;
use crate::{BitMatrix, CodeParams, Error, Matrix};

/// A coding bit matrix and what is prepared of it.
pub(super) struct Packets {
    params: CodeParams,
    matrix: Option<Matrix>,
    bits: BitMatrix,
    engine: Engine,
    xor: &'static dyn Xor,
    encoder: Map,
}

impl Packets {
    pub(super) fn new(
        params: CodeParams,
        matrix: Option<Matrix>,
        bits: BitMatrix,
        engine: Engine,
    ) -> Result<Self, Error> {
        let encoder = Map::Packets(program(params, &bits, params.m(), engine)?);
        Ok(Self {
            params,
            matrix,
            bits,
            engine,
            xor: engine.xor()?,
            encoder,
        })
    }

    pub(super) fn matrix(&self) -> Option<&Matrix> {
        self.matrix.as_ref()
    }

    pub(super) fn bits(&self) -> &BitMatrix {
        &self.bits
    }

    pub(super) fn generator(&self) -> Generator {
        Generator::Packets {
            matrix: self.matrix.clone(),
            bits: self.bits.clone(),
        }
    }

    pub(super) fn encoder(&self) -> &Map {
        &self.encoder
    }

    /// `code ^= block(row, col) * (old ^ new)`, stripe by stripe.
    pub(super) fn update(&self, row: usize, col: usize, code: &mut [u8], old: &[u8], new: &[u8]) {
        let w = self.params.w().bits() as usize;
        let packet = packet_bytes(self.params);
        let stripes = code.chunks_exact_mut(w * packet);
        for (stripe, code) in stripes.enumerate() {
            for (bit, target) in code.chunks_exact_mut(packet).enumerate() {
                let ones = self.bits.row_in(row * w + bit, col * w..(col + 1) * w);
                for source in ones.map(|one| (stripe * w + one - col * w) * packet) {
                    self.xor.xor_add(target, &old[source..][..packet]);
                    self.xor.xor_add(target, &new[source..][..packet]);
                }
            }
        }
    }

    pub(super) fn plan(&self, erased: &[usize], wanted: &[usize]) -> Result<Plan, Error> {
        let w = self.params.w().bits() as usize;
        let sources = choose_sources_of_bits(&self.bits, w, erased, wanted)?;
        let bits = reconstruct_bits(&self.bits, w, wanted, &sources)?;
        Ok(Plan {
            sources: sources.into(),
            map: Map::Packets(program(self.params, &bits, wanted.len(), self.engine)?),
        })
    }
}

/// The smart schedule of a bit matrix that makes `outputs` shards of k.
fn program(
    params: CodeParams,
    bits: &BitMatrix,
    outputs: usize,
    engine: Engine,
) -> Result<Program, Error> {
    let w = params.w().bits() as usize;
    let schedule = Schedule::smart(bits, params.k(), outputs, params.w())?;
    Ok(Program::new(
        engine.xor()?,
        &schedule,
        params.k(),
        outputs,
        w,
        packet_bytes(params),
    ))
}

fn packet_bytes(params: CodeParams) -> usize {
    params
        .packet_bytes()
        .expect("a code on packets was made with their size")
}
