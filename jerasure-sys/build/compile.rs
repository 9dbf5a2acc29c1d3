//! Compiles Jerasure and GF-Complete with the C compiler alone: no autotools, no generated headers.

use std::env;
use std::path::PathBuf;

use crate::sources::Sources;

/// Run on every processor, so compiled without any instruction-set flag.
const GF_ALWAYS: [&str; 3] = ["gf", "gf_wgen", "gf_cpu"];
const JERASURE_ALWAYS: [&str; 5] = ["galois", "jerasure", "reed_sol", "cauchy", "liberation"];

/// Hold SIMD code that the library reaches only after asking the processor.
const GF_DISPATCHED: [&str; 6] = ["gf_w4", "gf_w8", "gf_w16", "gf_w32", "gf_w64", "gf_w128"];
const GF_DISPATCHED_NEON: [&str; 5] = [
    "gf_w4_neon",
    "gf_w8_neon",
    "gf_w16_neon",
    "gf_w32_neon",
    "gf_w64_neon",
];

const X86_64_DEFINES: [&str; 5] = [
    "INTEL_SSE2",
    "INTEL_SSE3",
    "INTEL_SSSE3",
    "INTEL_SSE4",
    "INTEL_SSE4_PCLMUL",
];

/// The vectoriser is off, because it would put these instructions into functions that run unasked.
const X86_64_FLAGS: [&str; 5] = [
    "-mssse3",
    "-msse4.1",
    "-mpclmul",
    "-fno-tree-vectorize",
    "-fno-tree-slp-vectorize",
];
const AARCH64_DEFINES: [&str; 2] = ["ARM_NEON", "ARCH_AARCH64"];

/// Builds one static library of both and tells Cargo to link it.
pub(crate) fn compile(sources: &Sources) -> Result<(), String> {
    println!("cargo:rerun-if-changed=shim");
    let gf = |file: &&str| sources.gf_complete.join("src").join(format!("{file}.c"));
    let jerasure = |file: &&str| sources.jerasure.join("src").join(format!("{file}.c"));
    let target =
        env::var("CARGO_CFG_TARGET_ARCH").map_err(|_| "build with cargo: no target is set")?;

    let mut dispatched = compiler(sources, &target);
    dispatched.files(GF_DISPATCHED.iter().map(gf));
    match target.as_str() {
        "x86_64" => {
            for flag in X86_64_FLAGS {
                dispatched.flag(flag);
            }
        }
        "aarch64" => {
            let neon = |file: &&str| {
                sources
                    .gf_complete
                    .join("src/neon")
                    .join(format!("{file}.c"))
            };
            dispatched
                .include(sources.gf_complete.join("src"))
                .files(GF_DISPATCHED_NEON.iter().map(neon));
        }
        _ => {}
    }
    let objects: Vec<PathBuf> = dispatched
        .try_compile_intermediates()
        .map_err(|error| format!("cannot compile GF-Complete: {error}"))?;

    // The two groups call each other, so they go into one archive.
    compiler(sources, &target)
        .files(GF_ALWAYS.iter().map(gf))
        .files(JERASURE_ALWAYS.iter().map(jerasure))
        .objects(objects)
        .try_compile("Jerasure")
        .map_err(|error| format!("cannot compile Jerasure: {error}"))
}

/// What both groups share.
fn compiler(sources: &Sources, target: &str) -> cc::Build {
    let mut build = cc::Build::new();
    build
        // The shim's <threads.h> must come before the system's.
        .include("shim")
        .includes(sources.include_folders())
        .opt_level(3)
        .std("gnu11")
        // Keeps assertions on; a flag could not, because those of the environment come later.
        .flag("-include")
        .flag("shim/assertions.h")
        // Upstream's code is not ours to lint.
        .warnings(false)
        .flag("-w");
    let defines: &[&str] = match target {
        "x86_64" => &X86_64_DEFINES,
        "aarch64" => &AARCH64_DEFINES,
        _ => &[],
    };
    for define in defines {
        build.define(define, None);
    }
    build
}
