//! Servers: they drive the core's members as the real ones do, over a network that may do anything.

use super::checks;
use super::client::Answer;
use super::network::Packet;
use super::process::ProcessId;
use super::world::World;
use fusion_core::config::Configuration;
use fusion_core::fused::Fused;
use fusion_core::hosting::{self, Action, Held};
use fusion_core::id::{Epoch, MemberId, RecoveryId, Seq, ServerId, SessionId};
use fusion_core::message::{
    ClientRequest, Condition, MemberReport, RecoveryReply, RecoveryRequest, Refusal, Route,
};
use fusion_core::op::OpResult;
use fusion_core::primary::{Primary, Submitted};
use fusion_core::recovery::{Image, Recovered, Recovery};
use fusion_core::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// About how many bytes of changes go into one message: little, so that there are many.
const BATCH_BYTES: usize = 300;
/// Little as well: a learner gets each primary's pages in several chunks.
const CHUNK_BYTES: usize = 1;
/// A question that was not answered is asked again after this time.
const ASK_AGAIN: Duration = Duration::from_millis(60);
/// A recovery in which nothing was answered for so long begins anew.
const STUCK: Duration = Duration::from_millis(1500);

/// An answer that waits for the stable mark.
#[derive(Debug)]
struct Held1 {
    client: ProcessId,
    number: u64,
    result: OpResult,
    after: Seq,
    /// The change that the checker is told of.
    seq: Seq,
}

/// A primary and who waits for it.
#[derive(Debug)]
pub struct Serving {
    /// The member.
    pub primary: Box<Primary>,
    waiting: Vec<Held1>,
    sent: BTreeMap<MemberId, (Epoch, Seq, Time)>,
}

/// A replacement, asking again what was not answered.
#[derive(Debug)]
pub struct Replacing {
    recovery: Recovery,
    asked: Vec<(MemberId, RecoveryRequest, Time)>,
    image: Option<Image>,
    done: Option<Seq>,
    answered_at: Time,
    attempts: u64,
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
}

/// A server process.
#[derive(Debug, Default)]
pub struct Server {
    /// What it was told last.
    pub config: Option<Arc<Configuration>>,
    /// Its members.
    pub nodes: BTreeMap<MemberId, Node>,
    missing: Vec<MemberId>,
}

impl Replacing {
    fn start(
        world: &World,
        config: Arc<Configuration>,
        id: MemberId,
        before: Option<Replacing>,
    ) -> Option<Replacing> {
        let (image, attempts) = before.map_or((None, 0), |b| (b.image, b.attempts));
        let kept = image.as_ref().map(Image::seq);
        let attempt = RecoveryId(attempts + 1);
        // Less in sync than lost: nothing to try until the next epoch.
        let recovery = Recovery::new(config, id, world.code.clone(), attempt, kept).ok()?;
        Some(Replacing {
            recovery,
            asked: Vec::new(),
            image,
            done: None,
            answered_at: Time(0),
            attempts: attempts + 1,
        })
    }

    /// The last change that the finished image includes.
    #[must_use]
    pub fn image_seq(&self) -> Option<Seq> {
        self.image.as_ref().map(Image::seq)
    }

    fn condition(&self) -> Condition {
        match self.done {
            Some(seq) if self.recovery.leases_are_over() => Condition::Ready { seq },
            _ => Condition::Recovering { done: 0, total: 0 },
        }
    }
}

impl World {
    fn route(config: &Configuration, from: MemberId, to: MemberId) -> Route {
        Route {
            cluster: config.cluster,
            epoch: config.epoch,
            from,
            to,
        }
    }

    /// Where a member runs.
    fn place(config: &Configuration, member: MemberId) -> Option<ProcessId> {
        config.host_of(member).map(|h| ProcessId::Server(h.server))
    }

    /// A server looks after its members; answers when to look again.
    pub fn server_acts(&mut self, id: ServerId) -> u64 {
        let Some(mut server) = self.servers.remove(&id) else {
            return 1_000_000;
        };
        let (me, now) = (ProcessId::Server(id), self.clock(ProcessId::Server(id)));
        for (&member, node) in &mut server.nodes {
            match node {
                Node::Primary(serving) => {
                    serving.primary.tick(now);
                    self.replicate(me, serving, now);
                }
                Node::Fused(fused) => fused.tick(now),
                Node::Replacement(replacing) => self.ask_on(me, member, replacing, now),
            }
        }
        self.servers.insert(id, server);
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
            if !due && primary.acked(to) == Some(primary.applied()) {
                continue;
            }
            if let Some(message) = primary.replicate(to, BATCH_BYTES, now) {
                serving.sent.insert(to, (config.epoch, message.stable, now));
                self.send(me, place, Packet::Replicate(route, message));
            }
        }
    }

    fn ask_on(&mut self, me: ProcessId, id: MemberId, replacing: &mut Replacing, now: Time) {
        let config = Arc::clone(replacing.recovery.config());
        if replacing.answered_at == Time(0) {
            replacing.answered_at = now;
        }
        if replacing.done.is_none() && now.since(replacing.answered_at) >= STUCK {
            self.begin_anew(config, id, replacing);
            return;
        }
        let new = replacing.recovery.requests(now);
        replacing
            .asked
            .extend(new.into_iter().map(|(to, request)| (to, request, Time(0))));
        for (to, request, at) in &mut replacing.asked {
            if *at == Time(0) || now.since(*at) >= ASK_AGAIN {
                *at = now;
                if let Some(place) = World::place(&config, *to) {
                    let route = World::route(&config, id, *to);
                    self.send(me, place, Packet::Ask(route, request.clone()));
                }
            }
        }
    }

    fn begin_anew(&mut self, config: Arc<Configuration>, id: MemberId, replacing: &mut Replacing) {
        let attempts = replacing.attempts;
        let empty = Replacing::start(self, Arc::clone(&config), id, None);
        let Some(empty) = empty else { return };
        let mut before = std::mem::replace(replacing, empty);
        before.attempts = attempts;
        if let Some(next) = Replacing::start(self, config, id, Some(before)) {
            *replacing = next;
        }
    }

    /// A server hears something.
    pub fn server_hears(&mut self, id: ServerId, from: ProcessId, packet: Packet) {
        let Some(mut server) = self.servers.remove(&id) else {
            return;
        };
        let (me, now) = (ProcessId::Server(id), self.clock(ProcessId::Server(id)));
        self.hear(me, &mut server, from, packet, now);
        self.servers.insert(id, server);
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
                let answer = on_fused(server, route, |f| f.on_replicate(route, &message, now));
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
                if on_fused(server, route, |f| f.on_chunk(route, &chunk)).is_ok() {
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
                    Some(Node::Fused(f)) => f.on_recovery(route, &request, now),
                    _ => Err(not_here(server, route)),
                };
                self.send(me, from, Packet::Answer(route, request, answer));
            }
            Packet::Ack(route, Err(refusal)) => self.settle(me, server, from, route, refusal),
            Packet::Answer(route, request, answer) => {
                self.on_answer(me, server, from, route, &request, answer, now);
            }
            Packet::Request {
                member,
                open,
                number,
                request,
            } => {
                self.execute(me, server, (from, number), member, open, &request, now);
            }
            Packet::Report(..) | Packet::Reply(..) | Packet::WhoIs(_) | Packet::Is(_) => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a message taken apart")]
    fn execute(
        &mut self,
        me: ProcessId,
        server: &mut Server,
        (client, number): (ProcessId, u64),
        member: MemberId,
        open: Option<SessionId>,
        request: &ClientRequest,
        now: Time,
    ) {
        let Some(Node::Primary(serving)) = server.nodes.get_mut(&member) else {
            self.send(me, client, Packet::Reply(number, Answer::Refused));
            return;
        };
        let primary = &mut serving.primary;
        if let Some(session) = open.filter(|_| !primary.is_suspended()) {
            primary.open_session(session);
            let pages = primary.structure().snapshot();
            self.truth.changed(member, primary.applied(), pages);
        }
        let before = primary.applied();
        let submitted = primary.submit(request, now);
        let applied = primary.applied();
        let Submitted::Done { result, after } = submitted else {
            self.stats.unleased += u64::from(submitted == Submitted::NoLease);
            self.send(me, client, Packet::Reply(number, Answer::Refused));
            return;
        };
        let seq = match request.id {
            None => {
                checks::leases::on_read(self, primary.index(), member);
                after
            }
            Some(id) => {
                if applied > before {
                    let history = self.truth.histories.entry(member).or_default();
                    history.insert(applied, (id, request.op.clone()));
                    self.truth
                        .changed(member, applied, serving.primary.structure().snapshot());
                }
                let seq = self.truth.seq_of(member, id);
                seq.expect("invariant 4: the record of an execution that never was")
            }
        };
        serving.waiting.push(Held1 {
            client,
            number,
            result,
            after,
            seq,
        });
        if self.rng.permille(500) {
            self.replicate(me, serving, now);
        }
        self.answer(me, serving);
    }

    /// Answers go out when the stable mark has come to what they depend on (rule 11).
    fn answer(&mut self, me: ProcessId, serving: &mut Serving) {
        let stable = serving.primary.stable();
        let (config, index) = (serving.primary.config(), serving.primary.index());
        let (epoch, member) = (config.epoch, serving.primary.id());
        if serving.primary.is_suspended() {
            return;
        }
        let (ready, waiting) = std::mem::take(&mut serving.waiting)
            .into_iter()
            .partition(|held| stable >= held.after);
        serving.waiting = waiting;
        for held in ready {
            checks::one_primary::on_answer(self, epoch, index, member);
            let answer = Answer::Done(held.result, held.seq);
            self.send(me, held.client, Packet::Reply(held.number, answer));
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
            reports.push(match node {
                Node::Primary(s) => {
                    let condition = if s.primary.is_suspended() {
                        Condition::Suspended
                    } else {
                        Condition::Serving
                    };
                    MemberReport {
                        complaints: s.primary.complaints(now),
                        ..report(member, condition)
                    }
                }
                Node::Fused(f) => MemberReport {
                    leases_over: f.leases_over(now),
                    ..report(member, f.condition())
                },
                Node::Replacement(r) => report(member, r.condition()),
            });
        }
        reports.extend(
            server
                .missing
                .iter()
                .map(|&m| report(m, Condition::Missing)),
        );
        Packet::Report(id, Some(config.epoch), reports)
    }

    /// The side behind adopts the other's configuration (rule 8).
    fn settle(
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

    #[expect(clippy::too_many_arguments, reason = "a message taken apart")]
    fn on_answer(
        &mut self,
        me: ProcessId,
        server: &mut Server,
        from: ProcessId,
        route: Route,
        request: &RecoveryRequest,
        answer: Result<RecoveryReply, Refusal>,
        now: Time,
    ) {
        let Some(Node::Replacement(replacing)) = server.nodes.get_mut(&route.from) else {
            return;
        };
        if replacing.recovery.config().epoch != route.epoch {
            return;
        }
        let mut asked = replacing.asked.iter();
        let Some(asked) = asked.position(|(to, q, _)| *to == route.to && q == request) else {
            return;
        };
        match answer {
            Ok(reply) => {
                replacing.asked.swap_remove(asked);
                replacing.answered_at = now;
                let taken = replacing.recovery.on_reply(route.to, request, reply, now);
                taken.expect("members answer what was asked");
                match replacing.recovery.take_result() {
                    Some(Recovered::Image { seq, decoder }) => {
                        let expected = replacing.recovery.expected();
                        let pages = decoder.finish();
                        checks::images::on_decoded(self, expected.index, seq, &pages);
                        let image = Image::rebuild(seq, pages, expected);
                        replacing.image = Some(image.expect("invariant 2: not a structure"));
                        replacing.done = Some(seq);
                    }
                    Some(Recovered::Kept) => {
                        replacing.done = replacing.image.as_ref().map(Image::seq);
                    }
                    None => {}
                }
            }
            Err(Refusal::NotThere) => {
                let config = Arc::clone(replacing.recovery.config());
                self.begin_anew(config, route.from, replacing);
            }
            Err(refusal) => self.settle(me, server, from, route, refusal),
        }
    }

    fn adopt(&mut self, me: ProcessId, server: &mut Server, config: Arc<Configuration>) {
        let ProcessId::Server(id) = me else { return };
        match &server.config {
            None if !config.servers().contains(&id) => return,
            Some(known) if known.contradicts(&config) => {
                panic!("invariant 5: epoch {} has two contents", config.epoch)
            }
            Some(known) if known.epoch >= config.epoch => return,
            _ => {}
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
        let held = server.nodes.iter().map(|(&id, node)| (id, held(node)));
        let held = held.collect();
        for (member, action) in hosting::actions(&config, id, &held) {
            let before = server.nodes.remove(&member);
            match self.act(&config, member, before, action) {
                Some(node) => {
                    server.nodes.insert(member, node);
                }
                None if action != Action::Drop => server.missing.push(member),
                None => {}
            }
        }
    }

    fn act(
        &mut self,
        config: &Arc<Configuration>,
        member: MemberId,
        before: Option<Node>,
        action: Action,
    ) -> Option<Node> {
        let config = Arc::clone(config);
        match (before, action) {
            (Some(Node::Primary(mut s)), Action::Adopt) => {
                s.primary.adopt(config);
                Some(Node::Primary(s))
            }
            (Some(Node::Primary(mut s)), Action::Suspend) => {
                s.primary.suspend(config);
                Some(Node::Primary(s))
            }
            (Some(Node::Fused(mut f)), Action::Adopt) => {
                f.adopt(config);
                Some(Node::Fused(f))
            }
            (Some(Node::Replacement(r)), Action::Activate) => {
                let image = r.image?;
                self.stats.recoveries += 1;
                let primary = Primary::recovered(config, member, image);
                Some(self.serving(primary))
            }
            (Some(Node::Replacement(r)), Action::Restart) => {
                let started = Replacing::start(self, config, member, Some(*r))?;
                Some(Node::Replacement(Box::new(started)))
            }
            (None, Action::CreatePrimary) => {
                let primary = Primary::create(config, member);
                Some(self.serving(primary))
            }
            (None, Action::CreateFused) => {
                let code = self.code.clone();
                Some(Node::Fused(Box::new(Fused::create(config, member, code))))
            }
            (None, Action::StartReplacement) => {
                let started = Replacing::start(self, config, member, None)?;
                Some(Node::Replacement(Box::new(started)))
            }
            _ => None,
        }
    }

    fn serving(&mut self, mut primary: Primary) -> Node {
        primary.limit_chunks(CHUNK_BYTES);
        let pages = primary.structure().snapshot();
        self.truth.changed(primary.id(), primary.applied(), pages);
        Node::Primary(Serving {
            primary: Box::new(primary),
            waiting: Vec::new(),
            sent: BTreeMap::new(),
        })
    }
}

fn on_fused<T>(
    server: &mut Server,
    route: Route,
    act: impl FnOnce(&mut Fused) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    match server.nodes.get_mut(&route.to) {
        Some(Node::Fused(fused)) => act(fused),
        _ => Err(not_here(server, route)),
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
