//! Schedules compared with those of the C library, operation for operation.

use super::*;
use crate::Matrix;
use crate::ffi::{Oracle, RawOperation};
use crate::golden::bits;

/// The bit matrices of every technique on packets, and some made up: k, m, w, matrix.
fn codes() -> Vec<(usize, usize, WordSize, BitMatrix)> {
    let sized = |w: u32| WordSize::new(w).unwrap();
    let mut codes = Vec::new();
    for w in [2, 3, 4, 5, 8, 11, 16, 24, 32].map(sized) {
        for (k, m) in [(1, 1), (1, 2), (2, 1), (2, 2), (5, 2), (6, 3), (3, 5)] {
            if (k + m) as u64 > 1 << w.bits() {
                continue;
            }
            for matrix in [
                Matrix::cauchy_original(k, m, w).unwrap(),
                Matrix::cauchy_good(k, m, w).unwrap(),
            ] {
                codes.push((k, m, w, matrix.to_bit_matrix().unwrap()));
            }
        }
    }
    for w in [3, 5, 7, 11].map(sized) {
        for k in [1, 2, w.bits() as usize] {
            codes.push((k, 2, w, BitMatrix::liberation(k, w).unwrap()));
        }
    }
    for w in [4, 6, 10].map(sized) {
        for k in [1, 3, w.bits() as usize] {
            codes.push((k, 2, w, BitMatrix::blaum_roth(k, w).unwrap()));
        }
    }
    for k in 1..=8 {
        codes.push((k, 2, WordSize::W8, BitMatrix::liber8tion(k).unwrap()));
    }
    let mut state = 7_u32;
    for (k, m) in [(1, 1), (2, 2), (3, 2), (2, 3)] {
        // Sparse enough that some rows are empty.
        let bit = |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 29 == 0
        };
        let size = 5;
        codes.push((
            k,
            m,
            sized(5),
            BitMatrix::new(m * size, k * size, bit).unwrap(),
        ));
    }
    codes
}

/// An operation with the shards' numbers in place of positions.
fn named([from, p, to, q, xor]: RawOperation, shards: &[usize]) -> Operation {
    let number = |n: i32| usize::try_from(n).unwrap();
    Operation {
        copy: xor == 0,
        from: (shards[number(from)], number(p)),
        to: (shards[number(to)], number(q)),
    }
}

#[test]
fn encoding_schedules_are_those_of_c() {
    for (k, m, w, matrix) in codes() {
        let all: Vec<usize> = (0..k + m).collect();
        for smart in [false, true] {
            let shape = (k, m, w.bits() as usize);
            let want = Oracle::get().schedule(shape, &bits(&matrix), smart);
            let want: Vec<Operation> = want.into_iter().map(|op| named(op, &all)).collect();
            let schedule = if smart {
                Schedule::smart(&matrix, k, m, w).unwrap()
            } else {
                Schedule::dumb(&matrix, k, m, w).unwrap()
            };
            let got: Vec<Operation> = schedule.operations().collect();
            assert_eq!(got, want, "k = {k}, m = {m}, w = {w}, smart: {smart}");
            assert_eq!(schedule.xors(), got.iter().filter(|op| !op.copy).count());
        }
    }
}

/// The shards at the positions of a decoding schedule (`set_up_ptrs_for_scheduled_decoding`): each data shard, or where
/// it is lost the next coding shard; then the lost ones.
fn positions(k: usize, erased: &[usize]) -> Vec<usize> {
    let mut coding = (k..k + 2).filter(|shard| !erased.contains(shard));
    let data = (0..k).map(|shard| match erased.contains(&shard) {
        true => coding
            .next()
            .expect("no more are lost than there are codes"),
        false => shard,
    });
    data.chain(erased.iter().copied()).collect()
}

#[test]
fn decoding_schedules_of_two_coding_shards_are_those_of_c() {
    let mut compared = 0;
    for (k, _, w, matrix) in codes().into_iter().filter(|&(_, m, _, _)| m == 2) {
        if w.bits() > 16 {
            continue;
        }
        for smart in [false, true] {
            let size = w.bits() as usize;
            let all = Oracle::get().decoding_schedules(k, size, &bits(&matrix), smart);
            for a in 0..k + 2 {
                for b in a..k + 2 {
                    let erased = if a == b { vec![a] } else { vec![a, b] };
                    let Ok(schedule) = Schedule::decoding(&matrix, k, 2, w, &erased, smart) else {
                        continue;
                    };
                    // A code that is not always solvable may take other survivors than C, which then is wrong.
                    if matrix.decoding_matrix(w, &erased).is_err() {
                        continue;
                    }
                    let shards = positions(k, &erased);
                    let want = all[a * (k + 2) + b].iter();
                    let want: Vec<Operation> = want.map(|&op| named(op, &shards)).collect();
                    let got: Vec<Operation> = schedule.operations().collect();
                    assert_eq!(
                        got, want,
                        "k = {k}, w = {w}, lost {erased:?}, smart: {smart}"
                    );
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 1000);
}
