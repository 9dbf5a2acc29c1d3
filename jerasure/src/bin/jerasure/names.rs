//! The names of an encoding's files, as upstream's programs make them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Ends the metadata file's name.
const METADATA: &str = "_meta.txt";

/// A folder, and a file name in two halves: before its first dot, and from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    folder: PathBuf,
    stem: OsString,
    extension: OsString,
}

impl Names {
    /// The names in `folder` for a file called `name`, without any folder of its own.
    pub(crate) fn new(folder: &Path, name: &OsStr) -> Self {
        let (stem, extension) = split_at_dot(name);
        Self {
            folder: folder.to_path_buf(),
            stem,
            extension,
        }
    }

    /// The same with another extension: empty, or from the dot on.
    pub(crate) fn with_extension(self, extension: OsString) -> Self {
        Self { extension, ..self }
    }

    /// Where the files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file's name before the first dot.
    pub(crate) fn stem(&self) -> &OsStr {
        &self.stem
    }

    /// The file's name from the first dot on, or nothing.
    pub(crate) fn extension(&self) -> &OsStr {
        &self.extension
    }

    /// The metadata file: `NAME_meta.txt`, whatever the extension.
    pub(crate) fn metadata(&self) -> PathBuf {
        let mut name = self.stem.clone();
        name.push(METADATA);
        self.folder.join(name)
    }

    /// A piece: `NAME_k1.EXT` to `NAME_kK.EXT` for data, `NAME_m1.EXT` and on for coding, counted from 1 and padded with
    /// zeros to the digits of k.
    pub(crate) fn piece(&self, k: usize, index: usize) -> PathBuf {
        let digits = k.to_string().len();
        let (kind, number) = if index < k {
            ('k', index + 1)
        } else {
            ('m', index - k + 1)
        };
        self.with_suffix(&format!("_{kind}{number:0digits$}"))
    }

    /// Where upstream's `decoder` writes: `NAME_decoded.EXT`.
    pub(crate) fn decoded(&self) -> PathBuf {
        self.with_suffix("_decoded")
    }

    /// The extension that a file name has if it is a piece of this stem.
    pub(crate) fn extension_of_piece(&self, name: &OsStr) -> Option<OsString> {
        let rest = bytes(name).strip_prefix(bytes(&self.stem))?;
        let rest = rest
            .strip_prefix(b"_k")
            .or_else(|| rest.strip_prefix(b"_m"))?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let extension = &rest[digits..];
        (digits > 0 && (extension.is_empty() || extension[0] == b'.'))
            .then(|| from_bytes(extension))
    }

    fn with_suffix(&self, suffix: &str) -> PathBuf {
        let mut name = self.stem.clone();
        name.push(suffix);
        name.push(&self.extension);
        self.folder.join(name)
    }
}

/// The stem of a metadata file's name.
pub(crate) fn stem_of_metadata(name: &OsStr) -> Option<OsString> {
    bytes(name)
        .strip_suffix(METADATA.as_bytes())
        .map(from_bytes)
}

/// The bytes of a name, as upstream's metadata holds them.
pub(crate) fn bytes(name: &OsStr) -> &[u8] {
    name.as_bytes()
}

/// A name of bytes, which come from a name or from metadata.
pub(crate) fn from_bytes(bytes: &[u8]) -> OsString {
    OsStr::from_bytes(bytes).to_os_string()
}

/// A name before its first dot, and from it on.
pub(crate) fn split_at_dot(name: &OsStr) -> (OsString, OsString) {
    let name = bytes(name);
    let dot = name.iter().position(|&byte| byte == b'.');
    let (stem, extension) = name.split_at(dot.unwrap_or(name.len()));
    (from_bytes(stem), from_bytes(extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(name: &str) -> Names {
        Names::new(Path::new("Coding"), OsStr::new(name))
    }

    #[test]
    fn names_are_upstreams() {
        let tar = names("a.tar.gz");
        assert_eq!(tar.piece(3, 0), Path::new("Coding/a_k1.tar.gz"));
        assert_eq!(tar.piece(3, 4), Path::new("Coding/a_m2.tar.gz"));
        assert_eq!(tar.piece(10, 9), Path::new("Coding/a_k10.tar.gz"));
        assert_eq!(tar.piece(10, 10), Path::new("Coding/a_m01.tar.gz"));
        assert_eq!(tar.piece(3, 14), Path::new("Coding/a_m12.tar.gz"));
        assert_eq!(tar.metadata(), Path::new("Coding/a_meta.txt"));
        assert_eq!(tar.decoded(), Path::new("Coding/a_decoded.tar.gz"));
        assert_eq!(names("plain").piece(1, 0), Path::new("Coding/plain_k1"));
        assert_eq!(
            names(".profile").piece(1, 0),
            Path::new("Coding/_k1.profile")
        );
    }

    #[test]
    fn pieces_tell_their_extension() {
        let names = names("a.txt");
        let of = |name: &str| names.extension_of_piece(OsStr::new(name));
        assert_eq!(of("a_k1.txt"), Some(".txt".into()));
        assert_eq!(of("a_m12.tar.gz"), Some(".tar.gz".into()));
        assert_eq!(of("a_k1"), Some("".into()));
        for other in [
            "a_k.txt",
            "a_k1_k1.txt",
            "b_k1.txt",
            "a_x1.txt",
            "a_k1x.txt",
            "a_meta.txt",
            "a",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn metadata_tells_the_stem() {
        assert_eq!(stem_of_metadata(OsStr::new("a_meta.txt")), Some("a".into()));
        assert_eq!(stem_of_metadata(OsStr::new("_meta.txt")), Some("".into()));
        assert_eq!(stem_of_metadata(OsStr::new("a_meta.txt.old")), None);
    }
}
