//! Fields, matrices, bit matrices and schedules.

use jerasure::{BitMatrix, CodeParams, Error, Matrix, Schedule, Technique, WordSize, galois};

fn w(bits: u32) -> WordSize {
    WordSize::new(bits).unwrap()
}

fn all() -> impl Iterator<Item = WordSize> {
    (1..=32).map(w)
}

// galois.c

#[test]
fn fields_that_do_not_exist_are_refused() {
    // As an `int`, the last three are -1, -32 and the smallest one.
    let sizes = (33..=64).chain([0, 100, 1 << 16, u32::MAX, u32::MAX - 31, 1 << 31]);
    for bits in sizes {
        let allowed = "1 to 32";
        assert_eq!(
            WordSize::new(bits),
            Err(Error::WordSize { w: bits, allowed })
        );
    }
}

#[test]
fn operands_beyond_the_field_are_refused() {
    for w in all().filter(|w| w.bits() < 32) {
        for value in [1 << w.bits(), 1 << 31, u32::MAX] {
            let refused = Error::NotAnElement { value, w: w.bits() };
            assert_eq!(galois::multiply(w, value, 1), Err(refused.clone()));
            assert_eq!(galois::multiply(w, 1, value), Err(refused.clone()));
            assert_eq!(galois::divide(w, value, 1), Err(refused.clone()));
            assert_eq!(galois::divide(w, 1, value), Err(refused.clone()));
            assert_eq!(galois::inverse(w, value), Err(refused.clone()));
            assert_eq!(galois::n_ones(w, value), Err(refused.clone()));
            assert_eq!(Matrix::new(w, 1, 2, [0, value]), Err(refused));
        }
    }
}

#[test]
fn a_division_by_zero_is_no_element() {
    for w in all() {
        assert_eq!(galois::divide(w, 1, 0), Err(Error::DivisionByZero));
        assert_eq!(galois::divide(w, 0, 0), Err(Error::DivisionByZero));
        assert_eq!(galois::inverse(w, 0), Err(Error::DivisionByZero));
    }
}

// jerasure.c

#[test]
fn decoding_matrices_need_k_survivors() {
    let matrix = Matrix::reed_sol_van(4, 2, WordSize::W8).unwrap();
    let bits = BitMatrix::liberation(4, w(5)).unwrap();
    for erased in [vec![0, 1, 2], vec![0, 4, 5], (0..6).collect()] {
        let lost = erased.len();
        let refused = Error::TooManyErasures { lost, m: 2 };
        assert_eq!(matrix.decoding_matrix(&erased), Err(refused.clone()));
        assert_eq!(bits.decoding_matrix(w(5), &erased), Err(refused.clone()));
        for smart in [false, true] {
            let schedule = Schedule::decoding(&bits, 4, 2, w(5), &erased, smart);
            assert_eq!(schedule, Err(refused.clone()));
        }
    }
}

#[test]
fn erasures_out_of_range_or_repeated_are_refused() {
    let matrix = Matrix::reed_sol_van(4, 2, WordSize::W8).unwrap();
    let bits = BitMatrix::liberation(4, w(5)).unwrap();
    // The largest is what -1, the mark at the end of C's lists, becomes.
    for index in [6, 7, 1000, usize::MAX] {
        let refused = Error::OutOfRange {
            what: "shard",
            index,
            limit: 6,
        };
        for erased in [vec![index], vec![0, index]] {
            assert_eq!(matrix.decoding_matrix(&erased), Err(refused.clone()));
            assert_eq!(bits.decoding_matrix(w(5), &erased), Err(refused.clone()));
            for smart in [false, true] {
                let schedule = Schedule::decoding(&bits, 4, 2, w(5), &erased, smart);
                assert_eq!(schedule, Err(refused.clone()));
            }
        }
    }
    for erased in [[1, 1], [4, 4]] {
        let refused = Error::RepeatedShard { index: erased[0] };
        assert_eq!(matrix.decoding_matrix(&erased), Err(refused.clone()));
        assert_eq!(bits.decoding_matrix(w(5), &erased), Err(refused.clone()));
        for smart in [false, true] {
            let schedule = Schedule::decoding(&bits, 4, 2, w(5), &erased, smart);
            assert_eq!(schedule, Err(refused.clone()));
        }
    }
}

#[test]
fn schedules_for_no_erasures_are_empty() {
    let bits = BitMatrix::liberation(4, w(5)).unwrap();
    for smart in [false, true] {
        let schedule = Schedule::decoding(&bits, 4, 2, w(5), &[], smart).unwrap();
        assert_eq!(schedule.operations().count(), 0);
        assert_eq!(schedule.cleared().count(), 0);
    }
}

#[test]
fn singular_matrices_have_no_decoding_schedule() {
    // Both coding shards are the sum of the data shards.
    let bits = BitMatrix::new(10, 20, |row, col| row % 5 == col % 5).unwrap();
    for smart in [false, true] {
        let schedule = Schedule::decoding(&bits, 4, 2, w(5), &[0, 1], smart);
        assert_eq!(schedule, Err(Error::Singular));
    }
    assert_eq!(bits.decoding_matrix(w(5), &[0, 1]), Err(Error::Singular));
    let matrix = Matrix::new(WordSize::W8, 2, 3, [1; 6]).unwrap();
    assert_eq!(matrix.decoding_matrix(&[0, 1]), Err(Error::Singular));
    assert_eq!(matrix.decoding_matrix(&[1, 3]).unwrap().1, [0, 2, 4]);
}

#[test]
fn schedules_of_one_and_of_three_coding_shards_exist() {
    for m in [1, 3] {
        let matrix = Matrix::cauchy_good(4, m, WordSize::W8).unwrap();
        let bits = matrix.to_bit_matrix().unwrap();
        let erased: Vec<usize> = (0..m).collect();
        for smart in [false, true] {
            let schedule = Schedule::decoding(&bits, 4, m, WordSize::W8, &erased, smart).unwrap();
            let targets = schedule.operations().filter(|op| op.copy);
            assert_eq!(targets.count(), 8 * m);
        }
    }
}

#[test]
fn rows_of_zeros_are_named_as_packets_to_clear() {
    let bits = BitMatrix::new(16, 8, |_, _| false).unwrap();
    for schedule in [
        Schedule::dumb(&bits, 1, 2, WordSize::W8),
        Schedule::smart(&bits, 1, 2, WordSize::W8),
    ] {
        let schedule = schedule.unwrap();
        assert_eq!(schedule.operations().count(), 0);
        assert_eq!(schedule.cleared().count(), 16);
    }
}

#[test]
fn schedules_of_another_shape_are_refused() {
    let bits = BitMatrix::liberation(4, w(5)).unwrap();
    for (k, m, bits_of_w) in [
        (4, 3, 5),
        (5, 2, 5),
        (4, 2, 7),
        (0, 2, 5),
        (4, usize::MAX, 5),
    ] {
        let refused = |schedule: Result<Schedule, Error>| {
            assert!(matches!(schedule, Err(Error::MatrixShape { .. })));
        };
        refused(Schedule::dumb(&bits, k, m, w(bits_of_w)));
        refused(Schedule::smart(&bits, k, m, w(bits_of_w)));
        refused(Schedule::decoding(&bits, k, m, w(bits_of_w), &[0], true));
    }
    let decoding = bits.decoding_matrix(w(7), &[0]);
    assert!(matches!(decoding, Err(Error::MatrixShape { .. })));
}

#[test]
fn bit_matrices_that_overflow_an_int_are_refused() {
    // 2^21 elements have 2^31 bits for w = 32.
    let matrix = Matrix::new(WordSize::W32, 1 << 10, 1 << 11, vec![1; 1 << 21]).unwrap();
    assert_eq!(
        matrix.to_bit_matrix(),
        Err(Error::MatrixTooLarge {
            rows: 1 << 15,
            cols: 1 << 16
        })
    );
    for (rows, cols) in [(1 << 16, 1 << 15), (usize::MAX, 2), (1, 1 << 31)] {
        let refused = Error::MatrixTooLarge { rows, cols };
        assert_eq!(
            BitMatrix::new(rows, cols, |_, _| false),
            Err(refused.clone())
        );
        assert_eq!(Matrix::new(WordSize::W8, rows, cols, []), Err(refused));
    }
    let params = CodeParams::new(1449, 2, w(32)).unwrap();
    let params = params.with_packet_bytes(8).unwrap();
    assert!(matches!(
        Technique::CauchyOrig.check(params),
        Err(Error::MatrixTooLarge { .. })
    ));
}

#[test]
fn inverting_leaves_its_matrix_alone() {
    let matrix = Matrix::reed_sol_van(3, 3, WordSize::W8).unwrap();
    let before = matrix.clone();
    assert_eq!(matrix.is_invertible(), Ok(true));
    assert!(matrix.inverse().is_ok());
    assert_eq!(matrix, before);
    let bits = matrix.to_bit_matrix().unwrap();
    let before = bits.clone();
    assert_eq!(bits.is_invertible(), Ok(true));
    assert!(bits.inverse().is_ok());
    assert_eq!(bits, before);
}

#[test]
fn only_square_matrices_are_inverted() {
    for (rows, cols) in [(2, 3), (3, 2), (1, 7)] {
        let refused = Error::MatrixShape {
            rows: cols,
            cols,
            got_rows: rows,
            got_cols: cols,
        };
        let matrix = Matrix::new(WordSize::W8, rows, cols, vec![1; rows * cols]).unwrap();
        assert_eq!(matrix.inverse(), Err(refused.clone()));
        assert_eq!(matrix.is_invertible(), Err(refused.clone()));
        let bits = BitMatrix::new(rows, cols, |_, _| true).unwrap();
        assert_eq!(bits.inverse(), Err(refused.clone()));
        assert_eq!(bits.is_invertible(), Err(refused));
    }
}

#[test]
fn products_of_unlike_matrices_are_refused() {
    let matrix = |w, rows, cols| Matrix::new(w, rows, cols, vec![1; rows * cols]).unwrap();
    let left = matrix(WordSize::W8, 2, 3);
    let refused = Error::MatrixShape {
        rows: 3,
        cols: 5,
        got_rows: 4,
        got_cols: 5,
    };
    let product = left.multiply(&matrix(WordSize::W8, 4, 5));
    assert_eq!(product, Err(refused.clone()));
    assert!(matches!(
        left.multiply(&matrix(WordSize::W16, 3, 5)),
        Err(Error::WordSize { w: 16, .. })
    ));
    let bits = |rows, cols| BitMatrix::new(rows, cols, |_, _| true).unwrap();
    assert_eq!(bits(2, 3).multiply(&bits(4, 5)), Err(refused));
}

#[test]
fn matrices_of_another_size_than_their_elements_are_refused() {
    for (rows, cols, got) in [(2, 3, 5), (2, 3, 7), (1, 1, 0)] {
        let refused = Error::Count {
            what: "matrix elements",
            expected: rows * cols,
            got,
        };
        let matrix = Matrix::new(WordSize::W8, rows, cols, vec![0; got]);
        assert_eq!(matrix, Err(refused));
    }
    for (rows, cols) in [(0, 0), (0, 3), (3, 0)] {
        let refused = Error::NoShards { k: cols, m: rows };
        assert_eq!(
            Matrix::new(WordSize::W8, rows, cols, []),
            Err(refused.clone())
        );
        assert_eq!(BitMatrix::new(rows, cols, |_, _| true), Err(refused));
    }
    assert!(Matrix::identity(WordSize::W8, 0).is_err());
    assert!(BitMatrix::identity(0).is_err());
}
