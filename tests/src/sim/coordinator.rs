//! Two coordinators that both act, and the store that they share (PROTOCOL rules 5, 7, 22).

use super::checks;
use super::moods::Mood;
use super::nemesis::COORDINATORS;
use super::network::Packet;
use super::process::ProcessId;
use super::server::Node;
use super::world::{Event, World};
use fusion_core::config::{Configuration, FusedSeat, PrimarySeat};
use fusion_core::detector::Detector;
use fusion_core::fault::{Fault, planted};
use fusion_core::id::{MemberId, PrimaryIndex, Row, ServerId};
use fusion_core::membership::{self, Plan, Reason, ServerView, What};
use fusion_core::time::{Time, Timing};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The configuration store: linearizable and durable.
#[derive(Debug)]
pub struct Store {
    /// What is stored.
    pub config: Arc<Configuration>,
    /// Servers that registered.
    pub registered: BTreeSet<ServerId>,
    /// Those that operators want empty.
    pub draining: BTreeSet<ServerId>,
    /// What it says while it is set back to an older content: whoever changes that goes on from what is over.
    pub set_back: Option<SetBack>,
    /// What it said before, the newest last; some of it.
    past: Vec<Arc<Configuration>>,
    /// Swaps that it will try at last.
    pub late: u64,
    next_server: u64,
}

/// An older content of the store.
#[derive(Debug)]
pub struct SetBack {
    config: Arc<Configuration>,
    /// Servers that were well when it took the store's place, and knew a later epoch.
    known_by: BTreeSet<ServerId>,
}

/// A compare-and-swap.
#[derive(Clone, Debug)]
pub struct Swap {
    /// The coordinator that asks for it.
    pub by: u64,
    /// Whether that could know, as it decided, that the store is set back.
    pub warned: bool,
    /// What is to be stored.
    pub next: Configuration,
    /// Why.
    pub reason: Reason,
    /// Codes that it leaves out because nobody has heard of them, or may have.
    pub unheard: Vec<(Row, MemberId)>,
}

impl Store {
    /// Holds the first configuration.
    #[must_use]
    pub fn new(config: Arc<Configuration>) -> Store {
        Store {
            config,
            registered: BTreeSet::new(),
            draining: BTreeSet::new(),
            set_back: None,
            past: Vec::new(),
            late: 0,
            next_server: 1,
        }
    }

    /// What whoever reads it is told.
    #[must_use]
    pub fn read(&self) -> Arc<Configuration> {
        Arc::clone(
            self.set_back
                .as_ref()
                .map_or(&self.config, |old| &old.config),
        )
    }

    /// Registers a server.
    pub fn take_server_id(&mut self) -> ServerId {
        let id = ServerId(self.next_server);
        self.next_server += 1;
        self.registered.insert(id);
        id
    }
}

/// What was asked of the store.
#[derive(Debug)]
enum Asked {
    Nothing,
    /// Compare-and-swap, not done yet.
    Swap(Box<Configuration>, Reason),
    /// The answer is on its way.
    Answer(Arc<Configuration>, bool),
    /// A read, not done yet.
    Read,
}

/// A coordinator.
#[derive(Debug)]
pub struct Coordinator {
    /// What it has read last.
    pub(super) config: Arc<Configuration>,
    /// Its own, by which it looks and suspects.
    timing: Timing,
    pub(super) detector: Detector,
    asked: Asked,
    told_at: Time,
    read_at: Time,
    /// When it asked last for a swap on a store that is set back, it could know.
    warned: bool,
    /// Since it was started again: the servers that still look for it, and when they find it.
    sought: BTreeMap<ServerId, u64>,
}

impl Coordinator {
    /// It has just read the store, and heard of nobody.
    #[must_use]
    pub fn new(config: Arc<Configuration>, timing: Timing) -> Coordinator {
        let mut detector = Detector::new(&timing, 0);
        detector.installed(&config, 0);
        Coordinator {
            config,
            timing,
            detector,
            asked: Asked::Nothing,
            told_at: Time(0),
            read_at: Time(0),
            warned: false,
            sought: BTreeMap::new(),
        }
    }

    /// These servers have yet to find it, each at its moment.
    #[must_use]
    pub fn found_by(self, sought: BTreeMap<ServerId, u64>) -> Coordinator {
        Coordinator { sought, ..self }
    }
}

/// Who is where: a configuration in a line.
fn brief(config: &Configuration) -> String {
    let primary = |s: &PrimarySeat| {
        let former = s.former.as_ref().map(|f| (f.id.0, f.host.server.0));
        format!(
            "{:?} {} at {} former {former:?}",
            s.state, s.id, s.host.server
        )
    };
    let fused =
        |s: &FusedSeat| format!("row {} {:?} {} at {}", s.row, s.state, s.id, s.host.server);
    let primaries = config.primaries.iter().map(primary);
    let all: Vec<_> = primaries.chain(config.fused.iter().map(fused)).collect();
    all.join(", ")
}

fn millis(time: Time) -> u64 {
    time.0 / 1000
}

impl World {
    /// A coordinator looks at its evidence; answers when to look again.
    pub fn coordinator_acts(&mut self, id: u64) -> u64 {
        let me = ProcessId::Coordinator(id);
        let now = self.clock(me);
        let coordinator = &mut self.coordinators[id as usize];
        let heartbeat = coordinator.timing.heartbeat();
        let next = heartbeat.as_micros() as u64 / 2;
        for &server in &self.store.registered {
            coordinator.detector.add_server(server);
        }
        coordinator.detector.tick(millis(now));
        if now.since(coordinator.told_at) >= heartbeat {
            coordinator.told_at = now;
            self.tell_all(id);
        }
        let coordinator = &mut self.coordinators[id as usize];
        if !matches!(coordinator.asked, Asked::Nothing) {
            return next;
        }
        let late = now.since(coordinator.read_at) >= 5 * heartbeat;
        let asked = if late || coordinator.detector.is_behind(&coordinator.config) {
            coordinator.read_at = now;
            Some(Asked::Read)
        } else {
            let plan = self.plan(id);
            let coordinator = &self.coordinators[id as usize];
            let guarded = coordinator.detector.guard(&coordinator.config);
            match plan {
                Plan::Change(next, reason) if guarded.is_ok() => Some(Asked::Swap(next, reason)),
                _ => None,
            }
        };
        if let Some(asked) = asked {
            self.coordinators[id as usize].warned = self.is_warned(id);
            self.coordinators[id as usize].asked = asked;
            let delay = self.store_delay();
            self.at(delay, Event::Stored(id));
        }
        next
    }

    /// Whether it hears, as it decides, of a server that knows a later epoch than a store that is set back. Of those that
    /// are yet to find it, for 2 T_s and longer on slow ways, it cannot know (rules 22, 60).
    pub(super) fn is_warned(&self, id: u64) -> bool {
        let detector = &self.coordinators[id as usize].detector;
        let heard = |s: &ServerId| {
            let seen = detector.seen(*s);
            seen.is_some_and(|s| s.last_heard_ms > 0 && s.suspected_since_ms.is_none())
        };
        let set_back = self.store.set_back.as_ref();
        set_back.is_some_and(|old| old.known_by.iter().any(heard))
    }

    fn store_delay(&mut self) -> u64 {
        if self.rng.permille(50) {
            self.rng.range(10_000, 200_000)
        } else {
            self.rng.range(200, 4_000)
        }
    }

    pub(super) fn views(&self, id: u64) -> BTreeMap<ServerId, ServerView> {
        let coordinator = &self.coordinators[id as usize];
        let view = |(server, seen): (ServerId, fusion_core::detector::Seen)| {
            let view = ServerView {
                address: String::new(),
                last_heard_ms: seen.last_heard_ms,
                suspected_since_ms: seen.suspected_since_ms,
                load: 0,
                draining: self.store.draining.contains(&server),
                ..ServerView::default()
            };
            (server, view)
        };
        coordinator.detector.servers().map(view).collect()
    }

    /// What a coordinator would do now.
    #[must_use]
    pub fn plan(&mut self, id: u64) -> Plan {
        let nonce = self.rng.below(u64::MAX);
        let coordinator = &self.coordinators[id as usize];
        let config = &coordinator.config;
        let evidence = coordinator.detector.evidence(config, self.views(id));
        let plan = membership::plan(config, &evidence, nonce);
        if matches!(plan, Plan::Wait(_)) {
            super::told(self.now, || format!("coordinator {id} {plan:?}"));
        }
        if self.moods.has(Mood::Proof) {
            checks::beyond_f::on_plan(config, &evidence, &plan);
        }
        plan
    }

    fn tell_all(&mut self, id: u64) {
        let config = Arc::clone(&self.coordinators[id as usize].config);
        let sought = &self.coordinators[id as usize].sought;
        let found = |s: &ServerId| sought.get(s).is_none_or(|&at| at <= self.now);
        for server in self
            .store
            .registered
            .iter()
            .copied()
            .filter(found)
            .collect::<Vec<_>>()
        {
            let packet = Packet::Tell(Arc::clone(&config));
            self.send(
                ProcessId::Coordinator(id),
                ProcessId::Server(server),
                packet,
            );
        }
    }

    /// The store does what was asked, or its answer comes back.
    pub fn stored(&mut self, id: u64) {
        let now = millis(self.clock(ProcessId::Coordinator(id)));
        let asked = std::mem::replace(&mut self.coordinators[id as usize].asked, Asked::Nothing);
        let answer = match asked {
            Asked::Nothing => return,
            Asked::Read => (self.store.read(), true),
            Asked::Swap(next, reason) => {
                let unheard = self.unheard_in(id, &next);
                let next = *next;
                let swap = Swap {
                    by: id,
                    warned: self.coordinators[id as usize].warned,
                    next,
                    reason,
                    unheard,
                };
                let Some(swap) = self.mishap(id, swap) else {
                    return;
                };
                let swapped = self.swap(swap);
                (self.store.read(), swapped)
            }
            Asked::Answer(config, swapped) => {
                let coordinator = &mut self.coordinators[id as usize];
                if !swapped {
                    coordinator.detector.conflict(config.cluster);
                }
                if config.epoch > coordinator.config.epoch {
                    coordinator.detector.installed(&config, now);
                    coordinator.config = config;
                    self.tell_all(id);
                }
                return;
            }
        };
        self.coordinators[id as usize].asked = Asked::Answer(answer.0, answer.1);
        let delay = self.store_delay();
        self.at(delay, Event::Stored(id));
    }

    /// What may become of a compare-and-swap before its coordinator hears of it: nobody tells it, and it reads again.
    fn mishap(&mut self, id: u64, swap: Swap) -> Option<Swap> {
        if !self.moods.has(Mood::Stores) || self.quiet || !self.rng.permille(250) {
            return Some(swap);
        }
        match self.rng.below(3) {
            0 => {}
            1 => {
                self.swap(swap);
            }
            _ => {
                self.stats.late_swaps += 1;
                self.store.late += 1;
                let delay = self.rng.range(20_000, 2_000_000);
                self.at(delay, Event::LateSwap(Box::new(swap)));
            }
        }
        self.stats.answers_lost += 1;
        self.coordinators[id as usize].asked = Asked::Read;
        let delay = self.store_delay();
        self.at(delay, Event::Stored(id));
        None
    }

    /// The store compares, and swaps if it may.
    pub fn swap(&mut self, swap: Swap) -> bool {
        let Swap {
            by,
            warned,
            next,
            reason,
            unheard,
        } = swap;
        let swaps = self.store.read().epoch.next() == next.epoch || planted(Fault::BlindSwap);
        if !swaps {
            self.stats.conflicts += 1;
            return false;
        }
        if let Some(old) = &self.store.set_back
            && !planted(Fault::BlindSwap)
        {
            let hears = self.coordinators_well()[by as usize] && warned;
            assert!(
                !hears || !old.known_by.iter().any(|&id| self.is_well(id)),
                "rule 39: {reason} is decided on a store that is behind, at epoch {}",
                next.epoch
            );
            // Whoever knows better was not heard: it cannot be known, then (rule 60). The store that is put back says no.
            self.stats.conflicts += 1;
            return false;
        }
        for (row, member) in unheard {
            self.truth.give_up(row, member);
        }
        self.swapped(Arc::new(next), &reason);
        true
    }

    /// An old backup takes the place of the store for a while, under coordinators that begin with it, as they do when a file
    /// or an etcd is put in place: what they heard in terms before is gone. Not while a decision is under way that was
    /// made before: rule 39 is for those who can know.
    pub fn set_store_back(&mut self, length: u64) {
        let pending = |c: &Coordinator| matches!(c.asked, Asked::Swap(..));
        let old = self.store.past.len().min(3) as u64;
        if old == 0 || self.store.late > 0 || self.coordinators.iter().any(pending) {
            return;
        }
        let old = self.store.past.len() - 1 - self.rng.below(old) as usize;
        let config = Arc::clone(&self.store.past[old]);
        let is_later = |c: &Arc<Configuration>| c.epoch > config.epoch;
        let servers = self.servers.iter();
        let later = servers.filter(|(_, server)| server.config.as_ref().is_some_and(is_later));
        let known_by = later.map(|(&id, _)| id).filter(|&id| self.is_well(id));
        let known_by: BTreeSet<ServerId> = known_by.collect();
        self.stats.set_back += 1;
        let to = config.epoch;
        super::told(self.now, || {
            format!("store set back to {to} for {length} us")
        });
        self.store.set_back = Some(SetBack { config, known_by });
        for id in 0..COORDINATORS {
            self.restart_coordinator(id);
            self.drop_messages(|from, _| from == ProcessId::Coordinator(id));
        }
        self.at(length, Event::PutBack);
    }

    /// Whether a server lives, and nothing keeps others from hearing of it.
    fn is_well(&self, id: ServerId) -> bool {
        let process = self.processes.get(&ProcessId::Server(id));
        process.is_some_and(|p| p.paused_until <= self.now) && !self.nemesis.is_afflicted(id)
    }

    fn swapped(&mut self, next: Arc<Configuration>, reason: &Reason) {
        self.stats.epochs += 1;
        super::told(self.now, || {
            format!("epoch {} {reason}: {}", next.epoch, brief(&next))
        });
        match reason {
            Reason::PrimariesRecovered(indices) => {
                checks::level::on_activation(self, indices);
                for &j in indices {
                    self.activated(&next, j);
                }
            }
            Reason::PrimaryMoved(_) => self.stats.primaries_moved += 1,
            Reason::MoveCancelled(_) => self.stats.cancelled += 1,
            Reason::PrimariesReturned(indices) => self.stats.returns += indices.len() as u64,
            Reason::CodesReturn(rows) => self.stats.codes_returned += rows.len() as u64,
            Reason::LearnersCaughtUp(rows) => self.stats.caught_up += rows.len() as u64,
            Reason::LearnersPromoted(rows) => self.stats.promotions += rows.len() as u64,
            _ => {}
        }
        self.truth.settle(&next);
        let before = std::mem::replace(&mut self.store.config, next);
        self.store.past.push(before);
    }

    /// The codes that a coordinator may leave out of its next configuration: it has not heard of them, or they and some
    /// primary do not hear each other, since one of the two is not well. Then nobody can know which (rule 51).
    fn unheard_in(&self, id: u64, next: &Configuration) -> Vec<(Row, MemberId)> {
        let coordinator = &self.coordinators[id as usize];
        let config = &coordinator.config;
        let evidence = coordinator.detector.evidence(config, self.views(id));
        let unwell =
            |server| !self.servers.contains_key(&server) || self.nemesis.is_afflicted(server);
        let mut active = config.active();
        let some_primary = active.any(|(_, s)| unwell(s.host.server));
        let left_out = config.in_sync().filter(|s| next.fused_seat(s.id).is_none());
        let may = left_out.filter(|s| {
            some_primary
                || unwell(s.host.server)
                || checks::beyond_f::is_unheard(config, &evidence, s.id)
        });
        may.map(|s| (s.row, s.id)).collect()
    }

    /// From now on this replacement is the one that goes on, whenever its server hears of it.
    fn activated(&mut self, next: &Configuration, j: PrimaryIndex) {
        let seat = &next.primaries[j.index()];
        let server = self.servers.get(&seat.host.server);
        let seq = match server.and_then(|s| s.nodes.get(&seat.id)) {
            Some(Node::Replacement(replacing)) => replacing.image_seq(),
            _ => None,
        };
        if let Some(seq) = seq {
            checks::lost_writes::on_activation(self, next, seat.id, seq);
        }
    }

    /// An operator wants a server empty, or not any more.
    pub fn drain_a_server(&mut self) {
        let servers: Vec<ServerId> = self.servers.keys().copied().collect();
        let server = self.rng.pick(&servers);
        if self.store.draining.remove(&server) {
            return;
        }
        // More than one at a time would leave no room.
        self.store.draining.clear();
        self.store.draining.insert(server);
        self.stats.servers_drained += 1;
    }

    /// An operator moves a member, or lets one that is being moved stay, if the coordinator that he asks thinks that it
    /// may be so; its answer goes the way of every compare-and-swap.
    pub fn move_a_member(&mut self, id: u64) {
        let config = &self.coordinators[id as usize].config;
        let heir = config.heirs().next().map(|(j, _)| What::Primary(j));
        let learner = config.learners().next().map(|s| What::Row(s.row));
        let moving = heir.or(learner).filter(|_| self.rng.permille(300));
        let what = moving.unwrap_or_else(|| self.any_member());
        let nonce = self.rng.below(u64::MAX);
        let coordinator = &self.coordinators[id as usize];
        let config = &coordinator.config;
        // An operator's wish is guarded as a coordinator's own decision is (rule 60).
        if !matches!(coordinator.asked, Asked::Nothing)
            || coordinator.detector.guard(config).is_err()
        {
            return;
        }
        let (next, reason) = match membership::cancel_move(config, nonce, what) {
            Ok(next) => (next, Reason::MoveCancelled(what)),
            Err(_) => {
                let evidence = coordinator.detector.evidence(config, self.views(id));
                match membership::move_member(config, &evidence, nonce, what, None) {
                    Ok(next) => {
                        self.stats.moves += 1;
                        (next, what.reason())
                    }
                    Err(_) => return,
                }
            }
        };
        self.coordinators[id as usize].asked = Asked::Swap(Box::new(next), reason);
        let delay = self.store_delay();
        self.at(delay, Event::Stored(id));
    }

    fn any_member(&mut self) -> What {
        if self.rng.permille(300) {
            What::Row(Row(self.rng.below(self.shape.faults as u64) as u16))
        } else {
            What::Primary(PrimaryIndex(
                self.rng.below(self.shape.primaries as u64) as u16
            ))
        }
    }

    /// A coordinator's own times: the cluster's, or whatever its operator wrote on the command line.
    pub fn coordinator_timing(&mut self) -> Timing {
        if !self.moods.has(Mood::Coordinators) {
            return self.timing;
        }
        self.stats.other_timings += 1;
        let suspect_ms = self.timing.suspect_after().as_millis() as u32;
        let factor = self.rng.pick(&[1, 1, 2, 3, 6]);
        Timing::for_suspicion(suspect_ms * factor).expect("possible times")
    }

    /// T_s of the cluster or of the coordinator that waits longest, in microseconds.
    #[must_use]
    pub fn longest_suspicion_us(&self) -> u64 {
        let timings = self.coordinators.iter().map(|c| c.timing);
        let all = timings.chain([self.timing]);
        let longest = all.map(|t| t.suspect_after()).max().unwrap_or_default();
        longest.as_micros() as u64
    }

    /// A coordinator is killed and started again at once: it knows only what the
    /// store says.
    pub fn restart_coordinator(&mut self, id: u64) {
        let config = self.store.read();
        let timing = self.coordinator_timing();
        super::told(self.now, || {
            format!("coordinator {id} restarts with {timing:?}")
        });
        // Servers wait for an answer of the one before for up to T_s, and then look for this one.
        let longest = timing.suspect_after().as_micros() as u64 * 3 / 2;
        let servers = self.store.registered.iter();
        let sought = servers.map(|&s| (s, self.now + self.rng.below(longest)));
        let sought = sought.collect();
        let coordinator = Coordinator::new(config, timing);
        self.coordinators[id as usize] = coordinator.found_by(sought);
        // Its connections are gone, with what others had sent.
        self.drop_messages(|_, to| to == ProcessId::Coordinator(id));
    }

    /// A coordinator hears something.
    pub fn coordinator_hears(&mut self, id: u64, from: ProcessId, packet: Packet) {
        let me = ProcessId::Coordinator(id);
        let now = millis(self.clock(me));
        let coordinator = &mut self.coordinators[id as usize];
        match packet {
            Packet::Report(server, epoch, reports) => {
                match coordinator.sought.remove(&server) {
                    Some(at) if at > self.now => {
                        coordinator.sought.insert(server, at);
                        return;
                    }
                    // It registers, and tells of its members next time.
                    Some(_) => {
                        coordinator.detector.hear(server, now);
                        return;
                    }
                    None => coordinator.detector.hear(server, now),
                };
                if let Some((epoch, nonce)) = epoch {
                    let cluster = coordinator.config.cluster;
                    coordinator
                        .detector
                        .hear_epoch(server, cluster, epoch, nonce);
                }
                coordinator.detector.hear_all_known(server, |_| true);
                for report in reports {
                    let host = coordinator.config.host_of(report.member);
                    if host.is_some_and(|h| h.server == server) {
                        coordinator.detector.hear_of(report, now);
                    }
                }
            }
            Packet::WhoIs(_) => {
                let config = Arc::clone(&coordinator.config);
                self.send(me, from, Packet::Is(config));
            }
            _ => {}
        }
    }
}
