//! A cluster, its servers, its network and its clients, moved by a seeded generator.

use super::clients::Lane;
use super::network::Packet;
use super::servers::{Node, Server};
use fusion_core::code::Code;
use fusion_core::config::{ClusterShape, Configuration, Host, PrimaryState};
use fusion_core::id::*;
use fusion_core::membership::{self, Evidence, Heard, Plan, ServerView};
use fusion_core::message::*;
use fusion_core::op::{Kind, Op};
use fusion_core::primary::Primary;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What kind of world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) primaries: usize,
    pub(crate) faults: usize,
    pub(crate) spares: usize,
    pub(crate) steps: usize,
}

pub(crate) struct World {
    rng: u64,
    pub(crate) shape: Shape,
    pub(crate) code: Code,
    pub(crate) config: Arc<Configuration>,
    pub(crate) servers: BTreeMap<ServerId, Server>,
    dead: BTreeSet<ServerId>,
    next_server: u64,
    pub(crate) network: Vec<Packet>,
    pub(crate) lossy: bool,
    pub(crate) lanes: Vec<Lane>,
    /// What each primary executed, by sequence number; a replacement inherits what was recovered.
    pub(crate) histories: BTreeMap<MemberId, BTreeMap<Seq, (RequestId, Op)>>,
    /// The last active member of each index.
    pub(crate) active: Vec<MemberId>,
    pub(crate) crashes: u64,
    pub(crate) recoveries: u64,
    pub(crate) now: u64,
}

impl World {
    pub(crate) fn new(seed: u64, shape: Shape) -> World {
        let kind = [Kind::Map, Kind::Queue, Kind::List][(seed % 3) as usize];
        let members = shape.primaries + shape.faults;
        let host = |i: usize| Host {
            server: ServerId(i as u64 + 1),
            address: String::new(),
        };
        let hosts: Vec<_> = (0..members).map(host).collect();
        let cluster = ClusterShape::new("c", kind, shape.primaries, shape.faults, false).unwrap();
        let config = Arc::new(Configuration::create(1, ClusterId(1), 1, &cluster, &hosts));
        let all = members + shape.spares;
        let lanes = (0..shape.primaries).map(|i| Lane {
            session: SessionId(1000 + i as u128),
            numbers: vec![0; 6],
            under_way: BTreeMap::new(),
            answered: Vec::new(),
        });
        let mut world = World {
            rng: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1,
            shape,
            code: Code::new(shape.primaries, shape.faults).unwrap(),
            config: Arc::clone(&config),
            servers: (1..=all as u64)
                .map(|i| (ServerId(i), Server::default()))
                .collect(),
            dead: BTreeSet::new(),
            next_server: all as u64 + 1,
            network: Vec::new(),
            lossy: true,
            lanes: lanes.collect(),
            histories: BTreeMap::new(),
            active: config.primaries.iter().map(|s| s.id).collect(),
            crashes: 0,
            recoveries: 0,
            now: 1,
        };
        world.tell_all();
        world
    }

    pub(crate) fn random(&mut self, below: usize) -> usize {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        ((u128::from(self.rng) * below as u128) >> 64) as usize
    }

    pub(crate) fn tell_all(&mut self) {
        let servers: Vec<_> = self.servers.keys().copied().collect();
        for server in servers {
            let known = self.servers[&server].config.is_some();
            if known || self.config.servers().contains(&server) {
                self.network
                    .push(Packet::Tell(server, Arc::clone(&self.config)));
            }
        }
    }

    /// One random event.
    pub(crate) fn step(&mut self) {
        self.now += 1;
        match self.random(1000) {
            0..=449 => self.deliver(),
            450..=649 => self.pump_links(),
            650..=849 => self.request(),
            850..=929 => self.pump_recovery(),
            930..=994 => self.coordinate(),
            _ => self.crash(),
        }
    }

    /// No more faults: everything must come to rest, whole.
    pub(crate) fn calm(&mut self) {
        self.lossy = false;
        for _ in 0..400 {
            for _ in 0..30 {
                self.coordinate();
                self.pump_links();
                self.pump_recovery();
            }
            while !self.network.is_empty() {
                self.deliver();
            }
            self.collect_answers();
            if matches!(self.plan(), Plan::Keep) && self.at_rest() {
                return;
            }
        }
        panic!(
            "the cluster did not become whole: {:?} at {:?}",
            self.plan(),
            self.config
        );
    }

    fn at_rest(&mut self) -> bool {
        let level = self.config.active().all(|(_, seat)| {
            match self.servers[&seat.host.server].nodes.get(&seat.id) {
                Some(Node::Primary(p)) => p.stable() == p.applied(),
                _ => false,
            }
        });
        // Retries of what was never answered: every one of them must end now.
        for index in 0..self.lanes.len() {
            for slot in 0..6 {
                if self.lanes[index].under_way.contains_key(&slot) {
                    self.submit(index, slot);
                }
            }
        }
        level && self.lanes.iter().all(|lane| lane.under_way.is_empty())
    }

    fn plan(&self) -> Plan {
        membership::plan(&self.config, &self.evidence(), 7)
    }

    fn evidence(&self) -> Evidence {
        let mut evidence = Evidence::default();
        for &id in self.servers.keys() {
            let view = ServerView {
                address: String::new(),
                last_heard_ms: self.now,
                suspected_since_ms: None,
                load: 0,
            };
            evidence.servers.insert(id, view);
        }
        for server in self.servers.values() {
            let Some(config) = &server.config else {
                continue;
            };
            let mut report = |member, condition| {
                let report = MemberReport::new(config.cluster, member, config.epoch, condition);
                let at_ms = self.now;
                evidence.reports.insert(member, Heard { report, at_ms });
            };
            for (&id, node) in &server.nodes {
                match node {
                    Node::Primary(p) if p.is_suspended() => report(id, Condition::Suspended),
                    Node::Primary(_) => report(id, Condition::Serving),
                    Node::Fused(f) => report(id, f.condition()),
                    Node::Replacement(r) => match r.ready {
                        Some(seq) if r.recovery.leases_are_over() => {
                            report(id, Condition::Ready { seq });
                        }
                        _ => report(id, Condition::Recovering { done: 0, total: 0 }),
                    },
                }
            }
            server
                .missing
                .iter()
                .for_each(|&id| report(id, Condition::Missing));
        }
        // A server that is not listed is dead since ever.
        evidence
    }

    fn coordinate(&mut self) {
        match self.plan() {
            Plan::Change(next, reason) => {
                if let membership::Reason::PrimariesRecovered(indices) = &reason {
                    self.recoveries += indices.len() as u64;
                }
                self.config = Arc::new(*next);
                self.tell_all();
            }
            // Told again and again, since a message can be lost.
            Plan::Keep | Plan::Wait(_) => self.tell_all(),
        }
    }

    /// Kills a server, unless that would be one loss more than is tolerated now; a new one comes in its place.
    fn crash(&mut self) {
        let victims: Vec<_> = self.servers.keys().copied().collect();
        let victim = victims[self.random(victims.len())];
        let gone = |host: &Host| host.server == victim || self.dead.contains(&host.server);
        let primaries = self
            .config
            .primaries
            .iter()
            .filter(|s| s.state == PrimaryState::Lost || gone(&s.host))
            .count();
        let codes = self.config.in_sync().filter(|s| !gone(&s.host)).count();
        if primaries > codes {
            return;
        }
        self.crashes += 1;
        self.servers.remove(&victim);
        self.dead.insert(victim);
        self.servers
            .insert(ServerId(self.next_server), Server::default());
        self.next_server += 1;
    }

    /// The primary of an index, when the cluster is whole.
    pub(crate) fn primary(&self, index: usize) -> &Primary {
        let seat = &self.config.primaries[index];
        match self.servers[&seat.host.server].nodes.get(&seat.id) {
            Some(Node::Primary(p)) => p,
            _ => panic!("primary {index} does not serve"),
        }
    }
}
