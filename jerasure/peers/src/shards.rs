//! What all contestants work on: the same bytes, aligned alike.

use std::rc::Rc;
use std::slice;

use jerasure::{CodeParams, Codec, Engine, Technique, WordSize};

/// A code with k + m shards of data and its coding shards, as the C library's reference engine writes them.
#[derive(Clone)]
pub(crate) struct Stripe {
    pub(crate) codec: Codec,
    pub(crate) bytes: usize,
    pub(crate) whole: Rc<Vec<Vec<u8>>>,
}

impl Stripe {
    pub(crate) fn new(technique: Technique, k: usize, m: usize, w: WordSize, bytes: usize) -> Self {
        let params = CodeParams::new(k, m, w).unwrap();
        let codec = Codec::with_engine(technique, params, Engine::Reference).unwrap();
        let mut state = 88_172_645_463_325_252_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        let mut whole: Vec<Vec<u8>> = (0..k)
            .map(|_| (0..bytes).map(|_| next()).collect())
            .collect();
        let mut coding = vec![vec![0; bytes]; m];
        codec.encode(&whole, &mut coding).unwrap();
        whole.extend(coding);
        Self {
            codec,
            bytes,
            whole: Rc::new(whole),
        }
    }

    pub(crate) fn k(&self) -> usize {
        self.codec.params().k()
    }

    pub(crate) fn m(&self) -> usize {
        self.codec.params().m()
    }

    pub(crate) fn w(&self) -> WordSize {
        self.codec.params().w()
    }

    pub(crate) fn matrix(&self) -> &[u32] {
        self.codec.matrix().expect("a code on words").as_slice()
    }

    /// The first m data shards, or all: what the decoders have lost.
    pub(crate) fn lost(&self) -> Vec<usize> {
        (0..self.m().min(self.k())).collect()
    }

    /// Copies of all shards; those of which `lost` says so hold something else.
    pub(crate) fn shards(&self, lost: impl Fn(usize) -> bool) -> Vec<Shard> {
        let shards = self.whole.iter().enumerate();
        shards
            .map(|(index, bytes)| {
                let mut shard = Shard::new(index, bytes.len());
                match lost(index) {
                    true => shard.as_mut().fill(0xee),
                    false => shard.as_mut().copy_from_slice(bytes),
                }
                shard
            })
            .collect()
    }

    /// Copies of the data, and coding shards to be written.
    pub(crate) fn to_encode(&self) -> (Vec<Shard>, Vec<Shard>) {
        let mut data = self.shards(|shard| shard >= self.k());
        let coding = data.split_off(self.k());
        (data, coding)
    }

    /// The old and the new data of an update of shard [`UPDATED`], the coding shard of row 1, and what it becomes.
    pub(crate) fn to_update(&self) -> (Shard, Shard, Shard, Vec<u8>) {
        let mut shards = self.shards(|_| false);
        let mut want = self.whole[self.k() + ROW].clone();
        let [old, new] = [&self.whole[0], &self.whole[1]];
        self.codec
            .update(ROW, UPDATED, old, new, &mut want)
            .unwrap();
        let code = shards.swap_remove(self.k() + ROW);
        let new = shards.swap_remove(1);
        let old = shards.swap_remove(0);
        (old, new, code, want)
    }
}

/// The data shard that changes.
pub(crate) const UPDATED: usize = 5;

/// The coding row that follows.
pub(crate) const ROW: usize = 1;

/// A shard aligned to 64 bytes, and displaced from others of the same length so that shards of a power of two do not all
/// fall into the same lines of the cache.
pub(crate) struct Shard {
    lines: Vec<Line>,
    first: usize,
    bytes: usize,
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl Shard {
    fn new(index: usize, bytes: usize) -> Self {
        let first = index * 3;
        Self {
            lines: vec![Line([0; 64]); first + bytes.div_ceil(64)],
            first,
            bytes,
        }
    }
}

impl AsRef<[u8]> for Shard {
    fn as_ref(&self) -> &[u8] {
        let lines = &self.lines[self.first..];
        // SAFETY: the lines are plain bytes without padding, borrowed with `self`, and at least `bytes` long.
        unsafe { slice::from_raw_parts(lines.as_ptr().cast(), self.bytes) }
    }
}

impl AsMut<[u8]> for Shard {
    fn as_mut(&mut self) -> &mut [u8] {
        let lines = &mut self.lines[self.first..];
        // SAFETY: as in `as_ref`, borrowed mutably.
        unsafe { slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), self.bytes) }
    }
}

/// Whether shards hold these bytes.
pub(crate) fn are(shards: &[Shard], want: &[Vec<u8>]) -> bool {
    shards.len() == want.len()
        && shards
            .iter()
            .zip(want)
            .all(|(got, want)| got.as_ref() == want)
}
