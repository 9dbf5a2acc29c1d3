//! Regions that C may not touch where they are, taken through an aligned buffer block by block.

use crate::combine::{blocks_of, xor};
use crate::ffi::{Library, MIN_REGION, REGION_ALIGN, RegionWord};

/// What C computes with one prepared coefficient, on regions anywhere in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounce {
    pub(super) w: RegionWord,
    pub(super) coefficient: u32,
}

/// On the stack, and in the first-level cache.
#[repr(C, align(64))]
struct Buffer<const N: usize>([u8; N]);

impl Bounce {
    /// `dst ^= coefficient * src` where `dst` is aligned to words: only `src` is copied.
    pub(super) fn mul_add(self, dst: &mut [u8], src: &[u8]) {
        // Clearing a large buffer would cost more than a short region itself.
        if src.len() <= 256 {
            self.mul_add_by::<256, { 256 + REGION_ALIGN }>(dst, src);
        } else {
            self.mul_add_by::<4096, { 4096 + REGION_ALIGN }>(dst, src);
        }
    }

    fn mul_add_by<const BLOCK: usize, const BUFFER: usize>(self, dst: &mut [u8], src: &[u8]) {
        let mut buffer = Buffer([0; BUFFER]);
        let start = dst.as_ptr().addr() % REGION_ALIGN;
        for block in blocks_of::<BLOCK>(src.len()) {
            let (dst, src) = (&mut dst[block.clone()], &src[block]);
            let copy = &mut buffer.0[start..][..src.len()];
            copy.copy_from_slice(src);
            if src.len() >= MIN_REGION {
                Library::get().multiply_region_add(self.w, self.coefficient, copy, dst);
            } else {
                self.products::<MIN_REGION>(dst, src, xor);
            }
        }
    }

    /// Hands `coefficient * src` to `store`, block by block, beside the block of `dst` that it belongs to.
    pub(super) fn multiply(self, dst: &mut [u8], src: &[u8], store: impl Fn(&mut [u8], &[u8])) {
        if src.len() <= 256 {
            self.products::<256>(dst, src, store);
        } else {
            self.products::<4096>(dst, src, store);
        }
    }

    fn products<const BLOCK: usize>(
        self,
        dst: &mut [u8],
        src: &[u8],
        store: impl Fn(&mut [u8], &[u8]),
    ) {
        let mut buffer = Buffer([0; BLOCK]);
        for block in blocks_of::<BLOCK>(src.len()) {
            let (dst, src) = (&mut dst[block.clone()], &src[block]);
            // A short last block is filled up to the least that C accepts; the rest is multiplied in vain.
            buffer.0[..src.len()].copy_from_slice(src);
            let region = &mut buffer.0[..src.len().max(MIN_REGION)];
            Library::get().multiply_region_in_place(self.w, self.coefficient, region);
            store(dst, &buffer.0[..src.len()]);
        }
    }
}
