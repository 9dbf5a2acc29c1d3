//! How long the values of a measurement of memory are.

use super::entries::{MIN_VALUE_BYTES, mix};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, LogNormal};

/// The median of the heavy-tailed mix, its spread (of the logarithm), and its longest value.
const MEDIAN: f64 = 100.0;
const SIGMA: f64 = 1.0;
const LONGEST: usize = 16 << 10;

/// A kind of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sizes {
    /// All as long as that at first.
    Fixed(usize),
    /// Most are short and a few very long.
    LogNormal,
}

impl Sizes {
    /// Its name in tables.
    pub(crate) fn name(self) -> String {
        match self {
            Sizes::Fixed(len) if len >= 1024 && len.is_multiple_of(1024) => {
                format!("16 B / {} KiB", len / 1024)
            }
            Sizes::Fixed(len) => format!("16 B / {len} B"),
            Sizes::LogNormal => format!("16 B / log-normal, median {MEDIAN} B"),
        }
    }

    /// The length of a key's value in a version: 0 is the first one; later ones are from half to one and a half times as
    /// long, or drawn anew.
    pub(crate) fn len(self, number: u64, version: u32) -> usize {
        let seed = mix(number ^ mix(u64::from(version)));
        let len = match self {
            Sizes::Fixed(len) if version == 0 => len,
            Sizes::Fixed(len) => len / 2 + (seed % (len as u64 + 1)) as usize,
            Sizes::LogNormal => {
                let mut rng = StdRng::seed_from_u64(seed);
                let drawn = LogNormal::new(MEDIAN.ln(), SIGMA).map(|d| d.sample(&mut rng));
                (drawn.unwrap_or(MEDIAN) as usize).min(LONGEST)
            }
        };
        len.max(MIN_VALUE_BYTES)
    }

    /// About the mean length.
    pub(crate) fn mean(self) -> f64 {
        match self {
            Sizes::Fixed(len) => len as f64,
            Sizes::LogNormal => MEDIAN * (SIGMA * SIGMA / 2.0).exp(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_normal_lengths_have_their_median_and_mean() {
        let mut lens: Vec<usize> = (0..20_000).map(|n| Sizes::LogNormal.len(n, 0)).collect();
        lens.sort_unstable();
        let median = lens[lens.len() / 2];
        assert!((96..=104).contains(&median), "{median}");
        let mean = lens.iter().sum::<usize>() as f64 / lens.len() as f64;
        let expected = Sizes::LogNormal.mean();
        assert!((mean / expected - 1.0).abs() < 0.05, "{mean} {expected}");
    }

    #[test]
    fn later_versions_have_other_lengths_around_the_first() {
        let lens: Vec<usize> = (0..1000).map(|n| Sizes::Fixed(64).len(n, 1)).collect();
        assert!(lens.iter().all(|len| (32..=96).contains(len)));
        assert!(lens.contains(&32) && lens.contains(&96));
        assert!((0..1000).all(|n| Sizes::Fixed(64).len(n, 0) == 64));
    }
}
