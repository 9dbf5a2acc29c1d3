//! Nanoseconds of `Multiplier::mul_add` and `Codec::update` by word size, length and alignment:
//! `cargo bench -p jerasure`. Each answer is checked before it is timed.

use std::hint::black_box;
use std::time::{Duration, Instant};

use jerasure::{CodeParams, Codec, Multiplier, Technique, WordSize, galois};

const LENGTHS: [usize; 9] = [8, 16, 64, 128, 256, 512, 1024, 4096, 65536];

fn main() {
    println!(
        "{:32}{}",
        "ns a call",
        LENGTHS.map(|l| format!("{l:>9}")).concat()
    );
    for w in [WordSize::W8, WordSize::W16, WordSize::W32] {
        // Aligned alike; displaced by whole words; displaced by one byte.
        for (name, dst_skew) in [("congruent", 0), ("by words", 4), ("by one byte", 1)] {
            let times = LENGTHS.map(|bytes| mul_add(w, bytes, dst_skew));
            report(&format!("mul_add w={} {name}", w.bits()), times);
        }
        report(
            &format!("update w={} 10+4", w.bits()),
            LENGTHS.map(|bytes| update(w, bytes)),
        );
    }
}

fn report(name: &str, times: [f64; LENGTHS.len()]) {
    println!("{name:32}{}", times.map(|t| format!("{t:>9.1}")).concat());
}

fn mul_add(w: WordSize, bytes: usize, dst_skew: usize) -> f64 {
    let coefficient = 0x53 % w.max_element();
    let multiplier = Multiplier::new(w, coefficient).unwrap();
    let (mut src, src_start) = region(bytes, 0);
    let (mut dst, dst_start) = region(bytes, dst_skew);
    let (src, dst) = (
        &mut src[src_start..][..bytes],
        &mut dst[dst_start..][..bytes],
    );
    for (i, byte) in src.iter_mut().enumerate() {
        *byte = (i * 97 + 13) as u8;
    }

    multiplier.mul_add(dst, src).unwrap();
    let mut one = [0; 4];
    one[..w.bytes()].copy_from_slice(&src[..w.bytes()]);
    let product = galois::multiply(w, coefficient, u32::from_ne_bytes(one)).unwrap();
    assert_eq!(dst[..w.bytes()], product.to_ne_bytes()[..w.bytes()]);

    time(|| {
        multiplier
            .mul_add(black_box(&mut *dst), black_box(&*src))
            .unwrap()
    })
}

fn update(w: WordSize, bytes: usize) -> f64 {
    let codec = Codec::new(Technique::ReedSolVan, CodeParams::new(10, 4, w).unwrap()).unwrap();
    let (old, new) = (vec![0; bytes], vec![7; bytes]);
    let (mut code, mut back) = (vec![9; bytes], vec![9; bytes]);
    codec.update(3, 5, &old, &new, &mut code).unwrap();
    assert_ne!(code, back);
    codec.update(3, 5, &new, &old, &mut code).unwrap();
    assert_eq!(code, back);

    time(|| {
        let code = black_box(&mut back);
        codec
            .update(3, 5, black_box(&old), black_box(&new), code)
            .unwrap();
    })
}

/// A zeroed region that starts `skew` bytes after a multiple of 64, as its buffer and the start in it.
fn region(bytes: usize, skew: usize) -> (Vec<u8>, usize) {
    let buffer = vec![0; bytes + 128];
    let start = buffer.as_ptr().align_offset(64) + skew;
    (buffer, start)
}

/// The best of several runs, which other processes disturb least.
fn time(mut call: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..7 {
        let (start, mut calls) = (Instant::now(), 0_u32);
        while start.elapsed() < Duration::from_millis(8) {
            for _ in 0..64 {
                call();
            }
            calls += 64;
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(calls));
    }
    best
}
