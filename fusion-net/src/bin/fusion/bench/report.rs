//! The figures of all repetitions side by side.

use super::action::Action;
use super::common::Machine;
use super::figures::Spread;
use super::keys::Popularity;
use super::measure::Sample;
use super::plan::{Cell, Plan, Side};
use super::table::{Sheet, number, times};
use serde::Serialize;
use std::collections::BTreeMap;

/// Wrong answers that are told in words.
const EXAMPLES: usize = 10;

/// What one line is about; in the order of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Key {
    /// What was done.
    pub(crate) action: Action,
    /// The length of a value.
    pub(crate) value_bytes: usize,
    /// Whether some keys were more popular.
    pub(crate) zipf: bool,
    /// How many at a time.
    pub(crate) in_flight: usize,
    /// By whom.
    pub(crate) side: Side,
}

impl Key {
    /// An action of this cell.
    pub(crate) fn new(action: Action, cell: &Cell) -> Key {
        Key {
            action,
            value_bytes: cell.value_bytes,
            zipf: cell.popularity == Popularity::Zipf,
            in_flight: cell.in_flight,
            side: cell.side,
        }
    }

    fn is_beside(&self, other: &Key) -> bool {
        let key = |key: &Key| (key.action, key.value_bytes, key.zipf, key.in_flight);
        key(self) == key(other)
    }

    /// What and how, but not by whom and by how many.
    pub(crate) fn title(&self) -> String {
        let keys = match (self.action.is_steady(), self.zipf) {
            (true, true) => ", Zipf keys",
            (true, false) => ", uniform keys",
            (false, _) => "",
        };
        let redis = self.action.redis().unwrap_or("no equal");
        format!(
            "{} (Redis: {redis}), {} B{keys}",
            self.action.name(),
            self.value_bytes
        )
    }
}

/// One line.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// What it is about.
    #[serde(flatten)]
    pub(crate) key: Key,
    /// Operations a second.
    pub(crate) per_second: Spread,
    /// Latencies in microseconds.
    pub(crate) p50_us: Spread,
    /// 99 of 100.
    pub(crate) p99_us: Spread,
    /// 999 of 1000.
    pub(crate) p999_us: Spread,
    /// Processor time of all servers for an operation, in microseconds.
    pub(crate) server_cpu_us: Spread,
    /// Of the client.
    pub(crate) client_cpu_us: Spread,
    /// Medians over those of Redis: of its connections whichever is faster. `None` without it.
    pub(crate) against_redis: Option<Ratios>,
}

/// Ratios of medians, and of each repetition where they lie far apart.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Ratios {
    /// More is better.
    pub(crate) per_second: Option<f64>,
    /// The same, of each repetition.
    pub(crate) per_second_each: Spread,
    /// Less is better.
    pub(crate) p50: Option<f64>,
    /// The same, of each repetition.
    pub(crate) p50_each: Spread,
    /// Less is better.
    pub(crate) p99: Option<f64>,
    /// Less is better.
    pub(crate) server_cpu: Option<f64>,
}

/// What was run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Settings {
    pub(crate) primaries: usize,
    pub(crate) faults: usize,
    #[serde(flatten)]
    pub(crate) plan: Plan,
    pub(crate) seconds: f64,
    pub(crate) repetitions: u16,
    pub(crate) seed: u64,
    pub(crate) machine: Machine,
}

impl Settings {
    /// In one line.
    pub(crate) fn line(&self) -> String {
        let Settings {
            primaries: n,
            faults: f,
            ..
        } = self;
        let redis = if self.machine.redis.is_some() {
            format!(", beside Redis with {f} replicas of a primary and WAIT {f}")
        } else {
            String::new()
        };
        format!(
            "Fusion {n} + {f}{redis}; median of {} repetitions of {} s, seed {}; {}",
            self.repetitions,
            self.seconds,
            self.seed,
            self.machine.line()
        )
    }
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// What was run.
    pub(crate) settings: Settings,
    /// The lines.
    pub(crate) rows: Vec<Row>,
    /// Wrong answers, in all.
    pub(crate) wrong: u64,
    /// Some of them.
    pub(crate) examples: Vec<String>,
}

impl Report {
    /// Of these samples.
    pub(crate) fn new(settings: Settings, samples: &BTreeMap<Key, Vec<Sample>>) -> Report {
        let mut rows: Vec<Row> = samples.iter().map(|(key, all)| row(*key, all)).collect();
        let compared: Vec<_> = rows.iter().map(|row| ratios(row, &rows, samples)).collect();
        for (row, ratios) in rows.iter_mut().zip(compared) {
            row.against_redis = ratios;
        }
        let all = || {
            samples
                .iter()
                .flat_map(|(key, all)| all.iter().map(move |s| (key, s)))
        };
        let told = all().flat_map(|(key, sample)| {
            let who = key.side.name();
            sample
                .examples
                .iter()
                .map(move |what| format!("{who}: {what}"))
        });
        Report {
            settings,
            rows,
            wrong: all().map(|(_, sample)| sample.wrong).sum(),
            examples: told.take(EXAMPLES).collect(),
        }
    }

    fn sheets(&self) -> Vec<Sheet> {
        let mut sheets: Vec<Sheet> = Vec::new();
        for row in &self.rows {
            let title = row.key.title();
            if sheets.last().is_none_or(|sheet| sheet.title() != title) {
                sheets.push(Sheet::new(
                    &title,
                    [
                        "in flight",
                        "who",
                        "per second",
                        "min",
                        "max",
                        "x Redis",
                        "p50 us",
                        "x",
                        "p99 us",
                        "p99.9 us",
                        "server us/op",
                        "x",
                        "client us/op",
                    ],
                ));
            }
            if let Some(sheet) = sheets.last_mut() {
                sheet.row(cells(row));
            }
        }
        sheets
    }

    fn verdict(&self) -> String {
        if self.wrong == 0 {
            return "all answers were right".to_owned();
        }
        let examples = self.examples.join("\n  ");
        format!("{} WRONG ANSWERS, among them:\n  {examples}", self.wrong)
    }

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        let sheets: Vec<String> = self.sheets().iter().map(Sheet::text).collect();
        format!("\n{}\n\n{}", sheets.join("\n\n"), self.verdict())
    }

    /// For the docs.
    pub(crate) fn markdown(&self) -> String {
        let sheets: Vec<String> = self.sheets().iter().map(Sheet::markdown).collect();
        let line = self.settings.line();
        format!("{line}; {}.\n\n{}\n", self.verdict(), sheets.join("\n\n"))
    }
}

fn row(key: Key, samples: &[Sample]) -> Row {
    let of = |figure: fn(&Sample) -> f64| Spread::of(samples.iter().map(figure));
    Row {
        key,
        per_second: of(Sample::per_second),
        p50_us: of(|s| s.p50_us),
        p99_us: of(|s| s.p99_us),
        p999_us: of(|s| s.p999_us),
        server_cpu_us: of(|s| s.server_cpu_us),
        client_cpu_us: of(|s| s.client_cpu_us),
        against_redis: None,
    }
}

fn ratios(row: &Row, all: &[Row], samples: &BTreeMap<Key, Vec<Sample>>) -> Option<Ratios> {
    let references = all
        .iter()
        .filter(|other| other.key.side.is_reference() && other.key.is_beside(&row.key));
    let fastest = references.max_by(|a, b| a.per_second.median.total_cmp(&b.per_second.median))?;
    let (ours, theirs) = (samples.get(&row.key)?, samples.get(&fastest.key)?);
    let each = |of: fn(&Sample) -> f64| {
        let pairs = ours.iter().zip(theirs).filter(|(_, r)| of(r) > 0.0);
        Spread::of(pairs.map(|(o, r)| of(o) / of(r)))
    };
    Some(Ratios {
        per_second: row.per_second.ratio(&fastest.per_second),
        per_second_each: each(Sample::per_second),
        p50: row.p50_us.ratio(&fastest.p50_us),
        p50_each: each(|s| s.p50_us),
        p99: row.p99_us.ratio(&fastest.p99_us),
        server_cpu: row.server_cpu_us.ratio(&fastest.server_cpu_us),
    })
}

fn cells(row: &Row) -> [String; 13] {
    let ratio = |of: fn(&Ratios) -> Option<f64>| times(row.against_redis.as_ref().and_then(of));
    let range = |of: fn(&Ratios) -> Spread| match row.against_redis.as_ref().map(of) {
        Some(each) if each.min < each.max => {
            format!(" ({} to {})", times(Some(each.min)), times(Some(each.max)))
        }
        _ => String::new(),
    };
    [
        row.key.in_flight.to_string(),
        row.key.side.name().to_owned(),
        number(row.per_second.median),
        number(row.per_second.min),
        number(row.per_second.max),
        ratio(|r| r.per_second) + &range(|r| r.per_second_each),
        number(row.p50_us.median),
        ratio(|r| r.p50) + &range(|r| r.p50_each),
        number(row.p99_us.median),
        number(row.p999_us.median),
        number(row.server_cpu_us.median),
        ratio(|r| r.server_cpu),
        number(row.client_cpu_us.median),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(per_second: &[u64]) -> Vec<Sample> {
        let sample = |&operations: &u64| Sample {
            operations,
            seconds: 1.0,
            p50_us: 1e6 / operations as f64,
            ..Sample::default()
        };
        per_second.iter().map(sample).collect()
    }

    fn report(samples: BTreeMap<Key, Vec<Sample>>) -> Report {
        let settings = Settings {
            primaries: 5,
            faults: 2,
            plan: Plan {
                workloads: Vec::new(),
                values: vec![64],
                popularities: Vec::new(),
                in_flight: vec![64],
                keys: 1,
            },
            seconds: 1.0,
            repetitions: 3,
            seed: 1,
            machine: Machine::default(),
        };
        Report::new(settings, &samples)
    }

    fn key(side: Side, in_flight: usize) -> Key {
        Key {
            action: Action::Get,
            value_bytes: 64,
            zipf: false,
            in_flight,
            side,
        }
    }

    #[test]
    fn ratios_are_of_medians_against_the_faster_kind_of_redis() {
        let all = BTreeMap::from([
            (key(Side::Fusion, 64), samples(&[300, 100, 900])),
            (key(Side::Redis, 64), samples(&[50, 60, 70])),
            (key(Side::RedisShared, 64), samples(&[100, 150, 1000])),
            // Many writes before a WAIT are no reference, and neither are other numbers in flight.
            (key(Side::RedisMany, 64), samples(&[5000])),
            (key(Side::Redis, 256), samples(&[7000])),
        ]);
        let report = report(all);
        let fusion = report.rows[0].against_redis.unwrap();
        assert_eq!(fusion.per_second, Some(2.0));
        assert!((fusion.p50.unwrap() - 0.5).abs() < 1e-9);
        // 300/100, 100/150 and 900/1000.
        let each = fusion.per_second_each;
        assert!((each.min - 2.0 / 3.0).abs() < 1e-9 && (each.max - 3.0).abs() < 1e-9);
        assert!(
            report.text().contains("2.00 (0.67 to 3.00)"),
            "{}",
            report.text()
        );
        assert!(report.text().contains("all answers were right"));
    }

    #[test]
    fn without_redis_there_is_no_ratio() {
        let report = report(BTreeMap::from([(key(Side::Fusion, 1), samples(&[1]))]));
        assert!(report.rows[0].against_redis.is_none());
        assert!(report.markdown().contains("| 1 | Fusion | 1"));
    }

    #[test]
    fn wrong_answers_are_counted_and_told() {
        let mut all = samples(&[1, 1]);
        all[1].blame("nothing came".to_owned());
        let report = report(BTreeMap::from([(key(Side::Redis, 1), all)]));
        assert_eq!(report.wrong, 1);
        assert!(report.text().contains("Redis: nothing came"));
    }
}
