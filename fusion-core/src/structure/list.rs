//! A list: each entry names the next one; an order-statistic tree finds the entry at an index.

use super::order::{NodeId, Order, Places};
use super::{Effect, RebuildError, Room, check_value};
use crate::change::ChangeBuf;
use crate::class::CLASS_COUNT;
use crate::entry::{Entry, Header, ID_LIMIT, ListEntry, NEXT_OFFSET, expect_list, u48};
use crate::op::{Kind, Op, OpError, OpResult, Reply};
use crate::store::{Location, Moved, PrimaryStore, Purpose};
use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

#[derive(Clone, Debug)]
pub(super) struct List {
    order: Order,
    owners: Owners,
    /// The id of the next entry to be made.
    next_id: u64,
    payload_bytes: u64,
}

/// What [`List::follow`] needs to know of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linked {
    pub(super) location: Location,
    pub(super) next: u64,
    /// Of its value.
    pub(super) len: u64,
}

/// Which node an entry's slot belongs to: the way back of the paper's bidirectional pointers.
#[derive(Clone, Debug)]
struct Owners {
    by_class: Box<[Vec<u32>]>,
}

const NOBODY: u32 = u32::MAX;

impl Owners {
    fn new() -> Self {
        Owners {
            by_class: vec![Vec::new(); CLASS_COUNT].into_boxed_slice(),
        }
    }

    fn set(&mut self, location: Location, node: NodeId) {
        let nodes = &mut self.by_class[location.class.index()];
        let slot = location.slot as usize;
        if slot >= nodes.len() {
            nodes.resize(slot + 1, NOBODY);
        }
        nodes[slot] = node.number();
    }

    fn get(&self, location: Location) -> NodeId {
        self.find(location).expect("every element has its node")
    }

    fn find(&self, location: Location) -> Option<NodeId> {
        let nodes = &self.by_class[location.class.index()];
        let node = *nodes.get(location.slot as usize)?;
        (node != NOBODY).then(|| NodeId::from_number(node))
    }

    fn clear(&mut self, location: Location) {
        let nodes = &mut self.by_class[location.class.index()];
        nodes[location.slot as usize] = NOBODY;
        while let Some(&NOBODY) = nodes.last() {
            nodes.pop();
        }
        if nodes.capacity() > 1024 && nodes.len() * 8 < nodes.capacity() {
            nodes.shrink_to(nodes.len() * 2);
        }
    }

    fn bytes(&self) -> usize {
        self.by_class
            .iter()
            .map(|nodes| nodes.capacity() * size_of::<u32>())
            .sum()
    }
}

impl List {
    pub(super) fn new() -> Self {
        List {
            order: Order::new(),
            owners: Owners::new(),
            next_id: 1,
            payload_bytes: 0,
        }
    }

    pub(super) fn rebuild<'a>(
        entries: impl Iterator<Item = Result<(Location, ListEntry<'a>), RebuildError>>,
        elements: u64,
    ) -> Result<Self, RebuildError> {
        if elements > Order::MAX_LEN {
            return Err(RebuildError::TooMany {
                elements,
                kind: Kind::List,
            });
        }
        // By id: the place and the next id.
        let mut links: HashMap<u64, (Location, u64), FixedState> =
            HashMap::with_capacity_and_hasher(elements as usize, FixedState::default());
        let mut list = List::new();
        // The first entry is the one that none names as its next: the one id that XOR does not cancel.
        let mut head = 0;
        for entry in entries {
            let (location, entry) = entry?;
            if entry.id == 0 || links.insert(entry.id, (location, entry.next)).is_some() {
                return Err(RebuildError::duplicate(location));
            }
            head ^= entry.id ^ entry.next;
            list.next_id = list.next_id.max(entry.id + 1);
            list.payload_bytes += entry.value.len() as u64;
        }
        let mut sequence = Vec::with_capacity(links.len());
        let mut next = head;
        while next != 0
            && sequence.len() < links.len()
            && let Some(&(location, after)) = links.get(&next)
        {
            sequence.push(location);
            next = after;
        }
        // A cycle would visit as many entries as there are, but would not end with 0.
        if next != 0 || sequence.len() < links.len() {
            return Err(RebuildError::BrokenOrder {
                linked: sequence.len() as u64,
                elements,
            });
        }
        for (number, &location) in (0u32..).zip(&sequence) {
            list.owners.set(location, NodeId::from_number(number));
        }
        list.order = Order::from_sequence(sequence.into_iter());
        Ok(list)
    }

    pub(super) fn len(&self) -> u64 {
        self.order.len()
    }

    pub(super) fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    pub(super) fn index_bytes(&self) -> u64 {
        (self.order.bytes() + self.owners.bytes()) as u64
    }

    pub(super) fn read(&self, store: &PrimaryStore, op: &Op) -> OpResult {
        match op {
            Op::GetIndex { index } => {
                let location = self.location(*index)?;
                Ok(Reply::Value(Bytes::copy_from_slice(
                    expect_list(store.slot(location)).value,
                )))
            }
            Op::Range { start, limit } => {
                let mut room = Room::new(*limit);
                let mut values = Vec::new();
                for location in self.order.iter_from(*start) {
                    if room.is_full() {
                        break;
                    }
                    let value = expect_list(store.slot(location)).value;
                    room.take(value.len());
                    values.push(Bytes::copy_from_slice(value));
                }
                Ok(Reply::Values(values))
            }
            _ => Err(OpError::WrongKind { kind: Kind::List }),
        }
    }

    pub(super) fn execute(
        &mut self,
        store: &mut PrimaryStore,
        change: &mut ChangeBuf,
        op: &Op,
    ) -> Effect {
        match op {
            Op::Insert { index, value } => {
                check_value(value)?;
                self.insert(store, change, *index, value)?;
                Ok((Reply::Done, None))
            }
            Op::Append { value } => {
                check_value(value)?;
                let index = self.len();
                self.insert(store, change, index, value)?;
                Ok((Reply::Index(index), None))
            }
            Op::SetIndex { index, value } => {
                check_value(value)?;
                let vacated = self.set(store, change, *index, value)?;
                Ok((Reply::Done, vacated))
            }
            Op::RemoveIndex { index } => {
                let (value, vacated) = self.remove(store, change, *index)?;
                Ok((Reply::Value(value), Some(vacated)))
            }
            _ => Err(OpError::WrongKind { kind: Kind::List }),
        }
    }

    /// An entry was moved by the removal of another one.
    pub(super) fn relocate(&mut self, moved: Moved) {
        let node = self.owners.get(moved.from);
        self.move_node(node, moved.from, moved.to);
    }

    fn move_node(&mut self, node: NodeId, from: Location, to: Location) {
        self.owners.set(to, node);
        self.owners.clear(from);
        self.order.set_location(node, to);
    }

    /// Below which node each one hangs, for [`follow`](Self::follow).
    pub(super) fn places(&self) -> Places {
        Places::of(&self.order)
    }

    /// Takes in what a change of another structure did to entries: those before it and after it, each by ascending id.
    ///
    /// Whoever names an entry as its next one stands before it, and a new entry that none names is the first: so the
    /// slots that a change touches tell where it belongs. That the order holds is checked at each of them.
    pub(super) fn follow(
        &mut self,
        store: &PrimaryStore,
        before: &[(u64, Linked)],
        after: &[(u64, Linked)],
        places: &mut Places,
    ) -> Result<(), RebuildError> {
        let find = |all: &[(u64, Linked)], id: u64| all.binary_search_by_key(&id, |e| e.0).ok();
        let nodes = before.iter().map(|(_, e)| self.owners.find(e.location));
        let nodes: Option<Vec<NodeId>> = nodes.collect();
        let nodes = nodes.ok_or_else(|| self.broken())?;
        for (_, entry) in before {
            self.owners.clear(entry.location);
            self.payload_bytes -= entry.len;
        }
        let mut checked = Vec::with_capacity(after.len() + 1);
        for &(id, entry) in after {
            if let Some(i) = find(before, id) {
                self.owners.set(entry.location, nodes[i]);
                self.order.set_location(nodes[i], entry.location);
                checked.push(nodes[i]);
            }
            self.payload_bytes += entry.len;
        }
        for (&(id, _), &node) in before.iter().zip(&nodes) {
            if find(after, id).is_none() {
                let index = self.order.index_of(node, places);
                self.order.remove_with(index, places);
                checked.retain(|&other| other != node);
                checked.extend(index.checked_sub(1).map(|i| self.order.get(i)));
            }
        }
        for &(id, entry) in after.iter().filter(|(id, _)| find(before, *id).is_none()) {
            if id < self.next_id || self.len() >= Order::MAX_LEN {
                return Err(RebuildError::duplicate(entry.location));
            }
            let named = after.iter().find(|(_, e)| e.next == id);
            let index = match named.map(|(_, e)| self.owners.find(e.location)) {
                None => 0,
                Some(Some(node)) => self.order.index_of(node, places) + 1,
                Some(None) => return Err(self.broken()),
            };
            let node = self.order.insert_with(index, entry.location, places);
            self.owners.set(entry.location, node);
            self.next_id = id + 1;
            checked.push(node);
        }
        for node in checked {
            self.check_next(store, node, places)?;
        }
        if self.order.is_sparse() {
            self.renumber();
            *places = self.places();
        }
        Ok(())
    }

    fn check_next(
        &self,
        store: &PrimaryStore,
        node: NodeId,
        places: &Places,
    ) -> Result<(), RebuildError> {
        let entry = |location| match Entry::parse(store.slot(location)) {
            Ok(Entry::List(entry)) => Ok((entry.id, entry.next)),
            _ => Err(self.broken()),
        };
        let (_, next) = entry(self.order.location(node))?;
        let follows = match self.location(self.order.index_of(node, places) + 1) {
            Ok(location) => entry(location)?.0,
            Err(_) => 0,
        };
        if follows == next {
            return Ok(());
        }
        Err(self.broken())
    }

    fn broken(&self) -> RebuildError {
        let elements = self.len();
        let linked = elements;
        RebuildError::BrokenOrder { linked, elements }
    }

    fn location(&self, index: u64) -> Result<Location, OpError> {
        let len = self.len();
        if index >= len {
            return Err(OpError::IndexError { index, len });
        }
        Ok(self.order.location(self.order.get(index)))
    }

    fn insert(
        &mut self,
        store: &mut PrimaryStore,
        change: &mut ChangeBuf,
        index: u64,
        value: &[u8],
    ) -> Result<(), OpError> {
        let len = self.len();
        if index > len {
            return Err(OpError::IndexError { index, len });
        }
        if len >= Order::MAX_LEN || self.next_id >= ID_LIMIT {
            return Err(OpError::Full { slots: len });
        }
        let next = match self.location(index) {
            Ok(location) => expect_list(store.slot(location)).id,
            Err(_) => 0,
        };
        let id = self.next_id;
        let header = Header::list_entry(id, next, value.len());
        let location = store.insert(Purpose::Element, &[header.as_bytes(), value], change)?;
        if let Some(before) = index.checked_sub(1) {
            let before = self.order.location(self.order.get(before));
            store.patch(before, NEXT_OFFSET, &u48(id), change);
        }
        let node = self.order.insert(index, location);
        self.owners.set(location, node);
        self.next_id += 1;
        self.payload_bytes += value.len() as u64;
        Ok(())
    }

    fn set(
        &mut self,
        store: &mut PrimaryStore,
        change: &mut ChangeBuf,
        index: u64,
        value: &[u8],
    ) -> Result<Option<Location>, OpError> {
        let old = self.location(index)?;
        let ListEntry {
            id,
            next,
            value: old_value,
        } = expect_list(store.slot(old));
        let old_len = old_value.len() as u64;
        let header = Header::list_entry(id, next, value.len());
        let parts = [header.as_bytes(), value];
        let (new, vacated) = store.replace(old, Purpose::Element, &parts, change)?;
        if new != old {
            self.move_node(self.order.get(index), old, new);
        }
        self.payload_bytes = self.payload_bytes - old_len + value.len() as u64;
        Ok(vacated)
    }

    fn remove(
        &mut self,
        store: &mut PrimaryStore,
        change: &mut ChangeBuf,
        index: u64,
    ) -> Result<(Bytes, Location), OpError> {
        let location = self.location(index)?;
        let ListEntry { next, value, .. } = expect_list(store.slot(location));
        let value = Bytes::copy_from_slice(value);
        if let Some(before) = index.checked_sub(1) {
            let before = self.order.location(self.order.get(before));
            store.patch(before, NEXT_OFFSET, &u48(next), change);
        }
        self.order.remove(index);
        self.owners.clear(location);
        if self.order.is_sparse() {
            self.renumber();
        }
        self.payload_bytes -= value.len() as u64;
        Ok((value, location))
    }

    /// Numbers the nodes anew, so that the index of a list that was longer gives its memory back. Takes linear time,
    /// once for many removals.
    fn renumber(&mut self) {
        let sequence: Vec<Location> = self.order.iter_from(0).collect();
        for (number, &location) in (0u32..).zip(&sequence) {
            self.owners.set(location, NodeId::from_number(number));
        }
        self.order = Order::from_sequence(sequence.into_iter());
    }
}
