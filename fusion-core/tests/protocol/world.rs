//! A cluster, its servers, its network and its clients, moved by a seeded generator.

use bytes::Bytes;
use fusion_core::code::Code;
use fusion_core::config::{ClusterShape, Configuration, Host, PrimaryState};
use fusion_core::fused::Fused;
use fusion_core::hosting::{self, Action, Held};
use fusion_core::id::*;
use fusion_core::membership::{self, Evidence, Plan, ServerView};
use fusion_core::message::*;
use fusion_core::op::{Kind, Op, OpResult};
use fusion_core::primary::{Primary, Submitted};
use fusion_core::recovery::{Image, Recovered, Recovery};
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

pub(crate) enum Node {
    Primary(Box<Primary>),
    Fused(Box<Fused>),
    Replacement(Box<Replacement>),
}

/// As a server drives it: asks again what was not answered.
pub(crate) struct Replacement {
    pub(crate) recovery: Recovery,
    asked: Vec<(MemberId, RecoveryRequest)>,
    image: Option<Image>,
    ready: Option<Seq>,
}

#[derive(Default)]
pub(crate) struct Server {
    config: Option<Arc<Configuration>>,
    pub(crate) nodes: BTreeMap<MemberId, Node>,
    missing: Vec<MemberId>,
}

#[derive(Clone)]
enum Packet {
    Tell(ServerId, Arc<Configuration>),
    Replicate(Route, Replicate),
    Ack(Route, Result<Ack, Refusal>),
    Chunk(Route, Chunk),
    ChunkAck(Route, u32),
    Ask(Route, RecoveryRequest),
    Answer(Route, RecoveryRequest, Result<RecoveryReply, Refusal>),
}

/// A request and what became of it.
pub(crate) struct Request {
    pub(crate) id: RequestId,
    pub(crate) op: Op,
    /// Executed by this member, waiting for the stable mark.
    waits: Option<(MemberId, OpResult, Seq)>,
}

/// One client of one primary index.
pub(crate) struct Lane {
    pub(crate) session: SessionId,
    pub(crate) numbers: Vec<u64>,
    pub(crate) under_way: BTreeMap<u16, Request>,
    pub(crate) answered: Vec<(RequestId, OpResult)>,
}

pub(crate) struct World {
    rng: u64,
    pub(crate) shape: Shape,
    code: Code,
    pub(crate) config: Arc<Configuration>,
    pub(crate) servers: BTreeMap<ServerId, Server>,
    dead: BTreeSet<ServerId>,
    next_server: u64,
    network: Vec<Packet>,
    lossy: bool,
    pub(crate) lanes: Vec<Lane>,
    /// What each primary executed, by sequence number; a replacement inherits what was recovered.
    pub(crate) histories: BTreeMap<MemberId, BTreeMap<Seq, (RequestId, Op)>>,
    /// The last active member of each index.
    active: Vec<MemberId>,
    pub(crate) crashes: u64,
    pub(crate) recoveries: u64,
    now: u64,
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

    fn tell_all(&mut self) {
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
                let report = MemberReport {
                    cluster: config.cluster,
                    member,
                    epoch: config.epoch,
                    condition,
                    elements: 0,
                    payload_bytes: 0,
                    page_bytes: 0,
                };
                evidence.reports.insert(member, report);
            };
            for (&id, node) in &server.nodes {
                match node {
                    Node::Primary(_) => report(id, Condition::Serving),
                    Node::Fused(f) => report(id, f.condition()),
                    Node::Replacement(r) => match r.ready {
                        Some(seq) => report(id, Condition::Ready { seq }),
                        None => report(id, Condition::Recovering { done: 0, total: 0 }),
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

    fn post(&mut self, packet: Packet) {
        if self.network.len() < 400 {
            self.network.push(packet);
        }
    }

    fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let chosen = self.random(self.network.len());
        let fate = self.random(100);
        let packet = match fate {
            0..=4 if self.lossy => {
                self.network.swap_remove(chosen);
                return;
            }
            5..=9 if self.lossy => self.network[chosen].clone(),
            _ => self.network.swap_remove(chosen),
        };
        match packet {
            Packet::Tell(server, config) => self.adopt(server, config),
            Packet::Replicate(route, message) => {
                let answer = self.on_fused(route, |f| f.on_replicate(route, &message));
                self.post(Packet::Ack(route, answer));
            }
            Packet::Ack(route, Ok(ack)) => {
                if let Some(Node::Primary(p)) = self.node(route.from) {
                    p.on_ack(route, ack);
                }
                self.collect_answers();
            }
            Packet::Ack(route, Err(refusal)) => self.settle(route, refusal),
            Packet::Chunk(route, chunk) => {
                if self.on_fused(route, |f| f.on_chunk(route, &chunk)).is_ok() {
                    self.post(Packet::ChunkAck(route, chunk.number));
                }
            }
            Packet::ChunkAck(route, number) => {
                if let Some(Node::Primary(p)) = self.node(route.from) {
                    p.on_chunk_ack(route, number);
                }
            }
            Packet::Ask(route, request) => {
                let answer = match self.node(route.to) {
                    Some(Node::Primary(p)) => p.on_recovery(route, &request),
                    Some(Node::Fused(f)) => f.on_recovery(route, &request),
                    _ => Err(Refusal::NotMember {
                        cluster: route.cluster,
                        member: route.to,
                    }),
                };
                self.post(Packet::Answer(route, request, answer));
            }
            Packet::Answer(route, request, answer) => self.on_answer(route, &request, answer),
        }
    }

    fn node(&mut self, id: MemberId) -> Option<&mut Node> {
        self.servers.values_mut().find_map(|s| s.nodes.get_mut(&id))
    }

    fn on_fused<T>(
        &mut self,
        route: Route,
        act: impl FnOnce(&mut Fused) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        match self.node(route.to) {
            Some(Node::Fused(f)) => act(f),
            _ => Err(Refusal::NotMember {
                cluster: route.cluster,
                member: route.to,
            }),
        }
    }

    /// The side behind adopts the other's configuration (rule 8).
    fn settle(&mut self, route: Route, refusal: Refusal) {
        if let Refusal::Epoch(theirs) = refusal {
            let holder = |id| {
                self.servers
                    .iter()
                    .find(|(_, s)| s.nodes.contains_key(&id))
                    .map(|(&id, _)| id)
            };
            if theirs.epoch > route.epoch
                && let Some(server) = holder(route.from)
            {
                self.adopt(server, theirs);
            }
        }
    }

    fn adopt(&mut self, id: ServerId, config: Arc<Configuration>) {
        let code = self.code.clone();
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        if server
            .config
            .as_ref()
            .is_some_and(|c| c.epoch >= config.epoch)
        {
            return;
        }
        server.config = Some(Arc::clone(&config));
        server.missing.clear();
        let held = |node: &Node| match node {
            Node::Primary(_) => Held::Primary,
            Node::Fused(_) => Held::Fused,
            Node::Replacement(r) => Held::Replacement {
                image: r.image.is_some(),
            },
        };
        let held = server
            .nodes
            .iter()
            .map(|(&id, node)| (id, held(node)))
            .collect();
        let mut started = Vec::new();
        for (member, action) in hosting::actions(&config, id, &held) {
            let before = server.nodes.remove(&member);
            let config = Arc::clone(&config);
            let after = match (before, action) {
                (Some(Node::Primary(mut p)), Action::Adopt) => {
                    p.adopt(config);
                    Node::Primary(p)
                }
                (Some(Node::Fused(mut f)), Action::Adopt) => {
                    f.adopt(config);
                    Node::Fused(f)
                }
                (Some(Node::Replacement(r)), Action::Activate) => {
                    let image = r.image.expect("activated with an image");
                    started.push((member, config.index_of(member).unwrap(), image.seq()));
                    Node::Primary(Box::new(Primary::recovered(config, member, image)))
                }
                (Some(Node::Replacement(r)), Action::Restart) => {
                    let image = r.image;
                    Node::Replacement(Replacement::start(config, member, code.clone(), image, 0))
                }
                (None, Action::CreatePrimary) => {
                    Node::Primary(Box::new(Primary::create(config, member)))
                }
                (None, Action::CreateFused) => {
                    Node::Fused(Box::new(Fused::create(config, member, code.clone())))
                }
                (None, Action::StartReplacement) => {
                    Node::Replacement(Replacement::start(config, member, code.clone(), None, 0))
                }
                (_, Action::Drop) => continue,
                _ => {
                    server.missing.push(member);
                    continue;
                }
            };
            server.nodes.insert(member, after);
        }
        for (member, index, seq) in started {
            self.inherit(member, index, seq);
        }
    }

    /// The replacement's history is its predecessor's up to what was recovered, and that must hold all that was
    /// answered.
    fn inherit(&mut self, member: MemberId, index: PrimaryIndex, seq: Seq) {
        let before = std::mem::replace(&mut self.active[index.index()], member);
        let history = self.histories.get(&before).cloned().unwrap_or_default();
        let kept: BTreeMap<_, _> = history.into_iter().filter(|(s, _)| *s <= seq).collect();
        for (id, _) in &self.lanes[index.index()].answered {
            assert!(
                kept.values().any(|(k, _)| k == id),
                "{id:?} was answered and is lost at {index}"
            );
        }
        self.histories.insert(member, kept);
    }

    fn pump_links(&mut self) {
        let mut packets = Vec::new();
        for server in self.servers.values() {
            for node in server.nodes.values() {
                let Node::Primary(p) = node else { continue };
                for to in p.links() {
                    let config = p.config();
                    let route = Route {
                        cluster: config.cluster,
                        epoch: config.epoch,
                        from: p.id(),
                        to,
                    };
                    packets.extend(p.replicate(to, 300).map(|r| Packet::Replicate(route, r)));
                    packets.extend(p.chunk(to, 0).map(|c| Packet::Chunk(route, c)));
                }
            }
        }
        for packet in packets {
            if !self.lossy || self.random(3) == 0 {
                self.post(packet);
            }
        }
    }

    fn pump_recovery(&mut self) {
        self.now += 1;
        let restart = self.lossy && self.random(40) == 0;
        let attempt = self.now;
        let code = self.code.clone();
        let mut packets = Vec::new();
        for server in self.servers.values_mut() {
            for (&id, node) in &mut server.nodes {
                let Node::Replacement(r) = node else { continue };
                let config = Arc::clone(r.recovery.config());
                if restart && r.ready.is_none() {
                    *r = Replacement::start(
                        Arc::clone(&config),
                        id,
                        code.clone(),
                        r.image.take(),
                        attempt,
                    );
                }
                let new = r.recovery.requests();
                r.asked.extend(new);
                for (to, request) in &r.asked {
                    let route = Route {
                        cluster: config.cluster,
                        epoch: config.epoch,
                        from: id,
                        to: *to,
                    };
                    packets.push(Packet::Ask(route, request.clone()));
                }
            }
        }
        packets.into_iter().for_each(|p| self.post(p));
    }

    fn on_answer(
        &mut self,
        route: Route,
        request: &RecoveryRequest,
        answer: Result<RecoveryReply, Refusal>,
    ) {
        self.now += 1;
        let code = self.code.clone();
        let attempt = self.now;
        let Some(Node::Replacement(r)) = self.node(route.from) else {
            return;
        };
        if r.recovery.config().epoch != route.epoch {
            return;
        }
        let Some(asked) = r
            .asked
            .iter()
            .position(|(to, q)| *to == route.to && q == request)
        else {
            return;
        };
        match answer {
            Ok(reply) => {
                r.asked.remove(asked);
                r.recovery
                    .on_reply(route.to, request, reply)
                    .expect("members answer what was asked");
                match r.recovery.take_result() {
                    Some(Recovered::Image { seq, pages }) => {
                        let image = Image::rebuild(seq, pages, r.recovery.expected());
                        r.image = Some(image.expect("the image is the structure"));
                        r.ready = Some(seq);
                    }
                    Some(Recovered::Kept) => r.ready = r.image.as_ref().map(Image::seq),
                    None => {}
                }
            }
            Err(Refusal::NotThere) => {
                let config = Arc::clone(r.recovery.config());
                let (id, image) = (r.recovery.id(), r.image.take());
                **r = *Replacement::start(config, id, code, image, attempt);
            }
            Err(refusal) => self.settle(route, refusal),
        }
    }

    /// A client sends something new, or again.
    fn request(&mut self) {
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

    fn operation(&mut self) -> Op {
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
    fn submit(&mut self, index: usize, slot: u16) {
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
        let Some(Node::Primary(p)) = self.node(taker) else {
            return;
        };
        p.open_session(session);
        let before = p.applied();
        let submitted = p.submit(&ClientRequest {
            id: Some(id),
            op: op.clone(),
        });
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
            other => panic!("{id:?} got {other:?}"),
        }
        self.collect_answers();
    }

    /// Answers go out when the stable mark has come to what they depend on (rule 11).
    fn collect_answers(&mut self) {
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

    /// The primary of an index, when the cluster is whole.
    pub(crate) fn primary(&self, index: usize) -> &Primary {
        let seat = &self.config.primaries[index];
        match self.servers[&seat.host.server].nodes.get(&seat.id) {
            Some(Node::Primary(p)) => p,
            _ => panic!("primary {index} does not serve"),
        }
    }
}

impl Replacement {
    fn start(
        config: Arc<Configuration>,
        id: MemberId,
        code: Code,
        image: Option<Image>,
        attempt: u64,
    ) -> Box<Replacement> {
        let kept = image.as_ref().map(Image::seq);
        let recovery = RecoveryId(config.epoch.0 << 32 | attempt);
        let recovery =
            Recovery::new(config, id, code, recovery, kept).expect("enough codes are in sync");
        Box::new(Replacement {
            recovery,
            asked: Vec::new(),
            image,
            ready: None,
        })
    }
}
