//! Lists of copies and XORs of packets (`jerasure.h`).
//!
//! A schedule is an array of pointers to five numbers: from shard and packet, to shard and packet, and 1 for XOR or 0 for
//! copy. Each five are a `malloc` of their own; the last ones begin with -1. Callers make and filter schedules
//! themselves.

use crate::args::{Shape, Shards, count, ints};
use crate::codes::bit_matrix;
use crate::encoding::stripes;
use crate::galois;
use crate::guard::guard;
use crate::memory;
use crate::regions::{self, Pointers};
use crate::stats;
use jerasure::{Operation, Schedule};
use libc::c_char;
use smallvec::SmallVec;
use std::ffi::c_int;
use std::ptr;

/// One target packet and what is added up in it.
#[derive(Debug)]
pub(crate) struct Step {
    to: (usize, usize),
    from: SmallVec<[(usize, usize); 8]>,
    /// It begins with what the target holds.
    keeps: bool,
}

/// The operations grouped by their targets, in order.
fn grouped(operations: impl Iterator<Item = Operation>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for Operation { copy, from, to } in operations {
        match steps.last_mut() {
            // A packet that is added to itself must be read when its turn comes.
            Some(step) if step.to == to && !copy && from != to => step.from.push(from),
            _ => steps.push(Step {
                to,
                from: SmallVec::from_slice(&[from]),
                keeps: !copy,
            }),
        }
    }
    steps
}

/// The steps of a schedule of this library's.
pub(crate) fn steps_of(schedule: &Schedule) -> Vec<Step> {
    grouped(schedule.operations())
}

/// The steps of a caller's schedule of a code of so many shards and packets; `None` for a packet that the code has not.
///
/// # Safety
/// It is NULL or ends as a schedule does.
pub(crate) unsafe fn read(schedule: *mut *mut c_int, shards: usize, w: usize) -> Option<Vec<Step>> {
    // SAFETY: the caller's word.
    let operations = unsafe { raw(schedule)? };
    let checked = |&[a, b, c, d, xor]: &[c_int; 5]| {
        let pair = |shard: c_int, packet: c_int| {
            let pair = (usize::try_from(shard).ok()?, usize::try_from(packet).ok()?);
            (pair.0 < shards && pair.1 < w).then_some(pair)
        };
        Some(Operation {
            copy: xor == 0,
            from: pair(a, b)?,
            to: pair(c, d)?,
        })
    };
    let operations: Option<Vec<Operation>> = operations.iter().map(checked).collect();
    Some(grouped(operations?.into_iter()))
}

/// # Safety
/// As [`read`].
unsafe fn raw(schedule: *mut *mut c_int) -> Option<Vec<[c_int; 5]>> {
    (!schedule.is_null()).then_some(())?;
    let mut operations = Vec::new();
    for at in 0.. {
        // SAFETY: no end stood before this one.
        let operation = unsafe { schedule.add(at).read() };
        (!operation.is_null()).then_some(())?;
        // SAFETY: each operation has a first number, and the others unless that is the end.
        unsafe {
            if operation.read() < 0 {
                break;
            }
            operations.push(operation.cast::<[c_int; 5]>().read());
        }
    }
    Some(operations)
}

/// Runs the steps over all stripes. `pointers` are the shards in the schedule's order.
///
/// # Safety
/// Those that the steps name are NULL or point to so many bytes.
pub(crate) unsafe fn run(
    steps: &[Step],
    pointers: &[*mut u8],
    w: usize,
    (bytes, packet): (usize, usize),
) -> Option<()> {
    let is_target = |shard: usize| steps.iter().any(|step| step.to.0 == shard);
    let is_source = |shard: usize| {
        steps
            .iter()
            .any(|s| s.from.iter().any(|from| from.0 == shard))
    };
    let (mut sources, mut targets) = (Pointers::new(), Pointers::new());
    for (shard, &pointer) in pointers.iter().enumerate() {
        if is_target(shard) {
            targets.push(pointer);
        } else if is_source(shard) {
            sources.push(pointer);
        }
    }
    if sources.iter().chain(&targets).any(|p| p.is_null()) {
        return None;
    }
    for step in steps {
        let (copies, xors) = (
            usize::from(!step.keeps),
            step.from.len() - usize::from(!step.keeps),
        );
        stats::add(xors * (bytes / w), 0, copies * (bytes / w));
    }
    let apart = regions::are_apart(&sources, &targets, bytes);
    for stripe in (0..bytes).step_by(w * packet) {
        // Columns of packets that stay in the cache.
        for column in (0..packet).step_by(COLUMN) {
            let width = COLUMN.min(packet - column);
            for step in steps {
                let at = |(shard, number): (usize, usize)| {
                    // SAFETY: the packet is within the caller's region.
                    unsafe { pointers[shard].add(stripe + number * packet + column) }
                };
                // SAFETY: the caller's word.
                unsafe { make(step, at, width, apart)? };
            }
        }
    }
    Some(())
}

/// Bytes of a packet that are worked on at a time.
const COLUMN: usize = 4096;

/// # Safety
/// `at` gives pointers to `width` bytes; if `apart`, different packets do not overlap.
unsafe fn make(
    step: &Step,
    at: impl Fn((usize, usize)) -> *mut u8,
    width: usize,
    apart: bool,
) -> Option<()> {
    let to = at(step.to);
    if apart && !step.keeps && step.from.iter().all(|&from| from != step.to) {
        let sources: Pointers<*mut u8> = step.from.iter().map(|&from| at(from)).collect();
        // SAFETY: the caller's word.
        return unsafe {
            regions::compute(&sources, &[to], width, |sources, target| {
                jerasure::parity(target[0], sources).ok()
            })
        };
    }
    for (number, &from) in step.from.iter().enumerate() {
        // SAFETY: the caller's word.
        unsafe {
            match number == 0 && !step.keeps {
                true => to.copy_from(at(from), width),
                false => galois::xor(at(from), to, width)?,
            }
        }
    }
    Some(())
}

/// Runs a schedule of any shards and packets once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_do_scheduled_operations(
    ptrs: *mut *mut c_char,
    schedule: *mut *mut c_int,
    packetsize: c_int,
) {
    guard((), || {
        let packet = count(packetsize)?;
        (!ptrs.is_null()).then_some(())?;
        // SAFETY: the caller's schedule.
        for [a, b, c, d, xor] in unsafe { raw(schedule)? } {
            // SAFETY: the caller's regions have the packets that the schedule names.
            let region = |shard: c_int, number: c_int| unsafe {
                let shard = ptrs.offset(shard as isize).read();
                shard.cast::<u8>().offset(number as isize * packet as isize)
            };
            let (from, to) = (region(a, b), region(c, d));
            // SAFETY: as above.
            unsafe {
                match xor {
                    0 => to.copy_from(from, packet),
                    _ => galois::xor(from, to, packet)?,
                }
            }
            stats::add(
                usize::from(xor != 0) * packet,
                0,
                usize::from(xor == 0) * packet,
            );
        }
        Some(())
    });
}

/// Makes m coding regions by a schedule; any packet size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_schedule_encode(
    k: c_int,
    m: c_int,
    w: c_int,
    schedule: *mut *mut c_int,
    data_ptrs: *mut *mut c_char,
    coding_ptrs: *mut *mut c_char,
    size: c_int,
    packetsize: c_int,
) {
    guard((), || {
        let shape = Shape::new(k, m, w)?;
        let lengths = stripes(shape, size, packetsize)?;
        // SAFETY: the caller's arrays and schedule.
        let (shards, steps) = unsafe {
            (
                Shards::new(data_ptrs, coding_ptrs, (shape.k, shape.m))?,
                read(schedule, shape.k + shape.m, shape.bits())?,
            )
        };
        let pointers: Pointers<*mut u8> =
            shards.data.iter().chain(shards.coding).copied().collect();
        // SAFETY: the caller's regions.
        unsafe { run(&steps, &pointers, shape.bits(), lengths) }
    });
}

/// A schedule that makes each packet of data packets alone, row by row.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_dumb_bitmatrix_to_schedule(
    k: c_int,
    m: c_int,
    w: c_int,
    bitmatrix: *mut c_int,
) -> *mut *mut c_int {
    // SAFETY: the caller's matrix.
    unsafe { made(k, m, w, bitmatrix, false) }
}

/// A schedule that starts a packet from another one where that saves operations.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_smart_bitmatrix_to_schedule(
    k: c_int,
    m: c_int,
    w: c_int,
    bitmatrix: *mut c_int,
) -> *mut *mut c_int {
    // SAFETY: the caller's matrix.
    unsafe { made(k, m, w, bitmatrix, true) }
}

unsafe fn made(k: c_int, m: c_int, w: c_int, bits: *mut c_int, smart: bool) -> *mut *mut c_int {
    guard(ptr::null_mut(), || {
        let shape = Shape::new(k, m, w)?;
        // SAFETY: the caller's matrix.
        let bits = unsafe { ints(bits, shape.bit_elements(shape.m)?)? };
        let bits = bit_matrix(shape, shape.m, bits)?;
        let schedule = match smart {
            true => Schedule::smart(&bits, shape.k, shape.m, shape.w),
            false => Schedule::dumb(&bits, shape.k, shape.m, shape.w),
        };
        written(schedule.ok()?.operations())
    })
}

/// A schedule in the caller's memory.
fn written(operations: impl Iterator<Item = Operation>) -> Option<*mut *mut c_int> {
    let numbers = operations.map(|o| {
        let ((a, b), (c, d)) = (o.from, o.to);
        [
            a as c_int,
            b as c_int,
            c as c_int,
            d as c_int,
            c_int::from(!o.copy),
        ]
    });
    let numbers: Vec<[c_int; 5]> = numbers.chain([[-1, 0, 0, 0, 0]]).collect();
    let list = memory::array::<*mut c_int>(numbers.len());
    (!list.is_null()).then_some(())?;
    for (at, five) in numbers.iter().enumerate() {
        let operation = memory::ints(five.iter().copied());
        // SAFETY: the list has room for as many, and those before this one are written.
        unsafe {
            list.add(at).write(operation);
            if operation.is_null() {
                (0..at).for_each(|done| memory::free(list.add(done).read()));
                memory::free(list);
                return None;
            }
        }
    }
    Some(list)
}

/// Gives a schedule back; NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_free_schedule(schedule: *mut *mut c_int) {
    if schedule.is_null() {
        return;
    }
    for at in 0.. {
        // SAFETY: a schedule of the caller's, each operation a `malloc` of its own, the last one with -1.
        unsafe {
            let operation = schedule.add(at).read();
            let is_end = operation.is_null() || operation.read() < 0;
            memory::free(operation);
            if is_end {
                break;
            }
        }
    }
    // SAFETY: as above.
    unsafe { memory::free(schedule) }
}

/// Decoding schedules of all pairs of losses, for m = 2; NULL otherwise, and if one cannot be made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_generate_schedule_cache(
    k: c_int,
    m: c_int,
    w: c_int,
    bitmatrix: *mut c_int,
    smart: c_int,
) -> *mut *mut *mut c_int {
    guard(ptr::null_mut(), || {
        let shape = Shape::new(k, m, w)?;
        (shape.m == 2).then_some(())?;
        // SAFETY: the caller's matrix.
        let bits = unsafe { ints(bitmatrix, shape.bit_elements(shape.m)?)? };
        let bits = bit_matrix(shape, shape.m, bits)?;
        let all = shape.k + shape.m;
        let cache = memory::array::<*mut *mut c_int>(all.checked_mul(all + 1)?);
        (!cache.is_null()).then_some(())?;
        for first in 0..all {
            for second in 0..=first {
                let erased: &[usize] = if first == second {
                    &[first]
                } else {
                    &[second, first]
                };
                let made = Schedule::decoding(&bits, shape.k, shape.m, shape.w, erased, smart != 0);
                // A pair that cannot be recovered, which only a made-up matrix has, gets an empty schedule.
                let operations = made
                    .ok()
                    .map(|schedule| in_order(&schedule, shape.k, erased));
                let schedule = written(operations.unwrap_or_default().into_iter())?;
                // SAFETY: the cache has room for all pairs.
                unsafe {
                    cache.add(first * all + second).write(schedule);
                    cache.add(second * all + first).write(schedule);
                }
            }
        }
        Some(cache)
    })
}

/// The operations with the shards numbered as a decoding schedule of C's numbers them: see `decoding_order`.
fn in_order(schedule: &Schedule, k: usize, lost: &[usize]) -> Vec<Operation> {
    let is_lost = |shard: &usize| lost.contains(shard);
    let coding = (k..).filter(|shard| !is_lost(shard));
    let lost_data = lost.iter().copied().filter(|&shard| shard < k);
    let stand_ins: Vec<(usize, usize)> = lost_data.clone().zip(coding).collect();
    let number = |(shard, packet): (usize, usize)| {
        let place = match lost.iter().position(|&l| l == shard) {
            Some(at) => k + at,
            None if shard < k => shard,
            None => stand_ins
                .iter()
                .find(|(_, s)| *s == shard)
                .map_or(shard, |(at, _)| *at),
        };
        (place, packet)
    };
    let renumbered = |o: Operation| Operation {
        from: number(o.from),
        to: number(o.to),
        ..o
    };
    schedule.operations().map(renumbered).collect()
}

/// Gives a cache back: m must be 2, as it was. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_free_schedule_cache(
    k: c_int,
    m: c_int,
    cache: *mut *mut *mut c_int,
) {
    guard((), || {
        let (k, m) = (count(k)?, count(m)?);
        (m == 2 && !cache.is_null()).then_some(())?;
        for first in 0..k + m {
            for second in 0..=first {
                // SAFETY: a cache of this library's: each pair's schedule stands in it.
                unsafe { jerasure_free_schedule(cache.add(first * (k + m) + second).read()) };
            }
        }
        // SAFETY: as above.
        unsafe { memory::free(cache) };
        Some(())
    });
}
