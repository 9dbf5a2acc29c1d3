//! Memory that callers free with `free()`.

use std::ffi::c_int;
use std::ptr;

/// A `malloc`ed copy of some numbers; NULL when memory is out. At least one byte, so that no success is NULL.
pub(crate) fn ints(values: impl ExactSizeIterator<Item = c_int>) -> *mut c_int {
    let count = values.len();
    let to = array::<c_int>(count);
    if !to.is_null() {
        for (at, value) in values.enumerate().take(count) {
            // SAFETY: `array` gave room for `count` numbers, and `at` is below it.
            unsafe { to.add(at).write(value) };
        }
    }
    to
}

/// Room for `count` values, not initialised; NULL when memory is out.
pub(crate) fn array<T>(count: usize) -> *mut T {
    let Some(bytes) = count.checked_mul(size_of::<T>()) else {
        return ptr::null_mut();
    };
    // SAFETY: `malloc` may be asked for any number of bytes.
    unsafe { libc::malloc(bytes.max(1)).cast() }
}

/// Gives back what `malloc` gave, or NULL.
///
/// # Safety
/// It came from `malloc` and was not given back before.
pub(crate) unsafe fn free<T>(what: *mut T) {
    // SAFETY: the caller's word.
    unsafe { libc::free(what.cast()) }
}
