//! The slices of a caller's shards, each taken once, and what is checked of them.

use smallvec::SmallVec;

use crate::Error;

/// Slices on the stack for most codes.
pub(super) type Inputs<'a> = SmallVec<[&'a [u8]; 32]>;

/// Slices on the stack for most codes.
pub(super) type Outputs<'a> = SmallVec<[&'a mut [u8]; 32]>;

/// The lengths that are checked are those that are used: a caller's type is asked for each slice once.
pub(super) fn inputs(shards: &[impl AsRef<[u8]>]) -> Inputs<'_> {
    shards.iter().map(AsRef::as_ref).collect()
}

/// As [`inputs`].
pub(super) fn outputs(shards: &mut [impl AsMut<[u8]>]) -> Outputs<'_> {
    shards.iter_mut().map(AsMut::as_mut).collect()
}

/// The length that all shards share; 0 if there are none.
pub(super) fn common_length(lengths: impl IntoIterator<Item = usize>) -> Result<usize, Error> {
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
