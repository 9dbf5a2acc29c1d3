//! Bytes for tests: generated, and hashed.

#![allow(dead_code, reason = "each test that includes this file uses a part")]

/// Marsaglia's xorshift64 with the shifts 13, 7, 17; tests/golden/README.md defines the golden data by it.
pub(crate) struct Xorshift(u64);

impl Xorshift {
    /// Starts from any seed; 0, which would stay 0, stands for 1.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// The next 64 bits.
    pub(crate) fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> u8 {
        (self.word() >> 32) as u8
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.word() >> 16) as usize % limit
    }

    /// So many bytes.
    pub(crate) fn bytes(&mut self, bytes: usize) -> Vec<u8> {
        (0..bytes).map(|_| self.byte()).collect()
    }

    /// So many shards of so many bytes.
    pub(crate) fn shards(&mut self, shards: usize, bytes: usize) -> Vec<Vec<u8>> {
        (0..shards).map(|_| self.bytes(bytes)).collect()
    }
}

/// The data shards of a golden encoding.
pub(crate) fn golden_shards(k: usize, m: usize, w: usize, bytes: usize) -> Vec<Vec<u8>> {
    let mix = k * 1_000_003 + m * 10_007 + w * 101 + bytes;
    Xorshift::new(88_172_645_463_325_252 ^ mix as u64).shards(k, bytes)
}

/// The FNV-1a 64 hash in hexadecimal.
pub(crate) fn fnv1a64(bytes: &[u8]) -> String {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    format!("{hash:016x}")
}
