//! A picture of what grows with what.

use super::{Figures, KEY_BYTES, Row, What};
use crate::bench::svg::{Chart, Legend, Series, Stroke, page};

/// A line: its color, its name, and its figure of a row, where there is one.
type Line = (&'static str, &'static str, fn(&Row) -> Option<f64>);

const COST: [Line; 2] = [
    (
        "#1f5fbf",
        "a put: 50 % took no longer, 1 in flight (us)",
        |r| Some(r.puts.p50_us.median),
    ),
    (
        "#74a9e8",
        "a put: all servers' processor time, 64 in flight (us)",
        |r| Some(r.puts.server_cpu_us.median),
    ),
];
const MEMORY: [Line; 3] = [
    ("#7d5a4f", "key and value (B)", |r| {
        Some((KEY_BYTES + r.point.value_bytes) as f64)
    }),
    ("#2e8b57", "memory of all servers, an element (B)", |r| {
        Some(r.each(r.memory.all))
    }),
    (
        "#8fbc8f",
        "memory of the fused servers, an element (B)",
        |r| r.memory.fused.map(|bytes| r.each(bytes)),
    ),
];
const RECOVERY: [Line; 1] = [("#c0392b", "a lost primary serves again (ms)", |r| {
    Some(r.recovered_ms.median)
})];

impl What {
    fn title(self) -> &'static str {
        match self {
            What::Primaries => "primaries grow",
            What::Faults => "faults grow",
            What::Elements => "elements grow",
            What::Values => "values grow",
        }
    }

    fn axis(self) -> &'static str {
        match self {
            What::Primaries => "primaries",
            What::Faults => "faults tolerated",
            What::Elements => "elements",
            What::Values => "bytes of a value",
        }
    }

    fn of(self, row: &Row) -> f64 {
        match self {
            What::Primaries => row.point.primaries as f64,
            What::Faults => row.point.faults as f64,
            What::Elements => row.point.elements as f64,
            What::Values => row.point.value_bytes as f64,
        }
    }
}

/// The figures as SVG.
pub(super) fn draw(figures: &Figures) -> String {
    let mut grown: Vec<What> = figures.rows.iter().map(|row| row.what).collect();
    grown.dedup();
    let charts: Vec<Chart> = grown
        .into_iter()
        .flat_map(|what| {
            let rows: Vec<&Row> = figures.rows.iter().filter(|r| r.what == what).collect();
            let title = |part: &str| format!("{}: {part}", what.title());
            [
                chart(what, &rows, &COST, title("a put"), "microseconds"),
                chart(what, &rows, &MEMORY, title("memory"), "bytes an element"),
                chart(what, &rows, &RECOVERY, title("recovery"), "milliseconds"),
            ]
        })
        .collect();
    let lines = COST.iter().chain(&MEMORY).chain(&RECOVERY);
    let legend: Vec<Legend> = lines
        .map(|(color, text, _)| Legend {
            color,
            stroke: Stroke::Solid,
            text: (*text).to_owned(),
        })
        .collect();
    let heading = format!(
        "Around 5 + 2, 100,000 elements and values of 64 B one thing grows at a time; medians of {} x {} s\n{}",
        figures.repetitions,
        figures.seconds,
        figures.machine.line()
    );
    page(&heading, &legend, &charts)
}

fn chart(what: What, rows: &[&Row], lines: &[Line], title: String, y: &'static str) -> Chart {
    let series = lines.iter().map(|(color, _, figure)| Series {
        points: rows
            .iter()
            .filter_map(|row| Some((what.of(row), figure(row)?)))
            .collect(),
        color,
        stroke: Stroke::Solid,
    });
    Chart {
        title,
        x: what.axis(),
        y,
        series: series.filter(|line| !line.points.is_empty()).collect(),
    }
}
