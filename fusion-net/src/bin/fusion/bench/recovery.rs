//! `fusion bench recovery`: how long a lost primary is away, for so many elements and for ten times as many.

use super::common::{Machine, OutputArgs};
use super::deployment::{Deployment, Layout, Loss};
use super::entries::{Entries, MIN_VALUE_BYTES};
use super::figures::Spread;
use super::table::{Sheet, number, times};
use crate::playground;
use crate::progress::Progress;
use crate::table::count;
use clap::Args;
use serde::Serialize;
use std::process::ExitCode;

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The server of one primary is killed, another one each time; detection is counted from its last sign of life, recovery from \
there until the primary serves again, as the coordinator sees it; a put is sent to it when its server is killed. Then every element of every primary is looked up.

Examples:
  fusion bench recovery
  fusion bench recovery --elements 20000 --repetitions 3")]
pub(crate) struct RecoveryArgs {
    /// Primaries
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=200))]
    primaries: u16,
    /// Faults to tolerate
    #[arg(long, default_value_t = 2, value_name = "F", value_parser = clap::value_parser!(u16).range(1..=50))]
    faults: u16,
    /// Elements of each primary; then ten times as many
    #[arg(long, default_value_t = 200_000, value_name = "E", value_parser = clap::value_parser!(u64).range(1..=20_000_000))]
    elements: u64,
    /// The length of a value; keys have 16 bytes
    #[arg(long, default_value_t = 64, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(MIN_VALUE_BYTES as i64..=1 << 20))]
    value_bytes: u32,
    /// How often a server is lost
    #[arg(long, default_value_t = 5, value_name = "TIMES", value_parser = clap::value_parser!(u16).range(1..=1000))]
    repetitions: u16,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Serialize)]
struct Row {
    elements: u64,
    detected_ms: Spread,
    recovered_ms: Spread,
    /// From the kill until a put was answered that was sent at once.
    answered_ms: Spread,
    /// Recovery, over that of the first row.
    times: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Figures {
    primaries: usize,
    faults: usize,
    value_bytes: usize,
    repetitions: u16,
    machine: Machine,
    rows: Vec<Row>,
}

/// Runs it.
pub(crate) async fn run(args: RecoveryArgs) -> anyhow::Result<ExitCode> {
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

async fn measure(args: &RecoveryArgs) -> anyhow::Result<Figures> {
    let layout = Layout {
        clusters: 1,
        primaries: args.primaries.into(),
        faults: args.faults.into(),
    };
    let mut figures = Figures {
        primaries: layout.primaries,
        faults: layout.faults,
        value_bytes: args.value_bytes as usize,
        repetitions: args.repetitions,
        machine: Machine::here(),
        rows: Vec::new(),
    };
    for elements in [args.elements, 10 * args.elements] {
        args.output.note(&format!(
            "{} elements in each primary of {}",
            count(elements),
            layout.name()
        ))?;
        let entries = Entries {
            keys: elements * layout.structures() as u64,
            value_bytes: args.value_bytes as usize,
        };
        let servers = layout.primaries + layout.faults + 1;
        let mut deployment = Deployment::start(layout, servers, entries).await?;
        deployment.fill().await?;
        let losses = losses(&mut deployment, args.repetitions, &args.output).await?;
        deployment.stop().await;
        let (detected_ms, recovered_ms) = spreads(&losses);
        let answered_ms = Spread::of(losses.iter().map(|loss| loss.answered_ms));
        let first = figures.rows.first().map(|row: &Row| row.recovered_ms);
        figures.rows.push(Row {
            elements,
            detected_ms,
            recovered_ms,
            answered_ms,
            times: first.and_then(|first| recovered_ms.ratio(&first)),
        });
    }
    Ok(figures)
}

/// Loses one server after the other, each with another primary of the first cluster.
pub(crate) async fn losses(
    deployment: &mut Deployment,
    repetitions: u16,
    output: &OutputArgs,
) -> anyhow::Result<Vec<Loss>> {
    let mut losses = Vec::new();
    for repetition in 0..usize::from(repetitions) {
        let progress = if output.quiet() {
            Progress::silent()
        } else {
            Progress::new()
        };
        let primary = repetition % deployment.layout.primaries;
        losses.push(deployment.lose(primary, progress).await?);
    }
    Ok(losses)
}

/// Of detection and recovery, in milliseconds.
pub(crate) fn spreads(losses: &[Loss]) -> (Spread, Spread) {
    (
        Spread::of(losses.iter().map(|loss| loss.detected_ms as f64)),
        Spread::of(losses.iter().map(|loss| loss.recovered_ms as f64)),
    )
}

impl Figures {
    fn sheet(&self) -> Sheet {
        let title = format!(
            "one of {} primaries lost, {} fused structures, 16 B / {} B, {} times; milliseconds",
            self.primaries, self.faults, self.value_bytes, self.repetitions
        );
        let mut sheet = Sheet::new(
            &title,
            [
                "elements of each primary",
                "detected after",
                "min",
                "max",
                "then serving after",
                "min",
                "max",
                "x first",
                "a put answered, from the kill",
                "max",
            ],
        );
        for row in &self.rows {
            let (detected, recovered) = (&row.detected_ms, &row.recovered_ms);
            sheet.row([
                count(row.elements),
                number(detected.median),
                number(detected.min),
                number(detected.max),
                number(recovered.median),
                number(recovered.min),
                number(recovered.max),
                times(row.times),
                number(row.answered_ms.median),
                number(row.answered_ms.max),
            ]);
        }
        sheet
    }
}
