//! Lost shards of codes on packets as equations between bits.

use super::{check_shards, marked};
use crate::bit_matrix::{BitSpan, ones, xor};
use crate::matrix::survivors;
use crate::{BitMatrix, Error, WordSize};

/// The rows that make the packets of the shards `lost` of those of `sources`: `lost.len() * w` rows of
/// `sources.len() * w`, both in the order given.
///
/// # Errors
/// [`Error::OutOfRange`] or [`Error::RepeatedShard`] for a bad list; [`Error::Singular`] if the sources do not determine
/// the lost shards.
pub(crate) fn packet_rows(
    bits: &BitMatrix,
    w: WordSize,
    lost: &[usize],
    sources: &[usize],
) -> Result<BitMatrix, Error> {
    let (k, m) = bits.code_shape(w)?;
    check_shards(k + m, lost, sources)?;
    let is_source = marked(k, sources);
    let unknown: Vec<usize> = (0..k).filter(|&shard| !is_source[shard]).collect();
    let code = Code {
        bits,
        w,
        k,
        unknown,
    };
    let coding: Vec<usize> = sources.iter().copied().filter(|&s| s >= k).collect();
    let mut span = code.span(coding.len());
    for &shard in &coding {
        code.add(&mut span, shard);
    }

    let size = w.bits() as usize;
    let mut rows = BitMatrix::zeros(lost.len() * size, sources.len() * size)?;
    for (position, &shard) in lost.iter().enumerate() {
        for packet in 0..size {
            // What the lost packet is of all data packets; adding equations makes the unknown ones of it vanish.
            let mut known = code.row(shard, packet);
            let equations = span
                .express(&code.unknown_part(&known))
                .ok_or(Error::Singular)?;
            for equation in ones(&equations) {
                let row = (coding[equation / size] - k) * size + equation % size;
                xor(&mut known, bits.words(row));
            }
            let mut number = 0;
            for (at, &source) in sources.iter().enumerate() {
                let block = if source < k {
                    block(&known, source, size)
                } else {
                    number += 1;
                    block(&equations, number - 1, size)
                };
                put(rows.words_mut(position * size + packet), at, size, block);
            }
        }
    }
    Ok(rows)
}

/// The surviving data shards, and those other survivors whose equations for the erased ones say something that the
/// ones before do not.
pub(super) fn choose_sources(
    bits: &BitMatrix,
    w: WordSize,
    erased: &[usize],
    wanted: &[usize],
) -> Result<Vec<usize>, Error> {
    let (k, m) = bits.code_shape(w)?;
    let survivors = survivors(k, m, erased)?;
    let mut unknown: Vec<usize> = erased.iter().copied().filter(|&s| s < k).collect();
    unknown.sort_unstable();
    let (mut sources, coding): (Vec<usize>, Vec<usize>) = survivors.iter().partition(|&&s| s < k);

    let size = w.bits() as usize;
    let code = Code {
        bits,
        w,
        k,
        unknown,
    };
    let mut span = code.span(coding.len());
    for shard in coding {
        if span.rank() < code.unknown.len() * size && code.add(&mut span, shard) {
            sources.push(shard);
        }
    }
    for &shard in wanted {
        for packet in 0..size {
            let target = code.unknown_part(&code.row(shard, packet));
            span.express(&target).ok_or(Error::Singular)?;
        }
    }
    Ok(sources)
}

/// A code, and the data shards that are to be solved for.
struct Code<'a> {
    bits: &'a BitMatrix,
    w: WordSize,
    k: usize,
    unknown: Vec<usize>,
}

impl Code<'_> {
    /// For the equations of that many coding shards.
    fn span(&self, shards: usize) -> BitSpan {
        let size = self.w.bits() as usize;
        BitSpan::new(self.unknown.len() * size, shards * size)
    }

    /// Adds a coding shard's equations; whether they say something new.
    fn add(&self, span: &mut BitSpan, shard: usize) -> bool {
        let rank = span.rank();
        for packet in 0..self.w.bits() as usize {
            span.add(&self.unknown_part(&self.row(shard, packet)));
        }
        span.rank() > rank
    }

    /// What a packet is of the data packets.
    fn row(&self, shard: usize, packet: usize) -> Vec<u64> {
        let size = self.w.bits() as usize;
        if shard >= self.k {
            return self.bits.words((shard - self.k) * size + packet).to_vec();
        }
        let mut unit = vec![0; self.bits.cols().div_ceil(64)];
        put(&mut unit, shard, size, 1 << packet);
        unit
    }

    /// The bits of a row for the unknown data shards.
    fn unknown_part(&self, row: &[u64]) -> Vec<u64> {
        let size = self.w.bits() as usize;
        let mut part = vec![0; (self.unknown.len() * size).div_ceil(64)];
        for (at, &shard) in self.unknown.iter().enumerate() {
            put(&mut part, at, size, block(row, shard, size));
        }
        part
    }
}

/// Block number `index` of `size` bits, at most 32.
fn block(words: &[u64], index: usize, size: usize) -> u64 {
    let (word, bit) = (index * size / 64, index * size % 64);
    let mut block = words[word] >> bit;
    if bit + size > 64 {
        block |= words[word + 1] << (64 - bit);
    }
    block & ((1 << size) - 1)
}

/// Puts a block where there are zeros.
fn put(words: &mut [u64], index: usize, size: usize, block: u64) {
    let (word, bit) = (index * size / 64, index * size % 64);
    words[word] |= block << bit;
    if bit + size > 64 {
        words[word + 1] |= block >> (64 - bit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(sizes: &[u32]) -> impl Iterator<Item = WordSize> {
        sizes.iter().map(|&w| WordSize::new(w).unwrap())
    }

    fn subsets(shards: usize, most: usize) -> impl Iterator<Item = Vec<usize>> {
        (0_u32..1 << shards)
            .filter(move |set| set.count_ones() as usize <= most)
            .map(move |set| (0..shards).filter(|i| set >> i & 1 == 1).collect())
    }

    /// The rows of these shards, w for each.
    fn generator_rows(bits: &BitMatrix, w: WordSize, shards: &[usize]) -> BitMatrix {
        let k = bits.code_shape(w).unwrap().0;
        let size = w.bits() as usize;
        BitMatrix::new(shards.len() * size, bits.cols(), |row, col| {
            let (shard, packet) = (shards[row / size], row % size);
            match shard.checked_sub(k) {
                None => col == shard * size + packet,
                Some(code) => bits.get(code * size + packet, col),
            }
        })
        .unwrap()
    }

    fn assert_recovers(bits: &BitMatrix, w: WordSize, erased: &[usize], sources: &[usize]) {
        let rows = packet_rows(bits, w, erased, sources).unwrap();
        let product = rows.multiply(&generator_rows(bits, w, sources)).unwrap();
        assert_eq!(
            product,
            generator_rows(bits, w, erased),
            "w = {w}, lost {erased:?}"
        );
    }

    #[test]
    fn every_set_of_losses_of_the_codes_is_recovered_from_the_first_survivors() {
        let mut codes = vec![
            (BitMatrix::liber8tion(8).unwrap(), WordSize::W8),
            (BitMatrix::liber8tion(3).unwrap(), WordSize::W8),
        ];
        for w in sizes(&[3, 5, 7]) {
            codes.push((BitMatrix::liberation(w.bits() as usize, w).unwrap(), w));
        }
        for w in sizes(&[4, 6, 10]) {
            codes.push((BitMatrix::blaum_roth(w.bits() as usize - 1, w).unwrap(), w));
        }
        for w in sizes(&[3, 4, 8, 13, 32]) {
            let matrix = crate::Matrix::cauchy_good(5, 3, w).unwrap();
            codes.push((matrix.to_bit_matrix().unwrap(), w));
        }
        for (bits, w) in codes {
            let (k, m) = bits.code_shape(w).unwrap();
            for erased in subsets(k + m, m).filter(|erased| !erased.is_empty()) {
                let first: Vec<usize> =
                    (0..k + m).filter(|s| !erased.contains(s)).take(k).collect();
                let sources = choose_sources(&bits, w, &erased, &erased).unwrap();
                assert_eq!(sources, first, "w = {w}, lost {erased:?}");
                assert_recovers(&bits, w, &erased, &sources);
                let backwards: Vec<usize> = sources.into_iter().rev().collect();
                assert_recovers(&bits, w, &erased, &backwards);
            }
        }
    }

    #[test]
    fn more_than_k_survivors_are_used_where_no_k_of_them_do() {
        // Two packets a shard; each coding shard holds one packet of the only data shard, twice.
        let w = WordSize::new(2).unwrap();
        let bits = BitMatrix::new(4, 2, |row, col| row / 2 == col).unwrap();
        assert_eq!(choose_sources(&bits, w, &[0], &[0]), Ok(vec![1, 2]));
        assert_recovers(&bits, w, &[0], &[1, 2]);
        assert_eq!(packet_rows(&bits, w, &[0], &[1]), Err(Error::Singular));
        assert_eq!(
            choose_sources(&bits, w, &[0, 1], &[0]),
            Err(Error::Singular)
        );
        assert_eq!(
            choose_sources(&bits, w, &[0, 1], &[1]),
            Err(Error::Singular)
        );
    }

    #[test]
    fn what_is_determined_is_recovered_even_if_other_shards_are_not() {
        // Both coding shards are the sum of the two data shards.
        let w = WordSize::new(3).unwrap();
        let bits = BitMatrix::new(6, 6, |row, col| row % 3 == col % 3).unwrap();
        assert_eq!(choose_sources(&bits, w, &[0, 2], &[0, 2]), Ok(vec![1, 3]));
        assert_recovers(&bits, w, &[0, 2], &[1, 3]);
        assert_eq!(
            choose_sources(&bits, w, &[0, 1], &[0]),
            Err(Error::Singular)
        );
    }

    #[test]
    fn bad_lists_are_refused() {
        let bits = BitMatrix::liber8tion(3).unwrap();
        let w = WordSize::W8;
        let refused =
            |lost: &[usize], sources: &[usize]| packet_rows(&bits, w, lost, sources).unwrap_err();
        assert_eq!(refused(&[0], &[0, 1, 2]), Error::RepeatedShard { index: 0 });
        assert!(matches!(
            refused(&[0], &[1, 2, 5]),
            Error::OutOfRange { index: 5, .. }
        ));
        assert_eq!(refused(&[0], &[1, 2]), Error::Singular);
        let too_many = choose_sources(&bits, w, &[0, 1, 2], &[0]);
        assert_eq!(too_many, Err(Error::TooManyErasures { lost: 3, m: 2 }));
    }
}
