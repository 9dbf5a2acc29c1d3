//! The code of a cluster: which coefficient each primary has in each fused structure, and how losses are solved for.

use crate::id::{PrimaryIndex, Row};
use crate::limits::MAX_MEMBERS;
use jerasure::{CodeParams, Codec, Multiplier, Technique};
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

pub use jerasure::WordSize;

/// A Reed-Solomon code (systematic Vandermonde) for n primaries and f fused structures. Cheap to clone.
///
/// Fused structure i holds the sum over j of `coefficient(i, j) * primary j`, word by word (sections 4.1 and 5.6, Figure 4 of the
/// paper). With one primary all coefficients are 1, which is plain replication. With f = 0 there is nothing coded
/// and nothing can be recovered.
#[derive(Clone)]
pub struct Code {
    shape: Arc<Shape>,
}

struct Shape {
    n: usize,
    f: usize,
    word: WordSize,
    /// `None` when f = 0.
    codec: Option<Codec>,
}

/// Why there is no such code, or no such part of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CodeError {
    /// A cluster has at least one primary.
    #[error("a cluster needs at least one primary")]
    NoPrimaries,
    /// More members than allowed.
    #[error("{members} members are too many; at most {max} are allowed with these words")]
    TooManyMembers {
        /// The members asked for.
        members: usize,
        /// The limit.
        max: usize,
    },
    /// No primary of that index.
    #[error("there is no primary {primary}; the cluster has {primaries}")]
    NoSuchPrimary {
        /// The index given.
        primary: PrimaryIndex,
        /// The number of primaries.
        primaries: usize,
    },
    /// No fused structure of that row.
    #[error("there is no fused structure {row}; the cluster has {rows}")]
    NoSuchRow {
        /// The row given.
        row: Row,
        /// The number of fused structures.
        rows: usize,
    },
    /// `JERASURE_ENGINE` names no engine, or one that this machine has not.
    #[error("JERASURE_ENGINE: {reason}")]
    NoEngine {
        /// What the coding library says of it.
        reason: jerasure::Error,
    },
    /// The code was refused by the coding library.
    #[error(transparent)]
    Coding(#[from] jerasure::Error),
}

/// Says whether this process can code at all: the engine that `JERASURE_ENGINE` names is known and this machine has it.
/// Ask before members are hosted, since without codes none of them could be made.
///
/// # Errors
/// [`CodeError::NoEngine`], with what the variable says and what it may say.
pub fn check_engine() -> Result<(), CodeError> {
    match jerasure::Engine::selected() {
        Ok(_) => Ok(()),
        Err(reason) => Err(CodeError::NoEngine { reason }),
    }
}

impl Code {
    /// The code for `n` primaries and `f` fused structures: 8-bit words up to 256 members, 16-bit words above.
    ///
    /// # Errors
    /// [`CodeError`] if `n` is 0 or there are more than [`MAX_MEMBERS`] members.
    pub fn new(n: usize, f: usize) -> Result<Code, CodeError> {
        let members = n.saturating_add(f);
        Code::with_word(
            n,
            f,
            if members <= 256 {
                WordSize::W8
            } else {
                WordSize::W16
            },
        )
    }

    /// The same with words of a given size; the paper's values have 16-bit words.
    ///
    /// # Errors
    /// [`CodeError`] as above, or if there are more members than the word size allows. Slots are not multiples of
    /// 32-bit words in changes, so other words than of 8 and 16 bits are refused.
    pub fn with_word(n: usize, f: usize, word: WordSize) -> Result<Code, CodeError> {
        let max = match word {
            WordSize::W8 => 256,
            WordSize::W16 => MAX_MEMBERS,
            _ => 0,
        };
        let members = n.saturating_add(f);
        if n == 0 {
            return Err(CodeError::NoPrimaries);
        }
        if members > max {
            return Err(CodeError::TooManyMembers { members, max });
        }
        let codec = match f {
            0 => None,
            _ => Some(Codec::new(
                Technique::ReedSolVan,
                CodeParams::new(n, f, word)?,
            )?),
        };
        Ok(Code {
            shape: Arc::new(Shape { n, f, word, codec }),
        })
    }

    /// The number of primaries.
    #[must_use]
    pub fn primaries(&self) -> usize {
        self.shape.n
    }

    /// The number of fused structures: so many losses are survived.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.shape.f
    }

    /// The size of the words that are coded.
    #[must_use]
    pub fn word(&self) -> WordSize {
        self.shape.word
    }

    /// What primary `primary` is multiplied by in fused structure `row`.
    ///
    /// # Errors
    /// [`CodeError`] if there is no such primary or row.
    pub fn coefficient(&self, row: Row, primary: PrimaryIndex) -> Result<u32, CodeError> {
        self.check_primary(primary)?;
        Ok(self.codec(row)?.coefficient(row.index(), primary.index()))
    }

    /// Multiplication by that coefficient, prepared.
    pub(crate) fn multiplier(
        &self,
        row: Row,
        primary: PrimaryIndex,
    ) -> Result<Multiplier, CodeError> {
        self.check_primary(primary)?;
        Ok(self
            .codec(row)?
            .multiplier(row.index(), primary.index())
            .clone())
    }

    /// Multiplication by any element, prepared.
    pub(crate) fn prepare(&self, coefficient: u32) -> Result<Multiplier, CodeError> {
        Ok(Multiplier::new(self.shape.word, coefficient)?)
    }

    /// The product of two elements.
    pub(crate) fn product(&self, a: u32, b: u32) -> Result<u32, CodeError> {
        Ok(jerasure::galois::multiply(self.shape.word, a, b)?)
    }

    /// By what the sources are multiplied so that their sum is the lost primary `target`.
    ///
    /// `lost` are all lost primaries, `rows` as many fused structures; the sources are the primaries that are not lost,
    /// in order, then the rows in the order given. All were checked by the caller.
    pub(crate) fn reconstruction(
        &self,
        lost: &[PrimaryIndex],
        rows: &[Row],
        target: PrimaryIndex,
    ) -> Result<Vec<u32>, CodeError> {
        let Some(codec) = &self.shape.codec else {
            unreachable!("without fused structures no row was chosen");
        };
        let lost: Vec<usize> = lost.iter().map(|lost| lost.index()).collect();
        let survivors = (0..self.shape.n).filter(|primary| !lost.contains(primary));
        let chosen = rows.iter().map(|row| self.shape.n + row.index());
        let sources: Vec<usize> = survivors.chain(chosen).collect();
        let solved = codec.reconstruction(&lost, &sources)?;
        let position = lost.iter().position(|&lost| lost == target.index());
        let position = position.expect("the target is one of the lost");
        Ok(solved.row(position).to_vec())
    }

    pub(crate) fn check_primary(&self, primary: PrimaryIndex) -> Result<(), CodeError> {
        if primary.index() < self.shape.n {
            return Ok(());
        }
        Err(CodeError::NoSuchPrimary {
            primary,
            primaries: self.shape.n,
        })
    }

    pub(crate) fn check_row(&self, row: Row) -> Result<(), CodeError> {
        self.codec(row).map(drop)
    }

    fn codec(&self, row: Row) -> Result<&Codec, CodeError> {
        match &self.shape.codec {
            Some(codec) if row.index() < self.shape.f => Ok(codec),
            _ => Err(CodeError::NoSuchRow {
                row,
                rows: self.shape.f,
            }),
        }
    }
}

/// `sum += multiplier * bytes`, for ranges of slots or pages.
#[inline]
pub(crate) fn add_product(multiplier: &Multiplier, sum: &mut [u8], bytes: &[u8]) {
    multiplier
        .mul_add(sum, bytes)
        .expect("ranges of equal length and of whole words were checked");
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape {
            n, f: rows, word, ..
        } = &*self.shape;
        f.debug_struct("Code")
            .field("n", n)
            .field("f", rows)
            .field("word", word)
            .finish()
    }
}

impl PartialEq for Code {
    fn eq(&self, other: &Self) -> bool {
        let key = |code: &Code| (code.shape.n, code.shape.f, code.shape.word);
        key(self) == key(other)
    }
}

impl Eq for Code {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_bounded() {
        assert_eq!(Code::new(0, 1).unwrap_err(), CodeError::NoPrimaries);
        assert!(matches!(
            Code::new(MAX_MEMBERS, 1),
            Err(CodeError::TooManyMembers {
                max: MAX_MEMBERS,
                ..
            })
        ));
        assert!(matches!(
            Code::new(usize::MAX, 1),
            Err(CodeError::TooManyMembers { .. })
        ));
        assert!(Code::with_word(256, 1, WordSize::W8).is_err());
        assert!(Code::with_word(2, 1, WordSize::W32).is_err());
        assert_eq!(Code::new(253, 3).unwrap().word(), WordSize::W8);
        assert_eq!(Code::new(254, 3).unwrap().word(), WordSize::W16);
        let uncoded = Code::new(3, 0).unwrap();
        assert_eq!(
            uncoded.coefficient(Row(0), PrimaryIndex(0)),
            Err(CodeError::NoSuchRow {
                row: Row(0),
                rows: 0
            })
        );
    }

    #[test]
    fn coefficients_are_those_of_the_paper() {
        let code = Code::with_word(3, 5, WordSize::W16).unwrap();
        let matrix: Vec<u32> = (0..5)
            .flat_map(|row| (0..3).map(move |primary| (Row(row), PrimaryIndex(primary))))
            .map(|(row, primary)| code.coefficient(row, primary).unwrap())
            .collect();
        let expected = [
            1, 1, 1, 1, 24578, 40964, 1, 34820, 48562, 1, 48563, 34821, 1, 61447, 61446,
        ];
        assert_eq!(matrix, expected);
        assert!(code.coefficient(Row(0), PrimaryIndex(3)).is_err());
    }

    #[test]
    fn one_primary_is_replicated() {
        let code = Code::new(1, 4).unwrap();
        for row in 0..4 {
            assert_eq!(code.coefficient(Row(row), PrimaryIndex(0)), Ok(1));
        }
    }
}
