//! A cluster in memory, driven step by step beside a plain model.

use bytes::Bytes;
use fusion_core::code::Code;
use fusion_core::fused_store::FusedStore;
use fusion_core::id::{ClusterId, PrimaryIndex, RequestId, Row, Seq, SessionId};
use fusion_core::op::{Kind, Op, OpError, OpResult, Reply};
use fusion_core::page::PageTable;
use fusion_core::structure::{SessionState, Structure};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

pub(crate) const SESSION: SessionId = SessionId(0x5e55_1011);

/// What a structure should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    List(Vec<Bytes>),
    Map(BTreeMap<Bytes, Bytes>),
    Queue(VecDeque<Bytes>),
}

impl Model {
    pub(crate) fn new(kind: Kind) -> Self {
        match kind {
            Kind::List => Model::List(Vec::new()),
            Kind::Map => Model::Map(BTreeMap::new()),
            Kind::Queue => Model::Queue(VecDeque::new()),
        }
    }

    /// What can be read of a structure.
    pub(crate) fn of(structure: &Structure) -> Self {
        match structure.kind() {
            Kind::List => Model::List(range(structure)),
            Kind::Map => Model::Map(scan(structure)),
            Kind::Queue => Model::Queue(range(structure).into()),
        }
    }

    /// Operations that replace elements by others of the same and of another size, and add one.
    pub(crate) fn replacements(&self) -> Vec<Op> {
        let value = |i: usize| Bytes::from(vec![1; i % 2 * 100]);
        match self {
            Model::List(list) => (0..list.len())
                .map(|i| Op::SetIndex {
                    index: i as u64,
                    value: value(i),
                })
                .chain([Op::Append { value: value(1) }])
                .collect(),
            Model::Map(map) => (0..)
                .zip(map.keys().chain([&Bytes::from_static(b"a new key")]))
                .map(|(i, key)| Op::Put {
                    key: key.clone(),
                    value: value(i),
                })
                .collect(),
            Model::Queue(_) => vec![Op::Enqueue { value: value(1) }],
        }
    }

    /// Operations that remove the elements.
    pub(crate) fn removals(&self) -> Vec<Op> {
        match self {
            Model::List(list) => vec![Op::RemoveIndex { index: 0 }; list.len()],
            Model::Map(map) => map
                .keys()
                .map(|key| Op::Remove { key: key.clone() })
                .collect(),
            Model::Queue(queue) => vec![Op::Dequeue; queue.len()],
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Model::List(list) => list.len(),
            Model::Map(map) => map.len(),
            Model::Queue(queue) => queue.len(),
        }
    }

    pub(crate) fn execute(&mut self, op: &Op) -> OpResult {
        let len = self.len() as u64;
        let check = |index: u64, end: u64| {
            if index < end {
                Ok(index as usize)
            } else {
                Err(OpError::IndexError { index, len })
            }
        };
        match (self, op) {
            (Model::List(list), Op::Insert { index, value }) => {
                list.insert(check(*index, len + 1)?, value.clone());
                Ok(Reply::Done)
            }
            (Model::List(list), Op::Append { value }) => {
                list.push(value.clone());
                Ok(Reply::Index(len))
            }
            (Model::List(list), Op::SetIndex { index, value }) => {
                list[check(*index, len)?] = value.clone();
                Ok(Reply::Done)
            }
            (Model::List(list), Op::RemoveIndex { index }) => {
                Ok(Reply::Value(list.remove(check(*index, len)?)))
            }
            (Model::Map(map), Op::Put { key, value }) => Ok(Reply::Bool(
                map.insert(key.clone(), value.clone()).is_some(),
            )),
            (Model::Map(map), Op::Remove { key }) => map
                .remove(key)
                .map(Reply::Value)
                .ok_or(OpError::KeyError { key: key.clone() }),
            (Model::Map(map), Op::CompareAndSwap { key, expected, new }) => {
                if map.get(key) != expected.as_ref() {
                    return Ok(Reply::Swapped {
                        swapped: false,
                        found: map.get(key).cloned(),
                    });
                }
                match new {
                    Some(new) => map.insert(key.clone(), new.clone()),
                    None => map.remove(key),
                };
                Ok(Reply::Swapped {
                    swapped: true,
                    found: None,
                })
            }
            (Model::Queue(queue), Op::Enqueue { value }) => {
                queue.push_back(value.clone());
                Ok(Reply::Done)
            }
            (Model::Queue(queue), Op::Dequeue) => Ok(Reply::Maybe(queue.pop_front())),
            (model, _) => Err(OpError::WrongKind {
                kind: match model {
                    Model::List(_) => Kind::List,
                    Model::Map(_) => Kind::Map,
                    Model::Queue(_) => Kind::Queue,
                },
            }),
        }
    }

    /// Reads everything back through the operations.
    pub(crate) fn check(&self, structure: &Structure) {
        assert_eq!(structure.len(), self.len() as u64);
        assert_eq!(structure.read(&Op::Len), Ok(Reply::Len(self.len() as u64)));
        let payload: usize = match self {
            Model::List(list) => {
                assert_eq!(&range(structure), list);
                for (index, value) in list.iter().enumerate() {
                    let found = structure.read(&Op::GetIndex {
                        index: index as u64,
                    });
                    assert_eq!(found, Ok(Reply::Value(value.clone())));
                }
                let index = list.len() as u64;
                assert_eq!(
                    structure.read(&Op::GetIndex { index }),
                    Err(OpError::IndexError { index, len: index })
                );
                list.iter().map(Bytes::len).sum()
            }
            Model::Map(map) => {
                assert_eq!(&scan(structure), map);
                for (key, value) in map {
                    let found = structure.read(&Op::Get { key: key.clone() });
                    assert_eq!(found, Ok(Reply::Value(value.clone())));
                }
                map.iter().map(|(key, value)| key.len() + value.len()).sum()
            }
            Model::Queue(queue) => {
                assert_eq!(&VecDeque::from(range(structure)), queue);
                assert_eq!(
                    structure.read(&Op::Peek),
                    Ok(Reply::Maybe(queue.front().cloned()))
                );
                queue.iter().map(Bytes::len).sum()
            }
        };
        assert_eq!(structure.stats().entry_bytes, payload as u64);
    }
}

/// All elements, three a call.
fn range(structure: &Structure) -> Vec<Bytes> {
    let mut all = Vec::new();
    loop {
        let op = Op::Range {
            start: all.len() as u64,
            limit: 3,
        };
        match structure.read(&op) {
            Ok(Reply::Values(values)) if values.is_empty() => return all,
            Ok(Reply::Values(values)) => all.extend(values),
            other => panic!("{other:?}"),
        }
    }
}

/// All entries, three a call.
fn scan(structure: &Structure) -> BTreeMap<Bytes, Bytes> {
    let (mut all, mut cursor) = (BTreeMap::new(), None);
    loop {
        match structure.read(&Op::Scan { cursor, limit: 3 }) {
            Ok(Reply::Entries { entries, next }) => {
                for (key, value) in entries {
                    assert!(all.insert(key, value).is_none(), "seen twice");
                }
                cursor = next;
            }
            other => panic!("{other:?}"),
        }
        if cursor.is_none() {
            return all;
        }
    }
}

/// n primaries with their models, f fused structures, and every change ever made.
pub(crate) struct Cluster {
    pub(crate) code: Code,
    pub(crate) primaries: Vec<Structure>,
    pub(crate) models: Vec<Model>,
    pub(crate) fused: Vec<FusedStore>,
    pub(crate) history: Vec<Vec<Bytes>>,
    pub(crate) number: u64,
}

impl Cluster {
    pub(crate) fn new(code: Code, kinds: &[Kind]) -> Self {
        let fused = (0..code.rows() as u16)
            .map(|row| FusedStore::new(code.clone(), Row(row)).unwrap())
            .collect();
        let mut cluster = Cluster {
            primaries: Vec::new(),
            models: Vec::new(),
            fused,
            history: vec![Vec::new(); code.primaries()],
            number: 0,
            code,
        };
        for j in 0..cluster.code.primaries() {
            let kind = kinds[j % kinds.len()];
            let (structure, change) = Structure::create(kind, ClusterId(7), PrimaryIndex(j as u16));
            cluster.primaries.push(structure);
            cluster.models.push(Model::new(kind));
            cluster.replicate(j, change);
            let change = cluster.primaries[j].open_session(Seq(0), SESSION);
            cluster.replicate(j, change);
        }
        cluster
    }

    pub(crate) fn replicate(&mut self, j: usize, change: Bytes) {
        for fused in &mut self.fused {
            fused.apply(PrimaryIndex(j as u16), &change).unwrap();
        }
        self.history[j].push(change);
    }

    /// Executes at primary j and at its model, and replicates.
    pub(crate) fn execute(&mut self, j: usize, op: &Op) -> OpResult {
        self.number += 1;
        let request = RequestId {
            session: SESSION,
            incarnation: Seq(0),
            slot: (self.number % 3) as u16,
            number: self.number,
        };
        assert_eq!(self.primaries[j].lookup(request), SessionState::Fresh);
        let seq = Seq(self.number);
        let executed = self.primaries[j].execute(seq, request, op);
        let expected = self.models[j].execute(op);
        assert_eq!(executed.result, expected, "{op:?}");
        assert_eq!(
            self.primaries[j].lookup(request),
            SessionState::Recorded(executed.result.clone(), seq)
        );
        self.replicate(j, executed.change);
        executed.result
    }

    /// The codes of a row, encoded afresh from all primaries' pages.
    pub(crate) fn encode(&self, row: Row) -> PageTable {
        let mut fresh = FusedStore::learner(self.code.clone(), row).unwrap();
        for (j, primary) in self.primaries.iter().enumerate() {
            for (id, bytes) in primary.snapshot().iter() {
                fresh.add_page(PrimaryIndex(j as u16), id, bytes).unwrap();
            }
        }
        fresh.finish_learning().unwrap();
        fresh.snapshot()
    }

    /// The code invariant.
    pub(crate) fn check_codes(&self) {
        for fused in &self.fused {
            assert!(
                fused.pages() == &self.encode(fused.row()),
                "row {} differs",
                fused.row()
            );
        }
    }

    pub(crate) fn check_models(&self) {
        for (primary, model) in self.primaries.iter().zip(&self.models) {
            model.check(primary);
        }
    }
}

/// An operation yet to be fitted to a structure: choices, a key and a value.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) primary: prop::sample::Index,
    pub(crate) choice: u8,
    pub(crate) place: prop::sample::Index,
    pub(crate) key: u8,
    pub(crate) value: Bytes,
}

pub(crate) fn value() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        1 => Just(0usize),
        8 => 0usize..40,
        4 => 40usize..300,
        1 => 2_000usize..20_000,
        1 => 60_000usize..100_000,
    ]
    .prop_flat_map(|len| (any::<u8>(), Just(len)))
    .prop_map(|(first, len)| {
        (0..len)
            .map(|i| first.wrapping_add((i * 7) as u8))
            .collect()
    })
}

pub(crate) fn draft() -> impl Strategy<Value = Draft> {
    (
        any::<prop::sample::Index>(),
        any::<u8>(),
        any::<prop::sample::Index>(),
        0..24u8,
        value(),
    )
        .prop_map(|(primary, choice, place, key, value)| Draft {
            primary,
            choice,
            place,
            key,
            value,
        })
}

impl Draft {
    /// The operation for a structure like `model`; about one in ten is refused.
    pub(crate) fn op(&self, model: &Model) -> Op {
        let value = self.value.clone();
        match model {
            Model::List(list) => {
                let len = list.len();
                let within = |end: usize| self.place.index(end + 1) as u64;
                match self.choice % 10 {
                    0..=2 => Op::Insert {
                        index: within(len + 1),
                        value,
                    },
                    3..=4 => Op::Append { value },
                    5..=6 => Op::SetIndex {
                        index: within(len),
                        value,
                    },
                    7..=8 => Op::RemoveIndex { index: within(len) },
                    _ => Op::Dequeue,
                }
            }
            Model::Map(map) => {
                let key = match self.key {
                    0 => Bytes::new(),
                    key => vec![key; usize::from(key) * 3].into(),
                };
                match self.choice % 10 {
                    0..=4 => Op::Put { key, value },
                    5..=6 => Op::Remove { key },
                    7..=8 => {
                        let expected = map.get(&key).filter(|_| self.choice < 128).cloned();
                        let new = (self.choice & 3 != 0).then_some(value);
                        Op::CompareAndSwap { key, expected, new }
                    }
                    _ => Op::Append { value },
                }
            }
            Model::Queue(_) => match self.choice % 10 {
                0..=5 => Op::Enqueue { value },
                6..=8 => Op::Dequeue,
                _ => Op::Remove { key: value },
            },
        }
    }
}
