//! The memory that a server may take, and what it takes of that (PROTOCOL rule 70).

use fusion_core::memory::MemoryUse;
use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// At least so many bytes are kept from writes, or an eighth of the limit, but never more than half of it.
const LEAST_RESERVE: u64 = 48 << 20;

/// What is counted as taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    /// What the kernel holds in memory for the process, as control groups count it.
    Resident,
    /// What the process has reserved: with a limit of the address space (`ulimit -v`) that is what fails.
    AddressSpace,
}

/// How much memory a server may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    bytes: u64,
    measure: Measure,
}

impl MemoryLimit {
    /// So many bytes of resident memory.
    #[must_use]
    pub fn resident(bytes: u64) -> MemoryLimit {
        MemoryLimit {
            bytes,
            measure: Measure::Resident,
        }
    }

    /// What the system gives this process: its control groups, its limit of the address space, or else the whole machine.
    /// `None` where none of them can be told.
    #[must_use]
    pub fn of_system() -> Option<MemoryLimit> {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let groups = group_limit(&groups, Path::new("/sys/fs/cgroup"));
        let machine = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let resident = groups.into_iter().chain(machine_bytes(&machine)).min();
        let address_space = getrlimit(Resource::As).current;
        match (resident, address_space) {
            (resident, Some(limit)) => Some(MemoryLimit {
                bytes: resident.map_or(limit, |r| r.min(limit)),
                measure: Measure::AddressSpace,
            }),
            (resident, None) => resident.map(MemoryLimit::resident),
        }
    }

    /// The limit in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.bytes
    }

    fn reserve(self) -> u64 {
        (self.bytes / 8).max(LEAST_RESERVE).min(self.bytes / 2)
    }
}

/// The least limit of the control groups that a process is in, of which `groups` is its list, and of those above.
fn group_limit(groups: &str, root: &Path) -> Option<u64> {
    let of_group = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let (folder, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            c if c.split(',').any(|c| c == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let path = Path::new(path.trim_start_matches('/'));
        let limit = |group: &Path| {
            let text = fs::read_to_string(folder.join(group).join(file)).ok()?;
            text.trim().parse::<u64>().ok()
        };
        path.ancestors().filter_map(limit).min()
    };
    groups.lines().filter_map(of_group).min()
}

/// The memory of the machine, of `/proc/meminfo`.
fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// What this process takes: all of its address space, and what of that is resident.
fn taken(measure: Measure) -> Option<u64> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = pages.split(' ').map(|n| n.parse::<u64>().ok());
    let (all, resident) = (pages.next()??, pages.next()??);
    let pages = match measure {
        Measure::Resident => resident,
        Measure::AddressSpace => all,
    };
    Some(pages * page_size() as u64)
}

/// The memory of this process, as it was when it was looked at last.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: Option<MemoryLimit>,
    used: AtomicU64,
    /// The mark that was passed last, in percent, so that each is told once.
    told: AtomicU64,
}

impl Memory {
    pub(crate) fn new(limit: Option<MemoryLimit>) -> Memory {
        let memory = Memory {
            limit,
            used: AtomicU64::new(0),
            told: AtomicU64::new(0),
        };
        memory.look();
        memory
    }

    /// Looks at what is taken, and says in the log when a mark is passed.
    pub(crate) fn look(&self) {
        let Some(used) = self.limit.and_then(|limit| taken(limit.measure)) else {
            return;
        };
        self.used.store(used, Ordering::Relaxed);
        let Some(memory) = self.in_use() else {
            return;
        };
        let told = self.told.load(Ordering::Relaxed);
        let passed = mark(memory.percent());
        // Told again when it was well below it for a while.
        if passed > told {
            self.told.store(passed, Ordering::Relaxed);
            let MemoryUse {
                used,
                limit,
                reserve,
            } = memory;
            match memory.is_full() {
                true => tracing::warn!(
                    used,
                    limit,
                    reserve,
                    "the memory of this server is full: its primaries, and all whose codes are here, execute no writes but \
                     removals until there is room"
                ),
                false => tracing::warn!(
                    used,
                    limit,
                    reserve,
                    "writes have filled {passed} % of the memory that they may take on this server; when it is full, they \
                     are refused"
                ),
            }
        } else if mark(memory.percent() + 5) < told {
            self.told.store(passed, Ordering::Relaxed);
        }
    }

    /// What it takes, if it has a limit.
    pub(crate) fn in_use(&self) -> Option<MemoryUse> {
        self.limit.map(|limit| MemoryUse {
            used: self.used.load(Ordering::Relaxed),
            limit: limit.bytes,
            reserve: limit.reserve(),
        })
    }

    /// The same, when it is full.
    pub(crate) fn full(&self) -> Option<MemoryUse> {
        self.in_use().filter(MemoryUse::is_full)
    }

    /// Whether even what is kept for members that are made here is gone.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.in_use().is_some_and(|memory| memory.room() == 0)
    }
}

/// The mark at or below so much, in percent: those that operators are warned at.
fn mark(percent: u64) -> u64 {
    let marks = [100, 90, 80];
    marks.into_iter().find(|m| percent >= *m).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_of_all_groups_above_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let limit = |groups| group_limit(groups, root.path());
        assert_eq!(limit("0::/a/b\n"), None);
        write("a/b/memory.max", "max\n");
        assert_eq!(limit("0::/a/b\n"), None);
        write("a/memory.max", "3000\n");
        assert_eq!(limit("0::/a/b\n"), Some(3000));
        write("memory/c/memory.limit_in_bytes", "2000\n");
        assert_eq!(limit("4:cpu,memory:/c/d\n0::/a/b\n"), Some(2000));
        assert_eq!(limit("4:cpu:/c/d\n"), None);
    }

    #[test]
    fn the_memory_of_a_machine_is_read() {
        let text = "MemTotal:       24683544 kB\nMemFree:         6807028 kB\n";
        assert_eq!(machine_bytes(text), Some(24_683_544 * 1024));
        assert_eq!(machine_bytes("MemFree: 1 kB"), None);
    }

    #[test]
    fn writes_are_kept_from_an_eighth_and_from_no_more_than_half() {
        let reserve = |bytes| MemoryLimit::resident(bytes).reserve();
        assert_eq!(reserve(8 << 30), 1 << 30);
        assert_eq!(reserve(200 << 20), LEAST_RESERVE);
        assert_eq!(reserve(60 << 20), 30 << 20);
    }

    #[test]
    fn what_this_process_takes_is_told_where_the_system_tells_it() {
        let (all, resident) = (taken(Measure::AddressSpace), taken(Measure::Resident));
        assert!(
            resident > Some(0) && all >= resident,
            "{all:?} {resident:?}"
        );
        let memory = Memory::new(Some(MemoryLimit::resident(1)));
        assert!(memory.full().is_some() && memory.is_exhausted());
        assert_eq!(Memory::new(None).in_use(), None);
        assert_eq!([79, 80, 95, 100, 120].map(mark), [0, 80, 90, 100, 100]);
    }
}
