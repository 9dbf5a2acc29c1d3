//! Codes prepared for the matrices that callers hand over with each call, found again by what is in them.

use crate::args::Shape;
use jerasure::{BitMatrix, CodeParams, Codec, Matrix, Schedule};
use std::cell::RefCell;
use std::ffi::c_int;
use std::rc::Rc;

/// How many codes, and how many schedules, each thread keeps.
const KEPT: usize = 16;

/// What a caller handed over.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key<'a> {
    kind: Kind,
    shape: Shape,
    packet: usize,
    ints: &'a [c_int],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Words,
    Bits,
    Decoding { smart: bool },
}

struct Kept<T> {
    kind: Kind,
    shape: Shape,
    packet: usize,
    ints: Box<[c_int]>,
    made: T,
}

/// The last ones used, the newest first.
struct Cache<T>(Vec<Kept<T>>);

impl<T: Clone> Cache<T> {
    fn get(&mut self, key: Key<'_>, make: impl FnOnce() -> Option<T>) -> Option<T> {
        let is_it = |kept: &Kept<T>| {
            (kept.kind, kept.shape, kept.packet) == (key.kind, key.shape, key.packet)
                && *kept.ints == *key.ints
        };
        if let Some(at) = self.0.iter().position(is_it) {
            self.0[..=at].rotate_right(1);
            return Some(self.0[0].made.clone());
        }
        let made = make()?;
        self.0.truncate(KEPT - 1);
        let kept = Kept {
            kind: key.kind,
            shape: key.shape,
            packet: key.packet,
            ints: key.ints.into(),
            made: made.clone(),
        };
        self.0.insert(0, kept);
        Some(made)
    }
}

thread_local! {
    static CODES: RefCell<Cache<Codec>> = const { RefCell::new(Cache(Vec::new())) };
    static SCHEDULES: RefCell<Cache<Rc<Schedule>>> = const { RefCell::new(Cache(Vec::new())) };
}

/// The code of a matrix over words: `m` rows of `k`.
pub(crate) fn of_words(shape: Shape, matrix: &[c_int]) -> Option<Codec> {
    let key = Key {
        kind: Kind::Words,
        shape,
        packet: 0,
        ints: matrix,
    };
    CODES.with_borrow_mut(|codes| {
        codes.get(key, || {
            let params = CodeParams::new(shape.k, shape.m, shape.w).ok()?;
            let matrix = words(shape, matrix)?;
            Codec::from_matrix(params, matrix).ok()
        })
    })
}

/// The code of a bit matrix on packets: `m * w` rows of `k * w`.
pub(crate) fn of_bits(shape: Shape, bits: &[c_int], packet: usize) -> Option<Codec> {
    let key = Key {
        kind: Kind::Bits,
        shape,
        packet,
        ints: bits,
    };
    CODES.with_borrow_mut(|codes| {
        codes.get(key, || {
            let params = CodeParams::new(shape.k, shape.m, shape.w).ok()?;
            let params = params.with_packet_bytes(packet).ok()?;
            Codec::from_bit_matrix(params, bit_matrix(shape, shape.m, bits)?).ok()
        })
    })
}

/// The schedule that brings `erased` back, operation for operation the C library's; kept for each pattern.
pub(crate) fn decoding(
    shape: Shape,
    bits: &[c_int],
    erased: &[usize],
    smart: bool,
) -> Option<Rc<Schedule>> {
    // The pattern stands behind the matrix, which has a length of its own.
    let pattern = erased.iter().map(|&shard| shard as c_int);
    let ints: Vec<c_int> = bits.iter().copied().chain(pattern).collect();
    let key = Key {
        kind: Kind::Decoding { smart },
        shape,
        packet: 0,
        ints: &ints,
    };
    SCHEDULES.with_borrow_mut(|schedules| {
        schedules.get(key, || {
            let matrix = bit_matrix(shape, shape.m, bits)?;
            let made = Schedule::decoding(&matrix, shape.k, shape.m, shape.w, erased, smart);
            made.ok().map(Rc::new)
        })
    })
}

/// A matrix of C's: m rows of k.
pub(crate) fn words(shape: Shape, matrix: &[c_int]) -> Option<Matrix> {
    Matrix::new(shape.w, shape.m, shape.k, crate::args::elements(matrix)).ok()
}

/// A bit matrix of C's, an `int` for each bit: `rows * w` rows of `k * w`.
pub(crate) fn bit_matrix(shape: Shape, rows: usize, bits: &[c_int]) -> Option<BitMatrix> {
    let (rows, cols) = (rows * shape.bits(), shape.k * shape.bits());
    BitMatrix::new(rows, cols, |row, col| bits[row * cols + col] != 0).ok()
}
