//! What `matrix` and `bench` print.

use serde_json::{Value, json};

use crate::sandbox::Sandbox;

fn json_of(line: &str) -> Value {
    serde_json::from_str(&Sandbox::new().succeed(line)).unwrap()
}

#[test]
fn matrices_are_upstreams() {
    // reed_sol_vandermonde_coding_matrix(3, 5, 16), by the C library.
    let expected = "    1     1     1\n    1 24578 40964\n    1 34820 48562\n    1 48563 34821\n    1 61447 61446\n";
    assert_eq!(Sandbox::new().succeed("matrix -k 3 -m 5 -w 16"), expected);
    assert_eq!(
        json_of("matrix -k 3 -m 2 -w 8 --technique reed_sol_r6_op --json"),
        json!({"technique": "reed_sol_r6_op", "k": 3, "m": 2, "w": 8, "bits": false, "rows": [[1, 1, 1], [1, 2, 4]]})
    );
}

#[test]
fn bit_matrices_are_printed_in_blocks() {
    // jerasure_print_bitmatrix of liberation_coding_bitmatrix(2, 3), by the C library.
    let expected = "100 100\n010 010\n001 001\n\n100 010\n010 011\n001 100\n";
    let printed = Sandbox::new().succeed("matrix -k 2 -m 2 -w 3 --technique liberation --bit");
    assert_eq!(printed, expected);
    let rows = json_of("matrix -k 2 -m 1 -w 4 --technique cauchy_orig --bit --json");
    assert_eq!(rows["bits"], true);
    assert_eq!(rows["rows"].as_array().unwrap().len(), 4);
    assert_eq!(rows["rows"][0].as_array().unwrap().len(), 8);
}

#[test]
fn matrices_that_are_not_there_are_usage_errors() {
    let sandbox = Sandbox::new();
    for (line, why) in [
        (
            "matrix -k 2 -m 2 -t liberation",
            "liberation has no matrix over words: add --bit",
        ),
        ("matrix -k 0 -m 2", "at least one data shard"),
        ("matrix -k 2 -m 2 -w 33", "w = 33"),
        ("bench -k 300 -m 2 -w 8", "too many shards"),
        ("bench --size 99999999999", "make them smaller"),
    ] {
        let error = sandbox.fail(line, 2);
        assert!(error.contains(why), "{line}: {error}");
    }
}

#[test]
fn every_engine_is_measured_beside_the_reference() {
    for options in [
        "-k 3 -m 2 --size 1000",
        "-k 3 -m 2 -w 16 --size 64",
        "-k 3 -m 3 -t cauchy_good -p 64",
    ] {
        let measured = json_of(&format!("bench {options} --time 5 --json"));
        let engines = measured["engines"].as_array().unwrap();
        let names: Vec<&str> = engines
            .iter()
            .map(|row| row["engine"].as_str().unwrap())
            .collect();
        assert!(names.starts_with(&["reference", "scalar"]), "{names:?}");
        for row in engines {
            for kind in ["encode", "decode", "update"] {
                assert!(row[kind]["gb_per_s"].as_f64().unwrap() > 0.0);
                assert!(row[kind]["ratio"].as_f64().unwrap() > 0.0);
            }
        }
        assert_eq!(engines[0]["encode"]["ratio"], 1.0);
    }
    let table = Sandbox::new().succeed("bench --time 5 --size 1000");
    assert!(
        table.lines().nth(2).unwrap().starts_with("reference "),
        "{table}"
    );
}
