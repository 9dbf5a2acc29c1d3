//! One suite over every engine and technique: whatever the length, the alignment and the losses, the bytes are those of
//! the C library, called raw.

#[path = "../../jerasure-sys/tests/support/c_library.rs"]
mod c_library;
#[path = "support/codes.rs"]
mod codes;
#[path = "../../jerasure-sys/tests/support/data.rs"]
mod data;

use c_library::{CCode, Way};
use codes::Shape;
use data::Xorshift;
use jerasure::{Codec, Engine, Technique};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// Every length of one technique, on every engine of this machine.
macro_rules! every_length {
    ($($name:ident: $technique:expr;)*) => {
        $(#[test]
        fn $name() {
            every_length_is_as_in_c($technique);
        })*

        #[test]
        fn every_technique_has_its_test() {
            assert_eq!([$($technique),*], Technique::ALL);
        }
    };
}

every_length! {
    every_length_of_reed_sol_van: Technique::ReedSolVan;
    every_length_of_reed_sol_r6_op: Technique::ReedSolR6;
    every_length_of_cauchy_orig: Technique::CauchyOrig;
    every_length_of_cauchy_good: Technique::CauchyGood;
    every_length_of_liberation: Technique::Liberation;
    every_length_of_blaum_roth: Technique::BlaumRoth;
    every_length_of_liber8tion: Technique::Liber8tion;
}

/// Whatever is drawn, on one engine.
macro_rules! anything {
    ($($name:ident: $engine:expr;)*) => {
        $(#[test]
        fn $name() {
            anything_is_as_in_c($engine);
        })*

        #[test]
        fn every_engine_has_its_test() {
            assert_eq!([$($engine),*], Engine::ALL);
            // Wherever C runs, these two do.
            assert!(Engine::Reference.is_available() && Engine::Scalar.is_available());
        }
    };
}

anything! {
    anything_goes_on_reference: Engine::Reference;
    anything_goes_on_scalar: Engine::Scalar;
    anything_goes_on_avx2: Engine::Avx2;
    anything_goes_on_gfni256: Engine::Gfni256;
    anything_goes_on_gfni512: Engine::Gfni512;
    anything_goes_on_neon: Engine::Neon;
}

/// The library's coding shards, by the schedule that is made fastest; `erasures.rs` sees that the others agree.
fn c_encode(c_code: &CCode, data: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let way = c_code.ways().iter().find(|&&way| way == Way::Dumb);
    c_code.encode_by(*way.unwrap_or(&Way::Matrix), data)
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
        self.buffers
            .iter()
            .map(|(buffer, start)| &buffer[*start..][..bytes])
            .collect()
    }

    fn slices_mut(&mut self) -> Vec<&mut [u8]> {
        let bytes = self.bytes;
        let each = self.buffers.iter_mut();
        each.map(|(buffer, start)| &mut buffer[*start..][..bytes])
            .collect()
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

/// Every length of 0 to 257 units. A code on packets does the same for every stripe, so that only its smallest word
/// size takes them all.
fn lengths(shape: &Shape) -> impl Iterator<Item = usize> {
    let first = codes::word_sizes()
        .into_iter()
        .find(|pair| pair.0 == shape.technique);
    let is_full = shape.packet_bytes == 0 || first == Some((shape.technique, shape.w));
    (0..=257).filter(move |units| is_full || *units < 20 || units % 64 < 2)
}

/// Every word size of a technique with its lengths.
fn every_length_is_as_in_c(technique: Technique) {
    let shapes = codes::shapes(5, 3, 8);
    for shape in shapes.iter().filter(|shape| shape.technique == technique) {
        let _place = shape.place();
        let codecs: Vec<Codec> = Engine::available().map(|e| shape.codec(e)).collect();
        let c_code = shape.c_code();
        let mut random = Xorshift::new(u64::from(shape.w));
        for units in lengths(shape) {
            let bytes = units * shape.unit();
            let data = random.shards(shape.k, bytes);
            let coding = c_encode(&c_code, &data);
            let change = Change::new(&data, &c_code, &mut random);
            for codec in &codecs {
                assert_eq!(codec.unit(), shape.unit());
                encodes(codec, &data, &coding, &mut random);
                decodes(codec, &[&data[..], &coding].concat(), &mut random);
                updates(codec, &coding, &change, &mut random);
            }
        }
    }
}

fn encodes(codec: &Codec, data: &[Vec<u8>], coding: &[Vec<u8>], random: &mut Xorshift) {
    let bytes = data[0].len();
    let inputs = Displaced::new(data, random);
    let mut outputs = Displaced::new(&vec![vec![0xee; bytes]; coding.len()], random);
    codec
        .encode(&inputs.slices(), &mut outputs.slices_mut())
        .unwrap();
    assert!(
        outputs.shards() == coding,
        "encoding: {codec:?}, {bytes} bytes"
    );
    assert!(
        inputs.shards() == data,
        "inputs written: {codec:?}, {bytes} bytes"
    );
}

fn decodes(codec: &Codec, whole: &[Vec<u8>], random: &mut Xorshift) {
    let (shards, bytes) = (whole.len(), whole[0].len());
    let erased = losses(shards, codec.params().m(), random);
    let mut lost = whole.to_vec();
    erased.iter().for_each(|&shard| lost[shard].fill(0x5e));
    let mut places = Displaced::new(&lost, random);
    codec.decode(&mut places.slices_mut(), &erased).unwrap();
    assert!(
        places.shards() == whole,
        "{codec:?}, {bytes} bytes, lost {erased:?}"
    );

    assert_eq!(codec.verify(&places.slices()), Ok(true));
    if bytes > 0 {
        // One bit anywhere.
        let (shard, byte, bit) = (random.below(shards), random.below(bytes), random.below(8));
        places.slices_mut()[shard][byte] ^= 1 << bit;
        assert_eq!(
            codec.verify(&places.slices()),
            Ok(false),
            "{codec:?}, byte {byte} of {bytes}"
        );
    }
}

/// A data shard replaced, and the coding shards that follow.
struct Change {
    index: usize,
    old: Vec<u8>,
    new: Vec<u8>,
    coding: Vec<Vec<u8>>,
}

impl Change {
    fn new(data: &[Vec<u8>], c_code: &CCode, random: &mut Xorshift) -> Self {
        let mut data = data.to_vec();
        let index = random.below(data.len());
        let new = random.bytes(data[0].len());
        let old = std::mem::replace(&mut data[index], new.clone());
        Self {
            index,
            old,
            new,
            coding: c_encode(c_code, &data),
        }
    }
}

fn updates(codec: &Codec, coding: &[Vec<u8>], change: &Change, random: &mut Xorshift) {
    let index = change.index;
    let regions = Displaced::new(&[change.old.clone(), change.new.clone()], random);
    let mut coding = Displaced::new(coding, random);
    for (row, code) in coding.slices_mut().into_iter().enumerate() {
        codec
            .update(row, index, regions.slices()[0], regions.slices()[1], code)
            .unwrap();
    }
    let bytes = change.new.len();
    assert!(
        coding.shards() == change.coding,
        "{codec:?}, {bytes} bytes of data {index}"
    );
}

/// 1 to m different shards, in ascending order.
fn losses(shards: usize, m: usize, random: &mut Xorshift) -> Vec<usize> {
    let mut lost: Vec<usize> = (0..=random.below(m))
        .map(|_| random.below(shards))
        .collect();
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
    (
        technique,
        1_usize..24,
        1_usize..7,
        1_u32..=32,
        1_usize..40,
        0_usize..5000,
        any::<u64>(),
    )
        .prop_map(|(technique, k, m, w, packet, size, seed)| {
            Case::new(technique, k, m, w, packet, size, seed)
        })
}

impl Case {
    /// The nearest that the technique has to what was drawn.
    fn new(
        technique: Technique,
        k: usize,
        m: usize,
        w: u32,
        packet: usize,
        size: usize,
        seed: u64,
    ) -> Self {
        let w = match technique {
            Technique::ReedSolVan | Technique::ReedSolR6 => [8, 16, 32][w as usize % 3],
            // Schedules grow with the square of w.
            Technique::CauchyOrig | Technique::CauchyGood => 1 + w % 16,
            Technique::Liberation => [3, 5, 7, 11, 13][w as usize % 5],
            Technique::BlaumRoth => [4, 6, 10, 12][w as usize % 4],
            _ => 8,
        };
        let packet_bytes = if technique.uses_packets() {
            packet * 8
        } else {
            0
        };
        let smaller = (1..=k).rev().flat_map(|k| [m, 2, 1].map(|m| (k, m)));
        let shape = smaller
            .map(|(k, m)| Shape {
                technique,
                k,
                m,
                w,
                packet_bytes,
            })
            .find(Shape::is_possible)
            .expect("every technique has a code of one data shard");
        Self {
            units: size / shape.unit().div_ceil(8),
            shape,
            seed,
        }
    }

    fn check(&self, engine: Engine) {
        let Self { shape, units, seed } = self;
        let _place = shape.place();
        let mut random = Xorshift::new(*seed);
        let (codec, c_code) = (shape.codec(engine), shape.c_code());
        let data = random.shards(shape.k, units * shape.unit());
        let coding = c_encode(&c_code, &data);
        encodes(&codec, &data, &coding, &mut random);
        decodes(&codec, &[&data[..], &coding].concat(), &mut random);
        let change = Change::new(&data, &c_code, &mut random);
        updates(&codec, &coding, &change, &mut random);
    }
}

/// An engine that this machine lacks is refused, and there is nothing more to see.
fn anything_is_as_in_c(engine: Engine) {
    if !engine.is_available() {
        let shape = codes::shapes(4, 2, 8)[0];
        Codec::with_engine(shape.technique, shape.params(), engine).unwrap_err();
        return;
    }
    let config = ProptestConfig {
        cases: 150,
        // A failure prints the case, seed and all.
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let outcome = TestRunner::new(config).run(&any_case(), |case| {
        case.check(engine);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{engine}: {error}"));
}
