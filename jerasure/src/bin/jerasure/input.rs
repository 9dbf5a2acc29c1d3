//! Regular files, and nothing else, opened for reading.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{Error, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc::O_NONBLOCK;

/// Opens a regular file and tells what it is, of the file that was opened.
///
/// # Errors
/// As the operating system says, and for what is no regular file.
pub(crate) fn open(path: &Path) -> Result<(File, Metadata)> {
    // Asked before opening, because opening some devices does something.
    if !fs::metadata(path)?.is_file() {
        return Err(not_regular());
    }
    // Another file may have come to the path since. Opening a pipe would wait for a writer.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(not_regular());
    }
    Ok((file, metadata))
}

fn not_regular() -> Error {
    Error::other("not a regular file")
}
