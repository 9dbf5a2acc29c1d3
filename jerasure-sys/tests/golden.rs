//! The raw boundary against golden values: every technique's matrix and encoding, bit for bit.
//!
//! The C functions are called directly, so that a change of the C code or of a declaration shows here even where the
//! safe crate does not use it yet.

#[path = "support/c_library.rs"]
mod c_library;
#[path = "support/data.rs"]
mod data;

use c_library::{CCode, Way, alone};
use serde_json::Value;

fn golden(section: &str) -> Vec<Value> {
    let text = include_str!("../../tests/golden/jerasure.json");
    let all: Value = serde_json::from_str(text).expect("the golden file is JSON");
    all[section].as_array().expect("a list").clone()
}

fn number(row: &Value, name: &str) -> usize {
    row[name].as_u64().expect("a number") as usize
}

fn code(row: &Value, packet: usize) -> CCode {
    let technique = row["technique"].as_str().expect("a name");
    let [k, m, w] = ["k", "m", "w"].map(|name| number(row, name));
    CCode::new(technique, k, m, w, packet)
}

#[test]
fn golden_matrices_hold_at_the_raw_boundary() {
    let _alone = alone();
    for row in golden("matrices") {
        // What is only a bit matrix needs packets; any will do.
        let is_wide = row["cols"] != row["k"];
        let code = code(&row, if is_wide { 8 } else { 0 });
        let matrix = code.matrix().or_else(|| code.bits()).unwrap();
        assert_eq!(Value::from(matrix), row["matrix"], "{row}");
    }
}

#[test]
fn golden_encodings_hold_at_the_raw_boundary() {
    let _alone = alone();
    for row in golden("encodings") {
        let code = code(&row, number(&row, "packetsize"));
        let [k, m, w, bytes] = ["k", "m", "w", "size"].map(|name| number(&row, name));
        let data = data::golden_shards(k, m, w, bytes);
        assert_eq!(Value::from(&data[0][..8]), row["data0_first8"], "{row}");

        for &way in code.ways() {
            let coding = code.encode_by(way, &data);
            let hashes: Vec<String> = coding.iter().map(|s| data::fnv1a64(s)).collect();
            assert_eq!(
                Value::from(hashes),
                row["coding_fnv1a64"],
                "{way:?} of {row}"
            );
        }
    }
}

#[test]
fn the_library_decodes_what_it_encoded() {
    let _alone = alone();
    for (code, bytes) in [
        (CCode::new("reed_sol_van", 5, 3, 16, 0), 256),
        (CCode::new("cauchy_good", 5, 3, 8, 8), 256),
    ] {
        let mut whole = data::golden_shards(5, 3, 16, bytes);
        whole.extend(code.encode(&whole));
        let mut shards = whole.clone();
        for lost in [1, 4, 5] {
            shards[lost].fill(0xff);
        }
        for &way in code.ways() {
            let decoded = code.decode_by(way, &shards, &[1, 4, 5]);
            assert!(decoded == whole, "{way:?}");
        }
    }
    assert!(CCode::new("reed_sol_van", 2, 1, 8, 0).ways() == [Way::Matrix]);
}
