//! What is between servers: single pairs that do not hear each other, addresses that are wrong, processes that are slow.

use crate::sim::moods::Mood;
use crate::sim::network::Unreached;
use crate::sim::process::ProcessId;
use crate::sim::told;
use crate::sim::world::{Event, World};
use fusion_core::id::ServerId;

/// At most so many servers have a wrong address at a time: some spares are good ones.
const WRONG_ADDRESSES: usize = 2;

impl World {
    /// Cuts a server from one to three others, whatever they are, one way or both.
    pub(super) fn cut_pairs(&mut self, victim: ServerId, length: u64) {
        let me = ProcessId::Server(victim);
        let others: Vec<ServerId> = self.servers.keys().copied().collect();
        let mut cuts = Vec::new();
        for _ in 0..self.rng.pick(&[1, 1, 1, 2, 3]) {
            let other = ProcessId::Server(self.rng.pick(&others));
            match self.rng.below(4) {
                _ if other == me => continue,
                0 => cuts.push((me, other)),
                1 => cuts.push((other, me)),
                _ => cuts.extend([(me, other), (other, me)]),
            }
            self.stats.pairs_cut += 1;
        }
        self.cut(cuts, length);
    }

    pub(super) fn cut(&mut self, cuts: Vec<(ProcessId, ProcessId)>, length: u64) {
        told(self.now, || format!("cut for {length} us: {cuts:?}"));
        self.network.cut.extend(cuts.iter().copied());
        self.at(length, Event::Mend(cuts));
    }

    /// All that a server does and hears is late for a while, by up to two suspicions.
    pub(super) fn grey(&mut self, victim: ServerId, length: u64) {
        let suspect = self.timing.suspect_after().as_micros() as u64;
        let late = self.rng.pick(&[suspect / 5, suspect, suspect * 2]);
        let id = ProcessId::Server(victim);
        self.stats.greys += 1;
        self.network.grey.insert(id, late);
        self.at(length, Event::Hasten(id));
    }

    /// What a server has from its arrival on. The first members of the cluster are well placed.
    pub fn befall(&mut self, server: ServerId) {
        let half = self.moods.has(Mood::HalfReached);
        if !half && !self.moods.has(Mood::WrongAddress) {
            return;
        }
        let first = (self.shape.primaries + self.shape.faults) as u64;
        let living = self.network.unreached.keys();
        let living = living.filter(|s| self.servers.contains_key(s)).count();
        if server.0 <= first || living >= WRONG_ADDRESSES || !self.rng.permille(400) {
            return;
        }
        self.stats.wrong_addresses += 1;
        let parity = self.rng.below(2);
        let by = if half {
            let some = [Unreached::ByAll, Unreached::BySome { parity }];
            self.rng.pick(&some)
        } else {
            Unreached::Alone
        };
        told(self.now, || format!("{server} is not reached, {by:?}"));
        self.network.unreached.insert(server, by);
    }
}
