//! One that has connected: what it holds up, and how it is asked to leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How long a frame may take to come in, and an answer to go out, once begun.
const MAX_TRANSFER: Duration = Duration::from_secs(30);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What the longest answer to a batch takes, in KiB: its values end when they are beyond 4 MiB, with one of 8 MiB.
const MAX_ANSWER_KIB: u32 = 13 << 10;

/// What the requests and the answers of many connections may take together, beyond what each has of its own.
#[derive(Clone, Debug)]
struct Share {
    requests: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

impl Share {
    fn of_kib(requests: usize, answers: usize) -> Share {
        Share {
            requests: Arc::new(Semaphore::new(requests)),
            answers: Arc::new(Semaphore::new(answers)),
        }
    }
}

/// What all connections of a process may take for messages that are not done with, beyond 256 KiB that each has of its
/// own: 512 MiB for the requests of clients and operators, as much for their answers, 1 GiB for what other members
/// send (changes, pages), and 512 MiB for what they are answered. Members have a share of their own, so that no client
/// can hold up replication or recovery.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    clients: Share,
    members: Share,
}

impl Default for Shares {
    fn default() -> Shares {
        Shares {
            clients: Share::of_kib(512 << 10, 512 << 10),
            members: Share::of_kib(1 << 20, 512 << 10),
        }
    }
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
    /// It speaks for a member of a cluster.
    member: AtomicBool,
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
            member: AtomicBool::new(false),
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
        let share = || Share::of_kib(share_kib, share_kib);
        Guest::new(Shares {
            clients: share(),
            members: share(),
        })
    }

    /// It speaks for a member: what it sends and is answered counts among members from now on.
    pub(crate) fn is_member(&self) {
        self.member.store(true, Ordering::Relaxed);
    }

    fn share(&self) -> &Share {
        if self.member.load(Ordering::Relaxed) {
            &self.shares.members
        } else {
            &self.shares.clients
        }
    }

    /// Never 0.
    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64 + 1
    }

    /// Memory for requests beyond what the connection has of its own, if there is so much left.
    pub(super) fn room_for_request(&self, kib: usize) -> Option<OwnedSemaphorePermit> {
        take(&self.share().requests, kib)
    }

    /// Memory for a long answer on its way out, if there is so much left.
    pub(super) fn room_for_sending(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        take(&self.share().answers, bytes.div_ceil(1 << 10))
    }

    /// Waits for memory for the longest answer to a batch.
    pub(crate) async fn room_for_answer(&self) -> Room {
        let share = Arc::clone(&self.share().answers);
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

    #[test]
    fn what_clients_hold_is_not_taken_from_members() {
        let shares = Shares::default();
        let (client, member) = (Guest::new(shares.clone()), Guest::new(shares.clone()));
        member.is_member();
        let all = shares.clients.requests.available_permits();
        let held = client.room_for_request(all).expect("nobody has any");
        assert!(client.room_for_request(1).is_none());
        assert!(member.room_for_request(all).is_some());
        let answers = client.room_for_sending(all << 10).expect("nobody has any");
        assert!(client.room_for_sending(1).is_none());
        assert!(member.room_for_sending(1 << 20).is_some());
        drop((held, answers));
        assert!(client.room_for_request(1).is_some());
    }

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
