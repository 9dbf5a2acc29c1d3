//! `fusion bench memory`: how much more memory all servers take for elements, beside Redis with replicas.

use super::common::{Machine, OutputArgs, PeerArgs};
use super::deployment::{Deployment, FILLERS, Growth, Layout};
use super::entries::{Entries, KEY_BYTES, Target, each, mix};
use super::redis::{Redis, load};
use super::resident::{self, PATIENCE};
use super::sizes::Sizes;
use super::table::{Sheet, number, times};
use crate::playground;
use crate::table::count;
use clap::Args;
use serde::Serialize;
use std::process::ExitCode;

/// One kind of entries takes no more than this before copies and codes.
const DATA_BYTES: u64 = 256 << 20;
/// With fewer, what was free before the first one shows.
const ENOUGH: u64 = 200_000;
/// Of the elements one in so many stays.
const STAYS: u64 = 10;

const KINDS: [Sizes; 4] = [
    Sizes::Fixed(8),
    Sizes::Fixed(64),
    Sizes::Fixed(1024),
    Sizes::LogNormal,
];

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Counted is what processes hold that they share with no other (Private in /proc/PID/smaps_rollup), less what they held \
before the first element: allocators, indexes and pages that are half empty are in it. Each kind of entries has processes \
of its own. First all elements are put, then each gets a value of another length, then nine of ten are removed at random. \
Redis has as many primaries, and so many replicas of each as faults are tolerated.

Examples:
  fusion bench memory --peers
  fusion bench memory --elements 100000 --no-peers --json memory.json")]
pub(crate) struct FootprintArgs {
    /// Primaries
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=200))]
    primaries: u16,
    /// Faults to tolerate, and replicas of each primary of Redis
    #[arg(long, default_value_t = 2, value_name = "F", value_parser = clap::value_parser!(u16).range(1..=50))]
    faults: u16,
    /// Elements over all primaries; fewer where keys and values would take more than 256 MiB
    #[arg(long, default_value_t = 1_000_000, value_name = "E", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    elements: u64,
    #[command(flatten)]
    peers: PeerArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// When it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Moment {
    Inserted,
    Resized,
    Removed,
}

impl Moment {
    const ALL: [Moment; 3] = [Moment::Inserted, Moment::Resized, Moment::Removed];

    fn name(self) -> &'static str {
        match self {
            Moment::Inserted => "all put",
            Moment::Resized => "all of another length",
            Moment::Removed => "9 of 10 removed",
        }
    }

    fn version(self) -> u32 {
        u32::from(self != Moment::Inserted)
    }
}

/// One kind of entries of one measurement.
#[derive(Clone, Copy, Debug)]
struct Kind {
    sizes: Sizes,
    elements: u64,
}

fn stays(number: u64) -> bool {
    mix(number).is_multiple_of(STAYS)
}

impl Kind {
    fn there(self, moment: Moment) -> impl Iterator<Item = u64> {
        (0..self.elements).filter(move |n| moment != Moment::Removed || stays(*n))
    }

    /// Elements, and the bytes of their keys and values.
    fn raw(self, moment: Moment) -> (u64, u64) {
        let lens = self
            .there(moment)
            .map(|n| (KEY_BYTES + self.sizes.len(n, moment.version())) as u64);
        lens.fold((0, 0), |(elements, bytes), len| (elements + 1, bytes + len))
    }
}

#[derive(Clone, Debug, Serialize)]
struct Row {
    entries: String,
    moment: Moment,
    elements: u64,
    raw_bytes: u64,
    fusion: Growth,
    redis_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Figures {
    primaries: usize,
    faults: usize,
    machine: Machine,
    rows: Vec<Row>,
}

/// Runs it.
pub(crate) async fn run(args: FootprintArgs) -> anyhow::Result<ExitCode> {
    args.output.check()?;
    if args.elements < ENOUGH {
        args.output.note(&format!(
            "{} elements are few: what allocators had free before hides some of the growth; take {} or more",
            count(args.elements),
            count(ENOUGH)
        ))?;
    }
    let with_redis = args.peers.redis(&args.output)?;
    let figures = playground::alone(async || measure(&args, with_redis).await);
    let Some(figures) = figures.await? else {
        return args.output.interrupted();
    };
    let sheet = figures.sheet();
    args.output.note(&format!("\n{}", sheet.text()))?;
    let markdown = format!("{}.\n\n{}\n", figures.machine.line(), sheet.markdown());
    args.output.write(&figures, &markdown)?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &FootprintArgs, with_redis: bool) -> anyhow::Result<Figures> {
    let layout = Layout {
        clusters: 1,
        primaries: args.primaries.into(),
        faults: args.faults.into(),
    };
    let mut figures = Figures {
        primaries: layout.primaries,
        faults: layout.faults,
        machine: Machine::here(),
        rows: Vec::new(),
    };
    for sizes in KINDS {
        let most = DATA_BYTES as f64 / (KEY_BYTES as f64 + sizes.mean());
        let elements = args.elements.min(most as u64).max(1);
        let kind = Kind { sizes, elements };
        args.output
            .note(&format!("{}: {} elements", sizes.name(), count(elements)))?;
        let ours = fusion(layout, kind).await?;
        let theirs = if with_redis {
            let (version, bytes) = redis(layout, kind).await?;
            figures.machine.redis = Some(version);
            bytes.map(Some)
        } else {
            [None; 3]
        };
        for ((moment, fusion), redis_bytes) in Moment::ALL.into_iter().zip(ours).zip(theirs) {
            let (elements, raw_bytes) = kind.raw(moment);
            figures.rows.push(Row {
                entries: sizes.name(),
                moment,
                elements,
                raw_bytes,
                fusion,
                redis_bytes,
            });
        }
    }
    Ok(figures)
}

async fn fusion(layout: Layout, kind: Kind) -> anyhow::Result<[Growth; 3]> {
    let entries = Entries {
        keys: kind.elements,
        value_bytes: 0,
    };
    let servers = layout.primaries + layout.faults;
    let deployment = Deployment::start(layout, servers, entries).await?;
    let target = deployment.target();
    let sizes = kind.sizes;
    let put = async |moment: Moment| {
        let target = target.clone();
        each(kind.elements, FILLERS, move |number| {
            let target = target.clone();
            let len = sizes.len(number, moment.version());
            async move {
                let known = moment == Moment::Resized;
                target.put(number, moment.version(), len, known).await
            }
        })
        .await
    };
    put(Moment::Inserted).await?;
    let inserted = deployment.growth(PATIENCE).await?;
    put(Moment::Resized).await?;
    let resized = deployment.growth(PATIENCE).await?;
    remove(&target, kind).await?;
    let removed = deployment.growth(PATIENCE).await?;
    deployment.stop().await;
    Ok([inserted, resized, removed])
}

/// Removes what does not stay, and looks up what does.
async fn remove(target: &Target, kind: Kind) -> anyhow::Result<()> {
    let target = target.clone();
    each(kind.elements, FILLERS, move |number| {
        let target = target.clone();
        let len = kind.sizes.len(number, Moment::Removed.version());
        async move {
            if stays(number) {
                target.check(number, len).await
            } else {
                target.remove(number, len).await
            }
        }
    })
    .await
}

async fn redis(layout: Layout, kind: Kind) -> anyhow::Result<(String, [u64; 3])> {
    let redis = Redis::start(layout.primaries, layout.faults).await?;
    let pids = redis.pids();
    for group in redis.groups() {
        load::fill_backlog(group).await?;
    }
    let before = resident::settled(&pids, PATIENCE).await?;
    let before: u64 = before.values().sum();
    let mut grown = [0; 3];
    for (moment, grown) in Moment::ALL.into_iter().zip(&mut grown) {
        for (index, group) in redis.groups().iter().enumerate() {
            let here = |n: &u64| n % layout.primaries as u64 == index as u64;
            let all = (0..kind.elements).filter(here);
            if moment == Moment::Removed {
                load::remove(group, 0, all.filter(|n| !stays(*n))).await?;
            } else {
                let len = |n| kind.sizes.len(n, moment.version());
                load::put(group, 0, all, len, moment.version()).await?;
            }
        }
        let after = resident::settled(&pids, PATIENCE).await?;
        let after: u64 = after.values().sum();
        *grown = after.saturating_sub(before);
    }
    Ok((redis.version.clone(), grown))
}

impl Figures {
    fn sheet(&self) -> Sheet {
        let (n, f) = (self.primaries, self.faults);
        let title = format!(
            "bytes an element, growth of all processes: Fusion {n} + {f}; Redis {n} primaries with {f} replicas each"
        );
        let mut sheet = Sheet::new(
            &title,
            [
                "key / value",
                "when",
                "elements",
                "raw",
                "at primaries",
                "less raw",
                "at fused",
                "Fusion",
                "x raw",
                "Redis",
                "Fusion / Redis",
            ],
        );
        for row in &self.rows {
            let each = |bytes: u64| bytes as f64 / row.elements.max(1) as f64;
            let part =
                |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), |b| number(each(b)));
            let (raw, all) = (each(row.raw_bytes), each(row.fusion.all));
            let over = row.fusion.primaries.map(|b| each(b) - raw);
            let redis = row.redis_bytes.filter(|bytes| *bytes > 0);
            sheet.row([
                row.entries.clone(),
                row.moment.name().to_owned(),
                count(row.elements),
                number(raw),
                part(row.fusion.primaries),
                over.map_or_else(|| "-".to_owned(), |over| format!("{over:.1}")),
                part(row.fusion.fused),
                number(all),
                times(Some(all / raw.max(1.0))),
                part(row.redis_bytes),
                times(redis.map(|bytes| row.fusion.all as f64 / bytes as f64)),
            ]);
        }
        sheet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_ten_stays_and_raw_bytes_are_of_those_that_are_there() {
        let kind = Kind {
            sizes: Sizes::Fixed(64),
            elements: 10_000,
        };
        assert_eq!(kind.raw(Moment::Inserted), (10_000, 800_000));
        let (elements, bytes) = kind.raw(Moment::Removed);
        assert!((900..1100).contains(&elements), "{elements}");
        assert!((70 * elements..90 * elements).contains(&bytes));
        assert_eq!(kind.raw(Moment::Resized).0, 10_000);
    }
}
