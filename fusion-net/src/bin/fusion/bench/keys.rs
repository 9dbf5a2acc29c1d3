//! Which keys are asked for.

use clap::ValueEnum;
use rand::Rng;
use rand_distr::{Distribution, Zipf};
use serde::Serialize;

/// How often each key is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Popularity {
    /// All alike
    Uniform,
    /// The k-th most popular one in proportion to k^-0.99
    Zipf,
}

/// The exponent of the Zipf distribution.
const EXPONENT: f64 = 0.99;

/// Chooses numbers of keys.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Chooser {
    /// Below this.
    Uniform(u64),
    /// Ranks from 1 on.
    Zipf(Zipf<f64>),
}

impl Chooser {
    /// Chooses of so many keys; at least one.
    pub(crate) fn new(popularity: Popularity, keys: u64) -> anyhow::Result<Chooser> {
        Ok(match popularity {
            Popularity::Uniform => Chooser::Uniform(keys.max(1)),
            Popularity::Zipf => Chooser::Zipf(Zipf::new(keys.max(1) as f64, EXPONENT)?),
        })
    }

    /// The number of a key. Which number is how popular does not matter: keys are spread over primaries by their hash.
    pub(crate) fn next(&self, rng: &mut impl Rng) -> u64 {
        match self {
            Chooser::Uniform(keys) => rng.random_range(0..*keys),
            Chooser::Zipf(zipf) => zipf.sample(rng) as u64 - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    const DRAWS: u32 = 200_000;

    fn frequencies(popularity: Popularity, keys: usize) -> Vec<f64> {
        let mut rng = StdRng::seed_from_u64(7);
        let chooser = Chooser::new(popularity, keys as u64).unwrap();
        let mut counts = vec![0u32; keys];
        for _ in 0..DRAWS {
            counts[chooser.next(&mut rng) as usize] += 1;
        }
        counts
            .iter()
            .map(|&c| f64::from(c) / f64::from(DRAWS))
            .collect()
    }

    #[test]
    fn zipf_frequencies_are_those_of_the_definition() {
        for keys in [1, 2, 100, 5000] {
            let weights: Vec<f64> = (1..=keys).map(|k| (k as f64).powf(-0.99)).collect();
            let sum: f64 = weights.iter().sum();
            let found = frequencies(Popularity::Zipf, keys);
            for k in [0, 1, 9, 99].into_iter().filter(|k| *k < keys) {
                let expected = weights[k] / sum;
                let deviation = (expected * (1.0 - expected) / f64::from(DRAWS)).sqrt();
                assert!(
                    (found[k] - expected).abs() <= 5.0 * deviation,
                    "{k} of {keys}: {} instead of {expected}",
                    found[k]
                );
            }
            let tail = keys / 2;
            let expected: f64 = weights[tail..].iter().sum::<f64>() / sum;
            let found: f64 = found[tail..].iter().sum();
            assert!((found - expected).abs() < 0.006, "{found} {expected}");
        }
    }

    #[test]
    fn uniform_choices_reach_every_key_alike() {
        let found = frequencies(Popularity::Uniform, 10);
        assert!(
            found.iter().all(|f| (0.095..0.105).contains(f)),
            "{found:?}"
        );
    }
}
