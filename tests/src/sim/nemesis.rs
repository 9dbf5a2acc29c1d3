//! What breaks things: crashes, pauses, cuts. All of them count as faults, so that a run stays within f and has
//! something to say; the rest is the protocol's business.

mod links;
mod storms;

use super::moods::Mood;
use super::process::ProcessId;
use super::rng::Rng;
use super::world::{Event, World};
use fusion_core::config::{PrimarySeat, PrimaryState, Reads};
use fusion_core::id::ServerId;
use std::collections::BTreeMap;

/// How many coordinators there are.
pub const COORDINATORS: u64 = 2;

/// How it is inclined.
#[derive(Debug)]
pub struct Nemesis {
    /// Microseconds between strikes, at most.
    every: u64,
    resting: bool,
    /// Of 1000 strikes at servers so many are crashes, and so many pauses; the rest are cuts.
    mix: (u64, u64),
    /// Until then a server that is set back is the only one that is struck: what it forgot nobody else may have lost.
    alone_until: u64,
    /// Servers that are not well, and until when.
    afflicted: BTreeMap<ServerId, u64>,
    /// Until when each coordinator is not well.
    coordinators: [u64; COORDINATORS as usize],
}

impl Nemesis {
    /// Leaves everything in peace.
    pub fn rest(&mut self) {
        self.resting = true;
    }

    /// Each run has a mood.
    pub fn new(rng: &mut Rng) -> Nemesis {
        Nemesis {
            every: rng.pick(&[150_000, 400_000, 1_000_000]),
            mix: rng.pick(&[(400, 300), (900, 50), (50, 900), (50, 50), (200, 400)]),
            resting: false,
            alone_until: 0,
            afflicted: BTreeMap::new(),
            coordinators: [0; COORDINATORS as usize],
        }
    }

    /// Whether a server is not well, or was not a moment ago.
    #[must_use]
    pub fn is_afflicted(&self, server: ServerId) -> bool {
        self.afflicted.contains_key(&server)
    }

    fn afflict(&mut self, server: ServerId, until: u64) {
        let known = self.afflicted.entry(server).or_default();
        *known = until.max(*known);
    }
}

impl World {
    /// Something breaks, if it may.
    pub fn strike(&mut self) {
        if self.quiet || self.nemesis.resting {
            return;
        }
        let every = self.nemesis.every;
        let next = self.rng.range(every / 4, every);
        self.at(next, Event::Nemesis);
        let now = self.now;
        self.nemesis.afflicted.retain(|_, until| *until > now);
        if self.rng.permille(150) {
            let coordinator = self.rng.below(2);
            self.move_a_member(coordinator);
        }
        if self.rng.permille(60) {
            self.drain_a_server();
        }
        if self.moods.has(Mood::Operators) && self.rng.permille(150) {
            let coordinator = self.rng.below(COORDINATORS);
            self.accept_a_loss(coordinator);
        }
        if self.moods.has(Mood::SetBack) && self.rng.permille(60) {
            let length = self.some_time();
            self.set_store_back(length);
        }
        if self.rng.permille(250) {
            self.strike_coordinator();
            return;
        }
        if self.moods.has(Mood::Storms) && self.rng.permille(250) {
            self.storm();
            return;
        }
        let servers: Vec<ServerId> = self.servers.keys().copied().collect();
        let victim = self.rng.pick(&servers);
        if now < self.nemesis.alone_until {
            return;
        }
        if !self.is_bearable(victim) {
            self.crash_in_a_storm(victim);
            return;
        }
        let alone = self.nemesis.afflicted.is_empty();
        if alone && self.rng.permille(100) {
            if let Some(until) = self.snapshot_of(victim) {
                self.nemesis.alone_until = until;
                self.nemesis.afflict(victim, until);
            }
            return;
        }
        let (crash, pause) = self.nemesis.mix;
        if let Some(length) = self.strike_otherwise(victim) {
            self.afflict(victim, now + length);
            return;
        }
        let until = match self.rng.below(1000) {
            x if x < crash => {
                self.crash(victim);
                u64::MAX
            }
            x if x < crash + pause => {
                let length = self.some_time();
                self.stats.pauses += 1;
                self.pause(ProcessId::Server(victim), length);
                now + length
            }
            _ => {
                let length = self.some_time();
                self.stats.partitions += 1;
                self.cut_server(victim, length);
                now + length
            }
        };
        self.afflict(victim, until);
    }

    /// It is still not well for a while after that: others have to notice that it is.
    fn afflict(&mut self, victim: ServerId, until: u64) {
        let rest = self.timing.suspect_after().as_micros() as u64;
        self.nemesis.afflict(victim, until.saturating_add(rest));
    }

    /// What only some runs meet; answers how long it lasts.
    fn strike_otherwise(&mut self, victim: ServerId) -> Option<u64> {
        if self.moods.has(Mood::Pairs) && self.rng.permille(400) {
            let length = self.some_time();
            self.cut_pairs(victim, length);
            return Some(length);
        }
        if self.moods.has(Mood::Grey) && self.rng.permille(300) {
            let length = self.some_time();
            self.grey(victim, length);
            return Some(length);
        }
        None
    }

    /// Which coordinators are well.
    #[must_use]
    pub fn coordinators_well(&self) -> [bool; COORDINATORS as usize] {
        self.nemesis.coordinators.map(|until| until <= self.now)
    }

    /// Whether the cluster could bear the loss of one more server for ever.
    pub(super) fn is_bearable(&self, victim: ServerId) -> bool {
        let config = &self.store.config;
        let gone = |server: ServerId| {
            server == victim
                || self.nemesis.afflicted.contains_key(&server)
                || !self.servers.contains_key(&server)
        };
        // One that was just moved may yet need the one before.
        let moved = |s: &PrimarySeat| s.moved_from.as_ref().is_some_and(|f| gone(f.host.server));
        let primaries = config.primaries.iter();
        let primaries =
            primaries.filter(|s| s.state == PrimaryState::Lost || gone(s.host.server) || moved(s));
        let codes = config.in_sync().filter(|s| !gone(s.host.server)).count();
        primaries.count() <= codes
    }

    fn some_time(&mut self) -> u64 {
        let suspect = self.timing.suspect_after().as_micros() as u64;
        match self.rng.below(3) {
            0 => self.rng.range(suspect / 10, suspect),
            1 => self.rng.range(suspect, suspect * 3),
            _ => self.rng.range(suspect * 3, suspect * 12),
        }
    }

    /// Kills a server; a new one comes soon.
    pub fn crash(&mut self, victim: ServerId) {
        self.stats.crashes += 1;
        super::told(self.now, || format!("{victim} dies"));
        self.servers.remove(&victim);
        self.processes.remove(&ProcessId::Server(victim));
        let delay = self.rng.below(500_000);
        self.at(delay, Event::Arrive);
    }

    fn pause(&mut self, id: ProcessId, length: u64) {
        let until = self.now + length;
        // Its machine is stopped, with its clock: leases are not for such machines (rule 58).
        let confirmed = self.store.config.reads == Reads::Confirmed;
        let stops_clock = confirmed && self.rng.permille(600);
        super::told(self.now, || format!("{id:?} stops for {length} us"));
        if let Some(process) = self.processes.get_mut(&id) {
            process.paused_until = process.paused_until.max(until);
            if stops_clock {
                process.clock.stop(self.now, until);
                self.stats.clock_stops += 1;
            }
            self.at(length, Event::Resume(id));
        }
    }

    /// From or to the coordinators, the other servers, or both; clients still reach it, mostly: that is what makes a
    /// deposed primary dangerous.
    fn cut_server(&mut self, victim: ServerId, length: u64) {
        let me = ProcessId::Server(victim);
        let (to, from) = self.rng.pick(&[(true, true), (true, false), (false, true)]);
        let (coordinators, servers, clients) = self.rng.pick(&[
            (true, true, false),
            (true, true, false),
            (true, false, false),
            (false, true, false),
            (true, true, true),
        ]);
        let mut cuts = Vec::new();
        for &other in self.processes.keys().filter(|&&id| id != me) {
            let hit = match other {
                ProcessId::Coordinator(_) => coordinators,
                ProcessId::Server(_) => servers,
                ProcessId::Client(_) => clients,
            };
            if hit && to {
                cuts.push((me, other));
            }
            if hit && from {
                cuts.push((other, me));
            }
        }
        self.cut(cuts, length);
    }

    fn strike_coordinator(&mut self) {
        let id = self.rng.below(COORDINATORS);
        let me = ProcessId::Coordinator(id);
        let length = self.some_time();
        let rest = self.longest_suspicion_us();
        let unwell = &mut self.nemesis.coordinators[id as usize];
        *unwell = (*unwell).max(self.now + length + rest);
        match self.rng.below(4) {
            0 => {
                self.stats.coordinator_crashes += 1;
                self.restart_coordinator(id);
            }
            1 => {
                self.stats.coordinator_partitions += 1;
                let servers: Vec<_> = self.servers.keys().copied().collect();
                let some = servers.into_iter().map(ProcessId::Server);
                let out = self.rng.permille(500);
                let cuts: Vec<_> = some.map(|s| if out { (me, s) } else { (s, me) }).collect();
                self.cut(cuts, length);
            }
            _ => {
                self.stats.coordinator_pauses += 1;
                self.pause(me, length);
            }
        }
    }
}
