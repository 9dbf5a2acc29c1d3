//! Processors and network of members and servers, while nobody fails.

use super::{Model, SHAPES};
use crate::table::{Table, short};

const VALUES: [f64; 3] = [64.0, 1024.0, 16_384.0];

impl Model {
    pub(super) fn processors(&self) -> Table {
        let text = format!(
            "Processor time of one member at {} writes/s a primary of 64-byte values, and the most writes/s a primary when \
             the busiest member has one core.",
            short(self.writes)
        );
        let head = [
            "n+f",
            "primary: cores",
            "fused: cores",
            "a copy: cores",
            "most writes/s a primary",
        ];
        let mut table = Table::new(&text, head);
        let (primary, fused) = (self.primary_us * 1e-6, self.fused_us * 1e-6);
        for (n, f) in SHAPES {
            let fan_in = n as f64 * fused;
            table.row([
                format!("{n}+{f}"),
                short(self.writes * primary),
                short(self.writes * fan_in),
                short(self.writes * fused),
                short(1.0 / primary.max(fan_in)),
            ]);
        }
        table
    }

    pub(super) fn member_network(&self) -> Table {
        let text = format!(
            "Network of one member at {} writes/s a primary, Gbit/s, and the most writes/s a primary when the member \
             that sends or takes most has a network alone.",
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
                let most = self
                    .network
                    .iter()
                    .map(|b| short(most_writes(*b, n_, f_, bits)));
                table.row(shape.into_iter().chain(flows).chain(most));
            }
        }
        table
    }

    pub(super) fn server_load(&self) -> Table {
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
            let cores = short(writes * self.put_us(value) * 1e-6);
            table.row([value.to_string(), short(gbits), cores]);
        }
        table
    }

    /// Microseconds of all servers of a cluster for a put. Longer values were measured at 5+2 alone: their parts are taken
    /// to be in the same proportion.
    pub(crate) fn put_us(&self, value: f64) -> f64 {
        let of = |faults: f64| self.primary_us + faults * self.fused_us;
        let measured = if value == VALUES[0] {
            of(2.0)
        } else if value == VALUES[1] {
            self.put_1k_us
        } else {
            self.put_16k_us
        };
        measured * of(self.f()) / of(2.0)
    }
}

/// Writes a second to each primary that a network of `gbits` bears: a primary sends each change f times, a fused member
/// takes those of n primaries.
pub(crate) fn most_writes(gbits: f64, n: f64, f: f64, bits: f64) -> f64 {
    gbits * 1e9 / (n.max(f) * bits)
}
