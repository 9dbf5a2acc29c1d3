//! What the user is told: lines on standard output, warnings and errors on standard error, the exit status.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::builder::TypedValueParser;
use jerasure::Technique;

use crate::interrupt::Interrupted;

/// A mistake in the command line, found after it was parsed: exit status 2.
#[derive(Debug)]
pub(crate) struct Usage(String);

impl Usage {
    /// Of this kind.
    pub(crate) fn new(why: impl Display) -> Self {
        Self(why.to_string())
    }
}

impl Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Prints one line on standard output.
pub(crate) fn line(line: impl Display) -> Result<()> {
    writeln!(io::stdout(), "{line}").context("cannot write standard output")
}

/// Prints one line on standard error.
pub(crate) fn warn(line: impl Display) {
    // There is nowhere to report that standard error is closed.
    let _ = writeln!(io::stderr(), "jerasure: warning: {line}");
}

/// Prints the error in one line and tells the exit status: 2 for usage, 1 for the rest, 128 and the number for signals.
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    let closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    if !error.downcast_ref::<io::Error>().is_some_and(closed) {
        // A file's name may hold line breaks.
        let line = format!("{error:#}").replace(['\n', '\r'], " ");
        let _ = writeln!(io::stderr(), "jerasure: {line}");
    }
    if let Some(Interrupted { signal }) = error.downcast_ref() {
        return ExitCode::from(128 + *signal as u8);
    }
    ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
}

/// Parses a technique and lists them in the help.
pub(crate) fn technique() -> impl TypedValueParser<Value = Technique> {
    let names = Technique::ALL.iter().map(|technique| technique.name());
    clap::builder::PossibleValuesParser::new(names)
        .map(|name| name.parse().expect("a technique's name is a technique"))
}
