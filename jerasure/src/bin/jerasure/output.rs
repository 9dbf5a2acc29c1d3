//! Files that appear whole or not at all: written under a temporary name beside their place, forced to the disk, then
//! renamed.

mod placed;

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::{Builder, TempPath};

pub(crate) use placed::Placed;

/// A chain of more links is a circle.
const MAX_LINKS: usize = 40;

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
        let folder = folder_of(&place);
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

    /// Forces it to the disk and closes it, and reports what the file system only says then.
    pub(crate) fn finish(self) -> Result<Finished> {
        sync(&self.file)
            .and_then(|()| close(self.file))
            .with_context(|| format!("cannot write {}", self.place.display()))?;
        Ok(Finished {
            temporary: self.temporary,
            place: self.place,
        })
    }
}

impl Finished {
    /// Puts it in its place. With `replace`, what is there goes.
    fn commit(self, replace: bool) -> Result<PathBuf> {
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
    /// Opens `place`; `-` is standard output. A link is followed, even to a file that is not there. An existing file
    /// keeps its permissions; a new one gets those of `like`.
    pub(crate) fn open(place: &Path, like: &fs::Metadata) -> Result<Self> {
        if place.as_os_str() == "-" {
            // Not the buffered handle, which looks for line ends.
            let stdout = io::stdout().as_fd().try_clone_to_owned()?;
            return Ok(Self::Special(stdout.into(), "standard output".into()));
        }
        match fs::metadata(place) {
            Ok(there) if there.is_dir() => bail!("{} is a folder: name a file", place.display()),
            Ok(there) if there.is_file() => {
                Ok(Self::File(NewFile::create(destination(place)?, &there)?))
            }
            Ok(_) => {
                let file = OpenOptions::new().write(true).open(place);
                let file = file.with_context(|| format!("cannot open {}", place.display()))?;
                Ok(Self::Special(file, place.to_path_buf()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Self::File(NewFile::create(destination(place)?, like)?))
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
            Self::File(file) => {
                let place = file.finish()?.commit(true)?;
                sync_folder(folder_of(&place))
            }
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

    /// Forces the names in the folder to the disk, and its own name if it was made here.
    pub(crate) fn sync(&self) -> Result<()> {
        sync_folder(&self.path)?;
        if self.made {
            sync_folder(folder_of(&self.path))?;
        }
        Ok(())
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

/// The file that writing to `place` makes or changes, with all links followed, whether it is there or not.
pub(crate) fn destination(place: &Path) -> Result<PathBuf> {
    let cannot = || format!("cannot use {}", place.display());
    let mut path = place.to_path_buf();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            // A target that is not absolute starts from the link's folder.
            Ok(target) => path = path.with_file_name(target),
            Err(_) => {
                let Some(name) = path.file_name() else {
                    return path.canonicalize().with_context(cannot);
                };
                return match folder_of(&path).canonicalize() {
                    Ok(folder) => Ok(folder.join(name)),
                    // What is wrong with the folder is said when a file is made in it.
                    Err(_) => Ok(path),
                };
            }
        }
    }
    bail!("{} is a link in a circle", place.display())
}

/// Forces the names in a folder to the disk.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    match File::open(folder) {
        // One may write to a folder without reading it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        opened => opened.and_then(|folder| sync(&folder)),
    }
    .with_context(|| format!("cannot force {} to the disk", folder.display()))
}

/// The folder that a file is in; not empty.
fn folder_of(place: &Path) -> &Path {
    match place.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Who may read and write `like` may read and write the new file; the umask still applies.
fn plain_permissions(like: &fs::Metadata) -> Permissions {
    Permissions::from_mode(like.permissions().mode() & 0o666)
}

/// Not every file system can force something to the disk, above all folders.
fn sync(file: &File) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, Unsupported};
    match file.sync_all() {
        Err(error) if matches!(error.kind(), InvalidInput | Unsupported) => Ok(()),
        outcome => outcome,
    }
}

/// The standard library closes without a word.
fn close(file: File) -> io::Result<()> {
    nix::unistd::close(file).map_err(io::Error::from)
}
