//! Which bindings `src/lib.rs` includes: the checked-in ones, or ones made afresh.

#[cfg(feature = "buildtime-bindgen")]
use std::{env, path::Path};

/// Points `JERASURE_BINDINGS` at the file to include.
pub(crate) fn select() -> Result<(), String> {
    let file = if cfg!(feature = "buildtime-bindgen") {
        std::env::var("OUT_DIR").map(|out| format!("{out}/bindings.rs"))
    } else {
        std::env::var("CARGO_MANIFEST_DIR").map(|root| format!("{root}/src/bindings.rs"))
    };
    let file = file.map_err(|_| "build with cargo: OUT_DIR is not set")?;
    println!("cargo:rustc-env=JERASURE_BINDINGS={file}");
    Ok(())
}

/// The public headers of Jerasure, in one translation unit so that no type is made twice.
#[cfg(feature = "buildtime-bindgen")]
const HEADERS: &str = r#"
#include "jerasure.h"
#include "reed_sol.h"
#include "cauchy.h"
#include "liberation.h"
#include "galois.h"
"#;

#[cfg(feature = "buildtime-bindgen")]
const FUNCTIONS: &str =
    "jerasure_.*|reed_sol_.*|cauchy_.*|liberation_.*|liber8tion_.*|blaum_roth_.*|galois_.*";

/// Left out: what swaps a field under other threads (and drags GF-Complete's structs in), and a
/// declaration that no source file defines.
#[cfg(feature = "buildtime-bindgen")]
const NOT_BOUND: &str = "galois_init_field|galois_init_composite_field|galois_change_technique\
    |galois_get_field_ptr|jerasure_autoconf_test";

/// Writes fresh bindings to `OUT_DIR/bindings.rs`.
#[cfg(feature = "buildtime-bindgen")]
pub(crate) fn generate(sources: &crate::sources::Sources) -> Result<(), String> {
    let out = env::var("OUT_DIR").map_err(|_| "build with cargo: OUT_DIR is not set")?;
    let includes = sources.include_folders();
    bindgen::Builder::default()
        .header_contents("jerasure_all.h", HEADERS)
        .clang_args(
            includes
                .iter()
                .map(|folder| format!("-I{}", folder.display())),
        )
        .allowlist_function(FUNCTIONS)
        .blocklist_function(NOT_BOUND)
        // Every argument is an integer or a pointer to one: no type is needed.
        .allowlist_recursively(false)
        .generate_comments(false)
        .disable_header_comment()
        .raw_line("// Made by bindgen; see the README of this crate. Do not edit.")
        .use_core()
        .ctypes_prefix("::core::ffi")
        .rust_edition(bindgen::RustEdition::Edition2024)
        .sort_semantically(true)
        .merge_extern_blocks(true)
        .generate()
        .map_err(|error| {
            format!("bindgen failed: {error}\nlibclang is needed (Debian: libclang-dev)")
        })?
        .write_to_file(Path::new(&out).join("bindings.rs"))
        .map_err(|error| format!("cannot write the bindings: {error}"))
}
