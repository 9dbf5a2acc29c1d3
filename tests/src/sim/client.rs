//! Clients: each asks one thing at a time, again and again until it is answered. A reader looks for another primary only
//! when nobody has answered for long: so it is the one that a deposed primary could fool.
//!
//! Writers close their session now and then, and open it again under the same id, which real clients never do: only its
//! incarnation tells the two apart. Sessions of others come and are never closed, so that some are forgotten.

use super::moods::Mood;
use super::network::Packet;
use super::process::ProcessId;
use super::world::World;
use bytes::Bytes;
use fusion_core::config::{Configuration, PrimaryState};
use fusion_core::history::{Operation, Outcome};
use fusion_core::id::{Epoch, MemberId, PrimaryIndex, RequestId, Seq, ServerId, SessionId};
use fusion_core::message::ClientRequest;
use fusion_core::op::{Kind, Op, OpResult};
use fusion_core::time::Time;

/// What a server answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Executed; the checker is told after which change, too.
    Done(OpResult, Seq),
    /// Not executed; try again, here or elsewhere.
    Refused,
    /// Not executed now; whether it was before, nobody can tell any more.
    SessionUnknown,
}

#[derive(Clone, Debug)]
struct Waiting {
    request: ClientRequest,
    /// What the client could know when it began to ask.
    floor: Seq,
    sent_at: Time,
    /// True time when it began to ask.
    asked_at: u64,
    /// It was refused: ask again soon.
    again: bool,
    /// A change that was sent under an incarnation of its session: it is sent under no other one.
    named: bool,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    index: PrimaryIndex,
    reads: bool,
    session: SessionId,
    /// Its own lane of the session that the writers of a primary share.
    slot: u16,
    /// What the session is open as.
    incarnation: Option<Seq>,
    number: u64,
    route: (Epoch, MemberId, ServerId),
    waiting: Option<Waiting>,
}

impl Client {
    /// A client of one primary.
    #[must_use]
    pub fn new(id: u64, index: PrimaryIndex, reads: bool, config: &Configuration) -> Client {
        let seat = &config.primaries[index.index()];
        Client {
            index,
            reads,
            session: SessionId(1000 + u128::from(index.0)),
            slot: id as u16,
            incarnation: None,
            number: 0,
            route: (config.epoch, seat.id, seat.host.server),
            waiting: None,
        }
    }

    /// These primaries begin empty: what it knew of them counts no more, and its session is a new one.
    pub fn lose(&mut self, lost: &[PrimaryIndex]) {
        if lost.contains(&self.index) {
            self.incarnation = None;
            self.waiting = None;
            // What is under way to it counts no more.
            self.number += 1000;
        }
    }

    /// Whether it waits for nothing.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_none()
    }
}

impl World {
    /// A client looks what to do; answers when to look again.
    pub fn client_acts(&mut self, id: u64) -> u64 {
        let now = self.clock(ProcessId::Client(id));
        let client = &self.clients[id as usize];
        let (quiet, reads) = (self.quiet, client.reads);
        // Readers are patient: longer than it takes to replace a primary.
        let patience = self.timing.suspect_after() * if reads { 4 } else { 1 };
        match &client.waiting {
            None if quiet => {}
            None => {
                if !reads {
                    self.passes_by(id);
                }
                self.ask_something(id, now);
            }
            Some(waiting) if waiting.again || now.since(waiting.sent_at) >= patience => {
                let lost = now.since(waiting.sent_at) >= patience;
                if lost && self.loses_patience(id) {
                    return self.rng.range(3_000, 15_000);
                }
                if lost || !reads {
                    let whom = ProcessId::Coordinator(self.rng.below(2));
                    let index = self.clients[id as usize].index;
                    self.send(ProcessId::Client(id), whom, Packet::WhoIs(index));
                }
                self.ask(id, now, lost);
            }
            Some(_) => {}
        }
        self.rng.range(3_000, 15_000)
    }

    fn ask_something(&mut self, id: u64, now: Time) {
        let reads = self.clients[id as usize].reads;
        let op = if reads {
            self.question()
        } else {
            self.change()
        };
        let client = &mut self.clients[id as usize];
        client.number += 1;
        let request_id = RequestId {
            session: client.session,
            incarnation: Seq(0),
            slot: client.slot,
            number: client.number,
        };
        let line = &self.truth.lines[client.index.index()];
        client.waiting = Some(Waiting {
            request: ClientRequest {
                id: (!reads).then_some(request_id),
                op,
                follows: false,
            },
            floor: line.floor,
            asked_at: self.now,
            sent_at: now,
            again: false,
            named: false,
        });
        self.ask(id, now, true);
    }

    fn ask(&mut self, id: u64, now: Time, anew: bool) {
        let client = &mut self.clients[id as usize];
        let Some(waiting) = &mut client.waiting else {
            return;
        };
        waiting.again = false;
        if anew {
            waiting.sent_at = now;
        }
        let member = client.route.1;
        let packet = match (&mut waiting.request.id, client.incarnation) {
            (Some(_), None) if !waiting.named => {
                // Soon again, if it is not answered.
                waiting.again = true;
                Packet::Open(member, client.session)
            }
            (id, incarnation) => {
                if let (Some(id), Some(incarnation), false) = (id, incarnation, waiting.named) {
                    id.incarnation = incarnation;
                    waiting.named = true;
                }
                Packet::Request {
                    member,
                    number: client.number,
                    request: waiting.request.clone(),
                }
            }
        };
        let to = ProcessId::Server(client.route.2);
        self.send(ProcessId::Client(id), to, packet);
    }

    /// A client hears something.
    pub fn client_hears(&mut self, id: u64, packet: Packet) {
        let client = &mut self.clients[id as usize];
        match packet {
            Packet::Is(config) => {
                let seat = &config.primaries[client.index.index()];
                if config.epoch > client.route.0 && seat.state == PrimaryState::Active {
                    client.route = (config.epoch, seat.id, seat.host.server);
                }
            }
            Packet::Reply(number, answer) if number == client.number => {
                let Some(waiting) = &mut client.waiting else {
                    return;
                };
                match answer {
                    Answer::Refused => waiting.again = true,
                    Answer::Done(result, seq) => {
                        let waiting = waiting.clone();
                        client.waiting = None;
                        self.answered(id, waiting, result, seq);
                    }
                    Answer::SessionUnknown => {
                        let waiting = waiting.clone();
                        client.waiting = None;
                        client.incarnation = None;
                        self.stats.sessions_unknown += 1;
                        self.given_up(id, waiting);
                    }
                }
            }
            // Of a copy that was late it may be what was open before: then the session is unknown, and asked for again.
            Packet::Opened(session, incarnation) if session == client.session => {
                client.incarnation = Some(incarnation);
            }
            _ => {}
        }
    }

    /// A client that was not answered in time may give up and go on with the next number of its slot, or die: then another
    /// one comes, with a session of its own.
    fn loses_patience(&mut self, id: u64) -> bool {
        if !self.moods.has(Mood::Clients) || !self.rng.permille(400) {
            return false;
        }
        let dies = self.rng.permille(200);
        let session = SessionId(10_000 + u128::from(self.stats.client_crashes));
        let client = &mut self.clients[id as usize];
        let Some(waiting) = client.waiting.take() else {
            return false;
        };
        if dies {
            // Answers to the one before it are under way.
            client.number += 1000;
            if !client.reads {
                client.session = session;
                client.incarnation = None;
            }
            self.stats.client_crashes += 1;
        }
        self.stats.given_up += 1;
        self.given_up(id, waiting);
        true
    }

    /// Whether it was executed, the client will never know; the checkers look.
    fn given_up(&mut self, client: u64, waiting: Waiting) {
        let index = self.clients[client as usize].index;
        let Some(id) = waiting.request.id else {
            return;
        };
        let operation = Operation {
            client,
            op: waiting.request.op,
            invoked_us: waiting.asked_at,
            returned_us: self.now,
            outcome: Outcome::Unknown,
        };
        self.truth.lines[index.index()]
            .unknown
            .push((id, operation));
    }

    /// Closes its session, or opens one of somebody else, who is not heard of again.
    fn passes_by(&mut self, id: u64) {
        let chance = self.rng.below(1000);
        let stranger = SessionId(2000 + u128::from(self.rng.below(1000)));
        let client = &mut self.clients[id as usize];
        let (member, server) = (client.route.1, client.route.2);
        let packet = match (client.incarnation, chance) {
            (Some(_), 0..20) => {
                self.stats.sessions_closed += 1;
                let incarnation = client.incarnation.take().expect("it is open");
                Packet::Close(member, client.session, incarnation)
            }
            (_, 20..40) => Packet::Open(member, stranger),
            _ => return,
        };
        self.send(ProcessId::Client(id), ProcessId::Server(server), packet);
    }

    fn answered(&mut self, client: u64, waiting: Waiting, result: OpResult, seq: Seq) {
        let index = self.clients[client as usize].index;
        let request = waiting.request;
        super::checks::linearizable::on_answer(index, &request, waiting.floor, seq);
        self.watch.served(index, request.id.is_none(), self.now);
        let line = &mut self.truth.lines[index.index()];
        line.floor = line.floor.max(seq);
        match request.id {
            Some(id) => {
                self.stats.writes += 1;
                line.writes.push((id, result.clone()));
            }
            None => self.stats.reads += 1,
        }
        line.told.push(Operation {
            client,
            op: request.op,
            invoked_us: waiting.asked_at,
            returned_us: self.now,
            outcome: Outcome::Answered { result, seq },
        });
    }

    fn change(&mut self) -> Op {
        let long = self.moods.has(Mood::SlowLinks) && self.rng.permille(10);
        let len = if long {
            self.stats.long_values += 1;
            self.rng.range(20_000, 100_000) as usize
        } else {
            self.rng.pick(&[0, 3, 40, 90, 700, 1500])
        };
        let stamp = self.now.to_le_bytes();
        let mut value = stamp.repeat(len.div_ceil(stamp.len()));
        value.truncate(len);
        let value = Bytes::from(value);
        let key = Bytes::from(vec![self.rng.below(9) as u8]);
        let index = self.rng.below(6);
        match (self.store.config.kind, self.rng.below(4)) {
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

    fn question(&mut self) -> Op {
        let key = Bytes::from(vec![self.rng.below(9) as u8]);
        match (self.store.config.kind, self.rng.below(3)) {
            (_, 0) => Op::Len,
            (Kind::Map, _) => Op::Get { key },
            (Kind::Queue, _) => Op::Peek,
            (Kind::List, _) => Op::GetIndex {
                index: self.rng.below(3),
            },
        }
    }
}
