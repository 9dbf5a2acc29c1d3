//! Answers of a connection on their way out: what they hold, and whether their client takes them.

use super::message::append;
use crate::service::Answers;
use crate::wire::{Guest, Room};
use fusion_core::message::Refusal;
use std::collections::VecDeque;
use std::io;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio_util::bytes::{Buf, BytesMut};

/// A buffer keeps at most so much when it is empty.
const KEPT_BYTES: usize = 256 << 10;

/// Answers on their way out.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// What has not gone.
    pub(super) out: BytesMut,
    /// The most that `out` has held since it was last empty: its capacity does not tell, once its front has gone.
    longest: usize,
    /// Something has not gone, or was not flushed.
    pub(super) unsent: bool,
    /// Bytes of all answers so far, and how many of them have gone.
    added: u64,
    gone: u64,
    /// The client takes its answers as long as it takes these in time.
    due: u64,
    /// What answers hold of the common share, until so many bytes have gone.
    rooms: VecDeque<(u64, Room)>,
}

impl Outgoing {
    /// Bytes that have not gone.
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// Adds the answer to the call of that number.
    pub(super) fn append(
        &mut self,
        number: u64,
        answer: Result<Answers, Refusal>,
        guest: &Guest,
    ) -> io::Result<()> {
        let before = self.out.len();
        append(&mut self.out, number, &answer, &[])?;
        self.added += (self.out.len() - before) as u64;
        self.longest = self.longest.max(self.out.len());
        if let Ok(answers) = answer {
            self.rooms.push_back((self.added, answers.room));
        }
        if !self.unsent {
            self.unsent = true;
            self.is_due(guest);
        }
        Ok(())
    }

    /// All that is there now must go in time.
    fn is_due(&mut self, guest: &Guest) {
        self.due = self.added;
        guest.stalls(true);
    }

    /// Takes note of what a push has done.
    pub(super) fn has_sent(&mut self, sent: Sent, guest: &Guest) {
        match sent {
            Sent::Bytes(bytes) => self.gone += bytes as u64,
            Sent::All => {
                self.unsent = false;
                if self.longest > KEPT_BYTES {
                    self.out = BytesMut::new();
                }
                self.longest = 0;
                guest.stalls(false);
            }
        }
        while self.rooms.front().is_some_and(|(end, _)| *end <= self.gone) {
            self.rooms.pop_front();
        }
        if self.unsent && self.gone >= self.due {
            // However slow: it takes them.
            guest.stalls(false);
            self.is_due(guest);
        }
    }
}

/// What a push has done.
#[derive(Debug)]
pub(super) enum Sent {
    /// So many bytes have gone.
    Bytes(usize),
    /// There is nothing more, and it was flushed.
    All,
}

/// Sends some of it. Nothing is sent twice when it is dropped.
pub(super) async fn push(
    writer: &mut (impl AsyncWrite + Unpin),
    out: &mut BytesMut,
) -> io::Result<Sent> {
    if out.is_empty() {
        writer.flush().await?;
        return Ok(Sent::All);
    }
    match writer.write(out).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        sent => {
            out.advance(sent);
            Ok(Sent::Bytes(sent))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusion_core::id::Seq;
    use fusion_core::message::ClientReply;
    use fusion_core::op::Reply;
    use futures::FutureExt;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, duplex, sink};
    use tokio::time::{Instant, advance};

    fn answer(bytes: usize) -> Result<Answers, Refusal> {
        let reply = Reply::Value(vec![7; bytes].into());
        Ok(Answers {
            replies: vec![ClientReply::Done(Ok(reply), Seq(1))],
            room: Room::default(),
        })
    }

    /// Sends what can go now.
    fn send(outgoing: &mut Outgoing, writer: &mut (impl AsyncWrite + Unpin), guest: &Guest) {
        while outgoing.unsent
            && let Some(sent) = push(writer, &mut outgoing.out).now_or_never()
        {
            outgoing.has_sent(sent.unwrap(), guest);
        }
    }

    /// It was sent away after half a minute in which there always was something to send.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_its_answers_slowly_may_stay_as_long_as_it_takes_them() {
        const STEP: Duration = Duration::from_secs(5);
        let guest = Guest::alone(0);
        let (mut writer, mut reader) = duplex(4 << 10);
        let mut outgoing = Outgoing::default();
        let leaves = Arc::clone(&guest);
        let leaving = tokio::spawn(async move { leaves.must_leave().await });
        let mut taken = [0; 4 << 10];
        for _ in 0..100 {
            while outgoing.len() < 12 << 10 {
                outgoing.append(1, answer(4 << 10), &guest).unwrap();
            }
            send(&mut outgoing, &mut writer, &guest);
            assert!(outgoing.unsent, "there is always something");
            advance(STEP).await;
            reader.read_exact(&mut taken).await.unwrap();
            assert!(!leaving.is_finished(), "it takes them");
        }
        send(&mut outgoing, &mut writer, &guest);
        let stopped = Instant::now();
        assert_eq!(leaving.await.unwrap(), "it does not take its answers");
        assert!(stopped.elapsed() < Duration::from_secs(40));
    }

    /// Its capacity does not tell how long it is, once its front was sent.
    #[tokio::test]
    async fn a_buffer_that_was_long_is_given_up_when_all_has_gone() {
        let guest = Guest::alone(0);
        let mut outgoing = Outgoing::default();
        outgoing.append(1, answer(4 * KEPT_BYTES), &guest).unwrap();
        assert!(outgoing.out.capacity() > KEPT_BYTES);
        send(&mut outgoing, &mut sink(), &guest);
        assert!(!outgoing.unsent && outgoing.rooms.is_empty());
        // It would be made larger in place, if there were room behind.
        outgoing.out.reserve(1);
        assert!(outgoing.out.capacity() < 1 << 10);
    }

    #[tokio::test]
    async fn what_an_answer_holds_is_free_when_that_answer_has_gone() {
        let guest = Guest::alone(0);
        let (mut writer, mut reader) = duplex(1 << 10);
        let mut outgoing = Outgoing::default();
        for bytes in [100, 4 << 10] {
            outgoing.append(1, answer(bytes), &guest).unwrap();
        }
        assert_eq!(outgoing.rooms.len(), 2);
        send(&mut outgoing, &mut writer, &guest);
        assert_eq!(outgoing.rooms.len(), 1);
        while outgoing.unsent {
            let mut taken = [0; 100];
            reader.read_exact(&mut taken).await.unwrap();
            send(&mut outgoing, &mut writer, &guest);
        }
        assert!(outgoing.rooms.is_empty());
    }
}
