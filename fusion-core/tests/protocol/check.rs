//! What must hold when everything is at rest.

use super::servers::Node;
use super::world::World;
use bytes::Bytes;
use fusion_core::code::Code;
use fusion_core::fused_store::FusedStore;
use fusion_core::id::{PrimaryIndex, RequestId};
use fusion_core::op::{Kind, Op, OpError, OpResult, Reply};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(crate) fn everything(world: &mut World) {
    for index in 0..world.shape.primaries {
        exactly_once_and_in_one_order(world, index);
    }
    codes_are_those_of_the_primaries(world);
}

/// Replays what the primary's history says against std's own structures: every answer that a client got is the one
/// that this order gives, no request is in it twice, and the contents are what it leads to.
fn exactly_once_and_in_one_order(world: &World, index: usize) {
    let primary = world.primary(index);
    let history = world
        .histories
        .get(&primary.id())
        .cloned()
        .unwrap_or_default();
    let mut model = Model::new(world.config.kind);
    let mut results: BTreeMap<(u16, u64), OpResult> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (id, op) in history.values() {
        assert!(
            seen.insert((id.slot, id.number)),
            "{id:?} was executed twice"
        );
        results.insert((id.slot, id.number), model.execute(op));
    }
    for (id, result) in &world.lanes[index].answered {
        let RequestId { slot, number, .. } = *id;
        assert_eq!(
            results.get(&(slot, number)),
            Some(result),
            "{id:?} at primary {index}"
        );
    }
    assert_eq!(
        model.contents(),
        contents(primary.structure()),
        "primary {index}"
    );
}

fn contents(structure: &fusion_core::structure::Structure) -> Vec<(Bytes, Bytes)> {
    let op = match structure.kind() {
        Kind::Map => Op::Scan {
            cursor: None,
            limit: 4096,
        },
        Kind::List | Kind::Queue => Op::Range {
            start: 0,
            limit: 4096,
        },
    };
    match structure.read(&op) {
        Ok(Reply::Values(values)) => values.into_iter().map(|v| (Bytes::new(), v)).collect(),
        Ok(Reply::Entries {
            mut entries,
            next: None,
        }) => {
            entries.sort();
            entries
        }
        other => panic!("{other:?}"),
    }
}

/// Invariant 1 of PROTOCOL.md.
fn codes_are_those_of_the_primaries(world: &World) {
    let code = Code::new(world.shape.primaries, world.shape.faults).unwrap();
    for seat in world.config.in_sync() {
        let Some(Node::Fused(fused)) = world.servers[&seat.host.server].nodes.get(&seat.id) else {
            panic!("fused row {} is not there", seat.row)
        };
        let mut expected = FusedStore::learner(code.clone(), seat.row).unwrap();
        for index in 0..world.shape.primaries {
            for (id, page) in world.primary(index).structure().snapshot().iter() {
                expected
                    .add_page(PrimaryIndex(index as u16), id, page)
                    .unwrap();
            }
        }
        expected.finish_learning().unwrap();
        let pages = |store: &FusedStore| -> BTreeMap<_, _> {
            let nonzero = |(_, page): &(_, &[u8])| page.iter().any(|&b| b != 0);
            let snapshot = store.snapshot();
            let pages = snapshot.iter().filter(nonzero);
            pages
                .map(|(id, page)| (format!("{id:?}"), page.to_vec()))
                .collect()
        };
        assert_eq!(
            pages(fused.store()),
            pages(&expected),
            "codes of row {}",
            seat.row
        );
    }
}

enum Model {
    Map(BTreeMap<Bytes, Bytes>),
    List(Vec<Bytes>),
    Queue(VecDeque<Bytes>),
}

impl Model {
    fn new(kind: Kind) -> Model {
        match kind {
            Kind::Map => Model::Map(BTreeMap::new()),
            Kind::List => Model::List(Vec::new()),
            Kind::Queue => Model::Queue(VecDeque::new()),
        }
    }

    fn execute(&mut self, op: &Op) -> OpResult {
        match (self, op) {
            (Model::Map(m), Op::Put { key, value }) => {
                Ok(Reply::Bool(m.insert(key.clone(), value.clone()).is_some()))
            }
            (Model::Map(m), Op::Remove { key }) => m
                .remove(key)
                .map(Reply::Value)
                .ok_or(OpError::KeyError { key: key.clone() }),
            (Model::Queue(q), Op::Enqueue { value }) => {
                q.push_back(value.clone());
                Ok(Reply::Done)
            }
            (Model::Queue(q), Op::Dequeue) => Ok(Reply::Maybe(q.pop_front())),
            (Model::List(l), op) => {
                let len = l.len() as u64;
                let there = |index: u64, bound: u64| match index < bound {
                    true => Ok(index as usize),
                    false => Err(OpError::IndexError { index, len }),
                };
                match op {
                    Op::Append { value } => {
                        l.push(value.clone());
                        Ok(Reply::Index(len))
                    }
                    Op::Insert { index, value } => {
                        l.insert(there(*index, len + 1)?, value.clone());
                        Ok(Reply::Done)
                    }
                    Op::SetIndex { index, value } => {
                        l[there(*index, len)?] = value.clone();
                        Ok(Reply::Done)
                    }
                    Op::RemoveIndex { index } => Ok(Reply::Value(l.remove(there(*index, len)?))),
                    other => panic!("{other:?}"),
                }
            }
            (_, other) => panic!("{other:?}"),
        }
    }

    fn contents(self) -> Vec<(Bytes, Bytes)> {
        match self {
            Model::Map(m) => m.into_iter().collect(),
            Model::List(l) => l.into_iter().map(|v| (Bytes::new(), v)).collect(),
            Model::Queue(q) => q.into_iter().map(|v| (Bytes::new(), v)).collect(),
        }
    }
}
