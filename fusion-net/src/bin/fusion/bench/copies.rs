//! `fusion bench copies`: codes against copies by the same program. A primary alone with its fused structures is copied:
//! its code is the data itself, times a factor.

use super::common::{Machine, OutputArgs, seconds};
use super::deployment::{Deployment, Growth, Layout};
use super::entries::{Entries, MIN_VALUE_BYTES};
use super::figures::Spread;
use super::recovery::{losses, spreads};
use super::scale::{Puts, puts};
use super::table::{Sheet, number, times};
use crate::playground;
use crate::table::count;
use clap::Args;
use rand::seq::SliceRandom;
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;

/// As many structures in each layout.
const STRUCTURES: usize = 10;

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Ten maps on 10 + F servers and a spare one, three times: each with F copies of its own (ten clusters of 1 + F), five \
sharing F codes (two clusters of 5 + F), and all ten sharing F codes (one cluster of 10 + F). All run at the same time, each \
on processes of its own, and puts are measured in random order within each repetition.

Examples:
  fusion bench copies
  fusion bench copies --elements 10000 --repetitions 3 --markdown copies.md")]
pub(crate) struct CopiesArgs {
    /// Faults to tolerate
    #[arg(long, default_value_t = 2, value_name = "F", value_parser = clap::value_parser!(u16).range(1..=10))]
    faults: u16,
    /// Elements of each map
    #[arg(long, default_value_t = 50_000, value_name = "E", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    elements: u64,
    /// The length of a value; keys have 16 bytes
    #[arg(long, default_value_t = 64, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(MIN_VALUE_BYTES as i64..=1 << 20))]
    value_bytes: u32,
    /// How long puts are measured, for each layout and number in flight and repetition
    #[arg(long, default_value = "0.5", value_name = "SECONDS", value_parser = seconds)]
    seconds: f64,
    /// How often puts are measured and servers lost
    #[arg(long, default_value_t = 5, value_name = "TIMES", value_parser = clap::value_parser!(u16).range(1..=1000))]
    repetitions: u16,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Serialize)]
struct Row {
    layout: Layout,
    puts: Puts,
    memory: Growth,
    detected_ms: Spread,
    recovered_ms: Spread,
}

#[derive(Debug, Serialize)]
struct Figures {
    faults: usize,
    elements: u64,
    value_bytes: usize,
    repetitions: u16,
    seconds: f64,
    machine: Machine,
    rows: Vec<Row>,
}

fn layouts(faults: usize) -> [Layout; 3] {
    [1, 5, 10].map(|primaries| Layout {
        clusters: STRUCTURES / primaries,
        primaries,
        faults,
    })
}

/// Runs it.
pub(crate) async fn run(args: CopiesArgs) -> anyhow::Result<ExitCode> {
    args.output.check()?;
    let figures = playground::alone(async || measure(&args).await);
    let Some(figures) = figures.await? else {
        return args.output.interrupted();
    };
    let sheet = figures.sheet();
    args.output.note(&format!("\n{}", sheet.text()))?;
    let markdown = format!("{}.\n\n{}\n", figures.machine.line(), sheet.markdown());
    args.output.write(&figures, &markdown)?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &CopiesArgs) -> anyhow::Result<Figures> {
    let faults = usize::from(args.faults);
    let entries = Entries {
        keys: args.elements * STRUCTURES as u64,
        value_bytes: args.value_bytes as usize,
    };
    let mut all = Vec::new();
    for layout in layouts(faults) {
        args.output.note(&format!(
            "{}: {} elements in each map",
            layout.name(),
            count(args.elements)
        ))?;
        let servers = STRUCTURES + faults + 1;
        let deployment = Deployment::start(layout, servers, entries).await?;
        deployment.fill().await?;
        let memory = deployment.growth(Duration::ZERO).await?;
        all.push((deployment, memory, Vec::new(), Vec::new()));
    }
    args.output.note("puts")?;
    let mut order: Vec<usize> = (0..all.len()).collect();
    for _ in 0..args.repetitions {
        order.shuffle(&mut rand::rng());
        for &index in &order {
            let (deployment, _, ones, busies) = &mut all[index];
            let (one, busy) = puts(deployment, args.seconds).await?;
            ones.push(one);
            busies.push(busy);
        }
    }
    let mut rows = Vec::new();
    for (mut deployment, memory, ones, busies) in all {
        let losses = losses(&mut deployment, args.repetitions, &args.output).await?;
        let (detected_ms, recovered_ms) = spreads(&losses);
        rows.push(Row {
            layout: deployment.layout,
            puts: Puts::of(&ones, &busies),
            memory,
            detected_ms,
            recovered_ms,
        });
        deployment.stop().await;
    }
    Ok(Figures {
        faults,
        elements: args.elements,
        value_bytes: args.value_bytes as usize,
        repetitions: args.repetitions,
        seconds: args.seconds,
        machine: Machine::here(),
        rows,
    })
}

impl Figures {
    fn sheet(&self) -> Sheet {
        let title = format!(
            "{STRUCTURES} maps of {} elements, 16 B / {} B, any {} faults; medians of {} repetitions of {} s",
            count(self.elements),
            self.value_bytes,
            self.faults,
            self.repetitions,
            self.seconds
        );
        let mut sheet = Sheet::new(
            &title,
            [
                "layout",
                "puts/s, 64 in flight",
                "x copies",
                "put p50 us, 1 in flight",
                "x copies",
                "server us/put",
                "x copies",
                "B/element",
                "x copies",
                "detected ms",
                "recovered ms",
                "x copies",
            ],
        );
        let first = self.rows.first();
        for row in &self.rows {
            let ratio =
                |of: fn(&Row) -> Spread| times(first.and_then(|first| of(row).ratio(&of(first))));
            let each = |row: &Row| {
                row.memory.all as f64 / (self.elements * STRUCTURES as u64).max(1) as f64
            };
            sheet.row([
                row.layout.name(),
                number(row.puts.per_second.median),
                ratio(|row| row.puts.per_second),
                number(row.puts.p50_us.median),
                ratio(|row| row.puts.p50_us),
                number(row.puts.server_cpu_us.median),
                ratio(|row| row.puts.server_cpu_us),
                number(each(row)),
                times(first.map(|first| each(row) / each(first).max(1e-9))),
                number(row.detected_ms.median),
                number(row.recovered_ms.median),
                ratio(|row| row.recovered_ms),
            ]);
        }
        sheet
    }
}
