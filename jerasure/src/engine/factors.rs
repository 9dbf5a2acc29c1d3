//! What an engine computes: the two traits that codes are written on.

use std::fmt;
use std::sync::Arc;

use super::direct::Direct;

/// Factors prepared by one engine for one word size, in the order in which they were given.
///
/// Regions may be anywhere in memory. Those of one call are equally long and whole words; anything else, and an index
/// out of range, is a panic, because callers have checked. Empty regions are fine.
pub(crate) trait Factors: fmt::Debug + Send + Sync {
    /// `dst = factor * src`.
    fn mul(&self, index: usize, dst: &mut [u8], src: &[u8]);

    /// `dst ^= factor * src`.
    fn mul_add(&self, index: usize, dst: &mut [u8], src: &[u8]);

    /// `code ^= factor * (old ^ new)`, in one pass.
    fn update(&self, index: usize, code: &mut [u8], old: &[u8], new: &[u8]);

    /// `outputs[r]` becomes the sum over c of factor `first + r * sources.len() + c` times `sources[c]`: zero if there
    /// are no sources. Sources may be one another. What the outputs held does not matter.
    fn dot(&self, first: usize, sources: &[&[u8]], outputs: &mut [&mut [u8]]);

    /// [`update`](Self::update) by the factor at `index`, for engines whose updates are short enough to feel a call.
    fn direct(self: Arc<Self>, _index: usize) -> Option<Direct> {
        None
    }

    /// The memory that the factors take, in bytes.
    fn bytes(&self) -> usize;
}

/// Sums of regions, for codes whose factors are bits. Regions may be anywhere in memory and of any length.
pub(crate) trait Xor: fmt::Debug + Send + Sync {
    /// `dst` becomes the sum of all sources, each read once: zero if there are none. They are as long as `dst`.
    fn xor_many(&self, dst: &mut [u8], sources: &[&[u8]]);

    /// `dst ^= src`, equally long.
    fn xor_add(&self, dst: &mut [u8], src: &[u8]);
}

/// The assertions of [`Factors::dot`]; gives the length of the regions.
#[inline]
pub(super) fn check_dot(
    factors: usize,
    word_bytes: usize,
    first: usize,
    sources: &[&[u8]],
    outputs: &[&mut [u8]],
) -> usize {
    let Some(output) = outputs.first() else {
        return 0;
    };
    let bytes = output.len();
    assert!(
        outputs.len() * sources.len() <= factors
            && first <= factors - outputs.len() * sources.len(),
        "factors out of range"
    );
    assert!(bytes & (word_bytes - 1) == 0, "partial word");
    assert!(outputs.iter().all(|output| output.len() == bytes));
    assert!(sources.iter().all(|source| source.len() == bytes));
    bytes
}

/// The assertions of the other functions of [`Factors`] but for the index.
#[inline]
pub(super) fn check_regions(word_bytes: usize, dst: usize, sources: &[usize]) {
    assert!(dst & (word_bytes - 1) == 0, "partial word");
    assert!(
        sources.iter().all(|&source| source == dst),
        "unequal regions"
    );
}
