//! How bytes travel: plain TCP, or mutual TLS over TCP.
//!
//! A [`Network`] is chosen once for a process and handed down to everything that listens or connects. Without TLS it
//! reaches no further than this machine unless [`Network::insecure`] says so.

mod authority;
mod stream;
mod tls;

pub use authority::{Authority, CertificateError, Issued};
pub use stream::Stream;
pub use tls::{Tls, TlsError, TlsFiles};

use crate::text::bounded;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use stream::Tcp;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

/// The way that a process reaches others and is reached. Cheap to clone.
///
/// The default is [`Network::loopback`].
#[derive(Clone, Debug, Default)]
pub struct Network {
    security: Security,
    medium: Medium,
}

#[derive(Clone, Debug, Default)]
enum Security {
    #[default]
    Loopback,
    Insecure,
    Tls(Tls),
}

/// Whose TCP it is.
#[derive(Clone, Copy, Debug, Default)]
enum Medium {
    #[default]
    System,
    #[cfg(feature = "turmoil")]
    Turmoil,
}

/// Why a process cannot listen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Without TLS only this machine may be let in.
    #[error("without TLS only loopback addresses may be listened on, and {0} is none")]
    NotLoopback(SocketAddr),
    /// Nobody knows what the name stands for.
    #[error(
        "cannot listen on {}: {error}; give HOST:PORT, a name or an address of this machine",
        bounded(place)
    )]
    Name {
        /// What was asked for.
        place: String,
        /// Why not.
        error: io::Error,
    },
    /// The system said no.
    #[error("cannot listen on {address}: {error}")]
    Io {
        /// The address asked for.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
}

/// Why no bytes can travel to an address.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReachError {
    /// Without TLS only this machine may be spoken to.
    #[error("without TLS only loopback addresses may be connected to, and {0} is none")]
    NotLoopback(String),
    /// The name of the host is none that a certificate could have.
    #[error("{0:?} is not the name of a host")]
    BadName(String),
    /// The other side does not speak TLS.
    #[error("it does not speak TLS, and this side does")]
    PlainThere,
    /// The other side speaks TLS only.
    #[error("it speaks TLS only, and this side has no certificate")]
    TlsThere,
    /// The other side's certificate does not do.
    #[error("its certificate does not do: {0}")]
    BadCertificate(String),
    /// The other side does not take this side's certificate.
    #[error("it refused the certificate of this side ({0}); both must come from one authority")]
    Refused(String),
    /// TLS failed otherwise.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The network said no.
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for ReachError {
    /// What TLS has to say comes inside an `io::Error`.
    fn from(error: io::Error) -> ReachError {
        match tls::cause(&error) {
            Some(cause) => tls::explain(cause),
            None => ReachError::Io(error),
        }
    }
}

impl Network {
    /// Plain TCP between processes of this machine; other addresses are refused.
    #[must_use]
    pub fn loopback() -> Network {
        Network::default()
    }

    /// Plain TCP to and from anywhere: whoever can reach a port may read and change everything.
    #[must_use]
    pub fn insecure() -> Network {
        Network {
            security: Security::Insecure,
            medium: Medium::default(),
        }
    }

    /// Mutual TLS: both sides of each connection show a certificate of the same authority.
    #[must_use]
    pub fn tls(tls: Tls) -> Network {
        Network {
            security: Security::Tls(tls),
            medium: Medium::default(),
        }
    }

    /// The same over turmoil's simulated network: only inside one of its simulations.
    #[cfg(feature = "turmoil")]
    #[must_use]
    pub fn simulated(self) -> Network {
        Network {
            medium: Medium::Turmoil,
            ..self
        }
    }

    /// Whether connections are encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self.security, Security::Tls(_))
    }

    /// Listens on an address; port 0 means any free one.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn listen(&self, address: SocketAddr) -> Result<Listener, ListenError> {
        if matches!(self.security, Security::Loopback) && !address.ip().is_loopback() {
            return Err(ListenError::NotLoopback(address));
        }
        let socket = match self.medium {
            Medium::System => listen(address).map(Socket::System),
            #[cfg(feature = "turmoil")]
            Medium::Turmoil => turmoil::net::TcpListener::bind(address)
                .await
                .map(Socket::Turmoil),
        };
        Ok(Listener {
            socket: socket.map_err(|error| ListenError::Io { address, error })?,
            network: self.clone(),
        })
    }

    /// Listens on `HOST:PORT`, at the first address that the name stands for and that can be listened on.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn listen_at(&self, place: &str) -> Result<Listener, ListenError> {
        let name = || place.to_owned();
        let addresses = lookup_host(place).await;
        let addresses = addresses.map_err(|error| ListenError::Name {
            place: name(),
            error,
        })?;
        let mut failed = ListenError::Name {
            place: name(),
            error: io::Error::from(io::ErrorKind::NotFound),
        };
        for address in addresses {
            match self.listen(address).await {
                Ok(listener) => return Ok(listener),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Connects to `HOST:PORT`; with TLS, to nobody but a holder of a certificate for that host.
    pub(crate) async fn reach(&self, address: &str) -> Result<Stream, ReachError> {
        let tcp = match self.medium {
            Medium::System => Tcp::System(self.dial(address).await?),
            #[cfg(feature = "turmoil")]
            Medium::Turmoil => Tcp::Turmoil(turmoil::net::TcpStream::connect(address).await?),
        };
        tcp.set_nodelay(true)?;
        match &self.security {
            Security::Loopback | Security::Insecure => Ok(Stream::plain(tcp)),
            Security::Tls(tls) => tls.connect(tcp, host_of(address)).await,
        }
    }

    /// Whether an address may be connected to at all, as far as it can be told without asking for its host.
    ///
    /// # Errors
    /// [`ReachError::NotLoopback`].
    pub fn check(&self, address: &str) -> Result<(), ReachError> {
        let ip = host_of(address).parse::<IpAddr>();
        match (&self.security, ip) {
            (Security::Loopback, Ok(ip)) if !ip.is_loopback() => {
                Err(ReachError::NotLoopback(address.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Whether others who come to this process at `address` will take it for the right one.
    ///
    /// # Errors
    /// [`TlsError::OtherHost`].
    pub fn check_own(&self, address: &str) -> Result<(), TlsError> {
        match &self.security {
            Security::Tls(tls) => tls.check_host(host_of(address)),
            Security::Loopback | Security::Insecure => Ok(()),
        }
    }

    /// Tries each address that the name stands for, as the system's own connect does.
    async fn dial(&self, address: &str) -> Result<TcpStream, ReachError> {
        if !matches!(self.security, Security::Loopback) {
            return Ok(TcpStream::connect(address).await?);
        }
        let mut failed = ReachError::NotLoopback(address.to_owned());
        for place in lookup_host(address).await? {
            if place.ip().is_loopback() {
                match TcpStream::connect(place).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failed = error.into(),
                }
            }
        }
        Err(failed)
    }
}

/// Listens, with as many connections that wait to be accepted as the system allows: many clients may come at once.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A process that is started again takes its port, though connections of the one before are not over.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// More than any system allows, which takes what it does.
const BACKLOG: u32 = i32::MAX as u32;

/// The host of `HOST:PORT`, without the brackets of an IPv6 address.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    inner
        .filter(|h| h.parse::<IpAddr>().is_ok())
        .unwrap_or(host)
}

/// A listening socket, and the network that it belongs to.
pub struct Listener {
    socket: Socket,
    network: Network,
}

enum Socket {
    System(TcpListener),
    #[cfg(feature = "turmoil")]
    Turmoil(turmoil::net::TcpListener),
}

impl Listener {
    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.socket {
            Socket::System(socket) => socket.local_addr(),
            #[cfg(feature = "turmoil")]
            Socket::Turmoil(socket) => socket.local_addr(),
        }
    }

    /// The network that it listens on, which its process also connects by.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The next connection, about whose other side nothing is known yet.
    pub(crate) async fn accept(&self) -> io::Result<Incoming> {
        let (tcp, from) = match &self.socket {
            Socket::System(socket) => {
                let (tcp, from) = socket.accept().await?;
                (Tcp::System(tcp), from)
            }
            #[cfg(feature = "turmoil")]
            Socket::Turmoil(socket) => {
                let (tcp, from) = socket.accept().await?;
                (Tcp::Turmoil(tcp), from)
            }
        };
        Ok(Incoming {
            tcp,
            from,
            network: self.network.clone(),
        })
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("address", &self.local_addr())
            .field("network", &self.network)
            .finish()
    }
}

/// A connection that somebody has made, before a word is said.
#[derive(Debug)]
pub(crate) struct Incoming {
    tcp: Tcp,
    from: SocketAddr,
    network: Network,
}

/// A connection on which the two sides do not agree.
#[derive(Debug)]
pub(crate) struct Unreached {
    /// Why not.
    pub(crate) error: ReachError,
    /// The stream, unencrypted, where the other side can yet be told.
    pub(crate) stream: Option<Stream>,
}

/// The first byte of every TLS conversation: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

impl Incoming {
    /// Whose connection it is.
    pub(crate) fn from(&self) -> SocketAddr {
        self.from
    }

    /// Agrees on TLS where this process speaks it. Takes as long as the other side likes: the caller sets a limit.
    ///
    /// # Errors
    /// [`Unreached`].
    pub(crate) async fn secure(mut self) -> Result<Stream, Unreached> {
        let first = self.first_byte().await.map_err(|error| Unreached {
            error: error.into(),
            stream: None,
        })?;
        let error = match (self.network.security, first == Some(TLS_HANDSHAKE)) {
            (Security::Tls(tls), true) => return tls.accept(self.tcp).await,
            (Security::Tls(_), false) => ReachError::PlainThere,
            (_, true) => ReachError::TlsThere,
            (_, false) => return Ok(Stream::plain(self.tcp)),
        };
        Err(Unreached {
            error,
            stream: Some(Stream::plain(self.tcp)),
        })
    }

    async fn first_byte(&mut self) -> io::Result<Option<u8>> {
        self.tcp.set_nodelay(true)?;
        let mut first = [0];
        let seen = self.tcp.peek(&mut first).await?;
        Ok((seen > 0).then_some(first[0]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_addresses() {
        assert_eq!(host_of("example.com:7400"), "example.com");
        assert_eq!(host_of("10.0.0.1:7400"), "10.0.0.1");
        assert_eq!(host_of("[::1]:7400"), "::1");
        assert_eq!(host_of("[nonsense]:7400"), "[nonsense]");
    }

    #[tokio::test]
    async fn without_tls_nobody_listens_where_others_could_reach_it() {
        let open: SocketAddr = "0.0.0.0:0".parse().unwrap();
        let refused = Network::loopback().listen(open).await;
        assert!(matches!(refused, Err(ListenError::NotLoopback(at)) if at == open));
        assert!(Network::insecure().listen(open).await.is_ok());
        for here in ["127.0.0.1:0", "127.9.9.9:0"] {
            assert!(
                Network::loopback()
                    .listen(here.parse().unwrap())
                    .await
                    .is_ok()
            );
        }
    }

    #[tokio::test]
    async fn without_tls_nobody_is_spoken_to_elsewhere() {
        // Refused before a packet leaves: the address is one for documentation, which nobody has.
        let refused = Network::loopback().reach("192.0.2.1:7400").await;
        assert!(
            matches!(refused, Err(ReachError::NotLoopback(_))),
            "{refused:?}"
        );
    }
}
