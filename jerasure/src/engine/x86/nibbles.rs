//! Products by byte shuffles, which look up 16 values at once: four bits of the word at a time.

use std::arch::x86_64::*;

use crate::engine::kernel::{Isa, Multiply, compiled_with};
use crate::engine::maps::Nibbles;

/// AVX2.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Avx2(());

impl Avx2 {
    /// If the machine has it.
    pub(in crate::engine) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }
}

impl Isa for Avx2 {
    type Map = Nibbles;
    type Wide = __m256i;
    type Middle = __m256i;
    type Narrow = __m128i;

    const ROWS: [usize; 3] = [4, 2, 1];

    compiled_with!(Avx2, "avx2");
}

macro_rules! multiply {
    ($vector:ty, $load:expr, $set:ident, $shift:ident, $and:ident, $shuffle:ident, $xor:ident) => {
        // SAFETY of all blocks: the caller vouches for the instruction set.
        impl Multiply<Avx2> for $vector {
            /// The products of the lower and of the higher four bits.
            type Loaded = [$vector; 2];
            /// The lower and the higher four bits of each byte.
            type Split = [$vector; 2];

            #[inline(always)]
            unsafe fn load_map(map: &Nibbles) -> [Self; 2] {
                // SAFETY: as above; each half of the map is 16 bytes.
                unsafe {
                    [
                        $load(_mm_load_si128(map.low.as_ptr().cast())),
                        $load(_mm_load_si128(map.high.as_ptr().cast())),
                    ]
                }
            }

            #[inline(always)]
            unsafe fn split(self) -> [Self; 2] {
                // SAFETY: as above.
                unsafe {
                    let mask = $set(15);
                    [$and(self, mask), $and($shift::<4>(self), mask)]
                }
            }

            #[inline(always)]
            unsafe fn add_mapped(self, map: [Self; 2], split: [Self; 2]) -> Self {
                // SAFETY: as above.
                unsafe {
                    let product = $xor($shuffle(map[0], split[0]), $shuffle(map[1], split[1]));
                    $xor(self, product)
                }
            }
        }
    };
}

multiply!(
    __m128i,
    |map| map,
    _mm_set1_epi8,
    _mm_srli_epi16,
    _mm_and_si128,
    _mm_shuffle_epi8,
    _mm_xor_si128
);
multiply!(
    __m256i,
    |map| _mm256_broadcastsi128_si256(map),
    _mm256_set1_epi8,
    _mm256_srli_epi16,
    _mm256_and_si256,
    _mm256_shuffle_epi8,
    _mm256_xor_si256
);
