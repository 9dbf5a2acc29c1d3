//! ISA-L as a second oracle: given Jerasure's Vandermonde matrix, it writes the same bytes at w = 8. The feature `isal`
//! turns this on; it needs the library (Debian: libisal-dev).

#[path = "../../jerasure-sys/tests/support/data.rs"]
mod data;
#[path = "support/isal.rs"]
mod isal;

use data::Xorshift;
use isal::Isal;
use jerasure::{CodeParams, Codec, Engine, Technique, WordSize};

const SHAPES: [(usize, usize); 14] = [
    (1, 1),
    (1, 5),
    (2, 1),
    (2, 2),
    (3, 2),
    (4, 2),
    (6, 3),
    (5, 7),
    (8, 4),
    (10, 4),
    (17, 3),
    (20, 11),
    (100, 9),
    (250, 6),
];

fn codec(technique: Technique, k: usize, m: usize, engine: Engine) -> Codec {
    let params = CodeParams::new(k, m, WordSize::W8).unwrap();
    Codec::with_engine(technique, params, engine).unwrap()
}

/// ISA-L's products of a matrix with the sources.
fn products(k: usize, matrix: &[u32], sources: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut targets = vec![vec![0; sources[0].len()]; matrix.len() / k];
    let mut places: Vec<&mut [u8]> = targets.iter_mut().map(Vec::as_mut_slice).collect();
    Isal::new(k, matrix).encode(sources, &mut places);
    targets
}

fn slices(shards: &[Vec<u8>]) -> Vec<&[u8]> {
    shards.iter().map(Vec::as_slice).collect()
}

#[test]
fn every_engine_encodes_what_isal_encodes() {
    for engine in Engine::available() {
        for (k, m) in SHAPES {
            let codec = codec(Technique::ReedSolVan, k, m, engine);
            let matrix = codec.matrix().unwrap().as_slice();
            let lengths = [1, 7, 15, 16, 31, 33, 63, 64, 65, 127, 200, 1000, 4096, 5003];
            for bytes in lengths {
                let data = Xorshift::new((k * 1000 + m) as u64).shards(k, bytes);
                let mut coding = vec![vec![0xee; bytes]; m];
                codec.encode(&data, &mut coding).unwrap();
                let want = products(k, matrix, &slices(&data));
                assert!(coding == want, "{engine}, {k}+{m}, {bytes} bytes");
            }
        }
    }
}

#[test]
fn raid_6_matrices_encode_what_isal_encodes() {
    for engine in Engine::available() {
        for k in [1, 2, 5, 12, 255] {
            let codec = codec(Technique::ReedSolR6, k, 2, engine);
            let data = Xorshift::new(k as u64).shards(k, 777);
            let mut coding = vec![vec![0xee; 777]; 2];
            codec.encode(&data, &mut coding).unwrap();
            let want = products(k, codec.matrix().unwrap().as_slice(), &slices(&data));
            assert!(coding == want, "{engine}, k = {k}");
        }
    }
}

#[test]
fn every_engine_decodes_what_isal_decodes() {
    for engine in Engine::available() {
        for (k, m) in SHAPES {
            let codec = codec(Technique::ReedSolVan, k, m, engine);
            let mut random = Xorshift::new((k * 77 + m) as u64);
            let mut whole = random.shards(k, 1003);
            whole.extend(products(
                k,
                codec.matrix().unwrap().as_slice(),
                &slices(&whole),
            ));
            for _ in 0..10 {
                let mut lost: Vec<usize> = (0..m).map(|_| random.below(k + m)).collect();
                lost.sort_unstable();
                lost.dedup();
                let sources: Vec<usize> = (0..k + m).filter(|s| !lost.contains(s)).collect();
                let sources = &sources[..k];

                // Our factors of the survivors, applied by ISA-L.
                let plan = codec.reconstruction(&lost, sources).unwrap();
                let rows: Vec<u32> = (0..lost.len()).flat_map(|l| plan.row(l).to_vec()).collect();
                let survivors: Vec<&[u8]> = sources.iter().map(|&s| &whole[s][..]).collect();
                let theirs = products(k, &rows, &survivors);

                let mut ours = whole.clone();
                lost.iter().for_each(|&shard| ours[shard].fill(0x55));
                codec.decode(&mut ours, &lost).unwrap();
                assert!(ours == whole, "{engine}, {k}+{m}, lost {lost:?}");
                for (&shard, got) in lost.iter().zip(&theirs) {
                    assert!(*got == whole[shard], "ISA-L, {k}+{m}, lost {lost:?}");
                }
            }
        }
    }
}

#[test]
fn every_engine_updates_what_isal_updates() {
    for engine in Engine::available() {
        let (k, m) = (10, 4);
        let codec = codec(Technique::ReedSolVan, k, m, engine);
        let mut isal = Isal::new(k, codec.matrix().unwrap().as_slice());
        let mut random = Xorshift::new(99);
        for bytes in (64..=257).chain([4096, 5001]) {
            let index = random.below(k);
            let (old, new) = (random.bytes(bytes), random.bytes(bytes));
            let difference: Vec<u8> = old.iter().zip(&new).map(|(a, b)| a ^ b).collect();
            let mut ours = random.shards(m, bytes);
            let mut theirs = ours.clone();
            for (row, code) in ours.iter_mut().enumerate() {
                codec.update(row, index, &old, &new, code).unwrap();
            }
            let mut places: Vec<&mut [u8]> = theirs.iter_mut().map(Vec::as_mut_slice).collect();
            isal.add(index, &difference, &mut places);
            assert!(ours == theirs, "{engine}, {bytes} bytes");
        }
    }
}
