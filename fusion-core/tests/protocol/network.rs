//! What is under way between members, and how it is answered.

use super::servers::{Node, Replacement};
use super::world::World;
use fusion_core::config::Configuration;
use fusion_core::id::*;
use fusion_core::message::*;
use fusion_core::recovery::{Image, Recovered};
use fusion_core::time::Time;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) enum Packet {
    Tell(ServerId, Arc<Configuration>),
    Replicate(Route, Replicate),
    Ack(Route, Result<Ack, Refusal>),
    Chunk(Route, Chunk),
    ChunkAck(Route, u32),
    Ask(Route, RecoveryRequest),
    Answer(Route, RecoveryRequest, Result<RecoveryReply, Refusal>),
}

impl World {
    pub(crate) fn post(&mut self, packet: Packet) {
        if self.network.len() < 400 {
            self.network.push(packet);
        }
    }

    pub(crate) fn deliver(&mut self) {
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
        let now = Time(self.now * 20_000);
        match packet {
            Packet::Tell(server, config) => self.adopt(server, config),
            Packet::Replicate(route, message) => {
                let answer = self.on_fused(route, |f| f.on_replicate(route, &message, now));
                self.post(Packet::Ack(route, answer));
            }
            Packet::Ack(route, Ok(ack)) => {
                if let Some(Node::Primary(p)) = self.node(route.from) {
                    p.on_ack(route, ack, now);
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
                    Some(Node::Primary(p)) => p.on_recovery(route, &request, now),
                    Some(Node::Fused(f)) => f.on_recovery(route, &request, now),
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

    /// The side behind adopts the other's configuration (rule 8).
    pub(crate) fn settle(&mut self, route: Route, refusal: Refusal) {
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

    pub(crate) fn pump_links(&mut self) {
        let now = Time(self.now * 20_000);
        let mut packets = Vec::new();
        for server in self.servers.values_mut() {
            for node in server.nodes.values_mut() {
                let Node::Primary(p) = node else { continue };
                for to in p.links().collect::<Vec<_>>() {
                    let config = p.config();
                    let route = Route {
                        cluster: config.cluster,
                        epoch: config.epoch,
                        from: p.id(),
                        to,
                    };
                    packets.extend(
                        p.replicate(to, 300, now)
                            .map(|r| Packet::Replicate(route, r)),
                    );
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

    pub(crate) fn pump_recovery(&mut self) {
        self.now += 1;
        let now = Time(self.now * 20_000);
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
                let new = r.recovery.requests(now);
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

    pub(crate) fn on_answer(
        &mut self,
        route: Route,
        request: &RecoveryRequest,
        answer: Result<RecoveryReply, Refusal>,
    ) {
        self.now += 1;
        let now = Time(self.now * 20_000);
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
                    .on_reply(route.to, request, reply, now)
                    .expect("members answer what was asked");
                match r.recovery.take_result() {
                    Some(Recovered::Image { seq, decoder }) => {
                        let image = Image::rebuild(seq, decoder.finish(), r.recovery.expected());
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
}
