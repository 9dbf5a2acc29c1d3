//! Properties of fields, matrices and schedules as values.

use std::collections::BTreeMap;

use jerasure::{BitMatrix, Error, Matrix, Operation, Schedule, WordSize, galois};
use proptest::prelude::*;

fn word_size() -> impl Strategy<Value = WordSize> {
    (1_u32..=32).prop_map(|w| WordSize::new(w).unwrap())
}

/// A matrix over any field, with many zeros.
fn matrix_of(w: WordSize, rows: usize, cols: usize) -> impl Strategy<Value = Matrix> {
    let element = prop_oneof![1 => Just(0), 3 => 0..=w.max_element()];
    prop::collection::vec(element, rows * cols)
        .prop_map(move |elements| Matrix::new(w, rows, cols, elements).unwrap())
}

fn square() -> impl Strategy<Value = Matrix> {
    (word_size(), 1_usize..12).prop_flat_map(|(w, rows)| matrix_of(w, rows, rows))
}

/// Three matrices over one field that can be multiplied in order.
fn chain() -> impl Strategy<Value = [Matrix; 3]> {
    let shape = (word_size(), 1_usize..6, 1_usize..6, 1_usize..40, 1_usize..6);
    shape.prop_flat_map(|(w, a, b, c, d)| {
        [
            matrix_of(w, a, b).boxed(),
            matrix_of(w, b, c).boxed(),
            matrix_of(w, c, d).boxed(),
        ]
    })
}

fn bit_matrix(rows: usize, cols: usize, seed: u64) -> BitMatrix {
    let mut state = seed | 1;
    BitMatrix::new(rows, cols, |_, _| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 40 & 1 == 1
    })
    .unwrap()
}

/// Runs operations on packets of one bit each.
fn run(schedule: &Schedule, packets: &mut BTreeMap<(usize, usize), bool>) {
    for packet in schedule.cleared() {
        packets.insert(packet, false);
    }
    for Operation { copy, from, to } in schedule.operations() {
        let source = packets[&from];
        let target = packets.get_mut(&to).unwrap();
        *target = if copy { source } else { *target ^ source };
    }
}

proptest! {
    #[test]
    fn fields_have_their_laws(w in word_size(), a: u32, b: u32, c: u32) {
        let [a, b, c] = [a, b, c].map(|e| e & w.max_element());
        let times = |a, b| galois::multiply(w, a, b).unwrap();
        prop_assert_eq!(times(a, b), times(b, a));
        prop_assert_eq!(times(a, times(b, c)), times(times(a, b), c));
        prop_assert_eq!(times(a, b ^ c), times(a, b) ^ times(a, c));
        prop_assert_eq!(times(a, 1), a);
        if b != 0 {
            prop_assert_eq!(times(galois::divide(w, a, b).unwrap(), b), a);
            prop_assert_eq!(times(galois::inverse(w, b).unwrap(), b), 1);
        }
    }

    #[test]
    fn a_matrix_times_its_inverse_is_the_unit_matrix(matrix in square()) {
        let unit = Matrix::identity(matrix.word_size(), matrix.rows()).unwrap();
        match matrix.inverse() {
            Ok(inverse) => {
                prop_assert_eq!(matrix.is_invertible(), Ok(true));
                prop_assert_eq!(&matrix.multiply(&inverse).unwrap(), &unit);
                prop_assert_eq!(&inverse.multiply(&matrix).unwrap(), &unit);
            }
            Err(error) => {
                prop_assert_eq!(error, Error::Singular);
                prop_assert_eq!(matrix.is_invertible(), Ok(false));
            }
        }
    }

    #[test]
    fn products_may_be_taken_in_any_order([a, b, c] in chain()) {
        let left = a.multiply(&b).unwrap().multiply(&c).unwrap();
        let right = a.multiply(&b.multiply(&c).unwrap()).unwrap();
        prop_assert_eq!(left, right);
    }

    #[test]
    fn bits_of_a_product_are_the_product_of_the_bits([a, b, _] in chain()) {
        let bits = |matrix: &Matrix| matrix.to_bit_matrix().unwrap();
        let product = a.multiply(&b).unwrap();
        prop_assert_eq!(bits(&a).multiply(&bits(&b)).unwrap(), bits(&product));
        prop_assert_eq!(bits(&a).n_ones(), a.n_ones());
    }

    #[test]
    fn a_bit_matrix_times_its_inverse_is_the_unit_matrix(rows in 1_usize..150, seed: u64) {
        let matrix = bit_matrix(rows, rows, seed);
        if let Ok(inverse) = matrix.inverse() {
            let unit = BitMatrix::identity(rows).unwrap();
            prop_assert_eq!(&matrix.multiply(&inverse).unwrap(), &unit);
            prop_assert_eq!(&inverse.multiply(&matrix).unwrap(), &unit);
        } else {
            prop_assert_eq!(matrix.is_invertible(), Ok(false));
        }
    }

    #[test]
    fn improving_a_cauchy_matrix_keeps_what_it_recovers(w in 4_u32..=32, m in 1_usize..4) {
        let w = WordSize::new(w).unwrap();
        let matrix = Matrix::cauchy_good(5, m, w).unwrap();
        for first in 0..=5 {
            let erased: Vec<usize> = (first..first + m).collect();
            prop_assert!(matrix.decoding_matrix(&erased).is_ok());
        }
    }

    #[test]
    fn schedules_of_any_matrix_code_and_decode_bits(
        k in 1_usize..5, m in 1_usize..4, w in 1_u32..9, smart: bool, lost: u32, seed: u64, data: u64,
    ) {
        let (size, w) = (w as usize, WordSize::new(w).unwrap());
        let bits = bit_matrix(m * size, k * size, seed);
        let schedule = match smart {
            true => Schedule::smart(&bits, k, m, w).unwrap(),
            false => Schedule::dumb(&bits, k, m, w).unwrap(),
        };
        let bit = |shard: usize, packet: usize| data >> (shard * size + packet) & 1 == 1;
        let packet_names = (0..k + m).flat_map(|s| (0..size).map(move |p| (s, p)));
        let mut packets: BTreeMap<_, _> = packet_names.map(|(s, p)| ((s, p), bit(s, p))).collect();
        run(&schedule, &mut packets);
        for row in 0..m * size {
            let sum = bits.row(row).fold(false, |sum, col| sum ^ bit(col / size, col % size));
            prop_assert_eq!(packets[&(k + row / size, row % size)], sum);
        }

        let erased: Vec<usize> = (0..k + m).filter(|s| lost >> s & 1 == 1).take(m).collect();
        match Schedule::decoding(&bits, k, m, w, &erased, smart) {
            Ok(schedule) => {
                let whole = packets.clone();
                for (_, bit) in packets.iter_mut().filter(|((s, _), _)| erased.contains(s)) {
                    *bit = !*bit;
                }
                run(&schedule, &mut packets);
                prop_assert_eq!(packets, whole);
            }
            Err(error) => {
                prop_assert_eq!(error, Error::Singular);
                prop_assert!(bits.decoding_matrix(w, &erased).is_err());
            }
        }
    }
}
