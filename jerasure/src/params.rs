//! The parameters of a code, checked once.

use std::fmt;

use crate::Error;

/// The bits of one field element, w: arithmetic is in GF(2^w), 1 <= w <= 32.
///
/// The fields are Jerasure's. Codes on words take [`W8`](Self::W8), [`W16`](Self::W16) and [`W32`](Self::W32), modulo
/// `x^8 + x^4 + x^3 + x^2 + 1`, `x^16 + x^12 + x^3 + x + 1` and `x^32 + x^22 + x^2 + x + 1`; codes on packets take
/// others, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WordSize(u8);

impl WordSize {
    /// GF(2): the bits of codes on packets.
    pub(crate) const BIT: Self = Self(1);
    /// GF(2^8): one byte a word, up to 256 shards. The fastest.
    pub const W8: Self = Self(8);
    /// GF(2^16): two bytes a word, up to 46,340 shards. The paper's choice.
    pub const W16: Self = Self(16);
    /// GF(2^32): four bytes a word.
    pub const W32: Self = Self(32);

    /// Checks w.
    ///
    /// # Errors
    /// [`Error::WordSize`] unless `w` is 1 to 32.
    pub const fn new(w: u32) -> Result<Self, Error> {
        match w {
            1..=32 => Ok(Self(w as u8)),
            _ => Err(Error::WordSize {
                w,
                allowed: "1 to 32",
            }),
        }
    }

    /// w, 1 to 32.
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }

    /// The bytes that hold one word: 1, 2 or 4 for w = 8, 16 and 32, and every shard's length is a multiple of it.
    pub const fn bytes(self) -> usize {
        match self.0 {
            0..=8 => 1,
            9..=16 => 2,
            _ => 4,
        }
    }

    /// The largest element, 2^w - 1.
    pub const fn max_element(self) -> u32 {
        u32::MAX >> (32 - self.bits())
    }

    /// The field's polynomial without its leading term: GF-Complete's default (`gf_wgen.c`, `gf_w4.c`, `gf_w8.c`,
    /// `gf_w16.c`, `gf_w32.c`). Each is primitive, so the powers of 2 are all elements but 0.
    pub(crate) const fn polynomial(self) -> u32 {
        match self.0 {
            1 => 0x1,
            2..=4 | 6 | 15 | 22 => 0x3,
            5 | 11 | 21 | 29 => 0x5,
            7 | 10 | 17 | 20 | 25 | 28 | 31 => 0x9,
            8 => 0x1d,
            9 => 0x11,
            12 => 0x53,
            13 => 0x1b,
            14 => 0x443,
            16 => 0x100b,
            18 => 0x81,
            19 | 27 => 0x27,
            23 => 0x21,
            24 => 0x87,
            26 => 0x47,
            30 => 0x0080_0007,
            _ => 0x0040_0007,
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

    /// The word sizes of regions: words that are one, two or four whole bytes.
    pub(crate) fn of_regions(w: u32) -> Result<Self, Error> {
        match w {
            8 | 16 | 32 => Ok(Self(w as u8)),
            _ => Err(Error::WordSize {
                w,
                allowed: "8, 16 or 32",
            }),
        }
    }

    /// Refuses sizes that [`of_regions`](Self::of_regions) refuses.
    pub(crate) fn check_region(self) -> Result<(), Error> {
        Self::of_regions(self.bits()).map(drop)
    }

    /// Whether a length or an address is a whole number of words. Without a division: this is on every path.
    #[inline]
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

    /// As [`WordSize::new`].
    fn try_from(w: u32) -> Result<Self, Error> {
        Self::new(w)
    }
}

impl fmt::Display for WordSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The shape of a code: k data shards, m coding shards, words of w bits, and for codes on packets the packet's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodeParams {
    k: usize,
    m: usize,
    w: WordSize,
    packet_bytes: Option<usize>,
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

    /// Checks the shape against what holds for every technique. Each has a limit of its own besides, which
    /// [`Technique::check`](crate::Technique::check) knows: 2^w shards for most.
    ///
    /// # Errors
    /// [`Error::NoShards`] if `k` or `m` is 0; [`Error::TooManyShards`] if `k + m` exceeds 46,340, on 32-bit machines
    /// 23,170.
    pub fn new(k: usize, m: usize, w: WordSize) -> Result<Self, Error> {
        if k == 0 || m == 0 {
            return Err(Error::NoShards { k, m });
        }
        if k.checked_add(m)
            .is_none_or(|shards| shards > Self::MAX_SHARDS)
        {
            // What would do for most techniques, so that who obeys is not refused a second time.
            let field = (w.max_element() as usize).saturating_add(1);
            let limit = field.min(Self::MAX_SHARDS);
            return Err(Error::TooManyShards {
                k,
                m,
                w: w.bits(),
                limit,
            });
        }
        Ok(Self {
            k,
            m,
            w,
            packet_bytes: None,
        })
    }

    /// The same shape for a technique that works on packets: a shard is a sequence of stripes of w packets of
    /// `bytes` each. The C library calls it `packetsize`; it is part of the format of stored data.
    ///
    /// # Errors
    /// [`Error::PacketBytes`] if `bytes` is 0 or more than 2^25. Multiples of 8 are what `jerasure_bitmatrix_encode`
    /// takes, larger ones of 64 are fastest; data of the other sizes exists, since `jerasure_schedule_encode` takes any.
    pub fn with_packet_bytes(self, bytes: usize) -> Result<Self, Error> {
        if bytes == 0 || bytes > Self::MAX_PACKET_BYTES {
            return Err(Error::PacketBytes { bytes });
        }
        Ok(Self {
            packet_bytes: Some(bytes),
            ..self
        })
    }

    /// Large enough for anybody, and w packets of it are within an `int`.
    const MAX_PACKET_BYTES: usize = 1 << 25;

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

    /// Bytes of a packet, for techniques that work on packets.
    pub const fn packet_bytes(&self) -> Option<usize> {
        self.packet_bytes
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
    fn word_sizes_beyond_1_to_32_are_refused() {
        for w in [0, 33, 63, 64, 100, u32::MAX] {
            let allowed = "1 to 32";
            assert_eq!(WordSize::try_from(w), Err(Error::WordSize { w, allowed }));
        }
        for w in 1..=32 {
            assert_eq!(WordSize::try_from(w).unwrap().bits(), w);
        }
    }

    #[test]
    fn packets_of_nothing_and_beyond_the_integers_are_refused() {
        let params = CodeParams::new(3, 2, WordSize::W8).unwrap();
        for bytes in [0, (1 << 25) + 1, usize::MAX] {
            assert_eq!(
                params.with_packet_bytes(bytes),
                Err(Error::PacketBytes { bytes })
            );
        }
        for bytes in [1, 7, 12, 16, 1000, 1 << 25] {
            let params = params.with_packet_bytes(bytes).unwrap();
            assert_eq!(params.packet_bytes(), Some(bytes));
        }
    }

    #[test]
    fn shapes_beyond_the_integers_are_refused() {
        for (k, m) in [(0, 1), (1, 0), (0, 0)] {
            assert_eq!(
                CodeParams::new(k, m, WordSize::W8),
                Err(Error::NoShards { k, m })
            );
        }
        assert!(CodeParams::new(255, 1, WordSize::W8).is_ok());
        assert!(CodeParams::new(CodeParams::MAX_SHARDS - 1, 1, WordSize::W32).is_ok());
        for (k, m, w) in [
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
