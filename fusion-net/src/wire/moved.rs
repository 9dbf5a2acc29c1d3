//! When something long last moved on a connection, though it was not whole yet (PROTOCOL rule 57).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Frames of fewer bytes are not waited for: nobody is told that they move.
pub(super) const LONG_BYTES: usize = 16 << 10;
/// Who sends a long frame is told at most this often that more of it has come in.
pub(super) const SAY_MOVES: Duration = Duration::from_millis(25);

/// Of one connection of one's own making: when some of a long answer last came in, or the other side last said that some
/// of a long request had. What a socket has taken of a request may wait in buffers for seconds, and counts for nothing.
#[derive(Clone, Debug, Default)]
pub struct Moved(Arc<Mutex<Option<Instant>>>);

impl Moved {
    pub(super) fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(crate) fn at(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
