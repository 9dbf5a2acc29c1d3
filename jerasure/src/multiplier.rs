//! Regions of bytes multiplied by one coefficient: the inner loop of every code.

mod bounce;
mod tables;

use tables::Tables;

use crate::ffi::{Library, MIN_REGION, REGION_ALIGN, RegionWord};
use crate::{Error, WordSize};

/// One coefficient, prepared for multiplying regions.
///
/// Cheap to clone and to share between threads. Regions may be anywhere in memory and of any length that is a
/// whole number of words; words are in the machine's byte order, as in the C library.
///
/// Short regions go through tables. Long ones go through the C library's SIMD code for w = 8 and 16, by way of an
/// aligned buffer where the two regions are not aligned alike. Regions of w = 32 always use the tables, because
/// the C function for them is not safe to call from several threads.
#[derive(Debug, Clone)]
pub struct Multiplier {
    w: WordSize,
    coefficient: u32,
    tables: Tables,
}

impl Multiplier {
    /// Prepares `coefficient`. Its tables are 1 KiB for w = 16 and 4 KiB for w = 32, shared by clones; for w = 8
    /// they are static.
    ///
    /// # Errors
    /// [`Error::NotAnElement`] if `coefficient` is 2^w or more.
    pub fn new(w: WordSize, coefficient: u32) -> Result<Self, Error> {
        w.check_element(coefficient)?;
        Ok(Self {
            w,
            coefficient,
            tables: Tables::new(w, coefficient),
        })
    }

    /// The coefficient.
    pub fn coefficient(&self) -> u32 {
        self.coefficient
    }

    /// The word size.
    pub fn word_size(&self) -> WordSize {
        self.w
    }

    /// `dst ^= coefficient * src`, word by word. Empty regions are fine.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if the regions differ in length, [`Error::PartialWord`] if they are not whole words;
    /// nothing is written then.
    pub fn mul_add(&self, dst: &mut [u8], src: &[u8]) -> Result<(), Error> {
        self.check(dst, src)?;
        match self.coefficient {
            0 => {}
            1 => xor(dst, src),
            _ => {
                for (dst, src) in dst.chunks_mut(MAX_REGION).zip(src.chunks(MAX_REGION)) {
                    self.mul_add_region(dst, src);
                }
            }
        }
        Ok(())
    }

    /// `dst = coefficient * src`, word by word.
    ///
    /// # Errors
    /// As [`mul_add`](Self::mul_add).
    pub fn mul(&self, dst: &mut [u8], src: &[u8]) -> Result<(), Error> {
        self.check(dst, src)?;
        match self.coefficient {
            0 => dst.fill(0),
            1 => dst.copy_from_slice(src),
            _ => match self.region_word(src.len()) {
                None => self.tables.mul(dst, src),
                Some(w) => bounce::multiply(w, self.coefficient, dst, src, <[u8]>::copy_from_slice),
            },
        }
        Ok(())
    }

    fn mul_add_region(&self, dst: &mut [u8], src: &[u8]) {
        match self.region_word(src.len()) {
            None => self.tables.mul_add(dst, src),
            Some(w) if congruent(self.w, dst, src) => {
                Library::get().multiply_region_add(w, self.coefficient, src, dst);
            }
            Some(w) => bounce::multiply(w, self.coefficient, dst, src, xor),
        }
    }

    fn check(&self, dst: &[u8], src: &[u8]) -> Result<(), Error> {
        if dst.len() != src.len() {
            return Err(Error::LengthMismatch {
                expected: dst.len(),
                got: src.len(),
            });
        }
        self.w.check_length(src.len())
    }

    /// Whether the C library is worth its call for a region of this length, and may be called.
    fn region_word(&self, bytes: usize) -> Option<RegionWord> {
        match self.w {
            WordSize::W8 if bytes >= C_FROM_W8 => Some(RegionWord::W8),
            WordSize::W16 if bytes >= C_FROM_W16 => Some(RegionWord::W16),
            _ => None,
        }
    }
}

/// Bytes from which the C library beats the tables, as measured. For w = 16 it makes its tables in every call.
const C_FROM_W8: usize = 64;
const C_FROM_W16: usize = 512;
const _: () = assert!(C_FROM_W8 >= MIN_REGION && C_FROM_W16 >= MIN_REGION);

/// Bytes of one call into C, whose lengths are `int`.
const MAX_REGION: usize = 1 << 30;

/// Whether C may work on the two regions where they are.
fn congruent(w: WordSize, dst: &[u8], src: &[u8]) -> bool {
    let (dst, src) = (dst.as_ptr().addr(), src.as_ptr().addr());
    dst % REGION_ALIGN == src % REGION_ALIGN && dst.is_multiple_of(w.bytes())
}

/// `dst ^= src` over equally long regions.
pub(crate) fn xor(dst: &mut [u8], src: &[u8]) {
    debug_assert_eq!(dst.len(), src.len());
    for (d, s) in dst.iter_mut().zip(src) {
        *d ^= s;
    }
}
