//! GF(2^w) without checks: what every matrix is computed with.

use std::sync::OnceLock;

use crate::WordSize;

/// One field. Operands are its elements; that is the caller's to see to, and debug builds assert it.
#[derive(Debug)]
pub(crate) struct Field {
    w: WordSize,
    logs: Option<Logs>,
}

/// Logarithms to the base 2, for fields of at most 2^16 elements.
#[derive(Debug)]
struct Logs {
    /// Of each element; that of 0 is unused.
    log: Box<[u16]>,
    /// The powers 2^0, 2^1, .. over two rounds, so that a sum of two logarithms needs no reduction.
    power: Box<[u16]>,
}

impl Field {
    /// The field of a word size. Made when first asked for (64 Ki logarithms and 128 Ki powers for w = 16) and kept.
    pub(crate) fn of(w: WordSize) -> &'static Self {
        static FIELDS: [OnceLock<Field>; 33] = [const { OnceLock::new() }; 33];
        FIELDS[w.bits() as usize].get_or_init(|| Self {
            w,
            logs: (w <= WordSize::W16).then(|| Logs::new(w)),
        })
    }

    /// The product of two elements.
    pub(crate) fn multiply(&self, a: u32, b: u32) -> u32 {
        debug_assert!(a.max(b) <= self.w.max_element());
        if a == 0 || b == 0 {
            return 0;
        }
        match &self.logs {
            Some(logs) => {
                let sum = usize::from(logs.log[a as usize]) + usize::from(logs.log[b as usize]);
                u32::from(logs.power[sum])
            }
            None => self.multiply_by_bits(a, b),
        }
    }

    /// The element that multiplied by `a`, which is not 0, gives 1.
    pub(crate) fn inverse(&self, a: u32) -> u32 {
        assert!(a != 0 && a <= self.w.max_element(), "{a} has no inverse");
        match &self.logs {
            Some(logs) => {
                let order = self.w.max_element() as usize;
                u32::from(logs.power[order - usize::from(logs.log[a as usize])])
            }
            None => self.inverse_by_division(a),
        }
    }

    /// The product with 2, which is x.
    pub(crate) const fn double(&self, a: u32) -> u32 {
        double(self.w, a)
    }

    /// The ones in the bit matrix that multiplies by `a`: its column i is `a * x^i`.
    pub(crate) fn n_ones(&self, a: u32) -> u32 {
        let mut column = a;
        let mut ones = 0;
        for _ in 0..self.w.bits() {
            ones += column.count_ones();
            column = self.double(column);
        }
        ones
    }

    /// `dst ^= factor * src`, element by element: the inner loop of elimination.
    pub(crate) fn add_scaled(&self, dst: &mut [u32], factor: u32, src: &[u32]) {
        debug_assert_eq!(dst.len(), src.len());
        match factor {
            0 => {}
            1 => dst.iter_mut().zip(src).for_each(|(d, s)| *d ^= s),
            _ if src.len() < self.row_worth_tables() => {
                for (d, &s) in dst.iter_mut().zip(src) {
                    *d ^= self.multiply(factor, s);
                }
            }
            _ => match self.w.bits().div_ceil(4) {
                0..=2 => self.add_by_nibbles::<2>(dst, factor, src),
                3..=4 => self.add_by_nibbles::<4>(dst, factor, src),
                _ => self.add_by_nibbles::<8>(dst, factor, src),
            },
        }
    }

    /// `row = factor * row`, element by element.
    pub(crate) fn scale(&self, row: &mut [u32], factor: u32) {
        if factor != 1 {
            for element in row {
                *element = self.multiply(factor, *element);
            }
        }
    }

    /// From how many elements on one product table for each four bits is made sooner than it is missed. Without
    /// logarithms a single product takes a loop.
    const fn row_worth_tables(&self) -> usize {
        match self.logs {
            Some(_) => 32,
            None => 4,
        }
    }

    fn add_by_nibbles<const N: usize>(&self, dst: &mut [u32], factor: u32, src: &[u32]) {
        let mut tables = [[0; 16]; N];
        let mut power = factor;
        for table in &mut tables {
            for bit in 0..4 {
                for low in 0..1 << bit {
                    table[1 << bit | low] = table[low] ^ power;
                }
                power = self.double(power);
            }
        }
        for (d, &s) in dst.iter_mut().zip(src) {
            for (nibble, table) in tables.iter().enumerate() {
                *d ^= table[(s >> (4 * nibble) & 15) as usize];
            }
        }
    }

    /// Adds the doubled `a` for each bit of `b`, the highest first.
    fn multiply_by_bits(&self, a: u32, b: u32) -> u32 {
        let mut product = 0;
        for bit in (0..32 - b.leading_zeros()).rev() {
            product = self.double(product);
            if b >> bit & 1 == 1 {
                product ^= a;
            }
        }
        product
    }

    /// Euclid's algorithm on polynomials. `r` and `s` are always the products of `u` and `v` with `a`, modulo the
    /// field's polynomial, and get shorter until one is 1. The degrees of `r` and `v` never add up to more than w,
    /// nor do those of `s` and `u`, so the result needs no reduction.
    fn inverse_by_division(&self, a: u32) -> u32 {
        let degree = |polynomial: u64| 63 - polynomial.leading_zeros();
        let (mut r, mut u) = (1 << self.w.bits() | u64::from(self.w.polynomial()), 0_u64);
        let (mut s, mut v) = (u64::from(a), 1_u64);
        while s != 1 {
            if degree(r) < degree(s) {
                (r, u, s, v) = (s, v, r, u);
            }
            let shift = degree(r) - degree(s);
            r ^= s << shift;
            u ^= v << shift;
            if r == 1 {
                (r, u, s, v) = (s, v, r, u);
            }
        }
        v as u32
    }
}

impl Logs {
    fn new(w: WordSize) -> Self {
        let order = w.max_element() as usize;
        let mut log = vec![0; order + 1];
        let mut power = vec![0; 2 * order + 1];
        let mut element = 1;
        for (exponent, power) in power.iter_mut().enumerate() {
            if exponent < order {
                log[element as usize] = exponent as u16;
            }
            *power = element as u16;
            element = double(w, element);
        }
        assert_eq!(
            power[order], 1,
            "the powers of 2 in GF(2^{w}) come round after all elements"
        );
        Self {
            log: log.into(),
            power: power.into(),
        }
    }
}

/// The product with x. In GF(2) that is 1, since its polynomial is x + 1.
const fn double(w: WordSize, a: u32) -> u32 {
    let doubled = (a << 1) & w.max_element();
    if a >> (w.bits() - 1) == 0 {
        doubled
    } else {
        doubled ^ w.polynomial()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> impl Iterator<Item = &'static Field> {
        (1..=32).map(|w| Field::of(WordSize::new(w).unwrap()))
    }

    /// Some elements of a field, among them 0, 1 and the largest.
    fn some(field: &Field, count: u32) -> Vec<u32> {
        let scattered = (0..count).map(|i| i.wrapping_mul(0x9e37_79b1));
        let all = [0, 1, u32::MAX].into_iter().chain(scattered);
        all.map(|a| a & field.w.max_element()).collect()
    }

    #[test]
    fn logarithms_multiply_as_the_definition_does() {
        for field in fields().filter(|field| field.logs.is_some()) {
            for a in some(field, 60) {
                for b in some(field, 60) {
                    assert_eq!(field.multiply(a, b), field.multiply_by_bits(a, b));
                }
            }
        }
    }

    #[test]
    fn every_element_but_zero_is_a_power_of_two_in_small_fields() {
        for field in fields().filter(|field| field.w <= WordSize::W8) {
            let logs = field.logs.as_ref().unwrap();
            for a in 1..=field.w.max_element() {
                assert_eq!(u32::from(logs.power[usize::from(logs.log[a as usize])]), a);
            }
        }
    }

    #[test]
    fn both_ways_to_an_inverse_agree() {
        for field in fields() {
            for a in some(field, 200).into_iter().filter(|&a| a != 0) {
                let inverse = field.inverse_by_division(a);
                assert_eq!(field.inverse(a), inverse, "GF(2^{}): {a}", field.w);
                assert_eq!(field.multiply(a, inverse), 1, "GF(2^{}): {a}", field.w);
            }
        }
    }

    #[test]
    fn rows_of_every_length_are_scaled_as_single_elements() {
        for field in fields() {
            let source = some(field, 70);
            let target: Vec<u32> = source.iter().rev().copied().collect();
            for factor in some(field, 5) {
                for length in (0..40).chain([source.len()]) {
                    let mut row = target[..length].to_vec();
                    field.add_scaled(&mut row, factor, &source[..length]);
                    for (i, &got) in row.iter().enumerate() {
                        assert_eq!(got, target[i] ^ field.multiply(factor, source[i]));
                    }
                    let mut row = source[..length].to_vec();
                    field.scale(&mut row, factor);
                    for (i, &got) in row.iter().enumerate() {
                        assert_eq!(got, field.multiply(factor, source[i]));
                    }
                }
            }
        }
    }
}
