//! Many keys at once, as fast as Redis takes them, and acknowledged by all replicas.

use super::super::entries::{KEY_BYTES, key, value};
use super::Group;
use super::resp::Resp;
use anyhow::ensure;

/// About so much is sent before the answers are read.
const PIECE_BYTES: usize = 256 << 10;
/// How long replicas may take for one piece.
const WAIT_MS: &[u8] = b"30000";

/// Puts keys whose values have a length each.
pub(crate) async fn put(
    group: &Group,
    database: usize,
    numbers: impl Iterator<Item = u64>,
    len: impl Fn(u64) -> usize,
    version: u32,
) -> anyhow::Result<()> {
    let ok = Resp::Simple("OK".to_owned());
    send(group, database, numbers, &ok, |number| {
        let value = value(number, version, len(number));
        vec![b"SET".to_vec(), key(number).to_vec(), value.to_vec()]
    })
    .await
}

/// Removes keys that are there.
pub(crate) async fn remove(
    group: &Group,
    database: usize,
    numbers: impl Iterator<Item = u64>,
) -> anyhow::Result<()> {
    send(group, database, numbers, &Resp::Integer(1), |number| {
        vec![b"DEL".to_vec(), key(number).to_vec()]
    })
    .await
}

/// Makes a primary and its replicas take the memory of their backlogs (1 MiB each), which no element must be charged for.
pub(crate) async fn fill_backlog(group: &Group) -> anyhow::Result<()> {
    let len = |_| 64 << 10;
    put(group, 0, std::iter::repeat_n(0, 32), len, 0).await?;
    remove(group, 0, std::iter::once(0)).await
}

async fn send(
    group: &Group,
    database: usize,
    numbers: impl Iterator<Item = u64>,
    right: &Resp,
    words: impl Fn(u64) -> Vec<Vec<u8>>,
) -> anyhow::Result<()> {
    let mut connection = group.open(database).await?;
    let replicas = group.replicas();
    let mut numbers = numbers.peekable();
    while numbers.peek().is_some() {
        let (mut bytes, mut commands) = (0, 0);
        while bytes < PIECE_BYTES
            && let Some(number) = numbers.next()
        {
            let words = words(number);
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            connection.queue(&words);
            bytes += KEY_BYTES + words.iter().map(|w| w.len()).sum::<usize>();
            commands += 1;
        }
        connection.queue(&[b"WAIT", replicas.to_string().as_bytes(), WAIT_MS]);
        connection.send().await?;
        for _ in 0..commands {
            let answer = connection.answer().await?;
            ensure!(
                answer == *right,
                "Redis answers {answer:?} instead of {right:?}"
            );
        }
        let waited = connection.answer().await?;
        ensure!(
            matches!(waited, Resp::Integer(n) if n >= replicas as i64),
            "WAIT {replicas} was answered by {waited:?}"
        );
    }
    Ok(())
}
