//! Who is measured, and the table of what was measured.

use std::fmt;
use std::time::{Duration, Instant};

/// Rounds: each times everybody once, so that a disturbance meets all alike.
const ROUNDS: usize = 15;

/// How long one contestant's turn lasts at least.
const TURN: Duration = Duration::from_millis(2);

/// A name and the work to be timed.
pub(crate) struct Contestant {
    name: String,
    run: Box<dyn FnMut()>,
}

impl Contestant {
    pub(crate) fn new(name: impl Into<String>, run: impl FnMut() + 'static) -> Self {
        Self {
            name: name.into(),
            run: Box::new(run),
        }
    }

    /// Nanoseconds of one call, over so many.
    fn time(&mut self, calls: u32) -> f64 {
        let start = Instant::now();
        (0..calls).for_each(|_| (self.run)());
        start.elapsed().as_nanos() as f64 / f64::from(calls)
    }

    /// Calls that fill a turn; also warms the caches.
    fn calls(&mut self) -> u32 {
        let mut calls = 1;
        loop {
            let start = Instant::now();
            (0..calls).for_each(|_| (self.run)());
            if start.elapsed() >= TURN || calls > 1 << 24 {
                return calls;
            }
            calls *= 2;
        }
    }
}

/// A column for each case, a row for each contestant; the first one is what the others are compared with.
pub(crate) struct Table {
    title: String,
    unit: &'static str,
    columns: Vec<String>,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    /// Of each column: the value in the table's unit, and the speed as a multiple of the first row's.
    cells: Vec<Option<(f64, f64)>>,
}

impl Table {
    pub(crate) fn new(title: &str, unit: &'static str) -> Self {
        Self {
            title: title.into(),
            unit,
            columns: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Measures a case; `value` makes the table's unit of the median nanoseconds.
    pub(crate) fn column(
        &mut self,
        name: String,
        mut contestants: Vec<Contestant>,
        value: impl Fn(f64) -> f64,
    ) {
        let calls: Vec<u32> = contestants.iter_mut().map(Contestant::calls).collect();
        let mut times = vec![Vec::with_capacity(ROUNDS); contestants.len()];
        for _ in 0..ROUNDS {
            for ((contestant, &calls), times) in contestants.iter_mut().zip(&calls).zip(&mut times)
            {
                times.push(contestant.time(calls));
            }
        }
        let medians: Vec<f64> = times.into_iter().map(median).collect();

        let before = self.columns.len();
        self.columns.push(name);
        for (contestant, &ns) in contestants.iter().zip(&medians) {
            let cell = Some((value(ns), medians[0] / ns));
            match self.rows.iter_mut().find(|row| row.name == contestant.name) {
                Some(row) => row.cells.push(cell),
                None => {
                    let mut cells = vec![None; before];
                    cells.push(cell);
                    self.rows.push(Row {
                        name: contestant.name.clone(),
                        cells,
                    });
                }
            }
        }
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: the first row in {}, the others as multiples of its speed.\n",
            self.title, self.unit
        )?;
        writeln!(f, "| | {} |", self.columns.join(" | "))?;
        writeln!(f, "|---{}|", "|---".repeat(self.columns.len()))?;
        for (number, row) in self.rows.iter().enumerate() {
            write!(f, "| {}", row.name)?;
            for column in 0..self.columns.len() {
                match row.cells.get(column).copied().flatten() {
                    None => write!(f, " | ")?,
                    Some((value, _)) if number == 0 => write!(f, " | {value:.2}")?,
                    Some((_, ratio)) => write!(f, " | {ratio:.2}")?,
                }
            }
            writeln!(f, " |")?;
        }
        Ok(())
    }
}
