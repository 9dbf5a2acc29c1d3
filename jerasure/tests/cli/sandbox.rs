//! A folder of its own for each test, and the programs run in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::upstream;

/// Removed at the end.
pub(crate) struct Sandbox(TempDir);

/// What a program did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    /// With a file of so many bytes, always the same.
    pub(crate) fn with(name: &str, bytes: usize) -> Self {
        let sandbox = Self::new();
        fs::write(sandbox.path(name), noise(bytes)).unwrap();
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Names and bytes of the files in a folder; empty if there is none.
    pub(crate) fn files(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else {
            return BTreeMap::new();
        };
        entries
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().unwrap().is_file())
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read(entry.path()).unwrap())
            })
            .collect()
    }

    /// Our program, ready to run here.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jerasure"));
        command.current_dir(self.0.path());
        command
    }

    /// Runs our program with the words of a line.
    pub(crate) fn ours(&self, line: &str) -> Ran {
        ran(self.command().args(line.split_ascii_whitespace()))
    }

    /// Runs our program, which must succeed without a word on standard error.
    pub(crate) fn succeed(&self, line: &str) -> String {
        let ran = self.ours(line);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{line}");
        ran.stdout
    }

    /// Runs our program, which must fail with one line on standard error; gives what follows `jerasure: `.
    pub(crate) fn fail(&self, line: &str, status: i32) -> String {
        let ran = self.ours(line);
        assert_eq!(
            (ran.status, ran.stdout.as_str()),
            (Some(status), ""),
            "{line}: {}",
            ran.stderr
        );
        let message = ran
            .stderr
            .strip_prefix("jerasure: ")
            .and_then(|rest| rest.strip_suffix('\n'));
        let message = message.filter(|message| !message.contains('\n'));
        message
            .unwrap_or_else(|| panic!("{line}: {}", ran.stderr))
            .to_string()
    }

    /// Runs upstream's `encoder FILE k m technique w packetsize buffersize`. Memory that it does not set reads as `0`,
    /// which is what it pads with elsewhere; this works with glibc.
    pub(crate) fn upstream_encode(&self, line: &str) {
        let mut command = Command::new(upstream::encoder());
        command
            .current_dir(self.0.path())
            .args(line.split_ascii_whitespace());
        let ran = ran(command.env("MALLOC_PERTURB_", (b'0' ^ 0xff).to_string()));
        // It also exits with 0 for what it refuses.
        assert_eq!(
            (ran.status, ran.stderr.as_str()),
            (Some(0), ""),
            "encoder {line}"
        );
    }

    /// Runs upstream's `decoder`, which writes `Coding/NAME_decoded.EXT`.
    pub(crate) fn upstream_decode(&self, file: &str) {
        let ran = ran(Command::new(upstream::decoder())
            .current_dir(self.0.path())
            .arg(file));
        assert_eq!(
            (ran.status, ran.stderr.as_str()),
            (Some(0), ""),
            "decoder {file}"
        );
    }

    /// Runs `work` while some files of a folder are away.
    pub(crate) fn without(&self, folder: &str, names: &[String], work: impl FnOnce()) {
        for name in names {
            fs::rename(self.path(folder).join(name), self.path(name)).unwrap();
        }
        work();
        for name in names {
            fs::rename(self.path(name), self.path(folder).join(name)).unwrap();
        }
    }
}

pub(crate) fn ran(command: &mut Command) -> Ran {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    Ran {
        status: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// Bytes without a pattern (xorshift).
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

/// The pieces' names in order.
pub(crate) fn pieces(stem: &str, extension: &str, k: usize, m: usize) -> Vec<String> {
    let digits = k.to_string().len();
    let name = |kind: char, index: usize| format!("{stem}_{kind}{index:0digits$}{extension}");
    let data = (1..=k).map(|index| name('k', index));
    data.chain((1..=m).map(|index| name('m', index))).collect()
}

/// Flips a bit.
pub(crate) fn corrupt(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}
