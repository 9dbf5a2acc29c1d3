//! Progress for whoever watches: one line that changes on a terminal, else a line for each news.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two lines where there is no terminal.
const SELDOM: Duration = Duration::from_secs(2);

/// One thing that takes a while.
#[derive(Debug)]
pub(crate) struct Progress {
    silent: bool,
    terminal: bool,
    shown: Option<(String, Instant)>,
}

impl Progress {
    /// Nothing is shown yet.
    pub(crate) fn new() -> Progress {
        Progress {
            silent: false,
            terminal: std::io::stdout().is_terminal(),
            shown: None,
        }
    }

    /// Shows nothing ever.
    pub(crate) fn silent() -> Progress {
        Progress {
            silent: true,
            ..Progress::new()
        }
    }

    /// Shows how far it is. `stage` is what is news even where there is no terminal.
    pub(crate) fn show(&mut self, stage: &str, detail: &str) -> std::io::Result<()> {
        if self.silent {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        let detail = detail.trim_end();
        if self.terminal {
            write!(out, "\r\x1b[K  {stage} {detail}")?;
            out.flush()?;
        } else {
            let known = |(shown, at): &(String, Instant)| shown == stage && at.elapsed() < SELDOM;
            if self.shown.as_ref().is_some_and(known) {
                return Ok(());
            }
            writeln!(out, "  {stage} {detail}")?;
        }
        self.shown = Some((stage.to_owned(), Instant::now()));
        Ok(())
    }

    /// Makes room for other output.
    pub(crate) fn end(&mut self) -> std::io::Result<()> {
        if self.terminal && self.shown.take().is_some() {
            let mut out = std::io::stdout().lock();
            write!(out, "\r\x1b[K")?;
            out.flush()?;
        }
        Ok(())
    }
}
