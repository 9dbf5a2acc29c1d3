//! The engines that this machine can run, side by side: `cargo bench -p jerasure --bench engines`.
//!
//! First encoding, in GB of data a second, with the ratio to the C library in the same run; then nanoseconds of small
//! updates and products. Engines take turns, and the best of several turns counts: others disturb it least. Each answer
//! is checked before it is timed.

use std::hint::black_box;
use std::time::{Duration, Instant};

use jerasure::{CodeParams, Codec, Engine, Multiplier, Technique, WordSize};

const SIZES: [WordSize; 3] = [WordSize::W8, WordSize::W16, WordSize::W32];
const SHAPES: [(usize, usize); 3] = [(4, 2), (6, 3), (10, 4)];
const SHARDS: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];
const LENGTHS: [usize; 6] = [8, 16, 64, 256, 1024, 4096];
const TURNS: usize = 9;

fn main() {
    let engines: Vec<Engine> = Engine::available().collect();
    println!("encode: GB of data a second (times the reference)");
    println!("{:22}{}", "", names(&engines, 16));
    for w in SIZES {
        for (k, m) in SHAPES {
            for bytes in SHARDS {
                encode(&engines, CodeParams::new(k, m, w).unwrap(), bytes);
            }
        }
    }
    for (title, prepare) in [("update", update as Timed), ("mul_add", mul_add as Timed)] {
        println!("\n{title}: ns a call");
        println!("{:22}{}", "", names(&engines, 16));
        for w in SIZES {
            for bytes in LENGTHS {
                let mut calls: Vec<Call> = engines.iter().map(|&e| prepare(e, w, bytes)).collect();
                let times = best_of_turns(&mut calls, Duration::from_micros(400));
                let row: String = times
                    .iter()
                    .map(|ns| format!("{:>16.1}", ns / BATCH as f64))
                    .collect();
                println!("w={w:<3}{bytes:>8} bytes   {row}");
            }
        }
    }
}

/// What is timed.
type Call = Box<dyn FnMut()>;

/// Checks an engine's answer for regions of some bytes, and gives what is to be timed.
type Timed = fn(Engine, WordSize, usize) -> Call;

fn names(engines: &[Engine], width: usize) -> String {
    engines
        .iter()
        .map(|engine| format!("{engine:>width$}"))
        .collect()
}

fn encode(engines: &[Engine], params: CodeParams, bytes: usize) {
    let (k, m) = (params.k(), params.m());
    let data: Vec<Region> = (0..k).map(|shard| Region::new(bytes, shard)).collect();
    let mut expected: Option<Vec<Region>> = None;
    let mut calls: Vec<Call> = Vec::new();
    for &engine in engines {
        let codec = Codec::with_engine(Technique::ReedSolVan, params, engine).unwrap();
        let data = data.clone();
        let mut coding: Vec<Region> = (0..m).map(|shard| Region::new(bytes, k + shard)).collect();
        codec.encode(&data, &mut coding).unwrap();
        // The first engine is the C library.
        let expected = expected.get_or_insert_with(|| coding.clone());
        for (coding, expected) in coding.iter().zip(expected) {
            assert!(coding.as_ref() == expected.as_ref(), "{engine} differs");
        }
        calls.push(Box::new(move || {
            codec
                .encode(black_box(&data), black_box(&mut coding))
                .unwrap();
        }));
    }
    let slice = Duration::from_micros(1500).max(Duration::from_nanos((k * bytes / 2) as u64));
    let times = best_of_turns(&mut calls, slice);
    let row: String = times
        .iter()
        .map(|ns| format!("{:>8.2} ({:>4.1}x)", (k * bytes) as f64 / ns, times[0] / ns))
        .collect();
    println!(
        "w={:<3}{k:>3}+{m} {:>5} KiB   {row}",
        params.w(),
        bytes >> 10
    );
}

fn update(engine: Engine, w: WordSize, bytes: usize) -> Call {
    let params = CodeParams::new(10, 4, w).unwrap();
    let codec = Codec::with_engine(Technique::ReedSolVan, params, engine).unwrap();
    let mut data: Vec<Region> = (0..10).map(|shard| Region::new(bytes, shard)).collect();
    let mut coding: Vec<Region> = (0..4).map(|_| Region::new(bytes, 0)).collect();
    codec.encode(&data, &mut coding).unwrap();
    let (old, new) = (data[5].clone(), Region::new(bytes, 99));
    let mut code = coding[3].clone();
    codec
        .update(3, 5, old.as_ref(), new.as_ref(), code.as_mut())
        .unwrap();
    data[5] = new.clone();
    codec.encode(&data, &mut coding).unwrap();
    assert!(code.as_ref() == coding[3].as_ref(), "{engine} differs");
    Box::new(move || {
        let (old, new, code) = (old.as_ref(), new.as_ref(), code.as_mut());
        for _ in 0..BATCH {
            let (old, new) = (black_box(old), black_box(new));
            codec.update(3, 5, old, new, black_box(&mut *code)).unwrap();
        }
    })
}

fn mul_add(engine: Engine, w: WordSize, bytes: usize) -> Call {
    let factor = 0x53;
    let multiplier = Multiplier::with_engine(w, factor, engine).unwrap();
    let (src, mut dst) = (Region::new(bytes, 1), Region::new(bytes, 2));
    let mut expected = dst.clone();
    multiplier.mul_add(dst.as_mut(), src.as_ref()).unwrap();
    let reference = Multiplier::with_engine(w, factor, Engine::Reference).unwrap();
    reference.mul_add(expected.as_mut(), src.as_ref()).unwrap();
    assert!(dst.as_ref() == expected.as_ref(), "{engine} differs");
    Box::new(move || {
        let (src, dst) = (src.as_ref(), dst.as_mut());
        for _ in 0..BATCH {
            multiplier
                .mul_add(black_box(&mut *dst), black_box(src))
                .unwrap();
        }
    })
}

/// Calls timed as one, where one is shorter than a look at the clock.
const BATCH: usize = 64;

/// The best nanoseconds of each call.
fn best_of_turns(calls: &mut [Call], slice: Duration) -> Vec<f64> {
    let mut best = vec![f64::INFINITY; calls.len()];
    for _ in 0..TURNS {
        for (best, call) in best.iter_mut().zip(calls.iter_mut()) {
            let (start, mut runs) = (Instant::now(), 0_u32);
            while runs == 0 || start.elapsed() < slice {
                call();
                runs += 1;
            }
            *best = best.min(start.elapsed().as_nanos() as f64 / f64::from(runs));
        }
    }
    best
}

/// A region that starts at a multiple of 64, with bytes that look random.
#[derive(Debug)]
struct Region {
    buffer: Vec<u8>,
    start: usize,
    bytes: usize,
}

impl Region {
    fn new(bytes: usize, seed: usize) -> Self {
        let mut region = Self::zeroed(bytes);
        let mut noise = seed as u64 + 1;
        for byte in region.as_mut() {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = (noise >> 56) as u8;
        }
        region
    }

    fn zeroed(bytes: usize) -> Self {
        let buffer = vec![0; bytes + 64];
        let start = buffer.as_ptr().addr().next_multiple_of(64) - buffer.as_ptr().addr();
        Self {
            buffer,
            start,
            bytes,
        }
    }
}

impl Clone for Region {
    /// A copy that is aligned, too.
    fn clone(&self) -> Self {
        let mut copy = Self::zeroed(self.bytes);
        copy.as_mut().copy_from_slice(self.as_ref());
        copy
    }
}

impl AsRef<[u8]> for Region {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[self.start..][..self.bytes]
    }
}

impl AsMut<[u8]> for Region {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..][..self.bytes]
    }
}
