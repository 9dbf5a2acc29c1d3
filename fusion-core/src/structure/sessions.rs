//! Sessions: who asked last in each session slot, and what was answered (rules 9 and 38).
//!
//! An open session is an entry of its own (its *mark*), each of its slots another one with the last answer. Closing a
//! session removes its mark; the records of its slots are orphans from then on and are removed bit by bit.
//!
//! The mark has the number of the change that opened the session, its *incarnation*: a late copy of an opening opens the
//! session as another one, under which no request of before is executed. A record belongs to the open session if its
//! change is later than that number, so that records need not repeat it.

use super::{RebuildError, SessionState};
use crate::change::ChangeBuf;
use crate::entry::{Entry, Header, SlotRecord};
use crate::fault::{Fault, planted};
use crate::id::{RequestId, Seq, SessionId};
use crate::op::OpResult;
use crate::store::{Location, Moved, PrimaryStore, Purpose};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use std::collections::VecDeque;
use std::hash::BuildHasher;

const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
struct Session {
    id: SessionId,
    /// The change that opened it.
    incarnation: Seq,
    mark: Location,
    /// Its neighbours in the order of use.
    older: u32,
    newer: u32,
    /// The first of its records; they are chained by `Record::next`.
    records: u32,
}

#[derive(Clone, Debug)]
struct Record {
    session: SessionId,
    slot: u16,
    number: u64,
    location: Location,
    next: u32,
    state: RecordState,
    /// That of its session, while it is live: so that looking a request up is one look.
    incarnation: Seq,
}

impl Record {
    fn bytes(&self) -> u64 {
        self.location.class.stride() as u64
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordState {
    Live,
    Orphan,
    Free,
}

/// The sessions of one structure.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    sessions: Vec<Session>,
    free_sessions: Vec<u32>,
    by_id: HashMap<SessionId, u32, FixedState>,
    oldest: u32,
    newest: u32,
    records: Vec<Record>,
    free_records: Vec<u32>,
    by_slot: HashTable<u32>,
    live_records: usize,
    /// The bytes of the slots of live records.
    live_bytes: u64,
    /// Records of closed sessions, the next one to go first.
    orphans: VecDeque<u32>,
    scratch: Vec<u8>,
}

/// Whether a request or closing of the one is for the other (rule 38).
#[inline]
pub(super) fn is_same(open: Seq, asked: Seq) -> bool {
    open == asked || planted(Fault::ClosedSessionReopens)
}

#[inline]
fn hash(session: SessionId, slot: u16) -> u64 {
    FixedState::default().hash_one((session, slot))
}

impl Sessions {
    pub(super) fn new() -> Self {
        Sessions {
            sessions: Vec::new(),
            free_sessions: Vec::new(),
            by_id: HashMap::default(),
            oldest: NONE,
            newest: NONE,
            records: Vec::new(),
            free_records: Vec::new(),
            by_slot: HashTable::new(),
            live_records: 0,
            live_bytes: 0,
            orphans: VecDeque::new(),
            scratch: Vec::new(),
        }
    }

    /// Open sessions and their records together.
    pub(super) fn used(&self) -> usize {
        self.by_id.len() + self.live_records
    }

    /// The bytes that the records of open sessions take.
    pub(super) fn recorded_bytes(&self) -> u64 {
        self.live_bytes
    }

    pub(super) fn index_bytes(&self) -> u64 {
        let bytes = self.sessions.capacity() * size_of::<Session>()
            + self.by_id.allocation_size()
            + self.records.capacity() * size_of::<Record>()
            + self.by_slot.allocation_size();
        bytes as u64
    }

    /// The change that opened the session, if it is open.
    pub(super) fn incarnation(&self, session: SessionId) -> Option<Seq> {
        let &index = self.by_id.get(&session)?;
        Some(self.sessions[index as usize].incarnation)
    }

    /// Whether the slot of that request has a record of its open session, which a new answer takes the place of.
    pub(super) fn has_record(&self, request: RequestId) -> bool {
        self.find(request.session, request.slot)
            .is_some_and(|record| self.records[record as usize].state == RecordState::Live)
    }

    /// Whether there is a record of that session and slot, whatever incarnation it belongs to.
    pub(super) fn has_any_record(&self, session: SessionId, slot: u16) -> bool {
        self.find(session, slot).is_some()
    }

    pub(super) fn lookup(&self, store: &PrimaryStore, request: RequestId) -> SessionState {
        let record = self
            .find(request.session, request.slot)
            .map(|record| &self.records[record as usize])
            .filter(|record| record.state == RecordState::Live);
        let Some(record) = record else {
            let open = self.incarnation(request.session);
            return if open.is_some_and(|open| is_same(open, request.incarnation)) {
                SessionState::Fresh
            } else {
                SessionState::Unknown
            };
        };
        if !is_same(record.incarnation, request.incarnation) {
            return SessionState::Unknown;
        }
        if request.number > record.number {
            return SessionState::Fresh;
        }
        if request.number < record.number {
            return SessionState::Stale;
        }
        match Entry::parse(store.slot(record.location)) {
            Ok(Entry::SlotRecord(entry)) => {
                let (result, _) = postcard::take_from_bytes(entry.answer)
                    .expect("a recorded answer can be decoded");
                SessionState::Recorded(result, entry.seq)
            }
            other => panic!("a session names a slot with something else: {other:?}"),
        }
    }

    pub(super) fn open(
        &mut self,
        store: &mut PrimaryStore,
        change: &mut ChangeBuf,
        session: SessionId,
        incarnation: Seq,
    ) {
        let header = Header::session(session, incarnation);
        let mark = store
            .insert(Purpose::Record, &[header.as_bytes()], change)
            .expect("slots are reserved for sessions");
        self.add_session(session, incarnation, mark);
    }

    /// Closes a session; answers its mark, which the caller removes.
    pub(super) fn close(&mut self, session: SessionId) -> Option<Location> {
        let index = self.by_id.remove(&session)?;
        self.unlink(index);
        self.free_sessions.push(index);
        let Session { mark, records, .. } = self.sessions[index as usize];
        let mut next = records;
        while next != NONE {
            let record = &mut self.records[next as usize];
            record.state = RecordState::Orphan;
            self.orphans.push_back(next);
            self.live_records -= 1;
            self.live_bytes -= record.bytes();
            next = record.next;
        }
        Some(mark)
    }

    /// Closes the session used least recently, other than `keep`; answers its mark, which the caller removes.
    pub(super) fn evict(&mut self, keep: SessionId) -> Option<Location> {
        let mut index = self.oldest;
        if index != NONE && self.sessions[index as usize].id == keep {
            index = self.sessions[index as usize].newer;
        }
        if index == NONE {
            return None;
        }
        self.close(self.sessions[index as usize].id)
    }

    /// Records the answer of a request; answers the slot that its record left for another class, which the caller
    /// removes.
    pub(super) fn record(
        &mut self,
        store: &mut PrimaryStore,
        change: &mut ChangeBuf,
        (request, seq): (RequestId, Seq),
        result: &OpResult,
    ) -> Option<Location> {
        let mut answer = std::mem::take(&mut self.scratch);
        answer.clear();
        let answer = postcard::to_extend(result, answer).expect("an answer can be encoded");
        let header = Header::slot_record(request, seq);
        let parts = [header.as_bytes(), &answer];
        let session = *self
            .by_id
            .get(&request.session)
            .expect("the session is open");
        self.touch(session);
        let mut vacated = None;
        if let Some(index) = self.find(request.session, request.slot) {
            let record = &mut self.records[index as usize];
            let before = record.bytes();
            (record.location, vacated) = store
                .replace(record.location, Purpose::Record, &parts, change)
                .expect("slots are reserved for sessions");
            if record.state == RecordState::Live {
                self.live_bytes = self.live_bytes - before + record.bytes();
                assert!(
                    request.number > record.number,
                    "requests of a slot are executed in order"
                );
            }
            record.number = request.number;
            if record.state == RecordState::Orphan {
                self.adopt(index, session);
            }
        } else {
            let location = store
                .insert(Purpose::Record, &parts, change)
                .expect("slots are reserved for sessions");
            let RequestId {
                session: id,
                slot,
                number,
                ..
            } = request;
            let index = self.add_record((id, slot), number, location);
            self.adopt(index, session);
        }
        if answer.capacity() <= 64 << 10 {
            self.scratch = answer;
        }
        vacated
    }

    /// The place of the next record of a closed session, if there is one.
    pub(super) fn next_orphan(&mut self) -> Option<Location> {
        loop {
            let record = &self.records[*self.orphans.front()? as usize];
            if record.state == RecordState::Orphan {
                return Some(record.location);
            }
            // Its session was opened again and uses it, or it was removed since.
            self.orphans.pop_front();
        }
    }

    /// Forgets the record that `next_orphan` named.
    pub(super) fn forget_orphan(&mut self) {
        let index = self.orphans.pop_front().expect("next_orphan was asked");
        let record = &mut self.records[index as usize];
        record.state = RecordState::Free;
        let hash_of_slot = hash(record.session, record.slot);
        self.by_slot
            .find_entry(hash_of_slot, |&other| other == index)
            .expect("every record is in the index")
            .remove();
        self.free_records.push(index);
    }

    pub(super) fn relocate_session(&mut self, session: SessionId, moved: Moved) {
        let index = self.by_id[&session];
        self.sessions[index as usize].mark = moved.to;
    }

    pub(super) fn relocate_record(&mut self, session: SessionId, slot: u16, moved: Moved) {
        let index = self
            .find(session, slot)
            .expect("every record is in the index");
        self.records[index as usize].location = moved.to;
    }

    /// A session's mark is there after a change of another structure, and was not before.
    pub(super) fn follow_opening(&mut self, session: SessionId, incarnation: Seq, mark: Location) {
        self.add_session(session, incarnation, mark);
    }

    /// A session's mark lies elsewhere after a change of another structure.
    pub(super) fn follow_mark(
        &mut self,
        session: SessionId,
        incarnation: Seq,
        mark: Location,
    ) -> Option<()> {
        let &index = self.by_id.get(&session)?;
        let session = &mut self.sessions[index as usize];
        session.mark = mark;
        (session.incarnation == incarnation).then_some(())
    }

    /// A record is there after a change of another structure: a new one, another one than before, or elsewhere.
    pub(super) fn follow_record(&mut self, entry: &SlotRecord<'_>, location: Location) {
        let SlotRecord {
            session: id,
            slot,
            number,
            seq,
            ..
        } = *entry;
        let open = self.by_id.get(&id).copied();
        let session = open.filter(|&s| seq > self.sessions[s as usize].incarnation);
        let (index, asked) = match self.find(id, slot) {
            None => {
                let index = self.add_record((id, slot), number, location);
                if session.is_none() {
                    self.orphans.push_back(index);
                }
                (index, true)
            }
            Some(index) => {
                let record = &mut self.records[index as usize];
                let before = record.bytes();
                let asked = record.number != number;
                (record.number, record.location) = (number, location);
                if record.state == RecordState::Live {
                    self.live_bytes = self.live_bytes - before + record.bytes();
                }
                (index, asked)
            }
        };
        let Some(session) = session else { return };
        if self.records[index as usize].state == RecordState::Orphan {
            self.adopt(index, session);
        }
        if asked {
            self.touch(session);
        }
    }

    /// A record is not there any more after a change of another structure.
    pub(super) fn follow_removal(&mut self, session: SessionId, slot: u16) -> Option<()> {
        let index = self.find(session, slot)?;
        let record = &self.records[index as usize];
        let hash_of_slot = hash(record.session, record.slot);
        let place = self
            .by_slot
            .find_entry(hash_of_slot, |&o| o == index)
            .ok()?;
        if record.state == RecordState::Live {
            self.live_records -= 1;
            self.live_bytes -= record.bytes();
            let session = self.by_id[&record.session] as usize;
            let next = record.next;
            let mut at = self.sessions[session].records;
            if at == index {
                self.sessions[session].records = next;
            }
            while at != NONE {
                let after = self.records[at as usize].next;
                if after == index {
                    self.records[at as usize].next = next;
                }
                at = after;
            }
        }
        place.remove();
        self.records[index as usize].state = RecordState::Free;
        self.free_records.push(index);
        // As the structure that is followed lets them go in order, so does this one.
        let free = |&index: &u32| self.records[index as usize].state != RecordState::Orphan;
        while self.orphans.front().is_some_and(free) {
            self.orphans.pop_front();
        }
        Some(())
    }

    /// A session's mark found in pages.
    pub(super) fn restore_session(
        &mut self,
        session: SessionId,
        incarnation: Seq,
        mark: Location,
    ) -> Result<(), RebuildError> {
        if self.by_id.contains_key(&session) {
            return Err(RebuildError::duplicate(mark));
        }
        self.add_session(session, incarnation, mark);
        Ok(())
    }

    /// A session slot's record found in pages.
    pub(super) fn restore_record(
        &mut self,
        record: SlotRecord<'_>,
        location: Location,
    ) -> Result<(), RebuildError> {
        let SlotRecord {
            session,
            slot,
            number,
            ..
        } = record;
        if self.find(session, slot).is_some() {
            return Err(RebuildError::duplicate(location));
        }
        self.add_record((session, slot), number, location);
        Ok(())
    }

    /// Gives the records found in pages to their sessions. Those without a session, or of an incarnation before the one
    /// that is open, stay orphans.
    ///
    /// Pages do not tell when a session was used: those that asked nothing count as the oldest, then those that asked
    /// least, by the greatest number of their requests.
    pub(super) fn adopt_restored(&mut self, store: &PrimaryStore) {
        let mut asked: Vec<(u128, u32)> = (0..self.sessions.len() as u32).map(|s| (0, s)).collect();
        for index in 0..self.records.len() as u32 {
            let record = &self.records[index as usize];
            let number = u128::from(record.number) + 1;
            let recorded = match Entry::parse(store.slot(record.location)) {
                Ok(Entry::SlotRecord(entry)) => entry.seq,
                other => panic!("a record's slot holds something else: {other:?}"),
            };
            match self.by_id.get(&record.session) {
                Some(&session) if recorded > self.sessions[session as usize].incarnation => {
                    let most = &mut asked[session as usize].0;
                    *most = number.max(*most);
                    self.adopt(index, session);
                }
                _ => self.orphans.push_back(index),
            }
        }
        // Among equals the order of their slots.
        asked.sort_unstable();
        for (_, session) in asked {
            self.touch(session);
        }
    }

    #[inline]
    fn find(&self, session: SessionId, slot: u16) -> Option<u32> {
        let same = |&index: &u32| {
            let record = &self.records[index as usize];
            record.slot == slot && record.session == session
        };
        self.by_slot.find(hash(session, slot), same).copied()
    }

    fn add_session(&mut self, id: SessionId, incarnation: Seq, mark: Location) {
        let session = Session {
            id,
            incarnation,
            mark,
            older: NONE,
            newer: NONE,
            records: NONE,
        };
        let index = put(&mut self.sessions, &mut self.free_sessions, session);
        self.by_id.insert(id, index);
        self.link_newest(index);
    }

    /// A record that no session has yet.
    fn add_record(
        &mut self,
        (session, slot): (SessionId, u16),
        number: u64,
        location: Location,
    ) -> u32 {
        let state = RecordState::Orphan;
        let record = Record {
            session,
            slot,
            number,
            location,
            next: NONE,
            state,
            incarnation: Seq(0),
        };
        let index = put(&mut self.records, &mut self.free_records, record);
        let records = &self.records;
        self.by_slot
            .insert_unique(hash(session, slot), index, |&other| {
                let record = &records[other as usize];
                hash(record.session, record.slot)
            });
        index
    }

    fn adopt(&mut self, record: u32, session: u32) {
        let session = &mut self.sessions[session as usize];
        self.records[record as usize].state = RecordState::Live;
        self.records[record as usize].incarnation = session.incarnation;
        self.records[record as usize].next = session.records;
        session.records = record;
        self.live_records += 1;
        self.live_bytes += self.records[record as usize].bytes();
    }

    #[inline]
    fn touch(&mut self, index: u32) {
        if self.newest != index {
            self.unlink(index);
            self.link_newest(index);
        }
    }

    fn link_newest(&mut self, index: u32) {
        let older = self.newest;
        let session = &mut self.sessions[index as usize];
        (session.older, session.newer) = (older, NONE);
        match older {
            NONE => self.oldest = index,
            older => self.sessions[older as usize].newer = index,
        }
        self.newest = index;
    }

    fn unlink(&mut self, index: u32) {
        let Session { older, newer, .. } = self.sessions[index as usize];
        match older {
            NONE => self.oldest = newer,
            older => self.sessions[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.sessions[newer as usize].older = older,
        }
    }
}

/// Puts `item` into a free place, or a new one; answers which.
fn put<T>(items: &mut Vec<T>, free: &mut Vec<u32>, item: T) -> u32 {
    if let Some(index) = free.pop() {
        items[index as usize] = item;
        return index;
    }
    items.push(item);
    u32::try_from(items.len() - 1).expect("sessions are bounded")
}
