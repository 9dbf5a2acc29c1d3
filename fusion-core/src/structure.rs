//! The structures: operations in, answers and changes out; rebuilt from pages alone.

mod follow;
mod list;
mod map;
mod order;
mod queue;
mod sessions;

use crate::change::ChangeBuf;
use crate::class::ClassId;
use crate::entry::{Descriptor, Entry, EntryError, Header};
use crate::fault::{Fault, planted};
use crate::id::{ClusterId, PrimaryIndex, RequestId, Seq, SessionId};
use crate::limits::{
    MAX_CHANGE_BYTES, MAX_KEY_BYTES, MAX_SCAN_BYTES, MAX_SCAN_ENTRIES, MAX_SESSION_BYTES,
    MAX_SESSION_SLOTS, MAX_VALUE_BYTES,
};
use crate::op::{Kind, Op, OpError, OpResult, Reply};
use crate::page::PageTable;
use crate::store::{Location, NotDense, PrimaryStore, Purpose};
use bytes::Bytes;
pub use follow::{FollowError, Follower};
use list::List;
use map::Map;
use queue::Queue;
use sessions::Sessions;
use thiserror::Error;

/// Records of gone sessions are removed in passing, more than one as long as a change is shorter than this.
const TIDY_BYTES: usize = 4 << 10;
/// A change that closes a session removes its records as long as it is shorter than this: as many as recorded answers
/// may take in all, unless they lie so that others must move.
const CLOSE_BYTES: usize = MAX_CHANGE_BYTES;

/// One primary structure: its entries, and the indexes that find them.
#[derive(Clone, Debug)]
pub struct Structure {
    descriptor: Descriptor,
    store: PrimaryStore,
    elements: Elements,
    sessions: Sessions,
    /// [`MAX_SESSION_SLOTS`].
    session_slots: usize,
    /// The change being built; empty between operations.
    change: ChangeBuf,
}

#[derive(Clone, Debug)]
enum Elements {
    List(List),
    Map(Map),
    Queue(Queue),
}

/// The outcome of a mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Executed {
    /// What the client is told.
    pub result: OpResult,
    /// What fused structures must be told, with the session's record.
    pub change: Bytes,
}

/// What is known of a request (rule 9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// Its session is not open, or it is another incarnation of it that is (rule 38).
    Unknown,
    /// A later request of the same session slot was executed.
    Stale,
    /// It was executed, with this answer, by this change.
    Recorded(OpResult, Seq),
    /// It is new.
    Fresh,
}

/// What a structure holds and takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StructureStats {
    /// The number of elements.
    pub elements: u64,
    /// The bytes of their keys and values.
    pub entry_bytes: u64,
    /// The bytes of pages: entries, headers, sessions and free room.
    pub page_bytes: u64,
    /// The bytes of indexes, estimated.
    pub index_bytes: u64,
}

/// Why pages are not those of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// The pages are not those of dense slots.
    #[error(transparent)]
    NotDense(#[from] NotDense),
    /// A slot does not hold an entry.
    #[error("slot {slot} of size class {class} is damaged: {fault}")]
    Entry {
        /// The slot's class.
        class: ClassId,
        /// The slot.
        slot: u32,
        /// What is wrong.
        fault: EntryError,
    },
    /// An entry lies in another class than its length says.
    #[error(
        "the entry of {len} bytes at slot {slot} of size class {class} belongs to another class"
    )]
    WrongClass {
        /// The slot's class.
        class: ClassId,
        /// The slot.
        slot: u32,
        /// The entry's bytes.
        len: usize,
    },
    /// There is not exactly one descriptor.
    #[error("the pages hold {found} descriptors; a structure has one")]
    Descriptors {
        /// How many there are.
        found: u64,
    },
    /// The pages of a structure, but not of the one that was expected.
    #[error("the pages are those of {found}, not of {expected}")]
    OtherStructure {
        /// Whose they are.
        found: Descriptor,
        /// Whose they should be.
        expected: Descriptor,
    },
    /// An entry of another kind of structure.
    #[error("slot {slot} of size class {class} holds an entry that is not one of a {kind}")]
    Foreign {
        /// The slot's class.
        class: ClassId,
        /// The slot.
        slot: u32,
        /// The structure's kind.
        kind: Kind,
    },
    /// A key, id, sequence number or session that another entry has as well.
    #[error("slot {slot} of size class {class} holds the same key, id or session as another slot")]
    Duplicate {
        /// The slot's class.
        class: ClassId,
        /// The slot.
        slot: u32,
    },
    /// The entries do not form one sequence.
    #[error("the entries do not form one sequence: {linked} of {elements} are linked")]
    BrokenOrder {
        /// How many follow each other from the first one on.
        linked: u64,
        /// How many there are.
        elements: u64,
    },
    /// More elements than an index can number.
    #[error("the pages hold {elements} elements; a {kind} holds fewer")]
    TooMany {
        /// How many there are.
        elements: u64,
        /// The structure's kind.
        kind: Kind,
    },
}

impl RebuildError {
    fn duplicate(location: Location) -> Self {
        RebuildError::Duplicate {
            class: location.class,
            slot: location.slot,
        }
    }
}

/// The answer of a mutation, and the slot that is to be vacated after it.
type Effect = Result<(Reply, Option<Location>), OpError>;

impl Structure {
    /// A structure without elements, and the change (of sequence number 1) that describes it to fused structures.
    #[must_use]
    pub fn create(kind: Kind, cluster: ClusterId, index: PrimaryIndex) -> (Structure, Bytes) {
        let descriptor = Descriptor {
            kind,
            cluster,
            index,
        };
        let mut structure = Structure {
            descriptor,
            store: PrimaryStore::new(),
            elements: Elements::new(kind),
            sessions: Sessions::new(),
            session_slots: MAX_SESSION_SLOTS,
            change: ChangeBuf::new(),
        };
        structure
            .store
            .insert(
                Purpose::Record,
                &[Header::descriptor(descriptor).as_bytes()],
                &mut structure.change,
            )
            .expect("an empty store is not full");
        let change = structure.change.take();
        (structure, change)
    }

    /// The structure that has these pages: its kind, elements, order and sessions. Takes linear time.
    ///
    /// Which session was used least recently is not in the pages: those that asked nothing count as the oldest, then
    /// those that asked least, by the greatest number of their requests.
    ///
    /// # Errors
    /// [`RebuildError`] if the pages are not those of a structure. No bytes make it panic.
    pub fn rebuild(pages: PageTable) -> Result<Structure, RebuildError> {
        let store = PrimaryStore::from_pages(pages)?;
        let mut sessions = Sessions::new();
        let mut descriptor = None;
        let mut descriptors = 0;
        let mut elements = 0;
        for (location, slot) in store.iter() {
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
            match entry {
                Entry::Descriptor(found) => {
                    descriptor = Some(found);
                    descriptors += 1;
                }
                Entry::Session(session, incarnation) => {
                    sessions.restore_session(session, incarnation, location)?;
                }
                Entry::SlotRecord(record) => sessions.restore_record(record, location)?,
                Entry::Map(_) | Entry::List(_) | Entry::Queue(_) => elements += 1,
            }
        }
        let (Some(descriptor), 1) = (descriptor, descriptors) else {
            return Err(RebuildError::Descriptors { found: descriptors });
        };
        sessions.adopt_restored(&store);
        let elements = Elements::rebuild(descriptor.kind, &store, elements)?;
        Ok(Structure {
            descriptor,
            store,
            elements,
            sessions,
            session_slots: MAX_SESSION_SLOTS,
            change: ChangeBuf::new(),
        })
    }

    /// Takes a bound on sessions below [`MAX_SESSION_SLOTS`], so that a simulation of few sessions has evictions.
    pub(crate) fn limit_sessions(&mut self, slots: usize) {
        self.session_slots = slots.min(MAX_SESSION_SLOTS);
    }

    /// Checks that it is the expected one.
    ///
    /// # Errors
    /// [`RebuildError::OtherStructure`] if its kind, cluster or index is another one.
    pub fn check_descriptor(&self, expected: Descriptor) -> Result<(), RebuildError> {
        let found = self.descriptor;
        if found != expected {
            return Err(RebuildError::OtherStructure { found, expected });
        }
        Ok(())
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.descriptor.kind
    }

    /// Its cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.descriptor.cluster
    }

    /// Its index in the cluster.
    #[must_use]
    pub fn index(&self) -> PrimaryIndex {
        self.descriptor.index
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.elements {
            Elements::List(list) => list.len(),
            Elements::Map(map) => map.len(),
            Elements::Queue(queue) => queue.len(),
        }
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pages as they are now: a cheap clone, shared until written.
    #[must_use]
    pub fn snapshot(&self) -> PageTable {
        self.store.pages().clone()
    }

    /// The pages themselves.
    #[must_use]
    pub fn pages(&self) -> &PageTable {
        self.store.pages()
    }

    /// What it holds and takes. Takes time linear in the number of pages.
    #[must_use]
    pub fn stats(&self) -> StructureStats {
        let (entry_bytes, index_bytes) = match &self.elements {
            Elements::List(list) => (list.payload_bytes(), list.index_bytes()),
            Elements::Map(map) => (map.payload_bytes(), map.index_bytes()),
            Elements::Queue(queue) => (queue.payload_bytes(), queue.index_bytes()),
        };
        StructureStats {
            elements: self.len(),
            entry_bytes,
            page_bytes: self.store.pages().bytes(),
            index_bytes: index_bytes + self.sessions.index_bytes(),
        }
    }

    /// Answers an operation that changes nothing.
    ///
    /// # Errors
    /// [`OpError`] if it is not one of this kind or names an index or key that is not there.
    ///
    /// # Panics
    /// If the operation is a mutation: those go through [`execute`](Structure::execute).
    pub fn read(&self, op: &Op) -> OpResult {
        assert!(!op.is_mutation(), "a mutation is executed, not read");
        if let Op::Len = op {
            return Ok(Reply::Len(self.len()));
        }
        match &self.elements {
            Elements::List(list) => list.read(&self.store, op),
            Elements::Map(map) => map.read(&self.store, op),
            Elements::Queue(queue) => queue.read(&self.store, op),
        }
    }

    /// Executes a mutation: its effect and the session's record of the answer are one change (rule 9), also when the
    /// answer is an error, which changes nothing else. `seq` is the number of that change, and recorded with it.
    ///
    /// Beyond [`MAX_SESSION_SLOTS`] open sessions and session slots together, or [`MAX_SESSION_BYTES`] of recorded
    /// answers, the sessions used least recently are closed in the same change; never the one that asks, whose answers
    /// are bounded by its slots.
    ///
    /// # Panics
    /// If the operation is not a mutation, or the request is not [`Fresh`](SessionState::Fresh).
    pub fn execute(&mut self, seq: Seq, request: RequestId, op: &Op) -> Executed {
        assert!(op.is_mutation(), "only mutations are recorded");
        debug_assert!(
            self.lookup(request) == SessionState::Fresh || planted(Fault::ReplyNotStored),
            "only new requests are executed"
        );
        let (store, change) = (&mut self.store, &mut self.change);
        let effect = match &mut self.elements {
            Elements::List(list) => list.execute(store, change, op),
            Elements::Map(map) => map.execute(store, change, op),
            Elements::Queue(queue) => queue.execute(store, change, op),
        };
        let result = match effect {
            Ok((reply, vacated)) => {
                self.vacate(vacated);
                Ok(reply)
            }
            Err(error) => Err(error),
        };
        if result.is_err() && planted(Fault::NoEffectNotRecorded) {
            let change = self.finish(TIDY_BYTES);
            return Executed { result, change };
        }
        let early = planted(Fault::ReplyInNextSeq).then(|| self.finish(TIDY_BYTES));
        if self.sessions.used() >= self.session_slots && !self.sessions.has_record(request) {
            self.make_room(request.session);
        }
        let bytes_before = self.sessions.recorded_bytes();
        let vacated =
            self.sessions
                .record(&mut self.store, &mut self.change, (request, seq), &result);
        self.vacate(vacated);
        let grown = self.sessions.recorded_bytes().saturating_sub(bytes_before);
        while self.sessions.recorded_bytes() > MAX_SESSION_BYTES {
            let Some(mark) = self.sessions.evict(request.session) else {
                break;
            };
            self.vacate(Some(mark));
        }
        if let Some(change) = early {
            return Executed { result, change };
        }
        // What is recorded must not grow faster than what nobody asks for any more goes.
        let tidy = self.change.len() + grown as usize;
        Executed {
            result,
            change: self.finish(tidy.max(TIDY_BYTES)),
        }
    }

    /// What is known of a request. Takes no part in which session was used least recently.
    #[must_use]
    pub fn lookup(&self, request: RequestId) -> SessionState {
        self.sessions.lookup(&self.store, request)
    }

    /// Opens a session and answers the change, of number `seq`, which is its incarnation from then on (rule 38). If it is
    /// open already, the change is empty, and its incarnation stays, so that a retry is harmless.
    ///
    /// Beyond [`MAX_SESSION_SLOTS`] open sessions and session slots together, the session used least recently is closed
    /// in the same change.
    pub fn open_session(&mut self, seq: Seq, session: SessionId) -> Bytes {
        if self.sessions.incarnation(session).is_some() {
            return Bytes::new();
        }
        self.make_room(session);
        self.sessions
            .open(&mut self.store, &mut self.change, session, seq);
        self.finish(TIDY_BYTES)
    }

    /// The change that opened a session; `None` if it is not open (rule 38).
    #[must_use]
    pub fn incarnation(&self, session: SessionId) -> Option<Seq> {
        self.sessions.incarnation(session)
    }

    /// Closes this incarnation of a session and answers the change; `None` if it is not open.
    ///
    /// From this change on the session is unknown. Its slots' records go in this change, or, as far as that would grow
    /// beyond its limit, in later ones.
    pub fn close_session(&mut self, session: SessionId, incarnation: Seq) -> Option<Bytes> {
        let open = self.sessions.incarnation(session)?;
        if !sessions::is_same(open, incarnation) {
            return None;
        }
        let mark = self.sessions.close(session)?;
        self.vacate(Some(mark));
        Some(self.finish(CLOSE_BYTES))
    }

    /// Closes the sessions used least recently until there is room for one more record of `session`.
    fn make_room(&mut self, session: SessionId) {
        while self.sessions.used() >= self.session_slots {
            let Some(mark) = self.sessions.evict(session) else {
                break;
            };
            self.vacate(Some(mark));
        }
    }

    /// Ends the change of an operation, removing records of sessions that are gone up to a length of `tidy_bytes`.
    fn finish(&mut self, tidy_bytes: usize) -> Bytes {
        let start = self.change.len();
        // One at least, or a client of large values would keep them for ever.
        while self.change.len() == start || self.change.len() < tidy_bytes {
            let Some(location) = self.sessions.next_orphan() else {
                break;
            };
            // Cleared, and filled by the last one of its class.
            let cost = 2 * (location.class.stride() + 16) + 8;
            if self.change.len() + cost > MAX_CHANGE_BYTES {
                break;
            }
            self.sessions.forget_orphan();
            self.vacate(Some(location));
        }
        self.change.take()
    }

    /// Removes an entry that no index names any more, and tells the index of the entry that moves into its slot.
    fn vacate(&mut self, location: Option<Location>) {
        let Some(location) = location else {
            return;
        };
        let Some(moved) = self.store.remove(location, &mut self.change) else {
            return;
        };
        let slot = self.store.slot(moved.to);
        match (Entry::parse(slot), &mut self.elements) {
            (Ok(Entry::Map(entry)), Elements::Map(map)) => map.relocate(entry, moved),
            (Ok(Entry::List(_)), Elements::List(list)) => list.relocate(moved),
            (Ok(Entry::Queue(entry)), Elements::Queue(queue)) => queue.relocate(entry, moved),
            (Ok(Entry::Session(session, _)), _) => self.sessions.relocate_session(session, moved),
            (Ok(Entry::SlotRecord(record)), _) => {
                self.sessions
                    .relocate_record(record.session, record.slot, moved);
            }
            (Ok(Entry::Descriptor(_)), _) => {}
            (entry, _) => panic!(
                "a {} holds a foreign entry: {entry:?}",
                self.descriptor.kind
            ),
        }
    }
}

impl Elements {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::List => Elements::List(List::new()),
            Kind::Map => Elements::Map(Map::new()),
            Kind::Queue => Elements::Queue(Queue::new()),
        }
    }

    fn rebuild(kind: Kind, store: &PrimaryStore, elements: u64) -> Result<Self, RebuildError> {
        let entries = store
            .iter()
            .filter_map(|(location, slot)| match Entry::parse(slot) {
                Ok(Entry::Descriptor(_) | Entry::Session(..) | Entry::SlotRecord(_)) | Err(_) => {
                    None
                }
                Ok(entry) => Some((location, entry)),
            });
        let foreign = |Location { class, slot }| RebuildError::Foreign { class, slot, kind };
        match kind {
            Kind::List => {
                let entries = entries.map(|(location, entry)| match entry {
                    Entry::List(entry) => Ok((location, entry)),
                    _ => Err(foreign(location)),
                });
                List::rebuild(entries, elements).map(Elements::List)
            }
            Kind::Map => {
                let entries = entries.map(|(location, entry)| match entry {
                    Entry::Map(entry) => Ok((location, entry)),
                    _ => Err(foreign(location)),
                });
                Map::rebuild(store, entries, elements).map(Elements::Map)
            }
            Kind::Queue => {
                let entries = entries.map(|(location, entry)| match entry {
                    Entry::Queue(entry) => Ok((location, entry)),
                    _ => Err(foreign(location)),
                });
                Queue::rebuild(entries, elements).map(Elements::Queue)
            }
        }
    }
}

fn check_value(value: &Bytes) -> Result<(), OpError> {
    if value.len() <= MAX_VALUE_BYTES {
        return Ok(());
    }
    Err(OpError::ValueTooLarge {
        len: value.len() as u64,
        max: MAX_VALUE_BYTES as u64,
    })
}

fn check_key(key: &Bytes) -> Result<(), OpError> {
    if key.len() <= MAX_KEY_BYTES {
        return Ok(());
    }
    Err(OpError::KeyTooLarge {
        len: key.len() as u64,
        max: MAX_KEY_BYTES as u64,
    })
}

/// What still fits into the answer of a `range` or `scan`.
struct Room {
    entries: usize,
    bytes: usize,
}

impl Room {
    /// Room for one entry at least, since an empty answer means the end.
    fn new(limit: u32) -> Self {
        Room {
            entries: (limit as usize).clamp(1, MAX_SCAN_ENTRIES),
            bytes: MAX_SCAN_BYTES,
        }
    }

    fn is_full(&self) -> bool {
        self.entries == 0 || self.bytes == 0
    }

    fn take(&mut self, bytes: usize) {
        self.entries -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}
