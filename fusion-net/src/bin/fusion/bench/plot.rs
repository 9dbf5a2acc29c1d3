//! A picture of a report: throughput over the number in flight, and latency percentiles.

use super::figures::Spread;
use super::plan::Side;
use super::report::{Report, Row};
use super::svg::{Chart, Legend, Series, Stroke, page};

/// One figure of a row.
type Figure = fn(&Row) -> &Spread;

const PERCENTILES: [(Stroke, &str, Figure); 3] = [
    (Stroke::Solid, "50 %", |row| &row.p50_us),
    (Stroke::Dashed, "99 %", |row| &row.p99_us),
    (Stroke::Dotted, "99.9 %", |row| &row.p999_us),
];

fn color(side: Side) -> &'static str {
    match side {
        Side::Fusion => "#1f5fbf",
        Side::FusionSingle => "#74a9e8",
        Side::FusionMany => "#2f8f5b",
        Side::Redis => "#d62728",
        Side::RedisTwoTrips => "#222222",
        Side::RedisShared => "#ff9f1c",
        Side::RedisMany => "#8c564b",
        Side::RedisGathered => "#7b3fa0",
        Side::RedisSpread => "#e58ac0",
    }
}

/// The report as SVG.
pub(crate) fn draw(report: &Report) -> String {
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    for row in &report.rows {
        match groups.last_mut() {
            Some(group) if group[0].key.title() == row.key.title() => group.push(row),
            _ => groups.push(vec![row]),
        }
    }
    let charts: Vec<Chart> = groups
        .iter()
        .flat_map(|group| [throughput(group), latency(group)])
        .collect();
    let heading = report.settings.line().replacen("; ", "\n", 1);
    page(&heading, &legend(report), &charts)
}

fn sides<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Vec<Side> {
    let mut sides: Vec<Side> = rows.into_iter().map(|row| row.key.side).collect();
    sides.sort_unstable();
    sides.dedup();
    sides
}

fn legend(report: &Report) -> Vec<Legend> {
    let sides = sides(&report.rows).into_iter().map(|side| Legend {
        color: color(side),
        stroke: Stroke::Solid,
        text: side.name().to_owned(),
    });
    let percentiles = PERCENTILES.iter().map(|(stroke, name, _)| Legend {
        color: "#555",
        stroke: *stroke,
        text: match stroke {
            Stroke::Solid => format!("latency: {name} took no longer"),
            _ => format!("latency, of Fusion and Redis alone: {name} took no longer"),
        },
    });
    sides.chain(percentiles).collect()
}

fn series(group: &[&Row], side: Side, stroke: Stroke, figure: Figure) -> Series {
    let rows = group.iter().filter(|row| row.key.side == side);
    let mut points: Vec<(f64, f64)> = rows
        .map(|row| (row.key.in_flight as f64, figure(row).median))
        .collect();
    points.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    Series {
        points,
        color: color(side),
        stroke,
    }
}

fn throughput(group: &[&Row]) -> Chart {
    let sides = sides(group.iter().copied());
    let line = |side| series(group, side, Stroke::Solid, |row| &row.per_second);
    Chart {
        title: group[0].key.title(),
        x: "calls in flight",
        y: "operations a second",
        series: sides.into_iter().map(line).collect(),
    }
}

fn latency(group: &[&Row]) -> Chart {
    // The far percentiles of two only; with all of them nothing could be read.
    let lines = sides(group.iter().copied()).into_iter().flat_map(|side| {
        let percentiles = match side {
            Side::Fusion | Side::Redis => &PERCENTILES[..],
            _ => &PERCENTILES[..1],
        };
        let line = move |(stroke, _, figure): &(Stroke, &str, Figure)| {
            series(group, side, *stroke, *figure)
        };
        percentiles.iter().map(line)
    });
    Chart {
        title: format!("{}: latency", group[0].key.action.name()),
        x: "calls in flight",
        y: "microseconds",
        series: lines.collect(),
    }
}
