//! Regions for both libraries, aligned as upstream wants them.

use super::random::Random;
use std::ffi::{c_char, c_int};

const ALIGN: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C, align(16))]
struct Block([u8; ALIGN]);

/// k + m regions of one length.
#[derive(Clone, PartialEq, Eq)]
pub struct Regions {
    pub k: c_int,
    pub m: c_int,
    pub bytes: usize,
    blocks: Vec<Vec<Block>>,
}

impl Regions {
    pub fn random(random: &mut Random, k: c_int, m: c_int, bytes: usize) -> Regions {
        let mut regions = Regions {
            k,
            m,
            bytes,
            blocks: vec![vec![Block([0; ALIGN]); bytes.div_ceil(ALIGN)]; (k + m) as usize],
        };
        for region in &mut regions.blocks {
            for block in region {
                block.0.copy_from_slice(&random.bytes(ALIGN));
            }
        }
        regions
    }

    /// What is lost holds anything.
    pub fn spoil(&mut self, lost: &[c_int]) {
        for &shard in lost {
            self.blocks[shard as usize].fill(Block([0xa5; ALIGN]));
        }
    }

    /// Pointers to the data and the coding regions.
    pub fn pointers(&mut self) -> (Vec<*mut c_char>, Vec<*mut c_char>) {
        let mut all: Vec<*mut c_char> = self
            .blocks
            .iter_mut()
            .map(|region| region.as_mut_ptr().cast())
            .collect();
        let coding = all.split_off(self.k as usize);
        (all, coding)
    }
}

impl std::fmt::Debug for Regions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sums: Vec<u64> = self
            .blocks
            .iter()
            .map(|r| {
                r.iter()
                    .flat_map(|b| b.0)
                    .fold(7, |h: u64, b| h.wrapping_mul(31) + u64::from(b))
            })
            .collect();
        write!(f, "{sums:x?}")
    }
}

/// Some patterns of losses: one of each kind, and random ones.
pub fn lost_patterns(k: c_int, m: c_int, random: &mut Random) -> Vec<Vec<c_int>> {
    let mut patterns = vec![vec![], vec![0], vec![k - 1], vec![k], vec![k + m - 1]];
    for _ in 0..6 {
        let mut lost: Vec<c_int> = Vec::new();
        while lost.len() < m as usize {
            let shard = (random.next() % (k + m) as u64) as c_int;
            if !lost.contains(&shard) {
                lost.push(shard);
            }
        }
        patterns.push(lost);
    }
    patterns
}
