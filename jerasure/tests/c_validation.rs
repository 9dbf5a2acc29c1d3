//! Arguments on which the C library aborts, prints, leaves its buffers or returns wrong bytes: the safe crate answers each
//! with an error, or with the right result. The crate's README lists what each test stands for.

#[path = "c_validation/codes.rs"]
mod codes;
#[path = "c_validation/values.rs"]
mod values;

use std::cell::Cell;

use jerasure::{CodeParams, Codec, Error, Multiplier, Technique, WordSize};

const ALL: [WordSize; 3] = [WordSize::W8, WordSize::W16, WordSize::W32];

fn codec(k: usize, m: usize, w: WordSize) -> Codec {
    Codec::new(Technique::ReedSolVan, CodeParams::new(k, m, w).unwrap()).unwrap()
}

/// The shards of a 3 + 2 code over bytes.
fn three_and_two() -> (Codec, Vec<Vec<u8>>) {
    let codec = codec(3, 2, WordSize::W8);
    let mut shards: Vec<Vec<u8>> = (1..=5).map(|i| vec![i * 7; 64]).collect();
    let (data, coding) = shards.split_at_mut(3);
    codec.encode(data, coding).unwrap();
    (codec, shards)
}

#[test]
fn coefficients_beyond_the_field_are_refused() {
    for (w, value) in [
        (WordSize::W8, 256),
        (WordSize::W8, u32::MAX),
        (WordSize::W16, 65_536),
    ] {
        let refused = Multiplier::new(w, value).unwrap_err();
        assert_eq!(refused, Error::NotAnElement { value, w: w.bits() });
    }
    assert!(Multiplier::new(WordSize::W32, u32::MAX).is_ok());
}

#[test]
fn short_unaligned_regions_stay_in_bounds() {
    for w in ALL {
        for coefficient in [0, 1, 2, w.max_element()] {
            let multiplier = Multiplier::new(w, coefficient).unwrap();
            for start in 0..32 {
                for words in 0..=32 / w.bytes() {
                    let bytes = words * w.bytes();
                    let (src, mut dst) = ([0xc3; 96], [0x3c; 96]);
                    multiplier
                        .mul_add(&mut dst[start..][..bytes], &src[start + 1..][..bytes])
                        .unwrap();
                    multiplier
                        .mul(&mut dst[start..][..bytes], &src[start..][..bytes])
                        .unwrap();
                    assert!(dst[..start].iter().all(|&b| b == 0x3c));
                    assert!(dst[start + bytes..].iter().all(|&b| b == 0x3c));
                }
            }
        }
    }
}

#[test]
fn unequal_and_partial_regions_are_refused_and_left_alone() {
    for w in ALL {
        let multiplier = Multiplier::new(w, 3).unwrap();
        let mut dst = [9; 64];
        for (to, from) in [(64, 60), (0, 64), (60, 64)] {
            let unequal = Err(Error::LengthMismatch {
                expected: to,
                got: from,
            });
            assert_eq!(
                multiplier.mul_add(&mut dst[..to], &[1; 64][..from]),
                unequal
            );
            assert_eq!(multiplier.mul(&mut dst[..to], &[1; 64][..from]), unequal);
        }
        for bytes in (1..64).filter(|bytes| bytes % w.bytes() != 0) {
            let partial = Err(Error::PartialWord { bytes, w: w.bits() });
            assert_eq!(
                multiplier.mul_add(&mut dst[..bytes], &[1; 64][..bytes]),
                partial
            );
            assert_eq!(
                multiplier.mul(&mut dst[..bytes], &[1; 64][..bytes]),
                partial
            );
        }
        assert_eq!(dst, [9; 64]);
    }
}

#[test]
fn zero_clears_the_destination_or_adds_nothing() {
    for w in ALL {
        let multiplier = Multiplier::new(w, 0).unwrap();
        let mut dst = [5; 64];
        multiplier.mul_add(&mut dst, &[1; 64]).unwrap();
        assert_eq!(dst, [5; 64]);
        multiplier.mul(&mut dst, &[1; 64]).unwrap();
        assert_eq!(dst, [0; 64]);
    }
}

#[test]
fn encode_refuses_wrong_counts_and_lengths() {
    let codec = codec(3, 2, WordSize::W16);
    let data = vec![vec![1; 8]; 3];
    let mut coding = vec![vec![9; 8]; 2];
    let untouched = coding.clone();

    assert!(matches!(
        codec.encode(&data[..2], &mut coding),
        Err(Error::Count {
            what: "data shards",
            expected: 3,
            got: 2
        })
    ));
    assert!(matches!(
        codec.encode(&data, &mut coding[..1]),
        Err(Error::Count {
            what: "coding shards",
            expected: 2,
            got: 1
        })
    ));
    let uneven = [vec![1; 8], vec![1; 8], vec![1; 6]];
    assert_eq!(
        codec.encode(&uneven, &mut coding),
        Err(Error::LengthMismatch {
            expected: 8,
            got: 6
        })
    );
    let longer = vec![vec![1; 10]; 3];
    assert_eq!(
        codec.encode(&longer, &mut coding),
        Err(Error::LengthMismatch {
            expected: 10,
            got: 8
        })
    );
    assert_eq!(coding, untouched);

    let mut odd = vec![vec![9; 7]; 2];
    assert_eq!(
        codec.encode(&vec![vec![1; 7]; 3], &mut odd),
        Err(Error::PartialWord { bytes: 7, w: 16 })
    );
    assert_eq!(odd, vec![vec![9; 7]; 2]);
}

/// Shards that are shorter each time they are asked for.
struct Shrinking {
    bytes: Vec<u8>,
    asked: Cell<usize>,
}

impl Shrinking {
    fn new(byte: u8) -> Self {
        Self {
            bytes: vec![byte; 64],
            asked: Cell::new(0),
        }
    }

    fn length(&self) -> usize {
        self.bytes.len() >> self.asked.replace(self.asked.get() + 1)
    }
}

impl AsRef<[u8]> for Shrinking {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length()]
    }
}

impl AsMut<[u8]> for Shrinking {
    fn as_mut(&mut self) -> &mut [u8] {
        let length = self.length();
        &mut self.bytes[..length]
    }
}

#[test]
fn shards_that_shrink_when_asked_again_do_not_stop_a_call_midway() {
    let (codec, whole) = three_and_two();
    let data = [7, 14, 21].map(Shrinking::new);
    let mut coding = [0xee, 0xee].map(Shrinking::new);
    codec.encode(&data, &mut coding).unwrap();
    assert_eq!(
        coding.each_ref().map(|shard| &*shard.bytes),
        [&*whole[3], &*whole[4]]
    );

    let mut shards: Vec<Shrinking> = whole.iter().map(|shard| Shrinking::new(shard[0])).collect();
    shards[1].bytes.fill(0xee);
    codec.decode(&mut shards, &[1]).unwrap();
    assert_eq!(shards[1].bytes, whole[1]);
}

#[test]
fn empty_shards_are_fine() {
    for w in ALL {
        let codec = codec(2, 1, w);
        let mut shards = [[0; 0]; 3];
        codec.encode(&[[0; 0]; 2], &mut [[0; 0]; 1]).unwrap();
        codec.update(0, 1, &[], &[], &mut []).unwrap();
        codec.decode(&mut shards, &[1]).unwrap();
    }
}

#[test]
fn decode_with_nothing_lost_changes_nothing() {
    let (codec, mut shards) = three_and_two();
    shards[1].fill(0xee);
    let before = shards.clone();
    codec.decode(&mut shards, &[]).unwrap();
    assert_eq!(shards, before);
}

#[test]
fn decode_refuses_bad_erasures() {
    let (codec, mut shards) = three_and_two();
    let before = shards.clone();
    for index in [5, 6, usize::MAX] {
        assert_eq!(
            codec.decode(&mut shards, &[index]),
            Err(Error::OutOfRange {
                what: "shard",
                index,
                limit: 5
            })
        );
    }
    assert_eq!(
        codec.decode(&mut shards, &[2, 2]),
        Err(Error::RepeatedShard { index: 2 })
    );
    assert_eq!(
        codec.decode(&mut shards, &[0, 3, 4]),
        Err(Error::TooManyErasures { lost: 3, m: 2 })
    );
    assert!(matches!(
        codec.decode(&mut shards[..4], &[0]),
        Err(Error::Count {
            what: "shards",
            expected: 5,
            got: 4
        })
    ));
    assert_eq!(shards, before);

    shards[4].pop();
    assert_eq!(
        codec.decode(&mut shards, &[0]),
        Err(Error::LengthMismatch {
            expected: 64,
            got: 63
        })
    );
}

#[test]
fn decode_takes_erasures_in_any_order() {
    let (codec, whole) = three_and_two();
    for erased in [[0, 3], [3, 0], [4, 3], [2, 1]] {
        let mut shards = whole.clone();
        for lost in erased {
            shards[lost].fill(0);
        }
        codec.decode(&mut shards, &erased).unwrap();
        assert_eq!(shards, whole);
    }
}

#[test]
fn update_refuses_bad_indices_and_lengths() {
    let (codec, mut shards) = three_and_two();
    let before = shards.clone();
    let (old, new) = ([0; 64], [1; 64]);
    assert_eq!(
        codec.update(2, 0, &old, &new, &mut shards[3]),
        Err(Error::OutOfRange {
            what: "coding row",
            index: 2,
            limit: 2
        })
    );
    assert_eq!(
        codec.update(0, 3, &old, &new, &mut shards[3]),
        Err(Error::OutOfRange {
            what: "data shard",
            index: 3,
            limit: 3
        })
    );
    for (old, new) in [(&old[..63], &new[..]), (&old[..], &new[..0])] {
        assert!(matches!(
            codec.update(0, 0, old, new, &mut shards[3]),
            Err(Error::LengthMismatch { expected: 64, .. })
        ));
    }
    assert_eq!(shards, before);
}

#[test]
fn reconstruction_refuses_bad_lists() {
    let codec = codec(3, 2, WordSize::W8);
    let refused =
        |lost: &[usize], sources: &[usize]| codec.reconstruction(lost, sources).unwrap_err();
    assert!(matches!(
        refused(&[0], &[1, 2]),
        Error::Count {
            what: "sources",
            expected: 3,
            got: 2
        }
    ));
    assert!(matches!(
        refused(&[0], &[1, 2, 3, 4]),
        Error::Count { got: 4, .. }
    ));
    assert_eq!(refused(&[0], &[1, 2, 2]), Error::RepeatedShard { index: 2 });
    assert_eq!(
        refused(&[0, 0], &[1, 2, 3]),
        Error::RepeatedShard { index: 0 }
    );
    assert_eq!(refused(&[1], &[1, 2, 3]), Error::RepeatedShard { index: 1 });
    assert!(matches!(
        refused(&[5], &[1, 2, 3]),
        Error::OutOfRange { index: 5, .. }
    ));
    assert!(matches!(
        refused(&[0], &[1, 2, 5]),
        Error::OutOfRange { index: 5, .. }
    ));
    assert_eq!(codec.reconstruction(&[], &[2, 4, 0]).unwrap().lost(), []);
}

#[test]
fn everything_crosses_threads() {
    fn is_send_and_sync<T: Send + Sync + Clone>() {}
    is_send_and_sync::<Codec>();
    is_send_and_sync::<Multiplier>();
    is_send_and_sync::<jerasure::Reconstruction>();
    is_send_and_sync::<Error>();
}
