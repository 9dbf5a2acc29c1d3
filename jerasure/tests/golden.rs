//! `tests/golden/jerasure.json`, every row, through the safe crate on every engine of this machine.

#[path = "../../jerasure-sys/tests/support/data.rs"]
mod data;

use jerasure::{CodeParams, Codec, Engine, Technique, WordSize};
use serde_json::Value;

fn rows(section: &str) -> Vec<Value> {
    let text = include_str!("../../tests/golden/jerasure.json");
    let all: Value = serde_json::from_str(text).unwrap();
    let rows = all[section].as_array().unwrap().clone();
    for technique in Technique::ALL {
        let is_there = rows.iter().any(|row| row["technique"] == technique.name());
        assert!(is_there, "no row of {section} is for {technique}");
    }
    rows
}

fn number(row: &Value, name: &str) -> usize {
    row[name].as_u64().unwrap() as usize
}

fn codec(row: &Value, packet_bytes: usize, engine: Engine) -> Codec {
    let technique: Technique = row["technique"].as_str().unwrap().parse().unwrap();
    let w = WordSize::new(number(row, "w") as u32).unwrap();
    let mut params = CodeParams::new(number(row, "k"), number(row, "m"), w).unwrap();
    if technique.uses_packets() {
        params = params.with_packet_bytes(packet_bytes).unwrap();
    } else {
        assert_eq!(packet_bytes, 0, "{row}");
    }
    Codec::with_engine(technique, params, engine).unwrap()
}

#[test]
fn every_golden_matrix_is_the_codecs() {
    for row in rows("matrices") {
        let technique: Technique = row["technique"].as_str().unwrap().parse().unwrap();
        let packet_bytes = if technique.uses_packets() { 8 } else { 0 };
        let codec = codec(&row, packet_bytes, Engine::Scalar);
        let [want_rows, want_cols] = ["rows", "cols"].map(|name| number(&row, name));
        let got = match (codec.matrix(), codec.bit_matrix()) {
            (Some(matrix), _) => {
                assert_eq!((matrix.rows(), matrix.cols()), (want_rows, want_cols));
                matrix.as_slice().to_vec()
            }
            (None, Some(bits)) => {
                assert_eq!((bits.rows(), bits.cols()), (want_rows, want_cols));
                let cells = (0..want_rows).flat_map(|r| (0..want_cols).map(move |c| (r, c)));
                cells.map(|(r, c)| u32::from(bits.get(r, c))).collect()
            }
            (None, None) => panic!("{row}: no matrix at all"),
        };
        assert_eq!(Value::from(got), row["matrix"], "{row}");
    }
}

#[test]
fn every_golden_encoding_is_every_engines() {
    for row in rows("encodings") {
        let [k, m, w, bytes] = ["k", "m", "w", "size"].map(|name| number(&row, name));
        let data = data::golden_shards(k, m, w, bytes);
        assert_eq!(Value::from(&data[0][..8]), row["data0_first8"], "{row}");
        for engine in Engine::available() {
            let codec = codec(&row, number(&row, "packetsize"), engine);
            let mut coding = vec![vec![0xee; bytes]; m];
            codec.encode(&data, &mut coding).unwrap();
            let hashes: Vec<String> = coding.iter().map(|code| data::fnv1a64(code)).collect();
            assert_eq!(
                Value::from(hashes),
                row["coding_fnv1a64"],
                "{engine}: {row}"
            );

            // What was written is consistent, and any m losses come back.
            let mut shards = [data.clone(), coding].concat();
            assert_eq!(codec.verify(&shards), Ok(true), "{engine}: {row}");
            let whole = shards.clone();
            let erased: Vec<usize> = (0..m).map(|i| (i * 2) % (k + m)).collect();
            erased.iter().for_each(|&lost| shards[lost].fill(0xee));
            assert_eq!(codec.verify(&shards), Ok(false), "{engine}: {row}");
            codec.decode(&mut shards, &erased).unwrap();
            assert!(shards == whole, "{engine}: {row}");
        }
    }
}
