//! The side that calls.

use super::message::{Acknowledged, append, append_changes, number, whole};
use super::{MOVES, VERSION, message};
use crate::peer::{Connect, Driven, within};
use crate::service::{FusedClient, PrimaryClient};
use crate::transport::{Network, Stream};
use crate::wire::{self, ConnectError, Frames, MAX_FRAME_BYTES, Service};
use fusion_core::message::{Ack, ClientBatch, ClientReply, Refusal, Replicate, Route};
use futures::FutureExt;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::Decoder;

/// A buffer keeps at most so much when it is empty.
const KEPT_BYTES: usize = 256 << 10;
/// What is read at once.
const READ_BYTES: usize = 16 << 10;
/// Changes take at least a second for so many bytes where nobody tells whether they move.
const BYTES_A_SECOND: u32 = 16 << 20;
/// How often is looked for calls whose time is over: one timer for all of them.
const TICK: Duration = Duration::from_millis(20);

/// The connection failed, or did not answer in time; what was asked may have been done.
#[derive(Debug, Error)]
#[error("the connection failed, or did not answer in time")]
pub struct Broken;

/// The way to the primaries of one process.
#[derive(Clone, Debug)]
pub enum Operations {
    /// By a stream.
    Stream(Calls),
    /// The process offers none.
    Tarpc(PrimaryClient),
}

impl Operations {
    /// Executes a batch, as [`Primary::execute`](crate::service::Primary::execute) does.
    ///
    /// # Errors
    /// [`Broken`].
    pub async fn execute(
        &self,
        limit: Duration,
        batch: ClientBatch,
    ) -> Result<Result<Vec<ClientReply>, Refusal>, Broken> {
        match self {
            Operations::Stream(calls) => {
                let answer = calls.call(limit, |out, number| append(out, number, &batch, &[]));
                message::replies(&answer.await?).map_err(|_| Broken)
            }
            Operations::Tarpc(client) => {
                let answer = client.execute(within(limit), batch.into()).await;
                Ok(answer.map_err(|_| Broken)?.map(|answers| answers.replies))
            }
        }
    }
}

impl Connect for Operations {
    async fn connect(
        network: &Network,
        address: &str,
        limit: Duration,
    ) -> Result<Driven<Self>, ConnectError> {
        let tarpc = PrimaryClient::connect(network, address, limit).await?;
        if offered(tarpc.client.streams(within(limit)).await, limit)? != Some(VERSION) {
            return Ok(tarpc.map(Operations::Tarpc));
        }
        let calls = Calls::connect(network, address, Service::Operations, limit).await?;
        let driver = calls.driver();
        Ok(Driven::new(Operations::Stream(calls), driver))
    }
}

/// The way to the fused structures of one process.
#[derive(Clone, Debug)]
pub enum Changes {
    /// By a stream.
    Stream(Calls),
    /// The process offers none.
    Tarpc(FusedClient),
}

impl Changes {
    /// Sends changes, as [`Fused::replicate`](crate::service::Fused::replicate) does, until nothing has moved for
    /// `patience`: however long they take (PROTOCOL rule 57).
    ///
    /// # Errors
    /// [`Broken`].
    pub async fn replicate(
        &self,
        patience: Duration,
        route: Route,
        message: Replicate,
    ) -> Result<Result<Ack, Refusal>, Broken> {
        match self {
            Changes::Stream(calls) => {
                let answer = calls.call_while_it_moves(patience, |out, number| {
                    append_changes(out, number, route, &message)
                });
                let frame = answer.await?;
                let answer = number(&frame).and_then(|(_, rest)| whole::<Acknowledged>(rest));
                answer.map_err(|_| Broken)
            }
            Changes::Tarpc(client) => {
                let bytes = message.changes.bytes.len() as u32;
                let limit = patience + Duration::from_secs(1) * bytes / BYTES_A_SECOND;
                let answer = client.replicate(within(limit), route, message).await;
                answer.map_err(|_| Broken)
            }
        }
    }

    /// Whether some of a long message moved on within this time (PROTOCOL rule 57).
    pub(crate) fn has_moved_within(&self, time: Duration) -> bool {
        match self {
            Changes::Stream(calls) => {
                let moved_at = calls.shared.lock().moved_at;
                moved_at.is_some_and(|at| at.elapsed() <= time)
            }
            Changes::Tarpc(_) => false,
        }
    }
}

impl Connect for Changes {
    async fn connect(
        network: &Network,
        address: &str,
        limit: Duration,
    ) -> Result<Driven<Self>, ConnectError> {
        let tarpc = FusedClient::connect(network, address, limit).await?;
        if offered(tarpc.client.streams(within(limit)).await, limit)? != Some(VERSION) {
            return Ok(tarpc.map(Changes::Tarpc));
        }
        let calls = Calls::connect(network, address, Service::Changes, limit).await?;
        let driver = calls.driver();
        Ok(Driven::new(Changes::Stream(calls), driver))
    }
}

/// Who does not say what it offers is tried again, not spoken to by tarpc for the life of a connection.
fn offered<E>(
    answer: Result<Option<u16>, E>,
    limit: Duration,
) -> Result<Option<u16>, ConnectError> {
    answer.map_err(|_| ConnectError::TimedOut(limit))
}

/// What callers and the connection's task share. Callers bound it: each waits for its answer.
#[derive(Debug)]
struct State {
    /// Frames that are not sent yet.
    out: BytesMut,
    /// `None` while the connection's task sends.
    writer: Option<WriteHalf<Stream>>,
    /// Of the last call.
    number: u64,
    waiting: HashMap<u64, Waiting>,
    /// When some of a long message last went out, or the other side said that some had come in.
    moved_at: Option<Instant>,
    /// Somebody looks for calls whose time is over.
    ticking: bool,
    closed: bool,
}

/// A call that is under way.
#[derive(Debug)]
struct Waiting {
    answer: oneshot::Sender<Bytes>,
    /// It is given up then.
    due: Instant,
    /// But not before nothing has moved for so long.
    patience: Option<Duration>,
}

impl Waiting {
    fn goes_on(&self, now: Instant, moved_at: Option<Instant>) -> bool {
        let moves = moved_at.zip(self.patience);
        now < self.due || moves.is_some_and(|(at, patience)| now < at + patience)
    }
}

impl State {
    /// Sends what a caller that is alone has appended, without waiting for the connection's task; what cannot go at once
    /// stays. Answers whether that is all of it.
    fn send_alone(&mut self) -> bool {
        let Some(writer) = self.writer.as_mut().filter(|_| self.waiting.len() == 1) else {
            return false;
        };
        let bytes = self.out.len();
        // A task that waits to write has the writer, so no waker of one is lost here.
        let sent = async {
            while !self.out.is_empty() {
                match writer.write(&self.out).await? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    sent => self.out.advance(sent),
                }
            }
            writer.flush().await
        };
        // The connection's task meets the same error.
        let sent = matches!(sent.now_or_never(), Some(Ok(())));
        if bytes > KEPT_BYTES {
            self.give_up_room();
        }
        sent
    }

    /// Gives up a long buffer of which little is in use.
    fn give_up_room(&mut self) {
        self.out = BytesMut::from(&self.out[..]);
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// There is something to send.
    filled: Notify,
    /// Somebody waits, and nobody looks for calls whose time is over.
    begun: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls over one connection, many at a time. It ends with its last handle.
#[derive(Clone, Debug)]
pub struct Calls {
    shared: Arc<Shared>,
    _tasks: Arc<Tasks>,
}

#[derive(Debug)]
struct Tasks([AbortHandle; 2]);

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// A call that waits; its number is free when this goes.
struct Place<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shared.lock().waiting.remove(&self.number);
    }
}

impl Calls {
    /// How many calls wait for their answers.
    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.shared.lock().waiting.len()
    }

    pub(super) async fn connect(
        network: &Network,
        address: &str,
        service: Service,
        limit: Duration,
    ) -> Result<Calls, ConnectError> {
        let stream = wire::connect(network, address, service, limit).await?;
        Ok(Calls::over(stream))
    }

    /// The task without which no answer comes.
    pub(super) fn driver(&self) -> AbortHandle {
        self._tasks.0[0].clone()
    }

    fn over(stream: Stream) -> Calls {
        let (reader, writer) = tokio::io::split(stream);
        let state = State {
            out: BytesMut::new(),
            writer: Some(writer),
            number: 0,
            waiting: HashMap::new(),
            moved_at: None,
            ticking: false,
            closed: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            filled: Notify::new(),
            begun: Notify::new(),
        });
        let tasks = [
            tokio::spawn(drive(reader, Ending(Arc::clone(&shared)))).abort_handle(),
            tokio::spawn(give_up(Arc::clone(&shared))).abort_handle(),
        ];
        Calls {
            shared,
            _tasks: Arc::new(Tasks(tasks)),
        }
    }

    /// Sends what `encode` appends, and waits for the frame that answers it, for so long and at most a tick more.
    pub(super) async fn call(
        &self,
        limit: Duration,
        encode: impl FnOnce(&mut BytesMut, u64) -> io::Result<()>,
    ) -> Result<Bytes, Broken> {
        self.wait(limit, None, encode).await
    }

    /// As [`call`](Self::call), for as long as something of what is sent moves: it ends when nothing has for `patience`.
    pub(super) async fn call_while_it_moves(
        &self,
        patience: Duration,
        encode: impl FnOnce(&mut BytesMut, u64) -> io::Result<()>,
    ) -> Result<Bytes, Broken> {
        self.wait(patience, Some(patience), encode).await
    }

    async fn wait(
        &self,
        limit: Duration,
        patience: Option<Duration>,
        encode: impl FnOnce(&mut BytesMut, u64) -> io::Result<()>,
    ) -> Result<Bytes, Broken> {
        let (answer, answered) = oneshot::channel();
        let due = Instant::now() + limit;
        let (place, sent, ticking) = {
            let mut state = self.shared.lock();
            if state.closed {
                return Err(Broken);
            }
            state.number += 1;
            let number = state.number;
            encode(&mut state.out, number).map_err(|_| Broken)?;
            let waiting = Waiting {
                answer,
                due,
                patience,
            };
            state.waiting.insert(number, waiting);
            let ticking = std::mem::replace(&mut state.ticking, true);
            let sent = state.send_alone();
            let place = Place {
                shared: &self.shared,
                number,
            };
            (place, sent, ticking)
        };
        if !sent {
            self.shared.filled.notify_one();
        }
        if !ticking {
            self.shared.begun.notify_one();
        }
        let answered = answered.await;
        drop(place);
        answered.map_err(|_| Broken)
    }
}

/// Lets whoever waits hear that nobody answers, when the connection's task ends: also when it does with its runtime.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.waiting.clear();
        state.out = BytesMut::new();
        state.writer = None;
    }
}

/// Runs a connection until it fails.
async fn drive(reader: ReadHalf<Stream>, ending: Ending) {
    let shared = &*ending.0;
    let ended = tokio::select! {
        biased;
        ended = read(reader, shared) => ended,
        ended = write(shared) => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a stream ended");
    }
}

/// Gives up calls whose time is over.
async fn give_up(shared: Arc<Shared>) {
    loop {
        shared.begun.notified().await;
        let mut ticks = interval_at(Instant::now() + TICK, TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut state = shared.lock();
            let (now, moved_at) = (Instant::now(), state.moved_at);
            state
                .waiting
                .retain(|_, waiting| waiting.goes_on(now, moved_at));
            if state.waiting.is_empty() {
                state.ticking = false;
                break;
            }
        }
    }
}

async fn read(mut reader: ReadHalf<Stream>, shared: &Shared) -> io::Result<()> {
    let mut frames = Frames::new(MAX_FRAME_BYTES, None);
    let mut input = BytesMut::new();
    loop {
        input.reserve(READ_BYTES);
        if reader.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        while let Some(frame) = frames.decode(&mut input)? {
            let (number, _) = number(&frame.bytes)?;
            if number == MOVES {
                shared.lock().moved_at = Some(Instant::now());
                continue;
            }
            // Nobody, when the call was given up.
            let waiting = shared.lock().waiting.remove(&number);
            if let Some(waiting) = waiting {
                let _ = waiting.answer.send(frame.bytes.freeze());
            }
        }
    }
}

/// Sends for callers that are many, or that could not send all at once.
async fn write(shared: &Shared) -> io::Result<()> {
    loop {
        shared.filled.notified().await;
        // Whoever is ready to call does so now, and shares the write.
        tokio::task::yield_now().await;
        let Some(mut writer) = shared.lock().writer.take() else {
            return Ok(());
        };
        let mut out = BytesMut::new();
        loop {
            std::mem::swap(&mut out, &mut shared.lock().out);
            if out.is_empty() {
                break;
            }
            let mut gone = 0;
            while gone < out.len() {
                gone += match writer.write(&out[gone..]).await? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    sent => sent,
                };
                if gone < out.len() {
                    shared.lock().moved_at = Some(Instant::now());
                }
            }
            out.clear();
        }
        writer.flush().await?;
        let mut state = shared.lock();
        if state.out.capacity() > KEPT_BYTES {
            state.give_up_room();
        }
        state.writer = Some(writer);
        if !state.out.is_empty() {
            // Somebody called during the last flush.
            shared.filled.notify_one();
        }
    }
}
