//! Who is read from when a machine dies, as recoveries choose it.

use crate::layout::Seats;

/// From whom the images of one dead machine's members come, on average over all machines that may die.
pub(crate) struct Sources {
    /// How many machines.
    pub(crate) number: f64,
    /// How many images of a primary the busiest of them sends.
    pub(crate) busiest: f64,
}

impl Seats {
    /// The members that a new one in the place of `dead` reads whole: a replacement all surviving primaries and the
    /// first fused member in sync, a learner all primaries.
    fn read_for(&self, dead: u32) -> impl Iterator<Item = u32> {
        let codes = usize::from(self.primaries.contains(&dead));
        let primaries = self.primaries.iter().copied();
        primaries
            .filter(move |m| *m != dead)
            .chain(self.fused.iter().copied().take(codes))
    }
}

impl Sources {
    pub(crate) fn of(machines: usize, groups: &[Seats]) -> Sources {
        let mut groups_of = vec![Vec::new(); machines];
        for (group, seats) in groups.iter().enumerate() {
            for &machine in seats.primaries.iter().chain(&seats.fused) {
                groups_of[machine as usize].push(group);
            }
        }
        let (mut number, mut busiest, mut counted) = (0, 0, 0);
        let mut reads = vec![0_u32; machines];
        for (dead, hit) in (0..).zip(&groups_of).filter(|(_, hit)| !hit.is_empty()) {
            let mut touched = Vec::new();
            for source in hit.iter().flat_map(|&g| groups[g].read_for(dead)) {
                reads[source as usize] += 1;
                touched.push(source);
            }
            let most = touched.iter().map(|&m| reads[m as usize]).max();
            busiest += u64::from(most.unwrap_or(0));
            touched.sort_unstable();
            touched.dedup();
            number += touched.len();
            for source in touched {
                reads[source as usize] = 0;
            }
            counted += 1;
        }
        let per = f64::from(counted.max(1));
        Sources {
            number: number as f64 / per,
            busiest: busiest as f64 / per,
        }
    }
}
