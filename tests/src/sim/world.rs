//! One run: true time, what is to happen, and everybody it happens to.

use super::agenda::Agenda;
use super::checks::available::Watch;
use super::client::Client;
use super::coordinator::{Coordinator, Store, Swap};
use super::moods::{Mood, Moods};
use super::nemesis::{COORDINATORS, Nemesis};
use super::network::{Network, Packet};
use super::process::{Clock, Process, ProcessId};
use super::rng::Rng;
use super::server::Server;
use super::stats::Stats;
use super::truth::Truth;
use fusion_core::code::Code;
use fusion_core::config::{ClusterShape, Configuration, Host, Reads};
use fusion_core::id::{ClusterId, MemberId, PrimaryIndex, ServerId};
use fusion_core::op::Kind;
use fusion_core::time::{Time, Timing};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What may happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message comes.
    Deliver {
        /// From whom.
        from: ProcessId,
        /// To whom.
        to: ProcessId,
        /// What.
        packet: Box<Packet>,
    },
    /// A process looks after itself.
    Timer(ProcessId),
    /// A store has done what a coordinator asked.
    Stored(u64),
    /// A paused process goes on.
    Resume(ProcessId),
    /// Something breaks.
    Nemesis,
    /// A cut is mended.
    Mend(Vec<(ProcessId, ProcessId)>),
    /// A new server comes.
    Arrive,
    /// The store does at last what a coordinator asked long ago.
    LateSwap(Box<Swap>),
    /// The store has its newest content again.
    PutBack,
    /// A process that was slow is not any more.
    Hasten(ProcessId),
    /// The memory of a server is set back.
    SetBack(ServerId),
    /// The invariants are looked at.
    Check,
    /// Who is away, and who was served?
    Look,
}

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// n.
    pub primaries: usize,
    /// f.
    pub faults: usize,
    /// Servers beyond those needed.
    pub spares: usize,
    /// How long things break, in microseconds of true time.
    pub active_us: u64,
}

/// A run.
#[derive(Debug)]
pub struct World {
    /// True time, in microseconds.
    pub now: u64,
    /// Chance.
    pub rng: Rng,
    /// What it may meet, and is checked for.
    pub moods: Moods,
    /// How large.
    pub shape: Shape,
    /// The cluster's times.
    pub timing: Timing,
    /// How many sessions and slots of them a primary remembers: few, so that some are forgotten.
    pub session_slots: usize,
    /// The cluster's code.
    pub code: Code,
    /// Who runs.
    pub processes: BTreeMap<ProcessId, Process>,
    /// The servers.
    pub servers: BTreeMap<ServerId, Server>,
    /// The coordinators.
    pub coordinators: Vec<Coordinator>,
    /// What they share.
    pub store: Store,
    /// The clients.
    pub clients: Vec<Client>,
    /// What is between them.
    pub network: Network,
    /// What breaks things.
    pub nemesis: Nemesis,
    /// What nobody in the run knows as a whole.
    pub truth: Truth,
    /// Who was away, and who was served (invariant 11).
    pub watch: Watch,
    /// What was injected.
    pub stats: Stats,
    /// Codes whose memory was set back, and the primaries of which they have taken nothing since, with those primaries'
    /// clocks at that moment.
    pub forgetful: BTreeMap<(MemberId, PrimaryIndex), (MemberId, Time)>,
    /// Of servers that will be set back.
    pub snapshots: BTreeMap<ServerId, Server>,
    /// Servers whose memory was set back.
    pub went_back: BTreeSet<ServerId>,
    /// No more faults and no new requests.
    pub quiet: bool,
    agenda: Agenda,
}

impl World {
    /// The beginning of the run of a seed, in the moods that it draws.
    #[must_use]
    pub fn new(seed: u64) -> World {
        World::in_moods(seed, Moods::usual(seed))
    }

    /// The beginning of the run of a seed in these moods.
    ///
    /// # Panics
    /// Never: shapes and times are possible ones.
    #[must_use]
    pub fn in_moods(seed: u64, moods: Moods) -> World {
        let mut rng = Rng::new(seed);
        let (primaries, faults) = rng.pick(&[(1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (1, 2)]);
        let shape = Shape {
            primaries,
            faults,
            spares: faults + 2,
            active_us: rng.range(3_000_000, 6_000_000),
        };
        let suspect_ms = rng.pick(&[100, 200]);
        // Leases that are longer and shorter than the detection.
        let lease_ms = rng.pick(&[suspect_ms / 3, suspect_ms, suspect_ms * 3]);
        let timing = Timing::with_lease(suspect_ms, lease_ms).expect("possible times");
        let kind = rng.pick(&[Kind::Map, Kind::Queue, Kind::List]);
        let all = (primaries + faults + shape.spares) as u64;
        let hosts: Vec<Host> = (1..=(primaries + faults) as u64).map(host).collect();
        // On machines that a hypervisor stops with their clocks reads need something else than leases (rule 58).
        let reads = rng.pick(&[Reads::Leased, Reads::Leased, Reads::Confirmed]);
        let cluster = ClusterShape::new("c", kind, primaries, faults, false).expect("a shape");
        let floor = rng.pick(&[0, 0, 0, 1, faults]);
        let cluster = cluster.with_reads(reads).with_min_in_sync(floor);
        let cluster = cluster.expect("not above f");
        let config = Configuration {
            timing,
            ..Configuration::create(1, ClusterId(1), 1, &cluster, &hosts)
        };
        let config = Arc::new(config);
        let mut world = World {
            now: 1_000_000,
            moods,
            shape,
            timing,
            session_slots: rng.pick(&[3, 4, 8, 1000]),
            code: Code::new(primaries, faults).expect("a code"),
            processes: BTreeMap::new(),
            servers: BTreeMap::new(),
            coordinators: Vec::new(),
            store: Store::new(Arc::clone(&config)),
            clients: Vec::new(),
            network: Network {
                loss: rng.pick(&[0, 10, 30]),
                repeat: rng.pick(&[0, 20]),
                late: rng.pick(&[0, 300_000, 2_000_000]),
                ..Network::default()
            },
            nemesis: Nemesis::new(&mut rng),
            truth: Truth::new(&config),
            watch: Watch::default(),
            stats: Stats::default(),
            forgetful: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            went_back: BTreeSet::new(),
            quiet: false,
            agenda: Agenda::default(),
            rng,
        };
        for _ in 0..all {
            world.arrive();
        }
        for id in 0..COORDINATORS {
            let timing = world.coordinator_timing();
            let coordinator = Coordinator::new(Arc::clone(&config), timing);
            world.coordinators.push(coordinator);
            world.start(ProcessId::Coordinator(id));
        }
        for index in 0..primaries as u16 {
            for reads in [false, false, true, true] {
                let id = world.clients.len() as u64;
                let client = Client::new(id, PrimaryIndex(index), reads, &config);
                world.clients.push(client);
                world.start(ProcessId::Client(id));
            }
        }
        if moods.has(Mood::SlowLinks) {
            world.network.bandwidth = Some(world.rng.pick(&[150, 400, 1000]));
        }
        world.at(100_000, Event::Nemesis);
        world.at(100_000, Event::Check);
        if moods.has(Mood::Available) {
            world.at(Watch::EVERY_US, Event::Look);
        }
        world
    }

    /// Schedules something `delay` microseconds from now.
    pub fn at(&mut self, delay: u64, event: Event) {
        self.agenda.put(self.now + delay, event);
    }

    fn start(&mut self, id: ProcessId) {
        let process = Process::new(&mut self.rng);
        self.processes.insert(id, process);
        let delay = self.rng.below(10_000);
        self.at(delay, Event::Timer(id));
    }

    /// A server starts, empty, under an id that none had.
    pub fn arrive(&mut self) {
        let id = self.store.take_server_id();
        self.servers.insert(id, Server::default());
        self.start(ProcessId::Server(id));
        self.befall(id);
    }

    /// What is under way by these connections, from whom and to whom, does not come any more.
    pub(super) fn drop_messages(&mut self, gone: impl Fn(ProcessId, ProcessId) -> bool) {
        let kept =
            |event: &Event| !matches!(event, Event::Deliver { from, to, .. } if gone(*from, *to));
        self.agenda.retain(kept);
        for process in self.processes.values_mut() {
            process.held.retain(&kept);
        }
    }

    /// What a process's clock shows now.
    #[must_use]
    pub fn clock(&self, id: ProcessId) -> Time {
        self.processes
            .get(&id)
            .map_or(Time(0), |p| p.clock.at(self.now))
    }

    /// Lets everything up to a true moment happen.
    pub fn run_until(&mut self, end: u64) {
        while let Some((now, event)) = self.agenda.next_until(end) {
            self.now = now;
            self.stats.events += 1;
            self.happen(event);
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        let whose = match &event {
            Event::Deliver { to, .. } | Event::Timer(to) => Some(*to),
            Event::Stored(id) => Some(ProcessId::Coordinator(*id)),
            _ => None,
        };
        if let Some(whose) = whose {
            let Some(process) = self.processes.get_mut(&whose) else {
                return;
            };
            if process.paused_until > self.now {
                process.held.push(event);
                return;
            }
        }
        match event {
            Event::Deliver { from, to, packet } => self.deliver(from, to, *packet),
            Event::Timer(id) => self.timer(id),
            Event::Stored(id) => self.stored(id),
            Event::Resume(id) => self.resume(id),
            Event::Nemesis => self.strike(),
            Event::Mend(cuts) => self.network.mend(&cuts),
            Event::LateSwap(swap) => {
                self.store.late -= 1;
                self.swap(*swap);
            }
            Event::PutBack => self.store.set_back = None,
            Event::Hasten(id) => {
                self.network.grey.remove(&id);
            }
            Event::Arrive => self.arrive(),
            Event::Look => {
                super::checks::available::look(self);
                if !self.quiet {
                    self.at(Watch::EVERY_US, Event::Look);
                }
            }
            Event::SetBack(id) => self.set_back(id),
            Event::Check => {
                super::checks::at_any_moment(self);
                if !self.quiet {
                    self.at(250_000, Event::Check);
                }
            }
        }
    }

    fn deliver(&mut self, from: ProcessId, to: ProcessId, packet: Packet) {
        match to {
            ProcessId::Server(id) => self.server_hears(id, from, packet),
            ProcessId::Coordinator(id) => self.coordinator_hears(id, from, packet),
            ProcessId::Client(id) => self.client_hears(id, packet),
        }
    }

    fn timer(&mut self, id: ProcessId) {
        // A time service corrects the clocks now and then (rule 1).
        if self.rng.permille(3)
            && let Some(process) = self.processes.get_mut(&id)
        {
            let ppm = Clock::some_rate(&mut self.rng);
            process.clock.set_rate(self.now, ppm);
            self.stats.clock_changes += 1;
        }
        let mut next = match id {
            ProcessId::Server(server) => self.server_acts(server),
            ProcessId::Coordinator(coordinator) => self.coordinator_acts(coordinator),
            ProcessId::Client(client) => self.client_acts(client),
        };
        if let Some(&late) = self.network.grey.get(&id) {
            next += self.rng.below(late);
        }
        self.at(next, Event::Timer(id));
    }

    /// What came while it was stopped is found in any order: it waited in several sockets and timers.
    fn resume(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        if process.paused_until > self.now {
            return;
        }
        for event in std::mem::take(&mut process.held) {
            let delay = self.rng.below(3_000);
            self.at(delay, event);
        }
    }

    /// No more faults; everything that is only stopped or cut off goes on, and what only an operator can mend is mended.
    pub fn calm(&mut self) {
        self.quiet = true;
        self.network.calm();
        // Where no code is left, nobody can take the place of a primary that no server reaches: an operator restarts it
        // with another address.
        let config = &self.store.config;
        if config.in_sync().next().is_none() {
            let primaries = config.active().map(|(_, s)| s.host.server);
            primaries.for_each(|server| {
                self.network.unreached.remove(&server);
            });
        }
        self.store.set_back = None;
        let ids: Vec<ProcessId> = self.processes.keys().copied().collect();
        for id in ids {
            if let Some(process) = self.processes.get_mut(&id) {
                process.paused_until = 0;
                process.clock.go_on(self.now);
            }
            self.resume(id);
        }
    }
}

/// Servers have no addresses here.
#[must_use]
pub fn host(server: u64) -> Host {
    Host {
        server: ServerId(server),
        address: String::new(),
    }
}
