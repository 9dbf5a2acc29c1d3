//! A list.

use super::Error;
use super::batch;
use super::structure::{Raw, decode, encode};
use fusion_core::op::{Op, Reply};
use futures::stream::{Stream, StreamExt, TryStreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

/// One primary of a list cluster, with elements of type `V` (stored as postcard).
#[derive(Debug)]
pub struct List<V> {
    raw: Raw,
    types: PhantomData<fn() -> V>,
}

impl<V> Clone for List<V> {
    fn clone(&self) -> Self {
        List {
            raw: self.raw.clone(),
            types: PhantomData,
        }
    }
}

impl<V: Serialize + DeserializeOwned> List<V> {
    pub(crate) fn new(raw: Raw) -> List<V> {
        List {
            raw,
            types: PhantomData,
        }
    }

    /// The same list, in bytes.
    #[must_use]
    pub fn raw(&self) -> &Raw {
        &self.raw
    }

    /// Puts `value` before the element at `index`; `index == len` appends.
    ///
    /// Dropped before it is answered: the change is made or not, never twice (see "Cancel safety" of the [module](crate::client)).
    ///
    /// # Errors
    /// [`Error::IndexError`] when `index > len`.
    pub async fn insert(&self, index: u64, value: &V) -> Result<(), Error> {
        self.raw
            .call(Op::Insert {
                index,
                value: encode(value)?,
            })
            .await
            .map(|_| ())
    }

    /// Puts `value` at the end; answers its index.
    ///
    /// Dropped before it is answered: the change is made or not, never twice (see "Cancel safety" of the [module](crate::client)).
    ///
    /// # Errors
    /// [`Error::ValueTooLarge`], and those of every call.
    pub async fn append(&self, value: &V) -> Result<u64, Error> {
        match self
            .raw
            .call(Op::Append {
                value: encode(value)?,
            })
            .await?
        {
            Reply::Index(index) => Ok(index),
            _ => Err(Error::BadAnswer),
        }
    }

    /// Puts values at the end, in this order; others may put theirs in between.
    ///
    /// Dropped before it is answered: the change is made or not, never twice (see "Cancel safety" of the [module](crate::client)).
    ///
    /// # Errors
    /// [`Error::Batch`], which says how many values were taken ([`Raw::call_all`] tells of each).
    pub async fn append_all<'a>(&self, values: impl IntoIterator<Item = &'a V>) -> Result<(), Error>
    where
        V: 'a,
    {
        let change = |value| {
            let value = encode(value)?;
            Ok((0, Op::Append { value }))
        };
        let changes = batch::fitting(&[&self.raw], values.into_iter().map(change))?;
        batch::make(&[&self.raw], changes).await?;
        Ok(())
    }

    /// The element at `index`.
    ///
    /// # Errors
    /// [`Error::IndexError`] when `index >= len`.
    pub async fn get(&self, index: u64) -> Result<V, Error> {
        self.value(Op::GetIndex { index }).await
    }

    /// Replaces the element at `index`.
    ///
    /// Dropped before it is answered: the change is made or not, never twice (see "Cancel safety" of the [module](crate::client)).
    ///
    /// # Errors
    /// [`Error::IndexError`] when `index >= len`.
    pub async fn set(&self, index: u64, value: &V) -> Result<(), Error> {
        self.raw
            .call(Op::SetIndex {
                index,
                value: encode(value)?,
            })
            .await
            .map(|_| ())
    }

    /// Removes the element at `index`, and answers it.
    ///
    /// Dropped before it is answered: no element is lost, the next `remove` of this handle and index has it (see "Cancel safety" of the [module](crate::client)).
    ///
    /// # Errors
    /// [`Error::IndexError`] when `index >= len`.
    pub async fn remove(&self, index: u64) -> Result<V, Error> {
        self.value(Op::RemoveIndex { index }).await
    }

    /// The number of elements.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn len(&self) -> Result<u64, Error> {
        self.raw.len().await
    }

    /// Whether there is no element.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn is_empty(&self) -> Result<bool, Error> {
        self.raw.is_empty().await
    }

    /// All elements in order, as many as there were at the beginning; exact while nobody else changes the list.
    ///
    /// # Errors
    /// Those of every call; [`Error::NotOfType`] of the first element that is of another type ([`stream`](Self::stream) goes
    /// on behind it).
    pub async fn to_vec(&self) -> Result<Vec<V>, Error> {
        self.stream().try_collect().await
    }

    /// As [`to_vec`](Self::to_vec), page by page as they are asked for, so that they need not all be in memory at once. It
    /// goes on behind an element of another type.
    pub fn stream(&self) -> impl Stream<Item = Result<V, Error>> + Send + '_ {
        self.raw.stream().map(|bytes| decode(&bytes?))
    }

    async fn value(&self, op: Op) -> Result<V, Error> {
        match self.raw.call(op).await? {
            Reply::Value(bytes) => decode(&bytes),
            _ => Err(Error::BadAnswer),
        }
    }
}
