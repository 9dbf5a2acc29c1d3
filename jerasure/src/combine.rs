//! Linear combinations of shards: what encoding, updating and decoding have in common.

use std::iter;
use std::ops::Range;

use crate::{Error, Multiplier};

/// Bytes of the shards worked on at a time, so that a block of every source stays in the cache while all
/// destinations are made of it. A multiple of every word and alignment.
const BLOCK: usize = 16 * 1024;

/// Ranges of at most [`BLOCK`] that cover `0..bytes`.
pub(crate) fn blocks(bytes: usize) -> impl Iterator<Item = Range<usize>> {
    blocks_of::<BLOCK>(bytes)
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

/// `target` becomes the sum of the terms' products.
pub(crate) fn combine<'a>(
    target: &mut [u8],
    terms: impl IntoIterator<Item = (&'a Multiplier, &'a [u8])>,
) -> Result<(), Error> {
    let mut terms = terms.into_iter();
    match terms.next() {
        Some((multiplier, source)) => multiplier.mul(target, source)?,
        None => target.fill(0),
    }
    terms.try_for_each(|(multiplier, source)| multiplier.mul_add(target, source))
}

/// The length that all shards share.
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
