//! The constructors of coding matrices, and the techniques.

use jerasure::{BitMatrix, CodeParams, Error, Matrix, Technique, WordSize};

fn w(bits: u32) -> WordSize {
    WordSize::new(bits).unwrap()
}

fn all() -> impl Iterator<Item = WordSize> {
    (1..=32).map(w)
}

fn params(k: usize, m: usize, bits: u32) -> CodeParams {
    CodeParams::new(k, m, w(bits)).unwrap()
}

fn with_packets(k: usize, m: usize, bits: u32) -> CodeParams {
    params(k, m, bits).with_packet_bytes(8).unwrap()
}

// reed_sol.c

#[test]
fn vandermonde_matrices_beyond_the_field_are_refused() {
    for w in all() {
        let none = |k, m| Err(Error::NoShards { k, m });
        assert_eq!(Matrix::reed_sol_van(0, 2, w), none(0, 2));
        assert_eq!(Matrix::reed_sol_van(2, 0, w), none(2, 0));
        assert_eq!(Matrix::extended_vandermonde(0, 2, w), none(2, 0));
        assert_eq!(Matrix::extended_vandermonde(2, 0, w), none(0, 2));
        // The C function has no distribution matrix without coding rows.
        assert_eq!(Matrix::big_vandermonde_distribution(2, 2, w), none(2, 0));
        assert_eq!(Matrix::big_vandermonde_distribution(1, 2, w), none(2, 0));
        assert_eq!(Matrix::big_vandermonde_distribution(2, 0, w), none(0, 2));
    }
    for w in all().filter(|w| w.bits() <= 12) {
        let limit = 1 << w.bits();
        assert!(Matrix::reed_sol_van(limit - 1, 1, w).is_ok());
        for (k, m) in [(limit, 1), (1, limit), (limit / 2 + 1, limit / 2)] {
            let refused = Error::TooManyShards {
                k,
                m,
                w: w.bits(),
                limit,
            };
            assert_eq!(Matrix::reed_sol_van(k, m, w), Err(refused.clone()));
            assert_eq!(
                Matrix::big_vandermonde_distribution(k + m, k, w),
                Err(refused)
            );
        }
        for (rows, cols) in [(limit + 1, 1), (1, limit + 1)] {
            assert!(matches!(
                Matrix::extended_vandermonde(rows, cols, w),
                Err(Error::TooManyShards { .. })
            ));
        }
    }
    for (k, m) in [(46_340, 1), (usize::MAX, 1), (usize::MAX, usize::MAX)] {
        assert!(matches!(
            Matrix::reed_sol_van(k, m, WordSize::W32),
            Err(Error::TooManyShards { .. })
        ));
    }
}

#[test]
fn raid_6_matrices_that_repeat_columns_are_refused() {
    assert_eq!(
        Matrix::reed_sol_r6(0, WordSize::W8),
        Err(Error::NoShards { k: 0, m: 2 })
    );
    let refused = |k, w: WordSize, limit| {
        let technique = "reed_sol_r6_op";
        let w = w.bits();
        Err(Error::TooManyDataShards {
            technique,
            k,
            w,
            limit,
        })
    };
    assert!(Matrix::reed_sol_r6(255, WordSize::W8).is_ok());
    assert_eq!(
        Matrix::reed_sol_r6(256, WordSize::W8),
        refused(256, WordSize::W8, 255)
    );
    assert_eq!(
        Matrix::reed_sol_r6(65_536, WordSize::W16),
        refused(65_536, WordSize::W16, 65_535)
    );
    assert!(Technique::ReedSolR6.check(params(255, 2, 8)).is_ok());
    assert_eq!(
        Technique::ReedSolR6.check(params(4, 3, 8)),
        Err(Error::CodingShards {
            technique: "reed_sol_r6_op",
            m: 3,
            expected: 2
        })
    );
}

#[test]
fn codes_on_words_are_refused_for_words_of_odd_sizes() {
    for w in all().filter(|w| !matches!(w.bits(), 8 | 16 | 32)) {
        let refused = Err(Error::WordSize {
            w: w.bits(),
            allowed: "8, 16 or 32",
        });
        assert_eq!(Matrix::reed_sol_r6(1, w).map(drop), refused);
        let params = CodeParams::new(1, 1, w).unwrap();
        assert_eq!(Technique::ReedSolVan.check(params), refused);
        assert_eq!(Technique::ReedSolR6.check(params), refused);
    }
}

// cauchy.c

#[test]
fn cauchy_matrices_beyond_the_field_are_refused() {
    for w in all() {
        for (k, m) in [(0, 1), (1, 0), (0, 0)] {
            let refused = Err(Error::NoShards { k, m });
            assert_eq!(Matrix::cauchy_original(k, m, w), refused);
            assert_eq!(Matrix::cauchy_good(k, m, w), refused);
        }
        assert_eq!(
            Matrix::cauchy_xy(w, &[], &[1]),
            Err(Error::NoShards { k: 1, m: 0 })
        );
        assert_eq!(
            Matrix::cauchy_xy(w, &[1], &[]),
            Err(Error::NoShards { k: 0, m: 1 })
        );
        if w.bits() > 12 {
            continue;
        }
        let points = 1 << w.bits();
        assert!(Matrix::cauchy_original(points - 1, 1, w).is_ok());
        assert!(matches!(
            Matrix::cauchy_original(points, 1, w),
            Err(Error::TooManyShards { .. })
        ));
        assert!(matches!(
            Matrix::cauchy_good(points, 1, w),
            Err(Error::TooManyShards { .. })
        ));
        // Where C has a table for m = 2, one more shard is possible.
        let longest = match w.bits() {
            1 => continue,
            2..=10 => points - 1,
            _ => points - 2,
        };
        assert!(Matrix::cauchy_good(longest, 2, w).is_ok(), "w = {w}");
        assert!(matches!(
            Matrix::cauchy_good(longest + 1, 2, w),
            Err(Error::TooManyShards { .. })
        ));
    }
}

#[test]
fn cauchy_points_that_coincide_are_refused() {
    for w in all().filter(|w| w.bits() >= 3) {
        for (x, y, value) in [
            (&[0, 1][..], &[1, 2][..], 1),
            (&[3], &[3], 3),
            (&[0, 4, 0], &[1, 2], 0),
            (&[0], &[5, 1, 5], 5),
        ] {
            let refused = Err(Error::RepeatedPoint { value });
            assert_eq!(Matrix::cauchy_xy(w, x, y), refused);
        }
    }
    assert_eq!(
        Matrix::cauchy_xy(WordSize::W8, &[256], &[1]),
        Err(Error::NotAnElement { value: 256, w: 8 })
    );
}

#[test]
fn a_zero_cannot_be_improved() {
    for elements in [[0, 1, 1, 1], [1, 1, 1, 0]] {
        let matrix = Matrix::new(WordSize::W8, 2, 2, elements).unwrap();
        assert_eq!(matrix.improve_cauchy(), Err(Error::DivisionByZero));
    }
}

// liberation.c

#[test]
fn liberation_codes_of_other_than_odd_primes_are_refused() {
    let primes = [3, 5, 7, 11, 13, 17, 19, 23, 29, 31];
    for w in all() {
        let made = BitMatrix::liberation(1, w);
        if primes.contains(&w.bits()) {
            assert!(made.is_ok());
            continue;
        }
        let allowed = "3, 5, 7, 11, 13, 17, 19, 23, 29 or 31";
        let refused = Error::WordSize {
            w: w.bits(),
            allowed,
        };
        assert_eq!(made, Err(refused));
    }
    // Of this one, three of six pairs cannot be recovered.
    assert!(BitMatrix::liberation(4, w(6)).is_err());
    assert!(Technique::Liberation.check(with_packets(4, 2, 6)).is_err());
}

#[test]
fn blaum_roth_codes_of_other_than_primes_less_one_are_refused() {
    let sizes = [4, 6, 10, 12, 16, 18, 22, 28, 30];
    for w in all() {
        let made = BitMatrix::blaum_roth(1, w);
        if sizes.contains(&w.bits()) {
            assert!(made.is_ok());
            continue;
        }
        let allowed = "4, 6, 10, 12, 16, 18, 22, 28 or 30";
        let refused = Error::WordSize {
            w: w.bits(),
            allowed,
        };
        assert_eq!(made, Err(refused));
    }
    // Of this one, two of six pairs cannot be recovered.
    assert!(BitMatrix::blaum_roth(4, w(5)).is_err());
    assert!(Technique::BlaumRoth.check(with_packets(4, 2, 5)).is_err());
}

#[test]
fn raid_6_codes_on_packets_have_two_coding_and_at_most_w_data_shards() {
    for (technique, bits) in [
        (Technique::Liberation, 7),
        (Technique::BlaumRoth, 6),
        (Technique::Liber8tion, 8),
    ] {
        let name = technique.name();
        let limit = bits as usize;
        assert_eq!(technique.check(with_packets(limit, 2, bits)), Ok(()));
        assert_eq!(
            technique.check(with_packets(limit + 1, 2, bits)),
            Err(Error::TooManyDataShards {
                technique: name,
                k: limit + 1,
                w: bits,
                limit
            })
        );
        for m in [1, 3] {
            assert_eq!(
                technique.check(with_packets(3, m, bits)),
                Err(Error::CodingShards {
                    technique: name,
                    m,
                    expected: 2
                })
            );
        }
    }
    let none = Err(Error::NoShards { k: 0, m: 2 });
    assert_eq!(BitMatrix::liberation(0, w(7)), none);
    assert_eq!(BitMatrix::blaum_roth(0, w(6)), none);
    assert_eq!(BitMatrix::liber8tion(0), none);
    assert!(matches!(
        BitMatrix::liber8tion(9),
        Err(Error::TooManyDataShards { limit: 8, .. })
    ));
    assert_eq!(
        Technique::Liber8tion.check(with_packets(3, 2, 7)),
        Err(Error::WordSize { w: 7, allowed: "8" })
    );
}
