//! Looks at everything that was recorded: the checkers of `fusion_core::history`, and what the processes logged.

use super::histories::{Histories, save};
use super::load::Load;
use super::load::{Structure, WRITERS};
use super::report::{Report, Stall};
use anyhow::{Context, bail};
use fusion_core::history::{self, Contents, History, Model, Operation, Outcome};
use fusion_core::id::Seq;
use fusion_core::op::{Kind, Op, Reply};
use fusion_net::client::Raw;
use std::path::Path;

/// What a process logs only when there is a bug in it.
const NEVER_SAID: [&str; 4] = [
    "panicked at",
    "a recovered image is damaged",
    "two configurations of one epoch",
    "a fused member refused changes: malformed",
];
/// The most entries of one answer; more are asked for again.
const LIMIT: u32 = 4096;

/// Adds what is wrong and what was measured. The contents are looked at only when everything is `whole`.
pub(super) async fn check(
    report: &mut Report,
    load: &Load,
    folder: &Path,
    whole: bool,
    histories: &mut Histories,
) -> anyhow::Result<()> {
    for structure in &load.structures {
        let name = format!("{} {}", structure.cluster, structure.index);
        let contents = if whole {
            Some(
                contents(&structure.raw, structure.kind)
                    .await
                    .with_context(|| name.clone())?,
            )
        } else {
            None
        };
        let (operations, errors, wrong) = structure.record.take();
        for (error, count) in errors {
            *report.errors.entry(error).or_default() += count;
        }
        let wrong = wrong
            .into_iter()
            .map(|said| format!("{name}: a wrong error: {said}"));
        report.violations.extend(wrong);
        measure(report, structure, &operations);
        // The descriptor of the structure, and the session of each writer, opened and closed.
        let others = 1 + 2 * WRITERS;
        let history = History {
            kind: structure.kind,
            operations,
            others,
            contents,
        };
        let (violations, history) = tokio::task::spawn_blocking(move || {
            let violations = history::check(&history);
            (violations, history)
        })
        .await?;
        histories.add(&name, &history)?;
        if !violations.is_empty() || !whole {
            let path = folder.join(format!(
                "history-{}-{}.jsonl",
                structure.cluster, structure.index
            ));
            let saved = tokio::task::spawn_blocking(move || save(&path, &history.operations));
            saved.await?.context("cannot write the histories")?;
        }
        let violations = violations.into_iter().map(|v| format!("{name}: {v}"));
        report.violations.extend(violations);
    }
    logs(report, folder)
}

fn measure(report: &mut Report, structure: &Structure, operations: &[Operation]) {
    report.operations += operations.len() as u64;
    let changes = operations.iter().filter(|o| o.op.is_mutation());
    report.changes += changes.count() as u64;
    let waited = |o: &&Operation| o.returned_us - o.invoked_us;
    // A call that gave up says less about how long the structure was away than those that were answered after it.
    let answered = operations
        .iter()
        .filter(|o| matches!(o.outcome, Outcome::Answered { .. }));
    if let Some(longest) = answered.max_by_key(waited) {
        report.stalls.push(Stall {
            structure: format!("{} {}", structure.cluster, structure.index),
            longest_ms: waited(&longest) / 1000,
            at_ms: longest.invoked_us / 1000,
        });
    }
}

/// All that a structure holds while nobody changes it.
async fn contents(raw: &Raw, kind: Kind) -> anyhow::Result<Contents> {
    let mut model = Model::new(kind);
    let (mut cursor, mut seq) = (None, None);
    loop {
        let op = match &model {
            Model::Sequence(_, elements) => Op::Range {
                start: elements.len() as u64,
                limit: LIMIT,
            },
            Model::Map(_) => Op::Scan {
                cursor,
                limit: LIMIT,
            },
        };
        let answer = raw.ask(op).await?;
        let first: Seq = *seq.get_or_insert(answer.seq);
        if answer.seq != first {
            bail!(
                "it is changed while nobody should: {first} and {} were its last changes",
                answer.seq
            );
        }
        match (&mut model, answer.result) {
            (Model::Sequence(..), Ok(Reply::Values(values))) if values.is_empty() => {}
            (Model::Sequence(_, elements), Ok(Reply::Values(values))) => {
                elements.extend(values);
                continue;
            }
            (Model::Map(all), Ok(Reply::Entries { entries, next })) => {
                for (key, value) in entries {
                    if all.insert(key.clone(), value).is_some() {
                        bail!("{key:?} is there twice");
                    }
                }
                cursor = next;
                if cursor.is_some() {
                    continue;
                }
            }
            (_, told) => bail!("its contents were asked for, and the answer is {told:?}"),
        }
        return Ok(Contents { seq: first, model });
    }
}

fn logs(report: &mut Report, folder: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "log") {
            continue;
        }
        let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
        let bad = |line: &&str| NEVER_SAID.iter().any(|what| line.contains(what));
        if let Some(line) = text.lines().find(bad) {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            report.violations.push(format!("{name} says: {line}"));
        }
    }
    Ok(())
}
