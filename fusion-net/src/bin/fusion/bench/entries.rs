//! What is put: keys of 16 bytes, and values that tell which key, or which element, they belong to.

use anyhow::ensure;
use bytes::Bytes;
use fusion_core::op::{Op, Reply};
use fusion_net::client::{Map, Raw};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinSet;

/// The length of a key in bytes.
pub(crate) const KEY_BYTES: usize = 16;
/// A value begins with its mark and its version.
pub(crate) const MIN_VALUE_BYTES: usize = 8;

/// A key.
pub(crate) type Key = [u8; KEY_BYTES];

/// A map over all primaries of a cluster.
pub(crate) type Spread = Map<Key, ()>;

/// Mixes a number over all bits.
pub(crate) fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}

/// The key of a number: another one for each, spread over all bits.
pub(crate) fn key(number: u64) -> Key {
    let mut key = [0; KEY_BYTES];
    key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

/// What follows the first eight of `len` bytes: no run of them is alike, so that nobody saves any of it.
fn fill(seed: u64, len: usize) -> impl Iterator<Item = u8> {
    let words = (1..).flat_map(move |word: u64| mix(seed.wrapping_add(word)).to_be_bytes());
    words.take(len.saturating_sub(MIN_VALUE_BYTES))
}

/// The value of a number in a version: `len` bytes, 8 at least.
pub(crate) fn value(number: u64, version: u32, len: usize) -> Bytes {
    let mut value = Vec::with_capacity(len.max(MIN_VALUE_BYTES));
    value.extend_from_slice(&(mix(number) as u32).to_be_bytes());
    value.extend_from_slice(&version.to_be_bytes());
    value.extend(fill(mix(number) ^ u64::from(version), len));
    value.into()
}

/// Whether these bytes are a whole value of that number, in any version.
pub(crate) fn is_value(bytes: &[u8], number: u64, len: usize) -> bool {
    let Some((mark, rest)) = bytes.split_first_chunk::<4>() else {
        return false;
    };
    let Some((version, rest)) = rest.split_first_chunk::<4>() else {
        return false;
    };
    let version = u32::from_be_bytes(*version);
    bytes.len() == len.max(MIN_VALUE_BYTES)
        && u32::from_be_bytes(*mark) == mix(number) as u32
        && rest
            .iter()
            .copied()
            .eq(fill(mix(number) ^ u64::from(version), len))
}

/// An element of a list or queue: `len` bytes, 8 at least, that begin with its id.
pub(crate) fn element(id: u64, len: usize) -> Bytes {
    let mut element = Vec::with_capacity(len.max(MIN_VALUE_BYTES));
    element.extend_from_slice(&id.to_be_bytes());
    element.extend(fill(id, len));
    element.into()
}

/// The id of an element that is whole.
pub(crate) fn element_id(bytes: &[u8], len: usize) -> Option<u64> {
    let (id, rest) = bytes.split_first_chunk::<8>()?;
    let id = u64::from_be_bytes(*id);
    let whole = bytes.len() == len.max(MIN_VALUE_BYTES) && rest.iter().copied().eq(fill(id, len));
    whole.then_some(id)
}

/// Entries of one size, the numbers from 0 on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entries {
    /// How many keys there are.
    pub(crate) keys: u64,
    /// The length of a value.
    pub(crate) value_bytes: usize,
}

impl Entries {
    /// Puts all keys, which are new, from `in_flight` tasks.
    pub(crate) async fn fill(self, to: &Target, in_flight: usize) -> anyhow::Result<()> {
        let to = to.clone();
        each(self.keys, in_flight, move |number| {
            let to = to.clone();
            async move { to.put(number, 0, self.value_bytes, false).await }
        })
        .await
    }

    /// Gets all keys, from `in_flight` tasks.
    pub(crate) async fn check(self, to: &Target, in_flight: usize) -> anyhow::Result<()> {
        let to = to.clone();
        each(self.keys, in_flight, move |number| {
            let to = to.clone();
            async move { to.check(number, self.value_bytes).await }
        })
        .await
    }
}

/// Does `one` with each number below `count`, so many at a time.
pub(crate) async fn each<F>(
    count: u64,
    in_flight: usize,
    one: impl Fn(u64) -> F + Clone + Send + 'static,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..in_flight {
        let (next, one) = (Arc::clone(&next), one.clone());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(());
                }
                one(number).await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// Where entries go.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Over all primaries, by the hash of the key.
    Spread(Spread),
    /// To this primary.
    One(Raw),
    /// To these in turn, by number.
    Parts(Vec<Raw>),
}

impl Target {
    /// The primary of a key.
    pub(crate) fn of(&self, number: u64) -> anyhow::Result<&Raw> {
        match self {
            Target::Spread(map) => Ok(map.part_of(&key(number))?.raw()),
            Target::One(raw) => Ok(raw),
            Target::Parts(parts) => Ok(&parts[(number % parts.len() as u64) as usize]),
        }
    }

    /// Puts a key that must be there already, or must not.
    pub(crate) async fn put(
        &self,
        number: u64,
        version: u32,
        len: usize,
        known: bool,
    ) -> anyhow::Result<()> {
        let put = Op::Put {
            key: Bytes::copy_from_slice(&key(number)),
            value: value(number, version, len),
        };
        let reply = self.of(number)?.call(put).await?;
        ensure!(
            reply == Reply::Bool(known),
            "put of key {number} was answered by {reply:?}"
        );
        Ok(())
    }

    /// Gets a key, whose value must have that length.
    pub(crate) async fn check(&self, number: u64, len: usize) -> anyhow::Result<()> {
        let key = Bytes::copy_from_slice(&key(number));
        let reply = self.of(number)?.call(Op::Get { key }).await?;
        ensure!(
            matches!(&reply, Reply::Value(v) if is_value(v, number, len)),
            "get of key {number} was answered by {reply:.200?}"
        );
        Ok(())
    }

    /// Removes a key, whose value must have that length.
    pub(crate) async fn remove(&self, number: u64, len: usize) -> anyhow::Result<()> {
        let key = Bytes::copy_from_slice(&key(number));
        let reply = self.of(number)?.call(Op::Remove { key }).await?;
        ensure!(
            matches!(&reply, Reply::Value(v) if is_value(v, number, len)),
            "removal of key {number} was answered by {reply:.200?}"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_differ() {
        let keys: HashSet<_> = (0..1000).map(key).collect();
        assert_eq!(keys.len(), 1000);
    }

    /// Codes leave out zeros at the end, and the system pages that nobody wrote to: values of zeros cost less than any
    /// that users have.
    #[test]
    fn no_value_ends_in_zeros_or_repeats_itself() {
        for number in 0..100 {
            let value = value(number, 0, 1024);
            let zeros = value.iter().filter(|byte| **byte == 0).count();
            assert!(zeros < 32, "{zeros} zeros");
            let words: HashSet<_> = value.chunks(8).collect();
            assert_eq!(words.len(), 128);
        }
        assert_ne!(value(1, 0, 64)[8..], value(1, 1, 64)[8..]);
    }

    #[test]
    fn a_value_of_another_key_or_a_broken_one_is_seen() {
        for len in [8, 64, 1000] {
            let mut bytes = value(5, 0x0102_0304, len).to_vec();
            assert!(bytes.len() == len && is_value(&bytes, 5, len));
            assert!(!is_value(&bytes, 6, len) && !is_value(&bytes, 5, len + 1));
            assert!(!is_value(&bytes[..len - 1], 5, len));
            if len > 8 {
                bytes[len - 1] ^= 1;
                assert!(!is_value(&bytes, 5, len));
            }
        }
        assert!(!is_value(b"", 5, 8));
    }

    #[test]
    fn an_element_tells_its_id_while_it_is_whole() {
        let mut bytes = element(0x0102_0304_0506_0708, 20).to_vec();
        assert_eq!(element_id(&bytes, 20), Some(0x0102_0304_0506_0708));
        assert_eq!(element_id(&bytes, 21), None);
        bytes[19] ^= 1;
        assert_eq!(element_id(&bytes, 20), None);
        assert_eq!(element_id(b"1234567", 8), None);
    }
}
