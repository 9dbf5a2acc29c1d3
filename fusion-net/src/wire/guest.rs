//! One that has connected: what it holds up, and how it is asked to leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How long a frame may take to come in, and an answer to go out, once begun.
const MAX_TRANSFER: Duration = Duration::from_secs(30);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What the longest answer to a batch takes, in KiB: its values end when they are beyond 4 MiB, with one of 8 MiB.
const MAX_ANSWER_KIB: u32 = 13 << 10;

/// What the long requests, and the answers, of all connections of a process may take, in KiB.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) answers: Arc<Semaphore>,
}

fn take(share: &Arc<Semaphore>, kib: usize) -> Option<OwnedSemaphorePermit> {
    let kib = u32::try_from(kib).ok()?;
    Arc::clone(share).try_acquire_many_owned(kib).ok()
}

/// Memory that an answer may take until it is sent.
#[derive(Debug, Default)]
pub struct Room(Option<OwnedSemaphorePermit>);

impl Room {
    /// The answer is no longer than this.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if let Some(permit) = &mut self.0 {
            let too_many = permit.num_permits().saturating_sub(bytes.div_ceil(1 << 10));
            drop(permit.split(too_many));
        }
    }
}

/// Somebody who has connected to this process.
#[derive(Debug)]
pub struct Guest {
    began: Instant,
    /// What all of them may take together.
    shares: Shares,
    /// When the last frame was complete.
    heard: AtomicU64,
    /// Since when the rest of a frame is waited for; 0: it is not.
    partial: AtomicU64,
    /// Since when an answer does not go out; 0: it does.
    stalled: AtomicU64,
    requests: AtomicUsize,
    leave: Notify,
}

impl Guest {
    pub(crate) fn new(shares: Shares) -> Arc<Guest> {
        Arc::new(Guest {
            began: Instant::now(),
            shares,
            heard: AtomicU64::new(0),
            partial: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
            requests: AtomicUsize::new(0),
            leave: Notify::new(),
        })
    }

    /// One that shares with nobody; for tests.
    #[cfg(any(test, feature = "fuzzing"))]
    #[must_use]
    pub fn alone(share_kib: usize) -> Arc<Guest> {
        let share = || Arc::new(Semaphore::new(share_kib));
        Guest::new(Shares {
            requests: share(),
            answers: share(),
        })
    }

    /// Never 0.
    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64 + 1
    }

    /// Memory for a long request, if there is so much left.
    pub(super) fn room_for_request(&self, kib: usize) -> Option<OwnedSemaphorePermit> {
        take(&self.shares.requests, kib)
    }

    /// Memory for a long answer on its way out, if there is so much left.
    pub(super) fn room_for_sending(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        take(&self.shares.answers, bytes.div_ceil(1 << 10))
    }

    /// Waits for memory for the longest answer to a batch.
    pub(crate) async fn room_for_answer(&self) -> Room {
        let share = Arc::clone(&self.shares.answers);
        let permit = share.acquire_many_owned(MAX_ANSWER_KIB).await;
        Room(permit.ok())
    }

    pub(super) fn heard(&self) {
        self.heard.store(self.now(), Ordering::Relaxed);
        self.partial.store(0, Ordering::Relaxed);
    }

    pub(super) fn waits_for_rest(&self, waits: bool) {
        self.since(&self.partial, waits);
    }

    pub(super) fn stalls(&self, stalls: bool) {
        self.since(&self.stalled, stalls);
    }

    fn since(&self, mark: &AtomicU64, lasts: bool) {
        match (lasts, mark.load(Ordering::Relaxed)) {
            (true, 0) => mark.store(self.now(), Ordering::Relaxed),
            (false, 1..) => mark.store(0, Ordering::Relaxed),
            _ => {}
        }
    }

    pub(super) fn has_requests(&self, count: usize) {
        self.requests.store(count, Ordering::Relaxed);
    }

    /// For how long it has had nothing under way; `None` while a request of its is.
    pub(crate) fn idle(&self) -> Option<Duration> {
        let idle = self.requests.load(Ordering::Relaxed) == 0;
        let since = Duration::from_millis(self.heard.load(Ordering::Relaxed));
        idle.then(|| self.began.elapsed().saturating_sub(since))
    }

    /// Asks it to leave.
    pub(crate) fn dismiss(&self) {
        self.leave.notify_one();
    }

    /// Waits until it has to leave: its place is needed, or it holds up a frame or an answer.
    pub(crate) async fn must_leave(&self) -> &'static str {
        loop {
            tokio::select! {
                () = self.leave.notified() => return "its place was needed and it was idle for longest",
                () = tokio::time::sleep(LOOK) => {}
            }
            let limit = MAX_TRANSFER.as_millis() as u64;
            let since = |mark: &AtomicU64| {
                let at = mark.load(Ordering::Relaxed);
                at != 0 && self.now().saturating_sub(at) > limit
            };
            if since(&self.partial) {
                return "it began a frame and did not finish it";
            }
            if since(&self.stalled) {
                return "it does not take its answers";
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn half_a_frame_is_waited_for_no_longer_than_half_a_minute() {
        let guest = Guest::alone(0);
        guest.waits_for_rest(true);
        let began = Instant::now();
        guest.must_leave().await;
        let took = began.elapsed();
        assert!(
            took > MAX_TRANSFER && took < MAX_TRANSFER + 2 * LOOK,
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_at_all_may_stay() {
        let guest = Guest::alone(0);
        guest.heard();
        let stay = tokio::time::timeout(Duration::from_secs(3600), guest.must_leave()).await;
        assert!(stay.is_err());
        assert!(guest.idle().unwrap() >= Duration::from_secs(3599));
        guest.has_requests(1);
        assert_eq!(guest.idle(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_take_its_answers_must_leave() {
        let guest = Guest::alone(0);
        guest.stalls(true);
        guest.stalls(false);
        guest.stalls(true);
        assert_eq!(guest.must_leave().await, "it does not take its answers");
    }
}
