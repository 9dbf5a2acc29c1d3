//! Codes on packets as lists of copies and XORs.

#[cfg(all(test, feature = "reference", not(miri)))]
mod against_c;
mod decoding;
mod order;

use std::fmt;

use crate::{BitMatrix, Error, WordSize};

/// One operation on packets: `to = from`, or `to ^= from`. A packet is named by its shard, data first, and its number
/// in the stripe, below w.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operation {
    /// Whether it is a copy rather than an XOR.
    pub copy: bool,
    /// Shard and packet that are read.
    pub from: (usize, usize),
    /// Shard and packet that are written.
    pub to: (usize, usize),
}

/// The operations that make one stripe of coding shards of the data shards, or of lost shards of survivors.
///
/// These are the C library's lists, operation for operation, but that shards have their own numbers also in a schedule
/// that decodes. Operations on one packet stand together; the first one is a copy. A packet that is the sum of
/// nothing, which only a made-up matrix has, is in no operation: see [`cleared`](Self::cleared).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Schedule {
    steps: Vec<StepRecord>,
    sources: Vec<Packet>,
}

/// One target packet and all that it is the sum of, for executing a schedule packet by packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step<'a> {
    pub(crate) target: Packet,
    /// None for a packet of zeros. Sources may be targets of earlier steps.
    pub(crate) sources: &'a [Packet],
}

/// A packet of a stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Packet {
    pub(crate) shard: u32,
    pub(crate) packet: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct StepRecord {
    target: Packet,
    /// Where its sources end; they start where those of the step before end.
    end: usize,
}

impl Schedule {
    /// A [`smart`](Self::smart) one, unless the search for it would take long, as it does for thousands of rows.
    pub(crate) fn cheapest(
        rows: &BitMatrix,
        w: WordSize,
        sources: &[usize],
        targets: &[usize],
    ) -> Self {
        Self::of_rows(rows, w, sources, targets, order::is_worth_it(rows))
    }

    /// Each coding packet is made of data packets alone, row by row (`jerasure_dumb_bitmatrix_to_schedule`).
    ///
    /// # Errors
    /// [`Error::MatrixShape`] unless the matrix has m * w rows of k * w.
    pub fn dumb(bits: &BitMatrix, k: usize, m: usize, w: WordSize) -> Result<Self, Error> {
        check(bits, k, m, w)?;
        let (data, coding) = shards(k, m);
        Ok(Self::of_rows(bits, w, &data, &coding, false))
    }

    /// A coding packet starts from another one where that saves operations (`jerasure_smart_bitmatrix_to_schedule`).
    ///
    /// # Errors
    /// As [`dumb`](Self::dumb).
    pub fn smart(bits: &BitMatrix, k: usize, m: usize, w: WordSize) -> Result<Self, Error> {
        check(bits, k, m, w)?;
        let (data, coding) = shards(k, m);
        Ok(Self::of_rows(bits, w, &data, &coding, true))
    }

    /// The schedule of rows that make packets of the shards `targets` of those of `sources`: `targets.len() * w` rows of
    /// `sources.len() * w`.
    pub(crate) fn of_rows(
        rows: &BitMatrix,
        w: WordSize,
        sources: &[usize],
        targets: &[usize],
        smart: bool,
    ) -> Self {
        let size = w.bits() as usize;
        assert_eq!(rows.rows(), targets.len() * size);
        assert_eq!(rows.cols(), sources.len() * size);
        let packet = |shards: &[usize], at: usize| Packet {
            shard: u32::try_from(shards[at / size]).expect("shards are few"),
            packet: (at % size) as u32,
        };
        let mut schedule = Self {
            steps: Vec::with_capacity(rows.rows()),
            sources: Vec::new(),
        };
        let order = if smart {
            order::smart(rows)
        } else {
            order::dumb(rows)
        };
        for (row, base) in order {
            let columns = order::columns(rows, row, base);
            schedule
                .sources
                .extend(base.map(|base| packet(targets, base)));
            schedule
                .sources
                .extend(columns.iter().map(|&col| packet(sources, col)));
            schedule.steps.push(StepRecord {
                target: packet(targets, row),
                end: schedule.sources.len(),
            });
        }
        schedule
    }

    /// All operations, in order.
    pub fn operations(&self) -> impl Iterator<Item = Operation> + '_ {
        let pair = |packet: Packet| (packet.shard as usize, packet.packet as usize);
        self.steps().flat_map(move |step| {
            let sources = step.sources.iter().enumerate();
            sources.map(move |(at, &source)| Operation {
                copy: at == 0,
                from: pair(source),
                to: pair(step.target),
            })
        })
    }

    /// Shard and number of packets that are sums of nothing, and so must be cleared: the C library leaves in them
    /// whatever they held.
    pub fn cleared(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.steps()
            .filter(|step| step.sources.is_empty())
            .map(|step| (step.target.shard as usize, step.target.packet as usize))
    }

    /// How many operations are XORs: what a stripe costs.
    pub fn xors(&self) -> usize {
        let copies = self.steps().filter(|step| !step.sources.is_empty()).count();
        self.sources.len() - copies
    }

    /// What it holds in memory.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.steps) + size_of_val(&*self.sources)
    }

    /// The target packets in order, each with its sources.
    pub(crate) fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        let mut start = 0;
        self.steps.iter().map(move |step| {
            let sources = &self.sources[start..step.end];
            start = step.end;
            Step {
                target: step.target,
                sources,
            }
        })
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.operations()).finish()
    }
}

fn check(bits: &BitMatrix, k: usize, m: usize, w: WordSize) -> Result<(), Error> {
    let size = w.bits() as usize;
    bits.check_shape(m.saturating_mul(size), k.saturating_mul(size))
}

/// Numbers of data and coding shards.
fn shards(k: usize, m: usize) -> (Vec<usize>, Vec<usize>) {
    ((0..k).collect(), (k..k + m).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Matrix;

    type Name = (u32, u32);

    /// What each target packet is of the packets that are no targets, by running the schedule on sets of packets.
    fn sums(schedule: &Schedule) -> Vec<(Name, Vec<Name>)> {
        let name = |packet: Packet| (packet.shard, packet.packet);
        let mut sums: Vec<(Name, Vec<Name>)> = Vec::new();
        for step in schedule.steps() {
            let mut sum: Vec<Name> = Vec::new();
            for &source in step.sources {
                let earlier = sums.iter().find(|(target, _)| *target == name(source));
                let parts = earlier.map_or_else(|| vec![name(source)], |(_, parts)| parts.clone());
                for part in parts {
                    match sum.iter().position(|p| *p == part) {
                        Some(at) => drop(sum.swap_remove(at)),
                        None => sum.push(part),
                    }
                }
            }
            sum.sort_unstable();
            sums.push((name(step.target), sum));
        }
        sums.sort_unstable();
        sums
    }

    #[test]
    fn both_schedules_make_what_the_matrix_says() {
        for w in [3, 4, 8].map(|w| WordSize::new(w).unwrap()) {
            let matrix = Matrix::cauchy_good(4, 3, w).unwrap();
            let bits = matrix.to_bit_matrix().unwrap();
            let dumb = Schedule::dumb(&bits, 4, 3, w).unwrap();
            let smart = Schedule::smart(&bits, 4, 3, w).unwrap();
            assert_eq!(sums(&dumb), sums(&smart));
            assert!(smart.xors() <= dumb.xors());
            assert_eq!(dumb.xors() as u64, bits.n_ones() - 3 * u64::from(w.bits()));
            let size = w.bits();
            for ((shard, packet), sum) in sums(&dumb) {
                let row = bits.row(((shard - 4) * size + packet) as usize);
                let want: Vec<_> = row
                    .map(|col| (col as u32 / size, col as u32 % size))
                    .collect();
                assert_eq!(sum, want);
            }
        }
    }

    #[test]
    fn sums_of_nothing_are_to_be_cleared() {
        let w = WordSize::new(2).unwrap();
        let bits = BitMatrix::new(4, 4, |row, col| row == 1 && col == 2).unwrap();
        for schedule in [
            Schedule::dumb(&bits, 2, 2, w).unwrap(),
            Schedule::smart(&bits, 2, 2, w).unwrap(),
        ] {
            assert_eq!(schedule.operations().count(), 1);
            assert_eq!(schedule.xors(), 0);
            let mut cleared: Vec<_> = schedule.cleared().collect();
            cleared.sort_unstable();
            assert_eq!(cleared, [(2, 0), (3, 0), (3, 1)]);
        }
    }

    #[test]
    fn what_a_matrix_without_an_inverse_lost_is_refused() {
        // Both coding shards are the sum of the data, so two lost data shards are gone.
        let w = WordSize::new(3).unwrap();
        let bits = BitMatrix::new(6, 6, |row, col| row % 3 == col % 3).unwrap();
        for smart in [false, true] {
            let decoding = |erased: &[usize]| Schedule::decoding(&bits, 2, 2, w, erased, smart);
            assert_eq!(decoding(&[0, 1]), Err(Error::Singular));
            // Shard 1 is the sum of two others, shard 2 a copy of the other code.
            assert_eq!(decoding(&[1, 2]).unwrap().operations().count(), 9);
            assert_eq!(decoding(&[]).unwrap().operations().count(), 0);
        }
    }
}
