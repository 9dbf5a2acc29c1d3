//! Encoding, decoding and updating at w = 8 and 16: every engine of this machine, the C library called raw, ISA-L and two
//! crates, in interleaved rounds, as Markdown tables of ratios to the C library.
//!
//! ```sh
//! cargo run --release --manifest-path jerasure/peers/Cargo.toml --features isal
//! ```
//!
//! Every answer is checked before it is timed. The crates' codes have other matrices than Jerasure's, so only the
//! others are compared byte by byte.

mod c_library;
mod contestant;
mod crates;
#[cfg(feature = "isal")]
mod intel;
mod ours;
mod shards;

#[cfg(feature = "isal")]
#[path = "../../tests/support/isal.rs"]
mod isal;

use contestant::{Contestant, Table};
use jerasure::{Technique, WordSize};
use shards::Stripe;

const SHAPES: [(usize, usize); 3] = [(4, 2), (6, 3), (10, 4)];
const LENGTHS: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];
const UPDATES: [usize; 6] = [8, 16, 64, 256, 1024, 4096];

fn main() {
    println!("Processor: {}.", processor());
    for w in [WordSize::W8, WordSize::W16] {
        coding(w, "Encode", encoders);
        coding(w, "Decode of m lost data shards, the plan kept", decoders);
        updating(w);
    }
}

/// A table of one kind of work: a column for each shape and length.
fn coding(w: WordSize, title: &str, contestants: fn(&Stripe) -> Vec<Contestant>) {
    let mut table = Table::new(&format!("{title}, w = {w}"), "GB/s of data");
    for (k, m) in SHAPES {
        for bytes in LENGTHS {
            let stripe = Stripe::new(Technique::ReedSolVan, k, m, w, bytes);
            let work = (k * bytes) as f64;
            let column = format!("{k}+{m} {}", length(bytes));
            table.column(column, contestants(&stripe), |ns| work / ns);
        }
    }
    println!("\n{table}");
}

/// One coding shard's change: smaller is better.
fn updating(w: WordSize) {
    let mut table = Table::new(&format!("Update `c ^= a (old ^ new)`, w = {w}"), "ns");
    for bytes in UPDATES {
        let stripe = Stripe::new(Technique::ReedSolVan, 10, 4, w, bytes);
        table.column(length(bytes), updaters(&stripe), |ns| ns);
    }
    println!("\n{table}");
}

fn encoders(stripe: &Stripe) -> Vec<Contestant> {
    let mut all = vec![c_library::encoder(stripe)];
    all.extend(ours::encoders(stripe));
    if stripe.w() == WordSize::W8 {
        #[cfg(feature = "isal")]
        all.push(intel::encoder(stripe));
        all.push(crates::erasure_encoder(stripe));
    }
    all.push(crates::simd_encoder(stripe));
    all
}

fn decoders(stripe: &Stripe) -> Vec<Contestant> {
    let mut all = vec![c_library::decoder(stripe)];
    all.extend(ours::decoders(stripe));
    if stripe.w() == WordSize::W8 {
        #[cfg(feature = "isal")]
        all.push(intel::decoder(stripe));
        all.push(crates::erasure_decoder(stripe));
    }
    all.push(crates::simd_decoder(stripe));
    all
}

fn updaters(stripe: &Stripe) -> Vec<Contestant> {
    let mut all = vec![c_library::updater(stripe)];
    all.extend(ours::updaters(stripe));
    #[cfg(feature = "isal")]
    if stripe.w() == WordSize::W8 {
        all.push(intel::updater(stripe));
    }
    all
}

fn length(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

/// The processor's name and those of its instruction sets that matter here.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let flags = value("flags").unwrap_or_default();
    let known = ["ssse3", "avx2", "avx512f", "avx512bw", "avx512vbmi", "gfni"];
    let has = |name: &&str| flags.split_whitespace().any(|flag| flag == *name);
    let flags: Vec<&str> = known.into_iter().filter(has).collect();
    let name = value("model name").unwrap_or_else(|| std::env::consts::ARCH.into());
    format!("{name} ({})", flags.join(", "))
}
