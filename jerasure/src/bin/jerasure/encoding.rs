//! An encoding on disk: found by a path, its metadata read, its pieces opened and their lengths compared.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::coder::{Check, Coder};
use crate::metadata::{MAX_BYTES, Metadata};
use crate::names::{self, Names};
use crate::report;
use crate::scheme::Scheme;

/// An encoding whose metadata is sound. Its pieces may be lost.
pub(crate) struct Encoding {
    names: Names,
    metadata: Metadata,
}

impl Encoding {
    /// Finds the encoding that a user means by `path`: a folder with one metadata file, a metadata file, or the name of
    /// the encoded file in the folder of its pieces or, as upstream's `decoder` takes it, beside the folder `Coding`.
    pub(crate) fn find(path: &Path) -> Result<Self> {
        let (names, extension_given) = locate(path)?;
        let metadata = read_metadata(&names.metadata())?;
        let names = choose_extension(names, extension_given, &metadata)?;
        Ok(Self { names, metadata })
    }

    /// The names of its files.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// What the metadata says.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The code.
    pub(crate) fn scheme(&self) -> Scheme {
        self.metadata.scheme()
    }

    /// Where a piece is, or would be.
    pub(crate) fn piece_path(&self, index: usize) -> PathBuf {
        self.names.piece(self.scheme().k(), index)
    }

    /// A piece's file name, for messages.
    pub(crate) fn piece_name(&self, index: usize) -> String {
        let path = self.piece_path(index);
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// Opens the pieces. Those of another length than the metadata allows, or than the others have, count as lost.
    ///
    /// # Errors
    /// If fewer than k are left; says what is wrong with each of the others.
    pub(crate) fn open_pieces(&self) -> Result<Pieces> {
        let scheme = self.scheme();
        let states: Vec<State> = (0..scheme.pieces())
            .map(|index| State::of(&self.piece_path(index)))
            .collect();
        let piece_bytes = match self.metadata.piece_bytes() {
            Some(bytes) => bytes,
            None => self.vote(&states)?,
        };
        let mut files = Vec::with_capacity(states.len());
        let mut lost = Vec::new();
        for (index, state) in states.into_iter().enumerate() {
            let why = match state {
                State::Open { file, bytes } if bytes == piece_bytes => {
                    files.push(Some(file));
                    continue;
                }
                State::Open { bytes, .. } => Loss::Length {
                    bytes,
                    expected: piece_bytes,
                },
                State::Absent => Loss::Missing,
                State::Unusable(error) => Loss::Unusable(error),
            };
            files.push(None);
            lost.push(LostPiece { index, why });
        }
        if lost.len() > scheme.m() {
            bail!(
                "{} of {} pieces are lost, and {} can be made up for: {}",
                lost.len(),
                scheme.pieces(),
                scheme.m(),
                self.describe(&lost)
            );
        }
        Ok(Pieces {
            files,
            lost,
            piece_bytes,
        })
    }

    /// Warns of pieces that are there and still count as lost.
    pub(crate) fn warn_of_damage(&self, pieces: &Pieces) {
        for piece in &pieces.lost {
            if !matches!(piece.why, Loss::Missing) {
                report::warn(format_args!(
                    "{} {} and counts as missing",
                    self.piece_path(piece.index).display(),
                    piece.why
                ));
            }
        }
    }

    /// Reads a window of the pieces in `which`; all buffers get the window's length.
    pub(crate) fn read(
        &self,
        pieces: &mut Pieces,
        which: &[usize],
        window: Window,
        buffers: &mut [Vec<u8>],
    ) -> Result<()> {
        for buffer in buffers.iter_mut() {
            buffer.resize(window.bytes, 0);
        }
        for &index in which {
            pieces
                .read(index, window.offset, &mut buffers[index])
                .with_context(|| format!("cannot read {}", self.piece_path(index).display()))?;
        }
        Ok(())
    }

    /// Refuses a window in which pieces contradict each other; all but the lost ones must have been read.
    pub(crate) fn require_agreement(
        &self,
        coder: &Coder,
        buffers: &mut [Vec<u8>],
        lost: &[usize],
        window: Window,
    ) -> Result<()> {
        let Check::Disagree { at } = coder.check(buffers, lost)? else {
            return Ok(());
        };
        let place = window.offset + at as u64;
        match coder.culprit(buffers, lost)? {
            Some(index) => bail!(
                "{} is wrong near byte {place}: remove it, and the others make up for it",
                self.piece_name(index)
            ),
            None => bail!(
                "the pieces contradict each other near byte {place}, and it is not clear which is wrong"
            ),
        }
    }

    /// Lost pieces and what is wrong with each, in one line.
    pub(crate) fn describe(&self, lost: &[LostPiece]) -> String {
        const SHOWN: usize = 8;
        let mut parts: Vec<String> = lost
            .iter()
            .take(SHOWN)
            .map(|piece| format!("{} {}", self.piece_name(piece.index), piece.why))
            .collect();
        if lost.len() > SHOWN {
            parts.push(format!("and {} more", lost.len() - SHOWN));
        }
        parts.join(", ")
    }

    /// The length that most pieces have, among those that the metadata allows.
    fn vote(&self, states: &[State]) -> Result<u64> {
        let mut lengths: Vec<u64> = states
            .iter()
            .filter_map(|state| match state {
                State::Open { bytes, .. } if self.metadata.allows_piece_bytes(*bytes) => {
                    Some(*bytes)
                }
                _ => None,
            })
            .collect();
        lengths.sort_unstable();
        let mut votes: Vec<(usize, u64)> = lengths
            .chunk_by(|a, b| a == b)
            .map(|equal| (equal.len(), equal[0]))
            .collect();
        votes.sort_unstable_by(|a, b| b.cmp(a));
        match votes[..] {
            [(most, a), (next, b), ..] if most == next => bail!(
                "pieces of {a} and of {b} bytes are equally many: remove those that are not of this encoding"
            ),
            [(_, bytes), ..] => Ok(bytes),
            // Nothing fits; any length that fits shows what is wrong with each piece.
            [] => {
                let least = self.metadata.size().div_ceil(self.scheme().k() as u64);
                let whole = least.checked_next_multiple_of(self.scheme().step());
                Ok(whole.unwrap_or(least))
            }
        }
    }
}

/// Why a piece counts as lost.
#[derive(Debug)]
pub(crate) enum Loss {
    /// There is no such file.
    Missing,
    /// It is truncated, or longer than the others.
    Length {
        /// Its bytes.
        bytes: u64,
        /// The others' bytes.
        expected: u64,
    },
    /// It cannot be opened, or is no regular file.
    Unusable(String),
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::Length { bytes, expected } => {
                let how = if bytes < expected {
                    "truncated"
                } else {
                    "too long"
                };
                write!(f, "is {how} ({bytes} bytes instead of {expected})")
            }
            Self::Unusable(error) => write!(f, "cannot be used ({error})"),
        }
    }
}

/// A piece that counts as lost.
#[derive(Debug)]
pub(crate) struct LostPiece {
    pub(crate) index: usize,
    pub(crate) why: Loss,
}

/// A part of all pieces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// Where it starts in each piece.
    pub(crate) offset: u64,
    /// Its length in each piece.
    pub(crate) bytes: usize,
}

/// The pieces of an encoding, at least k of them open and all of one length.
pub(crate) struct Pieces {
    files: Vec<Option<File>>,
    lost: Vec<LostPiece>,
    piece_bytes: u64,
}

impl Pieces {
    /// Those that count as lost, in order.
    pub(crate) fn lost(&self) -> &[LostPiece] {
        &self.lost
    }

    /// The indices of the lost.
    pub(crate) fn lost_indices(&self) -> Vec<usize> {
        self.lost.iter().map(|piece| piece.index).collect()
    }

    /// Bytes of every piece.
    pub(crate) fn piece_bytes(&self) -> u64 {
        self.piece_bytes
    }

    /// Fills the buffer with the part of a piece, which is not lost, that starts at `offset`.
    fn read(&mut self, index: usize, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let file = self.files[index].as_mut().expect("the piece is not lost");
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(buffer)
    }
}

/// What is at a piece's path.
enum State {
    Open { file: File, bytes: u64 },
    Absent,
    Unusable(String),
}

impl State {
    fn of(path: &Path) -> Self {
        // Asked before opening, because opening a pipe waits for a writer.
        let opened = fs::metadata(path).and_then(|metadata| {
            if metadata.is_file() {
                File::open(path).map(|file| Some((file, metadata.len())))
            } else {
                Ok(None)
            }
        });
        match opened {
            Ok(Some((file, bytes))) => Self::Open { file, bytes },
            Ok(None) => Self::Unusable("not a regular file".into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Absent,
            Err(error) => Self::Unusable(error.to_string()),
        }
    }
}

/// The folder and stem that `path` means, and whether it also gives the extension.
fn locate(path: &Path) -> Result<(Names, bool)> {
    if path.is_dir() {
        return Ok((only_metadata(path)?, false));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let Some(name) = path.file_name() else {
        bail!("{} is neither a folder nor a name", path.display());
    };
    if let Some(stem) = names::stem_of_metadata(name).filter(|_| path.is_file()) {
        return Ok((Names::new(folder, &stem), false));
    }
    let beside = Names::new(folder, name);
    let below = Names::new(&folder.join("Coding"), name);
    for names in [&beside, &below] {
        if names.metadata().exists() {
            return Ok((names.clone(), !names.extension().is_empty()));
        }
    }
    bail!(
        "there is no encoding of {}: neither {} nor {} is there",
        path.display(),
        beside.metadata().display(),
        below.metadata().display()
    )
}

/// The one metadata file of a folder.
fn only_metadata(folder: &Path) -> Result<Names> {
    let mut found: Vec<(OsString, Names)> = Vec::new();
    for entry in list(folder)? {
        if let Some(stem) = names::stem_of_metadata(&entry) {
            // A stem never has a dot.
            if names::split_at_dot(&stem).1.is_empty() {
                found.push((entry, Names::new(folder, &stem)));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    match &found[..] {
        [] => bail!(
            "{} holds no metadata file (NAME_meta.txt)",
            folder.display()
        ),
        [(_, names)] => Ok(names.clone()),
        [(first, _), (second, _), ..] => bail!(
            "{} holds {} metadata files: name one, such as {} or {}",
            folder.display(),
            found.len(),
            folder.join(first).display(),
            folder.join(second).display()
        ),
    }
}

fn read_metadata(path: &Path) -> Result<Metadata> {
    let read = || -> Result<Metadata> {
        if !fs::metadata(path)?.is_file() {
            bail!("it is not a regular file");
        }
        let mut bytes = Vec::new();
        File::open(path)?
            .take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)?;
        Ok(Metadata::parse(&bytes)?)
    };
    read().with_context(|| format!("cannot use the metadata {}", path.display()))
}

/// Fills in the extension from the pieces that are there, where the user did not give it. The name in the metadata only
/// chooses among several.
fn choose_extension(names: Names, given: bool, metadata: &Metadata) -> Result<Names> {
    if given {
        return Ok(names);
    }
    let mut extensions: Vec<OsString> = list(names.folder())?
        .iter()
        .filter_map(|entry| names.extension_of_piece(entry))
        .collect();
    extensions.sort();
    extensions.dedup();
    let recorded = metadata.name().rsplit(|&byte| byte == b'/').next();
    let recorded = names::split_at_dot(&names::from_bytes(recorded.unwrap_or_default())).1;
    let extension = match &extensions[..] {
        [] => bail!(
            "no piece of {} is in {}",
            names.stem().display(),
            show(names.folder()).display()
        ),
        [only] => only.clone(),
        several if several.contains(&recorded) => recorded,
        [first, second, ..] => bail!(
            "pieces {0}_k*{1} and {0}_k*{2} are both there: name the file with its extension",
            names.stem().display(),
            first.display(),
            second.display()
        ),
    };
    Ok(names.with_extension(extension))
}

fn list(folder: &Path) -> Result<Vec<OsString>> {
    let folder = show(folder);
    fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.file_name()))
                .collect()
        })
        .with_context(|| format!("cannot list {}", folder.display()))
}

/// The empty path is the working folder.
fn show(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    }
}
