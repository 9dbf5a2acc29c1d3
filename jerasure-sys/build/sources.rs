//! Where the C sources are: a folder that the user names, or the pinned package.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The package whose archive carries the C sources, as `vendor/Cargo.toml` names it.
const PACKAGE: &str = "jerasure-sys";

/// What to do when the sources are nowhere; ends every error of this module.
const HELP: &str = "\
To get the C sources, do one of:
  - build once with the registry reachable, or run `cargo fetch --manifest-path vendor/Cargo.toml` where it is;
  - set JERASURE_SRC to a folder that holds `jerasure/` and `gf-complete/`, best by its absolute path;
  - enable the feature `system` and install the distribution's library (Debian: libjerasure-dev).";

/// The two source trees.
pub(crate) struct Sources {
    pub(crate) jerasure: PathBuf,
    pub(crate) gf_complete: PathBuf,
}

impl Sources {
    /// `JERASURE_SRC` if it is set, else the package that `vendor/Cargo.lock` pins.
    pub(crate) fn find() -> Result<Self, String> {
        println!("cargo:rerun-if-env-changed=JERASURE_SRC");
        match env::var_os("JERASURE_SRC").filter(|value| !value.is_empty()) {
            Some(folder) => named_folder(Path::new(&folder))
                .and_then(|folder| Self::in_folder(&folder))
                .map_err(|error| format!("JERASURE_SRC: {error}\n{HELP}")),
            None => pinned_package()
                .and_then(|package| Self::in_folder(&package.join("vendor")))
                .map_err(|error| format!("{error}\n{HELP}")),
        }
    }

    fn in_folder(folder: &Path) -> Result<Self, String> {
        let sources = Self {
            jerasure: folder.join("jerasure"),
            gf_complete: folder.join("gf-complete"),
        };
        for file in [
            sources.jerasure.join("include/jerasure.h"),
            sources.gf_complete.join("include/gf_complete.h"),
        ] {
            if !file.is_file() {
                return Err(format!("{} is missing", file.display()));
            }
        }
        for tree in [&sources.jerasure, &sources.gf_complete] {
            for part in ["include", "src"] {
                println!("cargo:rerun-if-changed={}", tree.join(part).display());
            }
        }
        Ok(sources)
    }

    /// The folders of the public headers.
    pub(crate) fn include_folders(&self) -> [PathBuf; 2] {
        [
            self.jerasure.join("include"),
            self.gf_complete.join("include"),
        ]
    }
}

/// The folder that the user named. Cargo runs this program in the package's folder and does not tell where the user
/// is, so a relative path starts at the workspace.
fn named_folder(folder: &Path) -> Result<PathBuf, String> {
    let workspace = Path::new(&env_var("CARGO_MANIFEST_DIR")?).join("..");
    let path = workspace.join(folder);
    path.canonicalize().map_err(|error| {
        let tried = workspace
            .canonicalize()
            .map_or_else(|_| path.clone(), |workspace| workspace.join(folder));
        format!(
            "cannot open {}: {error} (relative paths start at the workspace)",
            tried.display()
        )
    })
}

/// Asks Cargo where the pinned package was unpacked; Cargo downloads and checks it first if it must.
fn pinned_package() -> Result<PathBuf, String> {
    let manifest = vendor_manifest()?;
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "metadata",
            "--locked",
            "--format-version",
            "1",
            "--manifest-path",
        ])
        .arg(&manifest)
        // Not the outer build's wrappers, flags and jobserver: this Cargo compiles nothing.
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_MAKEFLAGS")
        .env_remove("MAKEFLAGS")
        // The outer build holds the lock of its own target folder; never share that.
        .env(
            "CARGO_TARGET_DIR",
            Path::new(&env_var("OUT_DIR")?).join("metadata"),
        )
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run cargo to find the C sources: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "cargo could not fetch the pinned package `{PACKAGE}` that carries the C sources:\n{}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        ));
    }
    package_folder(&output.stdout)
}

/// `vendor/Cargo.toml` of this workspace; a change of the pin builds anew.
fn vendor_manifest() -> Result<PathBuf, String> {
    let vendor = Path::new(&env_var("CARGO_MANIFEST_DIR")?).join("../vendor");
    let manifest = vendor.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(format!(
            "{} is missing: build inside the workspace",
            manifest.display()
        ));
    }
    println!("cargo:rerun-if-changed={}", manifest.display());
    println!(
        "cargo:rerun-if-changed={}",
        vendor.join("Cargo.lock").display()
    );
    Ok(manifest)
}

/// The folder of the pinned package in the output of `cargo metadata`.
fn package_folder(metadata: &[u8]) -> Result<PathBuf, String> {
    let metadata: serde_json::Value = serde_json::from_slice(metadata)
        .map_err(|error| format!("cannot read the output of `cargo metadata`: {error}"))?;
    metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|package| package["name"] == PACKAGE)
        .and_then(|package| package["manifest_path"].as_str())
        .and_then(|manifest| Path::new(manifest).parent())
        .map(Path::to_path_buf)
        .ok_or_else(|| format!("vendor/Cargo.toml does not name the package `{PACKAGE}`"))
}

fn env_var(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("{name} is not set: build with cargo"))
}
