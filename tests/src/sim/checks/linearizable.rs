//! Invariants 4, 5 and 6: every answer is the one that the order of changes gives, and that order is the one in which
//! clients saw things happen. The order is known (it is the primaries' own numbering), so that one sweep is enough.

use crate::model::Model;
use crate::sim::server::Node;
use crate::sim::world::World;
use bytes::Bytes;
use fusion_core::id::{PrimaryIndex, Seq};
use fusion_core::message::ClientRequest;
use fusion_core::op::{Kind, Op, OpError, OpResult, Reply};
use fusion_core::structure::Structure;
use std::collections::BTreeMap;

/// A client is told; `floor` is the greatest change that any client knew of when it began to ask.
///
/// # Panics
/// When the answer is from before that.
pub fn on_answer(index: PrimaryIndex, request: &ClientRequest, floor: Seq, seq: Seq) {
    match request.id {
        None => assert!(
            seq >= floor,
            "invariant 6: a read of primary {index} saw change {seq}, but {floor} was known before it"
        ),
        Some(id) => assert!(
            seq > floor,
            "invariant 6: {id:?} is change {seq} of primary {index}, but {floor} was known before it"
        ),
    }
}

/// Replays each history against plain structures of the standard library.
///
/// # Panics
/// When an answer or the contents differ.
pub fn check(world: &World) {
    let kind = world.store.config.kind;
    for (index, line) in world.truth.lines.iter().enumerate() {
        let history = world.truth.histories.get(&line.active).cloned();
        let writes: BTreeMap<_, _> = line
            .writes
            .iter()
            .map(|(id, result)| ((id.session, id.slot, id.number), result))
            .collect();
        let mut reads = line.reads.clone();
        reads.sort_by_key(|read| read.at);
        let mut reads = reads.into_iter().peekable();
        let mut model = Model::new(kind);
        for (seq, (id, op)) in history.unwrap_or_default() {
            while let Some(read) = reads.next_if(|read| read.at < seq) {
                assert_eq!(look(&model, &read.op), read.result, "invariant 6: {read:?}");
            }
            let result = model.apply(&op);
            if let Some(&told) = writes.get(&(id.session, id.slot, id.number)) {
                assert_eq!(
                    *told, result,
                    "invariant 4: {id:?} {op:?} at primary {index}"
                );
            }
        }
        for read in reads {
            assert_eq!(look(&model, &read.op), read.result, "invariant 6: {read:?}");
        }
        let seat = &world.store.config.primaries[index];
        let server = world.servers.get(&seat.host.server);
        if let Some(Node::Primary(serving)) = server.and_then(|s| s.nodes.get(&seat.id)) {
            let held = contents(serving.primary.structure());
            assert_eq!(held, model, "invariant 4: the contents of primary {index}");
        }
    }
}

fn look(model: &Model, op: &Op) -> OpResult {
    match (model, op) {
        (model, Op::Len) => Ok(Reply::Len(model.len() as u64)),
        (Model::Map(map), Op::Get { key }) => match map.get(key) {
            Some(value) => Ok(Reply::Value(value.clone())),
            None => Err(OpError::KeyError { key: key.clone() }),
        },
        (Model::Sequence(_, all), Op::Peek) => Ok(Reply::Maybe(all.front().cloned())),
        (Model::Sequence(_, all), Op::GetIndex { index }) => match all.get(*index as usize) {
            Some(value) => Ok(Reply::Value(value.clone())),
            None => Err(OpError::IndexError {
                index: *index,
                len: all.len() as u64,
            }),
        },
        (_, op) => panic!("no client asks {op:?}"),
    }
}

fn contents(structure: &Structure) -> Model {
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
        Ok(Reply::Values(values)) => Model::Sequence(structure.kind(), values.into()),
        Ok(Reply::Entries { entries, .. }) => {
            Model::Map(entries.into_iter().collect::<BTreeMap<Bytes, Bytes>>())
        }
        other => panic!("{other:?}"),
    }
}
