//! A connection's two directions of bytes, whatever carries them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// Bytes to and from another process.
#[derive(Debug)]
pub struct Stream(Carrier);

#[derive(Debug)]
enum Carrier {
    Plain(Tcp),
    /// Both sides have shown a certificate.
    Tls(Box<TlsStream<Tcp>>),
}

/// A TCP connection.
#[derive(Debug)]
pub(super) enum Tcp {
    /// The operating system's.
    System(TcpStream),
    /// One between hosts of a simulation.
    #[cfg(feature = "turmoil")]
    Turmoil(turmoil::net::TcpStream),
}

impl Stream {
    pub(super) fn plain(tcp: Tcp) -> Stream {
        Stream(Carrier::Plain(tcp))
    }

    pub(super) fn tls(tls: impl Into<TlsStream<Tcp>>) -> Stream {
        Stream(Carrier::Tls(Box::new(tls.into())))
    }
}

impl Tcp {
    pub(super) fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        match self {
            Tcp::System(tcp) => tcp.set_nodelay(nodelay),
            #[cfg(feature = "turmoil")]
            Tcp::Turmoil(tcp) => tcp.set_nodelay(nodelay),
        }
    }

    /// Waits for the other side to say something, and looks at it without taking it.
    pub(super) async fn peek(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Tcp::System(tcp) => tcp.peek(bytes).await,
            #[cfg(feature = "turmoil")]
            Tcp::Turmoil(tcp) => tcp.peek(bytes).await,
        }
    }
}

/// Hands a call on to whatever is inside.
macro_rules! inner {
    ($this:expr, $call:ident($($argument:expr),*)) => {
        match $this.get_mut() {
            Tcp::System(tcp) => Pin::new(tcp).$call($($argument),*),
            #[cfg(feature = "turmoil")]
            Tcp::Turmoil(tcp) => Pin::new(tcp).$call($($argument),*),
        }
    };
}

macro_rules! carrier {
    ($this:expr, $call:ident($($argument:expr),*)) => {
        match &mut $this.get_mut().0 {
            Carrier::Plain(tcp) => Pin::new(tcp).$call($($argument),*),
            Carrier::Tls(tls) => Pin::new(&mut **tls).$call($($argument),*),
        }
    };
}

impl AsyncRead for Tcp {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        inner!(self, poll_read(context, into))
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        inner!(self, poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, poll_shutdown(context))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        inner!(self, poll_write_vectored(context, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Tcp::System(tcp) => tcp.is_write_vectored(),
            #[cfg(feature = "turmoil")]
            Tcp::Turmoil(tcp) => tcp.is_write_vectored(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        carrier!(self, poll_read(context, into))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        carrier!(self, poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        carrier!(self, poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        carrier!(self, poll_shutdown(context))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        carrier!(self, poll_write_vectored(context, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Carrier::Plain(tcp) => tcp.is_write_vectored(),
            Carrier::Tls(tls) => tls.is_write_vectored(),
        }
    }
}
