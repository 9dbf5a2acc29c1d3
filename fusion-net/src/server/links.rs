//! The tasks that keep a primary's fused members up to date, and who of them is woken first.

use super::host::lock;
use fusion_core::id::MemberId;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// One task for each member that copies a primary.
///
/// They send one after the other, and a write is safe when the last of them has its acknowledgement: so the member that was
/// waited for is sent to first the next time. On one machine it is the one that another processor must be woken for; the
/// one that is woken on this processor, and may take it over before the next message is sent, comes last.
#[derive(Debug, Default)]
pub(crate) struct Links(Mutex<Vec<Link>>);

#[derive(Debug)]
struct Link {
    to: MemberId,
    woken: Arc<Notify>,
    task: AbortHandle,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Links {
    /// Ends tasks of members that are not wanted, and starts those that are missing; they are told there is news by what
    /// `start` is given.
    pub(crate) fn keep(
        &self,
        wanted: &[MemberId],
        start: impl Fn(MemberId, Arc<Notify>) -> AbortHandle,
    ) {
        let mut links = lock(&self.0);
        // One that was left behind, and is in sync all the same, has a way again.
        links.retain(|link| wanted.contains(&link.to) && !link.task.is_finished());
        for &to in wanted {
            if links.iter().all(|link| link.to != to) {
                let woken = Arc::new(Notify::new());
                let task = start(to, Arc::clone(&woken));
                links.push(Link { to, woken, task });
            }
        }
    }

    /// Ends all tasks.
    pub(crate) fn end(&self) {
        lock(&self.0).clear();
    }

    /// There is news, for each in turn. Nobody misses any: who is at work finds it afterwards.
    pub(crate) fn wake(&self) {
        for link in lock(&self.0).iter() {
            link.woken.notify_one();
        }
    }

    /// All have waited for this member's acknowledgement.
    pub(crate) fn was_last(&self, to: MemberId) {
        let mut links = lock(&self.0);
        if let Some(place) = links.iter().position(|link| link.to == to) {
            links[..=place].rotate_right(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    const MEMBERS: [MemberId; 3] = [MemberId(1), MemberId(2), MemberId(3)];

    /// Links whose tasks say when they are woken.
    fn links() -> (Links, mpsc::UnboundedReceiver<MemberId>) {
        let (say, heard) = mpsc::unbounded_channel();
        let links = Links::default();
        links.keep(&MEMBERS, |to, woken| {
            let say = say.clone();
            let task = async move {
                loop {
                    woken.notified().await;
                    let _ = say.send(to);
                }
            };
            tokio::spawn(task).abort_handle()
        });
        (links, heard)
    }

    async fn order(links: &Links, heard: &mut mpsc::UnboundedReceiver<MemberId>) -> [u64; 3] {
        links.wake();
        let mut order = [0; 3];
        for place in &mut order {
            *place = heard.recv().await.unwrap().0;
        }
        order
    }

    #[tokio::test]
    async fn who_was_waited_for_is_woken_first() {
        let (links, mut heard) = links();
        assert_eq!(order(&links, &mut heard).await, [1, 2, 3]);
        links.was_last(MemberId(3));
        assert_eq!(order(&links, &mut heard).await, [3, 1, 2]);
        links.was_last(MemberId(3));
        assert_eq!(order(&links, &mut heard).await, [3, 1, 2]);
        links.was_last(MemberId(1));
        assert_eq!(order(&links, &mut heard).await, [1, 3, 2]);
        // An acknowledgement of a member that has gone meanwhile.
        links.was_last(MemberId(9));
        assert_eq!(order(&links, &mut heard).await, [1, 3, 2]);
    }

    #[tokio::test]
    async fn tasks_end_with_their_members() {
        let (links, mut heard) = links();
        links.keep(&[MemberId(2)], |to, _| panic!("{to} is there already"));
        links.wake();
        assert_eq!(heard.recv().await, Some(MemberId(2)));
        links.end();
        // Every sender has gone with its task.
        assert_eq!(heard.recv().await, None);
    }
}
