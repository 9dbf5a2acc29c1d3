//! Vectors of 16, 32 and 64 bytes. The wider ones rearrange bytes within each 16, which is all that planes need.

use std::arch::x86_64::*;

use crate::engine::kernel::{Lanes, Quarter};

/// Gathers the low bytes of words of two bytes in the lower half, the high bytes in the upper half.
const SPLIT2: i128 = i128::from_le_bytes([0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15]);

/// Undoes [`SPLIT2`].
const JOIN2: i128 = i128::from_le_bytes([0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15]);

/// Transposes four words of four bytes; undoes itself.
const TRANSPOSE4: i128 =
    i128::from_le_bytes([0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15]);

macro_rules! lanes {
    ($vector:ty, $bytes:literal, $load:ident, $store:ident, $zero:ident, $xor:ident, $shuffle:ident,
     $broadcast:expr, $low64:ident, $high64:ident, $low32:ident, $high32:ident) => {
        // SAFETY of all blocks: the caller vouches for the instruction set and, where it gives a pointer, for the
        // memory; the instructions demand no alignment.
        impl Lanes for $vector {
            const BYTES: usize = $bytes;

            #[inline(always)]
            unsafe fn load(from: *const u8) -> Self {
                // SAFETY: as above.
                unsafe { $load(from.cast()) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut u8) {
                // SAFETY: as above.
                unsafe { $store(to.cast(), self) }
            }

            #[inline(always)]
            unsafe fn zero() -> Self {
                // SAFETY: as above.
                unsafe { $zero() }
            }

            #[inline(always)]
            unsafe fn xor(self, other: Self) -> Self {
                // SAFETY: as above.
                unsafe { $xor(self, other) }
            }

            #[inline(always)]
            unsafe fn planes2([a, b]: [Self; 2]) -> [Self; 2] {
                // SAFETY: as above.
                unsafe {
                    let order = $broadcast(SPLIT2);
                    let (a, b) = ($shuffle(a, order), $shuffle(b, order));
                    [$low64(a, b), $high64(a, b)]
                }
            }

            #[inline(always)]
            unsafe fn words2([a, b]: [Self; 2]) -> [Self; 2] {
                // SAFETY: as above.
                unsafe {
                    let order = $broadcast(JOIN2);
                    let (a, b) = ($low64(a, b), $high64(a, b));
                    [$shuffle(a, order), $shuffle(b, order)]
                }
            }

            #[inline(always)]
            unsafe fn planes4(words: [Self; 4]) -> [Self; 4] {
                // SAFETY: as above.
                unsafe {
                    let order = $broadcast(TRANSPOSE4);
                    let [a, b, c, d] = words;
                    let (a, b) = ($shuffle(a, order), $shuffle(b, order));
                    let (c, d) = ($shuffle(c, order), $shuffle(d, order));
                    let (low, high) =
                        ([$low32(a, b), $low32(c, d)], [$high32(a, b), $high32(c, d)]);
                    [
                        $low64(low[0], low[1]),
                        $high64(low[0], low[1]),
                        $low64(high[0], high[1]),
                        $high64(high[0], high[1]),
                    ]
                }
            }

            #[inline(always)]
            unsafe fn words4(planes: [Self; 4]) -> [Self; 4] {
                // SAFETY: as above.
                unsafe {
                    // The transposition of 4 x 4 words, then of the bytes in each 16: both undo themselves.
                    let order = $broadcast(TRANSPOSE4);
                    let [a, b, c, d] = planes;
                    let (low, high) =
                        ([$low32(a, b), $low32(c, d)], [$high32(a, b), $high32(c, d)]);
                    [
                        $shuffle($low64(low[0], low[1]), order),
                        $shuffle($high64(low[0], low[1]), order),
                        $shuffle($low64(high[0], high[1]), order),
                        $shuffle($high64(high[0], high[1]), order),
                    ]
                }
            }
        }
    };
}

lanes!(
    __m128i,
    16,
    _mm_loadu_si128,
    _mm_storeu_si128,
    _mm_setzero_si128,
    _mm_xor_si128,
    _mm_shuffle_epi8,
    quarter,
    _mm_unpacklo_epi64,
    _mm_unpackhi_epi64,
    _mm_unpacklo_epi32,
    _mm_unpackhi_epi32
);
lanes!(
    __m256i,
    32,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    _mm256_setzero_si256,
    _mm256_xor_si256,
    _mm256_shuffle_epi8,
    |order| _mm256_broadcastsi128_si256(quarter(order)),
    _mm256_unpacklo_epi64,
    _mm256_unpackhi_epi64,
    _mm256_unpacklo_epi32,
    _mm256_unpackhi_epi32
);
lanes!(
    __m512i,
    64,
    _mm512_loadu_si512,
    _mm512_storeu_si512,
    _mm512_setzero_si512,
    _mm512_xor_si512,
    _mm512_shuffle_epi8,
    |order| _mm512_broadcast_i32x4(quarter(order)),
    _mm512_unpacklo_epi64,
    _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi32,
    _mm512_unpackhi_epi32
);

impl Quarter for __m128i {
    #[inline(always)]
    unsafe fn from_halves([low, high]: [u64; 2]) -> Self {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_set_epi64x(high.cast_signed(), low.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn halves(self) -> [u64; 2] {
        // SAFETY: SSE2 is part of x86-64.
        let (low, high) = unsafe {
            (
                _mm_cvtsi128_si64(self),
                _mm_cvtsi128_si64(_mm_unpackhi_epi64(self, self)),
            )
        };
        [low.cast_unsigned(), high.cast_unsigned()]
    }
}

/// The bytes of an order as a vector.
#[inline(always)]
fn quarter(order: i128) -> __m128i {
    // SAFETY: SSE2 is part of x86-64.
    unsafe { _mm_set_epi64x((order >> 64) as i64, order as i64) }
}
