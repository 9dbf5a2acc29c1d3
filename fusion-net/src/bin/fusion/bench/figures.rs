//! Figures of several repetitions, and how they compare.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

/// The longest time that is told apart from longer ones.
const LONGEST: Duration = Duration::from_secs(120);

/// How far the figures of several repetitions lie apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// Half of them are not below.
    pub(crate) median: f64,
    /// The least.
    pub(crate) min: f64,
    /// The greatest.
    pub(crate) max: f64,
}

impl Spread {
    /// Of these; all 0 of none. Of an even number the median is between the two in the middle.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Spread {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_unstable_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (figures.first(), figures.last()) else {
            return Spread::default();
        };
        let middle = figures.len() / 2;
        let median = if figures.len().is_multiple_of(2) {
            (figures[middle - 1] + figures[middle]) / 2.0
        } else {
            figures[middle]
        };
        Spread { median, min, max }
    }

    /// How many times the other's median this one's is; `None` when that is 0.
    pub(crate) fn ratio(&self, of: &Spread) -> Option<f64> {
        (of.median > 0.0).then(|| self.median / of.median)
    }
}

/// How long operations took, to three digits.
#[derive(Debug)]
pub(crate) struct Latencies {
    nanoseconds: Histogram<u64>,
}

impl Latencies {
    /// None yet.
    pub(crate) fn new() -> anyhow::Result<Latencies> {
        let nanoseconds = Histogram::new_with_bounds(100, LONGEST.as_nanos() as u64, 3)?;
        Ok(Latencies { nanoseconds })
    }

    /// So many operations took so long.
    pub(crate) fn add(&mut self, time: Duration, operations: u64) {
        let time = time.min(LONGEST).as_nanos() as u64;
        self.nanoseconds.saturating_record_n(time, operations);
    }

    /// How many.
    pub(crate) fn count(&self) -> u64 {
        self.nanoseconds.len()
    }

    /// This part of them took no longer, in microseconds; 0 when there are none.
    pub(crate) fn quantile_us(&self, part: f64) -> f64 {
        if self.nanoseconds.is_empty() {
            return 0.0;
        }
        self.nanoseconds.value_at_quantile(part) as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_a_ratio_is_of_medians() {
        let odd = Spread::of([5.0, 1.0, 9.0]);
        assert_eq!((odd.min, odd.median, odd.max), (1.0, 5.0, 9.0));
        let even = Spread::of([4.0, 1.0, 2.0, 100.0]);
        assert_eq!((even.min, even.median, even.max), (1.0, 3.0, 100.0));
        assert_eq!(odd.ratio(&even), Some(5.0 / 3.0));
        assert_eq!(odd.ratio(&Spread::of([])), None);
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let mut all = Latencies::new().unwrap();
        for us in (1..=999).rev() {
            all.add(Duration::from_micros(us), 1);
        }
        all.add(Duration::from_secs(1000), 1);
        assert_eq!(all.count(), 1000);
        for (part, us) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0)] {
            let found = all.quantile_us(part);
            assert!((found / us - 1.0).abs() < 0.002, "{part}: {found}");
        }
        let longest = all.quantile_us(1.0);
        assert!((longest / 120e6 - 1.0).abs() < 0.002, "{longest}");
        assert_eq!(Latencies::new().unwrap().quantile_us(0.5), 0.0);
    }

    #[test]
    fn a_batch_counts_as_many_times_as_it_has_operations() {
        let mut all = Latencies::new().unwrap();
        all.add(Duration::from_micros(10), 32);
        all.add(Duration::from_micros(1000), 1);
        assert_eq!(all.count(), 33);
        assert!(all.quantile_us(0.9) < 11.0);
    }
}
