//! A code ready for use: encode, update, decode, verify.

mod locate;
mod map;
mod plans;
mod program;

use std::fmt;
use std::iter;
use std::mem;
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use crate::memory;
use crate::reconstruction::{choose_sources, packet_rows};
use crate::shards::{Inputs, Outputs, check_count, check_index, common_length, inputs, outputs};
use crate::technique::Generator;
use crate::{BitMatrix, CodeParams, Engine, Error, Matrix, Multiplier, Reconstruction, Technique};
pub(crate) use map::Map;
use map::update_packets;
use plans::Plans;

/// A code of k data shards and m coding shards.
///
/// Shards are byte regions of one length, a multiple of [`unit`](Self::unit), anywhere in memory. They are numbered data
/// first: `0..k`, then coding `k..k + m`. A clone is one pointer; all methods may run in several threads at once. Plans
/// for decoding are kept, those of the last 1,024 patterns of losses or of 4 MiB.
#[derive(Clone)]
pub struct Codec {
    inner: Arc<Inner>,
}

struct Inner {
    technique: Option<Technique>,
    params: CodeParams,
    engine: Engine,
    /// Bytes of a word, or of a stripe of w packets.
    unit: usize,
    generator: Generator,
    /// Prepared by the first encoding: who only updates a large code never needs it.
    encoder: OnceLock<Map>,
    /// A row of them for each row of a matrix over words.
    multipliers: Box<[OnceLock<Row>]>,
    plans: Plans<Plan>,
}

/// A multiplier for each element of a row, prepared when first used: a large code rarely needs all.
type Row = Box<[OnceLock<Multiplier>]>;

/// How a set of lost shards is computed.
struct Plan {
    /// Shards that survive and determine the lost ones.
    sources: Box<[usize]>,
    map: Map,
}

impl Codec {
    /// Makes the code's matrix, for the engine that [`Engine::selected`] names. What the engine needs of it is prepared by
    /// the first call that uses it; for a code on packets that is a schedule, a smart one if it is found in about a second.
    ///
    /// The matrix of `reed_sol_van` takes time proportional to its k * m elements: well under a millisecond for
    /// thousands of data shards and two coding shards. Still, a clone is cheaper, and shares what is prepared.
    ///
    /// # Errors
    /// Those of [`Technique::check`]; [`Error::OutOfMemory`] if the matrix could not be allocated;
    /// [`Error::UnknownEngine`] or [`Error::EngineUnavailable`] if `JERASURE_ENGINE` names no engine of this machine.
    pub fn new(technique: Technique, params: CodeParams) -> Result<Self, Error> {
        Self::with_engine(technique, params, Engine::selected()?)
    }

    /// [`new`](Self::new) for an engine of one's own choice.
    ///
    /// # Errors
    /// As [`new`](Self::new), but [`Error::EngineUnavailable`] if this machine lacks `engine`.
    pub fn with_engine(
        technique: Technique,
        params: CodeParams,
        engine: Engine,
    ) -> Result<Self, Error> {
        let generator = technique.generator(params)?;
        Self::build(Some(technique), params, generator, engine)
    }

    /// A code of one's own coding matrix: m rows of k. With a packet size in `params` it works on packets, as
    /// `jerasure_matrix_to_bitmatrix` and `jerasure_schedule_encode` do; else on words of 8, 16 or 32 bits.
    ///
    /// The matrix need not be able to recover every m losses: [`decode`](Self::decode) looks for survivors that determine
    /// what is lost.
    ///
    /// # Errors
    /// [`Error::MatrixShape`] unless it is m by k, [`Error::WordSize`] for a w other than its own, or that words cannot
    /// have, [`Error::MatrixTooLarge`] if its bit matrix would be; and as [`new`](Self::new) for the engine.
    pub fn from_matrix(params: CodeParams, matrix: Matrix) -> Result<Self, Error> {
        let generator = Generator::of_matrix(params, matrix)?;
        Self::build(None, params, generator, Engine::selected()?)
    }

    /// A code of one's own coding bit matrix: m * w rows of k * w, applied to packets.
    ///
    /// # Errors
    /// [`Error::MatrixShape`] unless it has that shape; [`Error::PacketsNeeded`] if `params` has no packet size; and as
    /// [`new`](Self::new) for the engine.
    pub fn from_bit_matrix(params: CodeParams, bits: BitMatrix) -> Result<Self, Error> {
        let generator = Generator::of_bit_matrix(params, bits)?;
        Self::build(None, params, generator, Engine::selected()?)
    }

    /// The same code on another engine: the same bytes, at another speed.
    ///
    /// # Errors
    /// [`Error::EngineUnavailable`] if this machine lacks it.
    pub fn on_engine(&self, engine: Engine) -> Result<Self, Error> {
        let generator = self.inner.generator.clone();
        Self::build(self.technique(), self.params(), generator, engine)
    }

    fn build(
        technique: Option<Technique>,
        params: CodeParams,
        generator: Generator,
        engine: Engine,
    ) -> Result<Self, Error> {
        let engine = engine.check()?;
        let (unit, rows) = match (&generator, params.packet_bytes()) {
            (Generator::Packets { .. }, Some(bytes)) => (bytes * params.w().bits() as usize, 0),
            (Generator::Packets { .. }, None) => {
                let technique = technique.map_or("a bit matrix", Technique::name);
                return Err(Error::PacketsNeeded { technique });
            }
            (Generator::Words(matrix), _) => (params.w().bytes(), matrix.rows()),
        };
        let multipliers = memory::list(rows, iter::repeat_with(OnceLock::new))?;
        Ok(Self {
            inner: Arc::new(Inner {
                technique,
                params,
                engine,
                unit,
                generator,
                encoder: OnceLock::new(),
                multipliers: multipliers.into(),
                plans: Plans::new(),
            }),
        })
    }

    /// How the matrix was made; `None` for one's own.
    pub fn technique(&self) -> Option<Technique> {
        self.inner.technique
    }

    /// The code's shape.
    pub fn params(&self) -> CodeParams {
        self.inner.params
    }

    /// What computes.
    pub fn engine(&self) -> Engine {
        self.inner.engine
    }

    /// The coding matrix, m rows of k; `None` for a code that has only a bit matrix.
    pub fn matrix(&self) -> Option<&Matrix> {
        match &self.inner.generator {
            Generator::Words(matrix) => Some(matrix),
            Generator::Packets { matrix, .. } => matrix.as_ref(),
        }
    }

    /// The coding bit matrix, m * w rows of k * w; `None` for a code on words.
    pub fn bit_matrix(&self) -> Option<&BitMatrix> {
        match &self.inner.generator {
            Generator::Words(_) => None,
            Generator::Packets { bits, .. } => Some(bits),
        }
    }

    /// Bytes that every shard's length is a multiple of: a word, or a stripe of w packets.
    pub fn unit(&self) -> usize {
        self.inner.unit
    }

    /// The shortest length of a shard that holds `bytes`; `None` if it is beyond `usize`.
    ///
    /// Pad with anything that is known when decoding, zeros for instance: the code does not tell padding from data.
    pub fn padded_len(&self, bytes: usize) -> Option<usize> {
        bytes.checked_next_multiple_of(self.inner.unit)
    }

    /// The factor of data shard `col` in coding shard `row` (`0..m`).
    ///
    /// # Panics
    /// If `row` or `col` is out of range, or the code has no [`matrix`](Self::matrix).
    pub fn coefficient(&self, row: usize, col: usize) -> u32 {
        let matrix = self.matrix().expect("the code has a matrix of words");
        matrix.get(row, col)
    }

    /// [`coefficient`](Self::coefficient), prepared for multiplying regions and kept.
    ///
    /// # Panics
    /// If `row` or `col` is out of range, or the code works on packets.
    pub fn multiplier(&self, row: usize, col: usize) -> &Multiplier {
        let Generator::Words(matrix) = &self.inner.generator else {
            panic!("a code on packets has no multipliers");
        };
        let (m, k) = (matrix.rows(), matrix.cols());
        assert!(row < m && col < k, "({row}, {col}) is beyond {m} x {k}");
        let row_of = || iter::repeat_with(OnceLock::new).take(k).collect();
        self.inner.multipliers[row].get_or_init(row_of)[col].get_or_init(|| {
            let coefficient = matrix.get(row, col);
            Multiplier::with_engine(matrix.word_size(), coefficient, self.inner.engine)
                .expect("the engine was checked, and a matrix holds elements of its field")
        })
    }

    /// Computes all coding shards from all data shards: k of `data`, m of `coding`.
    ///
    /// Allocates nothing up to 32 shards of each kind, but for what the first call prepares, and on
    /// [`Engine::Reference`]. Each shard is asked for its slice once. Empty shards are fine.
    ///
    /// # Errors
    /// [`Error::Count`] for a wrong number of shards, [`Error::LengthMismatch`] if they differ in length,
    /// [`Error::PartialWord`] or [`Error::PartialStripe`] if they are not whole units; [`Error::OutOfMemory`] if the
    /// first call cannot prepare the matrix. Nothing is written then.
    pub fn encode(
        &self,
        data: &[impl AsRef<[u8]>],
        coding: &mut [impl AsMut<[u8]>],
    ) -> Result<(), Error> {
        let params = self.params();
        check_count("data shards", params.k(), data.len())?;
        check_count("coding shards", params.m(), coding.len())?;
        let data = inputs(data);
        let mut coding = outputs(coding);
        let lengths = data.iter().map(|shard| shard.len());
        let bytes = common_length(lengths.chain(coding.iter().map(|shard| shard.len())))?;
        self.check_length(bytes)?;

        self.encoder()?.run(&data, &mut coding);
        Ok(())
    }

    /// Brings one coding shard up to date with one changed data shard:
    /// `code ^= coefficient(row, data_index) * (old ^ new)`.
    ///
    /// The three may as well be the same part of each, if it is whole units from one unit's start. Allocates nothing once
    /// the coefficient has been used. The paper calls this updating the fused node (section 5.6).
    ///
    #[doc = include_str!("../docs/update.md")]
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `row` is not in `0..m` or `data_index` not in `0..k`; [`Error::LengthMismatch`],
    /// [`Error::PartialWord`] and [`Error::PartialStripe`] as for [`encode`](Self::encode). Nothing is written then.
    #[inline]
    pub fn update(
        &self,
        row: usize,
        data_index: usize,
        old: &[u8],
        new: &[u8],
        code: &mut [u8],
    ) -> Result<(), Error> {
        match self.prepared(row, data_index) {
            Some(multiplier) => multiplier.update(code, old, new),
            None => self.update_first(row, data_index, old, new, code),
        }
    }

    /// [`update`](Self::update) where the coefficient has not been used before, or is not there. Apart, so that the
    /// update of a few bytes does not carry it along.
    #[inline(never)]
    fn update_first(
        &self,
        row: usize,
        data_index: usize,
        old: &[u8],
        new: &[u8],
        code: &mut [u8],
    ) -> Result<(), Error> {
        let params = self.params();
        check_index("coding row", row, params.m())?;
        check_index("data shard", data_index, params.k())?;
        match &self.inner.generator {
            Generator::Words(_) => self.multiplier(row, data_index).update(code, old, new),
            Generator::Packets { bits, .. } => {
                self.check_length(common_length([code.len(), old.len(), new.len()])?)?;
                let at = (row, data_index);
                update_packets(self.inner.engine, params, bits, at, code, (old, new))
            }
        }
    }

    /// The multiplier at `row` and `col`, if it is there and has been used. Codes on packets have none.
    #[inline]
    fn prepared(&self, row: usize, col: usize) -> Option<&Multiplier> {
        self.inner.multipliers.get(row)?.get()?.get(col)?.get()
    }

    /// Whether the coding shards are those of the data shards. `shards` holds all k + m, data first.
    ///
    /// Stops at the first difference, and does not tell which shard is wrong. Takes buffers of 128 KiB in all, or of m words
    /// or stripes where these are more.
    ///
    /// # Errors
    /// As [`encode`](Self::encode); [`Error::OutOfMemory`] if these buffers would take more than 1 GiB.
    pub fn verify(&self, shards: &[impl AsRef<[u8]>]) -> Result<bool, Error> {
        let (k, m) = (self.params().k(), self.params().m());
        check_count("shards", k + m, shards.len())?;
        let shards = inputs(shards);
        let bytes = common_length(shards.iter().map(|shard| shard.len()))?;
        self.check_length(bytes)?;

        let block = (VERIFY_BYTES / m)
            .next_multiple_of(self.inner.unit)
            .min(bytes);
        let scratch = m.saturating_mul(block);
        // A system that promises more memory than it has would not refuse, but end the process later.
        if scratch > VERIFY_MOST {
            return Err(Error::OutOfMemory { bytes: scratch });
        }
        let mut scratch = memory::zeros::<u8>(scratch)?;
        let encoder = self.encoder()?;
        let mut start = 0;
        while start < bytes {
            let range = start..bytes.min(start + block);
            let data: Inputs<'_> = shards[..k].iter().map(|s| &s[range.clone()]).collect();
            let chunks = scratch.chunks_exact_mut(block.max(1));
            let mut coding: Outputs<'_> = chunks.map(|c| &mut c[..range.len()]).collect();
            encoder.run(&data, &mut coding);
            let mut pairs = coding.iter().zip(&shards[k..]);
            if pairs.any(|(want, shard)| **want != shard[range.clone()]) {
                return Ok(false);
            }
            start = range.end;
        }
        Ok(true)
    }

    /// Computes the lost shards in place. `shards` holds all k + m, data first; the contents of those whose index is
    /// in `erased` are ignored and overwritten, but they must have the others' length. Returns at once if none is.
    ///
    /// # Errors
    /// [`Error::Count`], [`Error::LengthMismatch`], [`Error::PartialWord`] and [`Error::PartialStripe`] as for
    /// [`encode`](Self::encode); [`Error::OutOfRange`] or [`Error::RepeatedShard`] for a bad index;
    /// [`Error::TooManyErasures`] for more than m; [`Error::Singular`] if the survivors do not determine them, which
    /// only one's own matrix can bring about. Nothing is written then.
    pub fn decode(&self, shards: &mut [impl AsMut<[u8]>], erased: &[usize]) -> Result<(), Error> {
        self.reconstruct(shards, erased, erased)
    }

    /// Computes only the shards `wanted`, which are some of the `erased`. The other erased ones are not touched and may
    /// have any length, none for instance.
    ///
    /// # Errors
    /// As [`decode`](Self::decode); [`Error::NotErased`] for a wanted shard that is not erased.
    pub fn reconstruct(
        &self,
        shards: &mut [impl AsMut<[u8]>],
        erased: &[usize],
        wanted: &[usize],
    ) -> Result<(), Error> {
        check_count("shards", self.params().shards(), shards.len())?;
        let pattern = self.pattern(erased, wanted)?;
        let (erased, wanted) = pattern.split_at(erased.len());
        let mut shards = outputs(shards);
        let is_used = |&(index, _): &(usize, _)| {
            let index = &(index as u32);
            erased.binary_search(index).is_err() || wanted.binary_search(index).is_ok()
        };
        let used = shards.iter().enumerate().filter(is_used);
        let bytes = common_length(used.map(|(_, shard)| shard.len()))?;
        self.check_length(bytes)?;
        if wanted.is_empty() {
            return Ok(());
        }

        let plan = self.plan(&pattern, erased, wanted)?;
        let mut targets: Outputs<'_> = wanted
            .iter()
            .map(|&lost| mem::take(&mut shards[lost as usize]))
            .collect();
        let sources: Inputs<'_> = plan.sources.iter().map(|&s| &*shards[s]).collect();
        plan.map.run(&sources, &mut targets);
        Ok(())
    }

    /// Computes the shards `lost` from `survivors`, both given as pairs of a shard's index and its bytes: for survivors
    /// that are only read, and where the other shards have no buffers. All shards that are no survivors count as erased.
    ///
    /// # Errors
    /// As [`decode`](Self::decode): [`Error::TooManyErasures`] if there are fewer than k survivors,
    /// [`Error::RepeatedShard`] for a shard named twice or in both lists.
    pub fn reconstruct_from(
        &self,
        survivors: &[(usize, impl AsRef<[u8]>)],
        lost: &mut [(usize, impl AsMut<[u8]>)],
    ) -> Result<(), Error> {
        let shards = self.params().shards();
        let mut position = memory::list(shards, iter::repeat(usize::MAX))?;
        for (at, &(index, _)) in survivors.iter().enumerate() {
            check_index("shard", index, shards)?;
            if mem::replace(&mut position[index], at) != usize::MAX {
                return Err(Error::RepeatedShard { index });
            }
        }
        let mut targets: SmallVec<[(usize, &mut [u8]); 32]> = SmallVec::new();
        for (index, shard) in lost {
            if position.get(*index).is_some_and(|&at| at != usize::MAX) {
                return Err(Error::RepeatedShard { index: *index });
            }
            targets.push((*index, shard.as_mut()));
        }
        // Plans make the shards in order.
        targets.sort_unstable_by_key(|(index, _)| *index);
        let erased = position
            .iter()
            .enumerate()
            .filter(|(_, at)| **at == usize::MAX);
        let erased: SmallVec<[usize; 32]> = erased.map(|(index, _)| index).collect();
        let wanted: SmallVec<[usize; 32]> = targets.iter().map(|(index, _)| *index).collect();
        let pattern = self.pattern(&erased, &wanted)?;
        let sources: Inputs<'_> = survivors.iter().map(|(_, shard)| shard.as_ref()).collect();
        let lengths = sources.iter().map(|source| source.len());
        let bytes = common_length(lengths.chain(targets.iter().map(|(_, shard)| shard.len())))?;
        self.check_length(bytes)?;
        if wanted.is_empty() {
            return Ok(());
        }

        let (erased, wanted) = pattern.split_at(erased.len());
        let plan = self.plan(&pattern, erased, wanted)?;
        let mut outputs: Outputs<'_> = targets.into_iter().map(|(_, shard)| shard).collect();
        let used = plan.sources.iter();
        let inputs: Inputs<'_> = used.map(|&index| sources[position[index]]).collect();
        plan.map.run(&inputs, &mut outputs);
        Ok(())
    }

    /// Fills in the shards that are `None`. `shards` holds all k + m, data first; returns at once if none is missing.
    ///
    /// ```
    /// # use jerasure::{CodeParams, Codec, Technique, WordSize};
    /// # let codec = Codec::new(Technique::ReedSolVan, CodeParams::new(2, 1, WordSize::W8)?)?;
    /// let mut shards = vec![Some(vec![1, 2]), None, Some(vec![4, 6])];
    /// codec.restore(&mut shards)?;
    /// assert_eq!(shards[1].as_deref(), Some(&[5, 4][..]));
    /// # Ok::<(), jerasure::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`decode`](Self::decode), and [`Error::OutOfMemory`] if the missing ones could not be allocated; `shards` is as
    /// before then.
    pub fn restore(&self, shards: &mut [Option<Vec<u8>>]) -> Result<(), Error> {
        check_count("shards", self.params().shards(), shards.len())?;
        let there = shards.iter().enumerate();
        let there: Vec<(usize, &[u8])> = there
            .filter_map(|(index, shard)| Some((index, shard.as_deref()?)))
            .collect();
        let missing = (0..shards.len()).filter(|&index| shards[index].is_none());
        let bytes = there.first().map_or(0, |(_, shard)| shard.len());
        let mut made = Vec::new();
        for index in missing {
            made.push((index, memory::zeros::<u8>(bytes)?));
        }
        self.reconstruct_from(&there, &mut made)?;
        for (index, shard) in made {
            shards[index] = Some(shard);
        }
        Ok(())
    }

    /// How to compute the shards `lost` from exactly k surviving `sources`, both in any order:
    /// lost\[l\] is the sum over s of `coefficient(l, s)` times sources\[s\]. For codes on words.
    ///
    /// # Errors
    /// [`Error::Count`] unless there are k sources; [`Error::OutOfRange`] for an index beyond `0..k + m`;
    /// [`Error::RepeatedShard`] for one named twice, also once in each list; [`Error::Singular`] if the sources do not
    /// determine the data, which cannot happen with the techniques of this crate; [`Error::PacketsUnused`] for a code on
    /// packets.
    pub fn reconstruction(
        &self,
        lost: &[usize],
        sources: &[usize],
    ) -> Result<Reconstruction, Error> {
        match &self.inner.generator {
            Generator::Words(matrix) => {
                Reconstruction::new(matrix, self.inner.engine, lost, sources)
            }
            Generator::Packets { .. } => Err(Error::PacketsUnused {
                what: "a reconstruction",
            }),
        }
    }

    fn check_length(&self, bytes: usize) -> Result<(), Error> {
        match &self.inner.generator {
            Generator::Words(_) => self.params().w().check_length(bytes),
            Generator::Packets { .. } if bytes.is_multiple_of(self.inner.unit) => Ok(()),
            Generator::Packets { .. } => Err(Error::PartialStripe {
                bytes,
                stripe: self.inner.unit,
            }),
        }
    }

    /// The erased shards and then the wanted ones, each sorted and checked.
    fn pattern(&self, erased: &[usize], wanted: &[usize]) -> Result<SmallVec<[u32; 32]>, Error> {
        let (shards, m) = (self.params().shards(), self.params().m());
        let mut pattern = SmallVec::with_capacity(erased.len() + wanted.len());
        for list in [erased, wanted] {
            let start = pattern.len();
            for &index in list {
                check_index("shard", index, shards)?;
                // There are fewer than 2^32 shards: `CodeParams` allows 46,340.
                pattern.push(index as u32);
            }
            pattern[start..].sort_unstable();
            if let Some(pair) = pattern[start..].windows(2).find(|pair| pair[0] == pair[1]) {
                let index = pair[0] as usize;
                return Err(Error::RepeatedShard { index });
            }
        }
        if erased.len() > m {
            let lost = erased.len();
            return Err(Error::TooManyErasures { lost, m });
        }
        let (erased, wanted): (&[u32], &[u32]) = pattern.split_at(erased.len());
        match wanted
            .iter()
            .find(|&index| erased.binary_search(index).is_err())
        {
            Some(&index) => Err(Error::NotErased {
                index: index as usize,
            }),
            None => Ok(pattern),
        }
    }

    /// The plan for a pattern, kept or made.
    fn plan(&self, pattern: &[u32], erased: &[u32], wanted: &[u32]) -> Result<Arc<Plan>, Error> {
        let bytes = |plan: &Plan| size_of_val(&*plan.sources) + plan.map.bytes();
        self.inner.plans.get(pattern, bytes, || {
            let indices = |list: &[u32]| list.iter().map(|&i| i as usize).collect::<Vec<_>>();
            let (erased, wanted) = (indices(erased), indices(wanted));
            let Inner {
                params,
                engine,
                generator,
                ..
            } = &*self.inner;
            let mut sources = choose_sources(generator, params.w(), &erased, &wanted)?;
            let map = match generator {
                Generator::Words(matrix) => {
                    let rows = Reconstruction::new(matrix, *engine, &wanted, &sources)?;
                    // A code of one's own may need only some of the k: the others are not read.
                    let used = rows.used_sources();
                    let elements = rows.columns(&used)?;
                    sources = used.iter().map(|&position| sources[position]).collect();
                    Map::of_words(*engine, params.w(), &elements)?
                }
                Generator::Packets { bits, .. } => {
                    let rows = packet_rows(bits, params.w(), &wanted, &sources)?;
                    Map::of_packets(*engine, *params, &rows)?
                }
            };
            Ok(Plan {
                sources: sources.into(),
                map,
            })
        })
    }

    /// The map from all data shards to all coding shards.
    fn encoder(&self) -> Result<&Map, Error> {
        if let Some(map) = self.inner.encoder.get() {
            return Ok(map);
        }
        let Inner { params, engine, .. } = &*self.inner;
        let map = match &self.inner.generator {
            Generator::Words(matrix) => {
                Map::of_words(*engine, matrix.word_size(), matrix.as_slice())?
            }
            Generator::Packets { bits, .. } => Map::of_packets(*engine, *params, bits)?,
        };
        // Of two threads that make it at once, one throws it away.
        Ok(self.inner.encoder.get_or_init(|| map))
    }
}

/// Bytes of all coding shards that are verified at a time, if stripes are not longer.
const VERIFY_BYTES: usize = 128 * 1024;

/// Bytes of all coding shards that are verified at most, which only stripes of many megabytes reach.
const VERIFY_MOST: usize = 1 << 30;

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec")
            .field("technique", &self.inner.technique)
            .field("params", &self.inner.params)
            .field("engine", &self.inner.engine)
            .finish_non_exhaustive()
    }
}
