//! A server process: hosts any number of members of any number of clusters.

mod fused;
mod heir;
mod host;
mod link;
mod links;
mod primary;
mod replacement;
mod sound;
mod successor;
mod sync;

pub use host::{Host, Peers};

pub(crate) use fused::FusedServer;
pub(crate) use primary::PrimaryServer;

use crate::addresses::Addresses;
use crate::connections;
use crate::express;
use crate::labels::Labels;
use crate::memory::MemoryLimit;
use crate::service::{Fused as _, Primary as _};
use crate::transport::{Incoming, Listener, TlsError};
use crate::wire::{self, Guest, MAX_REQUESTS, Service};
use futures::StreamExt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tarpc::server::{BaseChannel, Channel, Config};
use thiserror::Error;
use tokio::task::JoinSet;

/// See [`tick`].
const TICK: Duration = Duration::from_millis(20);

/// What a server's port answers: tarpc, then streams.
const OFFERED: [Service; 4] = [
    Service::Primary,
    Service::Fused,
    Service::Operations,
    Service::Changes,
];

/// How a server is run.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The coordinators' addresses.
    pub coordinators: Addresses,
    /// The address that others reach this process at, when it is not the one it listens on.
    pub advertise: Option<String>,
    /// Where it stands: by default on the host of its address (PROTOCOL rule 69).
    pub labels: Labels,
    /// Whether it offers [streams](crate::express) beside tarpc; to compare the two, for the most part.
    pub streams: bool,
    /// How much memory it may take: beyond that, less what is kept for recoveries, writes are refused (PROTOCOL rule 70).
    /// `None`: no limit.
    pub memory: Option<MemoryLimit>,
}

/// Why a server could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address that others reach it at cannot be told.
    #[error(
        "listening on {listen} does not say where others reach this server; give --advertise HOST:PORT"
    )]
    NoAddress {
        /// Where it listens.
        listen: SocketAddr,
    },
    /// It could not code.
    #[error(transparent)]
    NoCode(#[from] fusion_core::code::CodeError),
    /// The heartbeat has ended, by a fault of this program; its log says which.
    #[error("an internal fault stopped the server; start it again")]
    Stopped,
    /// Others would not take its certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The listener failed.
    #[error("the listening socket failed: {0}")]
    Io(#[from] std::io::Error),
}

/// Serves until the future is dropped.
///
/// # Errors
/// [`ServerError`] when it cannot start; a coordinator that is not there yet is waited for.
pub async fn serve(listener: Listener, options: ServerOptions) -> Result<(), ServerError> {
    fusion_core::code::check_engine()?;
    let listen = listener.local_addr()?;
    let address = match options.advertise {
        Some(address) => address,
        None if listen.ip().is_unspecified() => return Err(ServerError::NoAddress { listen }),
        None => listen.to_string(),
    };
    listener.network().check_own(&address)?;
    let peers = Peers::new(listener.network().clone());
    let host = Host::new(peers, options.streams, options.memory);
    let _leaving = Leaving(Arc::clone(&host));
    let mut tasks = JoinSet::new();
    tasks.spawn(sync::run(
        Arc::clone(&host),
        options.coordinators,
        address,
        options.labels,
    ));
    tasks.spawn(Arc::clone(&host).keep_looking());
    tasks.spawn(tick(Arc::clone(&host)));
    let accepting = connections::accept(listener, move |incoming, guest| {
        let host = Arc::clone(&host);
        async move { serve_connection(incoming, guest, host).await }
    });
    // Without its heartbeat the server would be replaced while it goes on: better to stop at once.
    tokio::select! {
        () = accepting => Ok(()),
        _ = tasks.join_next() => Err(ServerError::Stopped),
    }
}

/// Says, when the server ends, what ends with it.
struct Leaving(Arc<Host>);

impl Drop for Leaving {
    fn drop(&mut self) {
        let (members, server) = (self.0.members(), self.0.identity().map(|i| i.server));
        if let Some(server) = server.filter(|_| members > 0) {
            tracing::warn!(
                %server, members,
                "this server ends with members on it: until they are made again, on servers that have room for them, their \
                 clusters tolerate fewer faults; to move them away first, `fusion server drain {server}` before it is \
                 stopped"
            );
        }
    }
}

/// Looks at what memory is taken; and keeps a timer in the near future: every later one, of each call's deadline, is then set
/// without waking the runtime by a system call.
async fn tick(host: Arc<Host>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        host.memory.look();
    }
}

pub(crate) async fn serve_connection(incoming: Incoming, guest: Arc<Guest>, host: Arc<Host>) {
    let offered = if host.streams().is_some() {
        &OFFERED[..]
    } else {
        &OFFERED[..2]
    };
    let from = incoming.from();
    match wire::accept(incoming, offered).await {
        Ok((stream, Service::Primary)) => {
            let transport = wire::server_transport(stream, Service::Primary, Arc::clone(&guest));
            let channel = BaseChannel::new(channel_config(), transport);
            run(channel.execute(PrimaryServer::new(host, guest).serve())).await;
        }
        Ok((stream, Service::Fused)) => {
            let transport = wire::server_transport(stream, Service::Fused, Arc::clone(&guest));
            let channel = BaseChannel::new(channel_config(), transport);
            run(channel.execute(FusedServer::new(host, Arc::clone(&guest)).serve())).await;
        }
        Ok((stream, Service::Operations)) => {
            let server = PrimaryServer::new(host, Arc::clone(&guest));
            ended(express::serve_operations(stream, guest, server).await)
        }
        Ok((stream, Service::Changes)) => ended(
            express::serve_changes(stream, Arc::clone(&guest), FusedServer::new(host, guest)).await,
        ),
        Ok((_, Service::Coordinator)) => {}
        Err(error) => wire::refused(&error, from),
    }
}

fn ended(result: std::io::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a stream ended");
    }
}

/// Room for every answer that can be under way, so that a handler never waits for the connection to be polled.
pub(crate) fn channel_config() -> Config {
    Config {
        pending_response_buffer: MAX_REQUESTS,
    }
}

/// Runs a connection's handlers within its own task. At the bound no further request is read, but deadlines are kept.
pub(crate) async fn run<S, F>(requests: S)
where
    S: futures::Stream<Item = F>,
    F: Future<Output = ()>,
{
    requests.for_each_concurrent(None, |handler| handler).await;
}
