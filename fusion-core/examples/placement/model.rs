//! The model on paper of a fleet: each figure is computed from the inputs by the formula in docs/scale.md.

use crate::args::Model;
use crate::markov::mean_time_to_loss;
use crate::table::{Output, Table, percent, short};
use anyhow::Result;

const SHAPES: [(usize, usize); 6] = [(1, 2), (5, 1), (5, 2), (10, 2), (10, 4), (20, 2)];
const VALUES: [f64; 3] = [64.0, 1024.0, 16_384.0];
/// Where the recovery was measured: primaries, and elements of each.
const MEASURED: (f64, f64) = (5.0, 1e6);
const HOURS_A_YEAR: f64 = 8766.0;

/// # Errors
/// When the file cannot be written.
pub(crate) fn run(model: &Model) -> Result<()> {
    let mut output = Output::new(model.fleet.markdown.as_deref())?;
    output.table(&model.inputs())?;
    output.table(&model.processors())?;
    output.table(&model.member_network())?;
    output.table(&model.server_load())?;
    output.table(&model.memory())?;
    let (table, ways) = model.recovery();
    output.table(&table)?;
    output.table(&model.loss(&ways))?;
    output.finish()
}

/// How the members of one dead server are made again.
struct Way {
    name: &'static str,
    copies: bool,
    /// Servers that make them, each as many.
    makers: f64,
    /// Servers that hold what is read.
    sources: f64,
}

impl Model {
    fn n(&self) -> f64 {
        self.fleet.primaries as f64
    }

    fn f(&self) -> f64 {
        self.fleet.faults as f64
    }

    /// Primaries of a server, on average.
    fn primaries_a_server(&self) -> f64 {
        self.n() * self.fleet.clusters as f64 / self.fleet.servers as f64
    }

    /// Members of a server, on average.
    fn members_a_server(&self) -> f64 {
        (self.n() + self.f()) * self.fleet.clusters as f64 / self.fleet.servers as f64
    }

    /// Processor time of a put at each server that has part in it: the measured sum in equal parts.
    fn put_s(&self) -> f64 {
        self.put_us * 1e-6 / (self.put_faults + 1.0)
    }

    fn change(&self, value: f64) -> f64 {
        value + self.change_bytes
    }

    /// Bytes of a primary's pages.
    fn pages(&self) -> f64 {
        self.elements * self.page_bytes
    }

    /// Bytes a second that a replacement takes, from the measured recovery: all but the index.
    fn stream(&self) -> f64 {
        let (n, elements) = MEASURED;
        let streaming = self.recovery_s - elements * self.rebuild_ns * 1e-9;
        n * elements * self.page_bytes / streaming.max(1e-6)
    }

    fn inputs(&self) -> Table {
        let text = "Inputs, and what follows from them at once.";
        let mut table = Table::new(text, ["name", "value", "from"]);
        let mut row = |name: &str, value: String, from: &str| {
            table.row([name.to_owned(), value, from.to_owned()]);
        };
        row("N", self.fleet.servers.to_string(), "assumed: servers");
        row("C", self.fleet.clusters.to_string(), "assumed: clusters");
        row(
            "n + f",
            format!("{} + {}", self.fleet.primaries, self.fleet.faults),
            "assumed",
        );
        let hosted = format!(
            "{}; {}",
            short(self.primaries_a_server()),
            short(self.members_a_server())
        );
        row(
            "primaries; members of a server",
            hosted,
            "C n / N; C (n + f) / N",
        );
        row(
            "w",
            format!("{}/s", short(self.writes)),
            "assumed: writes to a primary",
        );
        row(
            "E",
            short(self.elements),
            "assumed: elements of a primary, 16 B + 64 B",
        );
        row(
            "h",
            format!("{} B", short(self.change_bytes)),
            "measured (store_speed): a change less its value",
        );
        row(
            "c",
            format!("{} us", short(self.put_s() * 1e6)),
            &format!(
                "measured {} us a put over all servers at f = {}, in f + 1 equal parts (the parts are assumed)",
                short(self.put_us),
                short(self.put_faults)
            ),
        );
        row(
            "p",
            format!("{} B", short(self.page_bytes)),
            "measured (store_speed): pages an element",
        );
        row(
            "i",
            format!("{} B", short(self.index_bytes)),
            "measured (store_speed): index an element",
        );
        row(
            "r",
            format!("{} ns", short(self.rebuild_ns)),
            "measured (store_speed): index rebuilt, an element",
        );
        row(
            "D",
            format!("{} MB", short(self.pages() / 1e6)),
            "E p: pages of a primary",
        );
        row(
            "s",
            format!("{} GB/s", short(self.stream() / 1e9)),
            &format!(
                "5 p 10^6 / ({} s - r 10^6): what a measured replacement took in, its sources on the same 2 cores",
                short(self.recovery_s)
            ),
        );
        row(
            "m",
            format!("{} GB/s", short(self.multiply_gbs)),
            "measured (jerasure): multiplying pages, avx2",
        );
        row(
            "T_s",
            format!("{} s", short(self.detect_s)),
            "default of --suspect-after-ms, measured 1.01 s",
        );
        let network: Vec<String> = self.network.iter().map(|b| short(*b)).collect();
        row(
            "B",
            format!("{} Gbit/s", network.join("; ")),
            "assumed: network of a server, each way",
        );
        row("K", short(self.cores), "assumed: cores of a server");
        row(
            "MTBF",
            format!("{} h", short(self.mtbf_h)),
            "assumed: of a server",
        );
        table
    }

    fn processors(&self) -> Table {
        let text = format!(
            "Processor time of one member at {} writes/s a primary of 64-byte values, and the most writes/s a primary when \
             the fused member has one core.",
            short(self.writes)
        );
        let head = [
            "n+f",
            "fused: cores",
            "a copy: cores",
            "most writes/s a primary",
        ];
        let mut table = Table::new(&text, head);
        for (n, f) in SHAPES {
            let each = self.writes * self.put_s();
            let n_ = n as f64;
            let most = 1.0 / (n_ * self.put_s());
            table.row([
                format!("{n}+{f}"),
                short(n_ * each),
                short(each),
                short(most),
            ]);
        }
        table
    }

    fn member_network(&self) -> Table {
        let text = format!(
            "Network of one member at {} writes/s a primary, Gbit/s, and the most writes/s a primary when the fused member \
             has a network alone.",
            short(self.writes)
        );
        let head = [
            "n+f",
            "value B",
            "primary sends",
            "fused takes",
            "a copy takes",
        ];
        let mut head: Vec<String> = head.map(str::to_owned).to_vec();
        let most = |gbits: &f64| format!("most at {} Gbit/s", short(*gbits));
        head.extend(self.network.iter().map(most));
        let mut table = Table::new(&text, head);
        for value in VALUES {
            for (n, f) in SHAPES {
                let (n_, f_) = (n as f64, f as f64);
                let bits = 8.0 * self.change(value);
                let each = self.writes * bits / 1e9;
                let shape = [format!("{n}+{f}"), value.to_string()];
                let flows = [f_ * each, n_ * each, each].map(short);
                let most = self.network.iter().map(|b| short(b * 1e9 / (n_ * bits)));
                table.row(shape.into_iter().chain(flows).chain(most));
            }
        }
        table
    }

    fn server_load(&self) -> Table {
        let text = format!(
            "One server of the fleet with {} primaries and its share of fused members, at {} writes/s a primary; copies \
             with as many faults come to the same.",
            short(self.primaries_a_server()),
            short(self.writes)
        );
        let head = ["value B", "changes in, and out, Gbit/s", "cores"];
        let mut table = Table::new(&text, head);
        let writes = self.primaries_a_server() * self.writes;
        for value in VALUES {
            let gbits = writes * self.f() * 8.0 * self.change(value) / 1e9;
            let cores = if value == VALUES[0] {
                short(writes * (self.f() + 1.0) * self.put_s())
            } else {
                "not measured".to_owned()
            };
            table.row([value.to_string(), short(gbits), cores]);
        }
        table
    }

    fn memory(&self) -> Table {
        let text = "Bytes of memory for an element of 16 B + 64 B, on all servers.";
        let head = [
            "n+f",
            "primary",
            "codes",
            "Fusion",
            "copies",
            "Fusion / copies",
            "codes / primary",
            "if the largest primary is twice the mean: Fusion / copies",
        ];
        let mut table = Table::new(text, head);
        for (n, f) in SHAPES {
            let (n, f) = (n as f64, f as f64);
            let primary = self.page_bytes + self.index_bytes;
            let codes = f * self.page_bytes / n;
            let copies = (f + 1.0) * primary;
            table.row([
                format!("{n}+{f}"),
                short(primary),
                short(codes),
                short(primary + codes),
                short(copies),
                short((primary + codes) / copies),
                short(codes / primary),
                short((primary + codes * f64::min(2.0, n)) / copies),
            ]);
        }
        table
    }

    /// Seconds until what a dead server had is there again: detection; then the slowest of what flows; then indexes.
    fn recovery_s(&self, way: &Way, gbits: f64) -> [f64; 6] {
        let (members, indexed, each) = self.lost(way.copies);
        let pages = self.pages();
        let bytes = members * each * pages;
        let nic = gbits * 1e9 / 8.0;
        let a_maker = members / way.makers;
        let into = bytes / way.makers / nic;
        let out = bytes / way.sources / nic;
        let lanes = f64::min(a_maker, (self.cores / 2.0).max(1.0));
        let stream = bytes / way.makers / (self.stream() * lanes);
        let decode = bytes / way.makers / (self.multiply_gbs * 1e9 * lanes);
        let lanes = f64::min(a_maker, self.cores);
        let index = indexed / way.makers * self.elements * self.rebuild_ns * 1e-9 / lanes.max(1.0);
        let flow = into.max(out).max(stream).max(decode);
        [
            into,
            out,
            stream,
            decode,
            index,
            self.detect_s + flow + index,
        ]
    }

    /// What a dead server had: members, those with an index, and how often the pages of a primary are read for each.
    fn lost(&self, copies: bool) -> (f64, f64, f64) {
        if copies {
            let copies = self.primaries_a_server() * (self.f() + 1.0);
            return (copies, copies, 1.0);
        }
        (self.members_a_server(), self.primaries_a_server(), self.n())
    }

    fn recovery(&self) -> (Table, Vec<(String, bool, f64)>) {
        let members = self.members_a_server();
        let width = self.n() + self.f() - 1.0;
        let servers = self.fleet.servers as f64 - 1.0;
        let copies = self.lost(true).0;
        let ways = [
            Way {
                name: "`place`: each member at another server",
                copies: false,
                makers: members,
                sources: f64::min(2.0 * width, servers),
            },
            Way {
                name: "`place`: all at one empty server",
                copies: false,
                makers: 1.0,
                sources: f64::min(2.0 * width, servers),
            },
            Way {
                name: "random: each at another server",
                copies: false,
                makers: members,
                sources: f64::min(members * width, servers),
            },
            Way {
                name: "copies, random: each at another server",
                copies: true,
                makers: copies,
                sources: f64::min(copies * self.f(), servers),
            },
            Way {
                name: "copies: all at one empty server",
                copies: true,
                makers: 1.0,
                sources: f64::min(copies * self.f(), servers),
            },
        ];
        let text = "Recovery of all that one dead server had, seconds. The longest of the four flows counts, then the indexes.";
        let head = [
            "what",
            "Gbit/s",
            "GB read",
            "makers",
            "sources",
            "into a maker",
            "out of a source",
            "a maker's work (s)",
            "of it multiplying (m)",
            "indexes",
            "in all, with T_s",
        ];
        let mut table = Table::new(text, head);
        let mut times = Vec::new();
        for way in &ways {
            for &gbits in &self.network {
                let (members, _, each) = self.lost(way.copies);
                let [into, out, stream, decode, index, all] = self.recovery_s(way, gbits);
                let cells = [
                    members * each * self.pages() / 1e9,
                    way.makers,
                    way.sources,
                    into,
                    out,
                    stream,
                    decode,
                    index,
                    all,
                ];
                let cells = cells.iter().map(|c| short(*c));
                table.row([way.name.to_owned(), short(gbits)].into_iter().chain(cells));
                times.push((
                    format!("{}, {} Gbit/s", way.name, short(gbits)),
                    way.copies,
                    all,
                ));
            }
        }
        (table, times)
    }

    fn loss(&self, ways: &[(String, bool, f64)]) -> Table {
        let text = format!(
            "Mean time to data loss when servers fail independently, {} h apart each, and the fleet's losses.",
            short(self.mtbf_h)
        );
        let head = [
            "T",
            "seconds",
            "of one cluster (or group of copies), years",
            "of the fleet, years",
            "fleet loses data within a year",
            "primaries lost each time",
        ];
        let mut table = Table::new(&text, head);
        let (n, f) = (self.fleet.primaries, self.fleet.faults);
        let mut row = |name: &str, copies: bool, seconds: f64| {
            let members = if copies { f + 1 } else { n + f };
            let groups = self.fleet.clusters as f64 * if copies { self.n() } else { 1.0 };
            let years = mean_time_to_loss(members, f, self.mtbf_h, seconds / 3600.0) / HOURS_A_YEAR;
            let lost = if copies {
                1.0
            } else {
                (self.f() + 1.0) * self.n() / (self.n() + self.f())
            };
            let a_year = -(-groups / years).exp_m1();
            table.row([
                name.to_owned(),
                short(seconds),
                short(years),
                short(years / groups),
                percent(a_year),
                short(lost),
            ]);
        };
        for (name, copies, seconds) in ways {
            row(name, *copies, *seconds);
        }
        for copies in [false, true] {
            let what = if copies { "copies" } else { "Fusion" };
            row(
                &format!("{what}: no free server for an hour"),
                copies,
                3600.0,
            );
            row(&format!("{what}: none for a day"), copies, 86_400.0);
        }
        table
    }
}
