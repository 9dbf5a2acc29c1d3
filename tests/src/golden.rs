//! The golden files, read; `tests/golden/README.md` says where they come from.

#[path = "../../jerasure-sys/tests/support/data.rs"]
mod data;

use std::{fmt, fs};

use serde::Deserialize;
use serde_json::Value;

/// One row of a golden file; a field that is not there or of another type panics.
pub struct Golden(Value);

impl Golden {
    /// A number as a count or an index.
    pub fn size(&self, name: &str) -> usize {
        self.get(name)
    }

    /// A number as a word of a field.
    pub fn word(&self, name: &str) -> u32 {
        self.get(name)
    }

    /// A text.
    pub fn string(&self, name: &str) -> String {
        self.get(name)
    }

    /// A list of counts or indices.
    pub fn sizes(&self, name: &str) -> Vec<usize> {
        self.get(name)
    }

    /// A list of words.
    pub fn words(&self, name: &str) -> Vec<u32> {
        self.get(name)
    }

    /// A list of texts.
    pub fn strings(&self, name: &str) -> Vec<String> {
        self.get(name)
    }

    /// The data shards of an encoding: k of `size` bytes, checked against the first 8 bytes on file.
    pub fn data_shards(&self) -> Vec<Vec<u8>> {
        let [k, m, w, size] = ["k", "m", "w", "size"].map(|name| self.size(name));
        let shards = data::golden_shards(k, m, w, size);
        assert_eq!(shards[0][..8], self.get::<Vec<u8>>("data0_first8"));
        shards
    }

    fn get<T: serde::de::DeserializeOwned>(&self, name: &str) -> T {
        T::deserialize(&self.0[name]).unwrap_or_else(|error| panic!("{name} of {self:?}: {error}"))
    }
}

impl fmt::Debug for Golden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The paper's Figure 4.
#[derive(Debug, Deserialize)]
pub struct Figure4 {
    /// For each slot the element of each primary, 0 where it has none.
    pub slots: Vec<Vec<u32>>,
    /// For each fused server the code of each slot.
    pub codes: Vec<Vec<u32>>,
}

/// A section of `jerasure.json`.
pub fn jerasure(section: &str) -> Vec<Golden> {
    rows(file("jerasure.json"), section)
}

/// A section of `paper.json`.
pub fn paper(section: &str) -> Vec<Golden> {
    rows(file("paper.json"), section)
}

/// Figure 4, from `paper.json`.
pub fn figure_4() -> Figure4 {
    Figure4::deserialize(&file("paper.json")["figure_4"]).expect("the figure's shape")
}

/// The FNV-1a 64 hash in hexadecimal.
pub fn fnv1a64(bytes: &[u8]) -> String {
    data::fnv1a64(bytes)
}

fn rows(mut file: Value, section: &str) -> Vec<Golden> {
    match file[section].take() {
        Value::Array(rows) if !rows.is_empty() => rows.into_iter().map(Golden).collect(),
        _ => panic!("no rows in section {section}"),
    }
}

fn file(name: &str) -> Value {
    let path = format!("{}/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}
