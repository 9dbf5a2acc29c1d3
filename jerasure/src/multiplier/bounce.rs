//! Regions that C may not touch where they are, taken through an aligned buffer block by block.

use crate::ffi::{Library, MIN_REGION, RegionWord};

/// Bytes of a block: the buffer stays on the stack and in the first-level cache.
const BLOCK: usize = 4096;

#[repr(C, align(64))]
struct Buffer([u8; BLOCK]);

/// Hands `coefficient * src` to `store`, block by block, beside the block of `dst` that it belongs to.
pub(super) fn multiply(
    w: RegionWord,
    coefficient: u32,
    dst: &mut [u8],
    src: &[u8],
    store: impl Fn(&mut [u8], &[u8]),
) {
    let mut buffer = Buffer([0; BLOCK]);
    for (dst, src) in dst.chunks_mut(BLOCK).zip(src.chunks(BLOCK)) {
        // A short last block still fills the least that C accepts; what follows it is multiplied in vain.
        buffer.0[..src.len()].copy_from_slice(src);
        let bytes = src.len().max(MIN_REGION);
        Library::get().multiply_region_in_place(w, coefficient, &mut buffer.0[..bytes]);
        store(dst, &buffer.0[..src.len()]);
    }
}
