//! Our program with `hook.c` loaded into it, which sees and interferes at chosen moments. For Linux with glibc.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::sandbox::{Ran, Sandbox, ran};

/// Something forced to the disk.
#[derive(Debug)]
pub(crate) struct Sync {
    /// Its name then.
    pub(crate) name: String,
    /// The names in its folder, or in itself if it is one, then. Temporary names are `.part` or `.old`.
    pub(crate) names: Vec<String>,
}

impl Sandbox {
    /// Runs our program with the words of a line and with variables of `hook.c`; gives up after a minute.
    pub(crate) fn hooked(&self, line: &str, variables: &[(&str, &str)]) -> Ran {
        let mut command = Command::new("timeout");
        command.args(["60", env!("CARGO_BIN_EXE_jerasure")]);
        command.args(line.split_ascii_whitespace());
        command.current_dir(self.path("")).env("LD_PRELOAD", hook());
        ran(command.envs(variables.iter().copied()))
    }

    /// Runs our program, which must succeed, and tells what it forced to the disk.
    pub(crate) fn syncs(&self, line: &str) -> Vec<Sync> {
        let log = self.path("syncs.log");
        let ran = self.hooked(line, &[("HOOK_LOG", log.to_str().unwrap())]);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{line}");
        let syncs = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(log);
        syncs.lines().map(Sync::parse).collect()
    }
}

impl Sync {
    fn parse(line: &str) -> Self {
        let (path, names) = line.split_once('\t').unwrap();
        let general = |name: &str| match Path::new(name).extension() {
            Some(extension) if name.starts_with(".jerasure-") => {
                format!(".{}", extension.display())
            }
            _ => name.to_string(),
        };
        Self {
            name: general(Path::new(path).file_name().unwrap().to_str().unwrap()),
            names: names.split_whitespace().map(general).collect(),
        }
    }
}

/// The library, compiled once.
fn hook() -> &'static Path {
    static HOOK: OnceLock<PathBuf> = OnceLock::new();
    HOOK.get_or_init(|| {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/hook.c");
        let fresh = tempfile::tempdir_in(cache).unwrap();
        let made = fresh.path().join("hook.so");
        let mut compiler = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
        compiler.args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"]);
        let compiled = ran(compiler.arg(&made).arg(source).arg("-ldl"));
        assert_eq!(compiled.status, Some(0), "{}", compiled.stderr);
        // Another test run may have it loaded, and keeps what it has.
        let hook = cache.join("hook.so");
        fs::rename(made, &hook).unwrap();
        hook
    })
}
