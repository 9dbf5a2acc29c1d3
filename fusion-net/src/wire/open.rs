//! The requests of one connection that are not answered yet, and the memory that they take.

use super::frame::OWN_BYTES;
use super::guest::Guest;
use super::room::Room;
use std::collections::HashMap;
use std::io;
use std::task::{Context, Waker};
use std::time::Instant;

/// The most requests under way on one connection; more wait to be read.
pub(crate) const MAX_REQUESTS: usize = 1024;

/// What the frame of a request takes.
#[derive(Debug)]
pub(super) struct FrameBytes {
    pub(super) bytes: usize,
    /// What a long one has taken of the common share already.
    pub(super) held: Room,
}

#[derive(Debug)]
struct Open {
    deadline: Instant,
    /// Of what the connection has of its own.
    own_bytes: usize,
    /// Of the memory that connections share, unless the request holds it; it takes about what its frame did.
    _held: Room,
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

    /// Takes a request in. Small ones have room of the connection's own, in all; the others share. A request with a place
    /// for it holds what it takes of the share, and gives it back when it is worked off.
    ///
    /// # Errors
    /// `OutOfMemory` when there is none left.
    pub(super) fn add(
        &mut self,
        id: u64,
        deadline: Instant,
        frame: FrameBytes,
        guest: &Guest,
        place: Option<&mut Room>,
    ) -> io::Result<()> {
        let FrameBytes { bytes, mut held } = frame;
        let has_own = held.kib() == 0 && self.own_bytes + bytes <= OWN_BYTES;
        if !has_own && !guest.room_for_request(&mut held, bytes.div_ceil(1 << 10)) {
            return Err(no_room());
        }
        if let Some(place) = place {
            *place = std::mem::take(&mut held);
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

    /// Whether no further one may be read now, with at most so many; then the task is woken when one may.
    pub(super) fn is_full(&mut self, most: usize, context: &mut Context<'_>) -> bool {
        let full = self.all.len() >= most;
        if full {
            self.reader = Some(context.waker().clone());
        }
        full
    }

    pub(super) fn wake(&mut self) {
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
        FrameBytes {
            bytes,
            held: Room::default(),
        }
    }

    #[test]
    fn many_small_requests_take_from_the_share_what_the_connection_has_not() {
        let guest = Guest::alone(1 << 10);
        let mut open = OpenRequests::default();
        let later = Instant::now() + Duration::from_secs(60);
        let part = OWN_BYTES - 1000;
        // One of its own, then four of 256 KiB share a MiB.
        let taken =
            (0..100).take_while(|&id| open.add(id, later, frame(part), &guest, None).is_ok());
        assert_eq!(taken.count(), 1 + 4);
        open.remove(2);
        open.add(100, later, frame(part), &guest, None).unwrap();
        open.remove(0);
        open.add(101, later, frame(part), &guest, None).unwrap();
        assert!(open.add(102, later, frame(part), &guest, None).is_err());
        drop(open);
        assert!(
            guest.room_for_request(&mut Room::default(), 1 << 10),
            "all is given back"
        );
    }

    #[test]
    fn a_request_whose_time_is_over_gives_back_what_it_took() {
        let guest = Guest::alone(1 << 10);
        let mut open = OpenRequests::default();
        let now = Instant::now();
        open.add(1, now, frame(OWN_BYTES), &guest, None).unwrap();
        open.add(2, now, frame(1 << 20), &guest, None).unwrap();
        open.add(3, now + Duration::from_secs(60), frame(0), &guest, None)
            .unwrap();
        assert!(open.expire());
        assert_eq!((open.len(), open.own_bytes), (1, 0));
        assert!(guest.room_for_request(&mut Room::default(), 1 << 10));
        assert!(!open.expire());
        open.remove(3);
        assert_eq!(open.earliest, None);
    }

    #[test]
    fn a_request_that_is_worked_off_gives_back_its_memory_before_it_is_answered() {
        let guest = Guest::alone(1 << 10);
        let mut open = OpenRequests::default();
        let later = Instant::now() + Duration::from_secs(60);
        let mut request = Room::default();
        open.add(1, later, frame(1 << 20), &guest, Some(&mut request))
            .unwrap();
        assert!(open.add(2, later, frame(1 << 20), &guest, None).is_err());
        drop(request);
        open.add(2, later, frame(1 << 20), &guest, None).unwrap();
        assert_eq!(open.len(), 2);
    }
}
