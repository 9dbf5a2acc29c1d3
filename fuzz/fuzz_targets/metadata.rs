//! Any bytes as a metadata file of the program `jerasure`: they are refused, or all numbers fit each other and writing
//! them gives a file that reads the same.
#![no_main]

#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../jerasure/src/bin/jerasure/metadata.rs"]
mod metadata;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../jerasure/src/bin/jerasure/scheme.rs"]
mod scheme;

use libfuzzer_sys::fuzz_target;
use metadata::Metadata;

fuzz_target!(|bytes: &[u8]| parse(bytes));

fn parse(bytes: &[u8]) {
    let Ok(read) = Metadata::parse(bytes) else {
        return;
    };
    let (k, size) = (read.scheme().k() as u128, u128::from(read.size()));
    assert!(read.read_ins() > 0);
    // What a decoder computes from them does not overflow, and the pieces hold the file.
    if let Some(piece) = read.piece_bytes() {
        assert!(read.allows_piece_bytes(piece));
        assert!(
            u128::from(piece) * k >= size,
            "pieces shorter than the file"
        );
        assert_eq!(
            u128::from(piece) * k,
            u128::from(read.buffer()) * u128::from(read.read_ins())
        );
    } else {
        assert!(read.size() == 0 || !read.allows_piece_bytes(0));
    }

    // The name is as it was; the numbers may have been written with more zeros or spaces.
    let written = read.to_bytes();
    let again = Metadata::parse(&written).expect("what was written can be read");
    assert_eq!(again, read);
    assert_eq!(again.to_bytes(), written);
}
