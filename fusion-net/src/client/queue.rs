//! A queue.

use super::Error;
use super::batch;
use super::structure::{Raw, decode, encode};
use fusion_core::op::{Op, Reply};
use futures::stream::{Stream, StreamExt, TryStreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

/// One primary of a queue cluster, with elements of type `V` (stored as postcard).
#[derive(Debug)]
pub struct Queue<V> {
    raw: Raw,
    types: PhantomData<fn() -> V>,
}

impl<V> Clone for Queue<V> {
    fn clone(&self) -> Self {
        Queue {
            raw: self.raw.clone(),
            types: PhantomData,
        }
    }
}

impl<V: Serialize + DeserializeOwned> Queue<V> {
    pub(crate) fn new(raw: Raw) -> Queue<V> {
        Queue {
            raw,
            types: PhantomData,
        }
    }

    /// The same queue, in bytes.
    #[must_use]
    pub fn raw(&self) -> &Raw {
        &self.raw
    }

    /// Puts `value` at the back.
    ///
    /// Dropped before it is answered: the change is made or not, never twice (see "Cancel safety" of the [module](crate::client)).
    ///
    /// # Errors
    /// [`Error::ValueTooLarge`], and those of every call.
    pub async fn enqueue(&self, value: &V) -> Result<(), Error> {
        self.raw
            .call(Op::Enqueue {
                value: encode(value)?,
            })
            .await
            .map(|_| ())
    }

    /// Puts values at the back, in this order; others may put theirs in between.
    ///
    /// Dropped before it is answered: the change is made or not, never twice (see "Cancel safety" of the [module](crate::client)).
    ///
    /// # Errors
    /// [`Error::Batch`], which says how many values were taken ([`Raw::call_all`] tells of each).
    pub async fn enqueue_all<'a>(
        &self,
        values: impl IntoIterator<Item = &'a V>,
    ) -> Result<(), Error>
    where
        V: 'a,
    {
        let change = |value| {
            let value = encode(value)?;
            Ok((0, Op::Enqueue { value }))
        };
        let changes = batch::fitting(&[&self.raw], values.into_iter().map(change))?;
        batch::make(&[&self.raw], changes).await?;
        Ok(())
    }

    /// Removes the element at the front, and answers it; `None` when there is none. Each element goes to one caller.
    ///
    /// Dropped before it is answered: no element is lost, the next take of this handle has it (see "Cancel safety" of the [module](crate::client)).
    ///
    /// # Errors
    /// Those of every call.
    pub async fn dequeue(&self) -> Result<Option<V>, Error> {
        self.maybe(Op::Dequeue).await
    }

    /// The element at the front.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn peek(&self) -> Result<Option<V>, Error> {
        self.maybe(Op::Peek).await
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

    /// All elements from front to back, as many as there were at the beginning; exact while nobody else changes the queue.
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

    async fn maybe(&self, op: Op) -> Result<Option<V>, Error> {
        match self.raw.call(op).await? {
            Reply::Maybe(bytes) => bytes.map(|b| decode(&b)).transpose(),
            _ => Err(Error::BadAnswer),
        }
    }
}
