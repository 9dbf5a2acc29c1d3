//! Arguments of C made into checked values.

use jerasure::WordSize;
use smallvec::SmallVec;
use std::ffi::c_int;
use std::slice;

/// Numbers of shards and word size, if there can be such a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) k: usize,
    pub(crate) m: usize,
    pub(crate) w: WordSize,
}

impl Shape {
    pub(crate) fn new(k: c_int, m: c_int, w: c_int) -> Option<Shape> {
        let (k, m) = (count(k)?, count(m)?);
        // Every product of these fits an `int`, as in the C library's own indices.
        let limit = i32::MAX as usize;
        (k.checked_mul(m)? <= limit && k + m <= 46_340).then_some(())?;
        Some(Shape { k, m, w: word(w)? })
    }

    pub(crate) fn bits(&self) -> usize {
        self.w.bits() as usize
    }

    /// Elements of the bit matrix with `rows` shards of rows.
    pub(crate) fn bit_elements(&self, rows: usize) -> Option<usize> {
        let rows = rows.checked_mul(self.bits())?;
        let cols = self.k.checked_mul(self.bits())?;
        rows.checked_mul(cols).filter(|&n| n <= i32::MAX as usize)
    }
}

/// A number of shards or rows: at least 1.
pub(crate) fn count(n: c_int) -> Option<usize> {
    usize::try_from(n).ok().filter(|&n| n > 0)
}

/// A length in bytes: not negative.
pub(crate) fn length(n: c_int) -> Option<usize> {
    usize::try_from(n).ok()
}

/// A word size, 1 to 32.
pub(crate) fn word(w: c_int) -> Option<WordSize> {
    WordSize::new(u32::try_from(w).ok()?).ok()
}

/// A word size of regions.
pub(crate) fn region_word(w: c_int) -> Option<WordSize> {
    matches!(w, 8 | 16 | 32).then(|| word(w))?
}

/// `count` numbers of the caller's.
///
/// # Safety
/// `from` is NULL or points to as many, which nobody writes meanwhile.
pub(crate) unsafe fn ints<'a>(from: *const c_int, count: usize) -> Option<&'a [c_int]> {
    // SAFETY: the caller's word.
    (!from.is_null()).then(|| unsafe { slice::from_raw_parts(from, count) })
}

/// Elements of the field; in C those of w = 32 are negative from 2^31 on.
pub(crate) fn elements(ints: &[c_int]) -> Vec<u32> {
    ints.iter().map(|e| e.cast_unsigned()).collect()
}

/// The shards named by a list that ends with -1, each once, ascending; `None` for an id that is none, and for more than m.
///
/// # Safety
/// `list` is NULL or a list that ends with -1.
pub(crate) unsafe fn erasures(
    list: *const c_int,
    k: usize,
    m: usize,
) -> Option<SmallVec<[usize; 32]>> {
    (!list.is_null()).then_some(())?;
    let mut erased = SmallVec::new();
    for at in 0.. {
        // SAFETY: no -1 stood before this one, so the list goes on to here.
        let id = unsafe { list.add(at).read() };
        if id == -1 {
            break;
        }
        let id = usize::try_from(id).ok().filter(|&id| id < k + m)?;
        if let Err(place) = erased.binary_search(&id) {
            erased.insert(place, id);
            (erased.len() <= m).then_some(())?;
        }
    }
    Some(erased)
}

/// Pointers to shards, data first.
#[derive(Clone, Copy)]
pub(crate) struct Shards<'a> {
    pub(crate) data: &'a [*mut u8],
    pub(crate) coding: &'a [*mut u8],
}

impl<'a> Shards<'a> {
    /// # Safety
    /// The arrays are NULL or hold `data` and `coding` pointers.
    pub(crate) unsafe fn new(
        data: *const *mut libc::c_char,
        coding: *const *mut libc::c_char,
        counts: (usize, usize),
    ) -> Option<Shards<'a>> {
        let some = |from: *const *mut libc::c_char, count: usize| match (from.is_null(), count) {
            (_, 0) => Some(&[][..]),
            (true, _) => None,
            // SAFETY: the caller's word.
            (false, count) => Some(unsafe { slice::from_raw_parts(from.cast(), count) }),
        };
        Some(Shards {
            data: some(data, counts.0)?,
            coding: some(coding, counts.1)?,
        })
    }

    /// The pointer to a shard by its number, data first.
    pub(crate) fn get(&self, shard: usize) -> Option<*mut u8> {
        match shard.checked_sub(self.data.len()) {
            None => self.data.get(shard).copied(),
            Some(coding) => self.coding.get(coding).copied(),
        }
    }
}
