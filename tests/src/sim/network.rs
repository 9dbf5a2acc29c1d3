//! What is under way between processes: delayed, reordered, lost, repeated, cut off one way or both.

use super::client::Answer;
use super::process::ProcessId;
use super::world::{Event, World};
use fusion_core::config::Configuration;
use fusion_core::id::{Epoch, MemberId, PrimaryIndex, Seq, ServerId, SessionId};
use fusion_core::message::{
    Ack, Chunk, ClientRequest, MemberReport, Pages, RecoveryReply, RecoveryRequest, Refusal,
    Replicate, Route,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Messages below this length do not wait for longer ones.
const SHORT_BYTES: u64 = 4096;

/// A message.
#[derive(Clone, Debug)]
pub enum Packet {
    /// A configuration, from a coordinator or a peer.
    Tell(Arc<Configuration>),
    /// What a server says of its members.
    Report(ServerId, Option<(Epoch, u64)>, Vec<MemberReport>),
    /// To a fused member.
    Replicate(Route, Replicate),
    /// Its answer.
    Ack(Route, Result<Ack, Refusal>),
    /// To a learner.
    Chunk(Route, Chunk),
    /// Its answer.
    ChunkAck(Route, u32),
    /// Of a replacement.
    Ask(Route, RecoveryRequest),
    /// The answer to it.
    Answer(Route, RecoveryRequest, Result<RecoveryReply, Refusal>),
    /// Of a client to a primary.
    Request {
        /// Whom it takes for the primary.
        member: MemberId,
        /// The client's number of the request.
        number: u64,
        /// What.
        request: ClientRequest,
    },
    /// The answer to it.
    Reply(u64, Answer),
    /// Of a client to a primary: open this session.
    Open(MemberId, SessionId),
    /// It is open, as this incarnation.
    Opened(SessionId, Seq),
    /// Of a client to a primary: close this incarnation of a session.
    Close(MemberId, SessionId, Seq),
    /// Of a client to a coordinator: who is the primary?
    WhoIs(PrimaryIndex),
    /// The answer to it.
    Is(Arc<Configuration>),
}

/// Which servers never reach another one, from its arrival on: to them it has a wrong address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// No server does, and it reaches none either.
    Alone,
    /// No server does, but it reaches them.
    ByAll,
    /// Those with an odd id do not, or those with an even one.
    BySome {
        /// What the id leaves when it is divided by two.
        parity: u64,
    },
}

/// The network.
#[derive(Debug, Default)]
pub struct Network {
    /// From whom to whom nothing goes.
    pub cut: BTreeSet<(ProcessId, ProcessId)>,
    /// Servers that others do not reach, whatever is mended.
    pub unreached: BTreeMap<ServerId, Unreached>,
    /// Whose messages come late, both ways, and by how many microseconds at most.
    pub grey: BTreeMap<ProcessId, u64>,
    /// How many bytes a millisecond go each way between two servers, if that is bounded.
    pub bandwidth: Option<u64>,
    /// Until when each way between two servers is busy with what was sent.
    pub(super) busy: BTreeMap<(ProcessId, ProcessId), u64>,
    /// Of 1000 messages so many are lost.
    pub loss: u64,
    /// Of 1000 messages so many come twice.
    pub repeat: u64,
    /// The second copy may come so much later, in microseconds: long after its sender has gone on.
    pub late: u64,
}

impl Network {
    /// Nothing goes wrong any more but for wrong addresses: they are as they are.
    pub fn calm(&mut self) {
        *self = Network {
            unreached: std::mem::take(&mut self.unreached),
            ..Network::default()
        };
    }

    /// These go through again.
    pub fn mend(&mut self, cuts: &[(ProcessId, ProcessId)]) {
        for cut in cuts {
            self.cut.remove(cut);
        }
    }

    /// Whether some servers never reach this one.
    #[must_use]
    pub fn has_wrong_address(&self, server: ServerId) -> bool {
        self.unreached.contains_key(&server)
    }

    /// Whether what was sent before is not through yet.
    #[must_use]
    pub fn is_busy(&self, from: ProcessId, to: ProcessId, now: u64) -> bool {
        self.busy.get(&(from, to)).is_some_and(|&until| until > now)
    }

    /// How long a message takes to get through behind those before it. Short ones go beside them, as those of other
    /// streams do.
    fn takes(&mut self, from: ProcessId, to: ProcessId, packet: &Packet, now: u64) -> u64 {
        let (Some(bandwidth), ProcessId::Server(_), ProcessId::Server(_)) =
            (self.bandwidth, from, to)
        else {
            return 0;
        };
        let bytes = packet.bytes();
        let alone = bytes * 1000 / bandwidth;
        if bytes < SHORT_BYTES {
            return alone;
        }
        let until = self.busy.entry((from, to)).or_default();
        *until = now.max(*until) + alone;
        *until - now
    }

    /// Who asks reaches whom he asks; answers go back on the same connection.
    fn is_cut(&self, from: ProcessId, to: ProcessId, packet: &Packet) -> bool {
        if self.cut.contains(&(from, to)) {
            return true;
        }
        let (ProcessId::Server(from), ProcessId::Server(to)) = (from, to) else {
            return false;
        };
        let (asks, asked) = match packet {
            Packet::Ack(..) | Packet::ChunkAck(..) | Packet::Answer(..) => (to, from),
            _ => (from, to),
        };
        let alone = |server| self.unreached.get(server) == Some(&Unreached::Alone);
        let missed = match self.unreached.get(&asked) {
            None | Some(Unreached::Alone) => false,
            Some(Unreached::ByAll) => true,
            Some(Unreached::BySome { parity }) => asks.0 % 2 == *parity,
        };
        missed || alone(&asked) || alone(&asks)
    }
}

impl Packet {
    /// About how long it is.
    fn bytes(&self) -> u64 {
        let pages = |pages: &Pages| {
            pages
                .pages
                .iter()
                .map(|(_, page)| page.len())
                .sum::<usize>()
        };
        let long = match self {
            Packet::Replicate(_, message) => message.changes.bytes.len(),
            Packet::Chunk(_, chunk) => pages(&chunk.pages),
            Packet::Answer(_, _, Ok(reply)) => match reply {
                RecoveryReply::SnapshotPages { pages: some } => pages(some),
                RecoveryReply::Log { changes } | RecoveryReply::SnapshotChanges { changes } => {
                    changes.bytes.len()
                }
                _ => 0,
            },
            Packet::Ask(_, RecoveryRequest::RollForward { changes, .. }) => changes.bytes.len(),
            _ => 0,
        };
        100 + long as u64
    }
}

impl World {
    /// Whether something long is under way between a process and a member, either way.
    pub(super) fn moves_between(
        &self,
        me: ProcessId,
        config: &Configuration,
        with: MemberId,
    ) -> bool {
        let busy = |from, to| self.network.is_busy(from, to, self.now);
        World::place(config, with).is_some_and(|there| busy(there, me) || busy(me, there))
    }

    /// Sends; whether it comes is the network's business.
    pub fn send(&mut self, from: ProcessId, to: ProcessId, packet: Packet) {
        if self.network.is_cut(from, to, &packet) {
            self.stats.cut_off += 1;
            return;
        }
        if self.rng.permille(self.network.loss) {
            self.stats.dropped += 1;
            return;
        }
        let grey = self.network.grey.get(&from).max(self.network.grey.get(&to));
        let grey = grey.copied();
        let queued = self.network.takes(from, to, &packet, self.now);
        let copies = 1 + u64::from(self.rng.permille(self.network.repeat));
        let again = (copies > 1).then(|| Box::new(packet.clone()));
        let packets = std::iter::once(Box::new(packet)).chain(again);
        for (copy, packet) in packets.enumerate() {
            let late = copy > 0 && self.network.late > 0 && self.rng.permille(500);
            let mut delay = match self.rng.below(1000) {
                0..=939 => self.rng.range(100, 2_000),
                940..=994 => self.rng.range(2_000, 30_000),
                _ => self.rng.range(30_000, 300_000),
            };
            if late {
                delay = self.rng.range(delay, self.network.late.max(delay + 1));
            }
            delay += queued;
            if let Some(most) = grey {
                delay += self.rng.below(most);
            }
            self.at(delay, Event::Deliver { from, to, packet });
        }
    }
}
