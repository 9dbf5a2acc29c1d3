//! Jerasure's RAID-6 codes of few ones (`liberation.c`): bit matrices with two coding shards.
//!
//! The first coding shard is the XOR of the data shards. In the second, block j of w x w bits, by which the packets of
//! data shard j enter, is a permutation and for all but the first one more bit: the fewest with which any two losses are
//! recoverable.

use crate::{BitMatrix, Error, WordSize};

impl BitMatrix {
    /// The Liberation code (`liberation_coding_bitmatrix`), 2 * w rows of k * w.
    ///
    /// # Errors
    /// [`Error::WordSize`] unless w is an odd prime: the C function makes matrices for others, which do not recover
    /// every pair. [`Error::NoShards`] if k is 0, [`Error::TooManyDataShards`] if it exceeds w.
    pub fn liberation(k: usize, w: WordSize) -> Result<Self, Error> {
        check_liberation(k, w)?;
        raid_6(k, w, liberation_columns)
    }

    /// As [`liberation`](Self::liberation), for data that exists: of any w, as the C function makes it. Unless w is an odd
    /// prime there are pairs of losses that it does not recover; decoding refuses those.
    ///
    /// # Errors
    /// [`Error::NoShards`] if k is 0, [`Error::TooManyDataShards`] if it exceeds w.
    pub fn existing_liberation(k: usize, w: WordSize) -> Result<Self, Error> {
        check_data_shards("liberation", k, w)?;
        raid_6(k, w, liberation_columns)
    }

    /// The Blaum-Roth code (`blaum_roth_coding_bitmatrix`), 2 * w rows of k * w.
    ///
    /// Block j multiplies by x^j modulo 1 + x + .. x^w, where x^(w + 1) is 1.
    ///
    /// # Errors
    /// [`Error::WordSize`] unless w + 1 is a prime and w above 2: the C function makes matrices for others, which do
    /// not recover every pair. [`Error::NoShards`] if k is 0, [`Error::TooManyDataShards`] if it exceeds w.
    pub fn blaum_roth(k: usize, w: WordSize) -> Result<Self, Error> {
        check_blaum_roth(k, w)?;
        raid_6(k, w, blaum_roth_columns)
    }

    /// As [`blaum_roth`](Self::blaum_roth), for data that exists: of any w, as the C function makes it. Ceph's default is
    /// w = 7. Unless w + 1 is prime there are pairs of losses that it does not recover when k is 3 or more; decoding
    /// refuses those, where the C functions return success with wrong data.
    ///
    /// # Errors
    /// [`Error::NoShards`] if k is 0, [`Error::TooManyDataShards`] if it exceeds w.
    pub fn existing_blaum_roth(k: usize, w: WordSize) -> Result<Self, Error> {
        check_data_shards("blaum_roth", k, w)?;
        raid_6(k, w, blaum_roth_columns)
    }

    /// The Liber8tion code (`liber8tion_coding_bitmatrix`), 16 rows of k * 8: w is 8.
    ///
    /// # Errors
    /// [`Error::NoShards`] if k is 0, [`Error::TooManyDataShards`] if it exceeds 8.
    pub fn liber8tion(k: usize) -> Result<Self, Error> {
        check_liber8tion(k, WordSize::W8)?;
        raid_6(k, WordSize::W8, |block, row, _| {
            let (columns, (extra_row, extra)) = LIBER8TION[block];
            let extra = (block > 0 && row == extra_row).then_some(extra);
            (columns[row], extra)
        })
    }
}

/// The blocks of the second coding shard, found by Plank with a search ("The RAID-6 Liber8Tion Code", 2009): the
/// column of each row's bit, and row and column of the additional bit, which block 0 does not have.
const LIBER8TION: [([usize; 8], (usize, usize)); 8] = [
    ([0, 1, 2, 3, 4, 5, 6, 7], (0, 0)),
    ([7, 3, 0, 2, 6, 1, 5, 4], (4, 7)),
    ([6, 2, 4, 0, 7, 3, 1, 5], (1, 3)),
    ([2, 5, 7, 6, 0, 3, 4, 1], (5, 4)),
    ([5, 6, 1, 7, 2, 4, 3, 0], (2, 0)),
    ([1, 2, 3, 4, 5, 6, 7, 0], (7, 2)),
    ([3, 0, 6, 5, 1, 7, 4, 2], (6, 5)),
    ([4, 7, 1, 5, 3, 2, 0, 6], (3, 1)),
];

/// The columns of the Liberation code's block `block` in row `row`.
fn liberation_columns(block: usize, row: usize, w: usize) -> (usize, Option<usize>) {
    let extra_row = block * ((w - 1) / 2) % w;
    let extra = (block > 0 && row == extra_row).then(|| (row + block - 1) % w);
    ((block + row) % w, extra)
}

/// The columns of the Blaum-Roth code's block `block` in row `row`.
fn blaum_roth_columns(block: usize, row: usize, w: usize) -> (usize, Option<usize>) {
    let prime = w + 1;
    let place = row + 1;
    if place + block != prime {
        return ((place + block) % prime - 1, None);
    }
    // Half of the block's number, modulo the prime. Where it is none, this is what C makes of it.
    let half = if block.is_multiple_of(2) {
        block / 2
    } else {
        prime / 2 + 1 + block / 2
    };
    (block - 1, Some(half - 1))
}

/// What `liberation` asks for.
pub(crate) fn check_liberation(k: usize, w: WordSize) -> Result<(), Error> {
    if w.bits() == 2 || !is_prime(w.bits()) {
        return Err(Error::WordSize {
            w: w.bits(),
            allowed: "3, 5, 7, 11, 13, 17, 19, 23, 29 or 31",
        });
    }
    check_data_shards("liberation", k, w)
}

/// What `blaum_roth` asks for.
pub(crate) fn check_blaum_roth(k: usize, w: WordSize) -> Result<(), Error> {
    if w.bits() <= 2 || !is_prime(w.bits() + 1) {
        return Err(Error::WordSize {
            w: w.bits(),
            allowed: "4, 6, 10, 12, 16, 18, 22, 28 or 30",
        });
    }
    check_data_shards("blaum_roth", k, w)
}

/// What `liber8tion` asks for.
pub(crate) fn check_liber8tion(k: usize, w: WordSize) -> Result<(), Error> {
    if w != WordSize::W8 {
        return Err(Error::WordSize {
            w: w.bits(),
            allowed: "8",
        });
    }
    check_data_shards("liber8tion", k, w)
}

fn check_data_shards(technique: &'static str, k: usize, w: WordSize) -> Result<(), Error> {
    let limit = w.bits() as usize;
    if k == 0 {
        return Err(Error::NoShards { k, m: 2 });
    }
    if k > limit {
        return Err(Error::TooManyDataShards {
            technique,
            k,
            w: w.bits(),
            limit,
        });
    }
    Ok(())
}

fn is_prime(number: u32) -> bool {
    number >= 2 && (2..number).all(|divisor| !number.is_multiple_of(divisor))
}

/// Unit blocks for the first coding shard. For the second, `columns` has one or two columns for each block and row of
/// it, given w.
fn raid_6(
    k: usize,
    w: WordSize,
    columns: impl Fn(usize, usize, usize) -> (usize, Option<usize>),
) -> Result<BitMatrix, Error> {
    let w = w.bits() as usize;
    let mut matrix = BitMatrix::zeros(2 * w, k * w)?;
    for block in 0..k {
        for row in 0..w {
            matrix.set(row, block * w + row);
            let (column, extra) = columns(block, row, w);
            for column in [Some(column), extra].into_iter().flatten() {
                matrix.set(w + row, block * w + column);
            }
        }
    }
    Ok(matrix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    fn sizes(sizes: &[u32]) -> impl Iterator<Item = WordSize> {
        sizes.iter().map(|&w| WordSize::new(w).unwrap())
    }

    fn assert_recovers_every_pair(matrix: &BitMatrix, w: WordSize) {
        let shards = matrix.cols() / w.bits() as usize + 2;
        for a in 0..shards {
            for b in a..shards {
                let erased = if a == b { vec![a] } else { vec![a, b] };
                let (_, sources) = matrix
                    .decoding_matrix(w, &erased)
                    .unwrap_or_else(|error| panic!("w = {w}, lost {erased:?}: {error}"));
                assert!(!sources.contains(&a) && !sources.contains(&b));
            }
        }
    }

    #[test]
    fn every_pair_of_losses_is_recoverable() {
        // Shorter codes are parts of the longest one, in which all their pairs are.
        for w in sizes(&[3, 5, 7, 11]) {
            let k = w.bits() as usize;
            assert_recovers_every_pair(&BitMatrix::liberation(k, w).unwrap(), w);
        }
        for w in sizes(&[4, 6, 10, 12]) {
            let k = w.bits() as usize;
            assert_recovers_every_pair(&BitMatrix::blaum_roth(k, w).unwrap(), w);
        }
        for k in 1..=8 {
            assert_recovers_every_pair(&BitMatrix::liber8tion(k).unwrap(), WordSize::W8);
        }
    }

    #[test]
    fn these_codes_have_the_fewest_ones() {
        for w in sizes(&[3, 5, 7, 11]) {
            let k = w.bits() as usize;
            let ones = BitMatrix::liberation(k, w).unwrap().n_ones();
            assert_eq!(ones, (2 * k * k + k - 1) as u64);
        }
        for w in sizes(&[4, 6, 10, 12]) {
            let k = w.bits() as usize;
            let ones = BitMatrix::blaum_roth(k, w).unwrap().n_ones();
            assert_eq!(ones, (2 * k * k + k - 1) as u64);
        }
        assert_eq!(BitMatrix::liber8tion(8).unwrap().n_ones(), 2 * 64 + 7);
    }

    #[test]
    fn matrices_are_the_golden_ones() {
        type Make = fn(usize, WordSize) -> Result<BitMatrix, Error>;
        let techniques: [(&str, Make); 3] = [
            ("liberation", BitMatrix::liberation),
            ("blaum_roth", BitMatrix::blaum_roth),
            ("liber8tion", |k, _| BitMatrix::liber8tion(k)),
        ];
        for (technique, make) in techniques {
            let compared = golden::each_matrix(technique, |case| {
                assert_eq!(golden::bits(&make(case.k, case.w).unwrap()), case.elements);
            });
            assert_eq!(compared, 1);
        }
    }
}

#[cfg(all(test, feature = "reference", not(miri)))]
mod against_c {
    use super::*;
    use crate::ffi::Oracle;
    use crate::golden::bits;

    #[test]
    fn every_matrix_is_that_of_c() {
        for w in (2..=32).map(|w| WordSize::new(w).unwrap()) {
            for k in 1..=w.bits() as usize {
                let want = Oracle::get().liberation(k, w.bits() as usize);
                let existing = BitMatrix::existing_liberation(k, w).unwrap();
                assert_eq!(bits(&existing), want, "liberation, k = {k}, w = {w}");
                if let Ok(matrix) = BitMatrix::liberation(k, w) {
                    assert_eq!(matrix, existing, "liberation, k = {k}, w = {w}");
                }
                let want = Oracle::get().blaum_roth(k, w.bits() as usize);
                let existing = BitMatrix::existing_blaum_roth(k, w).unwrap();
                assert_eq!(bits(&existing), want, "blaum_roth, k = {k}, w = {w}");
                if let Ok(matrix) = BitMatrix::blaum_roth(k, w) {
                    assert_eq!(matrix, existing, "blaum_roth, k = {k}, w = {w}");
                }
            }
        }
        for k in 1..=8 {
            let matrix = BitMatrix::liber8tion(k).unwrap();
            assert_eq!(bits(&matrix), Oracle::get().liber8tion(k), "k = {k}");
        }
    }
}
