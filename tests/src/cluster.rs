//! Real clusters of processes for tests.

use fusion_net::local::{LocalCluster, LocalOptions};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// How long a test waits for a recovery before it says what it waited for and fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The `fusion` binary of this build, built now if it is not there or out of date.
///
/// # Panics
/// When it cannot be built.
pub fn binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY
        .get_or_init(|| {
            let test = std::env::current_exe().expect("the test knows its own file");
            let profile = test
                .ancestors()
                .nth(2)
                .expect("target/PROFILE/deps/test")
                .to_owned();
            let mut build = Command::new(env!("CARGO"));
            build.args([
                "build",
                "--quiet",
                "--locked",
                "-p",
                "fusion-net",
                "--bin",
                "fusion",
            ]);
            build
                .arg("--target-dir")
                .arg(profile.parent().expect("a target folder"));
            if profile.ends_with("release") {
                build.arg("--release");
            }
            let status = build
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .status()
                .expect("cargo runs");
            assert!(status.success(), "the fusion binary could not be built");
            profile.join("fusion")
        })
        .clone()
}

/// The options that tests use: quick detection, so that a machine under load is not mistaken for a dead one but a
/// test need not wait long either.
#[must_use]
pub fn options() -> LocalOptions {
    LocalOptions {
        suspect_after: Duration::from_millis(700),
        ..LocalOptions::new(binary())
    }
}

/// Starts a coordinator and servers.
///
/// # Panics
/// When they do not start.
pub async fn start(servers: usize) -> LocalCluster {
    LocalCluster::start(options(), servers)
        .await
        .expect("the cluster starts")
}
