//! What is said in the end.

use super::ChaosArgs;
use super::nemesis::Tally;
use crate::table::{Table, count};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Of violations and stalls so many are printed.
const MAX_PRINTED: usize = 12;

/// The longest that a client of one structure waited for an answer.
#[derive(Debug, Serialize)]
pub(super) struct Stall {
    /// Which.
    pub(super) structure: String,
    /// How long.
    pub(super) longest_ms: u64,
    /// When it asked, since the beginning.
    pub(super) at_ms: u64,
}

/// Everything.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) primaries: u16,
    pub(super) tolerated_faults: u16,
    pub(super) seconds: f64,
    pub(super) interrupted: bool,
    pub(super) suspect_after_ms: u64,
    pub(super) rounds: u64,
    /// By whom they hit and what they are.
    pub(super) faults: BTreeMap<String, u64>,
    pub(super) operations: u64,
    pub(super) changes: u64,
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) stalls: Vec<Stall>,
    pub(super) detected_ms: Spread,
    pub(super) whole_ms: Spread,
    pub(super) violations: Vec<String>,
}

/// Some measurements.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Spread {
    pub(super) count: usize,
    pub(super) min: u64,
    pub(super) median: u64,
    pub(super) max: u64,
}

impl Spread {
    /// Of these figures.
    pub(super) fn of(mut figures: Vec<u64>) -> Spread {
        figures.sort_unstable();
        let at = |index: usize| figures.get(index).copied().unwrap_or_default();
        Spread {
            count: figures.len(),
            min: at(0),
            median: at(figures.len() / 2),
            max: at(figures.len().saturating_sub(1)),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (min, median, max) = (count(self.min), count(self.median), count(self.max));
        write!(f, "{min} / {median} / {max} ms")
    }
}

impl Report {
    /// What the nemesis says.
    pub(super) fn new(
        args: &ChaosArgs,
        seed: u64,
        active: Duration,
        suspect_after: Duration,
        tally: Tally,
    ) -> Report {
        Report {
            seed,
            primaries: args.primaries,
            tolerated_faults: args.faults,
            seconds: active.as_secs_f64(),
            suspect_after_ms: suspect_after.as_millis() as u64,
            rounds: tally.rounds,
            faults: tally.faults,
            detected_ms: Spread::of(tally.detected_ms),
            whole_ms: Spread::of(tally.whole_ms),
            ..Report::default()
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut faults = Table::new(["FAULT", "TIMES"]);
        for (fault, times) in &self.faults {
            faults.row([fault.clone(), count(*times)]);
        }
        writeln!(f, "{faults}\n")?;
        let mut stalls: Vec<&Stall> = self.stalls.iter().collect();
        stalls.sort_by_key(|stall| std::cmp::Reverse(stall.longest_ms));
        let mut table = Table::new(["STRUCTURE", "LONGEST WAIT MS", "ASKED AT S"]);
        for stall in stalls.iter().take(MAX_PRINTED) {
            let at = format!("{:.1}", stall.at_ms as f64 / 1000.0);
            table.row([stall.structure.clone(), count(stall.longest_ms), at]);
        }
        writeln!(f, "{table}\n")?;
        let injected: u64 = self.faults.values().sum();
        let errors: Vec<String> = self
            .errors
            .iter()
            .map(|(e, n)| format!("{n} {e}"))
            .collect();
        let errors = if errors.is_empty() {
            "none".to_owned()
        } else {
            errors.join(", ")
        };
        let early = if self.interrupted {
            ", ended early"
        } else {
            ""
        };
        let mut table = Table::new(["SUMMARY", ""]);
        let longest = stalls.first().map_or(0, |stall| stall.longest_ms);
        let rows = [
            ("time", format!("{:.0} s{early}", self.seconds)),
            (
                "faults",
                format!("{} in {} rounds", count(injected), self.rounds),
            ),
            (
                "operations",
                format!(
                    "{}, {} of them changes",
                    count(self.operations),
                    count(self.changes)
                ),
            ),
            ("errors", errors),
            (
                "longest wait for an answer",
                format!("{} ms", count(longest)),
            ),
            (
                "deaths noticed after (min / median / max)",
                format!(
                    "{}; set to {} ms",
                    self.detected_ms,
                    count(self.suspect_after_ms)
                ),
            ),
            (
                "whole after the last fault was over",
                self.whole_ms.to_string(),
            ),
        ];
        for (what, value) in rows {
            table.row([what.to_owned(), value]);
        }
        writeln!(f, "{table}\n")?;
        for violation in self.violations.iter().take(MAX_PRINTED) {
            writeln!(f, "WRONG {violation}")?;
        }
        match self.violations.len() {
            0 => write!(
                f,
                "Everything was checked: nothing is lost, nothing made twice, every answer is right."
            ),
            n => write!(f, "FAILED: {n} violations."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_all_figures() {
        let spread = Spread::of(vec![5, 1, 9]);
        assert_eq!(
            (spread.count, spread.min, spread.median, spread.max),
            (3, 1, 5, 9)
        );
        assert_eq!(Spread::of(Vec::new()).max, 0);
    }
}
