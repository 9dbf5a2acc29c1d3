//! Writes the seeds that are checked in: `cargo run --manifest-path fuzz/Cargo.toml --no-default-features --example seeds`.
//! Each is a small valid input, so that the fuzzer starts behind the first checks. See `Input` for their layout.

use std::path::Path;
use std::{fs, io};

/// By number in `Technique::ALL`: w, k, m and a packet size that the technique has.
const CODES: [(u8, u8, u8, u8, u16); 12] = [
    (0, 4, 2, 8, 0),
    (0, 6, 3, 16, 0),
    (0, 3, 3, 32, 0),
    (1, 5, 2, 8, 0),
    (1, 7, 2, 32, 0),
    (2, 4, 3, 4, 8),
    (2, 2, 1, 32, 8),
    (3, 6, 2, 3, 16),
    (3, 10, 4, 8, 24),
    (4, 5, 2, 7, 8),
    (5, 4, 2, 6, 40),
    (6, 8, 2, 8, 8),
];

const METADATA: [(&str, &str); 6] = [
    ("word", "a\n1000\n3 2 8 0 384\nreed_sol_van\n0\n3\n"),
    (
        "one_read_in",
        "a\n1000\n3 2 16 0 1000\nreed_sol_van\n0\n1\n",
    ),
    ("empty", "\n0\n4 2 8 8 0\nliber8tion\n6\n1\n"),
    (
        "cauchy",
        "report.pdf\n81920\n4 2 8 1024 524288\ncauchy_good\n3\n1\n",
    ),
    (
        "liberation",
        "x y\nz\n5000\n2 2 7 8 1792\nliberation\n4\n3\n",
    ),
    ("blaum_roth", "b\n96\n4 2 4 8 96\nblaum_roth\n5\n1\n"),
];

fn main() -> io::Result<()> {
    for (number, (technique, k, m, w, packet)) in (0_u8..).zip(CODES) {
        for engine in 0..5 {
            let mut code = vec![technique, engine, k, m, w];
            code.extend(packet.to_le_bytes());
            let name = format!("code_{number}_engine_{engine}");
            // Whole units of up to 1,500 bytes, a seed, and displacements that differ.
            let mut round_trip = code.clone();
            round_trip.extend([1, 0xdc, 0x05, 0x34, 0x12]);
            round_trip.extend((0..k + m).map(|shard| shard * 5 + engine));
            round_trip.extend([2, k, 0]);
            write("round_trip", &name, &round_trip)?;

            let mut update = code;
            update.extend([0xdc, 0x05, 0x34, 0x12, 2]);
            for change in 0..3 {
                update.extend([change, 0, 2, 0, change + 1, 7, change, engine, 3]);
                update.extend((0..m).map(|row| row * 9 + change));
            }
            write("update", &name, &update)?;
        }
    }
    METADATA
        .iter()
        .try_for_each(|(name, text)| write("metadata", name, text.as_bytes()))
}

fn write(target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}
