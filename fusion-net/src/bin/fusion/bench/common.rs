//! What all benchmarks are told alike.

use super::redis::processes;
use crate::output::{self, say};
use crate::playground;
use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where the figures go.
#[derive(Clone, Debug, Args)]
pub(crate) struct OutputArgs {
    /// Write all figures to FILE as JSON; - means standard output, and nothing else goes there then
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the tables to FILE as Markdown
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub(crate) markdown: Option<PathBuf>,
}

/// Whether others are measured beside.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct PeerArgs {
    /// Insist on Redis beside; without this it is measured if it is installed. Tells how to install it where it is not
    #[arg(long, conflicts_with = "no_peers")]
    pub(crate) peers: bool,
    /// Measure Fusion alone
    #[arg(long)]
    pub(crate) no_peers: bool,
}

/// What is measured on, for whoever reads the figures later.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Machine {
    /// How many processors this process may use.
    pub(crate) processors: usize,
    /// Their name.
    pub(crate) processor: String,
    /// A debug build says little.
    pub(crate) debug_build: bool,
    /// Of Redis, if it was there.
    pub(crate) redis: Option<String>,
}

impl Machine {
    /// This one.
    pub(crate) fn here() -> Machine {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = info.lines().find_map(|l| l.strip_prefix("model name"));
        let name = name.and_then(|l| Some(l.split_once(':')?.1.trim().to_owned()));
        Machine {
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            processor: name.unwrap_or_default(),
            debug_build: cfg!(debug_assertions),
            redis: None,
        }
    }

    /// In one line.
    pub(crate) fn line(&self) -> String {
        let redis = self.redis.as_deref();
        let redis = redis.map_or_else(
            || "no Redis".to_owned(),
            |version| format!("Redis {version}"),
        );
        let build = if self.debug_build {
            "; a debug build: these figures say little"
        } else {
            ""
        };
        let name = &self.processor;
        let plural = if self.processors == 1 { "" } else { "s" };
        format!(
            "{} processor{plural} ({name}), {redis}{build}",
            self.processors
        )
    }
}

impl PeerArgs {
    /// Whether Redis is measured; says so where it is not installed.
    ///
    /// # Errors
    /// When it must be and is not there.
    pub(crate) fn redis(self, output: &OutputArgs) -> anyhow::Result<bool> {
        if self.no_peers {
            return Ok(false);
        }
        let there = processes::program().is_some();
        if !there && self.peers {
            bail!("redis-server is not there; {}", processes::HOW);
        }
        if !there {
            output.note(&format!("without Redis: {}", processes::HOW))?;
        }
        Ok(there)
    }
}

impl OutputArgs {
    /// Whether standard output is for JSON.
    pub(crate) fn quiet(&self) -> bool {
        self.json.as_deref() == Some(Path::new("-"))
    }

    /// A line for people.
    pub(crate) fn note(&self, text: &str) -> io::Result<()> {
        if self.quiet() { Ok(()) } else { say!("{text}") }
    }

    /// What is left of a run that somebody has stopped.
    pub(crate) fn interrupted(&self) -> anyhow::Result<ExitCode> {
        self.note("\nstopped: nothing was written")?;
        Ok(ExitCode::from(playground::INTERRUPTED))
    }

    /// Refuses files that cannot be written, before anything is measured.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let files = [&self.json, &self.markdown];
        if self.markdown.as_deref() == Some(Path::new("-")) {
            bail!("--markdown -: name a file; only --json goes to standard output");
        }
        for file in files.into_iter().flatten() {
            writable(file)?;
        }
        Ok(())
    }

    /// Writes what was measured where it is wanted.
    pub(crate) fn write(&self, figures: &impl Serialize, markdown: &str) -> anyhow::Result<()> {
        match &self.json {
            Some(_) if self.quiet() => output::json(figures)?,
            Some(file) => {
                let text = serde_json::to_string_pretty(figures).map_err(io::Error::from)?;
                write(file, &format!("{text}\n"))?;
            }
            None => {}
        }
        match &self.markdown {
            Some(file) => write(file, markdown),
            None => Ok(()),
        }
    }
}

/// Refuses a file that cannot be written; leaves what is in it.
pub(crate) fn writable(file: &Path) -> anyhow::Result<()> {
    if file == Path::new("-") {
        return Ok(());
    }
    let opened = File::options().append(true).create(true).open(file);
    opened.with_context(|| format!("cannot write {}", file.display()))?;
    Ok(())
}

/// Writes a whole file.
pub(crate) fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let written = File::create(file).and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {}", file.display()))
}

/// A file, which standard output is not.
pub(crate) fn file(text: &str) -> Result<PathBuf, String> {
    match text {
        "-" => Err("standard output takes --json - alone; name a file".to_owned()),
        path => Ok(PathBuf::from(path)),
    }
}

/// Seconds, with a fraction if need be.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    number
        .filter(|s| (0.02..=3600.0).contains(s))
        .ok_or_else(|| format!("{text:?} is no number of seconds from 0.02 to 3600"))
}
