//! What processes take.

use fusion_net::local::LocalCluster;
use std::collections::BTreeMap;

/// The resident memory of a process in bytes, as the kernel counts it; `None` when the process is gone.
pub(crate) fn resident(pid: u32) -> Option<u64> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// The resident memory of each server process, by process id.
pub(crate) fn of_servers(local: &LocalCluster) -> BTreeMap<u32, u64> {
    let pids = local.servers().map(|(_, process)| process.pid());
    pids.filter_map(|pid| Some((pid, resident(pid)?))).collect()
}

/// The resident memory that a process shares with no other, in bytes: neither the program nor its libraries.
pub(crate) fn own(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    Some(field(&text, "Private_Clean:")? + field(&text, "Private_Dirty:")?)
}

fn parse(status: &str) -> Option<u64> {
    field(status, "VmRSS:")
}

/// A line of the kernel's, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figure_is_read() {
        assert_eq!(
            parse("Name:\tx\nVmRSS:\t    1234 kB\nThreads:\t1\n"),
            Some(1234 * 1024)
        );
        assert_eq!(parse("Name:\tx\n"), None);
        assert!(resident(std::process::id()).is_some_and(|bytes| bytes > 0));
        assert!(own(std::process::id()).is_some_and(|bytes| bytes > 0));
    }
}
