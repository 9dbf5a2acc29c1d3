//! The paper's tests of the boundary between the language and the C library (section 6.1, Figure 5), and the golden
//! values through the safe crate. The techniques that it does not offer yet are tested in `jerasure-sys`.

use fusion_tests::golden::{self, Golden};
use jerasure::{
    CodeParams, Codec, Error, Technique, WordSize, calculate_rs_code, calculate_rs_matrix,
    recover_data,
};

#[test]
fn calculate_rs_matrix_valid() {
    for row in golden::paper("calculate_rs_matrix") {
        let matrix = calculate_rs_matrix(row.size("k"), row.size("m"), row.word("w"));
        assert_eq!(matrix.unwrap(), row.words("matrix"), "{row:?}");
    }
}

fn word_size(w: u32) -> Error {
    let allowed = "8, 16 or 32";
    Error::WordSize { w, allowed }
}

#[test]
fn calculate_rs_matrix_invalid() {
    for w in [0, 1, 4, 15, 33, 64, u32::MAX] {
        assert_eq!(calculate_rs_matrix(3, 3, w), Err(word_size(w)));
    }
    for (k, m) in [(0, 3), (3, 0), (0, 0)] {
        assert_eq!(calculate_rs_matrix(k, m, 16), Err(Error::NoShards { k, m }));
    }
    for (k, m, w) in [
        (255, 2, 8),
        (2, 255, 8),
        (65_535, 2, 16),
        (usize::MAX, 1, 32),
        (usize::MAX, usize::MAX, 32),
    ] {
        assert!(
            matches!(
                calculate_rs_matrix(k, m, w),
                Err(Error::TooManyShards { .. })
            ),
            "k = {k}, m = {m}, w = {w}"
        );
    }
}

#[test]
fn calculate_rs_code_valid() {
    for row in golden::paper("calculate_rs_code") {
        let code = calculate_rs_code(
            row.size("k"),
            row.size("m"),
            row.word("w"),
            row.word("code"),
            row.size("code_index"),
            row.word("old"),
            row.word("new"),
            row.size("position"),
            row.word("coefficient"),
        );
        assert_eq!(code.unwrap(), row.word("result"), "{row:?}");
    }
}

#[test]
fn calculate_rs_code_invalid() {
    // The valid call that each line spoils in one place.
    assert_eq!(
        calculate_rs_code(3, 3, 16, 41169, 1, 222, 0, 1, 24578),
        Ok(111)
    );

    let refused = |code, code_index, old, new, position, coefficient| {
        calculate_rs_code(3, 3, 16, code, code_index, old, new, position, coefficient).unwrap_err()
    };
    let not_an_element = Error::NotAnElement {
        value: 65_536,
        w: 16,
    };
    assert_eq!(refused(65_536, 1, 222, 0, 1, 24578), not_an_element);
    assert_eq!(refused(41169, 1, 65_536, 0, 1, 24578), not_an_element);
    assert_eq!(refused(41169, 1, 222, 65_536, 1, 24578), not_an_element);
    assert!(matches!(
        refused(41169, 3, 222, 0, 1, 24578),
        Error::OutOfRange {
            what: "code",
            index: 3,
            limit: 3
        }
    ));
    assert!(matches!(
        refused(41169, 1, 222, 0, usize::MAX, 24578),
        Error::OutOfRange {
            what: "position",
            limit: 3,
            ..
        }
    ));
    for coefficient in [0, 24579, 65_536, u32::MAX] {
        assert_eq!(
            refused(41169, 1, 222, 0, 1, coefficient),
            Error::WrongCoefficient {
                row: 1,
                column: 1,
                expected: 24578,
                got: coefficient
            }
        );
    }
    assert_eq!(
        calculate_rs_code(3, 3, 12, 0, 0, 0, 0, 0, 1),
        Err(word_size(12))
    );
    assert_eq!(
        calculate_rs_code(0, 3, 16, 0, 0, 0, 0, 0, 1),
        Err(Error::NoShards { k: 0, m: 3 })
    );
}

#[test]
fn recover_data_valid() {
    for row in golden::paper("recover_data") {
        let data = recover_data(
            row.size("k"),
            row.size("m"),
            row.word("w"),
            &row.words("codes"),
            &row.words("data"),
            &row.sizes("erasures"),
        );
        assert_eq!(data.unwrap(), row.words("result"), "{row:?}");
    }

    // Any erasures up to m, of data and of codes; what stands in an erased place does not matter.
    let (data, codes) = ([123, 456, 789], [678, 41143, 61441]);
    for set in 0_usize..1 << 6 {
        let erasures: Vec<usize> = (0..6).filter(|i| set >> i & 1 == 1).collect();
        let (mut data_left, mut codes_left) = (data, codes);
        for &lost in &erasures {
            *data_left
                .iter_mut()
                .chain(&mut codes_left)
                .nth(lost)
                .unwrap() = u32::MAX;
        }
        let recovered = recover_data(3, 3, 16, &codes_left, &data_left, &erasures);
        if erasures.len() <= 3 {
            assert_eq!(recovered.unwrap(), data, "lost {erasures:?}");
        } else {
            let lost = erasures.len();
            assert_eq!(recovered, Err(Error::TooManyErasures { lost, m: 3 }));
        }
    }
}

#[test]
fn recover_data_invalid() {
    let (codes, data) = ([678, 41143, 61441], [0; 3]);
    let refused = |codes: &[u32], data: &[u32], erasures: &[usize]| {
        recover_data(3, 3, 16, codes, data, erasures).unwrap_err()
    };
    assert_eq!(
        refused(&codes, &data, &[6]),
        Error::OutOfRange {
            what: "shard",
            index: 6,
            limit: 6
        }
    );
    assert!(matches!(
        refused(&codes, &data, &[usize::MAX]),
        Error::OutOfRange { .. }
    ));
    assert_eq!(
        refused(&codes, &data, &[1, 1]),
        Error::RepeatedShard { index: 1 }
    );
    assert_eq!(
        refused(&codes, &data, &[0, 1, 2, 3]),
        Error::TooManyErasures { lost: 4, m: 3 }
    );
    assert!(matches!(
        refused(&codes[..2], &data, &[0]),
        Error::Count { what: "codes", .. }
    ));
    assert!(matches!(
        refused(&codes, &[0; 4], &[0]),
        Error::Count {
            what: "data words",
            ..
        }
    ));
    assert!(matches!(refused(&[], &[], &[]), Error::Count { .. }));
    assert_eq!(
        refused(&[678, 65_536, 61441], &data, &[0]),
        Error::NotAnElement {
            value: 65_536,
            w: 16
        }
    );
    assert_eq!(
        recover_data(3, 3, 7, &codes, &data, &[0]),
        Err(word_size(7))
    );
    assert_eq!(
        recover_data(3, 0, 16, &[], &data, &[]),
        Err(Error::NoShards { k: 3, m: 0 })
    );
}

#[test]
fn figure_4_is_recovered() {
    let figure = golden::figure_4();
    for (slot, data) in figure.slots.iter().enumerate() {
        // Each fused server has built its code by one update after another.
        let matrix = calculate_rs_matrix(3, 3, 16).unwrap();
        let codes: Vec<u32> = (0..3)
            .map(|row| {
                data.iter().enumerate().fold(0, |code, (position, &new)| {
                    let coefficient = matrix[row * 3 + position];
                    calculate_rs_code(3, 3, 16, code, row, 0, new, position, coefficient).unwrap()
                })
            })
            .collect();
        let published: Vec<u32> = figure.codes.iter().map(|fused| fused[slot]).collect();
        assert_eq!(codes, published, "slot {slot}");
        assert_eq!(
            recover_data(3, 3, 16, &codes, &[0; 3], &[0, 1, 2]).unwrap(),
            *data
        );
    }
}

#[test]
fn golden_matrices_come_from_the_safe_codec() {
    let mut seen = 0;
    for row in reed_sol_van("matrices") {
        let codec = codec(&row);
        assert_eq!(
            codec.matrix().unwrap().as_slice(),
            row.words("matrix"),
            "{row:?}"
        );
        assert_eq!(codec.matrix().unwrap().rows(), row.size("rows"));
        assert_eq!(codec.matrix().unwrap().cols(), row.size("cols"));
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn golden_encodings_come_from_the_safe_codec() {
    let mut seen = 0;
    for row in reed_sol_van("encodings") {
        let codec = codec(&row);
        let data = row.data_shards();
        let mut coding = vec![vec![0; row.size("size")]; row.size("m")];
        codec.encode(&data, &mut coding).unwrap();
        let hashes: Vec<String> = coding.iter().map(|code| golden::fnv1a64(code)).collect();
        assert_eq!(hashes, row.strings("coding_fnv1a64"), "{row:?}");
        seen += 1;
    }
    assert!(seen > 0);
}

fn reed_sol_van(section: &str) -> impl Iterator<Item = Golden> {
    golden::jerasure(section)
        .into_iter()
        .filter(|row| row.string("technique") == "reed_sol_van")
}

fn codec(row: &Golden) -> Codec {
    let w = WordSize::try_from(row.word("w")).unwrap();
    let params = CodeParams::new(row.size("k"), row.size("m"), w).unwrap();
    Codec::new(Technique::ReedSolVan, params).unwrap()
}
