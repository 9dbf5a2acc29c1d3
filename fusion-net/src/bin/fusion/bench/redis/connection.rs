//! One connection, used by one task: it writes commands together and reads their answers in order.

use super::resp::{self, Resp};
use anyhow::{Context, bail};
use bytes::BytesMut;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// At least so much is read at a time where there is as much.
const READ: usize = 16 << 10;

/// A connection with its buffers.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    incoming: BytesMut,
}

impl Connection {
    /// Connects, and chooses one of the server's databases.
    pub(crate) async fn open(address: SocketAddr, database: usize) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(address).await;
        let stream = stream.with_context(|| format!("cannot connect to Redis at {address}"))?;
        stream.set_nodelay(true)?;
        let mut connection = Connection {
            stream,
            out: Vec::new(),
            incoming: BytesMut::new(),
        };
        connection
            .ask(&[b"SELECT", database.to_string().as_bytes()])
            .await?;
        Ok(connection)
    }

    /// Adds a command to what is sent next.
    pub(crate) fn queue(&mut self, words: &[&[u8]]) {
        resp::command(&mut self.out, words);
    }

    /// Adds a command that is encoded already.
    pub(super) fn queue_encoded(&mut self, command: &[u8]) {
        self.out.extend_from_slice(command);
    }

    /// Sends all that was queued in one write.
    pub(crate) async fn send(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&self.out).await?;
        self.out.clear();
        Ok(())
    }

    /// The next answer, whatever it says.
    pub(crate) async fn answer(&mut self) -> anyhow::Result<Resp> {
        loop {
            if let Some(answer) = resp::take(&mut self.incoming)? {
                return Ok(answer);
            }
            self.incoming.reserve(READ);
            if self.stream.read_buf(&mut self.incoming).await? == 0 {
                bail!("Redis has closed the connection");
            }
        }
    }

    /// One command and its answer, which must not be an error.
    pub(crate) async fn ask(&mut self, words: &[&[u8]]) -> anyhow::Result<Resp> {
        self.queue(words);
        self.send().await?;
        match self.answer().await? {
            Resp::Error(error) => bail!(
                "Redis answers {} by {error}",
                String::from_utf8_lossy(words[0])
            ),
            answer => Ok(answer),
        }
    }

    /// The two halves, for a connection that is shared.
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }
}
