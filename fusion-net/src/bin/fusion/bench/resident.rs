//! How much memory processes take, once it has come to rest: free memory goes back to the system late, in jemalloc over
//! some 10 s, of which nothing is to be seen at first.

use crate::memory;
use anyhow::Context;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Between two looks, and the longest that it may take.
const LOOK: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);
/// What is freed goes back within this time, or never.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// It rests when it has changed by no more than one part of so many, in so many looks one after the other.
const PARTS: u64 = 500;
const QUIET: usize = 3;

/// Bytes of each process when nothing changes any more, and not before `least` is over.
///
/// # Errors
/// When a process is gone.
pub(crate) async fn settled(pids: &[u32], least: Duration) -> anyhow::Result<BTreeMap<u32, u64>> {
    let begin = Instant::now();
    let end = begin + LONGEST;
    let mut last = look(pids)?;
    let mut quiet = 0;
    while (quiet < QUIET || begin.elapsed() < least) && Instant::now() < end {
        sleep(LOOK).await;
        let now = look(pids)?;
        let (then, sum): (u64, u64) = (last.values().sum(), now.values().sum());
        quiet = if then.abs_diff(sum) <= sum / PARTS {
            quiet + 1
        } else {
            0
        };
        last = now;
    }
    Ok(last)
}

fn look(pids: &[u32]) -> anyhow::Result<BTreeMap<u32, u64>> {
    let of = |pid: &u32| {
        let bytes = memory::own(*pid);
        let bytes = bytes.with_context(|| format!("the memory of process {pid} cannot be read"))?;
        Ok((*pid, bytes))
    };
    pids.iter().map(of).collect()
}
