//! Writes fresh bindings over `src/bindings.rs`; with `--check`, only compares.
//!
//! Needs the feature `buildtime-bindgen`, whose build script has made them.

use std::process::ExitCode;
use std::{env, fs};

const CHECKED_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bindings.rs");
const FRESH: &str = concat!(env!("OUT_DIR"), "/bindings.rs");

fn main() -> ExitCode {
    let fresh = fs::read_to_string(FRESH).expect("the build script has written the bindings");
    let checked_in = fs::read_to_string(CHECKED_IN).unwrap_or_default();
    if fresh == checked_in {
        println!("src/bindings.rs is up to date");
        return ExitCode::SUCCESS;
    }
    if env::args().any(|argument| argument == "--check") {
        eprintln!(
            "jerasure-sys/src/bindings.rs differs from the C headers; run \
             `cargo run -p jerasure-sys --features buildtime-bindgen --example bindings`"
        );
        return ExitCode::FAILURE;
    }
    fs::write(CHECKED_IN, fresh).expect("src/bindings.rs can be written");
    println!("wrote src/bindings.rs");
    ExitCode::SUCCESS
}
