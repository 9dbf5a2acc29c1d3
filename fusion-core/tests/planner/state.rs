//! What the model knows: the configuration, the servers and what they hold, links, and what the coordinator has heard.

use fusion_core::avoidance::Avoided;
use fusion_core::config::{ClusterShape, Configuration, Former, Host};
use fusion_core::hosting::Held;
use fusion_core::id::{ClusterId, Epoch, MemberId, ServerId};
use fusion_core::membership::{Evidence, Heard, ServerView};
use fusion_core::message::{Condition, MemberReport};
use fusion_core::op::Kind;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Life {
    /// It runs.
    Well,
    /// It does nothing, and keeps all.
    Paused,
    /// It is gone for good, with all that it had.
    Gone,
}

/// A report of a member in this epoch, as the coordinator has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reported {
    /// What it said of itself.
    pub(crate) condition: Condition,
    /// Whom it misses.
    pub(crate) complaints: Vec<MemberId>,
    /// Whether it came after the last suspicion.
    pub(crate) fresh: bool,
}

/// A server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// How it is.
    pub(crate) life: Life,
    /// It and the coordinator cannot hear each other.
    pub(crate) away: bool,
    /// It has adopted the current configuration.
    pub(crate) current: bool,
    /// The coordinator suspects it.
    pub(crate) suspected: bool,
    /// It is avoided (rule 55).
    pub(crate) avoided: bool,
    /// Its members.
    pub(crate) held: BTreeMap<MemberId, Held>,
    /// What it said of its members in this epoch.
    pub(crate) reports: BTreeMap<MemberId, Reported>,
}

fn host(server: u64) -> Host {
    Host {
        server: ServerId(server),
        address: String::new(),
    }
}

/// One state of the whole. Server `i` has id `i + 1`.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// What the store says.
    pub(crate) config: Configuration,
    /// The servers.
    pub(crate) servers: Vec<Server>,
    /// Pairs of servers that do not hear each other, the lesser first.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    /// Faults that may still happen.
    pub(crate) faults: u8,
    /// Commands that an operator may still give.
    pub(crate) commands: u8,
}

/// The index of a server in the model.
#[must_use]
pub(crate) fn index(host: &Host) -> usize {
    host.server.0 as usize - 1
}

impl State {
    /// A whole cluster, and spares.
    ///
    /// # Panics
    /// When there is no such cluster.
    #[must_use]
    pub(crate) fn new(n: usize, f: usize, spares: usize, faults: u8, commands: u8) -> State {
        let shape = ClusterShape::new("c", Kind::Map, n, f, false).expect("a shape");
        let hosts: Vec<Host> = (1..=n + f).map(|i| host(i as u64)).collect();
        let config = Configuration::create(1, ClusterId(1), 1, &shape, &hosts);
        let server = |i: usize| {
            let held = match i {
                i if i < n => Some(Held::Primary),
                i if i < n + f => Some(Held::Fused),
                _ => None,
            };
            Server {
                life: Life::Well,
                away: false,
                current: true,
                suspected: false,
                avoided: false,
                held: held
                    .map(|h| (MemberId(i as u64 + 1), h))
                    .into_iter()
                    .collect(),
                reports: BTreeMap::new(),
            }
        };
        State {
            config,
            servers: (0..n + f + spares).map(server).collect(),
            cut: BTreeSet::new(),
            faults,
            commands,
        }
    }

    /// Whether the server answers the coordinator.
    #[must_use]
    pub(crate) fn is_heard(&self, server: usize) -> bool {
        let server = &self.servers[server];
        server.life == Life::Well && !server.away
    }

    /// Whether two servers' members hear each other in this epoch.
    #[must_use]
    pub(crate) fn reach(&self, a: usize, b: usize) -> bool {
        let well = |s: usize| self.servers[s].life == Life::Well && self.servers[s].current;
        well(a) && well(b) && !self.cut.contains(&(a.min(b), a.max(b)))
    }

    /// What a coordinator rests its decisions on.
    #[must_use]
    pub(crate) fn evidence(&self) -> Evidence {
        let mut evidence = Evidence::default();
        for (i, server) in self.servers.iter().enumerate() {
            let id = ServerId(i as u64 + 1);
            let loads = self.config.servers();
            let view = ServerView {
                address: String::new(),
                last_heard_ms: 1,
                suspected_since_ms: server.suspected.then_some(1),
                load: usize::from(loads.contains(&id)),
                draining: false,
                ..ServerView::default()
            };
            evidence.servers.insert(id, view);
            if server.avoided {
                let mark = Avoided {
                    times: 1,
                    now: true,
                };
                evidence.avoided.insert(id, mark);
            }
            for (&member, said) in &server.reports {
                let (cluster, epoch) = (self.config.cluster, self.config.epoch);
                let mut report = MemberReport::new(cluster, member, epoch, said.condition);
                report.complaints.clone_from(&said.complaints);
                let at_ms = if said.fresh { 2 } else { 0 };
                evidence.reports.insert(member, Heard { report, at_ms });
            }
        }
        // Its server is heard of, and never says anything of it.
        let formers = self.config.formers().map(|(_, f)| (f.id, &f.host));
        let codes = self.config.codes_away().map(|f| (f.id, &f.host));
        for (id, host) in formers.chain(codes) {
            let server = &self.servers[index(host)];
            if server.current && !server.held.contains_key(&id) {
                evidence.silent.insert(id, 1);
            }
        }
        evidence
    }

    /// The next epoch is in the store: what was reported of the one before counts no more.
    pub(crate) fn install(&mut self, next: Configuration) {
        self.config = next;
        for (i, server) in self.servers.iter_mut().enumerate() {
            // Who has no part in it has nothing to adopt.
            let named = self.config.names(ServerId(i as u64 + 1));
            server.current = server.held.is_empty() && !named;
            server.reports.clear();
        }
    }

    /// Gives members the least ids in the order of their seats, and forgets what no seat names: epochs and ids that were
    /// given make no difference.
    pub(crate) fn normalize(&mut self) {
        let config = &mut self.config;
        let mut ids: BTreeMap<MemberId, MemberId> = BTreeMap::new();
        let formers = config.formers().chain(config.moved()).map(|(_, f)| f.id);
        let away = config.codes_away().map(|f| f.id);
        let all: Vec<MemberId> = config.members().chain(formers).chain(away).collect();
        for id in all {
            let fresh = MemberId(ids.len() as u64 + 1);
            ids.insert(id, fresh);
        }
        for seat in &mut config.primaries {
            seat.id = ids[&seat.id];
            for Former { id, .. } in seat.former.iter_mut().chain(&mut seat.moved_from) {
                *id = ids[&*id];
            }
            if let Some(heir) = &mut seat.heir {
                heir.id = ids[&heir.id];
            }
        }
        for seat in &mut config.fused {
            seat.id = ids[&seat.id];
        }
        for code in &mut config.former_codes {
            code.id = ids[&code.id];
        }
        config.epoch = Epoch(1);
        config.nonce = 1;
        config.next_id = ids.len() as u64 + 1;
        for server in &mut self.servers {
            let held = std::mem::take(&mut server.held).into_iter();
            server.held = held
                .filter_map(|(id, h)| Some((*ids.get(&id)?, h)))
                .collect();
            let said = std::mem::take(&mut server.reports).into_iter();
            let said = said.filter_map(|(id, mut said)| {
                let known = said.complaints.iter().filter_map(|m| ids.get(m).copied());
                said.complaints = known.collect();
                Some((*ids.get(&id)?, said))
            });
            server.reports = said.collect();
        }
    }

    /// Orders servers by what they are, so that states that differ by names alone become one.
    pub(crate) fn sort_servers(&mut self) {
        let first: Vec<u64> = (0..self.servers.len()).map(|i| self.signature(i)).collect();
        let around = |i: usize| {
            let mut cut: Vec<u64> = self.cut_off_from(i).map(|other| first[other]).collect();
            cut.sort_unstable();
            (first[i], cut)
        };
        let mut order: Vec<usize> = (0..self.servers.len()).collect();
        order.sort_by_cached_key(|&i| around(i));
        let mut place = vec![0; order.len()];
        for (to, &from) in order.iter().enumerate() {
            place[from] = to;
        }
        self.servers = order.iter().map(|&i| self.servers[i].clone()).collect();
        let cut = self.cut.iter().map(|&(a, b)| (place[a], place[b]));
        self.cut = cut.map(|(a, b)| (a.min(b), a.max(b))).collect();
        let moved = |server: &mut ServerId| {
            *server = ServerId(place[server.0 as usize - 1] as u64 + 1);
        };
        for seat in &mut self.config.primaries {
            moved(&mut seat.host.server);
            seat.former
                .iter_mut()
                .chain(&mut seat.moved_from)
                .for_each(|f| moved(&mut f.host.server));
            seat.heir.iter_mut().for_each(|h| moved(&mut h.host.server));
        }
        self.config
            .fused
            .iter_mut()
            .for_each(|s| moved(&mut s.host.server));
        let codes = self.config.former_codes.iter_mut();
        codes.for_each(|f| moved(&mut f.host.server));
        self.config.shunned.iter_mut().for_each(moved);
        self.config.shunned.sort_unstable();
    }

    fn cut_off_from(&self, server: usize) -> impl Iterator<Item = usize> + '_ {
        self.cut.iter().filter_map(move |&(a, b)| match (a, b) {
            (a, b) if a == server => Some(b),
            (a, b) if b == server => Some(a),
            _ => None,
        })
    }

    /// All of a server but its name.
    fn signature(&self, i: usize) -> u64 {
        let mut hash = DefaultHasher::new();
        let id = ServerId(i as u64 + 1);
        let config = &self.config;
        for (j, seat) in config.primaries.iter().enumerate() {
            let former = seat.former.as_ref().or(seat.moved_from.as_ref());
            let former = former.map(|f| f.host.server == id);
            let heir = seat.heir.as_ref().map(|h| h.host.server == id);
            (j, seat.host.server == id, former, heir).hash(&mut hash);
        }
        for seat in config.fused.iter().filter(|s| s.host.server == id) {
            (seat.row, seat.state as u8).hash(&mut hash);
        }
        let mut codes = config.former_codes.iter();
        let code = codes.find(|f| f.host.server == id);
        code.map(|f| (f.row, &f.lost)).hash(&mut hash);
        config.shunned.contains(&id).hash(&mut hash);
        self.hash_server(i, &mut hash);
        hash.finish()
    }

    fn hash_server(&self, i: usize, hash: &mut impl Hasher) {
        let server = &self.servers[i];
        (
            server.life,
            server.away,
            server.current,
            server.suspected,
            server.avoided,
        )
            .hash(hash);
        for (id, held) in &server.held {
            let held = match held {
                Held::Primary => 0,
                Held::Fused => 1,
                Held::Replacement { image } => 2 + u8::from(*image),
                Held::Heir { ready } => 4 + u8::from(*ready),
                Held::Successor => 7,
                Held::Broken => 6,
            };
            (id, held).hash(hash);
        }
        for (id, said) in &server.reports {
            let condition = std::mem::discriminant(&said.condition);
            (id, condition, &said.complaints, said.fresh).hash(hash);
        }
    }

    /// What tells it from other states.
    #[must_use]
    pub(crate) fn key(&self) -> u128 {
        let half = |salt: u64| {
            let mut hash = DefaultHasher::new();
            salt.hash(&mut hash);
            for seat in &self.config.primaries {
                (seat.host.server, seat.state as u8, seat.origin as u8).hash(&mut hash);
                let former = seat.former.as_ref();
                former.map(|f| (f.host.server, f.blamed)).hash(&mut hash);
                let heir = seat.heir.as_ref();
                heir.map(|h| h.host.server).hash(&mut hash);
                let moved = seat.moved_from.as_ref();
                moved.map(|f| f.host.server).hash(&mut hash);
            }
            for seat in &self.config.fused {
                let (state, origin) = (seat.state as u8, seat.origin as u8);
                (seat.host.server, seat.row, state, origin).hash(&mut hash);
            }
            for code in &self.config.former_codes {
                (code.host.server, code.row, &code.lost).hash(&mut hash);
            }
            (&self.config.shunned, &self.cut, self.faults, self.commands).hash(&mut hash);
            for i in 0..self.servers.len() {
                self.hash_server(i, &mut hash);
            }
            hash.finish()
        };
        u128::from(half(1)) << 64 | u128::from(half(2))
    }

    /// In its least form.
    #[must_use]
    pub(crate) fn canonical(mut self) -> State {
        self.normalize();
        self.sort_servers();
        self
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (j, s) in self.config.primaries.iter().enumerate() {
            let (id, server, state) = (s.id, s.host.server, s.state);
            write!(f, "primary {j}: {id} on {server} {state:?}")?;
            if let Some(former) = &s.former {
                let (id, server, blamed) = (former.id, former.host.server, former.blamed);
                write!(f, ", was {id} on {server}, blamed {blamed}")?;
            }
            if let Some(heir) = &s.heir {
                write!(f, ", to {} on {}", heir.id, heir.host.server)?;
            }
            writeln!(f)?;
        }
        for s in &self.config.fused {
            let (row, id, server, state) = (s.row, s.id, s.host.server, s.state);
            writeln!(f, "row {row}: {id} on {server} {state:?}")?;
        }
        for s in &self.config.former_codes {
            let (row, id, server, lost) = (s.row, s.id, s.host.server, &s.lost);
            writeln!(f, "row {row}: was {id} on {server}, lost then {lost:?}")?;
        }
        for (i, server) in self.servers.iter().enumerate() {
            writeln!(f, "server {}: {server:?}", i + 1)?;
        }
        writeln!(f, "cut {:?}", self.cut)
    }
}
