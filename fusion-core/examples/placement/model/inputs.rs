//! What the model is given, and what follows from it at once.

use super::Model;
use crate::table::{Table, short};

impl Model {
    pub(super) fn inputs(&self) -> Table {
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
            "measured (store_speed): an overwrite's change less its value",
        );
        row(
            "c_p; c_f",
            format!("{}; {} us", short(self.primary_us), short(self.fused_us)),
            "measured (bench scale): processor time of a put beside its fused members; what each of them adds",
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
                "5 p 2*10^6 / ({} s - r 2*10^6): what a measured replacement took in, its sources on the same 2 cores",
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
}
