//! The connections that others make to a process: how many, and who has to leave when there are too many.

use crate::transport::{Incoming, Listener};
use crate::wire::{Guest, Shares};
use rustix::process::{Resource, getrlimit};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// The most connections that a process serves at once, where the system allows so many. Beyond it, the one that has
/// been idle for longest has to leave for a new one; while none is idle, new ones wait to be accepted.
pub const MAX_CONNECTIONS: usize = 4096;
/// File descriptors for what is no connection of others: one's own ones, the store, the log.
const OWN_FILES: u64 = 256;
/// How long one that was asked to leave may take, before the next one is asked.
const LEAVING: Duration = Duration::from_millis(100);

/// How many connections the limits of this process allow.
pub(crate) fn limit() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // Half of few files rather than none.
    let left = files.saturating_sub(OWN_FILES).max(files / 2);
    usize::try_from(left)
        .unwrap_or(usize::MAX)
        .clamp(1, MAX_CONNECTIONS)
}

/// Everybody who is connected now.
#[derive(Debug, Default)]
struct Guests {
    all: Mutex<(u64, BTreeMap<u64, Arc<Guest>>)>,
}

/// A guest's place; it is free when this is dropped.
struct Place {
    guests: Arc<Guests>,
    number: u64,
    _permit: OwnedSemaphorePermit,
}

impl Guests {
    fn enter(self: &Arc<Self>, guest: &Arc<Guest>, permit: OwnedSemaphorePermit) -> Place {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.0 += 1;
        let number = all.0;
        all.1.insert(number, Arc::clone(guest));
        Place {
            guests: Arc::clone(self),
            number,
            _permit: permit,
        }
    }

    /// Asks the one that has been idle for longest to leave, if any is.
    fn dismiss_one(&self) {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = all.1.values().filter_map(|g| Some((g.idle()?, g)));
        if let Some((_, guest)) = idle.max_by_key(|(idle, _)| *idle) {
            guest.dismiss();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self
            .guests
            .all
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.1.remove(&self.number);
    }
}

/// Accepts connections for ever, each served by its own task.
pub(crate) async fn accept<F, T>(listener: Listener, serve: F)
where
    F: Fn(Incoming, Arc<Guest>) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    accept_at_most(limit(), listener, serve).await;
}

async fn accept_at_most<F, T>(most: usize, listener: Listener, serve: F)
where
    F: Fn(Incoming, Arc<Guest>) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(most));
    let shares = Shares::default();
    let guests = Arc::<Guests>::default();
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok(incoming) => {
                let permit = place(&places, &guests).await;
                let guest = Guest::new(shares.clone());
                let place = guests.enter(&guest, permit);
                let connection = serve(incoming, Arc::clone(&guest));
                connections.spawn(async move {
                    tokio::select! {
                        () = connection => {}
                        reason = guest.must_leave() => tracing::debug!(reason, "a connection was closed"),
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: let some connections end first.
                tracing::warn!(%error, "cannot accept a connection");
                guests.dismiss_one();
                tokio::time::sleep(LEAVING).await;
            }
        }
    }
}

/// Waits for a place, and makes one where it can.
async fn place(places: &Arc<Semaphore>, guests: &Guests) -> OwnedSemaphorePermit {
    loop {
        if let Ok(permit) = Arc::clone(places).try_acquire_owned() {
            return permit;
        }
        guests.dismiss_one();
        let free = Arc::clone(places).acquire_owned();
        if let Ok(Ok(permit)) = tokio::time::timeout(LEAVING, free).await {
            return permit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Network;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    #[test]
    fn the_bound_leaves_file_descriptors_for_the_rest() {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert!(limit() >= 1 && limit() as u64 <= files.max(1) && limit() <= MAX_CONNECTIONS);
    }

    /// An echo of one byte, for at most two guests.
    #[tokio::test]
    async fn beyond_the_bound_the_longest_idle_one_leaves_for_the_new_one() {
        let network = Network::loopback();
        let listener = network
            .listen("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(accept_at_most(2, listener, |incoming, _| async {
            let mut stream = incoming.secure().await.expect("plain");
            let mut byte = [0];
            while stream.read_exact(&mut byte).await.is_ok() {
                stream.write_all(&byte).await.unwrap();
            }
        }));
        let greet = async || {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(&[1]).await.unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            stream
        };
        let mut first = greet().await;
        let mut second = greet().await;
        let mut third = greet().await;
        let mut byte = [0];
        assert_eq!(first.read(&mut byte).await.unwrap(), 0, "it had to leave");
        for stays in [&mut second, &mut third] {
            stays.write_all(&[2]).await.unwrap();
            stays.read_exact(&mut byte).await.unwrap();
        }
    }
}
