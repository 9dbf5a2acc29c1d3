//! The C library, called as its users call it: what the other engines are compared with.

use super::factors::{Factors, Xor, check_dot, check_regions};
use crate::WordSize;
use crate::ffi::{Library, MIN_REGION, REGION_ALIGN};
use crate::shards::blocks_of;

/// Bytes of one call into C, whose lengths are `int`.
const MAX_REGION: usize = 1 << 30;

/// Bytes copied at a time where regions are not where C may touch them.
const BLOCK: usize = 4096;

/// Factors for the C library, which makes its tables in each call.
#[derive(Debug)]
pub(super) struct Reference {
    w: WordSize,
    elements: Box<[i32]>,
}

/// On the stack, and in the first-level cache.
#[repr(C, align(64))]
struct Buffer<const N: usize>([u8; N]);

impl Reference {
    /// Elements of the field of w = 8, 16 or 32.
    pub(super) fn new(w: WordSize, elements: &[u32]) -> Self {
        Self {
            w,
            elements: elements.iter().map(|e| e.cast_signed()).collect(),
        }
    }

    /// Hands the products with what `fill` writes to `store`, by way of an aligned buffer.
    fn bounce(
        &self,
        index: usize,
        dst: &mut [u8],
        fill: impl Fn(&mut [u8], usize),
        store: impl Fn(&mut [u8], &[u8]),
    ) {
        // Clearing a large buffer would cost more than a short region itself.
        if dst.len() <= 256 {
            self.bounce_by::<256>(index, dst, fill, store);
        } else {
            self.bounce_by::<BLOCK>(index, dst, fill, store);
        }
    }

    fn bounce_by<const BLOCK: usize>(
        &self,
        index: usize,
        dst: &mut [u8],
        fill: impl Fn(&mut [u8], usize),
        store: impl Fn(&mut [u8], &[u8]),
    ) {
        let mut buffer = Buffer([0; BLOCK]);
        for block in blocks_of::<BLOCK>(dst.len()) {
            let bytes = block.len();
            fill(&mut buffer.0[..bytes], block.start);
            // A short last block is filled up to the least that C accepts; the rest is multiplied in vain.
            let region = &mut buffer.0[..bytes.max(MIN_REGION)];
            Library::get().multiply_region_in_place(self.w, self.elements[index], region);
            store(&mut dst[block], &buffer.0[..bytes]);
        }
    }
}

impl Factors for Reference {
    fn mul(&self, index: usize, dst: &mut [u8], src: &[u8]) {
        self.dot(index, &[src], &mut [dst]);
    }

    fn mul_add(&self, index: usize, dst: &mut [u8], src: &[u8]) {
        check_regions(self.w.bytes(), dst.len(), &[src.len()]);
        if self.in_place(&[src], dst) {
            for part in blocks_of::<MAX_REGION>(dst.len()) {
                let (dst, src) = (&mut dst[part.clone()], &src[part]);
                Library::get().multiply_region_add(self.w, self.elements[index], src, dst);
            }
        } else {
            let fill = |to: &mut [u8], at| to.copy_from_slice(&src[at..][..to.len()]);
            self.bounce(index, dst, fill, xor);
        }
    }

    fn update(&self, index: usize, code: &mut [u8], old: &[u8], new: &[u8]) {
        check_regions(self.w.bytes(), code.len(), &[old.len(), new.len()]);
        let difference = |to: &mut [u8], at: usize| {
            to.copy_from_slice(&old[at..][..to.len()]);
            xor(to, &new[at..][..to.len()]);
        };
        if code.len() < MIN_REGION || !code.as_ptr().addr().is_multiple_of(REGION_ALIGN) {
            return self.bounce(index, code, difference, xor);
        }
        let mut buffer = Buffer([0; BLOCK]);
        for block in blocks_of::<BLOCK>(code.len()) {
            let (code, start) = (&mut code[block.clone()], block.start);
            let buffer = &mut buffer.0[..code.len()];
            difference(buffer, start);
            self.mul_add(index, code, buffer);
        }
    }

    fn dot(&self, first: usize, sources: &[&[u8]], outputs: &mut [&mut [u8]]) {
        let bytes = check_dot(self.elements.len(), self.w.bytes(), first, sources, outputs);
        for (row, output) in outputs.iter_mut().enumerate() {
            let first = first + row * sources.len();
            let factors = &self.elements[first..][..sources.len()];
            // The C function leaves the destination as it was for a row of zeros.
            if factors.iter().all(|&factor| factor == 0) {
                output.fill(0);
            } else if bytes <= MAX_REGION && self.in_place(sources, output) {
                Library::get().dot(self.w, factors, sources, output);
            } else {
                for (col, source) in sources.iter().enumerate() {
                    let fill = |to: &mut [u8], at| to.copy_from_slice(&source[at..][..to.len()]);
                    match col {
                        0 => self.bounce(first, output, fill, <[u8]>::copy_from_slice),
                        _ => self.mul_add(first + col, output, source),
                    }
                }
            }
        }
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.elements)
    }
}

impl Reference {
    /// Whether C may touch the regions where they are.
    fn in_place(&self, sources: &[&[u8]], dst: &[u8]) -> bool {
        let to = dst.as_ptr().addr();
        dst.len() >= MIN_REGION
            && self.w.divides(to)
            && sources
                .iter()
                .all(|source| (source.as_ptr().addr() ^ to).is_multiple_of(REGION_ALIGN))
    }
}

/// Sums of regions by the C library.
#[derive(Debug)]
pub(super) struct ReferenceXor;

impl Xor for ReferenceXor {
    fn xor_many(&self, dst: &mut [u8], sources: &[&[u8]]) {
        let Some((first, others)) = sources.split_first() else {
            return dst.fill(0);
        };
        dst.copy_from_slice(first);
        for source in others {
            self.xor_add(dst, source);
        }
    }

    fn xor_add(&self, dst: &mut [u8], src: &[u8]) {
        assert_eq!(dst.len(), src.len(), "unequal regions");
        let skew = dst.as_ptr().addr() ^ src.as_ptr().addr();
        if dst.len() < MIN_REGION || !skew.is_multiple_of(REGION_ALIGN) {
            return xor(dst, src);
        }
        for part in blocks_of::<MAX_REGION>(dst.len()) {
            Library::get().xor_region(&mut dst[part.clone()], &src[part]);
        }
    }
}

/// `dst ^= src`.
fn xor(dst: &mut [u8], src: &[u8]) {
    for (d, s) in dst.iter_mut().zip(src) {
        *d ^= s;
    }
}
