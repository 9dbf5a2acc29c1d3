//! Schedules that bring lost shards back.

use super::{Schedule, check};
use crate::reconstruction::{choose_sources, packet_rows};
use crate::technique::Generator;
use crate::{BitMatrix, Error, WordSize};

impl Schedule {
    /// The operations that make one stripe of all erased shards, data and coding, of survivors
    /// (`jerasure_schedule_decode_lazy`). `bits` is the code's matrix, m * w rows of k * w; `erased` holds up to m
    /// indices of shards, in any order. Without erasures there is nothing to do.
    ///
    /// The first k survivors are used, as in C, unless they do not determine the lost shards and others do.
    ///
    /// # Errors
    /// [`Error::MatrixShape`] for another matrix; [`Error::OutOfRange`], [`Error::RepeatedShard`] or
    /// [`Error::TooManyErasures`] for a bad list of erasures; [`Error::Singular`] if the survivors do not determine the
    /// lost shards, where the C function returns success with wrong data.
    pub fn decoding(
        bits: &BitMatrix,
        k: usize,
        m: usize,
        w: WordSize,
        erased: &[usize],
        smart: bool,
    ) -> Result<Self, Error> {
        check(bits, k, m, w)?;
        let generator = Generator::Packets {
            matrix: None,
            bits: bits.clone(),
        };
        let chosen = choose_sources(&generator, w, erased, erased)?;
        if erased.is_empty() {
            return Ok(Self {
                steps: Vec::new(),
                sources: Vec::new(),
            });
        }
        let mut lost = erased.to_vec();
        lost.sort_unstable();
        let sources = in_place_of_lost(k, &chosen);
        let rows = packet_rows(bits, w, &lost, &sources)?;
        Ok(Self::of_rows(&rows, w, &sources, &lost, smart))
    }
}

/// The sources in the order of C's columns, which is that of its operations: each data shard, or where it is lost the
/// next coding shard. Further coding shards, which C never uses, come last.
fn in_place_of_lost(k: usize, sources: &[usize]) -> Vec<usize> {
    let (data, coding): (Vec<usize>, Vec<usize>) = sources.iter().partition(|&&s| s < k);
    let mut coding = coding.into_iter();
    let mut ordered: Vec<usize> = (0..k)
        .filter_map(|shard| match data.binary_search(&shard) {
            Ok(_) => Some(shard),
            Err(_) => coding.next(),
        })
        .collect();
    ordered.extend(coding);
    ordered
}
