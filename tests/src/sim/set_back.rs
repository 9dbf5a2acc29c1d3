//! Servers whose memory is set back in time, as the restored snapshot of a machine does (PROTOCOL rule 63). Its clock goes on,
//! its connections are gone, and the leases of the snapshot are over: more than that no member can notice (rules 1, 58).

use super::process::ProcessId;
use super::server::{Node, Server, Serving};
use super::world::{Event, World};
use fusion_core::id::{MemberId, PrimaryIndex, Seq, ServerId};
use fusion_core::message::{Condition, Replicate, Route};
use fusion_core::time::Time;

impl World {
    /// A snapshot of a server is taken, to be restored when its leases are over; answers until when nothing else may
    /// strike. `None`: it is making a member, of which there is no snapshot.
    pub(super) fn snapshot_of(&mut self, victim: ServerId) -> Option<u64> {
        let server = self.servers.get(&victim)?;
        let mut nodes = std::collections::BTreeMap::new();
        for (&id, node) in &server.nodes {
            let copy = match node {
                Node::Primary(serving) => Node::Primary(serving.clone()),
                Node::Fused(fused) => Node::Fused(fused.clone()),
                Node::Replacement(_) | Node::Heir(_) | Node::Successor(_) => return None,
            };
            nodes.insert(id, copy);
        }
        let snapshot = Server {
            config: server.config.clone(),
            nodes,
            missing: server.missing.clone(),
        };
        self.snapshots.insert(victim, snapshot);
        // Clocks differ by less than a tenth.
        let lease = self.timing.lease_primary().as_micros() as u64 * 12 / 10;
        let age = lease + self.rng.below(400_000);
        self.at(age, Event::SetBack(victim));
        let suspect = self.timing.suspect_after().as_micros() as u64;
        Some(self.now + age + 4 * suspect)
    }

    /// The snapshot is restored.
    pub(super) fn set_back(&mut self, victim: ServerId) {
        let Some(mut snapshot) = self.snapshots.remove(&victim) else {
            return;
        };
        // To be set back is to be lost: with fewer codes than that takes, what it forgot nobody knows.
        let is_borne = self.is_bearable(victim);
        if self.quiet || !self.servers.contains_key(&victim) || !is_borne {
            return;
        }
        self.stats.memories_set_back += 1;
        super::told(self.now, || format!("the memory of {victim} is set back"));
        let me = ProcessId::Server(victim);
        self.drop_messages(|from, to| from == me || to == me);
        for (&id, node) in &mut snapshot.nodes {
            match node {
                Node::Primary(serving) => {
                    serving.set_back = Some(serving.primary.applied());
                }
                _ => self.forgets(id),
            }
        }
        self.servers.insert(victim, snapshot);
        self.went_back.insert(victim);
    }

    /// Whether a member is gone with the memory of its server: it was not there yet in the snapshot, or knows that it went
    /// back.
    pub(super) fn went_back(&self, server: ServerId, member: MemberId) -> bool {
        let nodes = self.servers.get(&server).map(|s| &s.nodes);
        let is_gone = nodes.is_none_or(|nodes| match nodes.get(&member) {
            Some(Node::Primary(serving)) => serving.primary.condition() == Condition::Missing,
            Some(Node::Fused(fused)) => fused.condition() == Condition::Missing,
            Some(_) => false,
            None => true,
        });
        self.went_back.contains(&server) && is_gone
    }

    /// A code lacks what it had, until it is told and leaves: that is no fault of the others.
    fn forgets(&mut self, code: MemberId) {
        for (j, seat) in self.store.config.primaries.iter().enumerate() {
            let now = self.clock(ProcessId::Server(seat.host.server));
            let told = (seat.id, now);
            self.forgetful.insert((code, PrimaryIndex(j as u16)), told);
        }
    }

    /// Whether a code was set back, and has not heard of every primary since.
    pub(super) fn is_forgetful(&self, code: MemberId) -> bool {
        let mut forgetful = self.forgetful.keys();
        forgetful.any(|(id, _)| *id == code)
    }

    /// A code has taken a message of a primary, which was sent since it was set back: it lacks nothing, or should have said
    /// so (rule 63).
    pub(super) fn takes(&mut self, route: Route, message: &Replicate) {
        let key = (route.to, message.index);
        let before = self.forgetful.get(&key);
        let is_current = route.epoch == self.store.config.epoch;
        let is_since = |&(id, at): &(MemberId, Time)| match id == route.from {
            true => message.sent_at > at,
            false => is_current,
        };
        if before.is_some_and(is_since) {
            self.forgetful.remove(&key);
        }
    }

    /// A primary is about to make a change: is it one that has forgotten others?
    pub(super) fn look_back(&mut self, serving: &mut Serving) {
        let primary = &serving.primary;
        // Once it has made another change, as many as others know are not theirs.
        let is_as_it_was = serving.set_back == Some(primary.applied());
        if is_as_it_was
            && !primary.is_suspended()
            && !self.diverges(primary.index(), primary.id(), primary.applied())
        {
            serving.set_back = None;
        }
    }

    /// Whether what a primary that was set back makes now is another change than one that somebody has. If nobody knows of
    /// later ones than it does, they never were.
    fn diverges(&mut self, index: PrimaryIndex, member: MemberId, applied: Seq) -> bool {
        let config = &self.store.config;
        let fused = self.servers.values().flat_map(|s| &s.nodes);
        let known = fused.filter_map(|(&id, node)| match node {
            Node::Fused(fused) if config.fused_seat(id).is_some() => {
                fused.vector().get(index.index()).copied()
            }
            _ => None,
        });
        if known.max().is_some_and(|v| v > applied) {
            return true;
        }
        let upto = |seq: &Seq| *seq <= applied;
        if let Some(history) = self.truth.histories.get_mut(&member) {
            history.retain(|seq, _| upto(seq));
        }
        if let Some(states) = self.truth.states.get_mut(&member) {
            states.retain(|seq, _| upto(seq));
        }
        false
    }
}
