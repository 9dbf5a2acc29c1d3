//! Links of a local cluster that can be broken, without privileges: a proxy in front of each process, whose address the process
//! advertises as its own.
//!
//! Whose connection it is, the proxy learns from the kernel (`origin`), so that faults are between two places and one
//! way: what is cut is held back, as TCP would send it again, and comes late when the cut is mended.

use super::origin::process_of;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// What is read at once, and so what a slow link carries in one delay.
const PIECE: usize = 64 << 10;
/// How long a connection waits for its process to be made known: it was only just started.
const INTRODUCTION: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Who stands at an end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The coordinator.
    Coordinator,
    /// The server of this number.
    Server(usize),
    /// This process: all its clients.
    Client,
}

/// What is wrong between two places.
#[derive(Debug, Default)]
struct Rules {
    /// Nothing comes from the one to the other.
    cut: BTreeSet<(Place, Place)>,
    /// It comes late.
    slow: BTreeMap<(Place, Place), Duration>,
    /// How often the connections of the two were reset; the lesser place first.
    resets: HashMap<(Place, Place), u64>,
}

#[derive(Debug)]
struct Front {
    place: Place,
    /// Where the process listens, when it does.
    upstream: Option<SocketAddr>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Inner {
    rules: Mutex<Rules>,
    fronts: Mutex<HashMap<SocketAddr, Front>>,
    pids: Mutex<HashMap<u32, Place>>,
    /// Counts changes of the rules: whoever is held back looks again.
    changed: watch::Sender<u64>,
}

/// The links between the processes of one local cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Links {
    inner: Arc<Inner>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Links {
    pub(super) fn new() -> Links {
        let links = Links {
            inner: Arc::new(Inner {
                rules: Mutex::default(),
                fronts: Mutex::default(),
                pids: Mutex::default(),
                changed: watch::Sender::new(0),
            }),
        };
        links.introduce(std::process::id(), Place::Client);
        links
    }

    /// From now on nothing comes from the one place to the other, until it is mended. What is sent meanwhile is held
    /// back, and a connection that is made meanwhile is not answered.
    pub fn cut(&self, from: Place, to: Place) {
        self.change(|rules| {
            rules.cut.insert((from, to));
        });
    }

    /// From now on everything from the one place to the other comes so much later, 64 KiB at a time.
    pub fn slow(&self, from: Place, to: Place, delay: Duration) {
        self.change(|rules| {
            rules.slow.insert((from, to), delay);
        });
    }

    /// Breaks all connections between two places, in whichever direction they were made. New ones can be made at once.
    pub fn reset(&self, a: Place, b: Place) {
        self.change(|rules| *rules.resets.entry(pair(a, b)).or_default() += 1);
    }

    /// Mends what is cut or slow from the one place to the other.
    pub fn mend(&self, from: Place, to: Place) {
        self.change(|rules| {
            rules.cut.remove(&(from, to));
            rules.slow.remove(&(from, to));
        });
    }

    /// Mends everything.
    pub fn mend_all(&self) {
        self.change(|rules| {
            rules.cut.clear();
            rules.slow.clear();
        });
    }

    fn change(&self, act: impl FnOnce(&mut Rules)) {
        act(&mut lock(&self.inner.rules));
        self.inner.changed.send_modify(|count| *count += 1);
    }

    /// A process is the one of this place.
    pub(super) fn introduce(&self, pid: u32, place: Place) {
        lock(&self.inner.pids).insert(pid, place);
    }

    /// An address for the process of this place, or the one given, which another one had.
    pub(super) async fn front(
        &self,
        place: Place,
        address: Option<SocketAddr>,
    ) -> io::Result<SocketAddr> {
        if let Some(address) = address
            && let Some(front) = lock(&self.inner.fronts).get_mut(&address)
        {
            (front.place, front.upstream) = (place, None);
            return Ok(address);
        }
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(address.unwrap_or(any)).await?;
        let address = listener.local_addr()?;
        let inner = Arc::downgrade(&self.inner);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let accepted = listener.accept().await;
                let Some(inner) = inner.upgrade() else { return };
                while connections.try_join_next().is_some() {}
                match accepted {
                    Ok((stream, far)) => {
                        connections.spawn(serve(inner, stream, far, address));
                    }
                    Err(_) => sleep(LOOK_AGAIN).await,
                }
            }
        });
        let front = Front {
            place,
            upstream: None,
            task: task.abort_handle(),
        };
        lock(&self.inner.fronts).insert(address, front);
        Ok(address)
    }

    /// The process behind an address listens there.
    pub(super) fn connect(&self, front: SocketAddr, upstream: SocketAddr) {
        if let Some(front) = lock(&self.inner.fronts).get_mut(&front) {
            front.upstream = Some(upstream);
        }
    }

    /// Ends all connections.
    pub(super) fn end(&self) {
        for front in lock(&self.inner.fronts).values() {
            front.task.abort();
        }
    }
}

fn pair(a: Place, b: Place) -> (Place, Place) {
    (a.min(b), a.max(b))
}

/// Carries one connection, until either side closes it or it is reset.
async fn serve(inner: Arc<Inner>, down: TcpStream, far: SocketAddr, address: SocketAddr) {
    // Broken connections are told so at once, as by a process that is gone.
    let _ = down.set_zero_linger();
    let Some(from) = origin(&inner, far, address).await else {
        return;
    };
    let Some(to) = lock(&inner.fronts).get(&address).map(|front| front.place) else {
        return;
    };
    let link = |from, to| Link {
        inner: Arc::clone(&inner),
        from,
        to,
        resets: resets(&inner, from, to),
    };
    let (mut there, mut back) = (link(from, to), link(to, from));
    // Without both directions it could not be made.
    let made = async { there.open().await && back.open().await };
    let mut gone = [0];
    tokio::select! {
        made = made => if !made { return },
        // The caller has given up; what it says first is left in the socket.
        peeked = async {
            loop {
                match down.peek(&mut gone).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => sleep(LOOK_AGAIN).await,
                }
            }
        } => return peeked,
    }
    let upstream = lock(&inner.fronts).get(&address).and_then(|f| f.upstream);
    let Some(upstream) = upstream else { return };
    let Ok(up) = TcpStream::connect(upstream).await else {
        return;
    };
    let _ = (
        down.set_nodelay(true),
        up.set_nodelay(true),
        up.set_zero_linger(),
    );
    let (down_read, down_write) = down.into_split();
    let (up_read, up_write) = up.into_split();
    tokio::select! {
        () = there.carry(down_read, up_write) => {}
        () = back.carry(up_read, down_write) => {}
    }
}

/// Whose connection it is; waits for a process that was just started to be made known.
async fn origin(inner: &Arc<Inner>, far: SocketAddr, near: SocketAddr) -> Option<Place> {
    let find = async {
        loop {
            let pids: Vec<u32> = lock(&inner.pids).keys().copied().collect();
            let found = tokio::task::spawn_blocking(move || process_of(&pids, far, near)).await;
            if let Ok(Some(pid)) = found {
                return lock(&inner.pids).get(&pid).copied();
            }
            sleep(LOOK_AGAIN).await;
        }
    };
    timeout(INTRODUCTION, find).await.ok()?
}

fn resets(inner: &Inner, a: Place, b: Place) -> u64 {
    let rules = lock(&inner.rules);
    rules.resets.get(&pair(a, b)).copied().unwrap_or_default()
}

/// One direction of one connection.
struct Link {
    inner: Arc<Inner>,
    from: Place,
    to: Place,
    /// How often connections of these two had been reset when this one was made.
    resets: u64,
}

enum State {
    Open(Duration),
    Cut,
    Reset,
}

impl Link {
    fn state(&self) -> State {
        if resets(&self.inner, self.from, self.to) != self.resets {
            return State::Reset;
        }
        let rules = lock(&self.inner.rules);
        let way = (self.from, self.to);
        if rules.cut.contains(&way) {
            return State::Cut;
        }
        State::Open(rules.slow.get(&way).copied().unwrap_or_default())
    }

    /// Waits while it is cut; `false` when it was reset.
    async fn open(&mut self) -> bool {
        let mut changed = self.inner.changed.subscribe();
        loop {
            match self.state() {
                State::Open(_) => return true,
                State::Reset => return false,
                State::Cut => {
                    if changed.changed().await.is_err() {
                        return false;
                    }
                }
            }
        }
    }

    /// Ends when it is reset.
    async fn broken(&self) {
        let mut changed = self.inner.changed.subscribe();
        while !matches!(self.state(), State::Reset) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    async fn carry(&mut self, read: impl AsyncRead + Unpin, write: impl AsyncWrite + Unpin) {
        let watched = Link {
            inner: Arc::clone(&self.inner),
            ..*self
        };
        tokio::select! {
            () = watched.broken() => {}
            () = self.pump(read, write) => {}
        }
    }

    async fn pump(&mut self, mut read: impl AsyncRead + Unpin, mut write: impl AsyncWrite + Unpin) {
        let mut piece = vec![0; PIECE];
        // Not read while it is cut: the sender's window fills up, as it would.
        while self.open().await {
            let Ok(len @ 1..) = read.read(&mut piece).await else {
                return;
            };
            if let State::Open(delay) = self.state()
                && !delay.is_zero()
            {
                sleep(delay).await;
            }
            if !self.open().await || write.write_all(&piece[..len]).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: Place = Place::Server(0);

    /// A process that says everything back, behind a proxy.
    async fn echo(links: &Links) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = links.front(SERVER, None).await.unwrap();
        links.connect(front, listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.into_split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        front
    }

    async fn hear(stream: &mut TcpStream) -> io::Result<u8> {
        stream.read_u8().await
    }

    const SOON: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn what_is_cut_one_way_comes_when_it_is_mended() {
        let links = Links::new();
        let front = echo(&links).await;
        for way in [(SERVER, Place::Client), (Place::Client, SERVER)] {
            let mut stream = TcpStream::connect(front).await.unwrap();
            stream.write_u8(1).await.unwrap();
            assert_eq!(hear(&mut stream).await.unwrap(), 1);
            links.cut(way.0, way.1);
            stream.write_u8(2).await.unwrap();
            assert!(timeout(SOON, hear(&mut stream)).await.is_err());
            // A connection that is made meanwhile is not answered, either.
            let mut late = TcpStream::connect(front).await.unwrap();
            late.write_u8(3).await.unwrap();
            assert!(timeout(SOON, hear(&mut late)).await.is_err());
            links.mend(way.0, way.1);
            assert_eq!(hear(&mut stream).await.unwrap(), 2);
            assert_eq!(hear(&mut late).await.unwrap(), 3);
        }
    }

    #[tokio::test]
    async fn a_reset_breaks_what_there_is_and_nothing_else() {
        let links = Links::new();
        let front = echo(&links).await;
        for other in [Place::Client, Place::Server(7)] {
            let mut stream = TcpStream::connect(front).await.unwrap();
            stream.write_u8(1).await.unwrap();
            assert_eq!(hear(&mut stream).await.unwrap(), 1);
            links.reset(SERVER, other);
            if other == Place::Client {
                assert!(hear(&mut stream).await.is_err());
            } else {
                stream.write_u8(2).await.unwrap();
                assert_eq!(hear(&mut stream).await.unwrap(), 2);
            }
        }
    }

    #[tokio::test]
    async fn a_slow_link_delivers_late() {
        let links = Links::new();
        let front = echo(&links).await;
        let mut stream = TcpStream::connect(front).await.unwrap();
        stream.write_u8(1).await.unwrap();
        hear(&mut stream).await.unwrap();
        links.slow(Place::Client, SERVER, SOON);
        let sent = std::time::Instant::now();
        stream.write_u8(2).await.unwrap();
        hear(&mut stream).await.unwrap();
        assert!(sent.elapsed() >= SOON);
    }
}
