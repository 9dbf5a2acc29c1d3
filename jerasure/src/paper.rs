//! The three functions of the paper's extension module (section 5.6), on single words.
//!
//! They take loose integers, because the paper's callers have them, and check every one. For regions of bytes, and
//! for many words under one code, use [`Codec`].

use std::sync::{Mutex, PoisonError};

use crate::matrix::survivors;
use crate::shards::{check_count, check_index};
use crate::{CodeParams, Codec, Error, Technique, WordSize, galois};

/// The coding matrix of k data words and m codes over GF(2^w): m rows of k, row after row.
///
/// In C: `reed_sol_vandermonde_coding_matrix`.
///
/// # Errors
/// [`Error::WordSize`] unless w is 8, 16 or 32; [`Error::NoShards`], [`Error::TooManyShards`] and
/// [`Error::OutOfMemory`] for a shape that has no matrix.
pub fn calculate_rs_matrix(k: usize, m: usize, w: u32) -> Result<Vec<u32>, Error> {
    let codec = codec(k, m, w)?;
    let matrix = codec.matrix().expect("a code on words has a matrix");
    Ok(matrix.as_slice().to_vec())
}

/// The code number `code_index` after the data word at `position` has changed from `old` to `new`:
/// `code ^ coefficient * (old ^ new)`.
///
/// `coefficient` is element (`code_index`, `position`) of [`calculate_rs_matrix`]. Any other would corrupt the code
/// without a sign, so it is compared; the last matrix made by this module is kept for that.
///
/// # Errors
/// As [`calculate_rs_matrix`]; [`Error::OutOfRange`] unless `code_index` is in `0..m` and `position` in `0..k`;
/// [`Error::NotAnElement`] if `code`, `old` or `new` is 2^w or more; [`Error::WrongCoefficient`].
#[allow(
    clippy::too_many_arguments,
    reason = "the paper's signature; the typed one is Codec::update"
)]
pub fn calculate_rs_code(
    k: usize,
    m: usize,
    w: u32,
    code: u32,
    code_index: usize,
    old: u32,
    new: u32,
    position: usize,
    coefficient: u32,
) -> Result<u32, Error> {
    let codec = codec(k, m, w)?;
    check_index("code", code_index, m)?;
    check_index("position", position, k)?;
    let w = codec.params().w();
    w.check_element(code)?;
    w.check_element(old)?;
    w.check_element(new)?;
    let expected = codec.coefficient(code_index, position);
    if coefficient != expected {
        return Err(Error::WrongCoefficient {
            row: code_index,
            column: position,
            expected,
            got: coefficient,
        });
    }
    Ok(code ^ galois::multiply(w, coefficient, old ^ new)?)
}

/// The k data words, with those that are erased computed from the others and from `codes`.
///
/// `erasures` holds indices of data words (`0..k`) and of codes (`k..k + m`). What `data` and `codes` hold at these is
/// ignored.
///
/// # Errors
/// As [`calculate_rs_matrix`]; [`Error::Count`] unless there are m codes and k data words; [`Error::OutOfRange`] or
/// [`Error::RepeatedShard`] for a bad erasure; [`Error::TooManyErasures`] for more than m;
/// [`Error::NotAnElement`] if a word that is not erased is 2^w or more.
pub fn recover_data(
    k: usize,
    m: usize,
    w: u32,
    codes: &[u32],
    data: &[u32],
    erasures: &[usize],
) -> Result<Vec<u32>, Error> {
    let codec = codec(k, m, w)?;
    check_count("codes", m, codes.len())?;
    check_count("data words", k, data.len())?;
    let w = codec.params().w();
    for (index, &value) in data.iter().chain(codes).enumerate() {
        if !erasures.contains(&index) {
            w.check_element(value)?;
        }
    }
    let mut recovered = data.to_vec();
    let mut sources = survivors(k, m, erasures)?;
    sources.truncate(k);
    if !erasures.is_empty() {
        let plan = codec.reconstruction(erasures, &sources)?;
        let word = |shard: usize| {
            if shard < k {
                data[shard]
            } else {
                codes[shard - k]
            }
        };
        for (position, &lost) in erasures.iter().enumerate().filter(|&(_, &lost)| lost < k) {
            let mut sum = 0;
            for (&coefficient, &source) in plan.row(position).iter().zip(&sources) {
                sum ^= galois::multiply(w, coefficient, word(source))?;
            }
            recovered[lost] = sum;
        }
    }
    Ok(recovered)
}

/// The codec of this shape; the last one is kept, because callers come back word by word.
fn codec(k: usize, m: usize, w: u32) -> Result<Codec, Error> {
    static LAST: Mutex<Option<Codec>> = Mutex::new(None);
    let params = CodeParams::new(k, m, WordSize::of_regions(w)?)?;
    let last = || LAST.lock().unwrap_or_else(PoisonError::into_inner);

    if let Some(codec) = last().as_ref().filter(|codec| codec.params() == params) {
        return Ok(codec.clone());
    }
    // Made without the lock, so that one large matrix does not keep other shapes waiting.
    let codec = Codec::new(Technique::ReedSolVan, params)?;
    *last() = Some(codec.clone());
    Ok(codec)
}
