//! Which machine has members of which clusters.

use crate::rng::Rng;
use std::collections::BTreeSet;

/// More sets of f+1 machines than this are not listed one by one.
const MAX_SETS: u64 = 8_000_000;

/// The machines of each cluster, without regard to what is a primary and what is a code: any f+1 of them lose data.
#[derive(Clone)]
pub(crate) struct Layout {
    pub(crate) machines: usize,
    pub(crate) clusters: Vec<Vec<u32>>,
}

/// The machines of one cluster by what they have of it. Copies are clusters of one primary.
pub(crate) struct Seats {
    pub(crate) primaries: Vec<u32>,
    /// In the order in which they are chosen for a recovery.
    pub(crate) fused: Vec<u32>,
}

/// A range of counts with its mean.
pub(crate) struct Spread {
    pub(crate) mean: f64,
    pub(crate) least: usize,
    pub(crate) most: usize,
}

impl Spread {
    pub(crate) fn of(counts: impl Iterator<Item = usize> + Clone) -> Spread {
        let (mut sum, mut number) = (0, 0);
        for count in counts.clone() {
            sum += count;
            number += 1;
        }
        Spread {
            mean: sum as f64 / f64::max(1.0, f64::from(number)),
            least: counts.clone().min().unwrap_or(0),
            most: counts.max().unwrap_or(0),
        }
    }
}

impl Layout {
    /// Each cluster on machines drawn at random, all machines equally loaded: every machine's places are shuffled and
    /// dealt out, and whoever got a machine twice swaps with another.
    pub(crate) fn random(
        machines: usize,
        clusters: usize,
        members: usize,
        rng: &mut Rng,
    ) -> Layout {
        let places = clusters * members;
        let order = rng.shuffled(machines);
        let mut dealt: Vec<u32> = (0..places).map(|i| order[i % machines]).collect();
        rng.draw(&mut dealt, places);
        let twice = |dealt: &[u32], i: usize| {
            let first = i / members * members;
            (first..first + members).any(|k| k != i && dealt[k] == dealt[i])
        };
        let mut tries = 0;
        for i in 0..places {
            while twice(&dealt, i) {
                tries += 1;
                if tries > 1000 * places {
                    // Stuck, which only very few machines can bring about.
                    return Layout::random(machines, clusters, members, rng);
                }
                let j = rng.below(places);
                dealt.swap(i, j);
                if twice(&dealt, j) {
                    dealt.swap(i, j);
                }
            }
        }
        let clusters = dealt.chunks(members).map(<[u32]>::to_vec).collect();
        Layout { machines, clusters }
    }

    /// Copysets (Cidon and others 2013): as many permutations of the machines as the scatter width asks for, each cut
    /// into groups; clusters take the groups in turn. Machines that fill no group of a permutation are left out of it.
    pub(crate) fn copysets(
        machines: usize,
        clusters: usize,
        members: usize,
        scatter: usize,
        rng: &mut Rng,
    ) -> Layout {
        let permutations = scatter.div_ceil(members - 1).max(1);
        let mut groups: Vec<Vec<u32>> = Vec::new();
        for _ in 0..permutations {
            let order = rng.shuffled(machines);
            groups.extend(order.chunks_exact(members).map(<[u32]>::to_vec));
        }
        let clusters = groups.iter().cycle().take(clusters).cloned().collect();
        Layout { machines, clusters }
    }

    /// What labels of racks would bring: the least loaded machines first, but a rack again only when all others have
    /// as many members of the cluster.
    pub(crate) fn over_racks(clusters: usize, members: usize, racks: &[usize]) -> Layout {
        let machines = racks.len();
        let count = racks.iter().max().map_or(0, |r| r + 1);
        let mut loads = vec![0; machines];
        let place = |_| {
            let (mut used, mut chosen) = (vec![0; count], Vec::new());
            for _ in 0..members {
                let free = (0..machines as u32).filter(|m| !chosen.contains(m));
                let best = free.min_by_key(|&m| (used[racks[m as usize]], loads[m as usize], m));
                let best = best.expect("more machines than members");
                used[racks[best as usize]] += 1;
                loads[best as usize] += 1;
                chosen.push(best);
            }
            chosen
        };
        let clusters = (0..clusters).map(place).collect();
        Layout { machines, clusters }
    }

    /// The first so many machines of each cluster have its primaries: where machines were drawn at random, any may.
    pub(crate) fn seats(&self, primaries: usize) -> Vec<Seats> {
        let seats = |machines: &Vec<u32>| {
            let (primaries, fused) = machines.split_at(primaries);
            Seats {
                primaries: primaries.to_vec(),
                fused: fused.to_vec(),
            }
        };
        self.clusters.iter().map(seats).collect()
    }

    /// The clusters of each machine.
    pub(crate) fn by_machine(&self) -> Vec<Vec<u32>> {
        let mut of = vec![Vec::new(); self.machines];
        for (cluster, machines) in (0u32..).zip(&self.clusters) {
            for &machine in machines {
                of[machine as usize].push(cluster);
            }
        }
        of
    }

    pub(crate) fn loads(&self) -> Spread {
        let of = self.by_machine();
        Spread::of(of.iter().map(Vec::len))
    }

    /// With how many other machines each one shares a cluster.
    pub(crate) fn scatter(&self) -> Spread {
        let widths: Vec<usize> = self
            .by_machine()
            .iter()
            .map(|clusters| {
                let all = clusters.iter().flat_map(|&c| &self.clusters[c as usize]);
                all.collect::<BTreeSet<_>>().len().saturating_sub(1)
            })
            .collect();
        Spread::of(widths.iter().copied())
    }

    /// How many different sets of `size` machines are all in one cluster: the loss of any of them loses data. `None`
    /// when they are too many to be listed.
    pub(crate) fn fatal_sets(&self, size: usize) -> Option<usize> {
        let mut distinct: Vec<Vec<u32>> = self.clusters.clone();
        for cluster in &mut distinct {
            cluster.sort_unstable();
        }
        distinct.sort_unstable();
        distinct.dedup();
        let members = distinct.first().map_or(0, Vec::len);
        let each = (0..size as u64).try_fold(1u64, |c, i| {
            c.checked_mul(members as u64 - i).map(|c| c / (i + 1))
        })?;
        if each.checked_mul(distinct.len() as u64)? > MAX_SETS {
            return None;
        }
        let mut sets = Vec::new();
        for cluster in &distinct {
            combinations(cluster, size, &mut Vec::new(), &mut sets);
        }
        sets.sort_unstable();
        sets.dedup();
        Some(sets.len())
    }
}

fn combinations(of: &[u32], size: usize, chosen: &mut Vec<u32>, into: &mut Vec<Box<[u32]>>) {
    if size == 0 {
        into.push(chosen.clone().into_boxed_slice());
        return;
    }
    for (i, &machine) in of.iter().enumerate() {
        if of.len() - i < size {
            return;
        }
        chosen.push(machine);
        combinations(&of[i + 1..], size - 1, chosen, into);
        chosen.pop();
    }
}
