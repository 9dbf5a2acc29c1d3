//! One suite over every engine and technique: whatever the length, the alignment and the losses, the bytes are those of
//! the C library, called raw.

#[path = "../../jerasure-sys/tests/support/c_library.rs"]
mod c_library;
#[path = "support/codes.rs"]
mod codes;
#[path = "../../jerasure-sys/tests/support/data.rs"]
mod data;

use codes::Shape;
use data::Xorshift;
use jerasure::{Codec, Engine, Technique};
use proptest::prelude::*;

/// Instances of the suite, one for each engine.
macro_rules! suite {
    ($($name:ident: $engine:expr;)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn every_length_encodes_as_in_c() {
                on($engine, encodes_every_length);
            }

            #[test]
            fn every_length_decodes_as_in_c() {
                on($engine, decodes_every_length);
            }

            #[test]
            fn every_length_updates_as_in_c() {
                on($engine, updates_every_length);
            }

            #[test]
            fn anything_goes_as_in_c() {
                on($engine, |engine| {
                    let mut runner = proptest::test_runner::TestRunner::new(config());
                    let outcome = runner.run(&any_case(), |case| case.check(engine));
                    outcome.unwrap_or_else(|error| panic!("{engine}: {error}"));
                });
            }
        })*

        #[test]
        fn the_suite_has_every_engine() {
            assert_eq!([$($engine),*], Engine::ALL);
            // Wherever C runs, these two do.
            assert!(Engine::Reference.is_available() && Engine::Scalar.is_available());
        }
    };
}

suite! {
    reference: Engine::Reference;
    scalar: Engine::Scalar;
    avx2: Engine::Avx2;
    gfni256: Engine::Gfni256;
    gfni512: Engine::Gfni512;
    neon: Engine::Neon;
}

/// An engine that this machine lacks is refused, and there is nothing more to see.
fn on(engine: Engine, test: impl FnOnce(Engine)) {
    let _alone = c_library::alone();
    if engine.is_available() {
        return test(engine);
    }
    let shape = codes::shapes(4, 2, 8)[0];
    Codec::with_engine(shape.technique, shape.params(), engine).unwrap_err();
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 200,
        // A failure names its seed, from which everything follows.
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Shards at any alignment: each in a buffer of its own that is longer by its displacement and by a guard.
struct Displaced {
    buffers: Vec<(Vec<u8>, usize)>,
    bytes: usize,
}

const GUARD: [u8; 64] = [0xa5; 64];

impl Displaced {
    /// Copies of the shards, displaced by what `random` says.
    fn new(shards: &[Vec<u8>], random: &mut Xorshift) -> Self {
        let buffers = shards.iter().map(|shard| {
            let start = random.below(64);
            let buffer = [&vec![0xa5; start][..], shard, &GUARD].concat();
            (buffer, start)
        });
        Self {
            buffers: buffers.collect(),
            bytes: shards[0].len(),
        }
    }

    fn slices(&self) -> Vec<&[u8]> {
        let bytes = self.bytes;
        self.buffers.iter().map(|(buffer, start)| &buffer[*start..][..bytes]).collect()
    }

    fn slices_mut(&mut self) -> Vec<&mut [u8]> {
        let bytes = self.bytes;
        let each = self.buffers.iter_mut();
        each.map(|(buffer, start)| &mut buffer[*start..][..bytes]).collect()
    }

    /// Copies of the shards; nothing around them may have changed.
    fn shards(&self) -> Vec<Vec<u8>> {
        for (buffer, start) in &self.buffers {
            assert!(buffer[..*start].iter().all(|&byte| byte == 0xa5));
            assert!(buffer[start + self.bytes..] == GUARD);
        }
        self.slices().into_iter().map(<[u8]>::to_vec).collect()
    }
}

/// Each technique and word size with every length of 0 to 257 units.
fn for_every_length(engine: Engine, mut check: impl FnMut(&Shape, &Codec, usize, &mut Xorshift)) {
    for (number, shape) in codes::shapes(5, 3, 8).iter().enumerate() {
        let codec = shape.codec(engine);
        let mut random = Xorshift::new(number as u64 + 1);
        assert_eq!(codec.unit(), shape.unit());
        for units in 0..=257 {
            check(shape, &codec, units * shape.unit(), &mut random);
        }
    }
}

fn encodes_every_length(engine: Engine) {
    for_every_length(engine, |shape, codec, bytes, random| {
        let data = random.shards(shape.k, bytes);
        let inputs = Displaced::new(&data, random);
        let mut coding = Displaced::new(&vec![vec![0xee; bytes]; shape.m], random);
        codec.encode(&inputs.slices(), &mut coding.slices_mut()).unwrap();
        let want = shape.c_code().encode(&data);
        assert!(coding.shards() == want, "{engine}, {shape:?}, {bytes} bytes");
        assert_eq!(inputs.shards(), data);
    });
}

fn decodes_every_length(engine: Engine) {
    for_every_length(engine, |shape, codec, bytes, random| {
        let (k, m) = (shape.k, shape.m);
        let data = random.shards(k, bytes);
        let whole = [data.clone(), shape.c_code().encode(&data)].concat();
        let erased = losses(k + m, m, random);
        let mut lost = whole.clone();
        erased.iter().for_each(|&shard| lost[shard].fill(0x5e));
        let mut shards = Displaced::new(&lost, random);
        codec.decode(&mut shards.slices_mut(), &erased).unwrap();
        assert!(shards.shards() == whole, "{engine}, {shape:?}, {bytes} bytes, lost {erased:?}");

        assert_eq!(codec.verify(&shards.slices()), Ok(true));
        if bytes > 0 {
            // One bit anywhere.
            let (shard, byte, bit) = (random.below(k + m), random.below(bytes), random.below(8));
            shards.slices_mut()[shard][byte] ^= 1 << bit;
            assert_eq!(codec.verify(&shards.slices()), Ok(false), "{engine}, {shape:?}");
        }
    });
}

fn updates_every_length(engine: Engine) {
    for_every_length(engine, |shape, codec, bytes, random| {
        let c_code = shape.c_code();
        let mut data = random.shards(shape.k, bytes);
        let coding = c_code.encode(&data);
        let index = random.below(shape.k);
        let new = random.bytes(bytes);
        let old = std::mem::replace(&mut data[index], new.clone());
        let want = c_code.encode(&data);

        let change = Displaced::new(&[old, new], random);
        let mut coding = Displaced::new(&coding, random);
        for (row, code) in coding.slices_mut().into_iter().enumerate() {
            let [old, new] = change.slices()[..] else { unreachable!("two were put in") };
            codec.update(row, index, old, new, code).unwrap();
        }
        assert!(coding.shards() == want, "{engine}, {shape:?}, {bytes} bytes, data {index}");
    });
}

/// 1 to m different shards, in ascending order.
fn losses(shards: usize, m: usize, random: &mut Xorshift) -> Vec<usize> {
    let mut lost: Vec<usize> = (0..=random.below(m)).map(|_| random.below(shards)).collect();
    lost.sort_unstable();
    lost.dedup();
    lost
}

/// A code, a length, losses and a change.
#[derive(Debug, Clone)]
struct Case {
    shape: Shape,
    units: usize,
    seed: u64,
}

fn any_case() -> impl Strategy<Value = Case> {
    let technique = prop::sample::select(Technique::ALL.to_vec());
    (technique, 1_usize..24, 1_usize..7, 1_u32..=32, 1_usize..40, 0_usize..5000, any::<u64>())
        .prop_map(|(technique, k, m, w, packet, size, seed)| Case::new(technique, k, m, w, packet, size, seed))
}

impl Case {
    /// The nearest that the technique has to what was drawn.
    fn new(technique: Technique, k: usize, m: usize, w: u32, packet: usize, size: usize, seed: u64) -> Self {
        let w = match technique {
            Technique::ReedSolVan | Technique::ReedSolR6 => [8, 16, 32][w as usize % 3],
            // Schedules grow with the square of w.
            Technique::CauchyOrig | Technique::CauchyGood => 1 + w % 16,
            Technique::Liberation => [3, 5, 7, 11, 13][w as usize % 5],
            Technique::BlaumRoth => [4, 6, 10, 12][w as usize % 4],
            _ => 8,
        };
        let packet_bytes = if technique.uses_packets() { packet * 8 } else { 0 };
        let smaller = (1..=k).rev().flat_map(|k| [m, 2, 1].map(|m| (k, m)));
        let shape = smaller
            .map(|(k, m)| Shape { technique, k, m, w, packet_bytes })
            .find(Shape::is_possible)
            .expect("every technique has a code of one data shard");
        Self { units: size / shape.unit().div_ceil(8), shape, seed }
    }

    fn check(&self, engine: Engine) -> Result<(), TestCaseError> {
        let Self { shape, units, seed } = self;
        let (k, m, bytes) = (shape.k, shape.m, units * shape.unit());
        let mut random = Xorshift::new(*seed);
        let (codec, c_code) = (shape.codec(engine), shape.c_code());
        let data = random.shards(k, bytes);
        let inputs = Displaced::new(&data, &mut random);
        let mut coding = Displaced::new(&vec![vec![0xee; bytes]; m], &mut random);
        codec.encode(&inputs.slices(), &mut coding.slices_mut()).unwrap();
        let whole = [data.clone(), c_code.encode(&data)].concat();
        prop_assert!(coding.shards() == whole[k..], "encoding");

        let erased = losses(k + m, m, &mut random);
        let mut lost = whole.clone();
        erased.iter().for_each(|&shard| lost[shard].fill(0x5e));
        let mut shards = Displaced::new(&lost, &mut random);
        codec.decode(&mut shards.slices_mut(), &erased).unwrap();
        prop_assert!(shards.shards() == whole, "decoding {erased:?}");

        let index = random.below(k);
        let change = Displaced::new(&[data[index].clone(), random.bytes(bytes)], &mut random);
        for (row, code) in coding.slices_mut().into_iter().enumerate() {
            codec.update(row, index, change.slices()[0], change.slices()[1], code).unwrap();
        }
        let mut data = data;
        data[index] = change.shards()[1].clone();
        prop_assert!(coding.shards() == c_code.encode(&data), "updating data {index}");
        Ok(())
    }
}
