//! The state of a member behind a lock that nobody gets after a fault struck half-way (PROTOCOL rule 65).

use std::sync::{Mutex, MutexGuard};

/// A member's state. What panics while it holds the lock may have left half a change: the lock is refused from then on,
/// also to those that wait for it at that moment.
///
/// What is always consistent (lists of connections, of links, of clusters) is behind plain mutexes, whose poison says
/// nothing: see [`lock`](super::host::lock).
#[derive(Debug, Default)]
pub(crate) struct Sound<T>(Mutex<T>);

/// A fault has struck while this state was being changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

impl<T> Sound<T> {
    pub(crate) fn new(state: T) -> Sound<T> {
        Sound(Mutex::new(state))
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// [`Broken`] when a fault has struck under it, before or while this call waited.
    pub(crate) fn lock(&self) -> Result<MutexGuard<'_, T>, Broken> {
        self.0.lock().map_err(|_| Broken)
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.0.is_poisoned()
    }
}
