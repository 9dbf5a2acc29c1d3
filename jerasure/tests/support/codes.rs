//! The codes that the tests run through, each beside the C library's.

#![allow(dead_code, reason = "each test that includes this file uses a part")]

use jerasure::{CodeParams, Codec, Engine, Technique, WordSize};

use crate::c_library::{self, CCode};

/// A technique with the parameters that make a code of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) technique: Technique,
    pub(crate) k: usize,
    pub(crate) m: usize,
    pub(crate) w: u32,
    /// 0 for a code on words.
    pub(crate) packet_bytes: usize,
}

impl Shape {
    pub(crate) fn params(&self) -> CodeParams {
        let w = WordSize::new(self.w).unwrap();
        let params = CodeParams::new(self.k, self.m, w).unwrap();
        match self.packet_bytes {
            0 => params,
            bytes => params.with_packet_bytes(bytes).unwrap(),
        }
    }

    /// Whether the technique has such a code.
    pub(crate) fn is_possible(&self) -> bool {
        let w = WordSize::new(self.w).unwrap();
        let params =
            CodeParams::new(self.k, self.m, w).and_then(|params| match self.packet_bytes {
                0 => Ok(params),
                bytes => params.with_packet_bytes(bytes),
            });
        params.is_ok_and(|params| self.technique.check(params).is_ok())
    }

    pub(crate) fn codec(&self, engine: Engine) -> Codec {
        Codec::with_engine(self.technique, self.params(), engine).unwrap()
    }

    pub(crate) fn c_code(&self) -> CCode {
        let Self { k, m, w, .. } = *self;
        CCode::new(self.technique.name(), k, m, w as usize, self.packet_bytes)
    }

    /// What to hold while the C library works on it, also as the reference engine.
    pub(crate) fn place(&self) -> impl Sized {
        let is_alone = self.w == 32 && self.packet_bytes == 0;
        let together = (!is_alone).then(c_library::together);
        (together, is_alone.then(c_library::alone))
    }

    /// Bytes that a shard's length is a multiple of.
    pub(crate) fn unit(&self) -> usize {
        match self.packet_bytes {
            0 => self.w as usize / 8,
            bytes => self.w as usize * bytes,
        }
    }
}

/// Every technique with word sizes that it differs at; the packet size is left to the caller.
pub(crate) fn word_sizes() -> Vec<(Technique, u32)> {
    let all: [(Technique, &[u32]); 7] = [
        (Technique::ReedSolVan, &[8, 16, 32]),
        (Technique::ReedSolR6, &[8, 16, 32]),
        (Technique::CauchyOrig, &[3, 4, 5, 8, 16]),
        (Technique::CauchyGood, &[3, 4, 7, 8, 13]),
        (Technique::Liberation, &[3, 5, 7, 11]),
        (Technique::BlaumRoth, &[4, 6, 10]),
        (Technique::Liber8tion, &[8]),
    ];
    let pairs = all.iter();
    pairs
        .flat_map(|&(t, sizes)| sizes.iter().map(move |&w| (t, w)))
        .collect()
}

/// One shape of each technique and word size, k + m shards or fewer where the technique has no more.
pub(crate) fn shapes(k: usize, m: usize, packet_bytes: usize) -> Vec<Shape> {
    let of = |(technique, w): (Technique, u32)| {
        let packet_bytes = if technique.uses_packets() {
            packet_bytes
        } else {
            0
        };
        let smaller = (1..=k)
            .rev()
            .map(move |k| (k, m))
            .chain((1..=k).rev().map(|k| (k, 2)));
        smaller
            .map(|(k, m)| Shape {
                technique,
                k,
                m,
                w,
                packet_bytes,
            })
            .find(Shape::is_possible)
            .expect("every technique has a code of one data shard")
    };
    word_sizes().into_iter().map(of).collect()
}

/// All sets of at most `most` of so many shards, in ascending order each.
pub(crate) fn subsets(shards: usize, most: usize) -> impl Iterator<Item = Vec<usize>> {
    (0_u32..1 << shards)
        .filter(move |set| set.count_ones() as usize <= most)
        .map(move |set| (0..shards).filter(|i| set >> i & 1 == 1).collect())
}
