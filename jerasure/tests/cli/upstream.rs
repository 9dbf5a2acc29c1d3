//! Upstream's example programs, compiled once from the sources that the library is built from.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The sources of both libraries, without SIMD flags: one compiler run takes all of them.
const GF_COMPLETE: [&str; 10] = [
    "gf", "gf_wgen", "gf_cpu", "gf_rand", "gf_w4", "gf_w8", "gf_w16", "gf_w32", "gf_w64", "gf_w128",
];
const JERASURE: [&str; 6] = [
    "galois",
    "jerasure",
    "reed_sol",
    "cauchy",
    "liberation",
    "timing",
];
const FLAGS: [&str; 4] = ["-O1", "-std=gnu11", "-UNDEBUG", "-w"];

/// Upstream's `encoder`.
pub(crate) fn encoder() -> PathBuf {
    folder().join("encoder")
}

/// Upstream's `decoder`.
pub(crate) fn decoder() -> PathBuf {
    folder().join("decoder")
}

/// The folder of both programs.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let sources = sources();
        let mut key = DefaultHasher::new();
        (&sources, FLAGS, GF_COMPLETE, JERASURE).hash(&mut key);
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let folder = cache.join(format!("upstream-{:016x}", key.finish()));
        if !folder.exists() {
            let fresh = tempfile::tempdir_in(cache).unwrap();
            compile(&sources, fresh.path());
            // Another test run may have been faster; its programs are the same.
            let made = fs::rename(fresh.path(), &folder);
            assert!(made.is_ok() || folder.join("decoder").exists(), "{made:?}");
        }
        folder
    })
}

fn compile(sources: &Path, folder: &Path) {
    let (jerasure, gf) = (sources.join("jerasure"), sources.join("gf-complete"));
    let shim = Path::new(env!("CARGO_MANIFEST_DIR")).join("../jerasure-sys/shim");
    let mut compiler = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(FLAGS).current_dir(folder);
    // The shim's <threads.h> must come before the system's.
    for include in [shim, jerasure.join("include"), gf.join("include")] {
        compiler.arg("-I").arg(include);
    }
    compiler.arg("-c");
    compiler.args(GF_COMPLETE.map(|file| gf.join(format!("src/{file}.c"))));
    compiler.args(JERASURE.map(|file| jerasure.join(format!("src/{file}.c"))));
    compiler.args(["encoder", "decoder"].map(|file| jerasure.join(format!("Examples/{file}.c"))));
    run(&mut compiler);
    for program in ["encoder", "decoder"] {
        let mut linker = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
        linker.current_dir(folder).args(["-o", program]);
        linker.args(
            [program]
                .iter()
                .chain(&GF_COMPLETE)
                .chain(&JERASURE)
                .map(|file| format!("{file}.o")),
        );
        run(linker.arg("-lm"));
    }
}

/// `JERASURE_SRC`, or the package that `vendor/Cargo.lock` pins.
fn sources() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if let Some(folder) = env::var_os("JERASURE_SRC").filter(|folder| !folder.is_empty()) {
        return workspace.join(folder).canonicalize().unwrap();
    }
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--manifest-path",
    ]);
    cargo.arg(workspace.join("vendor/Cargo.toml"));
    cargo.env("CARGO_TARGET_DIR", env!("CARGO_TARGET_TMPDIR"));
    let metadata: serde_json::Value = serde_json::from_slice(&run(&mut cargo)).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages
        .iter()
        .find(|package| package["name"] == "jerasure-sys");
    let manifest = package.expect("the package is pinned")["manifest_path"]
        .as_str()
        .unwrap();
    Path::new(manifest).with_file_name("vendor")
}

/// Standard output; fails the test if the command fails.
fn run(command: &mut Command) -> Vec<u8> {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    output.stdout
}
