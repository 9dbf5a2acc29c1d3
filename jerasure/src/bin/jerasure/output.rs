//! Files that appear whole or not at all: written under a temporary name beside their place, then renamed.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::{Builder, TempPath};

/// A file being written; gone when dropped before [`NewFile::finish`] and [`Finished::commit`].
pub(crate) struct NewFile {
    file: File,
    temporary: TempPath,
    place: PathBuf,
}

/// A file that is written and closed, and not yet in its place.
pub(crate) struct Finished {
    temporary: TempPath,
    place: PathBuf,
}

impl NewFile {
    /// Starts a file for `place`. It may be read and written by whom `like` allows, never executed.
    pub(crate) fn create(place: PathBuf, like: &fs::Metadata) -> Result<Self> {
        let folder = match place.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut builder = Builder::new();
        builder.prefix(".jerasure-").suffix(".part");
        builder.permissions(plain_permissions(like));
        let (file, temporary) = builder
            .tempfile_in(folder)
            .with_context(|| format!("cannot create a file in {}", folder.display()))?
            .into_parts();
        Ok(Self {
            file,
            temporary,
            place,
        })
    }

    /// Appends.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .with_context(|| format!("cannot write {}", self.place.display()))
    }

    /// Closes it, and reports what the file system only says then.
    pub(crate) fn finish(self) -> Result<Finished> {
        close(self.file).with_context(|| format!("cannot write {}", self.place.display()))?;
        Ok(Finished {
            temporary: self.temporary,
            place: self.place,
        })
    }
}

impl Finished {
    /// Puts it in its place. With `replace`, what is there goes.
    pub(crate) fn commit(self, replace: bool) -> Result<PathBuf> {
        let placed = if replace {
            self.temporary.persist(&self.place)
        } else {
            self.temporary.persist_noclobber(&self.place)
        };
        placed.with_context(|| format!("cannot create {}", self.place.display()))?;
        Ok(self.place)
    }
}

/// Where a decoded file goes.
pub(crate) enum Output {
    /// A regular file, new or replaced.
    File(NewFile),
    /// A device, a pipe, standard output or the like: written in place.
    Special(File, PathBuf),
}

impl Output {
    /// Opens `place`; `-` is standard output. A link is followed. An existing file keeps its permissions; a new one gets
    /// those of `like`.
    pub(crate) fn open(place: &Path, like: &fs::Metadata) -> Result<Self> {
        if place.as_os_str() == "-" {
            // Not the buffered handle, which looks for line ends.
            let stdout = io::stdout().as_fd().try_clone_to_owned()?;
            return Ok(Self::Special(stdout.into(), "standard output".into()));
        }
        match fs::metadata(place) {
            Ok(there) if there.is_dir() => bail!("{} is a folder: name a file", place.display()),
            Ok(there) if there.is_file() => {
                let place = place
                    .canonicalize()
                    .with_context(|| format!("cannot find {}", place.display()))?;
                Ok(Self::File(NewFile::create(place, &there)?))
            }
            Ok(_) => {
                let file = OpenOptions::new().write(true).open(place);
                let file = file.with_context(|| format!("cannot open {}", place.display()))?;
                Ok(Self::Special(file, place.to_path_buf()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Self::File(NewFile::create(place.to_path_buf(), like)?))
            }
            Err(error) => Err(error).with_context(|| format!("cannot use {}", place.display())),
        }
    }

    /// Appends.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Special(file, place) => file
                .write_all(bytes)
                .with_context(|| format!("cannot write {}", place.display())),
        }
    }

    /// Closes it and puts it in its place.
    pub(crate) fn finish(self) -> Result<()> {
        match self {
            Self::File(file) => file.finish()?.commit(true).map(drop),
            Self::Special(file, place) => {
                close(file).with_context(|| format!("cannot write {}", place.display()))
            }
        }
    }
}

/// The folder that files go to, made if it must be; goes again if it was made here and stays empty.
pub(crate) struct Folder {
    path: PathBuf,
    made: bool,
}

impl Folder {
    /// Makes the folder unless it is there; its parent must be.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let made = match fs::create_dir(path) {
            Ok(()) => true,
            Err(_) if path.is_dir() => false,
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot make the folder {}", path.display()));
            }
        };
        Ok(Self {
            path: path.to_path_buf(),
            made,
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.made {
            // Fails if something is in it, which is the point.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Who may read and write `like` may read and write the new file; the umask still applies.
fn plain_permissions(like: &fs::Metadata) -> Permissions {
    Permissions::from_mode(like.permissions().mode() & 0o666)
}

/// The standard library closes without a word.
fn close(file: File) -> io::Result<()> {
    nix::unistd::close(file).map_err(io::Error::from)
}
