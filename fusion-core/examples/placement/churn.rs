//! Machines die and come back for a long while; other rules for where lost members go, to compare with the real one.

use crate::layout::Layout;
use crate::rng::Rng;
use anyhow::Result;
use std::collections::BTreeMap;

/// Which machines took over the members of a dead one.
#[derive(Default)]
pub(crate) struct Churned(BTreeMap<u32, usize>);

impl Churned {
    pub(crate) fn add(&mut self, machine: u32) {
        *self.0.entry(machine).or_default() += 1;
    }

    pub(crate) fn members(&self) -> usize {
        self.0.values().sum()
    }

    pub(crate) fn machines(&self) -> usize {
        self.0.len()
    }

    #[cfg(test)]
    pub(crate) fn has(&self, machine: u32) -> bool {
        self.0.contains_key(&machine)
    }

    /// The members that the busiest of them took.
    pub(crate) fn busiest(&self) -> usize {
        self.0.values().copied().max().unwrap_or(0)
    }
}

/// Machines with clusters on them.
pub(crate) trait Fleet {
    fn layout(&self) -> Layout;

    /// The machine dies, and each of its members gets another place.
    ///
    /// # Errors
    /// When there is none.
    fn kill(&mut self, machine: u32) -> Result<Churned>;

    /// The machine is there again, empty.
    fn come_back(&mut self, machine: u32);
}

/// Where a lost member goes, of the machines without a member of its cluster.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    /// The least loaded, and of these one that shares most clusters with the survivors.
    Company,
    /// One that shares most clusters with the survivors and has no more members than the mean, rounded up, and one; of
    /// these the least loaded.
    Near,
    /// The one that has taken most members of the same dead machine, as long as it has fewer than the mean; else the
    /// least loaded.
    Together,
    /// One that has taken fewest members of the same dead machine, and of these the least loaded.
    Apart,
}

/// Machines whose lost members go where a [`Rule`] says.
pub(crate) struct RuledFleet {
    rule: Rule,
    clusters: Vec<Vec<u32>>,
    by_machine: Vec<Vec<u32>>,
    there: Vec<bool>,
    /// When each machine came: of machines that are alike the oldest is taken, as the lowest id is.
    since: Vec<u64>,
    comings: u64,
}

impl RuledFleet {
    pub(crate) fn new(rule: Rule, layout: &Layout) -> RuledFleet {
        RuledFleet {
            rule,
            clusters: layout.clusters.clone(),
            by_machine: layout.by_machine(),
            there: vec![true; layout.machines],
            since: (0..layout.machines as u64).collect(),
            comings: layout.machines as u64,
        }
    }

    fn choose(&self, survivors: &[u32], taken: &Churned) -> Option<u32> {
        let mut company = vec![0i64; self.there.len()];
        if matches!(self.rule, Rule::Company | Rule::Near) {
            for &survivor in survivors {
                for &cluster in &self.by_machine[survivor as usize] {
                    for &machine in &self.clusters[cluster as usize] {
                        company[machine as usize] += 1;
                    }
                }
            }
        }
        let there = self.there.iter().filter(|there| **there).count();
        let places: usize = self.clusters.iter().map(Vec::len).sum();
        let full = places.div_ceil(there);
        let key = |&m: &u32| {
            let i = m as usize;
            let load = self.by_machine[i].len();
            let taken = taken.0.get(&m).copied().unwrap_or(0);
            match self.rule {
                Rule::Company => (load, -company[i], 0, self.since[i]),
                Rule::Near => {
                    let over = load.saturating_sub(full);
                    (over, -company[i], load, self.since[i])
                }
                Rule::Together if load < full => (0, -(taken as i64), load, self.since[i]),
                Rule::Together => (1, 0, load, self.since[i]),
                Rule::Apart => (taken, load as i64, 0, self.since[i]),
            }
        };
        let free = (0..self.there.len() as u32)
            .filter(|m| self.there[*m as usize] && !survivors.contains(m));
        free.min_by_key(key)
    }
}

impl Fleet for RuledFleet {
    fn layout(&self) -> Layout {
        Layout {
            machines: self.there.len(),
            clusters: self.clusters.clone(),
        }
    }

    fn kill(&mut self, machine: u32) -> Result<Churned> {
        self.there[machine as usize] = false;
        let mut taken = Churned::default();
        for cluster in std::mem::take(&mut self.by_machine[machine as usize]) {
            let members = &mut self.clusters[cluster as usize];
            members.retain(|m| *m != machine);
            let survivors = members.clone();
            let chosen = self.choose(&survivors, &taken);
            let chosen =
                chosen.ok_or_else(|| anyhow::anyhow!("no machine is free for a lost member"))?;
            self.clusters[cluster as usize].push(chosen);
            self.by_machine[chosen as usize].push(cluster);
            taken.add(chosen);
        }
        Ok(taken)
    }

    fn come_back(&mut self, machine: u32) {
        self.there[machine as usize] = true;
        self.since[machine as usize] = self.comings;
        self.comings += 1;
    }
}

/// What recoveries looked like, on average over the last quarter of the deaths.
pub(crate) struct Recoveries {
    pub(crate) lost: f64,
    pub(crate) machines: f64,
    pub(crate) busiest: f64,
}

/// So many machines die, one after another, each mended before the next; whenever `away` are gone, they all come back
/// empty.
pub(crate) fn churn(
    fleet: &mut dyn Fleet,
    deaths: usize,
    away: usize,
    rng: &mut Rng,
) -> Result<Recoveries> {
    let mut there: Vec<u32> = (0..fleet.layout().machines as u32).collect();
    let mut gone = Vec::new();
    let (mut lost, mut machines, mut busiest, mut counted) = (0, 0, 0, 0);
    for death in 0..deaths {
        let machine = there.swap_remove(rng.below(there.len()));
        let taken = fleet.kill(machine)?;
        if death >= deaths - deaths.div_ceil(4) && taken.members() > 0 {
            lost += taken.members();
            machines += taken.machines();
            busiest += taken.busiest();
            counted += 1;
        }
        gone.push(machine);
        if gone.len() == away {
            for machine in gone.drain(..) {
                fleet.come_back(machine);
                there.push(machine);
            }
        }
    }
    for machine in gone {
        fleet.come_back(machine);
    }
    let per = |sum: usize| sum as f64 / f64::from(counted.max(1));
    Ok(Recoveries {
        lost: per(lost),
        machines: per(machines),
        busiest: per(busiest),
    })
}
