//! What the demo fills its map with, and what must be found there again.

use super::words::Words;
use crate::output::say;
use crate::progress::Progress;
use crate::table::{bytes, count};
use anyhow::Context;
use fusion_net::client::{Error, Map};
use futures::StreamExt;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How many puts are under way at a time.
const IN_FLIGHT: usize = 512;
/// How many bytes of a file are read between two rounds of puts.
const BLOCK_BYTES: usize = 1 << 20;

/// Where the elements come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// So many made up ones.
    MadeUp(u64),
    /// The words of a text, counted.
    Text(PathBuf, File),
}

impl Source {
    /// Opens the file, if there is one, before anything is started.
    pub(crate) fn open(elements: u64, load: Option<&Path>) -> anyhow::Result<Source> {
        let Some(path) = load else {
            return Ok(Source::MadeUp(elements));
        };
        let cannot = || format!("cannot read {}", path.display());
        let file = File::open(path).with_context(cannot)?;
        anyhow::ensure!(
            !file.metadata().with_context(cannot)?.is_dir(),
            "{} is a folder; --load wants a text file",
            path.display()
        );
        Ok(Source::Text(path.to_owned(), file))
    }
}

/// What was put. Made up elements need no memory; the words of a text are held here once.
#[derive(Debug)]
pub(crate) enum Loaded {
    /// Elements 0 to this number.
    MadeUp(u64),
    /// Words and how often each was seen.
    Counts(HashMap<String, u64>),
}

impl Loaded {
    /// How many entries there must be.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Loaded::MadeUp(elements) => *elements,
            Loaded::Counts(counts) => counts.len() as u64,
        }
    }

    /// The value that a key must have; `None` when it was not put.
    pub(crate) fn expected(&self, key: &str) -> Option<String> {
        match self {
            Loaded::MadeUp(elements) => {
                let number: u64 = key.strip_prefix("element-")?.parse().ok()?;
                (number < *elements && key == made_up_key(number)).then(|| made_up_value(number))
            }
            Loaded::Counts(counts) => counts.get(key).map(u64::to_string),
        }
    }

    /// Some of the keys: at most `most`, spread over all.
    pub(crate) fn sample(&self, most: u64) -> Vec<String> {
        let step = self.len().div_ceil(most).max(1);
        match self {
            Loaded::MadeUp(elements) => (0..*elements)
                .step_by(step as usize)
                .map(made_up_key)
                .collect(),
            Loaded::Counts(counts) => counts.keys().step_by(step as usize).cloned().collect(),
        }
    }
}

fn made_up_key(number: u64) -> String {
    format!("element-{number:08}")
}

/// 64 characters, different in each element.
fn made_up_value(number: u64) -> String {
    let mixed = |salt: u64| {
        (number ^ salt)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
    };
    format!(
        "{:016x}{:016x}{:016x}{:016x}",
        number,
        mixed(1),
        mixed(2),
        mixed(3)
    )
}

/// Puts everything into the map.
pub(crate) async fn load(source: Source, map: &Map<String, String>) -> anyhow::Result<Loaded> {
    let started = Instant::now();
    let mut progress = Progress::new();
    let (loaded, puts) = match source {
        Source::MadeUp(elements) => {
            let mut next = 0;
            while next < elements {
                let end = elements.min(next + 100_000);
                put_all(map, (next..end).map(|i| (made_up_key(i), made_up_value(i)))).await?;
                next = end;
                progress.show(
                    "loading:",
                    &format!("{} of {} elements", count(next), count(elements)),
                )?;
            }
            (Loaded::MadeUp(elements), elements)
        }
        Source::Text(path, file) => load_text(&path, file, map, &mut progress).await?,
    };
    progress.end()?;
    let seconds = started.elapsed().as_secs_f64();
    say!(
        "  loaded {} elements by {} puts in {seconds:.2} s: {} acknowledged puts a second",
        count(loaded.len()),
        count(puts),
        count((puts as f64 / seconds.max(1e-6)) as u64)
    )?;
    Ok(loaded)
}

/// Reads a block, counts its words, and puts the new counts of those that were in it; and so on.
async fn load_text(
    path: &Path,
    file: File,
    map: &Map<String, String>,
    progress: &mut Progress,
) -> anyhow::Result<(Loaded, u64)> {
    let mut words = Words::new(BufReader::with_capacity(BLOCK_BYTES, file));
    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut puts = 0;
    let mut more = true;
    while more {
        let mut seen: HashSet<String> = HashSet::new();
        let block = words.block(|word| {
            match counts.get_mut(&word) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(word.clone(), 1);
                }
            }
            seen.insert(word);
        });
        more = block.with_context(|| format!("cannot read {}", path.display()))?;
        // A text without words never waits for a put: let Ctrl-C be heard.
        tokio::task::yield_now().await;
        puts += seen.len() as u64;
        let entries = seen.into_iter().map(|word| {
            let count = counts.get(&word).copied().unwrap_or_default().to_string();
            (word, count)
        });
        put_all(map, entries).await?;
        progress.show(
            "loading:",
            &format!(
                "{} read, {} words",
                bytes(words.bytes),
                count(counts.len() as u64)
            ),
        )?;
    }
    Ok((Loaded::Counts(counts), puts))
}

async fn put_all(
    map: &Map<String, String>,
    entries: impl Iterator<Item = (String, String)>,
) -> Result<(), Error> {
    let puts = entries.map(|(key, value)| async move { map.put(&key, &value).await });
    let mut puts = futures::stream::iter(puts).buffer_unordered(IN_FLIGHT);
    while let Some(put) = puts.next().await {
        put?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_elements_are_known_without_being_held() {
        let loaded = Loaded::MadeUp(100);
        assert_eq!(made_up_value(7).len(), 64);
        assert_eq!(loaded.expected(&made_up_key(7)), Some(made_up_value(7)));
        assert_ne!(made_up_value(7), made_up_value(8));
        for wrong in ["element-00000100", "element-7", "other", "element-"] {
            assert_eq!(loaded.expected(wrong), None, "{wrong}");
        }
        assert_eq!(loaded.sample(10).len(), 10);
    }
}
