//! A map: one primary's, or one spread over all primaries of a cluster.

use super::Error;
use super::batch::{self, Placed};
use super::structure::{Raw, decode, encode};
use bytes::Bytes;
use fusion_core::op::{Op, Reply};
use futures::future::try_join_all;
use futures::stream::{Stream, StreamExt, TryStreamExt, iter};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// One primary of a map cluster, with keys of type `K` and values of type `V` (stored as postcard).
#[derive(Debug)]
pub struct MapPart<K, V> {
    raw: Raw,
    types: PhantomData<fn(K) -> V>,
}

impl<K, V> Clone for MapPart<K, V> {
    fn clone(&self) -> Self {
        MapPart {
            raw: self.raw.clone(),
            types: PhantomData,
        }
    }
}

impl<K: Serialize + DeserializeOwned, V: Serialize + DeserializeOwned> MapPart<K, V> {
    pub(crate) fn new(raw: Raw) -> MapPart<K, V> {
        MapPart {
            raw,
            types: PhantomData,
        }
    }

    /// The same map, in bytes.
    #[must_use]
    pub fn raw(&self) -> &Raw {
        &self.raw
    }

    /// Sets the value of `key`; answers whether the key was there before.
    ///
    /// Dropped before it is answered: the change is made or not, never twice (see "Cancel safety" of the [module](crate::client)).
    ///
    /// # Errors
    /// [`Error::KeyTooLarge`], [`Error::ValueTooLarge`], and those of every call.
    pub async fn put(&self, key: &K, value: &V) -> Result<bool, Error> {
        self.yes(put((key, value))?).await
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// [`Error::KeyError`] when it is not there.
    pub async fn get(&self, key: &K) -> Result<V, Error> {
        self.value(Op::Get { key: encode(key)? }).await
    }

    /// Removes `key`, and answers its value.
    ///
    /// Dropped before it is answered: no value is lost, the next `remove` of the key by this handle has it (see "Cancel safety" of the [module](crate::client)).
    ///
    /// # Errors
    /// [`Error::KeyError`] when it is not there.
    pub async fn remove(&self, key: &K) -> Result<V, Error> {
        self.value(Op::Remove { key: encode(key)? }).await
    }

    /// Whether `key` is there.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn contains(&self, key: &K) -> Result<bool, Error> {
        self.yes(Op::Contains { key: encode(key)? }).await
    }

    /// If the value of `key` is `expected` (`None`: not there), makes it `new` (`None`: removes it).
    /// Answers `Ok(())` if it did, else the value that was found.
    ///
    /// Dropped before it is answered: the change is made or not, never twice (see "Cancel safety" of the [module](crate::client)).
    ///
    /// # Errors
    /// [`Error::ValueTooLarge`], and those of every call.
    pub async fn compare_and_swap(
        &self,
        key: &K,
        expected: Option<&V>,
        new: Option<&V>,
    ) -> Result<Result<(), Option<V>>, Error> {
        let bytes = |value: Option<&V>| value.map(|v| encode(v)).transpose();
        let op = Op::CompareAndSwap {
            key: encode(key)?,
            expected: bytes(expected)?,
            new: bytes(new)?,
        };
        match self.raw.call(op).await? {
            Reply::Swapped { swapped: true, .. } => Ok(Ok(())),
            Reply::Swapped { found, .. } => Ok(Err(found.map(|b| decode(&b)).transpose()?)),
            _ => Err(Error::BadAnswer),
        }
    }

    /// The number of entries.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn len(&self) -> Result<u64, Error> {
        self.raw.len().await
    }

    /// Whether there is no entry.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn is_empty(&self) -> Result<bool, Error> {
        self.raw.is_empty().await
    }

    /// All entries in no order; exact while nobody else changes the map (see `Op::Scan` for what is seen otherwise).
    ///
    /// # Errors
    /// Those of every call; [`Error::BadEntry`] of the first entry that is of another type ([`stream`](Self::stream) goes on
    /// behind it).
    pub async fn entries(&self) -> Result<Vec<(K, V)>, Error> {
        // The later one of two of a key is the newer one.
        let all: BTreeMap<Bytes, Bytes> = self.raw.scan().try_collect().await?;
        all.iter().map(|(k, v)| entry(k, v)).collect()
    }

    /// The entries in no order, page by page as they are asked for, so that they need not all be in memory at once. A key may
    /// come twice while others change the map. It goes on behind an entry of another type ([`Error::BadEntry`]).
    pub fn stream(&self) -> impl Stream<Item = Result<(K, V), Error>> + Send + '_ {
        self.raw.scan().map(|read| {
            let (key, value) = read?;
            entry(&key, &value)
        })
    }

    /// Sets the values of many keys, in this order.
    ///
    /// Dropped before it is answered: the change is made or not, never twice (see "Cancel safety" of the [module](crate::client)).
    ///
    /// # Errors
    /// [`Error::Batch`], which says how many entries were put ([`Raw::call_all`] tells of each).
    pub async fn put_all<'a>(
        &self,
        entries: impl IntoIterator<Item = (&'a K, &'a V)>,
    ) -> Result<(), Error>
    where
        K: 'a,
        V: 'a,
    {
        put_all(&[self], entries, |_| 0).await
    }

    /// The values of many keys, in their order; `None` where a key is not there. Each is of its own moment.
    ///
    /// # Errors
    /// Those of every call; of several the first.
    pub async fn get_all<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a K>,
    ) -> Result<Vec<Option<V>>, Error>
    where
        K: 'a,
    {
        get_all(&[self], keys, |_| 0).await
    }

    /// Removes many keys, in this order; answers their values, `None` where a key was not there.
    ///
    /// Dropped before it is answered: no value is lost, the next `remove` of the key by this handle has it (see "Cancel safety" of the [module](crate::client)).
    ///
    /// # Errors
    /// [`Error::Batch`], which says how many keys are removed, or were not there; the values of those that are removed are
    /// lost with it ([`Raw::call_all`] gives each).
    pub async fn remove_all<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a K>,
    ) -> Result<Vec<Option<V>>, Error>
    where
        K: 'a,
    {
        remove_all(&[self], keys, |_| 0).await
    }

    async fn value(&self, op: Op) -> Result<V, Error> {
        match self.raw.call(op).await? {
            Reply::Value(bytes) => decode(&bytes),
            _ => Err(Error::BadAnswer),
        }
    }

    async fn yes(&self, op: Op) -> Result<bool, Error> {
        match self.raw.call(op).await? {
            Reply::Bool(yes) => Ok(yes),
            _ => Err(Error::BadAnswer),
        }
    }
}

/// An entry as the types that are asked for.
fn entry<K: DeserializeOwned, V: DeserializeOwned>(
    key: &Bytes,
    value: &Bytes,
) -> Result<(K, V), Error> {
    match (decode(key), decode(value)) {
        (Ok(key), Ok(value)) => Ok((key, value)),
        (Err(why), _) | (_, Err(why)) => Err(Error::BadEntry {
            key: key.clone(),
            value: value.clone(),
            why: Box::new(why),
        }),
    }
}

fn put<K: Serialize, V: Serialize>((key, value): (&K, &V)) -> Result<Op, Error> {
    Ok(Op::Put {
        key: encode(key)?,
        value: encode(value)?,
    })
}

/// Puts entries; `place` names the part where a key lives.
async fn put_all<'a, K: Serialize + 'a, V: Serialize + 'a>(
    parts: &[&MapPart<K, V>],
    entries: impl IntoIterator<Item = (&'a K, &'a V)>,
    place: impl Fn(&[u8]) -> usize,
) -> Result<(), Error> {
    let change = |(key, value): (&K, &V)| {
        let (key, value) = (encode(key)?, encode(value)?);
        Ok((place(&key), Op::Put { key, value }))
    };
    let changes = batch::fitting(&raws(parts), entries.into_iter().map(change))?;
    batch::make(&raws(parts), changes).await?;
    Ok(())
}

async fn get_all<'a, K: Serialize + 'a, V: DeserializeOwned>(
    parts: &[&MapPart<K, V>],
    keys: impl IntoIterator<Item = &'a K>,
    place: impl Fn(&[u8]) -> usize,
) -> Result<Vec<Option<V>>, Error> {
    let get = |key| {
        let key = encode(key)?;
        Ok((place(&key), Op::Get { key }))
    };
    let ops: Result<Vec<Placed>, Error> = keys.into_iter().map(get).collect();
    let answers = batch::ask(&raws(parts), ops?).await;
    answers.into_iter().map(found).collect()
}

async fn remove_all<'a, K: Serialize + 'a, V: DeserializeOwned>(
    parts: &[&MapPart<K, V>],
    keys: impl IntoIterator<Item = &'a K>,
    place: impl Fn(&[u8]) -> usize,
) -> Result<Vec<Option<V>>, Error> {
    let remove = |key| {
        let key = encode(key)?;
        Ok((place(&key), Op::Remove { key }))
    };
    let ops = batch::fitting(&raws(parts), keys.into_iter().map(remove))?;
    let answers = batch::ask(&raws(parts), ops).await;
    batch::all_made(answers.into_iter().map(found).collect())
}

fn raws<'a, K, V>(parts: &[&'a MapPart<K, V>]) -> Vec<&'a Raw> {
    parts.iter().map(|part| &part.raw).collect()
}

/// The value of a key, if it was there.
fn found<V: DeserializeOwned>(answer: Result<Reply, Error>) -> Result<Option<V>, Error> {
    match answer {
        Ok(Reply::Value(bytes)) => decode(&bytes).map(Some),
        Ok(_) => Err(Error::BadAnswer),
        Err(Error::KeyError { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A map cluster as one map: each key lives at the primary that its hash names.
#[derive(Debug)]
pub struct Map<K, V> {
    parts: Vec<MapPart<K, V>>,
}

impl<K, V> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        Map {
            parts: self.parts.clone(),
        }
    }
}

impl<K: Serialize + DeserializeOwned, V: Serialize + DeserializeOwned> Map<K, V> {
    pub(crate) fn new(parts: Vec<MapPart<K, V>>) -> Map<K, V> {
        Map { parts }
    }

    /// The parts, by primary index.
    #[must_use]
    pub fn parts(&self) -> &[MapPart<K, V>] {
        &self.parts
    }

    /// The part where `key` lives.
    ///
    /// # Errors
    /// [`Error::Codec`] when the key cannot be serialized.
    pub fn part_of(&self, key: &K) -> Result<&MapPart<K, V>, Error> {
        Ok(&self.parts[self.index_of(&encode(key)?)])
    }

    fn index_of(&self, key: &[u8]) -> usize {
        ((u128::from(spread(key)) * self.parts.len() as u128) >> 64) as usize
    }

    /// As [`MapPart::put`].
    ///
    /// # Errors
    /// As there.
    pub async fn put(&self, key: &K, value: &V) -> Result<bool, Error> {
        self.part_of(key)?.put(key, value).await
    }

    /// As [`MapPart::get`].
    ///
    /// # Errors
    /// As there.
    pub async fn get(&self, key: &K) -> Result<V, Error> {
        self.part_of(key)?.get(key).await
    }

    /// As [`MapPart::remove`].
    ///
    /// # Errors
    /// As there.
    pub async fn remove(&self, key: &K) -> Result<V, Error> {
        self.part_of(key)?.remove(key).await
    }

    /// As [`MapPart::contains`].
    ///
    /// # Errors
    /// As there.
    pub async fn contains(&self, key: &K) -> Result<bool, Error> {
        self.part_of(key)?.contains(key).await
    }

    /// As [`MapPart::compare_and_swap`].
    ///
    /// # Errors
    /// As there.
    pub async fn compare_and_swap(
        &self,
        key: &K,
        expected: Option<&V>,
        new: Option<&V>,
    ) -> Result<Result<(), Option<V>>, Error> {
        self.part_of(key)?
            .compare_and_swap(key, expected, new)
            .await
    }

    /// As [`MapPart::put_all`], at all primaries at the same time: the order is kept for each key.
    ///
    /// # Errors
    /// As there.
    pub async fn put_all<'a>(
        &self,
        entries: impl IntoIterator<Item = (&'a K, &'a V)>,
    ) -> Result<(), Error>
    where
        K: 'a,
        V: 'a,
    {
        put_all(&self.each(), entries, |key| self.index_of(key)).await
    }

    /// As [`MapPart::get_all`], from all primaries at the same time.
    ///
    /// # Errors
    /// As there.
    pub async fn get_all<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a K>,
    ) -> Result<Vec<Option<V>>, Error>
    where
        K: 'a,
    {
        get_all(&self.each(), keys, |key| self.index_of(key)).await
    }

    /// As [`MapPart::remove_all`], at all primaries at the same time: the order is kept for each key.
    ///
    /// # Errors
    /// As there.
    pub async fn remove_all<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a K>,
    ) -> Result<Vec<Option<V>>, Error>
    where
        K: 'a,
    {
        remove_all(&self.each(), keys, |key| self.index_of(key)).await
    }

    fn each(&self) -> Vec<&MapPart<K, V>> {
        self.parts.iter().collect()
    }

    /// The number of entries of all parts, each counted at its own moment.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn len(&self) -> Result<u64, Error> {
        let lens = try_join_all(self.parts.iter().map(|part| part.len()));
        Ok(lens.await?.into_iter().sum())
    }

    /// Whether there is no entry.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len().await? == 0)
    }

    /// All entries in no order, as [`MapPart::entries`].
    ///
    /// # Errors
    /// As there.
    pub async fn entries(&self) -> Result<Vec<(K, V)>, Error> {
        let parts = try_join_all(self.parts.iter().map(|part| part.entries()));
        Ok(parts.await?.into_iter().flatten().collect())
    }

    /// The entries of one part after another, as [`MapPart::stream`].
    pub fn stream(&self) -> impl Stream<Item = Result<(K, V), Error>> + Send + '_ {
        iter(&self.parts).flat_map(|part| part.stream())
    }
}

/// Where keys live; part of what clients must agree on, so it never changes: FNV-1a with a final mix, 64 bits.
fn spread(key: &[u8]) -> u64 {
    let fnv = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spread_evenly_and_always_to_the_same_place() {
        // Computed apart, from the definition.
        let (empty, ada) = (18_284_041_282_127_212_159, 1_867_768_591_876_556_069);
        assert_eq!([spread(b""), spread(b"ada")], [empty, ada]);
        let mut counts = [0u32; 5];
        for i in 0..10_000u32 {
            counts[((u128::from(spread(&i.to_le_bytes())) * 5) >> 64) as usize] += 1;
        }
        assert!(
            counts.iter().all(|&c| (1_850..2_150).contains(&c)),
            "{counts:?}"
        );
    }
}
