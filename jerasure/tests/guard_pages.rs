//! No engine touches a byte before or after a shard: each lies flush with a page that nobody may touch, so that one
//! such byte ends the process. Instructions that read past the end would otherwise be seen by no test.

#[path = "../../jerasure-sys/tests/support/c_library.rs"]
mod c_library;
#[path = "support/codes.rs"]
mod codes;
#[path = "../../jerasure-sys/tests/support/data.rs"]
mod data;
#[path = "support/guarded.rs"]
mod guarded;

use codes::Shape;
use data::Xorshift;
use guarded::{Edge, Guarded};
use jerasure::{Codec, Engine};

/// Every length up to a little more than the longest step of an engine, and some around a page.
fn lengths(shape: &Shape) -> impl Iterator<Item = usize> {
    let unit = shape.unit();
    let most = if shape.packet_bytes == 0 {
        300 / unit
    } else {
        6
    };
    let pages = [4096_usize, 5000].map(|bytes| bytes / unit);
    (0..=most).chain(pages).map(move |units| units * unit)
}

fn guarded(shards: &[Vec<u8>], edge: Edge) -> Vec<Guarded> {
    shards
        .iter()
        .map(|shard| Guarded::new(shard, edge))
        .collect()
}

/// Encodes, decodes, verifies and updates where a wrong step is fatal.
fn stays_inside(shape: &Shape, codec: &Codec, bytes: usize, edge: Edge) {
    let (k, m) = (shape.k, shape.m);
    let mut random = Xorshift::new(bytes as u64 + 1);
    let data = random.shards(k, bytes);
    let want = shape.c_code().encode(&data);
    let mut coding = guarded(&vec![vec![0; bytes]; m], edge);
    codec.encode(&guarded(&data, edge), &mut coding).unwrap();
    let told = format!(
        "{}, {shape:?}, {bytes} bytes, guarded at its {edge:?}",
        codec.engine()
    );
    assert!(
        coding
            .iter()
            .zip(&want)
            .all(|(got, want)| got.as_ref() == want),
        "{told}"
    );

    let whole = [data, want].concat();
    let mut shards = guarded(&whole, edge);
    let erased: Vec<usize> = (0..m).map(|i| i * 2 % (k + m)).collect();
    erased
        .iter()
        .for_each(|&lost| shards[lost].as_mut().fill(0x5e));
    codec.decode(&mut shards, &erased).unwrap();
    assert_eq!(codec.verify(&shards), Ok(true), "{told}");
    assert!(
        shards
            .iter()
            .zip(&whole)
            .all(|(got, want)| got.as_ref() == want),
        "{told}"
    );

    let new = Guarded::new(&random.bytes(bytes), edge);
    let (data, coding) = shards.split_at_mut(k);
    for (row, code) in coding.iter_mut().enumerate() {
        codec
            .update(
                row,
                k - 1,
                data[k - 1].as_ref(),
                new.as_ref(),
                code.as_mut(),
            )
            .unwrap();
    }
    data[k - 1].as_mut().copy_from_slice(new.as_ref());
    assert_eq!(codec.verify(&shards), Ok(true), "{told}");
}

#[test]
fn no_engine_leaves_its_shards() {
    let _alone = c_library::alone();
    for engine in Engine::available() {
        for shape in codes::shapes(3, 2, 8)
            .into_iter()
            .chain(codes::shapes(3, 2, 40))
        {
            let codec = shape.codec(engine);
            for bytes in lengths(&shape) {
                stays_inside(&shape, &codec, bytes, Edge::Start);
                stays_inside(&shape, &codec, bytes, Edge::End);
            }
        }
    }
}
