//! A map: a hash table of places only; keys lie in the entries.

use super::{Effect, RebuildError, Room, check_key, check_value};
use crate::change::ChangeBuf;
use crate::class::ClassId;
use crate::entry::{Header, MapEntry, expect_map};
use crate::op::{Kind, Op, OpError, OpResult, Reply, ScanCursor};
use crate::store::{Location, Moved, PackedLocation, PrimaryStore, Purpose};
use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table;
use std::hash::BuildHasher;

/// Fixed, so that equal histories give equal indexes. No order of the hash table escapes.
const SEED: u64 = 0x6675_7369_6f6e;
/// An index larger than this shrinks when fewer than an eighth of it are in use.
const SMALL_INDEX: usize = 1024;

#[derive(Clone, Debug)]
pub(super) struct Map {
    index: HashTable<PackedLocation>,
    payload_bytes: u64,
}

#[inline]
fn hash(key: &[u8]) -> u64 {
    FixedState::with_seed(SEED).hash_one(key)
}

#[inline]
fn entry(store: &PrimaryStore, location: PackedLocation) -> MapEntry<'_> {
    expect_map(store.slot(location.into()))
}

impl Map {
    pub(super) fn new() -> Self {
        Map {
            index: HashTable::new(),
            payload_bytes: 0,
        }
    }

    pub(super) fn rebuild<'a>(
        store: &PrimaryStore,
        entries: impl Iterator<Item = Result<(Location, MapEntry<'a>), RebuildError>>,
        elements: u64,
    ) -> Result<Self, RebuildError> {
        let mut map = Map {
            index: HashTable::with_capacity(elements as usize),
            payload_bytes: 0,
        };
        for found in entries {
            let (location, found) = found?;
            map.learn(store, found, location)?;
        }
        Ok(map)
    }

    pub(super) fn len(&self) -> u64 {
        self.index.len() as u64
    }

    pub(super) fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    pub(super) fn index_bytes(&self) -> u64 {
        self.index.allocation_size() as u64
    }

    pub(super) fn read(&self, store: &PrimaryStore, op: &Op) -> OpResult {
        match op {
            Op::Get { key } => {
                check_key(key)?;
                let value = self.get(store, key).ok_or_else(|| no_key(key))?;
                Ok(Reply::Value(Bytes::copy_from_slice(value)))
            }
            Op::Contains { key } => {
                check_key(key)?;
                Ok(Reply::Bool(self.get(store, key).is_some()))
            }
            Op::Scan { cursor, limit } => Ok(scan(store, *cursor, *limit)),
            _ => Err(OpError::WrongKind { kind: Kind::Map }),
        }
    }

    pub(super) fn execute(
        &mut self,
        store: &mut PrimaryStore,
        change: &mut ChangeBuf,
        op: &Op,
    ) -> Effect {
        match op {
            Op::Put { key, value } => {
                check_key(key)?;
                check_value(value)?;
                let (was_there, vacated) = self.put(store, change, key, value)?;
                Ok((Reply::Bool(was_there), vacated))
            }
            Op::Remove { key } => {
                check_key(key)?;
                let value = self.get(store, key).ok_or_else(|| no_key(key))?;
                let value = Bytes::copy_from_slice(value);
                let vacated = self.remove(store, key);
                Ok((Reply::Value(value), vacated))
            }
            Op::CompareAndSwap { key, expected, new } => {
                check_key(key)?;
                if let Some(new) = new {
                    check_value(new)?;
                }
                let found = self.get(store, key);
                if found != expected.as_deref() {
                    let found = found.map(Bytes::copy_from_slice);
                    return Ok((
                        Reply::Swapped {
                            swapped: false,
                            found,
                        },
                        None,
                    ));
                }
                let vacated = match new {
                    Some(new) => self.put(store, change, key, new)?.1,
                    None => self.remove(store, key),
                };
                Ok((
                    Reply::Swapped {
                        swapped: true,
                        found: None,
                    },
                    vacated,
                ))
            }
            _ => Err(OpError::WrongKind { kind: Kind::Map }),
        }
    }

    /// An entry that the index names was moved by the removal of another one.
    pub(super) fn relocate(&mut self, entry: MapEntry<'_>, moved: Moved) {
        let from = PackedLocation::from(moved.from);
        let place = self
            .index
            .find_mut(hash(entry.key), |&location| location == from)
            .expect("every entry is in the index");
        *place = moved.to.into();
    }

    /// An entry is about to be changed by a change of another structure that this one follows.
    pub(super) fn forget(&mut self, found: MapEntry<'_>, location: Location) -> Option<()> {
        let place = PackedLocation::from(location);
        let same = |&other: &PackedLocation| other == place;
        self.index.find_entry(hash(found.key), same).ok()?.remove();
        self.payload_bytes -= (found.key.len() + found.value.len()) as u64;
        Some(())
    }

    /// An entry is there after such a change.
    pub(super) fn learn(
        &mut self,
        store: &PrimaryStore,
        found: MapEntry<'_>,
        location: Location,
    ) -> Result<(), RebuildError> {
        let same = |&other: &PackedLocation| entry(store, other).key == found.key;
        let rehash = |&other: &PackedLocation| hash(entry(store, other).key);
        match self.index.entry(hash(found.key), same, rehash) {
            hash_table::Entry::Occupied(_) => return Err(RebuildError::duplicate(location)),
            hash_table::Entry::Vacant(vacant) => vacant.insert(location.into()),
        };
        self.payload_bytes += (found.key.len() + found.value.len()) as u64;
        Ok(())
    }

    /// After many were forgotten: the index of a map that was longer gives its memory back.
    pub(super) fn shrink(&mut self, store: &PrimaryStore) {
        if self.index.capacity() > SMALL_INDEX && self.index.len() * 8 < self.index.capacity() {
            let rehash = |&location: &PackedLocation| hash(entry(store, location).key);
            self.index.shrink_to(self.index.len() * 2, rehash);
        }
    }

    fn get<'a>(&self, store: &'a PrimaryStore, key: &[u8]) -> Option<&'a [u8]> {
        let same = |&location: &PackedLocation| entry(store, location).key == key;
        let location = *self.index.find(hash(key), same)?;
        Some(entry(store, location).value)
    }

    /// Says whether the key was there, and which slot is to be vacated.
    fn put(
        &mut self,
        store: &mut PrimaryStore,
        change: &mut ChangeBuf,
        key: &[u8],
        value: &[u8],
    ) -> Result<(bool, Option<Location>), OpError> {
        let header = Header::map_entry(key.len(), value.len());
        let parts = [header.as_bytes(), key, value];
        let hash_of_key = hash(key);
        let same = |&location: &PackedLocation| entry(store, location).key == key;
        if let Some(place) = self.index.find_mut(hash_of_key, same) {
            let old = Location::from(*place);
            let old_len = expect_map(store.slot(old)).value.len();
            let (new, vacated) = store.replace(old, Purpose::Element, &parts, change)?;
            *place = new.into();
            self.payload_bytes = self.payload_bytes - old_len as u64 + value.len() as u64;
            return Ok((true, vacated));
        }
        let location = store.insert(Purpose::Element, &parts, change)?;
        let rehash = |&location: &PackedLocation| hash(entry(store, location).key);
        self.index
            .insert_unique(hash_of_key, location.into(), rehash);
        self.payload_bytes += (key.len() + value.len()) as u64;
        Ok((false, None))
    }

    /// Takes the key out of the index, and says which slot is to be vacated.
    fn remove(&mut self, store: &PrimaryStore, key: &[u8]) -> Option<Location> {
        let same = |&location: &PackedLocation| entry(store, location).key == key;
        let (location, _) = self.index.find_entry(hash(key), same).ok()?.remove();
        let removed = entry(store, location);
        self.payload_bytes -= (removed.key.len() + removed.value.len()) as u64;
        self.shrink(store);
        Some(location.into())
    }
}

fn no_key(key: &Bytes) -> OpError {
    OpError::KeyError { key: key.clone() }
}

/// Classes upwards, slots downwards: a removal moves the last entry of a class to a lower slot, so that it may be seen
/// twice but is never missed.
fn scan(store: &PrimaryStore, cursor: Option<ScanCursor>, limit: u32) -> Reply {
    let start = cursor.unwrap_or(ScanCursor {
        class: 0,
        below: u32::MAX,
    });
    let mut room = Room::new(limit);
    let mut entries = Vec::new();
    for class in ClassId::all().skip(usize::from(start.class)) {
        let below = if class.number() == start.class {
            start.below
        } else {
            u32::MAX
        };
        for slot in (0..store.len(class).min(below)).rev() {
            let bytes = store.slot(Location { class, slot });
            let Ok(crate::entry::Entry::Map(entry)) = crate::entry::Entry::parse(bytes) else {
                continue;
            };
            if room.is_full() {
                let next = ScanCursor {
                    class: class.number(),
                    below: slot + 1,
                };
                return Reply::Entries {
                    entries,
                    next: Some(next),
                };
            }
            room.take(entry.key.len() + entry.value.len());
            entries.push((
                Bytes::copy_from_slice(entry.key),
                Bytes::copy_from_slice(entry.value),
            ));
        }
    }
    Reply::Entries {
        entries,
        next: None,
    }
}
