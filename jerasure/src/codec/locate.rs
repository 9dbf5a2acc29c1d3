//! Which shards are wrong, told by nothing but the shards themselves.
//!
//! The *syndrome* of a word is what its coding shards differ by from those that its data shards would have. It is linear: the
//! syndrome of an error in shard j is a multiple of column j of the check matrix (the coding matrix beside the identity).
//! Any m columns of a code that recovers every m losses are independent, so that no more than one set of m/2 columns or
//! fewer makes up a syndrome.

use super::{Codec, Map, VERIFY_BYTES, VERIFY_MOST};
use crate::matrix::Span;
use crate::shards::{Inputs, Outputs, check_count, common_length, inputs};
use crate::technique::Generator;
use crate::{BitMatrix, Error, WordSize, memory};

/// A column's elements, or a syndrome's: m words, or m * w bits of a code on packets.
type Vector = Vec<u32>;

/// Sets of shards that are tried where the syndromes do not name each wrong shard by themselves.
const MOST_SETS: usize = 1 << 16;

/// Syndromes that are looked at in a block; what they leave out, the next pass sees.
const MOST_WORDS: usize = 4096;

impl Codec {
    /// Finds the shards whose bytes are wrong. `shards` holds all k + m, data first; those in `erased` are known to be lost:
    /// their contents are ignored, but they must have the others' length. Answers the wrong ones, ascending; none if the
    /// shards belong together.
    ///
    /// Up to (m - `erased.len()`) / 2 wrong shards, rounded down, are found for certain by a code that recovers every m
    /// losses, as those of this crate's techniques do, in whatever bytes they are wrong. What is found is made right by
    /// [`decode`](Self::decode). Of more wrong shards most are refused; a few pass for others that are
    /// fewer, as with every code. With m shards erased nothing is left to compare, and none is found. One pass over the
    /// shards where nothing is wrong, at the speed of [`verify`](Self::verify), and one more for each group of wrong
    /// shards that shows later. Takes buffers of 256 KiB in all, or of 2 m words or stripes where these are more.
    ///
    /// # Errors
    /// As [`decode`](Self::decode) for the arguments; [`Error::NotLocated`] if no set of so few wrong shards explains the
    /// bytes, or none was found among 65,536 sets that were tried; [`Error::OutOfMemory`] if the buffers would take more
    /// than 2 GiB.
    pub fn locate(
        &self,
        shards: &[impl AsRef<[u8]>],
        erased: &[usize],
    ) -> Result<Vec<usize>, Error> {
        check_count("shards", self.params().shards(), shards.len())?;
        let pattern = self.pattern(erased, &[])?;
        let shards = inputs(shards);
        let bytes = common_length(shards.iter().map(|shard| shard.len()))?;
        self.check_length(bytes)?;

        let erased: Vec<usize> = pattern.iter().map(|&index| index as usize).collect();
        let columns = Columns::new(&self.inner.generator, self.params().w(), self.params().m());
        let most = (self.params().m() - erased.len()) / 2;
        let mut seen: Vec<Vector> = Vec::new();
        let mut wrong: Vec<usize> = Vec::new();
        loop {
            let allowed: Vec<usize> = erased.iter().chain(&wrong).copied().collect();
            let found = self.unexplained(&shards, bytes, &columns, &allowed)?;
            if found.is_empty() {
                wrong.sort_unstable();
                return Ok(wrong);
            }
            seen.extend(found);
            wrong = columns.explain(&erased, &mut seen, most)?;
        }
    }

    /// Some syndromes that errors in the shards `allowed` do not make; none if there is no such word.
    fn unexplained(
        &self,
        shards: &Inputs<'_>,
        bytes: usize,
        columns: &Columns<'_>,
        allowed: &[usize],
    ) -> Result<Vec<Vector>, Error> {
        let (k, m) = (self.params().k(), self.params().m());
        let Some(check) = self.check(columns, allowed)? else {
            return Ok(Vec::new());
        };
        let unit = self.inner.unit;
        let block = (VERIFY_BYTES / m).next_multiple_of(unit).min(bytes);
        let scratch = m.saturating_mul(block);
        if scratch > VERIFY_MOST {
            return Err(Error::OutOfMemory { bytes: scratch });
        }
        let mut syndromes = memory::zeros::<u8>(scratch)?;
        let mut checks = memory::zeros::<u8>(check.outputs * block)?;
        let encoder = self.encoder()?;
        let mut start = 0;
        while start < bytes {
            let range = start..bytes.min(start + block);
            let cut = range.len();
            let data: Inputs<'_> = shards[..k].iter().map(|s| &s[range.clone()]).collect();
            let rows = syndromes.chunks_exact_mut(block);
            let mut made: Outputs<'_> = rows.map(|row| &mut row[..cut]).collect();
            encoder.run(&data, &mut made);
            for (made, is) in made.iter_mut().zip(&shards[k..]) {
                crate::xor(made, &is[range.clone()])?;
            }
            let rows = checks.chunks_exact_mut(block);
            let mut left: Outputs<'_> = rows.map(|row| &mut row[..cut]).collect();
            let made: Inputs<'_> = made.iter().map(|row| &**row).collect();
            check.map.run(&made, &mut left);
            if left.iter().any(|row| row.iter().any(|&byte| byte != 0)) {
                return Ok(columns.independent(&made, &left, unit, allowed));
            }
            start = range.end;
        }
        Ok(Vec::new())
    }

    /// A map that makes zeros of the syndromes of errors in the shards `allowed`, and of no others; `None` if these can make
    /// every syndrome.
    fn check(&self, columns: &Columns<'_>, allowed: &[usize]) -> Result<Option<Check>, Error> {
        let (engine, params) = (self.inner.engine, self.params());
        let rows = columns.span(allowed, 0).annihilator();
        if rows.is_empty() {
            return Ok(None);
        }
        let map = match columns.generator {
            Generator::Words(_) => Map::of_words(engine, params.w(), &rows.concat())?,
            Generator::Packets { .. } => {
                let w = params.w().bits() as usize;
                // Rows of zeros make the last group whole.
                let mut bits = BitMatrix::zeros(rows.len().next_multiple_of(w), columns.width)?;
                for (at, row) in rows.iter().enumerate() {
                    let ones = row.iter().enumerate().filter(|(_, bit)| **bit == 1);
                    ones.for_each(|(column, _)| bits.set(at, column));
                }
                Map::of_packets(engine, params, &bits)?
            }
        };
        let outputs = match columns.generator {
            Generator::Words(_) => rows.len(),
            Generator::Packets { .. } => rows.len().div_ceil(params.w().bits() as usize),
        };
        Ok(Some(Check { map, outputs }))
    }
}

/// A map of syndromes, and how many regions it makes.
struct Check {
    map: Map,
    outputs: usize,
}

/// The columns of the check matrix: one for each shard, or w of a code on packets.
struct Columns<'a> {
    generator: &'a Generator,
    w: WordSize,
    /// The field of the elements: that of the words, or of single bits.
    field: WordSize,
    k: usize,
    m: usize,
    /// Elements of a vector.
    width: usize,
    /// Columns of a shard.
    each: usize,
}

impl<'a> Columns<'a> {
    fn new(generator: &'a Generator, w: WordSize, m: usize) -> Self {
        let (field, each, columns) = match generator {
            Generator::Words(matrix) => (w, 1, matrix.cols()),
            Generator::Packets { bits, .. } => (WordSize::BIT, w.bits() as usize, bits.cols()),
        };
        Self {
            generator,
            w,
            field,
            k: columns / each,
            m,
            width: m * each,
            each,
        }
    }

    /// Column `part` of shard `index`.
    fn get(&self, index: usize, part: usize) -> Vector {
        if index >= self.k {
            let mut unit = vec![0; self.width];
            unit[(index - self.k) * self.each + part] = 1;
            return unit;
        }
        let rows = 0..self.width;
        match self.generator {
            Generator::Words(matrix) => rows.map(|row| matrix.get(row, index)).collect(),
            Generator::Packets { bits, .. } => {
                let column = index * self.each + part;
                rows.map(|row| u32::from(bits.get(row, column))).collect()
            }
        }
    }

    fn of(&self, index: usize) -> impl Iterator<Item = Vector> + '_ {
        (0..self.each).map(move |part| self.get(index, part))
    }

    /// What errors in these shards can make, with room for so many vectors more.
    fn span(&self, shards: &[usize], more: usize) -> Span {
        let mut span = Span::new(self.field, self.width, shards.len() * self.each + more);
        for column in shards.iter().flat_map(|&index| self.of(index)) {
            span.add(&column);
        }
        span
    }

    /// Syndromes of the block that are independent of each other and of the columns of the shards `allowed`. `left` is not
    /// zero where there is one.
    fn independent(
        &self,
        syndromes: &Inputs<'_>,
        left: &Outputs<'_>,
        unit: usize,
        allowed: &[usize],
    ) -> Vec<Vector> {
        let mut independent: Vec<Vector> = Vec::new();
        let mut known = self.span(allowed, self.width);
        let room = self.width - known.rank();
        let bytes = syndromes[0].len();
        let mut looked = 0;
        for start in (0..bytes).step_by(unit) {
            for (at, bit) in self.words(left, start, unit) {
                let vector = self.syndrome(syndromes, (start, unit), at, bit);
                if known.express(&vector).is_none() {
                    known.add(&vector);
                    independent.push(vector);
                }
                looked += 1;
                if independent.len() == room || looked == MOST_WORDS {
                    return independent;
                }
            }
        }
        independent
    }

    /// Where a unit has words that are not explained: the byte within a word or a packet, and the bit of that.
    fn words(&self, left: &Outputs<'_>, start: usize, unit: usize) -> Vec<(usize, u32)> {
        let unit_of = |row: &&mut [u8]| row[start..start + unit].iter().any(|&byte| byte != 0);
        if !left.iter().any(unit_of) {
            return Vec::new();
        }
        match self.generator {
            Generator::Words(_) => vec![(0, 0)],
            Generator::Packets { .. } => {
                let packet = unit / self.each;
                let mut words = Vec::new();
                for at in 0..packet {
                    let rows = left.iter().flat_map(|row| {
                        row[start..start + unit]
                            .iter()
                            .skip(at)
                            .step_by(packet)
                            .copied()
                    });
                    let bits = rows.fold(0, |all, byte| all | byte);
                    words.extend((0..8).filter(|bit| bits >> bit & 1 == 1).map(|b| (at, b)));
                }
                words
            }
        }
    }

    /// The syndrome of one word.
    fn syndrome(
        &self,
        syndromes: &Inputs<'_>,
        (start, unit): (usize, usize),
        at: usize,
        bit: u32,
    ) -> Vector {
        match self.generator {
            Generator::Words(_) => {
                let word = |row: &&[u8]| match self.w.bytes() {
                    1 => u32::from(row[start]),
                    2 => u32::from(u16::from_ne_bytes([row[start], row[start + 1]])),
                    _ => u32::from_ne_bytes([0, 1, 2, 3].map(|i| row[start + i])),
                };
                syndromes.iter().map(word).collect()
            }
            Generator::Packets { .. } => {
                let packet = unit / self.each;
                let bits = |row: &&[u8]| {
                    let packets = (0..self.each).map(|part| row[start + part * packet + at]);
                    packets
                        .map(|byte| u32::from(byte >> bit & 1))
                        .collect::<Vec<_>>()
                };
                syndromes.iter().flat_map(bits).collect()
            }
        }
    }

    /// The smallest set of shards that are not erased, of at most `most`, whose columns make up all that was seen.
    fn explain(
        &self,
        erased: &[usize],
        seen: &mut Vec<Vector>,
        most: usize,
    ) -> Result<Vec<usize>, Error> {
        let refused = Error::NotLocated { most };
        let room = most * self.each;
        let mut span = self.span(erased, room);
        let lost = span.rank();
        let mut kept = Vec::new();
        for vector in seen.drain(..) {
            if span.express(&vector).is_some() {
                continue;
            }
            if span.rank() - lost == room {
                return Err(refused);
            }
            span.add(&vector);
            kept.push(vector);
        }
        *seen = kept;
        let others = || (0..self.k + self.m).filter(|index| erased.binary_search(index).is_err());
        // A shard that is wrong in as many ways as it can be is named by the syndromes themselves.
        let named = others().filter(|&index| self.of(index).all(|c| span.express(&c).is_some()));
        let named: Vec<usize> = named.take(most + 1).collect();
        if named.len() <= most && self.makes_up(erased, &named, seen) {
            return Ok(named);
        }
        let others: Vec<usize> = others().collect();
        let mut sets = MOST_SETS;
        for size in 1..=most {
            let mut chosen: Vec<usize> = (0..size).collect();
            loop {
                let set: Vec<usize> = chosen.iter().map(|&at| others[at]).collect();
                if self.makes_up(erased, &set, seen) {
                    return Ok(set);
                }
                sets -= 1;
                if sets == 0 {
                    return Err(refused);
                }
                if !next_set(&mut chosen, others.len()) {
                    break;
                }
            }
        }
        Err(refused)
    }

    fn makes_up(&self, erased: &[usize], set: &[usize], seen: &[Vector]) -> bool {
        let shards: Vec<usize> = erased.iter().chain(set).copied().collect();
        let span = self.span(&shards, 0);
        seen.iter().all(|vector| span.express(vector).is_some())
    }
}

/// The next of all ascending choices of as many numbers below `limit`; whether there is one.
fn next_set(chosen: &mut [usize], limit: usize) -> bool {
    let size = chosen.len();
    let Some(at) = (0..size).rev().find(|&at| chosen[at] < limit - size + at) else {
        return false;
    };
    let first = chosen[at] + 1;
    (first..)
        .zip(&mut chosen[at..])
        .for_each(|(value, place)| *place = value);
    true
}
