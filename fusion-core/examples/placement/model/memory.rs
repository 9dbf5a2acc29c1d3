//! Memory of codes and of copies.

use super::{Model, SHAPES};
use crate::table::{Table, short};

impl Model {
    pub(super) fn memory(&self) -> Table {
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
}
