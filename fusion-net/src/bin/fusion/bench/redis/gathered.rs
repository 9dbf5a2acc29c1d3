//! One connection on which the writes of many tasks share a WAIT: whoever asks while a round is under way goes with the
//! next one, as our own client does it.

use super::Connection;
use super::resp::{self, Resp};
use anyhow::Context;
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;

/// The most commands that wait to be sent; further ones wait for room.
const QUEUE: usize = 4096;
/// The most commands before one WAIT; as many as our client sends together.
const ROUND: usize = 512;

/// What became of a write: the answer to it, and that to the WAIT behind it.
pub(crate) type Written = (Resp, Resp);

#[derive(Debug)]
struct Asked {
    command: Vec<u8>,
    answer: oneshot::Sender<Written>,
}

/// A handle of the connection, which closes with the last one.
#[derive(Clone, Debug)]
pub(crate) struct Gathered {
    queue: mpsc::Sender<Asked>,
}

impl Gathered {
    /// Shares a connection that has nothing under way. `wait` is the command behind each round.
    pub(crate) fn new(connection: Connection, wait: &[&[u8]]) -> Gathered {
        let (queue, asked) = mpsc::channel(QUEUE);
        let mut command = Vec::new();
        resp::command(&mut command, wait);
        // Whoever waits learns of a failure by its dropped channel.
        tokio::spawn(async move {
            let _ = drive(connection, asked, &command).await;
        });
        Gathered { queue }
    }

    /// One write, when the WAIT behind it was answered.
    pub(crate) async fn write(&self, words: &[&[u8]]) -> anyhow::Result<Written> {
        let (answer, answered) = oneshot::channel();
        let mut command = Vec::with_capacity(128);
        resp::command(&mut command, words);
        let sent = self.queue.send(Asked { command, answer }).await.ok();
        sent.context("the shared connection to Redis is closed")?;
        answered.await.context("Redis has closed the connection")
    }
}

async fn drive(
    mut connection: Connection,
    mut queue: mpsc::Receiver<Asked>,
    wait: &[u8],
) -> anyhow::Result<()> {
    while let Some(first) = queue.recv().await {
        // Whoever was just answered asks again now, and shares the round.
        yield_now().await;
        let mut round = vec![first];
        while round.len() < ROUND
            && let Ok(next) = queue.try_recv()
        {
            round.push(next);
        }
        for asked in &round {
            connection.queue_encoded(&asked.command);
        }
        connection.queue_encoded(wait);
        connection.send().await?;
        let mut answers = Vec::with_capacity(round.len());
        for _ in &round {
            answers.push(connection.answer().await?);
        }
        let waited = connection.answer().await?;
        for (asked, answer) in round.into_iter().zip(answers) {
            let _ = asked.answer.send((answer, waited.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A server that answers each command by its first word, and tells what it was sent, a round at a time.
    async fn echo(listener: TcpListener, rounds: mpsc::Sender<String>) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        let mut bytes = [0; 4096];
        loop {
            let len = stream.read(&mut bytes).await.unwrap();
            if len == 0 {
                return;
            }
            text += std::str::from_utf8(&bytes[..len]).unwrap();
            if !text.ends_with("WAIT\r\n") && !text.contains("SELECT") {
                continue;
            }
            let commands = text.matches('*').count();
            rounds.send(std::mem::take(&mut text)).await.unwrap();
            let answers: String = (0..commands).map(|i| format!(":{i}\r\n")).collect();
            stream.write_all(answers.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn writes_of_tasks_that_ask_at_once_share_a_wait_and_have_their_own_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (rounds, mut seen) = mpsc::channel(16);
        tokio::spawn(echo(listener, rounds));
        let connection = Connection::open(address, 0).await.unwrap();
        assert!(seen.recv().await.unwrap().contains("SELECT"));
        let gathered = Gathered::new(connection, &[b"WAIT"]);
        let calls = (0..20).map(|i| {
            let gathered = gathered.clone();
            async move { gathered.write(&[b"SET", i.to_string().as_bytes()]).await }
        });
        let answers = futures::future::join_all(calls).await;
        for (place, answer) in answers.into_iter().enumerate() {
            let expected = (Resp::Integer(place as i64), Resp::Integer(20));
            assert_eq!(answer.unwrap(), expected);
        }
        let round = seen.recv().await.unwrap();
        assert_eq!(round.matches("SET").count(), 20);
        assert_eq!(round.matches("WAIT").count(), 1);
    }
}
