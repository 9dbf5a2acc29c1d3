//! Bringing lost regions back (`jerasure.h`).

use crate::args::{Shape, Shards, erasures, ints, length, region_word};
use crate::codes;
use crate::encoding::stripes;
use crate::fields;
use crate::guard::guard;
use crate::memory;
use crate::regions::{self, Pointers};
use crate::schedules::{self, Step};
use crate::stats;
use jerasure::Codec;
use libc::c_char;
use smallvec::SmallVec;
use std::ffi::c_int;

/// Makes all lost regions, data and coding, of what is left; 0, or -1 if that cannot be.
///
/// `row_k_ones` only says how upstream would have counted: a first row of ones is seen from the matrix.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_matrix_decode(
    k: c_int,
    m: c_int,
    w: c_int,
    matrix: *mut c_int,
    row_k_ones: c_int,
    erasures: *mut c_int,
    data_ptrs: *mut *mut c_char,
    coding_ptrs: *mut *mut c_char,
    size: c_int,
) -> c_int {
    guard(-1, || {
        let w = region_word(w)?;
        fields::other(w.bits()).is_none().then_some(())?;
        let shape = Shape::new(k, m, w.bits() as c_int)?;
        // SAFETY: the caller's arrays.
        let (matrix, lost, shards) = unsafe {
            (
                ints(matrix, shape.k * shape.m)?,
                self::erasures(erasures, shape.k, shape.m)?,
                Shards::new(data_ptrs, coding_ptrs, (shape.k, shape.m))?,
            )
        };
        if lost.is_empty() {
            return Some(0);
        }
        let code = codes::of_words(shape, matrix)?;
        if stats::are_asked()
            && let Some(matrix) = code.matrix()
        {
            counted(shape, &lost, row_k_ones).of_words(matrix, length(size)?);
        }
        // SAFETY: the caller's regions.
        unsafe { decode(&code, shards, &lost, length(size)?) }
    })
}

/// As [`jerasure_matrix_decode`], by a bit matrix on packets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_bitmatrix_decode(
    k: c_int,
    m: c_int,
    w: c_int,
    bitmatrix: *mut c_int,
    row_k_ones: c_int,
    erasures: *mut c_int,
    data_ptrs: *mut *mut c_char,
    coding_ptrs: *mut *mut c_char,
    size: c_int,
    packetsize: c_int,
) -> c_int {
    guard(-1, || {
        let shape = Shape::new(k, m, w)?;
        // SAFETY: the caller's arrays.
        let (bits, lost, shards) = unsafe {
            (
                ints(bitmatrix, shape.bit_elements(shape.m)?)?,
                self::erasures(erasures, shape.k, shape.m)?,
                Shards::new(data_ptrs, coding_ptrs, (shape.k, shape.m))?,
            )
        };
        if lost.is_empty() {
            return Some(0);
        }
        let (bytes, packet) = stripes(shape, size, packetsize)?;
        let code = codes::of_bits(shape, bits, packet)?;
        if stats::are_asked()
            && let Some(bits) = code.bit_matrix()
        {
            counted(shape, &lost, row_k_ones).of_bits(bits, shape.w, bytes / shape.bits());
        }
        // SAFETY: the caller's regions.
        unsafe { decode(&code, shards, &lost, bytes) }
    })
}

fn counted(shape: Shape, lost: &[usize], row_k_ones: c_int) -> stats::Decoding<'_> {
    stats::Decoding {
        k: shape.k,
        lost,
        row_k_ones: row_k_ones == 1,
    }
}

/// # Safety
/// The regions that are used are NULL or have so many bytes.
unsafe fn decode(code: &Codec, shards: Shards<'_>, lost: &[usize], bytes: usize) -> Option<c_int> {
    let all = code.params().shards();
    // Whoever has no region at all is no survivor either.
    let left = |&shard: &usize| {
        lost.binary_search(&shard).is_err() && shards.get(shard).is_some_and(|p| !p.is_null())
    };
    let survivors: Pointers<usize> = (0..all).filter(left).collect();
    let sources: Pointers<*mut u8> = survivors.iter().filter_map(|&s| shards.get(s)).collect();
    let targets: Pointers<*mut u8> = lost.iter().filter_map(|&s| shards.get(s)).collect();
    // SAFETY: the caller's word.
    unsafe {
        regions::compute(&sources, &targets, bytes, |sources, targets| {
            let named = survivors.iter().copied().zip(sources.iter().copied());
            let survivors: SmallVec<[(usize, &[u8]); 32]> = named.collect();
            let named = lost.iter().copied().zip(targets.iter_mut());
            let mut targets: SmallVec<[(usize, &mut [u8]); 32]> = named
                .map(|(shard, region)| (shard, &mut **region))
                .collect();
            code.reconstruct_from(&survivors, &mut targets).ok()
        })?;
    }
    Some(0)
}

/// As [`jerasure_bitmatrix_decode`], by the schedule that the C library would make; any packet size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_schedule_decode_lazy(
    k: c_int,
    m: c_int,
    w: c_int,
    bitmatrix: *mut c_int,
    erasures: *mut c_int,
    data_ptrs: *mut *mut c_char,
    coding_ptrs: *mut *mut c_char,
    size: c_int,
    packetsize: c_int,
    smart: c_int,
) -> c_int {
    guard(-1, || {
        let shape = Shape::new(k, m, w)?;
        // SAFETY: the caller's arrays.
        let (bits, lost, shards) = unsafe {
            (
                ints(bitmatrix, shape.bit_elements(shape.m)?)?,
                self::erasures(erasures, shape.k, shape.m)?,
                Shards::new(data_ptrs, coding_ptrs, (shape.k, shape.m))?,
            )
        };
        if lost.is_empty() {
            return Some(0);
        }
        let lengths = stripes(shape, size, packetsize)?;
        let schedule = codes::decoding(shape, bits, &lost, smart != 0)?;
        let steps = schedules::steps_of(&schedule);
        let pointers: Pointers<*mut u8> = (0..shape.k + shape.m)
            .map(|shard| shards.get(shard).unwrap_or(std::ptr::null_mut()))
            .collect();
        // SAFETY: the caller's regions; the schedule's shards and packets are those of the code.
        unsafe { schedules::run(&steps, &pointers, shape.bits(), lengths)? };
        Some(0)
    })
}

/// As [`jerasure_schedule_decode_lazy`], by a schedule made before; for m = 2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_schedule_decode_cache(
    k: c_int,
    m: c_int,
    w: c_int,
    scache: *mut *mut *mut c_int,
    erasures: *mut c_int,
    data_ptrs: *mut *mut c_char,
    coding_ptrs: *mut *mut c_char,
    size: c_int,
    packetsize: c_int,
) -> c_int {
    guard(-1, || {
        let shape = Shape::new(k, m, w)?;
        (shape.m == 2 && !scache.is_null()).then_some(())?;
        // SAFETY: the caller's arrays.
        let (lost, shards) = unsafe {
            (
                self::erasures(erasures, shape.k, shape.m)?,
                Shards::new(data_ptrs, coding_ptrs, (shape.k, shape.m))?,
            )
        };
        let (&first, &last) = (lost.first()?, lost.last()?);
        let lengths = stripes(shape, size, packetsize)?;
        // SAFETY: the cache has a schedule for each pair of shards, the later one first.
        let schedule = unsafe { scache.add(last * (shape.k + shape.m) + first).read() };
        // SAFETY: a schedule of the cache.
        let steps: Vec<Step> =
            unsafe { schedules::read(schedule, shape.k + shape.m, shape.bits())? };
        let pointers = decoding_order(shape, shards, &lost)?;
        // SAFETY: the caller's regions, in the order that the schedule means.
        unsafe { schedules::run(&steps, &pointers, shape.bits(), lengths)? };
        Some(0)
    })
}

/// The regions in the order of a decoding schedule: each data shard, or where it is lost the next coding shard that is
/// left; then the lost data, then the lost coding.
fn decoding_order(shape: Shape, shards: Shards<'_>, lost: &[usize]) -> Option<Pointers<*mut u8>> {
    let is_lost = |shard: &usize| lost.binary_search(shard).is_ok();
    let mut coding = (shape.k..shape.k + shape.m).filter(|shard| !is_lost(shard));
    let mut order: Pointers<*mut u8> = SmallVec::new();
    for shard in 0..shape.k {
        let source = if is_lost(&shard) {
            coding.next()?
        } else {
            shard
        };
        order.push(shards.get(source)?);
    }
    for &shard in lost {
        order.push(shards.get(shard)?);
    }
    Some(order)
}

/// An array of k + m numbers, 1 for what is lost, freed by the caller; NULL if more than m are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_erasures_to_erased(
    k: c_int,
    m: c_int,
    erasures: *mut c_int,
) -> *mut c_int {
    guard(std::ptr::null_mut(), || {
        let shape = Shape::new(k, m, 8)?;
        // SAFETY: the caller's list.
        let lost = unsafe { self::erasures(erasures, shape.k, shape.m)? };
        let erased = |shard| c_int::from(lost.binary_search(&shard).is_ok());
        Some(memory::ints((0..shape.k + shape.m).map(erased)))
    })
}
