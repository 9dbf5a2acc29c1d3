//! One that has connected: what it holds up, and how it is asked to leave.

use super::room::Room;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// How long a frame may take to come in, and an answer to go out, once begun.
const MAX_TRANSFER: Duration = Duration::from_secs(30);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What the longest answer to a batch takes, in KiB: its values end when they are beyond 4 MiB, with one of 8 MiB.
const MAX_ANSWER_KIB: u32 = 13 << 10;
/// What the longest answer to a replacement takes, in KiB: a frame.
const MAX_RECOVERY_KIB: u32 = (super::MAX_FRAME_BYTES >> 10) as u32;

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

    /// Makes it so much memory for a request beyond what the connection has of its own, if there is so much left.
    pub(super) fn room_for_request(&self, room: &mut Room, kib: usize) -> bool {
        room.grow_to(kib, &self.share().requests)
    }

    /// Makes it memory for a long answer on its way out, if there is so much left.
    pub(super) fn room_for_sending(&self, room: &mut Room, bytes: usize) -> bool {
        room.grow_to(bytes.div_ceil(1 << 10), &self.share().answers)
    }

    /// Waits for memory for the longest answer to a batch, or to who asks for the status.
    pub(crate) async fn room_for_answer(&self) -> Room {
        Room::wait_for(&self.shares.clients.answers, MAX_ANSWER_KIB).await
    }

    /// Waits for memory for the longest answer to a replacement.
    pub(crate) async fn room_for_recovery(&self) -> Room {
        Room::wait_for(&self.shares.members.answers, MAX_RECOVERY_KIB).await
    }

    pub(super) fn heard(&self) {
        self.heard.store(self.now(), Ordering::Relaxed);
        self.partial.store(0, Ordering::Relaxed);
    }

    pub(crate) fn waits_for_rest(&self, waits: bool) {
        self.since(&self.partial, waits);
    }

    pub(crate) fn stalls(&self, stalls: bool) {
        self.since(&self.stalled, stalls);
    }

    fn since(&self, mark: &AtomicU64, lasts: bool) {
        match (lasts, mark.load(Ordering::Relaxed)) {
            (true, 0) => mark.store(self.now(), Ordering::Relaxed),
            (false, 1..) => mark.store(0, Ordering::Relaxed),
            _ => {}
        }
    }

    pub(crate) fn has_requests(&self, count: usize) {
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
        let (mut held, mut other, mut members) = Default::default();
        assert!(client.room_for_request(&mut held, all));
        assert!(!client.room_for_request(&mut other, 1));
        assert!(member.room_for_request(&mut members, all));
        let (mut answers, mut further, mut pages) = Default::default();
        assert!(client.room_for_sending(&mut answers, all << 10));
        assert!(!client.room_for_sending(&mut further, 1));
        assert!(member.room_for_sending(&mut pages, 1 << 20));
        drop((held, answers));
        assert!(client.room_for_request(&mut other, 1));
    }

    #[tokio::test]
    async fn answers_to_clients_that_nobody_takes_hold_up_no_recovery() {
        let shares = Shares::default();
        let guest = Guest::new(shares.clone());
        let mut held = Vec::new();
        while shares.clients.answers.available_permits() >= MAX_ANSWER_KIB as usize {
            held.push(guest.room_for_answer().await);
        }
        let page = tokio::time::timeout(Duration::from_secs(5), guest.room_for_recovery());
        assert_eq!(
            page.await.expect("it has its own").kib(),
            MAX_RECOVERY_KIB as usize
        );
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
