//! Regions of bytes multiplied by one coefficient: the inner loop of every code.

mod bounce;
mod tables;

use bounce::Bounce;
use tables::Tables;

use crate::combine::{blocks_of, xor};
use crate::ffi::{Library, REGION_ALIGN, RegionWord};
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
    /// [`Error::WordSize`] unless w is 8, 16 or 32; [`Error::NotAnElement`] if `coefficient` is 2^w or more.
    pub fn new(w: WordSize, coefficient: u32) -> Result<Self, Error> {
        w.check_region()?;
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
                for part in blocks_of::<MAX_REGION>(src.len()) {
                    self.mul_add_region(&mut dst[part.clone()], &src[part]);
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
            _ => match self.region_word(src.len(), false) {
                None => self.tables.mul(dst, src),
                Some(w) => self.bounce(w).multiply(dst, src, <[u8]>::copy_from_slice),
            },
        }
        Ok(())
    }

    fn mul_add_region(&self, dst: &mut [u8], src: &[u8]) {
        let (to, from) = (dst.as_ptr().addr(), src.as_ptr().addr());
        let words = self.w.divides(to);
        let in_place = words && to % REGION_ALIGN == from % REGION_ALIGN;
        match self.region_word(src.len(), in_place) {
            None => self.tables.mul_add(dst, src),
            Some(w) if in_place => {
                Library::get().multiply_region_add(w, self.coefficient, src, dst);
            }
            Some(w) if words => self.bounce(w).mul_add(dst, src),
            Some(w) => self.bounce(w).multiply(dst, src, xor),
        }
    }

    fn bounce(&self, w: RegionWord) -> Bounce {
        Bounce {
            w,
            coefficient: self.coefficient,
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

    /// The C library's word, if it is worth a call for this many bytes. The limits are measured: for w = 16 it makes
    /// its tables in every call.
    fn region_word(&self, bytes: usize, in_place: bool) -> Option<RegionWord> {
        let (word, from) = match (self.w, in_place) {
            (WordSize::W8, true) => (RegionWord::W8, 32),
            (WordSize::W8, false) => (RegionWord::W8, 128),
            (WordSize::W16, true) => (RegionWord::W16, 512),
            (WordSize::W16, false) => (RegionWord::W16, 1536),
            _ => return None,
        };
        (bytes >= from).then_some(word)
    }
}

/// Bytes of one call into C, whose lengths are `int`.
const MAX_REGION: usize = 1 << 30;
