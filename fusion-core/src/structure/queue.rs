//! A queue: entries carry sequence numbers without gaps; the index is a ring of places.

use super::{Effect, RebuildError, Room, check_value};
use crate::change::ChangeBuf;
use crate::entry::{Header, ID_LIMIT, QueueEntry, expect_queue};
use crate::op::{Kind, Op, OpError, OpResult, Reply};
use crate::store::{Location, Moved, PackedLocation, PrimaryStore, Purpose};
use bytes::Bytes;
use std::collections::VecDeque;

/// A ring larger than this shrinks when fewer than an eighth of it are in use.
const SMALL_RING: usize = 1024;

#[derive(Clone, Debug)]
pub(super) struct Queue {
    /// From the front on; the first one has the sequence number `head`.
    ring: VecDeque<PackedLocation>,
    head: u64,
    payload_bytes: u64,
}

impl Queue {
    pub(super) fn new() -> Self {
        Queue {
            ring: VecDeque::new(),
            head: 1,
            payload_bytes: 0,
        }
    }

    pub(super) fn rebuild<'a>(
        entries: impl Iterator<Item = Result<(Location, QueueEntry<'a>), RebuildError>>,
        elements: u64,
    ) -> Result<Self, RebuildError> {
        let mut found = Vec::with_capacity(elements as usize);
        let mut payload_bytes = 0;
        for entry in entries {
            let (location, entry) = entry?;
            payload_bytes += entry.value.len() as u64;
            found.push((entry.seq, PackedLocation::from(location)));
        }
        let Some(head) = found.iter().map(|&(seq, _)| seq).min() else {
            return Ok(Queue::new());
        };
        let mut ring = vec![None; found.len()];
        let mut linked = 0;
        for (seq, location) in found {
            // A number beyond the end leaves a gap somewhere else.
            let Some(place) = ring.get_mut(usize::try_from(seq - head).unwrap_or(usize::MAX))
            else {
                continue;
            };
            if place.replace(location).is_some() {
                return Err(RebuildError::duplicate(location.into()));
            }
            linked += 1;
        }
        let ring: Option<VecDeque<_>> = ring.into_iter().collect();
        let ring = ring.ok_or(RebuildError::BrokenOrder { linked, elements })?;
        Ok(Queue {
            ring,
            head,
            payload_bytes,
        })
    }

    pub(super) fn len(&self) -> u64 {
        self.ring.len() as u64
    }

    pub(super) fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    pub(super) fn index_bytes(&self) -> u64 {
        (self.ring.capacity() * size_of::<PackedLocation>()) as u64
    }

    pub(super) fn read(&self, store: &PrimaryStore, op: &Op) -> OpResult {
        match op {
            Op::Peek => Ok(Reply::Maybe(
                self.ring.front().map(|&front| value(store, front)),
            )),
            Op::Range { start, limit } => {
                let mut room = Room::new(*limit);
                let mut values = Vec::new();
                let start = usize::try_from(*start)
                    .unwrap_or(usize::MAX)
                    .min(self.ring.len());
                for &location in self.ring.range(start..) {
                    if room.is_full() {
                        break;
                    }
                    let value = value(store, location);
                    room.take(value.len());
                    values.push(value);
                }
                Ok(Reply::Values(values))
            }
            _ => Err(OpError::WrongKind { kind: Kind::Queue }),
        }
    }

    pub(super) fn execute(
        &mut self,
        store: &mut PrimaryStore,
        change: &mut ChangeBuf,
        op: &Op,
    ) -> Effect {
        match op {
            Op::Enqueue { value } => {
                check_value(value)?;
                let seq = self.head + self.len();
                if seq >= ID_LIMIT {
                    return Err(OpError::Full { slots: self.len() });
                }
                let header = Header::queue_entry(seq, value.len());
                let location =
                    store.insert(Purpose::Element, &[header.as_bytes(), value], change)?;
                self.ring.push_back(location.into());
                self.payload_bytes += value.len() as u64;
                Ok((Reply::Done, None))
            }
            Op::Dequeue => {
                let Some(front) = self.ring.pop_front() else {
                    return Ok((Reply::Maybe(None), None));
                };
                self.head += 1;
                self.shrink();
                let value = value(store, front);
                self.payload_bytes -= value.len() as u64;
                Ok((Reply::Maybe(Some(value)), Some(front.into())))
            }
            _ => Err(OpError::WrongKind { kind: Kind::Queue }),
        }
    }

    fn shrink(&mut self) {
        if self.ring.capacity() > SMALL_RING && self.ring.len() * 8 < self.ring.capacity() {
            self.ring.shrink_to(self.ring.len() * 2);
        }
    }

    /// Takes in what a change of another structure did to entries: numbers before and after it, each ascending, with
    /// places and lengths.
    pub(super) fn follow(
        &mut self,
        before: &[(u64, (Location, u64))],
        after: &[(u64, (Location, u64))],
    ) -> Result<(), RebuildError> {
        for &(seq, (location, len)) in before {
            let place = seq.checked_sub(self.head).map(|i| i as usize);
            let known = place.and_then(|i| self.ring.get(i)) == Some(&location.into());
            if !known {
                return Err(self.broken());
            }
            self.payload_bytes -= len;
        }
        // What goes is the front; the others that were touched are there still.
        while let Some(seq) = (!self.ring.is_empty()).then_some(self.head)
            && before.binary_search_by_key(&seq, |b| b.0).is_ok()
            && after.binary_search_by_key(&seq, |a| a.0).is_err()
        {
            self.ring.pop_front();
            self.head += 1;
        }
        let mut kept = 0;
        for &(seq, (location, len)) in after {
            if self.ring.is_empty() {
                self.head = seq;
            }
            let place = seq.checked_sub(self.head).map(|i| i as usize);
            match place {
                Some(i) if i < self.ring.len() => {
                    if before.binary_search_by_key(&seq, |b| b.0).is_err() {
                        return Err(RebuildError::duplicate(location));
                    }
                    self.ring[i] = location.into();
                    kept += 1;
                }
                Some(i) if i == self.ring.len() => self.ring.push_back(location.into()),
                _ => return Err(self.broken()),
            }
            self.payload_bytes += len;
        }
        let gone = before.iter().filter(|(seq, _)| *seq < self.head).count();
        if gone + kept != before.len() {
            return Err(self.broken());
        }
        self.shrink();
        Ok(())
    }

    fn broken(&self) -> RebuildError {
        let elements = self.len();
        let linked = elements;
        RebuildError::BrokenOrder { linked, elements }
    }

    /// An entry that the index names was moved by the removal of another one.
    pub(super) fn relocate(&mut self, entry: QueueEntry<'_>, moved: Moved) {
        let place = &mut self.ring[(entry.seq - self.head) as usize];
        debug_assert_eq!(*place, moved.from.into());
        *place = moved.to.into();
    }
}

fn value(store: &PrimaryStore, location: PackedLocation) -> Bytes {
    Bytes::copy_from_slice(expect_queue(store.slot(location.into())).value)
}
