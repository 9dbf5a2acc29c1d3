//! Products by `vgf2p8affineqb`, which multiplies each byte by an 8 by 8 matrix of bits.

use std::arch::x86_64::*;

use crate::engine::kernel::{Isa, Multiply, compiled_with};
use crate::engine::maps::Affine;

/// GFNI and AVX2.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Gfni256(());

impl Gfni256 {
    /// If the machine has it. The 32-byte form of the instruction needs GFNI and AVX.
    pub(in crate::engine) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("gfni") && is_x86_feature_detected!("avx2");
        found.then_some(Self(()))
    }
}

impl Isa for Gfni256 {
    type Map = Affine;
    type Wide = __m256i;
    type Middle = __m256i;
    type Narrow = __m128i;

    const ROWS: [usize; 3] = [4, 4, 2];

    compiled_with!(Gfni256, "gfni,avx2");
}

/// GFNI and AVX-512.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Gfni512(());

impl Gfni512 {
    /// If the machine has it.
    pub(in crate::engine) fn detect() -> Option<Self> {
        let found = Gfni256::detect().is_some()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl");
        found.then_some(Self(()))
    }
}

impl Isa for Gfni512 {
    type Map = Affine;
    type Wide = __m512i;
    type Middle = __m256i;
    type Narrow = __m128i;

    const ROWS: [usize; 3] = [4, 4, 4];

    compiled_with!(Gfni512, "gfni,avx2,avx512f,avx512bw,avx512vl");
}

macro_rules! multiply {
    ($isa:ty, $vector:ty, $broadcast:ident, $affine:ident, $xor:ident) => {
        // SAFETY of all blocks: the caller vouches for the instruction set.
        impl Multiply<$isa> for $vector {
            type Loaded = $vector;
            type Split = $vector;

            #[inline(always)]
            unsafe fn load_map(map: &Affine) -> Self {
                // SAFETY: as above.
                unsafe { $broadcast(map.0.cast_signed()) }
            }

            #[inline(always)]
            unsafe fn split(self) -> Self {
                self
            }

            #[inline(always)]
            unsafe fn add_mapped(self, map: Self, split: Self) -> Self {
                // SAFETY: as above.
                unsafe { $xor(self, $affine::<0>(split, map)) }
            }
        }
    };
}

multiply!(
    Gfni256,
    __m128i,
    _mm_set1_epi64x,
    _mm_gf2p8affine_epi64_epi8,
    _mm_xor_si128
);
multiply!(
    Gfni256,
    __m256i,
    _mm256_set1_epi64x,
    _mm256_gf2p8affine_epi64_epi8,
    _mm256_xor_si256
);
multiply!(
    Gfni512,
    __m128i,
    _mm_set1_epi64x,
    _mm_gf2p8affine_epi64_epi8,
    _mm_xor_si128
);
multiply!(
    Gfni512,
    __m256i,
    _mm256_set1_epi64x,
    _mm256_gf2p8affine_epi64_epi8,
    _mm256_xor_si256
);
multiply!(
    Gfni512,
    __m512i,
    _mm512_set1_epi64,
    _mm512_gf2p8affine_epi64_epi8,
    _mm512_xor_si512
);
