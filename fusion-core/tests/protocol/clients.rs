//! Clients: what they ask, again and again, and what they are answered.

use super::servers::Node;
use super::world::World;
use bytes::Bytes;
use fusion_core::id::*;
use fusion_core::message::ClientRequest;
use fusion_core::op::{Kind, Op, OpResult};
use fusion_core::primary::Submitted;
use fusion_core::time::Time;
use std::collections::BTreeMap;

/// A request and what became of it.
pub(crate) struct Request {
    pub(crate) id: RequestId,
    pub(crate) op: Op,
    /// Executed by this member, waiting for the stable mark.
    pub(crate) waits: Option<(MemberId, OpResult, Seq)>,
}

/// One client of one primary index.
pub(crate) struct Lane {
    pub(crate) session: SessionId,
    pub(crate) numbers: Vec<u64>,
    pub(crate) under_way: BTreeMap<u16, Request>,
    pub(crate) answered: Vec<(RequestId, OpResult)>,
}

impl World {
    /// A client sends something new, or again.
    pub(crate) fn request(&mut self) {
        let index = self.random(self.lanes.len());
        let slot = self.random(6) as u16;
        if !self.lanes[index].under_way.contains_key(&slot) {
            let op = self.operation();
            let lane = &mut self.lanes[index];
            let number = &mut lane.numbers[usize::from(slot)];
            *number += 1;
            let id = RequestId {
                session: lane.session,
                slot,
                number: *number,
            };
            lane.under_way.insert(
                slot,
                Request {
                    id,
                    op,
                    waits: None,
                },
            );
        }
        self.submit(index, slot);
    }

    pub(crate) fn operation(&mut self) -> Op {
        let fill = self.random(256) as u8;
        let len = [0, 3, 40, 90, 1500][self.random(5)];
        let value = Bytes::from(vec![fill; len]);
        let key = Bytes::from(vec![self.random(12) as u8]);
        let index = self.random(8) as u64;
        match (self.config.kind, self.random(4)) {
            (Kind::Map, 0) => Op::Remove { key },
            (Kind::Map, _) => Op::Put { key, value },
            (Kind::Queue, 0 | 1) => Op::Dequeue,
            (Kind::Queue, _) => Op::Enqueue { value },
            (Kind::List, 0) => Op::RemoveIndex { index },
            (Kind::List, 1) => Op::Append { value },
            (Kind::List, 2) => Op::SetIndex { index, value },
            (Kind::List, _) => Op::Insert { index, value },
        }
    }

    /// To any process that thinks it is the primary of that index, also one that was replaced.
    pub(crate) fn submit(&mut self, index: usize, slot: u16) {
        let j = PrimaryIndex(index as u16);
        let mut takers = Vec::new();
        for server in self.servers.values() {
            for (&id, node) in &server.nodes {
                if matches!(node, Node::Primary(p) if p.index() == j) {
                    takers.push(id);
                }
            }
        }
        if takers.is_empty() {
            return;
        }
        let taker = takers[self.random(takers.len())];
        let lane = &self.lanes[index];
        let (session, request) = (lane.session, &lane.under_way[&slot]);
        let (id, op) = (request.id, request.op.clone());
        let now = Time(self.now * 20_000);
        let Some(Node::Primary(p)) = self.node(taker) else {
            return;
        };
        p.open_session(session);
        let before = p.applied();
        let request = ClientRequest {
            id: Some(id),
            op: op.clone(),
        };
        let submitted = p.submit(&request, now);
        let applied = p.applied();
        match submitted {
            Submitted::Done { result, after } => {
                if applied > before {
                    self.histories
                        .entry(taker)
                        .or_default()
                        .insert(applied, (id, op));
                }
                if let Some(request) = self.lanes[index].under_way.get_mut(&slot) {
                    request.waits = Some((taker, result, after));
                }
            }
            Submitted::Suspended => {}
            other => panic!("{id:?} got {other:?}"),
        }
        self.collect_answers();
    }

    /// Answers go out when the stable mark has come to what they depend on (rule 11).
    pub(crate) fn collect_answers(&mut self) {
        let mut stable = BTreeMap::new();
        for server in self.servers.values() {
            for (&id, node) in &server.nodes {
                if let Node::Primary(p) = node {
                    stable.insert(id, p.stable());
                }
            }
        }
        for lane in &mut self.lanes {
            let answered = &mut lane.answered;
            lane.under_way.retain(|_, request| match &request.waits {
                Some((taker, result, after)) if stable.get(taker).is_some_and(|s| s >= after) => {
                    answered.push((request.id, result.clone()));
                    false
                }
                Some((taker, ..)) if !stable.contains_key(taker) => {
                    request.waits = None;
                    true
                }
                _ => true,
            });
        }
    }
}
