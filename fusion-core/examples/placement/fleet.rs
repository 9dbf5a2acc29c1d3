//! Machines whose clusters are placed, and mended, by the real `place` and `plan`.

use crate::churn::{Churned, Fleet};
use crate::layout::{Layout, Seats};
use anyhow::{Context, Result, ensure};
use fusion_core::config::{ClusterShape, Configuration, FusedState, Host, PrimaryState};
use fusion_core::id::{ClusterId, MemberId, Seq, ServerId};
use fusion_core::membership::{Evidence, Heard, Plan, ServerView, place, plan};
use fusion_core::message::{Condition, MemberReport};
use fusion_core::op::Kind;
use std::collections::{BTreeMap, BTreeSet};

const STORE: u64 = 1;
const NONCE: u64 = 1;

/// What a coordinator has, and what the servers would say.
pub(crate) struct RealFleet {
    evidence: Evidence,
    configs: Vec<Configuration>,
    /// The id of each machine's server; a machine that comes back has a new one.
    ids: Vec<ServerId>,
    machine_of: BTreeMap<ServerId, u32>,
    now_ms: u64,
}

impl RealFleet {
    /// All machines register in their order, then all clusters are created.
    pub(crate) fn new(
        machines: usize,
        clusters: usize,
        primaries: usize,
        faults: usize,
    ) -> Result<RealFleet> {
        let mut fleet = RealFleet {
            evidence: Evidence::default(),
            configs: Vec::new(),
            ids: vec![ServerId(0); machines],
            machine_of: BTreeMap::new(),
            now_ms: 1,
        };
        for machine in 0..machines as u32 {
            fleet.come_back(machine);
        }
        let shape = ClusterShape::new("c", Kind::Map, primaries, faults, false)?;
        for id in 1..=clusters as u64 {
            let hosts = place(primaries + faults, faults, false, &fleet.evidence.servers)
                .context("not enough servers")?;
            fleet.load(hosts.iter().map(|h| h.server));
            let config = Configuration::create(STORE, ClusterId(id), NONCE, &shape, &hosts);
            fleet.configs.push(config);
        }
        Ok(fleet)
    }

    /// Who has which member of each cluster.
    pub(crate) fn seats(&self) -> Vec<Seats> {
        let machine = |host: &Host| self.machine_of[&host.server];
        let seats = |config: &Configuration| Seats {
            primaries: config.primaries.iter().map(|s| machine(&s.host)).collect(),
            fused: config.in_sync().map(|s| machine(&s.host)).collect(),
        };
        self.configs.iter().map(seats).collect()
    }

    fn load(&mut self, servers: impl Iterator<Item = ServerId>) {
        for server in servers {
            if let Some(view) = self.evidence.servers.get_mut(&server) {
                view.load += 1;
            }
        }
    }

    /// What the members on living servers report, as if each had done at once what it was told.
    fn reports(&self, config: &Configuration) -> BTreeMap<MemberId, Heard> {
        let lives = |host: &Host| {
            let server = self.evidence.servers.get(&host.server);
            server.is_some_and(ServerView::is_usable)
        };
        let primaries = config.primaries.iter().filter(|s| lives(&s.host));
        let primaries = primaries.map(|s| match s.state {
            PrimaryState::Active => (s.id, Condition::Serving),
            PrimaryState::Lost => (s.id, Condition::Ready { seq: Seq(1) }),
        });
        let fused = config.fused.iter().filter(|s| lives(&s.host));
        let fused = fused.map(|s| match s.state {
            FusedState::InSync => (s.id, Condition::Serving),
            FusedState::Joining | FusedState::Copying => (s.id, Condition::Complete),
        });
        let heard = |(id, condition)| {
            let report = MemberReport::new(config.cluster, id, config.epoch, condition);
            let at_ms = self.now_ms;
            (id, Heard { report, at_ms })
        };
        primaries.chain(fused).map(heard).collect()
    }
}

impl Fleet for RealFleet {
    fn layout(&self) -> Layout {
        let machines_of = |config: &Configuration| {
            let servers = config.servers();
            servers.iter().map(|s| self.machine_of[s]).collect()
        };
        Layout {
            machines: self.ids.len(),
            clusters: self.configs.iter().map(machines_of).collect(),
        }
    }

    /// Every cluster is decided on in turn, with the loads of those before, until nothing is left to decide: as the
    /// coordinator does it.
    fn kill(&mut self, machine: u32) -> Result<Churned> {
        let dead = self.ids[machine as usize];
        self.now_ms += 1;
        let view = self.evidence.servers.get_mut(&dead);
        view.context("the machine is not there")?.suspected_since_ms = Some(self.now_ms);
        self.now_ms += 1;
        let hit = |i: &usize| self.configs[*i].servers().contains(&dead);
        let hit: Vec<usize> = (0..self.configs.len()).filter(hit).collect();
        let mut taken_over = Churned::default();
        loop {
            let mut changed = false;
            for &i in &hit {
                let config = &self.configs[i];
                self.evidence.reports = self.reports(config);
                match plan(config, &self.evidence, NONCE) {
                    Plan::Change(next, _) => {
                        let (had, has) = (config.servers(), next.servers());
                        let new: BTreeSet<ServerId> = has.difference(&had).copied().collect();
                        self.configs[i] = *next;
                        for server in &new {
                            taken_over.add(self.machine_of[server]);
                        }
                        self.load(new.into_iter());
                        changed = true;
                    }
                    Plan::Keep => {}
                    Plan::Wait(waiting) => anyhow::bail!("a cluster is not mended: {waiting:?}"),
                }
            }
            if !changed {
                break;
            }
        }
        let named = self.configs.iter().any(|c| c.names(dead));
        ensure!(!named, "a cluster still names a dead server");
        ensure!(
            taken_over.members() == hit.len(),
            "a lost member was not placed"
        );
        // What the coordinator does after a while with a server that nobody names.
        self.evidence.servers.remove(&dead);
        Ok(taken_over)
    }

    fn come_back(&mut self, machine: u32) {
        let id = ServerId(self.machine_of.len() as u64 + 1);
        let view = ServerView {
            address: String::new(),
            last_heard_ms: self.now_ms,
            suspected_since_ms: None,
            load: 0,
            draining: false,
            ..ServerView::default()
        };
        self.evidence.servers.insert(id, view);
        self.ids[machine as usize] = id;
        self.machine_of.insert(id, machine);
    }
}
