//! Single elements and regions (`galois.h`).

use crate::args::{length, region_word, word};
use crate::fields;
use crate::guard::guard;
use jerasure::{Multiplier, WordSize, galois};
use libc::c_char;
use std::cell::RefCell;
use std::ffi::c_int;
use std::slice;

/// The product; 0 where upstream aborts.
#[unsafe(no_mangle)]
pub extern "C" fn galois_single_multiply(x: c_int, y: c_int, w: c_int) -> c_int {
    guard(0, || {
        let (a, b) = (x.cast_unsigned(), y.cast_unsigned());
        let w = word(w)?;
        if a == 0 || b == 0 {
            return Some(0);
        }
        let product = match fields::other(w.bits()) {
            Some(field) => field.multiply(a, b)?,
            None => galois::multiply(w, a, b).ok()?,
        };
        Some(product.cast_signed())
    })
}

/// The quotient: 0 for 0, -1 for a divisor of 0; 0 where upstream aborts.
#[unsafe(no_mangle)]
pub extern "C" fn galois_single_divide(x: c_int, y: c_int, w: c_int) -> c_int {
    match (x, y) {
        (0, _) => 0,
        (_, 0) => -1,
        _ => guard(0, || {
            let (a, b) = (x.cast_unsigned(), y.cast_unsigned());
            let w = word(w)?;
            let quotient = match fields::other(w.bits()) {
                Some(field) => field.divide(a, b)?,
                None => galois::divide(w, a, b).ok()?,
            };
            Some(quotient.cast_signed())
        }),
    }
}

/// The inverse; -1 for 0.
#[unsafe(no_mangle)]
pub extern "C" fn galois_inverse(y: c_int, w: c_int) -> c_int {
    if y == 0 {
        return -1;
    }
    galois_single_divide(1, y, w)
}

/// `dest ^= src`. They may be one another.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn galois_region_xor(src: *mut c_char, dest: *mut c_char, nbytes: c_int) {
    guard((), || {
        // SAFETY: the caller's regions.
        unsafe { xor(src.cast(), dest.cast(), length(nbytes)?) }
    });
}

/// As [`galois_region_xor`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn galois_w8_region_xor(
    src: *mut libc::c_void,
    dest: *mut libc::c_void,
    nbytes: c_int,
) {
    // SAFETY: the caller's regions.
    unsafe { galois_region_xor(src.cast(), dest.cast(), nbytes) }
}

/// As [`galois_region_xor`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn galois_w16_region_xor(
    src: *mut libc::c_void,
    dest: *mut libc::c_void,
    nbytes: c_int,
) {
    // SAFETY: the caller's regions.
    unsafe { galois_region_xor(src.cast(), dest.cast(), nbytes) }
}

/// As [`galois_region_xor`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn galois_w32_region_xor(
    src: *mut libc::c_void,
    dest: *mut libc::c_void,
    nbytes: c_int,
) {
    // SAFETY: the caller's regions.
    unsafe { galois_region_xor(src.cast(), dest.cast(), nbytes) }
}

/// # Safety
/// Both are NULL or point to so many bytes.
pub(crate) unsafe fn xor(src: *mut u8, dest: *mut u8, bytes: usize) -> Option<()> {
    if src.is_null() || dest.is_null() {
        return None;
    }
    if src.addr().abs_diff(dest.addr()) < bytes {
        // Whatever C does with regions that overlap, it does from the front on.
        for at in 0..bytes {
            // SAFETY: the caller's word; the bytes are read and written one by one.
            unsafe { *dest.add(at) ^= *src.add(at) };
        }
        return Some(());
    }
    // SAFETY: the caller's word, and they do not overlap.
    let (to, from) = unsafe {
        (
            slice::from_raw_parts_mut(dest, bytes),
            slice::from_raw_parts(src.cast_const(), bytes),
        )
    };
    jerasure::xor(to, from).ok()
}

/// Products of a region of bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn galois_w08_region_multiply(
    region: *mut c_char,
    multby: c_int,
    nbytes: c_int,
    r2: *mut c_char,
    add: c_int,
) {
    // SAFETY: the caller's regions.
    unsafe { multiply(8, region, multby, nbytes, r2, add) }
}

/// Products of a region of 16-bit words.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn galois_w16_region_multiply(
    region: *mut c_char,
    multby: c_int,
    nbytes: c_int,
    r2: *mut c_char,
    add: c_int,
) {
    // SAFETY: the caller's regions.
    unsafe { multiply(16, region, multby, nbytes, r2, add) }
}

/// Products of a region of 32-bit words.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn galois_w32_region_multiply(
    region: *mut c_char,
    multby: c_int,
    nbytes: c_int,
    r2: *mut c_char,
    add: c_int,
) {
    // SAFETY: the caller's regions.
    unsafe { multiply(32, region, multby, nbytes, r2, add) }
}

/// Into `r2`, or in place when that is NULL; added to what is there if `add`.
unsafe fn multiply(
    w: c_int,
    region: *mut c_char,
    multby: c_int,
    nbytes: c_int,
    r2: *mut c_char,
    add: c_int,
) {
    guard((), || {
        let to = if r2.is_null() { region } else { r2 };
        let add = add != 0 && !r2.is_null();
        let factor = multby.cast_unsigned();
        // SAFETY: the caller's regions.
        unsafe {
            product(
                region_word(w)?,
                factor,
                region.cast(),
                to.cast(),
                length(nbytes)?,
                add,
            )
        }
    });
}

/// `to = factor * from`, or `to ^= factor * from`. They may be one another.
///
/// # Safety
/// Both are NULL or point to so many bytes.
pub(crate) unsafe fn product(
    w: WordSize,
    factor: u32,
    from: *mut u8,
    to: *mut u8,
    bytes: usize,
    add: bool,
) -> Option<()> {
    if from.is_null() || to.is_null() || !bytes.is_multiple_of(w.bytes()) {
        return None;
    }
    if let Some(field) = fields::other(w.bits()) {
        let bytes = c_int::try_from(bytes).ok()?;
        // SAFETY: the caller's word.
        return unsafe { field.region(from, to, factor, bytes, add) };
    }
    let multiplier = multiplier(w, factor)?;
    let run = |to: &mut [u8], from: &[u8]| match add {
        true => multiplier.mul_add(to, from).ok(),
        false => multiplier.mul(to, from).ok(),
    };
    if from.addr().abs_diff(to.addr()) >= bytes {
        // SAFETY: the caller's word, and they do not overlap.
        let (to, from) = unsafe {
            (
                slice::from_raw_parts_mut(to, bytes),
                slice::from_raw_parts(from.cast_const(), bytes),
            )
        };
        return run(to, from);
    }
    let mut block = [0; 4096];
    for start in (0..bytes).step_by(block.len()) {
        let block = &mut block[..(bytes - start).min(4096)];
        // SAFETY: the caller's word; the block is memory of this function's, and nothing else is borrowed.
        let to = unsafe {
            from.add(start)
                .copy_to_nonoverlapping(block.as_mut_ptr(), block.len());
            slice::from_raw_parts_mut(to.add(start), block.len())
        };
        run(to, block)?;
    }
    Some(())
}

/// Factors that this thread prepared, the newest first.
fn multiplier(w: WordSize, factor: u32) -> Option<Multiplier> {
    const KEPT: usize = 32;
    thread_local! {
        static MADE: RefCell<Vec<Multiplier>> = const { RefCell::new(Vec::new()) };
    }
    MADE.with_borrow_mut(|made| {
        let is_it = |m: &Multiplier| m.word_size() == w && m.coefficient() == factor;
        if let Some(at) = made.iter().position(is_it) {
            made[..=at].rotate_right(1);
        } else {
            made.truncate(KEPT - 1);
            made.insert(0, Multiplier::new(w, factor).ok()?);
        }
        Some(made[0].clone())
    })
}
