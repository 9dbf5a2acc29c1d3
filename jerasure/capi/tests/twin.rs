//! This library beside Debian's `libJerasure.so.2`: the same calls, the same bytes.
//!
//! Both are loaded as programs load them. Without the package `libjerasure2` there is nothing to compare with, and the tests
//! say so and fail: `./check` installs it first, or leaves them out.

#![allow(
    clippy::undocumented_unsafe_blocks,
    unused_unsafe,
    reason = "every call is by the header's contract, with arrays as long as it says: see `twin::library`"
)]

mod twin {
    pub mod aligned;
    pub mod calls;
    pub mod library;
    pub mod names;
    pub mod random;
}

use std::ffi::c_int;
use twin::calls::{Regions, lost_patterns};
use twin::library::{Library, both};
use twin::random::Random;

const WORDS: [c_int; 3] = [8, 16, 32];

fn same<T: PartialEq + std::fmt::Debug>(what: &str, call: impl Fn(&Library) -> T) {
    let (ours, theirs) = both();
    assert_eq!(call(ours), call(theirs), "{what}");
}

#[test]
fn every_symbol_of_debians_library_is_there() {
    let (ours, theirs) = both();
    for name in twin::names::NAMES {
        assert!(theirs.has(name), "{name} is not Debian's");
        assert!(ours.has(name), "{name} is missing");
    }
}

#[test]
fn elements_are_multiplied_alike() {
    let mut random = Random(1);
    for w in 1..=32 {
        for _ in 0..300 {
            let (a, b) = (random.element(w), random.element(w));
            same(&format!("{a} * {b}, w = {w}"), |l| l.multiply(a, b, w));
            same(&format!("{a} / {b}, w = {w}"), |l| l.divide(a, b, w));
            same(&format!("1 / {a}, w = {w}"), |l| l.inverse(a, w));
        }
    }
}

#[test]
fn matrices_are_alike() {
    for w in [4, 8, 16, 32] {
        for (k, m) in [(1, 1), (2, 1), (4, 2), (6, 3), (10, 4), (5, 5)] {
            let what = format!("k = {k}, m = {m}, w = {w}");
            same(&what, |l| l.vandermonde(k, m, w));
            same(&what, |l| l.extended(k + m, k, w));
            same(&what, |l| l.big(k + m, k, w));
            same(&what, |l| l.r6(k, w));
            same(&what, |l| l.cauchy_original(k, m, w));
            same(&what, |l| l.cauchy_good(k, m, w));
            same(&what, |l| {
                let matrix = l.cauchy_original(k, m, w)?;
                Some((l.to_bits(k, m, w, &matrix), l.improved(k, m, w, &matrix)))
            });
        }
    }
    for w in 2..=16 {
        for k in 1..=w + 1 {
            same(&format!("k = {k}, w = {w}"), |l| {
                (l.liberation(k, w), l.blaum_roth(k, w), l.liber8tion(k))
            });
        }
    }
    for (n, w) in [(1, 8), (255, 8), (4097, 16), (-5, 32)] {
        same("ones", |l| l.n_ones(n, w));
    }
}

#[test]
fn words_are_encoded_and_decoded_alike() {
    let mut random = Random(2);
    for w in WORDS {
        for (k, m) in [(1, 1), (2, 1), (4, 2), (6, 3), (10, 4)] {
            for bytes in [16, 64, 4096, 4096 + 32] {
                let regions = Regions::random(&mut random, k, m, bytes);
                let what = format!("k = {k}, m = {m}, w = {w}, {bytes} bytes");
                same(&what, |l| {
                    let matrix = l.vandermonde(k, m, w).unwrap();
                    let mut regions = regions.clone();
                    l.encode(&matrix, w, &mut regions);
                    regions
                });
                for lost in lost_patterns(k, m, &mut random) {
                    same(&format!("{what}, lost {lost:?}"), |l| {
                        let matrix = l.vandermonde(k, m, w).unwrap();
                        let mut regions = regions.clone();
                        l.encode(&matrix, w, &mut regions);
                        regions.spoil(&lost);
                        (l.decode(&matrix, w, 1, &lost, &mut regions), regions)
                    });
                }
            }
        }
    }
}

#[test]
fn packets_are_encoded_and_decoded_alike() {
    let mut random = Random(3);
    for (k, m, w) in [(2, 2, 4), (4, 2, 8), (6, 3, 5), (5, 2, 7)] {
        // Of 16 bytes and more upstream takes multiples of 16 alone: others it reads and writes out of bounds.
        for packet in [1, 4, 8, 12, 64, 1008] {
            let regions = Regions::random(&mut random, k, m, (packet * w * 3) as usize);
            let what = format!("k = {k}, m = {m}, w = {w}, packets of {packet}");
            let bits = |l: &Library| {
                let matrix = l.cauchy_good(k, m, w).unwrap();
                l.to_bits(k, m, w, &matrix).unwrap()
            };
            for smart in [false, true] {
                same(&what, |l| {
                    let mut regions = regions.clone();
                    let schedule = l.schedule(k, m, w, &bits(l), smart).unwrap();
                    l.schedule_encode(&schedule, w, packet, &mut regions);
                    (schedule, regions)
                });
                // Upstream writes out of bounds where nothing is lost.
                for lost in lost_patterns(k, m, &mut random).split_off(1) {
                    same(&format!("{what}, lost {lost:?}"), |l| {
                        let mut regions = regions.clone();
                        let schedule = l.schedule(k, m, w, &bits(l), smart).unwrap();
                        l.schedule_encode(&schedule, w, packet, &mut regions);
                        regions.spoil(&lost);
                        let lazy = l.decode_lazy(&bits(l), w, packet, &lost, smart, &mut regions);
                        (lazy, regions)
                    });
                }
            }
            if packet % 8 == 0 {
                same(&what, |l| {
                    let mut regions = regions.clone();
                    l.bits_encode(&bits(l), w, packet, &mut regions);
                    regions
                });
                for lost in lost_patterns(k, m, &mut random) {
                    same(&format!("{what}, lost {lost:?}"), |l| {
                        let mut regions = regions.clone();
                        l.bits_encode(&bits(l), w, packet, &mut regions);
                        regions.spoil(&lost);
                        let decoded = l.bits_decode(&bits(l), w, packet, &lost, &mut regions);
                        (decoded, regions)
                    });
                }
            }
        }
    }
}

#[test]
fn caches_of_schedules_decode_every_pair() {
    let mut random = Random(4);
    for (k, w) in [(2, 3), (4, 5), (5, 7)] {
        let regions = Regions::random(&mut random, k, 2, (16 * w * 2) as usize);
        for first in 0..k + 2 {
            for second in 0..first {
                for lost in [vec![first], vec![first, second], vec![second, first]] {
                    same(&format!("k = {k}, w = {w}, lost {lost:?}"), |l| {
                        let bits = l.liberation(k, w).unwrap();
                        let mut regions = regions.clone();
                        l.bits_encode(&bits, w, 16, &mut regions);
                        regions.spoil(&lost);
                        (l.decode_cached(&bits, w, 16, &lost, &mut regions), regions)
                    });
                }
            }
        }
    }
}

#[test]
fn decoding_matrices_and_inverses_are_alike() {
    let mut random = Random(5);
    for w in WORDS {
        for (k, m) in [(2, 1), (4, 2), (6, 3)] {
            for lost in lost_patterns(k, m, &mut random) {
                same(&format!("k = {k}, m = {m}, w = {w}, lost {lost:?}"), |l| {
                    let matrix = l.vandermonde(k, m, w).unwrap();
                    let made = l.decoding_matrix(k, m, w, &matrix, &lost);
                    let square: Vec<c_int> = made.as_ref().map(|m| m.0.clone()).unwrap_or_default();
                    (made, l.inverted(&square, k, w), l.erased(k, m, &lost))
                });
            }
        }
    }
}

#[test]
fn regions_are_multiplied_alike_and_in_place() {
    let mut random = Random(6);
    for w in WORDS {
        for bytes in [16, 48, 4096, 8192] {
            for factor in [0, 1, 2, 77, 200] {
                let region = random.bytes(bytes);
                for (in_place, add) in [(true, false), (false, false), (false, true)] {
                    same(&format!("w = {w}, {bytes} bytes, {factor}"), |l| {
                        l.region_multiply(w, factor, &region, in_place, add)
                    });
                }
            }
        }
        same("doubled", |l| l.doubled(w, &Random(7).bytes(256)));
    }
    for bytes in [0, 1, 15, 16, 33, 4096] {
        let (a, b) = (random.bytes(bytes), random.bytes(bytes));
        same("xor", |l| l.xor(&a, &b));
    }
}

#[test]
fn what_upstream_refuses_is_refused() {
    same("NULL", |l| {
        (
            l.vandermonde(200, 100, 8),
            l.r6(4, 7),
            l.liberation(8, 7),
            l.erased(4, 2, &[0, 1, 2]),
            l.divide(5, 0, 8),
            l.inverse(0, 8),
        )
    });
}
