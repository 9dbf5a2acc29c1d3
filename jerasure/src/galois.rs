//! Arithmetic on single elements of GF(2^w), by the C library (`galois.c`).
//!
//! Addition and subtraction are both XOR.

use crate::ffi::Library;
use crate::{Error, WordSize};

/// The product of two elements.
///
/// # Errors
/// [`Error::NotAnElement`] if `a` or `b` is 2^w or more.
pub fn multiply(w: WordSize, a: u32, b: u32) -> Result<u32, Error> {
    w.check_element(a)?;
    w.check_element(b)?;
    Ok(Library::get().multiply(w, a, b))
}

/// The element that multiplied by `b` gives `a`.
///
/// # Errors
/// [`Error::NotAnElement`] as in [`multiply`]; [`Error::DivisionByZero`] if `b` is 0, where the C function
/// returns -1 as if it were an element.
pub fn divide(w: WordSize, a: u32, b: u32) -> Result<u32, Error> {
    w.check_element(a)?;
    w.check_element(b)?;
    if b == 0 {
        return Err(Error::DivisionByZero);
    }
    Ok(Library::get().divide(w, a, b))
}

/// The element that multiplied by `a` gives 1.
///
/// # Errors
/// As [`divide`], for the divisor `a`.
pub fn inverse(w: WordSize, a: u32) -> Result<u32, Error> {
    divide(w, 1, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [WordSize; 3] = [WordSize::W8, WordSize::W16, WordSize::W32];

    #[test]
    fn numbers_beyond_the_field_are_refused() {
        for w in [WordSize::W8, WordSize::W16] {
            for value in [w.max_element() + 1, u32::MAX] {
                let refused = Err(Error::NotAnElement { value, w: w.bits() });
                assert_eq!(multiply(w, value, 1), refused);
                assert_eq!(multiply(w, 0, value), refused);
                assert_eq!(divide(w, value, 1), refused);
                assert_eq!(divide(w, 1, value), refused);
                assert_eq!(inverse(w, value), refused);
            }
        }
    }

    #[test]
    fn zero_divides_nothing() {
        for w in ALL {
            assert_eq!(divide(w, 7, 0), Err(Error::DivisionByZero));
            assert_eq!(divide(w, 0, 0), Err(Error::DivisionByZero));
            assert_eq!(inverse(w, 0), Err(Error::DivisionByZero));
        }
    }

    #[test]
    fn the_largest_elements_have_inverses() {
        for w in ALL {
            for a in [1, 2, w.max_element() - 1, w.max_element()] {
                assert_eq!(multiply(w, a, inverse(w, a).unwrap()), Ok(1));
            }
        }
    }
}
