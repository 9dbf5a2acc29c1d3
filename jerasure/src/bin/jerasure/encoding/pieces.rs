//! The pieces of an encoding, opened.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::input;

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

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    /// Keeps those of the right length.
    pub(super) fn new(states: Vec<State>, piece_bytes: u64) -> Self {
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
        Self {
            files,
            lost,
            piece_bytes,
        }
    }

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

    /// Bytes of all that are not lost, for showing progress: as many as there can be if there are more.
    pub(crate) fn total_bytes(&self) -> u64 {
        let present = self.files.len() - self.lost.len();
        self.piece_bytes.saturating_mul(present as u64)
    }

    /// Fills the buffer with the part of a piece, which is not lost, that starts at `offset`.
    pub(super) fn read(&mut self, index: usize, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let file = self.files[index].as_mut().expect("the piece is not lost");
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(buffer)
    }
}

/// What is at a piece's path.
pub(super) enum State {
    Open { file: File, bytes: u64 },
    Absent,
    Unusable(String),
}

impl State {
    /// The length of an open piece.
    pub(super) fn bytes(&self) -> Option<u64> {
        match self {
            Self::Open { bytes, .. } => Some(*bytes),
            _ => None,
        }
    }

    /// Opens what is there.
    pub(super) fn of(path: &Path) -> Self {
        match input::open(path) {
            Ok((file, metadata)) => Self::Open {
                file,
                bytes: metadata.len(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Absent,
            Err(error) => Self::Unusable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_pieces_of_more_bytes_than_can_be_counted_are_no_overflow() {
        let bytes = i64::MAX as u64;
        let state = || State::Open {
            file: tempfile::tempfile().unwrap(),
            bytes,
        };
        let pieces = Pieces::new(vec![state(), State::Absent, state()], bytes);
        assert_eq!(pieces.total_bytes(), 2 * bytes);
        let pieces = Pieces::new(vec![state(), state(), state()], bytes);
        assert_eq!(pieces.total_bytes(), u64::MAX);
    }
}
