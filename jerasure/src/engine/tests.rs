//! One suite for every engine that this machine has, against multiplication by shifting and adding.

use std::sync::Arc;

use super::*;

const SIZES: [WordSize; 3] = [WordSize::W8, WordSize::W16, WordSize::W32];

/// Beyond the largest step of any engine, and where large tables and several blocks are used.
const LONG: [usize; 6] = [1020, 1024, 4096, 4100, 8192 + 52, 3 * 8192 + 4];

/// What stands around regions that are written.
const GUARD: u8 = 0xa5;

/// The product as it is defined: the polynomials multiplied, then reduced from the highest term down.
fn product(w: WordSize, a: u32, b: u32) -> u32 {
    let mut product = (0..w.bits()).fold(0_u64, |sum, bit| {
        sum ^ (u64::from(b >> bit & 1) * u64::from(a)) << bit
    });
    let field = 1 << w.bits() | u64::from(w.polynomial());
    for bit in (w.bits()..2 * w.bits()).rev() {
        if product >> bit & 1 == 1 {
            product ^= field << (bit - w.bits());
        }
    }
    product as u32
}

/// Each word's product.
fn region_product(w: WordSize, factor: u32, region: &[u8]) -> Vec<u8> {
    let mut products = Vec::with_capacity(region.len());
    for word in region.chunks_exact(w.bytes()) {
        let mut bytes = [0; 4];
        bytes[..w.bytes()].copy_from_slice(word);
        // The low bytes come first where the machine puts them first.
        let value = match w.bytes() {
            1 => u32::from(bytes[0]),
            2 => u32::from(u16::from_ne_bytes([bytes[0], bytes[1]])),
            _ => u32::from_ne_bytes(bytes),
        };
        match (w.bytes(), product(w, factor, value)) {
            (1, p) => products.push(p as u8),
            (2, p) => products.extend((p as u16).to_ne_bytes()),
            (_, p) => products.extend(p.to_ne_bytes()),
        }
    }
    products
}

/// Bytes that look random, the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        // A linear congruential generator, its good high bits folded onto the low ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 ^ self.0 >> 33
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    fn element(&mut self, w: WordSize) -> u32 {
        self.next() as u32 & w.max_element()
    }
}

/// A region with guards around it, displaced from a multiple of 64.
struct Guarded {
    buffer: Vec<u8>,
    start: usize,
    bytes: usize,
}

impl Guarded {
    fn new(skew: usize, contents: &[u8]) -> Self {
        let mut buffer = vec![GUARD; contents.len() + 192];
        let start =
            buffer.as_ptr().addr().next_multiple_of(64) - buffer.as_ptr().addr() + 32 + skew;
        buffer[start..][..contents.len()].copy_from_slice(contents);
        Self {
            buffer,
            start,
            bytes: contents.len(),
        }
    }

    fn region(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..][..self.bytes]
    }

    #[track_caller]
    fn check(&mut self, expected: &[u8], what: impl Fn() -> String) {
        assert!(self.region() == expected, "wrong bytes: {}", what());
        let end = self.start + self.bytes;
        let around = self.buffer[..self.start].iter().chain(&self.buffer[end..]);
        assert!(
            around.copied().all(|byte| byte == GUARD),
            "written outside: {}",
            what()
        );
    }
}

fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

/// Every length to 257 and some longer ones; fewer under Miri, which is slow.
fn lengths(w: WordSize) -> impl Iterator<Item = usize> {
    let (step, long) = if cfg!(miri) {
        (37, &LONG[1..2])
    } else {
        (1, &LONG[..])
    };
    (0..=257)
        .step_by(step)
        .chain(long.iter().copied())
        .map(move |bytes| bytes & !(w.bytes() - 1))
}

#[test]
fn every_engine_multiplies_regions_of_every_length_and_alignment() {
    let mut noise = Noise(1);
    let most = lengths(WordSize::W8).max().unwrap();
    for w in SIZES {
        let factors = [0, 1, 2, w.max_element(), noise.element(w), noise.element(w)];
        let (old, new, before) = (noise.bytes(most), noise.bytes(most), noise.bytes(most));
        let tried = factors.into_iter().enumerate();
        for (index, factor) in tried.skip(if cfg!(miri) { 5 } else { 0 }) {
            let products = region_product(w, factor, &new);
            let changes = region_product(w, factor, &xor(&old, &new));
            for engine in Engine::available() {
                let prepared = engine.prepare(w, &factors).unwrap();
                let direct = Arc::clone(&prepared).direct(index);
                let detours = [Engine::Reference, Engine::Scalar].contains(&engine);
                assert_eq!(direct.is_none(), detours, "{engine}");
                for bytes in lengths(w) {
                    let skews = [noise.below(20), noise.below(20), noise.below(20)];
                    let what = || format!("{engine} w={w} {factor:#x} {bytes} bytes at {skews:?}");
                    let mut dst = Guarded::new(skews[0], &before[..bytes]);
                    let mut src = Guarded::new(skews[1], &new[..bytes]);
                    let mut other = Guarded::new(skews[2], &old[..bytes]);

                    prepared.mul_add(index, dst.region(), src.region());
                    dst.check(&xor(&before[..bytes], &products), what);
                    prepared.mul(index, dst.region(), src.region());
                    dst.check(&products[..bytes], what);
                    dst.region().copy_from_slice(&before[..bytes]);
                    prepared.update(index, dst.region(), other.region(), src.region());
                    dst.check(&xor(&before[..bytes], &changes), what);
                    if let Some(direct) = &direct {
                        dst.region().copy_from_slice(&before[..bytes]);
                        direct.update(dst.region(), other.region(), src.region());
                        dst.check(&xor(&before[..bytes], &changes), what);
                    }
                    src.check(&new[..bytes], what);
                }
            }
        }
    }
}

#[test]
fn every_engine_makes_any_number_of_outputs_from_any_number_of_sources() {
    // Under Miri, which is slow, one shape.
    const ROWS: usize = if cfg!(miri) { 5 } else { 9 };
    const COLS: usize = if cfg!(miri) { 3 } else { 12 };
    let mut noise = Noise(2);
    for w in SIZES {
        let most = if cfg!(miri) { 260 } else { 4096 + 64 + 4 };
        let sources: Vec<Vec<u8>> = (0..COLS).map(|_| noise.bytes(most)).collect();
        let mut matrix: Vec<Vec<u32>> = (0..ROWS)
            .map(|_| (0..COLS).map(|_| noise.element(w)).collect())
            .collect();
        matrix[0].fill(1);
        matrix[1][..COLS / 2].fill(0);
        let products: Vec<Vec<Vec<u8>>> = matrix
            .iter()
            .map(|row| {
                row.iter()
                    .zip(&sources)
                    .map(|(&f, s)| region_product(w, f, s))
                    .collect()
            })
            .collect();
        for rows in 0..=ROWS {
            for cols in 0..=COLS {
                if cfg!(miri) && (rows, cols) != (ROWS, COLS) {
                    continue;
                }
                let all = matches!(cols, 1 | 5) && matches!(rows, 1..=5);
                let some = [0, 1, 2, 4, 7, 8, 12, 16, 31, 36, 64, 100, 128, 260, most];
                let lengths: Vec<usize> = if all {
                    (0..=257).collect()
                } else {
                    some.into()
                };
                let unused = 3;
                let mut elements: Vec<u32> = (0..unused).map(|_| noise.element(w)).collect();
                elements.extend(matrix[..rows].iter().flat_map(|row| &row[..cols]));
                let expected: Vec<Vec<u8>> = products[..rows]
                    .iter()
                    .map(|row| {
                        row[..cols]
                            .iter()
                            .fold(vec![0; most], |sum, p| xor(&sum, p))
                    })
                    .collect();
                for engine in Engine::available() {
                    let prepared = engine.prepare(w, &elements).unwrap();
                    for &bytes in &lengths {
                        let bytes = bytes & !(w.bytes() - 1);
                        // Alike in one run of four, as most callers' are.
                        let apart = noise.below(4) > 0;
                        let mut skew = || if apart { noise.below(20) } else { 0 };
                        let mut sources: Vec<Guarded> = sources[..cols]
                            .iter()
                            .map(|source| Guarded::new(skew(), &source[..bytes]))
                            .collect();
                        let mut outputs: Vec<Guarded> = (0..rows)
                            .map(|_| Guarded::new(skew(), &vec![0xee; bytes]))
                            .collect();
                        let sources: Vec<&[u8]> =
                            sources.iter_mut().map(|s| &*s.region()).collect();
                        let mut regions: Vec<&mut [u8]> =
                            outputs.iter_mut().map(Guarded::region).collect();
                        prepared.dot(unused, &sources, &mut regions);
                        for (row, output) in outputs.iter_mut().enumerate() {
                            output.check(&expected[row][..bytes], || {
                                format!("{engine} w={w} {rows}x{cols} row {row}, {bytes} bytes")
                            });
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn one_source_may_be_given_twice() {
    for engine in Engine::available() {
        for w in SIZES {
            let region = Noise(3).bytes(132);
            let prepared = engine.prepare(w, &[5, 5, 5, 4]).unwrap();
            let (mut zero, mut one) = (vec![9; 132], vec![9; 132]);
            prepared.dot(0, &[&region, &region], &mut [&mut zero, &mut one]);
            assert_eq!((zero, one), (vec![0; 132], region));
        }
    }
}

#[test]
fn every_engine_agrees_with_the_reference_on_long_regions() {
    if !Engine::Reference.is_available() {
        return;
    }
    let mut noise = Noise(4);
    for w in SIZES {
        // More rows than any engine makes at once, and more bytes than it keeps in the cache.
        let (rows, cols, bytes) = (10, 20, 40_000);
        let elements: Vec<u32> = (0..rows * cols).map(|_| noise.element(w)).collect();
        let sources: Vec<Vec<u8>> = (0..cols).map(|_| noise.bytes(bytes)).collect();
        let sources: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
        let encode = |engine: Engine| {
            let mut outputs = vec![vec![0xee; bytes]; rows];
            let mut regions: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
            engine
                .prepare(w, &elements)
                .unwrap()
                .dot(0, &sources, &mut regions);
            outputs
        };
        let expected = encode(Engine::Reference);
        for engine in Engine::available() {
            assert!(encode(engine) == expected, "{engine} w={w}");
        }
    }
}

#[test]
fn every_product_of_bytes_is_as_defined() {
    let elements: Vec<u32> = (0..256).collect();
    let all: Vec<u8> = (0..=255).collect();
    for engine in Engine::available() {
        let prepared = engine.prepare(WordSize::W8, &elements).unwrap();
        for factor in (0..256).step_by(if cfg!(miri) { 51 } else { 1 }) {
            let mut products = [0; 256];
            prepared.mul(factor, &mut products, &all);
            let expected = region_product(WordSize::W8, factor as u32, &all);
            assert_eq!(products.as_slice(), expected, "{engine} {factor}");
        }
    }
}

#[test]
fn every_engine_adds_regions() {
    let mut noise = Noise(5);
    for engine in Engine::available() {
        let sums = engine.xor().unwrap();
        for bytes in lengths(WordSize::W8) {
            for count in 0..if cfg!(miri) { 3 } else { 6 } {
                let sources: Vec<Vec<u8>> = (0..count).map(|_| noise.bytes(bytes)).collect();
                let sum = sources.iter().fold(vec![0; bytes], |sum, s| xor(&sum, s));
                let mut guarded: Vec<Guarded> = sources
                    .iter()
                    .map(|source| Guarded::new(noise.below(20), source))
                    .collect();
                let sources: Vec<&[u8]> = guarded.iter_mut().map(|s| &*s.region()).collect();
                let what = || format!("{engine} {count} sources of {bytes}");
                let mut dst = Guarded::new(noise.below(20), &noise.bytes(bytes));
                sums.xor_many(dst.region(), &sources);
                dst.check(&sum, what);
                if let Some(source) = sources.last() {
                    sums.xor_add(dst.region(), source);
                    dst.check(&xor(&sum, source), what);
                }
            }
        }
    }
}

#[test]
fn what_is_no_element_or_no_region_word_is_refused() {
    for engine in Engine::available() {
        for (w, value) in [(WordSize::W8, 256), (WordSize::W16, 65_536)] {
            let refused = engine.prepare(w, &[1, value]).unwrap_err();
            assert_eq!(refused, Error::NotAnElement { value, w: w.bits() });
        }
        for w in [1, 4, 7, 9, 31] {
            let refused = engine.prepare(WordSize::new(w).unwrap(), &[1]).unwrap_err();
            assert!(matches!(refused, Error::WordSize { .. }));
        }
    }
}

#[test]
fn engines_that_the_machine_lacks_are_refused() {
    let lacking = Engine::ALL
        .into_iter()
        .filter(|engine| !engine.is_available());
    for engine in lacking {
        let unavailable = |error| matches!(error, Error::EngineUnavailable { engine: name, .. } if name == engine.name());
        assert!(unavailable(engine.prepare(WordSize::W8, &[1]).unwrap_err()));
        assert!(unavailable(engine.xor().unwrap_err()));
    }
    // No machine has both.
    assert!(!(Engine::Avx2.is_available() && Engine::Neon.is_available()));
}

#[test]
fn names_are_read_as_they_are_written() {
    for engine in Engine::ALL {
        assert_eq!(engine.to_string().parse(), Ok(engine));
    }
    for name in ["", "auto", "Scalar", "avx512"] {
        let unknown = Error::UnknownEngine { name: name.into() };
        assert_eq!(name.parse::<Engine>(), Err(unknown));
    }
}

#[test]
#[should_panic(expected = "factors out of range")]
fn outputs_beyond_the_factors_are_an_error_of_ours() {
    let prepared = Engine::best().prepare(WordSize::W8, &[1, 2, 3]).unwrap();
    let (mut a, mut b) = ([0; 8], [0; 8]);
    prepared.dot(0, &[&[1; 8], &[2; 8]], &mut [&mut a, &mut b]);
}
