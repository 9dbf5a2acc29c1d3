//! One connection that many tasks share: what they ask at the same time goes in one write, and answers come in order.

use super::Connection;
use super::resp::{self, Resp};
use anyhow::Context;
use bytes::BytesMut;
use std::collections::VecDeque;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

/// The most commands that wait to be sent; further ones wait for room.
const QUEUE: usize = 4096;
const READ: usize = 64 << 10;

#[derive(Debug)]
struct Asked {
    command: Vec<u8>,
    answer: oneshot::Sender<Resp>,
}

/// A handle of the connection, which closes with the last one.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    queue: mpsc::Sender<Asked>,
}

impl Shared {
    /// Shares a connection that has nothing under way.
    pub(crate) fn new(connection: Connection) -> Shared {
        let (queue, asked) = mpsc::channel(QUEUE);
        // Whoever waits learns of a failure by its dropped channel.
        tokio::spawn(async move {
            let _ = drive(connection, asked).await;
        });
        Shared { queue }
    }

    /// One command and its answer.
    pub(crate) async fn ask(&self, words: &[&[u8]]) -> anyhow::Result<Resp> {
        let (answer, answered) = oneshot::channel();
        let mut command = Vec::with_capacity(64);
        resp::command(&mut command, words);
        let asked = Asked { command, answer };
        let sent = self.queue.send(asked).await.ok();
        sent.context("the shared connection to Redis is closed")?;
        answered.await.context("Redis has closed the connection")
    }
}

async fn drive(connection: Connection, mut queue: mpsc::Receiver<Asked>) -> anyhow::Result<()> {
    let (mut read, mut write) = connection.into_stream().into_split();
    let mut waiting: VecDeque<oneshot::Sender<Resp>> = VecDeque::new();
    let (mut out, mut incoming) = (Vec::new(), BytesMut::new());
    loop {
        incoming.reserve(READ);
        tokio::select! {
            asked = queue.recv() => {
                let Some(mut asked) = asked else { return Ok(()) };
                // Whoever is ready to ask does so now, and shares the write; as our own client does it.
                tokio::task::yield_now().await;
                loop {
                    out.append(&mut asked.command);
                    waiting.push_back(asked.answer);
                    match queue.try_recv() {
                        Ok(next) => asked = next,
                        Err(_) => break,
                    }
                }
                write.write_all(&out).await?;
                out.clear();
            }
            len = read.read_buf(&mut incoming) => {
                anyhow::ensure!(len? > 0, "closed");
                while let Some(answer) = resp::take(&mut incoming)? {
                    if let Some(waiter) = waiting.pop_front() {
                        let _ = waiter.send(answer);
                    }
                }
            }
        }
    }
}
