//! Regions of the caller's memory that are told apart before Rust borrows them.

use smallvec::SmallVec;
use std::slice;

pub(crate) type Pointers<P> = SmallVec<[P; 32]>;

/// Reads `sources` and writes `targets`, all of `bytes` bytes, by `compute`. Where a target is a source, or another target,
/// it is computed beside and copied when all are done; NULL anywhere: nothing is done.
///
/// # Safety
/// Each pointer is NULL or points to so many bytes; nobody else writes them, or reads the targets, meanwhile.
pub(crate) unsafe fn compute(
    sources: &[*mut u8],
    targets: &[*mut u8],
    bytes: usize,
    compute: impl FnOnce(&[&[u8]], &mut [&mut [u8]]) -> Option<()>,
) -> Option<()> {
    if sources.iter().chain(targets).any(|p| p.is_null()) {
        return None;
    }
    if bytes == 0 {
        return Some(());
    }
    // SAFETY: the pointers are not NULL, and the caller's word for the rest. What is borrowed here is only read.
    let source = |&p: &*mut u8| unsafe { slice::from_raw_parts(p.cast_const(), bytes) };
    if are_apart(sources, targets, bytes) {
        let inputs: Pointers<&[u8]> = sources.iter().map(source).collect();
        // SAFETY: as above, and each target is apart from all others and from all sources.
        let target = |&p: &*mut u8| unsafe { slice::from_raw_parts_mut(p, bytes) };
        let mut outputs: Pointers<&mut [u8]> = targets.iter().map(target).collect();
        return compute(&inputs, &mut outputs);
    }
    let mut beside = vec![0; bytes.checked_mul(targets.len())?];
    {
        let inputs: Pointers<&[u8]> = sources.iter().map(source).collect();
        let mut outputs: Pointers<&mut [u8]> = beside.chunks_exact_mut(bytes).collect();
        compute(&inputs, &mut outputs)?;
    }
    for (made, &to) in beside.chunks_exact(bytes).zip(targets) {
        // SAFETY: `made` is memory of this function's, and nothing of the caller's is borrowed any more.
        unsafe { to.copy_from_nonoverlapping(made.as_ptr(), bytes) };
    }
    Some(())
}

/// Whether no target overlaps a source or another target.
pub(crate) fn are_apart(sources: &[*mut u8], targets: &[*mut u8], bytes: usize) -> bool {
    let apart = |a: *mut u8, b: *mut u8| a.addr().abs_diff(b.addr()) >= bytes;
    targets.iter().enumerate().all(|(at, &target)| {
        let others = targets[at + 1..].iter().chain(sources);
        others.into_iter().all(|&other| apart(target, other))
    })
}
