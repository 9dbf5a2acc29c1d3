//! A little of everything that is pure Rust, small enough for Miri, which sees every access out of bounds, of
//! uninitialised memory, or through a reference that is not good any more: `./check miri`.

#[path = "../../jerasure-sys/tests/support/data.rs"]
mod data;

use data::Xorshift;
use jerasure::{CodeParams, Codec, Engine, Technique, WordSize, galois};

/// Below and above each engine's steps, with a ragged end.
const LENGTHS: [usize; 2] = [52, 204];

fn engines() -> Vec<Engine> {
    let engines: Vec<Engine> = Engine::available().collect();
    assert!(engines.contains(&Engine::Scalar));
    // `./check` names those that the interpreter must have.
    let needed = std::env::var("INTERPRETED_ENGINES").unwrap_or_default();
    for name in needed.split_whitespace() {
        assert!(
            engines.contains(&name.parse().unwrap()),
            "{name} is not here"
        );
    }
    engines
}

/// The sum of products, word by word.
fn combination(w: WordSize, factors: &[u32], data: &[Vec<u8>]) -> Vec<u8> {
    let bytes = w.bytes();
    let word = |shard: &[u8], start: usize| {
        let mut word = [0; 4];
        word[..bytes].copy_from_slice(&shard[start..start + bytes]);
        u32::from_le_bytes(word)
    };
    let sum = |start: usize| {
        let products = factors.iter().zip(data);
        products.fold(0, |sum, (&factor, shard)| {
            sum ^ galois::multiply(w, factor, word(shard, start)).unwrap()
        })
    };
    let starts = (0..data[0].len()).step_by(bytes);
    starts
        .flat_map(|start| sum(start).to_le_bytes().into_iter().take(bytes))
        .collect()
}

/// Encodes, decodes, verifies and updates; returns the coding shards.
fn works(codec: &Codec, data: &[Vec<u8>], random: &mut Xorshift) -> Vec<Vec<u8>> {
    let (k, m, bytes) = (codec.params().k(), codec.params().m(), data[0].len());
    let mut coding = vec![vec![0xee; bytes]; m];
    codec.encode(data, &mut coding).unwrap();
    let whole = [data, &coding].concat();
    assert_eq!(codec.verify(&whole), Ok(true));
    let mut lost = whole.clone();
    lost[0].fill(0x5e);
    lost[k].fill(0x5e);
    codec.decode(&mut lost, &[k, 0]).unwrap();
    assert!(lost == whole, "{codec:?}, {bytes} bytes");

    let new = random.bytes(bytes);
    let mut changed = coding.clone();
    for (row, code) in changed.iter_mut().enumerate() {
        codec.update(row, 1, &data[1], &new, code).unwrap();
    }
    let mut after = data.to_vec();
    after[1] = new;
    let mut anew = vec![vec![0xee; bytes]; m];
    codec.encode(&after, &mut anew).unwrap();
    assert!(changed == anew, "{codec:?}, {bytes} bytes");
    coding
}

#[test]
#[cfg(target_endian = "little")]
fn codes_on_words() {
    let mut random = Xorshift::new(1);
    // The tables of logarithms of w = 16 take Miri minutes.
    let sizes = [WordSize::W8, WordSize::W32, WordSize::W16];
    for &w in &sizes[..if cfg!(miri) { 2 } else { 3 }] {
        let params = CodeParams::new(3, 2, w).unwrap();
        for bytes in LENGTHS {
            let data = random.shards(3, bytes);
            for engine in engines() {
                let codec = Codec::with_engine(Technique::ReedSolVan, params, engine).unwrap();
                let coding = works(&codec, &data, &mut random);
                let rows = codec.matrix().unwrap().as_slice().chunks(3);
                let want: Vec<Vec<u8>> = rows.map(|row| combination(w, row, &data)).collect();
                assert!(coding == want, "{codec:?}, {bytes} bytes");
            }
        }
    }
}

#[test]
fn codes_on_packets() {
    let mut random = Xorshift::new(2);
    for (technique, w, packet_bytes) in [
        (Technique::CauchyGood, 3, 40),
        (Technique::Liberation, 3, 8),
    ] {
        let params = CodeParams::new(3, 2, WordSize::new(w).unwrap()).unwrap();
        let params = params.with_packet_bytes(packet_bytes).unwrap();
        for stripes in [1, 2] {
            let bytes = stripes * packet_bytes * w as usize;
            let data = random.shards(3, bytes);
            let mut all = engines().into_iter().map(|engine| {
                let codec = Codec::with_engine(technique, params, engine).unwrap();
                works(&codec, &data, &mut random)
            });
            let first = all.next().unwrap();
            assert!(
                all.all(|coding| coding == first),
                "{technique}, {bytes} bytes"
            );
        }
    }
}
