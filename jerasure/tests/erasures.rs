//! Exhaustively: every set of losses of every code up to six data and three coding shards, every technique, every
//! engine of this machine; the bytes are the C library's, and it decodes them, too.

#[path = "../../jerasure-sys/tests/support/c_library.rs"]
mod c_library;
#[path = "support/codes.rs"]
mod codes;
#[path = "../../jerasure-sys/tests/support/data.rs"]
mod data;

use codes::Shape;
use data::Xorshift;
use jerasure::{Codec, Engine, Error, Technique};

/// All that a technique has with up to (6, 3) shards.
fn shapes(technique: Technique, w: u32) -> impl Iterator<Item = Shape> {
    let packet_bytes = if technique.uses_packets() { 8 } else { 0 };
    (1..=6)
        .flat_map(|k| (1..=3).map(move |m| (k, m)))
        .map(move |(k, m)| Shape {
            technique,
            k,
            m,
            w,
            packet_bytes,
        })
        .filter(Shape::is_possible)
}

/// Every set of losses; returns how many there were.
fn every_loss_comes_back(shape: &Shape) -> usize {
    let _place = shape.place();
    let c_code = shape.c_code();
    let codecs: Vec<Codec> = Engine::available().map(|e| shape.codec(e)).collect();
    let (k, m) = (shape.k, shape.m);
    // More than one vector of every engine, and a ragged end.
    let bytes = if shape.packet_bytes == 0 {
        132
    } else {
        3 * shape.unit()
    };
    let data = Xorshift::new((k * 100 + m) as u64 ^ u64::from(shape.w) << 20).shards(k, bytes);

    let want = c_code.encode(&data);
    for &way in c_code.ways() {
        assert!(c_code.encode_by(way, &data) == want, "{way:?} of {shape:?}");
    }
    let whole = [data.clone(), want.clone()].concat();
    for codec in &codecs {
        let mut coding = vec![vec![0xee; bytes]; m];
        codec.encode(&data, &mut coding).unwrap();
        assert!(coding == want, "{} encodes {shape:?}", codec.engine());
        assert_eq!(codec.verify(&whole), Ok(true));
    }

    let mut sets = 0;
    for erased in codes::subsets(k + m, m) {
        let mut lost = whole.clone();
        erased.iter().for_each(|&shard| lost[shard].fill(0x5e));
        for &way in c_code.ways() {
            let theirs = c_code.decode_by(way, &lost, &erased);
            assert!(theirs == whole, "C by {way:?}: {shape:?} lost {erased:?}");
        }
        for codec in &codecs {
            let engine = codec.engine();
            let mut ours = lost.clone();
            codec.decode(&mut ours, &erased).unwrap();
            assert!(ours == whole, "{engine}: {shape:?} lost {erased:?}");
            // Each lost shard alone: the other lost ones stay as they are.
            for &wanted in &erased {
                let mut ours = lost.clone();
                codec.reconstruct(&mut ours, &erased, &[wanted]).unwrap();
                for (shard, got) in ours.iter().enumerate() {
                    let want = if shard == wanted { &whole } else { &lost };
                    assert!(
                        *got == want[shard],
                        "{engine}: shard {shard} of {shape:?}, lost {erased:?}, wanted {wanted}"
                    );
                }
            }
        }
        sets += 1;
    }
    // One more than can be lost.
    let most: Vec<usize> = (0..=m).collect();
    for codec in &codecs {
        let refused = codec.decode(&mut whole.clone(), &most);
        assert_eq!(refused, Err(Error::TooManyErasures { lost: m + 1, m }));
    }
    sets
}

/// Of the number of shapes and of loss sets, so that a technique that refuses what it has does not pass unseen.
fn check(technique: Technique, shapes_expected: usize) {
    let word_sizes = codes::word_sizes().into_iter();
    let mut seen = 0;
    for (_, w) in word_sizes.filter(|&(other, _)| other == technique) {
        for shape in shapes(technique, w) {
            let (k, m) = (shape.k, shape.m);
            let sets = every_loss_comes_back(&shape);
            assert_eq!(sets, codes::subsets(k + m, m).count(), "{shape:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, shapes_expected, "shapes of {technique}");
}

#[test]
fn every_loss_of_reed_sol_van_comes_back() {
    check(Technique::ReedSolVan, 3 * 18);
}

#[test]
fn every_loss_of_reed_sol_r6_op_comes_back() {
    check(Technique::ReedSolR6, 3 * 6);
}

#[test]
fn every_loss_of_cauchy_orig_comes_back() {
    // GF(2^3) has 8 points: (6, 3) is one too many.
    check(Technique::CauchyOrig, 5 * 18 - 1);
}

#[test]
fn every_loss_of_cauchy_good_comes_back() {
    check(Technique::CauchyGood, 5 * 18 - 1);
}

#[test]
fn every_loss_of_liberation_comes_back() {
    // k is at most w, and m is 2.
    check(Technique::Liberation, 3 + 5 + 6 + 6);
}

#[test]
fn every_loss_of_blaum_roth_comes_back() {
    check(Technique::BlaumRoth, 4 + 6 + 6);
}

#[test]
fn every_loss_of_liber8tion_comes_back() {
    check(Technique::Liber8tion, 6);
}
