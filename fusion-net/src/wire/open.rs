//! The requests of one connection that are not answered yet, and the memory that they take.

use super::frame::OWN_BYTES;
use super::guest::Guest;
use std::collections::HashMap;
use std::io;
use std::task::{Context, Waker};
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;

/// The most requests under way on one connection; more wait to be read.
pub(crate) const MAX_REQUESTS: usize = 1024;

/// What the frame of a request takes.
#[derive(Debug)]
pub(super) struct FrameBytes {
    pub(super) bytes: usize,
    /// What a long one has taken of the common share already.
    pub(super) held: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct Open {
    deadline: Instant,
    /// Of what the connection has of its own.
    own_bytes: usize,
    /// Of the memory that connections share; a request takes about what its frame did.
    _held: Option<OwnedSemaphorePermit>,
}

/// The requests of one connection that are neither answered nor given up.
#[derive(Debug, Default)]
pub(super) struct OpenRequests {
    all: HashMap<u64, Open>,
    /// Of all, without those in the common share; at most [`OWN_BYTES`].
    own_bytes: usize,
    /// No deadline is before this.
    earliest: Option<Instant>,
    /// Whoever reads waits until there are fewer.
    reader: Option<Waker>,
}

impl OpenRequests {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Takes a request in. Small ones have room of the connection's own, in all; the others share.
    ///
    /// # Errors
    /// `OutOfMemory` when there is none left.
    pub(super) fn add(
        &mut self,
        id: u64,
        deadline: Instant,
        frame: FrameBytes,
        guest: &Guest,
    ) -> io::Result<()> {
        let FrameBytes { bytes, mut held } = frame;
        let has_own = held.is_none() && self.own_bytes + bytes <= OWN_BYTES;
        if !has_own {
            let has = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let missing = bytes.div_ceil(1 << 10).saturating_sub(has);
            let more = guest.room_for_request(missing).ok_or_else(no_room)?;
            match &mut held {
                Some(held) => held.merge(more),
                None => held = Some(more),
            }
        }
        let open = Open {
            deadline,
            own_bytes: if has_own { bytes } else { 0 },
            _held: held,
        };
        self.own_bytes += open.own_bytes;
        self.earliest = Some(self.earliest.map_or(deadline, |at| at.min(deadline)));
        // An id used twice is the peer's fault; tarpc refuses the second one.
        if let Some(before) = self.all.insert(id, open) {
            self.own_bytes -= before.own_bytes;
        }
        Ok(())
    }

    /// It is answered, or given up.
    pub(super) fn remove(&mut self, id: u64) {
        if let Some(open) = self.all.remove(&id) {
            self.own_bytes -= open.own_bytes;
            self.wake();
        }
        if self.all.is_empty() {
            self.earliest = None;
        }
    }

    /// Lets those go whose time is over: nobody answers them. Says whether there were any.
    pub(super) fn expire(&mut self) -> bool {
        let Some(earliest) = self.earliest else {
            return false;
        };
        let now = Instant::now();
        if earliest > now {
            return false;
        }
        let before = self.all.len();
        self.all.retain(|_, open| open.deadline > now);
        self.own_bytes = self.all.values().map(|open| open.own_bytes).sum();
        self.earliest = self.all.values().map(|open| open.deadline).min();
        self.wake();
        self.all.len() < before
    }

    /// Whether no further one may be read now; then the task is woken when one may.
    pub(super) fn is_full(&mut self, context: &mut Context<'_>) -> bool {
        let full = self.all.len() >= MAX_REQUESTS;
        if full {
            self.reader = Some(context.waker().clone());
        }
        full
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

fn no_room() -> io::Error {
    io::Error::new(
        io::ErrorKind::OutOfMemory,
        "requests that are under way take all the memory that they may",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn frame(bytes: usize) -> FrameBytes {
        FrameBytes { bytes, held: None }
    }

    #[test]
    fn many_small_requests_take_from_the_share_what_the_connection_has_not() {
        let guest = Guest::alone(1 << 10);
        let mut open = OpenRequests::default();
        let later = Instant::now() + Duration::from_secs(60);
        let part = OWN_BYTES - 1000;
        // One of its own, then four of 256 KiB share a MiB.
        let taken = (0..100).take_while(|&id| open.add(id, later, frame(part), &guest).is_ok());
        assert_eq!(taken.count(), 1 + 4);
        open.remove(2);
        open.add(100, later, frame(part), &guest).unwrap();
        open.remove(0);
        open.add(101, later, frame(part), &guest).unwrap();
        assert!(open.add(102, later, frame(part), &guest).is_err());
        drop(open);
        assert!(
            guest.room_for_request(1 << 10).is_some(),
            "all is given back"
        );
    }

    #[test]
    fn a_request_whose_time_is_over_gives_back_what_it_took() {
        let guest = Guest::alone(1 << 10);
        let mut open = OpenRequests::default();
        let now = Instant::now();
        open.add(1, now, frame(OWN_BYTES), &guest).unwrap();
        open.add(2, now, frame(1 << 20), &guest).unwrap();
        open.add(3, now + Duration::from_secs(60), frame(0), &guest)
            .unwrap();
        assert!(open.expire());
        assert_eq!((open.len(), open.own_bytes), (1, 0));
        assert!(guest.room_for_request(1 << 10).is_some());
        assert!(!open.expire());
        open.remove(3);
        assert_eq!(open.earliest, None);
    }
}
