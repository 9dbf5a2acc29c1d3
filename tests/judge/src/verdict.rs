//! The verdict on a file.

use crate::future::Future;
use crate::record::{Kind, Outcome, Record, Told};
use crate::register::Register;
use crate::sequence::{Ahead, Sequence};
use crate::table::{Keyed, Table};
use crate::windows::{self, Operation, Refusal, Structure};
use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::Arc;

/// What was judged, and what is wrong.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Histories: lists, queues, entries of maps, and maps as a whole.
    pub histories: usize,
    /// Operations in the file.
    pub operations: usize,
    /// Of them, those of unknown outcome.
    pub unknown: usize,
    /// What no order of operations explains.
    pub wrong: Vec<String>,
    /// What could not be decided, and why.
    pub undecided: Vec<String>,
}

/// Judges every history of a file.
///
/// # Errors
/// A line that cannot be read, or does not say what it must, with its number.
pub fn judge(file: impl BufRead) -> Result<Verdict, String> {
    let mut verdict = Verdict::default();
    let mut structures: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for (number, line) in file.lines().enumerate() {
        let at = |error: &dyn std::fmt::Display| format!("line {}: {error}", number + 1);
        let line = line.map_err(|e| at(&e))?;
        let record: Record = serde_json::from_str(&line).map_err(|e| at(&e))?;
        sound(&record).map_err(|e| at(&e))?;
        verdict.operations += 1;
        verdict.unknown += usize::from(record.outcome == Outcome::Unknown);
        structures
            .entry(record.structure.clone())
            .or_default()
            .push(record);
    }
    for (name, records) in structures {
        if let Some(other) = records.iter().find(|r| r.kind != records[0].kind) {
            return Err(format!(
                "{name} is a {:?} and a {:?}",
                records[0].kind, other.kind
            ));
        }
        verdict.structure(&name, records);
    }
    Ok(verdict)
}

/// What every line must say.
fn sound(record: &Record) -> Result<(), &'static str> {
    match (record.outcome, record.returned_us, &record.result) {
        (Outcome::Ok, Some(_), None) => Err("answered, and no result"),
        (Outcome::Ok | Outcome::Failed, None, _) => Err("it returned, and not when"),
        (Outcome::Failed | Outcome::Unknown, _, Some(_)) => Err("a result without an answer"),
        (_, Some(returned), _) if returned < record.invoked_us => {
            Err("it returned before it was asked")
        }
        _ => Ok(()),
    }
}

impl Verdict {
    fn structure(&mut self, name: &str, mut records: Vec<Record>) {
        records.retain(matters);
        if records.is_empty() {
            return;
        }
        if records[0].kind != Kind::Map {
            let future = Arc::new(Future::of(&records));
            return self.history::<Sequence>(name, &records, |r| Ahead {
                asked: r.asked.clone(),
                returned_us: r.returned_us.unwrap_or(u64::MAX),
                future: Arc::clone(&future),
            });
        }
        let mut keys: BTreeMap<&str, Vec<Record>> = BTreeMap::new();
        for record in &records {
            if let Some(key) = &record.key {
                keys.entry(key).or_default().push(record.clone());
            }
        }
        for (key, records) in keys {
            self.history::<Register>(&format!("{name}, {key}"), &records, |r| r.asked.clone());
        }
        if records.iter().any(|r| r.key.is_none()) {
            self.history::<Table>(&format!("{name} as a whole"), &records, |r| Keyed {
                key: r.key.as_deref().map(Arc::from),
                asked: r.asked.clone(),
            });
        }
    }

    fn history<S: Structure>(
        &mut self,
        name: &str,
        records: &[Record],
        asked: impl Fn(&Record) -> S::Operation,
    ) {
        self.histories += 1;
        let operation = |record: &Record| Operation {
            asked: asked(record),
            told: record.result.clone(),
            invoked_us: record.invoked_us,
            returned_us: record.returned_us.filter(|_| record.outcome == Outcome::Ok),
        };
        let clients = |from: u64, to: u64| {
            let within = |r: &&Record| r.invoked_us <= to && r.returned_us.unwrap_or(to) >= from;
            let lines = records.iter().filter(within).take(MAX_SHOWN);
            let line = |r: &Record| {
                let (client, from) = (r.client, r.invoked_us);
                format!(
                    "\n  client {client} at {from}: {:?} {:?} {:?}",
                    r.key, r.asked, r.result
                )
            };
            lines.map(line).collect::<String>()
        };
        match windows::judge::<S>(records.iter().map(operation).collect()) {
            Ok(()) => {}
            Err(Refusal::Wrong { from_us, to_us }) => self.wrong.push(format!(
                "{name}: no order explains what was told from {from_us} to {to_us} us{}",
                clients(from_us, to_us)
            )),
            Err(Refusal::TooMany { at_us }) => {
                self.undecided
                    .push(format!("{name}: too much is unknown by {at_us} us"));
            }
        }
    }
}

/// So many operations of a piece that is wrong are shown.
const MAX_SHOWN: usize = 12;

/// Not what surely had no effect, nor what was refused for its size, nor reads that nobody heard of.
fn matters(record: &Record) -> bool {
    match record.outcome {
        Outcome::Ok => !matches!(record.result, Some(Told::Refused(_))),
        Outcome::Failed => false,
        Outcome::Unknown => record.asked.changes(),
    }
}
