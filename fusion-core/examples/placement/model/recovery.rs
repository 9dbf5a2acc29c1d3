//! How long it takes until all that one dead server had is there again.

use super::{Groups, Model};
use crate::table::{Table, short};

/// Where the recovery was measured that the model takes its speed from: primaries, and elements of each.
const MEASURED: (f64, f64) = (5.0, 2e6);

/// Recoveries of one of 5 primaries, from detection to serving, that the model is held against.
const OTHERS: [Other; 5] = [
    Other::new("20,000 of 64 B", 20_000.0, false, "0.018 to 0.026", "scale"),
    Other::new(
        "200,000 of 64 B",
        200_000.0,
        false,
        "0.100 (0.095 to 0.107)",
        "recovery",
    ),
    Other::new("200,000 of 64 B", 200_000.0, false, "0.118", "scale"),
    Other::new(
        "2,000,000 of 64 B",
        2e6,
        false,
        "1.166 (1.035 to 1.279)",
        "recovery",
    ),
    Other::new("20,000 of 1,024 B", 20_000.0, true, "0.121", "scale"),
];

struct Other {
    what: &'static str,
    elements: f64,
    long: bool,
    seconds: &'static str,
    bench: &'static str,
}

impl Other {
    const fn new(
        what: &'static str,
        elements: f64,
        long: bool,
        seconds: &'static str,
        bench: &'static str,
    ) -> Other {
        Other {
            what,
            elements,
            long,
            seconds,
            bench,
        }
    }
}

/// How the members of one dead server are made again.
pub(crate) struct Way<'a> {
    pub(crate) name: &'static str,
    pub(crate) groups: &'a Groups,
    /// Servers that make them, each as many.
    pub(crate) makers: f64,
}

/// Seconds of each part.
pub(crate) struct Times {
    pub(crate) into: f64,
    pub(crate) out: f64,
    pub(crate) work: f64,
    pub(crate) multiplying: f64,
    pub(crate) indexes: f64,
    pub(crate) all: f64,
}

impl Model {
    /// Bytes a second that a replacement takes, from the measured recovery: all but the index, which is rebuilt when
    /// all pages are there.
    pub(crate) fn stream(&self) -> f64 {
        let (n, elements) = MEASURED;
        let streaming = self.recovery_s - elements * self.rebuild_ns * 1e-9;
        n * elements * self.page_bytes / streaming.max(1e-6)
    }

    /// One primary of 5 on the machine that it was measured on, from detection to serving.
    pub(crate) fn one_recovery_s(&self, elements: f64, page_bytes: f64) -> f64 {
        let pages = MEASURED.0 * elements * page_bytes;
        pages / self.stream() + elements * self.rebuild_ns * 1e-9
    }

    /// Indexes of whole members at one maker: each is one thread's work, and no member takes less than that.
    pub(crate) fn indexes_s(&self, indexed: f64) -> f64 {
        let members = indexed.ceil().max(1.0);
        let at_once = members.min(self.cores.floor().max(1.0));
        self.elements * self.rebuild_ns * 1e-9 * (members / at_once).ceil()
    }

    /// Detection; then the slowest of what flows; then indexes.
    pub(crate) fn times(&self, way: &Way, gbits: f64) -> Times {
        let groups = way.groups;
        let bytes = groups.members * groups.primaries as f64 * self.pages();
        let nic = gbits * 1e9 / 8.0;
        let lanes = f64::min(groups.members / way.makers, (self.cores / 2.0).max(1.0));
        let a_maker = bytes / way.makers;
        let into = a_maker / nic;
        let out = groups.sources.busiest * self.pages() / nic;
        let work = a_maker / (self.stream() * lanes);
        let multiplying = a_maker / (self.multiply_gbs * 1e9 * lanes);
        let indexes = self.indexes_s(groups.indexed / way.makers);
        let flow = into.max(out).max(work).max(multiplying);
        Times {
            into,
            out,
            work,
            multiplying,
            indexes,
            all: self.detect_s + flow + indexes,
        }
    }

    /// The table, and the time of each way at each network.
    pub(super) fn recovery<'a>(&self, ways: &[Way<'a>]) -> (Table, Vec<(String, &'a Groups, f64)>) {
        let text = "Recovery of all that one dead server had, seconds. The longest of the four flows counts, then the indexes.";
        let head = [
            "what",
            "Gbit/s",
            "GB read",
            "makers",
            "sources",
            "D from the busiest",
            "into a maker",
            "out of the busiest source",
            "a maker's work (s)",
            "of it multiplying (m)",
            "indexes",
            "in all, with T_s",
        ];
        let mut table = Table::new(text, head);
        let mut times = Vec::new();
        for way in ways {
            for &gbits in &self.network {
                let groups = way.groups;
                let t = self.times(way, gbits);
                let cells = [
                    groups.members * groups.primaries as f64 * self.pages() / 1e9,
                    way.makers,
                    groups.sources.number,
                    groups.sources.busiest,
                    t.into,
                    t.out,
                    t.work,
                    t.multiplying,
                    t.indexes,
                    t.all,
                ];
                let cells = cells.iter().map(|c| short(*c));
                table.row([way.name.to_owned(), short(gbits)].into_iter().chain(cells));
                let name = format!("{}, {} Gbit/s", way.name, short(gbits));
                times.push((name, groups, t.all));
            }
        }
        (table, times)
    }

    pub(super) fn against_measured(&self) -> Table {
        let text = "One of 5 primaries of 5+2 lost, seconds from detection to serving: the model and `fusion bench`.";
        let head = ["elements of each primary", "model", "measured", "by"];
        let mut table = Table::new(text, head);
        for other in &OTHERS {
            let pages = if other.long {
                self.page_1k_bytes
            } else {
                self.page_bytes
            };
            table.row([
                other.what.to_owned(),
                short(self.one_recovery_s(other.elements, pages)),
                other.seconds.to_owned(),
                format!("fusion bench {}", other.bench),
            ]);
        }
        table
    }
}
