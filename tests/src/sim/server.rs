//! Servers: they drive the core's members as the real ones do, over a network that may do anything.

use super::checks;
use super::client::Answer;
use super::network::Packet;
use super::process::ProcessId;
use super::replacing::Replacing;
use super::world::World;
use fusion_core::config::{Configuration, Reads};
use fusion_core::fault::{Fault, planted};
use fusion_core::fused::Fused;
use fusion_core::heir::{Built, Copy, Heir};
use fusion_core::id::{Epoch, MemberId, Seq, ServerId, SessionId};
use fusion_core::message::{
    ClientRequest, Condition, MemberReport, RecoveryRequest, Refusal, Route,
};
use fusion_core::primary::{Primary, Submitted};
use fusion_core::structure::FollowError;
use fusion_core::takeover::Takeover;
use fusion_core::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;

/// About how many bytes of changes go into one message: little, so that there are many.
const BATCH_BYTES: usize = 300;

/// An answer that waits for the stable mark.
#[derive(Clone, Debug)]
struct Held1 {
    client: ProcessId,
    packet: Packet,
    after: Seq,
    /// What must be confirmed before it goes out (rule 58).
    round: u64,
}

/// A primary and who waits for it.
#[derive(Clone, Debug)]
pub struct Serving {
    /// The member.
    pub primary: Box<Primary>,
    waiting: Vec<Held1>,
    sent: BTreeMap<MemberId, (Epoch, Seq, Time)>,
    /// Its memory was set back to after this change, and nothing shows yet that nobody knows more than it does.
    pub(super) set_back: Option<Seq>,
}

impl Serving {
    /// Nobody waits for it yet.
    #[must_use]
    pub fn new(primary: Primary) -> Serving {
        Serving {
            primary: Box::new(primary),
            waiting: Vec::new(),
            sent: BTreeMap::new(),
            set_back: None,
        }
    }
}

/// An heir, and what is being built for it.
#[derive(Debug)]
pub struct Copying {
    /// The member.
    pub heir: Heir,
    /// Taken, and done at a later look: other things may happen meanwhile.
    work: Option<Work>,
}

#[derive(Debug)]
enum Work {
    Build(Copy),
    Follow(Built),
}

impl Copying {
    /// It has nothing yet.
    #[must_use]
    pub fn new(heir: Heir) -> Copying {
        Copying { heir, work: None }
    }
}

/// A primary that was moved here and does not serve yet.
#[derive(Debug)]
pub struct Succeeding {
    /// The member.
    pub takeover: Takeover,
}

/// A member.
#[derive(Debug)]
pub enum Node {
    /// A primary.
    Primary(Serving),
    /// A fused member.
    Fused(Box<Fused>),
    /// A replacement of a lost primary.
    Replacement(Box<Replacing>),
    /// The heir of a primary that is being moved.
    Heir(Box<Copying>),
    /// A primary that takes over from the one that was moved.
    Successor(Box<Succeeding>),
}

impl Node {
    /// It looks at the clock (rule 56).
    fn look(&mut self, now: Time) {
        match self {
            Node::Primary(serving) => serving.primary.tick(now),
            Node::Fused(fused) => fused.tick(now),
            Node::Replacement(replacing) => replacing.recovery.tick(now),
            Node::Heir(copying) => copying.heir.tick(now),
            Node::Successor(s) => s.takeover.tick(now),
        };
    }
}

/// A server process.
#[derive(Debug, Default)]
pub struct Server {
    /// What it was told last.
    pub config: Option<Arc<Configuration>>,
    /// Its members.
    pub nodes: BTreeMap<MemberId, Node>,
    pub(super) missing: Vec<MemberId>,
}

impl World {
    pub(super) fn route(config: &Configuration, from: MemberId, to: MemberId) -> Route {
        config.route(from, to)
    }

    /// Where a member runs.
    pub(super) fn place(config: &Configuration, member: MemberId) -> Option<ProcessId> {
        config.host_of(member).map(|h| ProcessId::Server(h.server))
    }

    /// A server looks after its members; answers when to look again.
    pub fn server_acts(&mut self, id: ServerId) -> u64 {
        let Some(mut server) = self.take_server(id) else {
            return 1_000_000;
        };
        let (me, now) = (ProcessId::Server(id), self.clock(ProcessId::Server(id)));
        for (&member, node) in &mut server.nodes {
            if !planted(Fault::ComplaintsByHeartbeat) {
                node.look(now);
            }
            match node {
                Node::Primary(serving) => {
                    self.replicate(me, serving, now);
                    self.tell_successor(me, &serving.primary);
                }
                Node::Fused(_) => {}
                Node::Replacement(replacing) => self.ask_on(me, member, replacing, now),
                Node::Heir(copying) => {
                    self.build(copying);
                    let config = Arc::clone(copying.heir.config());
                    for from in copying.heir.owing().collect::<Vec<_>>() {
                        if self.moves_between(me, &config, from) {
                            copying.heir.on_progress(from, now);
                        }
                    }
                    let requests = copying.heir.requests(now);
                    self.ask_all(me, &config, member, requests);
                }
                Node::Successor(s) => {
                    let config = Arc::clone(s.takeover.config());
                    for from in s.takeover.owing().collect::<Vec<_>>() {
                        if self.moves_between(me, &config, from) {
                            s.takeover.on_progress(from, now);
                        }
                    }
                    let requests = s.takeover.requests(now);
                    self.ask_all(me, &config, member, requests);
                }
            }
        }
        self.take_over(&mut server);
        self.put_back(id, server);
        self.rng.range(4_000, 12_000)
    }

    /// Changes, the stable mark, a new lease, pages: whatever a fused member lacks.
    fn replicate(&mut self, me: ProcessId, serving: &mut Serving, now: Time) {
        let primary = &mut serving.primary;
        let config = Arc::clone(primary.config());
        for to in primary.links().collect::<Vec<_>>() {
            let Some(place) = World::place(&config, to) else {
                continue;
            };
            let route = World::route(&config, primary.id(), to);
            if self.network.is_busy(me, place, self.now) {
                // The receiver says that it moves (rule 57).
                primary.on_progress(to, now);
                if let Some(message) = primary.renewal(to, now) {
                    self.send(me, place, Packet::Replicate(route, message));
                }
                continue;
            }
            let from = self.rng.below(4) as u32;
            if let Some(chunk) = primary.chunk(to, from).or_else(|| primary.chunk(to, 0)) {
                self.send(me, place, Packet::Chunk(route, chunk));
            }
            let told = serving.sent.get(&to).copied();
            let due = told.is_none_or(|(epoch, stable, at)| {
                epoch != config.epoch
                    || stable != primary.stable()
                    || now.since(at) >= config.timing.renew_after()
            });
            let up_to_date = primary.acked(to) == Some(primary.applied());
            if !due && up_to_date && !primary.awaits(to) {
                continue;
            }
            if let Some(message) = primary.replicate(to, BATCH_BYTES, now) {
                serving.sent.insert(to, (config.epoch, message.stable, now));
                self.send(me, place, Packet::Replicate(route, message));
            }
        }
    }

    /// A server hears something.
    pub fn server_hears(&mut self, id: ServerId, from: ProcessId, packet: Packet) {
        let Some(mut server) = self.take_server(id) else {
            return;
        };
        let (me, now) = (ProcessId::Server(id), self.clock(ProcessId::Server(id)));
        self.hear(me, &mut server, from, packet, now);
        checks::floor::on_heard(self, &server);
        self.put_back(id, server);
    }

    /// What a server has, so that it and the world can be changed together; an empty one stands in its place.
    fn take_server(&mut self, id: ServerId) -> Option<Server> {
        self.servers.get_mut(&id).map(std::mem::take)
    }

    fn put_back(&mut self, id: ServerId, server: Server) {
        if let Some(place) = self.servers.get_mut(&id) {
            *place = server;
        }
    }

    fn hear(
        &mut self,
        me: ProcessId,
        server: &mut Server,
        from: ProcessId,
        packet: Packet,
        now: Time,
    ) {
        match packet {
            Packet::Tell(config) => {
                self.adopt(me, server, config);
                if let ProcessId::Coordinator(_) = from {
                    let report = self.report(me, server, now);
                    self.send(me, from, report);
                }
            }
            Packet::Replicate(route, message) => {
                let answer = match server.nodes.get_mut(&route.to) {
                    Some(Node::Fused(fused)) => fused.on_replicate(route, &message, now),
                    Some(Node::Heir(h)) => h.heir.on_replicate(route, &message, now),
                    _ => Err(not_here(server, route)),
                };
                if answer.is_ok() {
                    self.takes(route, &message);
                }
                self.send(me, from, Packet::Ack(route, answer));
            }
            Packet::Ack(route, Ok(ack)) => {
                if let Some(Node::Primary(serving)) = server.nodes.get_mut(&route.from) {
                    serving.primary.on_ack(route, ack, now);
                    self.answer(me, serving);
                    if self.rng.permille(300) {
                        self.replicate(me, serving, now);
                    }
                }
            }
            Packet::Chunk(route, chunk) => {
                let added = match server.nodes.get_mut(&route.to) {
                    Some(Node::Fused(fused)) => fused.on_chunk(route, &chunk, now),
                    Some(Node::Heir(h)) => h.heir.on_chunk(route, &chunk, now),
                    _ => Err(not_here(server, route)),
                };
                if added.is_ok() {
                    self.send(me, from, Packet::ChunkAck(route, chunk.number));
                }
            }
            Packet::ChunkAck(route, number) => {
                if let Some(Node::Primary(serving)) = server.nodes.get_mut(&route.from) {
                    serving.primary.on_chunk_ack(route, number);
                }
            }
            Packet::Ask(route, request) => {
                let answer = match server.nodes.get_mut(&route.to) {
                    Some(Node::Primary(s)) => s.primary.on_recovery(route, &request, now),
                    // Not yet: whoever asks it asks again.
                    Some(Node::Successor(_)) => Err(Refusal::Busy),
                    Some(Node::Fused(f)) => f.on_recovery(route, &request, now),
                    _ => Err(not_here(server, route)),
                };
                self.send(me, from, Packet::Answer(route, request, answer));
            }
            Packet::Ack(route, Err(refusal)) => {
                if let Some(Node::Primary(serving)) = server.nodes.get_mut(&route.from) {
                    serving.primary.on_refusal(route, &refusal);
                }
                self.settle(me, server, from, route, refusal);
            }
            Packet::Answer(route, request, answer) => {
                self.on_answer(me, server, from, route, &request, answer, now);
                self.take_over(server);
            }
            Packet::Request {
                member,
                number,
                request,
            } => {
                self.execute(me, server, (from, number), member, &request, now);
            }
            Packet::Open(member, session) => self.open(me, server, from, member, session),
            Packet::Close(member, session, incarnation) => {
                if let Some(Node::Primary(serving)) = server.nodes.get_mut(&member) {
                    self.look_back(serving);
                    let before = serving.primary.applied();
                    serving.primary.close_session(session, incarnation);
                    self.changed(serving, before);
                }
            }
            Packet::Report(..)
            | Packet::Reply(..)
            | Packet::Opened(..)
            | Packet::WhoIs(_)
            | Packet::Is(_) => {}
        }
    }

    /// An heir makes a structure of what it has copied, and follows.
    fn build(&mut self, copying: &mut Copying) {
        if self.rng.permille(500) {
            return;
        }
        let built = match copying.work.take() {
            Some(Work::Build(copy)) => {
                checks::images::on_copied(self, &copying.heir, &copy);
                copy.build().map_err(FollowError::from)
            }
            Some(Work::Follow(built)) => built.follow(),
            None => {
                copying.work = copying.heir.take_copy().map(Work::Build);
                return;
            }
        };
        copying.work = copying.heir.on_built(built).map(Work::Follow);
    }

    fn ask_all(
        &mut self,
        me: ProcessId,
        config: &Configuration,
        from: MemberId,
        requests: Vec<(MemberId, RecoveryRequest)>,
    ) {
        for (to, request) in requests {
            // What is under way is not asked for beside it (rule 57).
            if request != RecoveryRequest::Vector && self.moves_between(me, config, to) {
                continue;
            }
            if let Some(place) = World::place(config, to) {
                let route = World::route(config, from, to);
                self.send(me, place, Packet::Ask(route, request));
            }
        }
    }

    /// Who was moved tells the one that takes over: no coordinator is needed for that.
    fn tell_successor(&mut self, me: ProcessId, primary: &Primary) {
        let config = primary.config();
        let place = primary.successor().and_then(|id| World::place(config, id));
        if let Some(place) = place {
            self.send(me, place, Packet::Tell(Arc::clone(config)));
        }
    }

    /// Who was moved here serves as soon as it may.
    fn take_over(&mut self, server: &mut Server) {
        let may = |node: &Node| matches!(node, Node::Successor(s) if s.takeover.may_serve());
        let ready = server.nodes.iter().filter(|(_, node)| may(node));
        for id in ready.map(|(&id, _)| id).collect::<Vec<_>>() {
            let Some(Node::Successor(s)) = server.nodes.remove(&id) else {
                continue;
            };
            let (config, seq) = (Arc::clone(s.takeover.config()), s.takeover.seq());
            checks::lost_writes::on_activation(self, &config, id, seq);
            self.truth.served.insert(id);
            self.stats.taken_over += 1;
            let node = self.serving(s.takeover.into_primary());
            server.nodes.insert(id, node);
        }
    }

    /// The pages are other ones now, if there was a change.
    fn changed(&mut self, serving: &Serving, before: Seq) {
        let primary = &serving.primary;
        if primary.applied() > before && serving.set_back.is_none() {
            let pages = primary.structure().pages().to_sparse();
            self.truth.changed(primary.id(), primary.applied(), pages);
        }
    }

    /// Answered when it is stable; a client that hears nothing asks again (rules 11, 38).
    fn open(
        &mut self,
        me: ProcessId,
        server: &mut Server,
        client: ProcessId,
        member: MemberId,
        session: SessionId,
    ) {
        let Some(Node::Primary(serving)) = server.nodes.get_mut(&member) else {
            return;
        };
        self.look_back(serving);
        let before = serving.primary.applied();
        let Some(incarnation) = serving.primary.open_session(session) else {
            return;
        };
        self.changed(serving, before);
        self.stats.sessions_opened += u64::from(serving.primary.applied() > before);
        serving.waiting.push(Held1 {
            client,
            packet: Packet::Opened(session, incarnation),
            after: incarnation,
            round: 0,
        });
        self.answer(me, serving);
    }

    fn execute(
        &mut self,
        me: ProcessId,
        server: &mut Server,
        (client, number): (ProcessId, u64),
        member: MemberId,
        request: &ClientRequest,
        now: Time,
    ) {
        let Some(Node::Primary(serving)) = server.nodes.get_mut(&member) else {
            self.send(me, client, Packet::Reply(number, Answer::Refused));
            return;
        };
        self.look_back(serving);
        let diverges = serving.set_back.is_some();
        let primary = &mut serving.primary;
        let before = primary.applied();
        let submitted = primary.submit(request, now);
        let applied = primary.applied();
        let Submitted::Done {
            result,
            after,
            round,
        } = submitted
        else {
            self.stats.unleased += u64::from(submitted == Submitted::NoLease);
            let answer = match submitted {
                Submitted::SessionUnknown => Answer::SessionUnknown,
                _ => Answer::Refused,
            };
            self.send(me, client, Packet::Reply(number, answer));
            return;
        };
        let seq = match request.id {
            None => {
                if primary.config().reads == Reads::Leased {
                    checks::leases::on_read(self, primary.index(), member);
                }
                after
            }
            // Of a record, of which that history knows: what it was made as.
            Some(_) if diverges => after,
            Some(id) => {
                if applied > before {
                    let history = self.truth.histories.entry(member).or_default();
                    history.insert(applied, (id, result.clone()));
                    self.changed(serving, before);
                }
                let seq = self.truth.seq_of(member, id);
                seq.expect("invariant 4: the record of an execution that never was")
            }
        };
        serving.waiting.push(Held1 {
            client,
            packet: Packet::Reply(number, Answer::Done(result, seq)),
            after,
            round,
        });
        if self.rng.permille(500) {
            self.replicate(me, serving, now);
        }
        self.answer(me, serving);
    }

    /// Answers go out when the stable mark has come to what they depend on (rule 11).
    fn answer(&mut self, me: ProcessId, serving: &mut Serving) {
        let (answerable, confirmed) = (serving.primary.answerable(), serving.primary.confirmed());
        let (config, index) = (serving.primary.config(), serving.primary.index());
        let (epoch, member) = (config.epoch, serving.primary.id());
        if serving.primary.is_suspended() {
            return;
        }
        let (ready, waiting) = std::mem::take(&mut serving.waiting)
            .into_iter()
            .partition(|held| answerable >= held.after && confirmed >= held.round);
        serving.waiting = waiting;
        for held in ready {
            checks::one_primary::on_answer(self, epoch, index, member);
            checks::floor::on_answer(self, index, held.after);
            self.send(me, held.client, held.packet);
        }
    }

    fn report(&mut self, me: ProcessId, server: &mut Server, now: Time) -> Packet {
        let ProcessId::Server(id) = me else {
            unreachable!("a server")
        };
        let Some(config) = &server.config else {
            return Packet::Report(id, None, Vec::new());
        };
        let report =
            |member, condition| MemberReport::new(config.cluster, member, config.epoch, condition);
        let mut reports = Vec::new();
        for (&member, node) in &mut server.nodes {
            if planted(Fault::ComplaintsByHeartbeat) {
                node.look(now);
            }
            reports.push(match node {
                Node::Primary(s) => MemberReport {
                    complaints: s.primary.complaints(),
                    ..report(member, s.primary.condition())
                },
                Node::Fused(f) => MemberReport {
                    leases_over: f.leases_over(now),
                    complaints: f.complaints(),
                    ..report(member, f.condition())
                },
                Node::Replacement(r) => MemberReport {
                    complaints: r.recovery.complaints(),
                    ..report(member, r.condition())
                },
                Node::Heir(h) => MemberReport {
                    complaints: h.heir.complaints(),
                    ..report(member, h.heir.condition())
                },
                Node::Successor(s) => MemberReport {
                    complaints: s.takeover.complaints(),
                    ..report(member, s.takeover.condition(now))
                },
            });
        }
        reports.extend(
            server
                .missing
                .iter()
                .map(|&m| report(m, Condition::Missing)),
        );
        Packet::Report(id, Some((config.epoch, config.nonce)), reports)
    }

    /// The side behind adopts the other's configuration (rule 8).
    pub(super) fn settle(
        &mut self,
        me: ProcessId,
        server: &mut Server,
        from: ProcessId,
        route: Route,
        refusal: Refusal,
    ) {
        match refusal {
            Refusal::Epoch(theirs) if theirs.epoch > route.epoch => self.adopt(me, server, theirs),
            Refusal::Epoch(_) | Refusal::NotMember { .. } => {
                if let Some(config) = server.config.clone() {
                    self.send(me, from, Packet::Tell(config));
                }
            }
            _ => {}
        }
    }
}

/// Refuses a message for a member that is not here.
fn not_here(server: &Server, route: Route) -> Refusal {
    match &server.config {
        Some(config) if config.epoch != route.epoch => Refusal::Epoch(Arc::clone(config)),
        _ => Refusal::NotMember {
            cluster: route.cluster,
            member: route.to,
        },
    }
}
