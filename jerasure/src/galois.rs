//! Arithmetic on single elements of GF(2^w) for every w of 1 to 32, in the fields of Jerasure and GF-Complete.
//!
//! Addition and subtraction are both XOR.

mod field;

pub(crate) use field::Field;

use crate::{Error, WordSize};

/// The product of two elements (`galois_single_multiply`).
///
/// # Errors
/// [`Error::NotAnElement`] if `a` or `b` is 2^w or more.
pub fn multiply(w: WordSize, a: u32, b: u32) -> Result<u32, Error> {
    w.check_element(a)?;
    w.check_element(b)?;
    Ok(Field::of(w).multiply(a, b))
}

/// The element that multiplied by `b` gives `a` (`galois_single_divide`).
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
    let field = Field::of(w);
    Ok(field.multiply(a, field.inverse(b)))
}

/// The element that multiplied by `a` gives 1 (`galois_inverse`).
///
/// # Errors
/// As [`divide`], for the divisor `a`.
pub fn inverse(w: WordSize, a: u32) -> Result<u32, Error> {
    divide(w, 1, a)
}

/// The ones in the w x w bit matrix that multiplies by `a` (`cauchy_n_ones`): what the element costs in a code on
/// packets, in XORs.
///
/// # Errors
/// [`Error::NotAnElement`] if `a` is 2^w or more.
pub fn n_ones(w: WordSize, a: u32) -> Result<u32, Error> {
    w.check_element(a)?;
    Ok(Field::of(w).n_ones(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = WordSize> {
        (1..=32).map(|w| WordSize::new(w).unwrap())
    }

    #[test]
    fn numbers_beyond_the_field_are_refused() {
        for w in all().filter(|&w| w < WordSize::W32) {
            for value in [w.max_element() + 1, u32::MAX] {
                let refused = Err(Error::NotAnElement { value, w: w.bits() });
                assert_eq!(multiply(w, value, 1), refused);
                assert_eq!(multiply(w, 0, value), refused);
                assert_eq!(divide(w, value, 1), refused);
                assert_eq!(divide(w, 1, value), refused);
                assert_eq!(inverse(w, value), refused);
                assert_eq!(n_ones(w, value), refused);
            }
        }
    }

    #[test]
    fn zero_divides_nothing() {
        for w in all() {
            assert_eq!(divide(w, 1, 0), Err(Error::DivisionByZero));
            assert_eq!(divide(w, 0, 0), Err(Error::DivisionByZero));
            assert_eq!(inverse(w, 0), Err(Error::DivisionByZero));
        }
    }

    #[test]
    fn the_largest_elements_have_inverses() {
        for w in all() {
            for a in [w.max_element() / 2 + 1, w.max_element()] {
                assert_eq!(multiply(w, a, inverse(w, a).unwrap()), Ok(1));
            }
        }
    }

    #[test]
    fn one_has_w_ones_and_zero_none() {
        for w in all() {
            assert_eq!(n_ones(w, 0), Ok(0));
            assert_eq!(n_ones(w, 1), Ok(w.bits()));
        }
    }
}

#[cfg(all(test, feature = "reference", not(miri)))]
mod against_c {
    use super::*;
    use crate::ffi::Oracle;

    fn assert_agrees(w: WordSize, a: u32, b: u32) {
        let c = Oracle::get();
        assert_eq!(
            multiply(w, a, b).unwrap(),
            c.multiply(w, a, b),
            "GF(2^{w}): {a} * {b}"
        );
        if b != 0 {
            assert_eq!(
                divide(w, a, b).unwrap(),
                c.divide(w, a, b),
                "GF(2^{w}): {a} / {b}"
            );
        }
    }

    #[test]
    fn small_fields_are_those_of_c_in_every_pair() {
        for w in (1..=8).map(|w| WordSize::new(w).unwrap()) {
            for a in 0..=w.max_element() {
                for b in 0..=w.max_element() {
                    assert_agrees(w, a, b);
                }
            }
        }
    }

    #[test]
    fn large_fields_are_those_of_c_in_many_pairs() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for w in (9..=32).map(|w| WordSize::new(w).unwrap()) {
            let ends = [0, 1, 2, 3, w.max_element() / 2 + 1, w.max_element()];
            for a in ends {
                for b in ends {
                    assert_agrees(w, a, b);
                }
            }
            for _ in 0..20_000 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let (a, b) = ((state >> 32) as u32, state as u32);
                assert_agrees(w, a & w.max_element(), b & w.max_element());
            }
        }
    }

    #[test]
    fn n_ones_are_those_of_c() {
        let c = Oracle::get();
        for w in (2..=32).map(|w| WordSize::new(w).unwrap()) {
            for step in 0..1000_u32 {
                let a = step.wrapping_mul(0x9e37_79b9) & w.max_element();
                assert_eq!(n_ones(w, a), Ok(c.n_ones(w, a)), "GF(2^{w}): {a}");
            }
            let largest = w.max_element();
            assert_eq!(n_ones(w, largest), Ok(c.n_ones(w, largest)));
        }
    }
}
