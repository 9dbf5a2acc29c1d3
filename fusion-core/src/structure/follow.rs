//! A structure that follows another one by its changes alone: what an heir keeps ready while the primary that it copies
//! serves (rule 36).
//!
//! Changes say which bytes of which slots differ. The entries of those slots, before and after, are what an operation
//! did to the structure: they are compared by key, id, number or session, and the indexes are told. So nothing is made
//! anew, and following costs as much as the operation did.

use super::list::Linked;
use super::order::Places;
use super::{Elements, RebuildError, Structure};
use crate::change::MalformedChange;
use crate::class::ClassId;
use crate::entry::{Entry, SlotRecord};
use crate::fault::{Fault, planted};
use crate::id::{Seq, SessionId};
use crate::store::Location;
use thiserror::Error;

/// A structure kept up to date by the changes of another one that began with the same pages.
#[derive(Debug)]
pub struct Follower {
    structure: Structure,
    places: Places,
}

/// Why a change was not followed. The structure is of no use any more then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The bytes are no change, or changes are missing before it.
    #[error(transparent)]
    Change(#[from] MalformedChange),
    /// The pages are not those of a structure any more.
    #[error(transparent)]
    Pages(#[from] RebuildError),
}

/// The entries of the slots that a change touches, at one moment.
#[derive(Debug, Default)]
struct Touched {
    list: Vec<(u64, Linked)>,
    queue: Vec<(u64, (Location, u64))>,
    sessions: Vec<(SessionId, Seq, Location)>,
    records: Vec<(SessionId, u16)>,
    descriptors: usize,
}

impl Touched {
    fn add(&mut self, entry: &Entry<'_>, location: Location) {
        match entry {
            Entry::Descriptor(_) => self.descriptors += 1,
            Entry::Session(session, incarnation) => {
                self.sessions.push((*session, *incarnation, location));
            }
            Entry::SlotRecord(record) => self.records.push(key(record)),
            Entry::List(entry) => {
                let linked = Linked {
                    location,
                    next: entry.next,
                    len: entry.value.len() as u64,
                };
                self.list.push((entry.id, linked));
            }
            Entry::Queue(entry) => {
                let len = entry.value.len() as u64;
                self.queue.push((entry.seq, (location, len)));
            }
            Entry::Map(_) => {}
        }
    }

    /// Sorts all by key; answers whether each key is there once.
    fn sort(&mut self) -> bool {
        self.list.sort_unstable_by_key(|e| e.0);
        self.queue.sort_unstable_by_key(|e| e.0);
        self.sessions.sort_unstable();
        self.records.sort_unstable();
        let twice = self.list.windows(2).any(|w| w[0].0 == w[1].0)
            || self.queue.windows(2).any(|w| w[0].0 == w[1].0)
            || self.sessions.windows(2).any(|w| w[0].0 == w[1].0)
            || self.records.windows(2).any(|w| w[0] == w[1]);
        !twice
    }
}

fn key(record: &SlotRecord<'_>) -> (SessionId, u16) {
    (record.session, record.slot)
}

impl Follower {
    /// Begins with a structure that was rebuilt from the other one's pages. Takes linear time for a list.
    #[must_use]
    pub fn new(structure: Structure) -> Follower {
        let places = match &structure.elements {
            Elements::List(list) => list.places(),
            Elements::Map(_) | Elements::Queue(_) => Places::default(),
        };
        Follower { structure, places }
    }

    /// The structure as it is now.
    #[must_use]
    pub fn structure(&self) -> &Structure {
        &self.structure
    }

    /// The structure, to be served.
    #[must_use]
    pub fn into_structure(self) -> Structure {
        self.structure
    }

    /// Takes in the next change of the structure that is followed.
    ///
    /// # Errors
    /// [`FollowError`] when it is not one that such a structure can make. No bytes make it panic.
    pub fn follow(&mut self, change: &[u8]) -> Result<(), FollowError> {
        let Structure {
            store, elements, ..
        } = &mut self.structure;
        let touched = store.touched(change)?;
        let mut before = Touched::default();
        for &location in &touched {
            if location.slot >= store.len(location.class) {
                continue;
            }
            let entry = parse(store.slot(location), location)?;
            if let (Entry::Map(entry), Elements::Map(map)) = (entry, &mut *elements) {
                let known = map.forget(entry, location);
                known.ok_or(RebuildError::duplicate(location))?;
            }
            before.add(&entry, location);
        }
        store
            .follow(change, &touched)
            .map_err(RebuildError::NotDense)?;
        let mut after = Touched::default();
        for &location in &touched {
            if location.slot < store.len(location.class) {
                let entry = parse_whole(store.slot(location), location)?;
                check_kind(&entry, elements, location)?;
                if let (Entry::Map(entry), Elements::Map(map)) = (entry, &mut *elements) {
                    map.learn(store, entry, location)?;
                }
                after.add(&entry, location);
            }
        }
        if !before.sort() || !after.sort() {
            return Err(RebuildError::duplicate(touched[0]).into());
        }
        if before.descriptors != after.descriptors {
            let found = after.descriptors as u64;
            return Err(RebuildError::Descriptors { found }.into());
        }
        self.tell(&before, &after, &touched)?;
        Ok(())
    }

    fn tell(
        &mut self,
        before: &Touched,
        after: &Touched,
        touched: &[Location],
    ) -> Result<(), RebuildError> {
        let Structure {
            store, elements, ..
        } = &mut self.structure;
        match elements {
            Elements::List(list) if !planted(Fault::WrongFollow) => {
                list.follow(store, &before.list, &after.list, &mut self.places)?;
            }
            Elements::Queue(queue) => queue.follow(&before.queue, &after.queue)?,
            Elements::List(_) => {}
            Elements::Map(map) => map.shrink(store),
        }
        let Structure {
            store, sessions, ..
        } = &mut self.structure;
        let damaged = || RebuildError::duplicate(touched[0]);
        for &(session, ..) in &before.sessions {
            if after
                .sessions
                .binary_search_by_key(&session, |s| s.0)
                .is_err()
            {
                sessions.close(session).ok_or_else(damaged)?;
            }
        }
        for &(session, incarnation, mark) in &after.sessions {
            if before
                .sessions
                .binary_search_by_key(&session, |s| s.0)
                .is_ok()
            {
                sessions
                    .follow_mark(session, incarnation, mark)
                    .ok_or_else(damaged)?;
            } else if sessions.incarnation(session).is_some() {
                return Err(RebuildError::duplicate(mark));
            } else {
                sessions.follow_opening(session, incarnation, mark);
            }
        }
        for &(session, slot) in &before.records {
            if after.records.binary_search(&(session, slot)).is_err() {
                sessions.follow_removal(session, slot).ok_or_else(damaged)?;
            }
        }
        for &location in touched {
            if location.slot < store.len(location.class)
                && let Ok(Entry::SlotRecord(record)) = Entry::parse(store.slot(location))
            {
                let was_there = before.records.binary_search(&key(&record)).is_ok();
                if !was_there && sessions.has_any_record(record.session, record.slot) {
                    return Err(RebuildError::duplicate(location));
                }
                sessions.follow_record(&record, location);
            }
        }
        Ok(())
    }
}

fn parse(
    slot: &[u8],
    Location {
        class,
        slot: number,
    }: Location,
) -> Result<Entry<'_>, RebuildError> {
    Entry::parse(slot).map_err(|fault| RebuildError::Entry {
        class,
        slot: number,
        fault,
    })
}

fn parse_whole(slot: &[u8], location: Location) -> Result<Entry<'_>, RebuildError> {
    let Location {
        class,
        slot: number,
    } = location;
    let (entry, len) = Entry::parse_whole(slot).map_err(|fault| RebuildError::Entry {
        class,
        slot: number,
        fault,
    })?;
    if ClassId::for_len(len) != Some(class) {
        return Err(RebuildError::WrongClass {
            class,
            slot: number,
            len,
        });
    }
    Ok(entry)
}

fn check_kind(
    entry: &Entry<'_>,
    elements: &Elements,
    Location { class, slot }: Location,
) -> Result<(), RebuildError> {
    let kind = match elements {
        Elements::List(_) => crate::op::Kind::List,
        Elements::Map(_) => crate::op::Kind::Map,
        Elements::Queue(_) => crate::op::Kind::Queue,
    };
    match (entry, elements) {
        (Entry::Map(_), Elements::Map(_))
        | (Entry::List(_), Elements::List(_))
        | (Entry::Queue(_), Elements::Queue(_))
        | (Entry::Descriptor(_) | Entry::Session(..) | Entry::SlotRecord(_), _) => Ok(()),
        _ => Err(RebuildError::Foreign { class, slot, kind }),
    }
}
