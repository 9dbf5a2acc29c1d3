//! Sums of products and of packets: encoding (`jerasure.h`).

use crate::args::{Shape, Shards, count, ints, length, region_word, word};
use crate::codes;
use crate::fields;
use crate::galois;
use crate::guard::guard;
use crate::regions::{self, Pointers};
use crate::stats;
use libc::c_char;
use std::ffi::c_int;

/// Makes m coding regions of k data regions, for w = 8, 16 and 32.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_matrix_encode(
    k: c_int,
    m: c_int,
    w: c_int,
    matrix: *mut c_int,
    data_ptrs: *mut *mut c_char,
    coding_ptrs: *mut *mut c_char,
    size: c_int,
) {
    guard((), || {
        region_word(w)?;
        let (shape, bytes) = (Shape::new(k, m, w)?, length(size)?);
        // SAFETY: the caller's arrays.
        let (matrix, shards) = unsafe {
            (
                ints(matrix, shape.k * shape.m)?,
                Shards::new(data_ptrs, coding_ptrs, (shape.k, shape.m))?,
            )
        };
        // SAFETY: the caller's regions.
        unsafe { rows(shape, matrix, shards.data, shards.coding, bytes) }
    });
}

/// `targets` become the sums of products of `sources`: a row of factors for each. A row of zeros leaves its target as it is,
/// and a source whose factors are all 0 is not looked at.
///
/// # Safety
/// The pointers that are used are NULL or point to so many bytes.
unsafe fn rows(
    shape: Shape,
    matrix: &[c_int],
    sources: &[*mut u8],
    targets: &[*mut u8],
    bytes: usize,
) -> Option<()> {
    let (k, m) = (shape.k, shape.m);
    let is_row = |row: usize| matrix[row * k..][..k].iter().any(|&f| f != 0);
    let is_col = |col: usize| (0..m).any(|row| matrix[row * k + col] != 0);
    let whole = (0..m).all(is_row) && (0..k).all(is_col);
    for row in matrix.chunks_exact(k) {
        stats::add_row(row, bytes);
    }
    if fields::other(shape.w.bits()).is_some() {
        for (row, &target) in matrix.chunks_exact(k).zip(targets) {
            // SAFETY: the caller's word.
            unsafe { by_another_field(shape, row, sources, target, bytes)? };
        }
        return Some(());
    }
    if whole && regions::are_apart(sources, targets, bytes) {
        let code = codes::of_words(shape, matrix)?;
        // SAFETY: the caller's word.
        return unsafe {
            regions::compute(sources, targets, bytes, |data, coding| {
                code.encode(data, coding).ok()
            })
        };
    }
    // One after another, as C does, since one may be the next one's source.
    for (row, &target) in matrix.chunks_exact(k).zip(targets) {
        let used: Pointers<usize> = (0..k).filter(|&col| row[col] != 0).collect();
        if used.is_empty() {
            continue;
        }
        let factors: Pointers<c_int> = used.iter().map(|&col| row[col]).collect();
        let sources: Pointers<*mut u8> = used.iter().map(|&col| sources[col]).collect();
        let shape = Shape {
            k: used.len(),
            m: 1,
            ..shape
        };
        let code = codes::of_words(shape, &factors)?;
        // SAFETY: the caller's word.
        unsafe {
            regions::compute(&sources, &[target], bytes, |data, coding| {
                code.encode(data, coding).ok()
            })?;
        }
    }
    Some(())
}

/// As C does it: copies and XORs first, products after them.
///
/// # Safety
/// As [`rows`].
unsafe fn by_another_field(
    shape: Shape,
    row: &[c_int],
    sources: &[*mut u8],
    target: *mut u8,
    bytes: usize,
) -> Option<()> {
    let mut add = false;
    let ones = (0..shape.k).filter(|&col| row[col] == 1);
    let others = (0..shape.k).filter(|&col| row[col] != 0 && row[col] != 1);
    for col in ones {
        let source = sources[col];
        (!source.is_null() && !target.is_null()).then_some(())?;
        // SAFETY: the caller's word.
        unsafe {
            match add {
                true => galois::xor(source, target, bytes)?,
                false => target.copy_from(source, bytes),
            }
        }
        add = true;
    }
    for col in others {
        let factor = row[col].cast_unsigned();
        // SAFETY: the caller's word.
        unsafe { galois::product(shape.w, factor, sources[col], target, bytes, add)? };
        add = true;
    }
    Some(())
}

/// One sum of products; the sources are the data, or those that `src_ids` names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_matrix_dotprod(
    k: c_int,
    w: c_int,
    matrix_row: *mut c_int,
    src_ids: *mut c_int,
    dest_id: c_int,
    data_ptrs: *mut *mut c_char,
    coding_ptrs: *mut *mut c_char,
    size: c_int,
) {
    guard((), || {
        // Of w = 1 all factors are bits, and any word will do.
        let w = if w == 1 { 8 } else { w };
        region_word(w)?;
        let (shape, bytes) = (Shape::new(k, 1, w)?, length(size)?);
        // SAFETY: the caller's arrays.
        let row = unsafe { ints(matrix_row, shape.k)? };
        let used = |col: usize| row[col] != 0;
        // SAFETY: the caller's arrays.
        let (sources, target) =
            unsafe { ends(shape.k, src_ids, dest_id, data_ptrs, coding_ptrs, used)? };
        // SAFETY: the caller's regions.
        unsafe { rows(shape, row, &sources, &[target], bytes) }
    });
}

/// The regions of a dot product. Those that are not used are NULL.
///
/// # Safety
/// The arrays hold what the ids name.
unsafe fn ends(
    k: usize,
    src_ids: *mut c_int,
    dest_id: c_int,
    data_ptrs: *mut *mut c_char,
    coding_ptrs: *mut *mut c_char,
    used: impl Fn(usize) -> bool,
) -> Option<(Pointers<*mut u8>, *mut u8)> {
    let region = |id: c_int| {
        let id = usize::try_from(id).ok()?;
        let (from, at) = match id.checked_sub(k) {
            None => (data_ptrs, id),
            Some(coding) => (coding_ptrs, coding),
        };
        (!from.is_null()).then_some(())?;
        // SAFETY: the caller's word.
        Some(unsafe { from.add(at).read() }.cast::<u8>())
    };
    // SAFETY: the caller's word.
    let ids = unsafe { ints(src_ids, k) };
    let source = |col: usize| match (used(col), ids) {
        (false, _) => Some(std::ptr::null_mut()),
        (true, None) => region(col as c_int),
        (true, Some(ids)) => region(ids[col]),
    };
    let sources: Option<Pointers<*mut u8>> = (0..k).map(source).collect();
    Some((sources?, region(dest_id)?))
}

/// The XOR of k regions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_do_parity(
    k: c_int,
    data_ptrs: *mut *mut c_char,
    parity_ptr: *mut c_char,
    size: c_int,
) {
    guard((), || {
        let (k, bytes) = (count(k)?, length(size)?);
        // SAFETY: the caller's array.
        let shards = unsafe { Shards::new(data_ptrs, std::ptr::null(), (k, 0))? };
        stats::add((k - 1) * bytes, 0, bytes);
        // SAFETY: the caller's regions.
        unsafe {
            regions::compute(shards.data, &[parity_ptr.cast()], bytes, |data, parity| {
                jerasure::parity(parity[0], data).ok()
            })
        }
    });
}

/// Makes m coding regions of packets by a bit matrix.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_bitmatrix_encode(
    k: c_int,
    m: c_int,
    w: c_int,
    bitmatrix: *mut c_int,
    data_ptrs: *mut *mut c_char,
    coding_ptrs: *mut *mut c_char,
    size: c_int,
    packetsize: c_int,
) {
    guard((), || {
        let shape = Shape::new(k, m, w)?;
        let (bytes, packet) = stripes(shape, size, packetsize)?;
        packet
            .is_multiple_of(size_of::<libc::c_long>())
            .then_some(())?;
        // SAFETY: the caller's arrays.
        let (bits, shards) = unsafe {
            (
                ints(bitmatrix, shape.bit_elements(shape.m)?)?,
                Shards::new(data_ptrs, coding_ptrs, (shape.k, shape.m))?,
            )
        };
        // SAFETY: the caller's regions.
        unsafe { packets(shape, bits, shards.data, shards.coding, (bytes, packet)) }
    });
}

/// A length of whole stripes, and the packet's: what upstream checks, and what it should.
pub(crate) fn stripes(shape: Shape, size: c_int, packetsize: c_int) -> Option<(usize, usize)> {
    let (bytes, packet) = (length(size)?, count(packetsize)?);
    bytes
        .is_multiple_of(packet.checked_mul(shape.bits())?)
        .then_some((bytes, packet))
}

/// As [`rows`], by bits and packets.
///
/// # Safety
/// As [`rows`].
unsafe fn packets(
    shape: Shape,
    bits: &[c_int],
    sources: &[*mut u8],
    targets: &[*mut u8],
    (bytes, packet): (usize, usize),
) -> Option<()> {
    let (w, cols) = (shape.bits(), shape.k * shape.bits());
    stats::add_bits(bits, cols, bytes / w);
    let is_row = |row: &[c_int]| row.iter().any(|&bit| bit != 0);
    let used = |col: usize| {
        bits.chunks_exact(cols)
            .any(|row| is_row(&row[col * w..][..w]))
    };
    let whole = bits.chunks_exact(cols).all(is_row) && (0..shape.k).all(used);
    if whole && regions::are_apart(sources, targets, bytes) {
        let code = codes::of_bits(shape, bits, packet)?;
        // SAFETY: the caller's word.
        return unsafe {
            regions::compute(sources, targets, bytes, |data, coding| {
                code.encode(data, coding).ok()
            })
        };
    }
    // Packet by packet, as C does: it leaves packets of no sources as they are.
    for (number, rows) in bits.chunks_exact(cols * w).enumerate() {
        for stripe in (0..bytes).step_by(w * packet) {
            for (bit, row) in rows.chunks_exact(cols).enumerate() {
                let mut first = true;
                for at in (0..cols).filter(|&at| row[at] != 0) {
                    let (from, to) = (sources[at / w], targets[number]);
                    (!from.is_null() && !to.is_null()).then_some(())?;
                    // SAFETY: the caller's word: both are within their regions.
                    unsafe {
                        let from = from.add(stripe + at % w * packet);
                        let to = to.add(stripe + bit * packet);
                        match first {
                            true => to.copy_from(from, packet),
                            false => galois::xor(from, to, packet)?,
                        }
                    }
                    first = false;
                }
            }
        }
    }
    Some(())
}

/// w packets, each a sum of packets; the sources are the data, or those that `src_ids` names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_bitmatrix_dotprod(
    k: c_int,
    w: c_int,
    bitmatrix_row: *mut c_int,
    src_ids: *mut c_int,
    dest_id: c_int,
    data_ptrs: *mut *mut c_char,
    coding_ptrs: *mut *mut c_char,
    size: c_int,
    packetsize: c_int,
) {
    guard((), || {
        word(w)?;
        let shape = Shape::new(k, 1, w)?;
        let lengths = stripes(shape, size, packetsize)?;
        // SAFETY: the caller's arrays.
        let bits = unsafe { ints(bitmatrix_row, shape.bit_elements(1)?)? };
        let (w, cols) = (shape.bits(), shape.k * shape.bits());
        let used = |col: usize| {
            bits.chunks_exact(cols)
                .any(|row| row[col * w..][..w].iter().any(|&bit| bit != 0))
        };
        // SAFETY: the caller's arrays.
        let (sources, target) =
            unsafe { ends(shape.k, src_ids, dest_id, data_ptrs, coding_ptrs, used)? };
        // SAFETY: the caller's regions.
        unsafe { packets(shape, bits, &sources, &[target], lengths) }
    });
}
