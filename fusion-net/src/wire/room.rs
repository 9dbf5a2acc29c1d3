//! Memory that a message holds of what connections share.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory of a share, given back when this is dropped.
#[derive(Debug, Default)]
pub struct Room(Option<OwnedSemaphorePermit>);

impl Room {
    /// Takes memory as soon as there is so much.
    pub(super) async fn wait_for(share: &Arc<Semaphore>, kib: u32) -> Room {
        Room(Arc::clone(share).acquire_many_owned(kib).await.ok())
    }

    pub(crate) fn kib(&self) -> usize {
        self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Takes what is missing to so much, if the share has it. What was taken of another share is given back then: a
    /// connection may turn out to be a member's in the middle of a frame.
    pub(super) fn grow_to(&mut self, kib: usize, share: &Arc<Semaphore>) -> bool {
        if kib <= self.kib() {
            return true;
        }
        let same = self.0.take_if(|held| Arc::ptr_eq(held.semaphore(), share));
        let missing = kib - same.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(missing)
            .ok()
            .and_then(|missing| Arc::clone(share).try_acquire_many_owned(missing).ok());
        let enough = more.is_some();
        match (same, more) {
            (Some(mut same), Some(more)) => {
                same.merge(more);
                self.0 = Some(same);
            }
            (Some(same), None) => self.0 = Some(same),
            (None, Some(more)) => self.0 = Some(more),
            (None, None) => {}
        }
        enough
    }

    /// What holds it is no longer than this.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if let Some(permit) = &mut self.0 {
            let too_many = permit.num_permits().saturating_sub(bytes.div_ceil(1 << 10));
            drop(permit.split(too_many));
        }
    }
}

/// A message that may hold the memory that it takes, until it is dropped.
pub trait Holds {
    /// Where it holds it; `None` when it has no place for it.
    fn room(&mut self) -> Option<&mut Room> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_that_grows_in_another_share_gives_back_the_first_and_is_no_panic() {
        let (first, second) = (Arc::new(Semaphore::new(10)), Arc::new(Semaphore::new(10)));
        let mut room = Room::default();
        assert!(room.grow_to(4, &first) && room.grow_to(6, &first));
        assert!(room.grow_to(8, &second));
        assert_eq!((room.kib(), first.available_permits()), (8, 10));
        assert!(!room.grow_to(11, &second), "there is no more");
        assert!(!room.grow_to(11, &first), "what it has it keeps");
        assert_eq!((room.kib(), second.available_permits()), (8, 2));
        room.shrink_to(3 << 10);
        assert_eq!((room.kib(), second.available_permits()), (3, 7));
    }
}
