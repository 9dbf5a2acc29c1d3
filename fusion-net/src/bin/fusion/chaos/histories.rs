//! What the clients saw, written to files.

use anyhow::Context;
use fusion_core::history::export::records;
use fusion_core::history::{History, Operation};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// The file of `--history`, if there is to be one.
pub(super) struct Histories {
    file: Option<BufWriter<File>>,
}

impl Histories {
    /// Creates the file, so that a path that cannot be written is told of at once.
    pub(super) fn new(path: Option<&Path>) -> anyhow::Result<Histories> {
        let create = |path: &Path| {
            let file = File::create(path);
            let file = file.with_context(|| format!("cannot write {}", path.display()))?;
            anyhow::Ok(BufWriter::new(file))
        };
        Ok(Histories {
            file: path.map(create).transpose()?,
        })
    }

    /// Adds the history of the structure of this name.
    pub(super) fn add(&mut self, name: &str, history: &History) -> anyhow::Result<()> {
        if let Some(file) = &mut self.file {
            for record in records(name, history) {
                line(file, &record).context("cannot write the file of --history")?;
            }
        }
        Ok(())
    }

    /// Everything was added.
    pub(super) fn end(self) -> anyhow::Result<()> {
        let flushed = self.file.map_or(Ok(()), |mut file| file.flush());
        flushed.context("cannot write the file of --history")
    }
}

/// Writes operations as our own checkers see them, with the numbers of changes.
pub(super) fn save(path: &Path, operations: &[Operation]) -> anyhow::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for operation in operations {
        line(&mut file, operation)?;
    }
    Ok(file.flush()?)
}

fn line(file: &mut impl Write, value: &impl serde::Serialize) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *file, value)?;
    Ok(writeln!(file)?)
}
