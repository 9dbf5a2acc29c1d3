//! How many clusters lose data when some machines die at once.

use crate::layout::Layout;
use crate::rng::Rng;
use anyhow::{Result, ensure};

/// Counts the clusters with more than f members on dead machines.
struct Counter {
    by_machine: Vec<Vec<u32>>,
    dead: Vec<u16>,
    touched: Vec<u32>,
}

impl Counter {
    fn new(layout: &Layout) -> Counter {
        Counter {
            by_machine: layout.by_machine(),
            dead: vec![0; layout.clusters.len()],
            touched: Vec::new(),
        }
    }

    fn lost(&mut self, machines: impl Iterator<Item = u32>, faults: usize) -> u64 {
        let mut lost = 0;
        for machine in machines {
            for &cluster in &self.by_machine[machine as usize] {
                let dead = &mut self.dead[cluster as usize];
                *dead += 1;
                lost += u64::from(usize::from(*dead) == faults + 1);
                self.touched.push(cluster);
            }
        }
        for cluster in self.touched.drain(..) {
            self.dead[cluster as usize] = 0;
        }
        lost
    }
}

/// What many failures came to.
#[derive(Default)]
pub(crate) struct Losses {
    runs: u64,
    with_loss: u64,
    sum: f64,
    squares: f64,
}

impl Losses {
    fn add(&mut self, lost: u64) {
        self.runs += 1;
        self.with_loss += u64::from(lost > 0);
        self.sum += lost as f64;
        self.squares += (lost * lost) as f64;
    }

    /// `dead` machines drawn at random die at once, so often as `runs` says, shared out over the layouts.
    ///
    /// # Errors
    /// When the mean is not what the formula says that every layout must have.
    pub(crate) fn of_machines(
        layouts: &[Layout],
        faults: usize,
        dead: usize,
        runs: u64,
        rng: &mut Rng,
    ) -> Result<Losses> {
        let mut losses = Losses::default();
        for layout in layouts {
            let mut counter = Counter::new(layout);
            let mut machines: Vec<u32> = (0..layout.machines as u32).collect();
            for _ in 0..runs.div_ceil(layouts.len() as u64) {
                let drawn = rng.draw(&mut machines, dead);
                losses.add(counter.lost(drawn.iter().copied(), faults));
            }
        }
        losses.check(&layouts[0], faults, dead)?;
        Ok(losses)
    }

    /// Every rack, or every pair of racks, dies at once; so for each of the ways in which machines stand in racks.
    pub(crate) fn of_racks(
        layouts: &[Layout],
        faults: usize,
        ways: &[Vec<usize>],
        pairs: bool,
    ) -> Losses {
        let mut losses = Losses::default();
        for layout in layouts {
            let mut counter = Counter::new(layout);
            for racks in ways {
                let count = racks.iter().max().map_or(0, |r| r + 1);
                for a in 0..count {
                    let others = if pairs { a + 1..count } else { a..a + 1 };
                    for b in others {
                        let dies = |m: &u32| racks[*m as usize] == a || racks[*m as usize] == b;
                        let machines = (0..layout.machines as u32).filter(dies);
                        losses.add(counter.lost(machines, faults));
                    }
                }
            }
        }
        losses
    }

    /// The mean of all runs is known: each cluster's machines are a sample like any other.
    fn check(&self, layout: &Layout, faults: usize, dead: usize) -> Result<()> {
        let members = layout.clusters[0].len();
        let expected =
            layout.clusters.len() as f64 * more_than(faults, layout.machines, dead, members);
        let mean = self.sum / self.runs as f64;
        let off = (mean - expected).abs();
        // Rare losses have no error of their own yet.
        ensure!(
            self.with_loss < 100 || off < 6.0 * self.error_of_mean(),
            "the simulation is wrong: {mean} clusters lost on average where the formula says {expected}"
        );
        Ok(())
    }

    fn error_of_mean(&self) -> f64 {
        let runs = self.runs as f64;
        let mean = self.sum / runs;
        ((self.squares / runs - mean * mean).max(0.0) / runs).sqrt()
    }

    /// The probability of any loss: estimate and Wilson's interval of 95 %.
    pub(crate) fn probability(&self) -> (f64, f64, f64) {
        let (runs, z) = (self.runs as f64, 1.96_f64);
        let p = self.with_loss as f64 / runs;
        let middle = p + z * z / (2.0 * runs);
        let half = z * (p * (1.0 - p) / runs + z * z / (4.0 * runs * runs)).sqrt();
        let whole = 1.0 + z * z / runs;
        (
            p,
            ((middle - half) / whole).max(0.0),
            ((middle + half) / whole).min(1.0),
        )
    }

    /// How many failures lost anything.
    pub(crate) fn with_loss(&self) -> u64 {
        self.with_loss
    }

    /// Clusters lost when any is: mean, and half of its interval of 95 %. `None` when none was.
    pub(crate) fn given_loss(&self) -> Option<(f64, f64)> {
        let hits = self.with_loss as f64;
        if self.with_loss == 0 {
            return None;
        }
        let mean = self.sum / hits;
        let variance = (self.squares / hits - mean * mean).max(0.0);
        Some((mean, 1.96 * (variance / hits).sqrt()))
    }
}

/// The probability that more than `faults` of a cluster's `members` are among `dead` of `machines`.
pub(crate) fn more_than(faults: usize, machines: usize, dead: usize, members: usize) -> f64 {
    let choose = |n: usize, k: usize| {
        if k > n {
            return 0.0;
        }
        (0..k).fold(1.0, |c, i| c * (n - i) as f64 / (i + 1) as f64)
    };
    let all = choose(machines, members);
    let ways = |x| choose(dead, x) * choose(machines - dead, members - x) / all;
    (faults + 1..=members).map(ways).sum()
}
