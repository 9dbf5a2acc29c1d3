//! The slices of a caller's shards, each taken once, what is checked of them, and blocks of them.

use std::iter;
use std::ops::Range;

use smallvec::SmallVec;

use crate::Error;

/// Slices on the stack for most codes.
pub(crate) type Inputs<'a> = SmallVec<[&'a [u8]; 32]>;

/// Slices on the stack for most codes.
pub(crate) type Outputs<'a> = SmallVec<[&'a mut [u8]; 32]>;

/// The lengths that are checked are those that are used: a caller's type is asked for each slice once.
pub(crate) fn inputs(shards: &[impl AsRef<[u8]>]) -> Inputs<'_> {
    shards.iter().map(AsRef::as_ref).collect()
}

/// As [`inputs`].
pub(crate) fn outputs(shards: &mut [impl AsMut<[u8]>]) -> Outputs<'_> {
    shards.iter_mut().map(AsMut::as_mut).collect()
}

/// The length that all shards share; 0 if there are none.
pub(crate) fn common_length(lengths: impl IntoIterator<Item = usize>) -> Result<usize, Error> {
    let mut lengths = lengths.into_iter();
    let expected = lengths.next().unwrap_or(0);
    match lengths.find(|&got| got != expected) {
        Some(got) => Err(Error::LengthMismatch { expected, got }),
        None => Ok(expected),
    }
}

/// Refuses a list of the wrong length.
pub(crate) fn check_count(what: &'static str, expected: usize, got: usize) -> Result<(), Error> {
    if expected != got {
        return Err(Error::Count {
            what,
            expected,
            got,
        });
    }
    Ok(())
}

/// Refuses an index beyond its range.
pub(crate) fn check_index(what: &'static str, index: usize, limit: usize) -> Result<(), Error> {
    if index >= limit {
        return Err(Error::OutOfRange { what, index, limit });
    }
    Ok(())
}

/// Ranges of at most `SIZE` that cover `0..bytes`. Unlike zipped `chunks`, it divides nothing, which is felt where
/// there is one short block.
pub(crate) fn blocks_of<const SIZE: usize>(bytes: usize) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    iter::from_fn(move || {
        let end = bytes.min(start + SIZE);
        let block = start..end;
        start = end;
        (!block.is_empty()).then_some(block)
    })
}
