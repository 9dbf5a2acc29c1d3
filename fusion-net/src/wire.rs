//! The wire: a preface that names version and service, then length-delimited postcard frames for tarpc.
//!
//! Preface, 8 bytes each way: `FUSN`, protocol version (u16, little-endian), service (u8), flags (u8). The server answers
//! with its own preface before the first frame, or closes the connection; so garbage, another version or the wrong
//! kind of port is told apart at once. The only flag is 1: whoever answers speaks TLS only. With TLS all of it is encrypted.

mod frame;
mod guest;
mod moved;
mod open;
mod room;
mod sides;
#[cfg(test)]
mod slow_peers;

#[cfg(feature = "fuzzing")]
pub use frame::{Cut, cut_frames};
pub(crate) use frame::{Frames, OWN_BYTES};
pub use guest::Guest;
pub(crate) use guest::Shares;
pub use moved::Moved;
pub(crate) use open::MAX_REQUESTS;
pub use room::{Holds, Room};
pub(crate) use sides::server_transport;
pub use sides::{ClientSide, ServerSide, client_transport, decode_request};

use crate::transport::{Incoming, Network, ReachError, Stream, Unreached};
use fusion_core::limits::{MAX_CHANGE_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES};
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// The version of everything that is said after the preface.
pub const PROTOCOL_VERSION: u16 = 5;
/// The longest frame, in bytes: the longest change with its envelope. A change that no frame takes could never be
/// replicated, and its primary would stand still.
pub const MAX_FRAME_BYTES: usize = MAX_CHANGE_BYTES + ENVELOPE_BYTES;
/// The furthest deadline that a request may carry.
pub const MAX_DEADLINE: Duration = Duration::from_secs(600);

/// Room for what is around the bytes of a change or of pages: routes, counts, deadlines.
const ENVELOPE_BYTES: usize = 1 << 20;
const MAGIC: [u8; 4] = *b"FUSN";
/// How long TLS and the preface may take together.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(3);
/// Of the last byte of an answer: nothing but TLS is spoken there.
const TLS_ONLY: u8 = 1;
/// At most so often a refusal is logged aloud.
const SELDOM: Duration = Duration::from_secs(10);
/// The most bytes that are heard of somebody with whom nothing is agreed.
const MAX_FAREWELL: u64 = 1 << 16;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Service {
    /// A primary structure: clients, and replacements that recover.
    Primary = 1,
    /// A fused structure: primaries, and replacements that recover.
    Fused = 2,
    /// The coordinator: servers, clients and operators.
    Coordinator = 3,
    /// Batches of clients for primaries, [without tarpc](crate::express).
    Operations = 4,
    /// Changes for fused structures, without tarpc.
    Changes = 5,
}

impl Service {
    /// The longest request, in bytes.
    #[must_use]
    pub fn max_request_bytes(self) -> usize {
        match self {
            // The largest operation has a key and two values; batches of smaller ones have less.
            Service::Primary | Service::Operations => {
                MAX_KEY_BYTES + 2 * MAX_VALUE_BYTES + ENVELOPE_BYTES
            }
            Service::Fused | Service::Changes => MAX_FRAME_BYTES,
            // The reports of all members of a process, or a configuration.
            Service::Coordinator => 4 << 20,
        }
    }
}

/// Why a connection was not made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The network said no.
    #[error("{0}")]
    Io(io::Error),
    /// The two sides do not agree on how bytes travel.
    #[error("{0}")]
    Reach(ReachError),
    /// Nothing was said for too long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// Whoever listens there does not speak this protocol.
    #[error("what listens there is no fusion process")]
    NotFusion,
    /// It speaks another version.
    #[error("it speaks protocol version {theirs}, this one {ours}")]
    Version {
        /// The other side's version.
        theirs: u16,
        /// This side's.
        ours: u16,
    },
    /// It does not offer the service (a server's address was given for the coordinator's, say).
    #[error("it does not offer the {wanted:?} service")]
    WrongService {
        /// The service asked for.
        wanted: Service,
    },
}

impl From<ReachError> for ConnectError {
    fn from(error: ReachError) -> ConnectError {
        match error {
            ReachError::Io(error) => ConnectError::Io(error),
            error => ConnectError::Reach(error),
        }
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> ConnectError {
        ReachError::from(error).into()
    }
}

fn preface(service: u8) -> [u8; 8] {
    let [v0, v1] = PROTOCOL_VERSION.to_le_bytes();
    [MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3], v0, v1, service, 0]
}

/// The answer to who speaks without TLS, where nothing else is spoken.
fn tls_only() -> [u8; 8] {
    let mut answer = preface(0);
    answer[7] = TLS_ONLY;
    answer
}

fn parse_preface(bytes: [u8; 8]) -> Result<u8, ConnectError> {
    if bytes[..4] != MAGIC {
        return Err(ConnectError::NotFusion);
    }
    let theirs = u16::from_le_bytes([bytes[4], bytes[5]]);
    if theirs != PROTOCOL_VERSION {
        return Err(ConnectError::Version {
            theirs,
            ours: PROTOCOL_VERSION,
        });
    }
    Ok(bytes[6])
}

/// Reads a preface; for the fuzzer.
///
/// # Errors
/// As [`connect`].
#[cfg(feature = "fuzzing")]
pub fn read_preface(bytes: [u8; 8]) -> Result<u8, ConnectError> {
    parse_preface(bytes)
}

/// Connects and agrees on version and service.
///
/// # Errors
/// [`ConnectError`] says what is at the other end.
pub async fn connect(
    network: &Network,
    address: &str,
    service: Service,
    limit: Duration,
) -> Result<Stream, ConnectError> {
    let handshake = async {
        let mut stream = network.reach(address).await?;
        stream.write_all(&preface(service as u8)).await?;
        stream.flush().await?;
        let mut answer = [0; 8];
        match stream.read_exact(&mut answer).await {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(ConnectError::NotFusion);
            }
            Err(e) => return Err(e.into()),
        }
        if answer[..4] == MAGIC && answer[7] & TLS_ONLY != 0 {
            return Err(ReachError::TlsThere.into());
        }
        match parse_preface(answer)? {
            s if s == service as u8 => Ok(stream),
            _ => Err(ConnectError::WrongService { wanted: service }),
        }
    };
    timeout(limit, handshake)
        .await
        .unwrap_or(Err(ConnectError::TimedOut(limit)))
}

/// Reads the other side's preface and answers it; `offered` are the services to be had here.
///
/// # Errors
/// [`ConnectError`]: the connection is of no use.
pub(crate) async fn accept(
    incoming: Incoming,
    offered: &[Service],
) -> Result<(Stream, Service), ConnectError> {
    let handshake = async {
        let mut stream = match incoming.secure().await {
            Ok(stream) => stream,
            Err(Unreached { error, stream }) => {
                if let Some(stream) = stream {
                    take_leave(stream, &error).await;
                }
                return Err(error.into());
            }
        };
        let mut asked = [0; 8];
        stream.read_exact(&mut asked).await?;
        let parsed = parse_preface(asked);
        let service = offered
            .iter()
            .copied()
            .find(|&s| parsed.as_ref().is_ok_and(|&p| p == s as u8));
        // The answer says version and service even when they do not fit, so that the other side can tell its user.
        if !matches!(parsed, Err(ConnectError::NotFusion)) {
            stream
                .write_all(&preface(service.map_or(0, |s| s as u8)))
                .await?;
            stream.flush().await?;
        }
        parsed?;
        let service = service.ok_or(ConnectError::NotFusion)?;
        Ok((stream, service))
    };
    timeout(PREFACE_TIMEOUT, handshake)
        .await
        .unwrap_or(Err(ConnectError::TimedOut(PREFACE_TIMEOUT)))
}

/// Logs a connection of which nothing came. What an operator has to mend is said aloud, but seldom: strangers must not
/// fill the log.
pub(crate) fn refused(error: &ConnectError, from: SocketAddr) {
    static SAID: Mutex<Option<Instant>> = Mutex::new(None);
    if matches!(error, ConnectError::Reach(_)) && is_due(&SAID) {
        tracing::warn!(%from, %error, "a connection was refused; further ones are not told for a while");
    } else {
        tracing::debug!(%from, %error, "a connection was refused");
    }
}

/// Logs a connection that ended by what came on it, as seldom. That the other side just went is no news.
fn broke(error: &io::Error) {
    static SAID: Mutex<Option<Instant>> = Mutex::new(None);
    let told = matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::OutOfMemory
    );
    if told && is_due(&SAID) {
        tracing::warn!(%error, "a connection was closed; further ones are not told for a while");
    } else {
        tracing::debug!(%error, "a connection was closed");
    }
}

fn is_due(said: &Mutex<Option<Instant>>) -> bool {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    let due = said.is_none_or(|at| at.elapsed() >= SELDOM);
    if due {
        *said = Some(Instant::now());
    }
    due
}

/// Tells the other side what is spoken here, then hears it out, a little: what is left unread when a connection closes
/// makes the system discard what was said last.
async fn take_leave(mut stream: Stream, error: &ReachError) {
    let told = match error {
        ReachError::PlainThere => {
            let mut asked = [0; 8];
            let heard = stream.read_exact(&mut asked).await;
            // Nothing is said to strangers.
            if heard.is_err() || asked[..4] != MAGIC {
                return;
            }
            stream.write_all(&tls_only()).await
        }
        // What speaks TLS sees that this does not.
        ReachError::TlsThere => stream.write_all(&preface(0)).await,
        // TLS has said it.
        _ => Ok(()),
    };
    if told.is_ok() && stream.shutdown().await.is_ok() {
        let mut rest = stream.take(MAX_FAREWELL);
        let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn prefaces_tell_versions_and_strangers_apart() {
        assert_eq!(parse_preface(preface(2)).unwrap(), 2);
        assert!(matches!(
            parse_preface(*b"GET / HT"),
            Err(ConnectError::NotFusion)
        ));
        let mut other = preface(1);
        other[4] = 99;
        assert!(matches!(
            parse_preface(other),
            Err(ConnectError::Version { theirs: 99, .. })
        ));
    }
}
