//! Storms: more than f members are unwell together, and all come back. Nothing may be lost by that; servers that die
//! for good meanwhile are still at most f.

use super::COORDINATORS;
use crate::sim::moods::Mood;
use crate::sim::process::ProcessId;
use crate::sim::world::World;
use fusion_core::config::PrimaryState;
use fusion_core::id::ServerId;

impl World {
    /// Something befalls many servers.
    pub(super) fn storm(&mut self) {
        self.stats.storms += 1;
        let servers: Vec<ServerId> = self.servers.keys().copied().collect();
        match self.rng.below(4) {
            0 => self.stop_many(&servers),
            1 => self.halve(&servers),
            2 => self.ring(&servers),
            _ => self.pairs_everywhere(&servers),
        }
    }

    fn stop_many(&mut self, servers: &[ServerId]) {
        let share = self.rng.pick(&[300, 600, 1000]);
        for &server in servers {
            if self.rng.permille(share) {
                let length = self.some_time();
                self.pause(ProcessId::Server(server), length);
                self.afflict(server, self.now + length);
            }
        }
    }

    /// Two halves that do not hear each other, but for one server perhaps that both hear. Coordinators are on one side, or
    /// hear both.
    fn halve(&mut self, servers: &[ServerId]) {
        let bridge = self.rng.permille(500).then(|| self.rng.pick(servers));
        let sides: Vec<(ProcessId, bool)> = servers
            .iter()
            .filter(|&&s| Some(s) != bridge)
            .map(|&s| (ProcessId::Server(s), self.rng.permille(500)))
            .collect();
        let mut all = sides.clone();
        for id in 0..COORDINATORS {
            if self.rng.permille(500) {
                all.push((ProcessId::Coordinator(id), self.rng.permille(500)));
            }
        }
        let mut cuts = Vec::new();
        for &(a, left) in &all {
            let others = all.iter().filter(|(_, side)| *side != left);
            cuts.extend(others.map(|&(b, _)| (a, b)));
        }
        self.cut_for_all(servers, cuts);
    }

    /// Each server hears its two neighbours only.
    fn ring(&mut self, servers: &[ServerId]) {
        let most = servers.len();
        let mut cuts = Vec::new();
        for (i, &a) in servers.iter().enumerate() {
            for (j, &b) in servers.iter().enumerate() {
                let apart = i.abs_diff(j).min(most - i.abs_diff(j));
                if apart > 1 {
                    cuts.push((ProcessId::Server(a), ProcessId::Server(b)));
                }
            }
        }
        self.cut_for_all(servers, cuts);
    }

    /// Of all ways between servers so many are cut.
    fn pairs_everywhere(&mut self, servers: &[ServerId]) {
        let share = self.rng.pick(&[100, 300, 600]);
        let mut cuts = Vec::new();
        for &a in servers {
            for &b in servers {
                if a != b && self.rng.permille(share) {
                    cuts.push((ProcessId::Server(a), ProcessId::Server(b)));
                }
            }
        }
        self.cut_for_all(servers, cuts);
    }

    fn cut_for_all(&mut self, servers: &[ServerId], cuts: Vec<(ProcessId, ProcessId)>) {
        let length = self.some_time();
        self.cut(cuts, length);
        for &server in servers {
            self.afflict(server, self.now + length);
        }
    }

    /// Kills a server while others are unwell, if what is dead for good stays within f.
    pub(super) fn crash_in_a_storm(&mut self, victim: ServerId) {
        if !self.moods.has(Mood::Storms) || !self.rng.permille(200) {
            return;
        }
        let config = &self.store.config;
        let gone = |server: ServerId| server == victim || !self.servers.contains_key(&server);
        let lost = config.primaries.iter();
        let lost = lost.filter(|s| s.state == PrimaryState::Lost || gone(s.host.server));
        let codes = config.in_sync().filter(|s| !gone(s.host.server)).count();
        if lost.count() <= codes {
            self.crash(victim);
            self.afflict(victim, u64::MAX);
        }
    }
}
