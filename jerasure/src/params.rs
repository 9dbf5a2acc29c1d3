//! The parameters of a code, checked once.

use crate::Error;

/// The bits of one field element: arithmetic is in GF(2^w).
///
/// The fields are Jerasure's: modulo `x^8 + x^4 + x^3 + x^2 + 1`, `x^16 + x^12 + x^3 + x + 1` and
/// `x^32 + x^22 + x^2 + x + 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WordSize {
    /// GF(2^8): one byte a word, up to 256 shards. The fastest.
    W8,
    /// GF(2^16): two bytes a word, up to 46,340 shards. The paper's choice.
    W16,
    /// GF(2^32): four bytes a word.
    W32,
}

impl WordSize {
    /// 8, 16 or 32.
    pub const fn bits(self) -> u32 {
        match self {
            Self::W8 => 8,
            Self::W16 => 16,
            Self::W32 => 32,
        }
    }

    /// 1, 2 or 4. Every shard's length is a multiple of it.
    pub const fn bytes(self) -> usize {
        match self {
            Self::W8 => 1,
            Self::W16 => 2,
            Self::W32 => 4,
        }
    }

    /// The largest element, 2^w - 1.
    pub const fn max_element(self) -> u32 {
        u32::MAX >> (32 - self.bits())
    }

    /// The field's polynomial without its leading term.
    pub(crate) const fn polynomial(self) -> u32 {
        match self {
            Self::W8 => 0x1d,
            Self::W16 => 0x100b,
            Self::W32 => 0x0040_0007,
        }
    }

    /// Refuses a number that is not an element of the field.
    pub(crate) fn check_element(self, value: u32) -> Result<(), Error> {
        if value > self.max_element() {
            return Err(Error::NotAnElement {
                value,
                w: self.bits(),
            });
        }
        Ok(())
    }

    /// Whether a length or an address is a whole number of words. Without a division: this is on every path.
    pub(crate) const fn divides(self, bytes: usize) -> bool {
        bytes & (self.bytes() - 1) == 0
    }

    /// Refuses a length that is not a whole number of words.
    pub(crate) fn check_length(self, bytes: usize) -> Result<(), Error> {
        if !self.divides(bytes) {
            return Err(Error::PartialWord {
                bytes,
                w: self.bits(),
            });
        }
        Ok(())
    }
}

impl TryFrom<u32> for WordSize {
    type Error = Error;

    /// # Errors
    /// [`Error::WordSize`] unless `w` is 8, 16 or 32.
    fn try_from(w: u32) -> Result<Self, Error> {
        match w {
            8 => Ok(Self::W8),
            16 => Ok(Self::W16),
            32 => Ok(Self::W32),
            _ => Err(Error::WordSize { w }),
        }
    }
}

/// The shape of a code: k data shards, m coding shards, words of w bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodeParams {
    k: usize,
    m: usize,
    w: WordSize,
}

impl CodeParams {
    /// 46,340 where addresses have 64 bits, 23,170 where they have 32.
    const MAX_SHARDS: usize = Self::max_shards(isize::MAX.unsigned_abs());

    /// The largest n with n * (n + 1) in an `int`, which is what the C library's indices reach, and with 4 * n * n
    /// bytes, the largest matrix that is made on the way, in one allocation.
    const fn max_shards(max_bytes: usize) -> usize {
        const BY_INDEX: usize = 46_340;
        let by_bytes = (max_bytes / 4).isqrt();
        if by_bytes < BY_INDEX {
            by_bytes
        } else {
            BY_INDEX
        }
    }

    /// Checks the shape.
    ///
    /// # Errors
    /// [`Error::NoShards`] if `k` or `m` is 0; [`Error::TooManyShards`] if `k + m` exceeds 2^w or 46,340, on
    /// 32-bit machines 23,170.
    pub fn new(k: usize, m: usize, w: WordSize) -> Result<Self, Error> {
        if k == 0 || m == 0 {
            return Err(Error::NoShards { k, m });
        }
        let limit = match w {
            WordSize::W8 => 256,
            WordSize::W16 | WordSize::W32 => Self::MAX_SHARDS,
        };
        if k.checked_add(m).is_none_or(|shards| shards > limit) {
            return Err(Error::TooManyShards {
                k,
                m,
                w: w.bits(),
                limit,
            });
        }
        Ok(Self { k, m, w })
    }

    /// Data shards, at least 1.
    pub const fn k(&self) -> usize {
        self.k
    }

    /// Coding shards, at least 1: as many losses can be recovered.
    pub const fn m(&self) -> usize {
        self.m
    }

    /// Word size.
    pub const fn w(&self) -> WordSize {
        self.w
    }

    /// All shards, `k + m`.
    pub const fn shards(&self) -> usize {
        self.k + self.m
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_sizes_other_than_8_16_32_are_refused() {
        for w in [0, 1, 7, 9, 31, 33, 63, 64, 100, u32::MAX] {
            assert_eq!(WordSize::try_from(w), Err(Error::WordSize { w }));
        }
        for w in [8, 16, 32] {
            assert_eq!(WordSize::try_from(w).unwrap().bits(), w);
        }
    }

    #[test]
    fn shapes_beyond_the_field_or_the_integers_are_refused() {
        for (k, m) in [(0, 1), (1, 0), (0, 0)] {
            assert_eq!(
                CodeParams::new(k, m, WordSize::W8),
                Err(Error::NoShards { k, m })
            );
        }
        assert!(CodeParams::new(255, 1, WordSize::W8).is_ok());
        assert!(CodeParams::new(CodeParams::MAX_SHARDS - 1, 1, WordSize::W32).is_ok());
        for (k, m, w) in [
            (256, 1, WordSize::W8),
            (1, 256, WordSize::W8),
            (65_536, 1, WordSize::W16),
            (46_340, 1, WordSize::W32),
            (usize::MAX, 1, WordSize::W32),
            (usize::MAX, usize::MAX, WordSize::W16),
        ] {
            assert!(matches!(
                CodeParams::new(k, m, w),
                Err(Error::TooManyShards { .. })
            ));
        }
    }

    #[test]
    fn the_limit_is_the_last_one_that_fits_an_int() {
        let fits = |n: u64| n * (n + 1) <= i32::MAX as u64;
        assert!(fits(46_340) && !fits(46_341));
        let most = CodeParams::max_shards(isize::MAX.unsigned_abs());
        assert_eq!(most, if usize::BITS < 64 { 23_170 } else { 46_340 });
    }

    #[test]
    fn a_matrix_fits_the_addresses_of_32_bit_machines() {
        let most = CodeParams::max_shards(i32::MAX as usize);
        let fits = |n: u64| 4 * n * n <= i32::MAX as u64;
        assert_eq!(most, 23_170);
        assert!(fits(most as u64) && !fits(most as u64 + 1));
    }
}
