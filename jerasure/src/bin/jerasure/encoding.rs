//! An encoding on disk: found by a path, its metadata read, its pieces opened and their lengths compared.

mod location;
mod pieces;

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::coder::{Check, Coder};
use crate::input;
use crate::metadata::{MAX_BYTES, Metadata};
use crate::names::Names;
use crate::report;
use crate::scheme::Scheme;

use pieces::{Loss, State};
pub(crate) use pieces::{LostPiece, Pieces, Window};

/// An encoding whose metadata is sound. Its pieces may be lost.
pub(crate) struct Encoding {
    names: Names,
    metadata: Metadata,
}

impl Encoding {
    /// Finds the encoding that a user means by `path`: a folder with one metadata file, a metadata file, or the name of
    /// the encoded file in the folder of its pieces or, as upstream's `decoder` takes it, beside the folder `Coding`.
    pub(crate) fn find(path: &Path) -> Result<Self> {
        let (names, extension_given) = location::locate(path)?;
        let metadata = read_metadata(&names.metadata())?;
        let names = location::choose_extension(names, extension_given, &metadata)?;
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
        let pieces = Pieces::new(states, piece_bytes);
        let lost = pieces.lost();
        if lost.len() > scheme.m() {
            bail!(
                "{} of {} pieces are lost, and {} can be made up for: {}",
                lost.len(),
                scheme.pieces(),
                scheme.m(),
                self.describe(lost)
            );
        }
        Ok(pieces)
    }

    /// Warns of pieces that are there and still count as lost.
    pub(crate) fn warn_of_damage(&self, pieces: &Pieces) {
        for piece in pieces.lost() {
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
                "{} is wrong near byte {place}, if one piece alone is: move it away, and the others make up for it",
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
            .filter_map(State::bytes)
            .filter(|&bytes| self.metadata.allows_piece_bytes(bytes))
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

/// Reads a metadata file.
pub(crate) fn read_metadata(path: &Path) -> Result<Metadata> {
    let read = || -> Result<Metadata> {
        let (file, _) = input::open(path)?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(Metadata::parse(&bytes)?)
    };
    read().with_context(|| format!("cannot use the metadata {}", path.display()))
}
