//! Ctrl-C and its like: noted, so that the work in hand can stop and clean up.

use anyhow::{Context, Result};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

/// The last signal's number, or 0.
static SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// The user asked to stop.
#[derive(Debug)]
pub(crate) struct Interrupted {
    /// The signal's number.
    pub(crate) signal: usize,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Notes the first signal; the second ends the program at once, should it hang in a write.
///
/// Until it is called, signals end the program as they do: there is nothing to clean up, and a large matrix may be in the
/// making.
pub(crate) fn watch() -> Result<()> {
    watch_all().context("cannot watch for signals")
}

fn watch_all() -> io::Result<()> {
    let again = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))?;
        flag::register(signal, Arc::clone(&again))?;
        flag::register_usize(signal, Arc::clone(&SIGNAL), signal as usize)?;
    }
    // A write beyond the limit of file sizes shall fail, not end the program with its temporary files left behind.
    flag::register(SIGXFSZ, Arc::default())?;
    Ok(())
}

/// Fails once a signal has come. Called before every window.
pub(crate) fn check() -> std::result::Result<(), Interrupted> {
    match SIGNAL.load(Ordering::Relaxed) {
        0 => Ok(()),
        signal => Err(Interrupted { signal }),
    }
}
