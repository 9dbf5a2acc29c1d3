//! What the fuzz targets share: codes and bytes drawn from the fuzzer's input.

pub mod members;

use jerasure::{CodeParams, Codec, Engine, Error, Technique, WordSize};

/// The fuzzer's input, read from the front; it goes on as zeros.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// All of an input.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *byte
    }

    /// The next two bytes as a number.
    pub fn number(&mut self) -> usize {
        usize::from(self.byte()) | usize::from(self.byte()) << 8
    }

    /// One of a list.
    pub fn choice<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::from(self.byte()) % list.len()]
    }

    /// A code, or the refusal of what was asked for. Small enough that the fuzzer stays quick.
    pub fn codec(&mut self) -> Result<Codec, Error> {
        let technique = self.choice(&Technique::ALL);
        let engines: Vec<Engine> = Engine::available().collect();
        let engine = self.choice(&engines);
        let (k, m) = (usize::from(self.byte() % 24), usize::from(self.byte() % 8));
        let w = WordSize::new(u32::from(self.byte() % 36))?;
        let packet_bytes = self.number() % 600;
        let params = CodeParams::new(k, m, w)?;
        let params = match packet_bytes {
            0 => params,
            bytes => params.with_packet_bytes(bytes)?,
        };
        // A code is there exactly where the technique says so.
        let possible = technique.check(params);
        let codec = Codec::with_engine(technique, params, engine);
        assert_eq!(possible, codec.as_ref().map(drop).map_err(Clone::clone));
        codec
    }

    /// So many shards of so many bytes, generated from a seed that is drawn.
    pub fn shards(&mut self, shards: usize, bytes: usize) -> Vec<Vec<u8>> {
        let mut state = self.number() as u64 | 1 << 32;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        let mut shard = || (0..bytes).map(|_| next()).collect();
        (0..shards).map(|_| shard()).collect()
    }
}

/// Copies shards, each to a displacement of its own that is drawn, and hands them out as slices.
pub struct Displaced {
    buffers: Vec<(Vec<u8>, usize)>,
    bytes: usize,
}

impl Displaced {
    /// The copies.
    pub fn new(shards: &[Vec<u8>], input: &mut Input<'_>) -> Self {
        let buffers = shards.iter().map(|shard| {
            let start = usize::from(input.byte() % 65);
            // Ends where the allocation ends, so that a sanitizer sees a step too far.
            ([&vec![0; start][..], shard].concat(), start)
        });
        Self {
            buffers: buffers.collect(),
            bytes: shards.first().map_or(0, Vec::len),
        }
    }

    /// All of them.
    pub fn slices(&self) -> Vec<&[u8]> {
        self.buffers
            .iter()
            .map(|(buffer, start)| &buffer[*start..])
            .collect()
    }

    /// All of them, to be written.
    pub fn slices_mut(&mut self) -> Vec<&mut [u8]> {
        self.buffers
            .iter_mut()
            .map(|(buffer, start)| &mut buffer[*start..])
            .collect()
    }

    /// Bytes of each.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
