//! The engine for little-endian 64-bit ARM.

use std::arch::aarch64::*;

use super::kernel::{Isa, Lanes, Multiply, Quarter, compiled_with};
use super::maps::Nibbles;

/// NEON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Neon(());

impl Neon {
    /// If the machine has it.
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

impl Isa for Neon {
    type Map = Nibbles;
    type Wide = uint8x16_t;
    type Middle = uint8x16_t;
    type Narrow = uint8x16_t;

    const ROWS: [usize; 3] = [4, 4, 2];

    compiled_with!(Neon, "neon");
}

// SAFETY of all blocks: the caller vouches for the instruction set and, where it gives a pointer, for the memory; the
// instructions demand no alignment.
impl Lanes for uint8x16_t {
    const BYTES: usize = 16;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: as above.
        unsafe { vld1q_u8(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: as above.
        unsafe { vst1q_u8(to, self) }
    }

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: as above.
        unsafe { vdupq_n_u8(0) }
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { veorq_u8(self, other) }
    }

    #[inline(always)]
    unsafe fn planes2([a, b]: [Self; 2]) -> [Self; 2] {
        // SAFETY: as above.
        unsafe { [vuzp1q_u8(a, b), vuzp2q_u8(a, b)] }
    }

    #[inline(always)]
    unsafe fn words2([a, b]: [Self; 2]) -> [Self; 2] {
        // SAFETY: as above.
        unsafe { [vzip1q_u8(a, b), vzip2q_u8(a, b)] }
    }

    #[inline(always)]
    unsafe fn planes4([a, b, c, d]: [Self; 4]) -> [Self; 4] {
        // SAFETY: as above.
        unsafe {
            // Bytes 0 and 2 of each word, and bytes 1 and 3; then each alone.
            let (even, odd) = (
                [vuzp1q_u8(a, b), vuzp1q_u8(c, d)],
                [vuzp2q_u8(a, b), vuzp2q_u8(c, d)],
            );
            [
                vuzp1q_u8(even[0], even[1]),
                vuzp1q_u8(odd[0], odd[1]),
                vuzp2q_u8(even[0], even[1]),
                vuzp2q_u8(odd[0], odd[1]),
            ]
        }
    }

    #[inline(always)]
    unsafe fn words4([a, b, c, d]: [Self; 4]) -> [Self; 4] {
        // SAFETY: as above.
        unsafe {
            let (even, odd) = (
                [vzip1q_u8(a, c), vzip2q_u8(a, c)],
                [vzip1q_u8(b, d), vzip2q_u8(b, d)],
            );
            [
                vzip1q_u8(even[0], odd[0]),
                vzip2q_u8(even[0], odd[0]),
                vzip1q_u8(even[1], odd[1]),
                vzip2q_u8(even[1], odd[1]),
            ]
        }
    }
}

impl Quarter for uint8x16_t {
    #[inline(always)]
    unsafe fn from_halves([low, high]: [u64; 2]) -> Self {
        // SAFETY: the caller vouches for the instruction set.
        unsafe { vcombine_u8(vcreate_u8(low), vcreate_u8(high)) }
    }

    #[inline(always)]
    unsafe fn halves(self) -> [u64; 2] {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let halves = vreinterpretq_u64_u8(self);
            [vgetq_lane_u64::<0>(halves), vgetq_lane_u64::<1>(halves)]
        }
    }
}

// SAFETY of all blocks: the caller vouches for the instruction set.
impl Multiply<Neon> for uint8x16_t {
    /// The products of the lower and of the higher four bits.
    type Loaded = [uint8x16_t; 2];
    /// The lower and the higher four bits of each byte.
    type Split = [uint8x16_t; 2];

    #[inline(always)]
    unsafe fn load_map(map: &Nibbles) -> [Self; 2] {
        // SAFETY: as above; each half of the map is 16 bytes.
        unsafe { [vld1q_u8(map.low.as_ptr()), vld1q_u8(map.high.as_ptr())] }
    }

    #[inline(always)]
    unsafe fn split(self) -> [Self; 2] {
        // SAFETY: as above.
        unsafe { [vandq_u8(self, vdupq_n_u8(15)), vshrq_n_u8::<4>(self)] }
    }

    #[inline(always)]
    unsafe fn add_mapped(self, map: [Self; 2], split: [Self; 2]) -> Self {
        // SAFETY: as above.
        unsafe {
            let product = veorq_u8(vqtbl1q_u8(map[0], split[0]), vqtbl1q_u8(map[1], split[1]));
            veorq_u8(self, product)
        }
    }
}
