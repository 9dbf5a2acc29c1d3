//! `fusion bench scale`: what a write, memory and a recovery cost, as one thing grows and all others stay.

mod curves;

use super::common::{Machine, OutputArgs, file, seconds, writable, write};
use super::deployment::{Deployment, Growth, Layout};
use super::entries::{Entries, KEY_BYTES};
use super::figures::Spread;
use super::measure::Sample;
use super::recovery::{losses, spreads};
use super::table::{Sheet, number, times};
use crate::playground;
use crate::table::count;
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// What stays while another thing grows.
const BASE: Point = Point {
    primaries: 5,
    faults: 2,
    elements: 100_000,
    value_bytes: 64,
};
const PRIMARIES: [usize; 6] = [2, 3, 5, 8, 10, 12];
const FAULTS: [usize; 4] = [1, 2, 3, 4];
const ELEMENTS: [u64; 5] = [10_000, 30_000, 100_000, 300_000, 1_000_000];
const VALUES: [usize; 4] = [8, 64, 1024, 16384];
/// Keys and values together take no more than this.
const DATA_BYTES: u64 = 128 << 20;
const BUSY: usize = 64;

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Around 5 primaries, 2 faults, 100,000 elements in all and values of 64 bytes: 2 to 12 primaries, 1 to 4 faults, 10,000 to \
1,000,000 elements, values of 8 to 16,384 bytes (fewer elements where they would take more than 128 MiB). Each row has \
processes of its own. All share this machine's processors: with n + f processes on few of them, CPU time of an operation \
says more than throughput does.

Examples:
  fusion bench scale
  fusion bench scale --only faults,values --json scale.json
  fusion bench scale --markdown scale.md --plot scale.svg")]
pub(crate) struct ScaleArgs {
    /// What grows
    #[arg(
        long,
        default_value = "primaries,faults,elements,values",
        value_delimiter = ',',
        value_name = "WHAT,..."
    )]
    only: Vec<What>,
    /// How long puts are measured, for each row and number in flight and repetition
    #[arg(long, default_value = "0.5", value_name = "SECONDS", value_parser = seconds)]
    seconds: f64,
    /// How often puts are measured and servers lost, for each row
    #[arg(long, default_value_t = 5, value_name = "TIMES", value_parser = clap::value_parser!(u16).range(1..=1000))]
    repetitions: u16,
    /// The most elements
    #[arg(long, default_value_t = 1_000_000, value_name = "E", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    elements: u64,
    /// Draw the curves to FILE (SVG)
    #[arg(long, value_name = "FILE", value_parser = file)]
    plot: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum What {
    /// 2 to 12
    Primaries,
    /// 1 to 4
    Faults,
    /// 10,000 to 1,000,000
    Elements,
    /// 8 to 16,384 bytes
    Values,
}

/// One row's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Point {
    primaries: usize,
    faults: usize,
    elements: u64,
    value_bytes: usize,
}

impl What {
    fn points(self, most: u64) -> Vec<Point> {
        let points: Vec<Point> = match self {
            What::Primaries => PRIMARIES
                .map(|primaries| Point { primaries, ..BASE })
                .into(),
            What::Faults => FAULTS.map(|faults| Point { faults, ..BASE }).into(),
            What::Elements => ELEMENTS.map(|elements| Point { elements, ..BASE }).into(),
            What::Values => VALUES
                .map(|value_bytes| Point {
                    value_bytes,
                    ..BASE
                })
                .into(),
        };
        let bounded = points.into_iter().map(|point| Point {
            elements: point
                .elements
                .min(most)
                .min(DATA_BYTES / (KEY_BYTES + point.value_bytes) as u64),
            ..point
        });
        let mut points: Vec<Point> = bounded.collect();
        points.dedup();
        points
    }
}

#[derive(Debug, Serialize)]
struct Row {
    what: What,
    #[serde(flatten)]
    point: Point,
    puts: Puts,
    memory: Growth,
    detected_ms: Spread,
    recovered_ms: Spread,
}

impl Row {
    /// Of bytes, for one element.
    fn each(&self, bytes: u64) -> f64 {
        bytes as f64 / self.point.elements.max(1) as f64
    }
}

/// What puts cost.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Puts {
    /// With one in flight, in microseconds.
    pub(crate) p50_us: Spread,
    /// With 64 in flight.
    pub(crate) per_second: Spread,
    /// With 64 in flight, all servers together, in microseconds.
    pub(crate) server_cpu_us: Spread,
}

impl Puts {
    /// Of samples with one and with 64 in flight.
    pub(crate) fn of(one: &[Sample], busy: &[Sample]) -> Puts {
        Puts {
            p50_us: Spread::of(one.iter().map(|s| s.p50_us)),
            per_second: Spread::of(busy.iter().map(Sample::per_second)),
            server_cpu_us: Spread::of(busy.iter().map(|s| s.server_cpu_us)),
        }
    }
}

/// Puts for a time with one in flight, then with 64. No wrong answer goes through.
pub(crate) async fn puts(deployment: &Deployment, length: f64) -> anyhow::Result<(Sample, Sample)> {
    let length = Duration::from_secs_f64(length);
    let one = deployment.puts(1, length, rand::random()).await?;
    let busy = deployment.puts(BUSY, length, rand::random()).await?;
    let examples: Vec<_> = one.examples.iter().chain(&busy.examples).collect();
    anyhow::ensure!(examples.is_empty(), "wrong answers: {examples:?}");
    Ok((one, busy))
}

#[derive(Debug, Serialize)]
struct Figures {
    repetitions: u16,
    seconds: f64,
    machine: Machine,
    rows: Vec<Row>,
}

/// Runs it.
pub(crate) async fn run(args: ScaleArgs) -> anyhow::Result<ExitCode> {
    args.output.check()?;
    if let Some(file) = &args.plot {
        anyhow::ensure!(file != Path::new("-"), "--plot -: name a file");
        writable(file)?;
    }
    let figures = playground::alone(async || measure(&args).await);
    let Some(figures) = figures.await? else {
        return args.output.interrupted();
    };
    let sheet = figures.sheet();
    args.output.note(&format!("\n{}", sheet.text()))?;
    let markdown = format!("{}.\n\n{}\n", figures.machine.line(), sheet.markdown());
    args.output.write(&figures, &markdown)?;
    if let Some(file) = &args.plot {
        write(file, &curves::draw(&figures))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &ScaleArgs) -> anyhow::Result<Figures> {
    let mut figures = Figures {
        repetitions: args.repetitions,
        seconds: args.seconds,
        machine: Machine::here(),
        rows: Vec::new(),
    };
    let mut only = args.only.clone();
    only.sort_unstable();
    only.dedup();
    for what in only {
        for point in what.points(args.elements) {
            figures.rows.push(row(args, what, point).await?);
        }
    }
    Ok(figures)
}

async fn row(args: &ScaleArgs, what: What, point: Point) -> anyhow::Result<Row> {
    let layout = Layout {
        clusters: 1,
        primaries: point.primaries,
        faults: point.faults,
    };
    args.output.note(&format!(
        "{}, {} elements, values of {} bytes",
        layout.name(),
        count(point.elements),
        point.value_bytes
    ))?;
    let entries = Entries {
        keys: point.elements,
        value_bytes: point.value_bytes,
    };
    let servers = point.primaries + point.faults + 1;
    let mut deployment = Deployment::start(layout, servers, entries).await?;
    deployment.fill().await?;
    let memory = deployment.growth(Duration::ZERO).await?;
    let (mut ones, mut busies) = (Vec::new(), Vec::new());
    for _ in 0..args.repetitions {
        let (one, busy) = puts(&deployment, args.seconds).await?;
        ones.push(one);
        busies.push(busy);
    }
    let losses = losses(&mut deployment, args.repetitions, &args.output).await?;
    deployment.stop().await;
    let (detected_ms, recovered_ms) = spreads(&losses);
    Ok(Row {
        what,
        point,
        puts: Puts::of(&ones, &busies),
        memory,
        detected_ms,
        recovered_ms,
    })
}

impl Figures {
    fn sheet(&self) -> Sheet {
        let title = format!(
            "Fusion n + f, all else alike; medians of {} repetitions of {} s",
            self.repetitions, self.seconds
        );
        let mut sheet = Sheet::new(
            &title,
            [
                "n",
                "f",
                "elements",
                "value",
                "put p50 us, 1 in flight",
                "puts/s, 64 in flight",
                "server us/put",
                "B/element",
                "x raw",
                "detected ms",
                "recovered ms",
            ],
        );
        for row in &self.rows {
            let point = &row.point;
            let each = row.each(row.memory.all);
            sheet.row([
                point.primaries.to_string(),
                point.faults.to_string(),
                count(point.elements),
                point.value_bytes.to_string(),
                number(row.puts.p50_us.median),
                number(row.puts.per_second.median),
                number(row.puts.server_cpu_us.median),
                number(each),
                times(Some(each / (KEY_BYTES + point.value_bytes) as f64)),
                number(row.detected_ms.median),
                number(row.recovered_ms.median),
            ]);
        }
        sheet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_grows_and_large_values_are_fewer() {
        for what in [What::Primaries, What::Faults, What::Elements] {
            let points = what.points(1_000_000);
            assert!(points.contains(&BASE), "{what:?}");
            assert!(points.iter().all(|p| p.value_bytes == BASE.value_bytes));
        }
        let large = What::Values.points(1_000_000);
        assert_eq!(large.last().map(|p| p.elements), Some((128 << 20) / 16400));
        assert_eq!(What::Elements.points(20_000).len(), 2);
    }

    #[test]
    fn each_thing_that_grew_has_its_curves() {
        let spread = |figure: f64| Spread::of([figure]);
        let row = |what, primaries| Row {
            what,
            point: Point { primaries, ..BASE },
            puts: Puts {
                p50_us: spread(100.0),
                per_second: spread(5000.0),
                server_cpu_us: spread(20.0),
            },
            memory: Growth {
                primaries: None,
                fused: None,
                all: 14_000_000,
            },
            detected_ms: spread(1000.0),
            recovered_ms: spread(50.0),
        };
        let figures = Figures {
            repetitions: 1,
            seconds: 0.5,
            machine: Machine::default(),
            rows: vec![
                row(What::Primaries, 2),
                row(What::Primaries, 12),
                row(What::Faults, 5),
            ],
        };
        let drawn = curves::draw(&figures);
        assert_eq!(drawn.matches("primaries grow: ").count(), 3);
        assert_eq!(drawn.matches("faults grow: ").count(), 3);
        assert!(!drawn.contains("values grow"));
        // All but the lines of fused servers alone, which were not told apart.
        assert!(!drawn.contains("NaN"), "{drawn}");
        assert_eq!(drawn.matches("<polyline").count(), 2 * 5);
    }
}
