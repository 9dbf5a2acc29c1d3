//! `jerasure bench`: how fast each engine of this machine is, with the answers checked.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use jerasure::{Codec, Engine, Technique};
use serde_json::{Value, json};

use crate::report::{self, Usage};
use crate::scheme::{Scheme, default_w, uses_packets};

/// How often each engine has its turn; the fastest turn counts.
const TURNS: u32 = 5;

/// Measure encoding, decoding and updates on every engine that this machine has.
///
/// GB/s count data: K shards for encoding, the rebuilt shards for decoding, the changed bytes of one coding shard for an
/// update. Every answer is compared with the reference engine's, which is the C library; ratios are to its speed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Data shards
    #[arg(short, default_value_t = 4)]
    k: usize,

    /// Coding shards
    #[arg(short, default_value_t = 2)]
    m: usize,

    /// Bits of a word [default: 8; for liberation and blaum_roth the first that K allows]
    #[arg(short)]
    w: Option<u32>,

    /// How the code is made
    #[arg(short, long, default_value = "reed_sol_van", value_parser = report::technique())]
    technique: Technique,

    /// Bytes of a packet, for all techniques but reed_sol_*
    #[arg(short, long, value_name = "BYTES", default_value_t = 1024)]
    packetsize: u32,

    /// Bytes of a shard; rounded up to what the code needs
    #[arg(short, long, value_name = "BYTES", default_value_t = 65536)]
    size: u64,

    /// Milliseconds for each of the three measurements of an engine
    #[arg(long, value_name = "MS", default_value_t = 500)]
    time: u64,

    /// Print one JSON object
    #[arg(short, long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let w = args.w.unwrap_or_else(|| default_w(args.technique, args.k));
    let packet_size = if uses_packets(args.technique) {
        args.packetsize
    } else {
        0
    };
    let scheme = Scheme::new(args.technique, args.k, args.m, w, packet_size).map_err(Usage::new)?;
    const LIMIT: u64 = 4 << 30;
    let bytes = args.size.max(1).checked_next_multiple_of(scheme.step());
    let bytes = bytes.filter(|bytes| bytes.saturating_mul(scheme.pieces() as u64) <= LIMIT);
    let Some(bytes) = bytes else {
        return Err(Usage::new(format_args!(
            "shards of {LIMIT} bytes in all are the limit: make them smaller"
        ))
        .into());
    };
    let workload = Workload::new(scheme, bytes as usize)?;
    let mut rows = Vec::new();
    for engine in Engine::available() {
        let codec = Codec::with_engine(scheme.technique(), scheme.params(), engine)?;
        workload.check(&codec, engine)?;
        rows.push(Row {
            engine,
            codec,
            best: [0.0; 3],
        });
    }
    let turn = Duration::from_millis(args.time) / TURNS;
    // In turns, so that a disturbance hits all engines.
    for _ in 0..TURNS {
        for row in &mut rows {
            for (kind, best) in Kind::ALL.into_iter().zip(&mut row.best) {
                *best = best.max(workload.measure(kind, &row.codec, turn)?);
            }
        }
    }
    report(args, scheme, bytes, &rows)
}

/// What is measured.
#[derive(Clone, Copy)]
enum Kind {
    Encode,
    Decode,
    Update,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Encode, Self::Decode, Self::Update];

    fn name(self) -> &'static str {
        match self {
            Self::Encode => "encode",
            Self::Decode => "decode",
            Self::Update => "update",
        }
    }
}

/// One engine's figures, in GB/s.
struct Row {
    engine: Engine,
    codec: Codec,
    best: [f64; 3],
}

/// Shards, and what must come out.
struct Workload {
    /// All shards as the reference engine makes them.
    shards: Vec<Vec<u8>>,
    k: usize,
    /// As many data shards as can be lost.
    lost: Vec<usize>,
    /// New contents of the last data shard.
    new: Vec<u8>,
    /// The last coding shard after that change.
    updated: Vec<u8>,
}

impl Workload {
    fn new(scheme: Scheme, bytes: usize) -> Result<Self> {
        let (k, m) = (scheme.k(), scheme.m());
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut noise = || {
            let mut shard = vec![0; bytes];
            for byte in &mut shard {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                *byte = (state >> 56) as u8;
            }
            shard
        };
        let mut shards: Vec<Vec<u8>> = (0..k).map(|_| noise()).collect();
        let new = noise();
        shards.resize(k + m, vec![0; bytes]);
        let mut changed = shards.clone();
        changed[k - 1].clone_from(&new);
        let reference = Codec::with_engine(scheme.technique(), scheme.params(), Engine::Reference)?;
        for shards in [&mut shards, &mut changed] {
            let (data, coding) = shards.split_at_mut(k);
            reference.encode(data, coding)?;
        }
        Ok(Self {
            shards,
            k,
            lost: (0..k.min(m)).collect(),
            new,
            updated: changed.pop().expect("there is a coding shard"),
        })
    }

    /// Refuses to measure wrong answers.
    fn check(&self, codec: &Codec, engine: Engine) -> Result<()> {
        let (data, coding) = self.shards.split_at(self.k);
        let mut encoded = vec![vec![0x55; data[0].len()]; coding.len()];
        codec.encode(data, &mut encoded)?;
        ensure!(
            encoded == coding,
            "{engine} encodes other bytes than reference"
        );
        let mut decoded = self.shards.clone();
        for &index in &self.lost {
            decoded[index].fill(0x55);
        }
        codec.decode(&mut decoded, &self.lost)?;
        ensure!(
            decoded == self.shards,
            "{engine} decodes other bytes than were encoded"
        );
        let mut updated = coding[coding.len() - 1].clone();
        codec.update(
            coding.len() - 1,
            self.k - 1,
            &data[self.k - 1],
            &self.new,
            &mut updated,
        )?;
        ensure!(
            updated == self.updated,
            "{engine} updates to other bytes than encoding anew"
        );
        Ok(())
    }

    /// Repeats one kind of work for so long; GB/s.
    fn measure(&self, kind: Kind, codec: &Codec, time: Duration) -> Result<f64> {
        let mut shards = self.shards.clone();
        let (data, coding) = shards.split_at_mut(self.k);
        let bytes = data[0].len();
        match kind {
            Kind::Encode => throughput(bytes * self.k, time, || {
                Ok(codec.encode(black_box(&*data), coding)?)
            }),
            Kind::Decode => throughput(bytes * self.lost.len(), time, || {
                Ok(codec.decode(black_box(&mut shards), &self.lost)?)
            }),
            Kind::Update => {
                let row = coding.len() - 1;
                let (old, code) = (&data[self.k - 1], &mut coding[row]);
                throughput(bytes, time, || {
                    Ok(codec.update(row, self.k - 1, black_box(old), &self.new, code)?)
                })
            }
        }
    }
}

/// Runs `work`, which treats so many bytes, until the time is over, in batches that make reading the clock cheap.
fn throughput(bytes: usize, time: Duration, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let (mut runs, mut batch) = (0_u64, 1_u64);
    let started = Instant::now();
    loop {
        for _ in 0..batch {
            work()?;
        }
        runs += batch;
        let elapsed = started.elapsed();
        if elapsed >= time {
            return Ok(bytes as f64 * runs as f64 / elapsed.as_secs_f64() / 1e9);
        }
        if elapsed < time / 20 {
            batch *= 2;
        }
    }
}

fn report(args: &Args, scheme: Scheme, bytes: u64, rows: &[Row]) -> Result<()> {
    let reference = rows.iter().find(|row| row.engine == Engine::Reference);
    let ratio = |best: f64, kind: usize| reference.map_or(f64::NAN, |row| best / row.best[kind]);
    if args.json {
        let engines: Vec<Value> = rows
            .iter()
            .map(|row| {
                let mut object = json!({ "engine": row.engine.name() });
                for (index, kind) in Kind::ALL.into_iter().enumerate() {
                    let best = row.best[index];
                    object[kind.name()] = json!({ "gb_per_s": best, "ratio": ratio(best, index) });
                }
                object
            })
            .collect();
        return report::line(json!({
            "technique": scheme.technique().name(),
            "k": scheme.k(),
            "m": scheme.m(),
            "w": scheme.w(),
            "packet_bytes": scheme.params().packet_bytes(),
            "shard_bytes": bytes,
            "engines": engines,
        }));
    }
    report::line(format_args!(
        "{} {} + {}, w = {}, shards of {bytes} bytes: GB/s, and the ratio to reference",
        scheme.technique(),
        scheme.k(),
        scheme.m(),
        scheme.w()
    ))?;
    report::line(format_args!(
        "{:10}{:>18}{:>18}{:>18}",
        "", "encode", "decode", "update"
    ))?;
    for row in rows {
        let mut line = format!("{:10}", row.engine.name());
        for (index, &best) in row.best.iter().enumerate() {
            line.push_str(&format!("{best:10.2} {:6.2}x", ratio(best, index)));
        }
        report::line(line)?;
    }
    Ok(())
}
