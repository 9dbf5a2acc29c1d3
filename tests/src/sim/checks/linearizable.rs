//! Invariants 4, 5 and 6: every answer is the one that the order of changes gives, and that order is the one in which
//! clients saw things happen. The order is known (it is the primaries' own numbering), so that one sweep is enough: the
//! checkers of `fusion_core::history`, which runs on real processes use as well.

use crate::sim::server::Node;
use crate::sim::truth::Line;
use crate::sim::world::World;
use bytes::Bytes;
use fusion_core::history::{self, Contents, History, Model, Operation, Outcome};
use fusion_core::id::{PrimaryIndex, RequestId, Seq};
use fusion_core::message::ClientRequest;
use fusion_core::op::{Kind, Op, OpResult, Reply};
use fusion_core::structure::Structure;
use std::collections::BTreeMap;

/// A client is told; `floor` is the greatest change that any client knew of when it began to ask.
///
/// # Panics
/// When the answer is from before that.
pub fn on_answer(index: PrimaryIndex, request: &ClientRequest, floor: Seq, seq: Seq) {
    assert!(
        history::follows(request.op.is_mutation(), floor, seq),
        "invariant 6: {request:?} is change {seq} of primary {index}, but {floor} was known before it"
    );
}

/// Checks what the clients of each primary were told, and what it holds.
///
/// # Panics
/// When an answer or the contents differ.
pub fn check(world: &World) {
    let kind = world.store.config.kind;
    for (index, line) in world.truth.lines.iter().enumerate() {
        let len = |seqs: Option<usize>| seqs.unwrap_or(0) as u64;
        let made = len(world.truth.states.get(&line.active).map(BTreeMap::len));
        let asked = len(world.truth.histories.get(&line.active).map(BTreeMap::len));
        let seat = &world.store.config.primaries[index];
        let server = world.servers.get(&seat.host.server);
        let serving = server.and_then(|s| s.nodes.get(&seat.id));
        let held = serving.and_then(|node| match node {
            Node::Primary(serving) => Some(&serving.primary),
            _ => None,
        });
        let history = History {
            kind,
            operations: told(line, world.truth.histories.get(&line.active)),
            // Sessions that were opened and closed.
            others: made - asked,
            contents: held.map(|primary| Contents {
                seq: primary.applied(),
                model: contents(primary.structure()),
            }),
        };
        let violations = history::check(&history);
        if let Some(first) = violations.first() {
            panic!("invariant 4: primary {index}: {first}");
        }
    }
}

/// What clients were told, and what became of that which they gave up: if it was executed, nobody heard it in time.
fn told(line: &Line, history: Option<&BTreeMap<Seq, (RequestId, OpResult)>>) -> Vec<Operation> {
    let executed: BTreeMap<_, _> = history
        .into_iter()
        .flatten()
        .map(|(&seq, (id, result))| ((id.session, id.slot, id.number), (seq, result)))
        .collect();
    let given_up = line.unknown.iter().filter_map(|(id, operation)| {
        let &(seq, result) = executed.get(&(id.session, id.slot, id.number))?;
        let result = result.clone();
        Some(Operation {
            returned_us: u64::MAX,
            outcome: Outcome::Answered { result, seq },
            ..operation.clone()
        })
    });
    line.told.iter().cloned().chain(given_up).collect()
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
