//! What a codec does beside encoding and decoding, for every technique: verify, reconstruct, pad, take one's own matrix.

use jerasure::{
    BitMatrix, CodeParams, Codec, Engine, Error, Matrix, Schedule, Technique, WordSize,
};

#[path = "codec/bits.rs"]
mod bits;
#[path = "codec/locate.rs"]
mod locate;

/// A small code of each technique, with more than one word or stripe in its shards.
fn codes() -> Vec<(Codec, usize)> {
    let shape = |k, m, w| CodeParams::new(k, m, WordSize::new(w).unwrap()).unwrap();
    let packets = |k, m, w| shape(k, m, w).with_packet_bytes(16).unwrap();
    let codes = [
        (Technique::ReedSolVan, shape(4, 3, 8)),
        (Technique::ReedSolVan, shape(3, 2, 16)),
        (Technique::ReedSolVan, shape(5, 4, 32)),
        (Technique::ReedSolR6, shape(4, 2, 8)),
        (Technique::CauchyOrig, packets(4, 3, 4)),
        (Technique::CauchyGood, packets(5, 3, 8)),
        (Technique::Liberation, packets(4, 2, 5)),
        (Technique::BlaumRoth, packets(5, 2, 6)),
        (Technique::Liber8tion, packets(6, 2, 8)),
    ];
    codes
        .into_iter()
        .map(|(technique, params)| {
            let codec = Codec::new(technique, params).unwrap();
            let bytes = codec.unit() * 3;
            (codec, bytes)
        })
        .collect()
}

fn bytes(seed: usize, length: usize) -> Vec<u8> {
    let mut state = (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..length)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

fn encoded(codec: &Codec, length: usize) -> Vec<Vec<u8>> {
    let (k, m) = (codec.params().k(), codec.params().m());
    let mut shards: Vec<Vec<u8>> = (0..k).map(|shard| bytes(shard, length)).collect();
    let mut coding = vec![vec![0x5a; length]; m];
    codec.encode(&shards, &mut coding).unwrap();
    shards.extend(coding);
    shards
}

#[test]
fn a_change_of_any_shard_is_seen() {
    for (codec, length) in codes() {
        let mut shards = encoded(&codec, length);
        assert_eq!(codec.verify(&shards), Ok(true), "{codec:?}");
        for shard in 0..shards.len() {
            for at in [0, length / 2, length - 1] {
                shards[shard][at] ^= 0x10;
                assert_eq!(codec.verify(&shards), Ok(false), "{codec:?}: {shard}, {at}");
                shards[shard][at] ^= 0x10;
            }
        }
    }
}

#[test]
fn a_change_beyond_the_first_block_is_seen() {
    let params = CodeParams::new(2, 2, WordSize::W8).unwrap();
    let codec = Codec::new(Technique::ReedSolVan, params).unwrap();
    for length in [16 * 1024, 16 * 1024 + 1, 100_003] {
        let mut shards = encoded(&codec, length);
        assert_eq!(codec.verify(&shards), Ok(true));
        shards[3][length - 1] ^= 1;
        assert_eq!(codec.verify(&shards), Ok(false));
    }
}

#[test]
fn empty_shards_are_consistent() {
    for (codec, _) in codes() {
        let shards = vec![Vec::<u8>::new(); codec.params().shards()];
        assert_eq!(codec.verify(&shards), Ok(true));
        let mut shards = shards;
        assert_eq!(codec.decode(&mut shards, &[0]), Ok(()));
    }
}

#[test]
fn verify_refuses_wrong_counts_and_lengths() {
    for (codec, length) in codes() {
        let mut shards = encoded(&codec, length);
        let expected = shards.len();
        assert_eq!(
            codec.verify(&shards[1..]),
            Err(Error::Count {
                what: "shards",
                expected,
                got: expected - 1
            })
        );
        shards[1].pop();
        assert_eq!(
            codec.verify(&shards),
            Err(Error::LengthMismatch {
                expected: length,
                got: length - 1
            })
        );
    }
}

#[test]
fn only_the_wanted_shards_are_computed() {
    for (codec, length) in codes() {
        let whole = encoded(&codec, length);
        let (k, m) = (codec.params().k(), codec.params().m());
        for (erased, wanted) in [
            (vec![0, k], vec![0]),
            (vec![k, 0], vec![k]),
            (vec![k - 1, 1], vec![1]),
            (vec![0, k + m - 1], vec![]),
            (vec![k - 1, k], vec![k, k - 1]),
        ] {
            let mut shards = whole.clone();
            for &lost in &erased {
                if wanted.contains(&lost) {
                    shards[lost] = vec![0xee; length];
                } else {
                    // Not wanted: it needs no buffer.
                    shards[lost] = Vec::new();
                }
            }
            codec.reconstruct(&mut shards, &erased, &wanted).unwrap();
            for (index, shard) in shards.iter().enumerate() {
                if erased.contains(&index) && !wanted.contains(&index) {
                    assert!(shard.is_empty());
                } else {
                    assert!(shard == &whole[index], "{codec:?}: {index} of {erased:?}");
                }
            }
        }
    }
}

#[test]
fn a_wanted_shard_that_is_not_erased_is_refused() {
    for (codec, length) in codes() {
        let mut shards = encoded(&codec, length);
        let before = shards.clone();
        assert_eq!(
            codec.reconstruct(&mut shards, &[0], &[1]),
            Err(Error::NotErased { index: 1 })
        );
        assert_eq!(
            codec.reconstruct(&mut shards, &[0, 1], &[0, 0]),
            Err(Error::RepeatedShard { index: 0 })
        );
        assert_eq!(shards, before);
    }
}

#[test]
fn a_plan_that_is_kept_gives_the_same_bytes() {
    for (codec, length) in codes() {
        let whole = encoded(&codec, length);
        // In both orders: the kept plan's outputs are sorted, the caller's list need not be.
        for erased in [[0, 2], [2, 0], [0, 2]] {
            let mut shards = whole.clone();
            for &lost in &erased {
                shards[lost].fill(0);
            }
            codec.decode(&mut shards, &erased).unwrap();
            assert!(shards == whole, "{codec:?}, {erased:?}");
        }
    }
}

#[test]
fn lengths_are_padded_to_the_unit() {
    for (codec, _) in codes() {
        let unit = codec.unit();
        let params = codec.params();
        let want = match params.packet_bytes() {
            Some(packet) => packet * params.w().bits() as usize,
            None => params.w().bytes(),
        };
        assert_eq!(unit, want);
        assert_eq!(codec.padded_len(0), Some(0));
        assert_eq!(codec.padded_len(1), Some(unit));
        assert_eq!(codec.padded_len(unit), Some(unit));
        assert_eq!(codec.padded_len(unit + 1), Some(2 * unit));
        let largest = codec.padded_len(usize::MAX);
        assert_eq!(largest, (unit == 1).then_some(usize::MAX));
    }
}

#[test]
fn partial_stripes_are_refused_and_nothing_is_written() {
    for (codec, length) in codes() {
        if codec.params().packet_bytes().is_none() {
            continue;
        }
        let (k, m, stripe) = (codec.params().k(), codec.params().m(), codec.unit());
        let partial = |bytes| Err(Error::PartialStripe { bytes, stripe });
        for bytes in [1, 8, stripe - 8, stripe + 8, length - 1] {
            let mut shards = vec![vec![3; bytes]; k + m];
            let (data, coding) = shards.split_at_mut(k);
            assert_eq!(codec.encode(data, coding), partial(bytes));
            assert_eq!(codec.decode(&mut shards, &[0]), partial(bytes));
            let verified = codec.verify(&shards).map(|_| ());
            assert_eq!(verified, partial(bytes));
            let mut code = vec![3; bytes];
            assert_eq!(
                codec.update(0, 0, &shards[0], &shards[1], &mut code),
                partial(bytes)
            );
            assert!(shards.iter().flatten().chain(&code).all(|&byte| byte == 3));
        }
    }
}

#[test]
fn an_update_equals_encoding_anew_whichever_the_engine() {
    for (codec, length) in codes() {
        let before = encoded(&codec, length);
        let (k, m) = (codec.params().k(), codec.params().m());
        for engine in Engine::available() {
            let codec = codec.on_engine(engine).unwrap();
            assert_eq!(codec.engine(), engine);
            for changed in 0..k {
                let new = bytes(99, length);
                let mut after = before.clone();
                after[changed].clone_from(&new);
                let (data, coding) = after.split_at_mut(k);
                codec.encode(data, coding).unwrap();
                for row in 0..m {
                    let mut code = before[k + row].clone();
                    codec
                        .update(row, changed, &before[changed], &new, &mut code)
                        .unwrap();
                    assert!(code == after[k + row], "{codec:?}: {changed} in {row}");
                }
            }
        }
    }
}

#[test]
fn a_unit_alone_may_be_updated() {
    for (codec, length) in codes() {
        let before = encoded(&codec, length);
        let (k, unit) = (codec.params().k(), codec.unit());
        let mut after = before.clone();
        after[1][unit..2 * unit].fill(0x77);
        let (data, coding) = after.split_at_mut(k);
        codec.encode(data, coding).unwrap();
        let (old, new) = (&before[1][unit..2 * unit], &after[1][unit..2 * unit]);
        let mut code = before[k + 1].clone();
        codec
            .update(1, 1, old, new, &mut code[unit..2 * unit])
            .unwrap();
        assert!(code == after[k + 1], "{codec:?}");
    }
}

#[test]
fn ones_own_matrix_encodes_as_the_technique_that_made_it() {
    for (codec, length) in codes() {
        let want = encoded(&codec, length);
        let own = match (codec.matrix(), codec.bit_matrix()) {
            (Some(matrix), _) => Codec::from_matrix(codec.params(), matrix.clone()),
            (None, Some(bits)) => Codec::from_bit_matrix(codec.params(), bits.clone()),
            (None, None) => panic!("a code has a matrix"),
        };
        let own = own.unwrap();
        assert_eq!(own.technique(), None);
        assert!(encoded(&own, length) == want, "{codec:?}");
    }
}

#[test]
fn a_matrix_of_another_shape_or_field_is_refused() {
    let params = CodeParams::new(4, 3, WordSize::W8).unwrap();
    let matrix = Matrix::cauchy_original(4, 2, WordSize::W8).unwrap();
    assert!(matches!(
        Codec::from_matrix(params, matrix),
        Err(Error::MatrixShape {
            rows: 3,
            cols: 4,
            got_rows: 2,
            got_cols: 4
        })
    ));
    let matrix = Matrix::cauchy_original(4, 3, WordSize::W16).unwrap();
    assert!(matches!(
        Codec::from_matrix(params, matrix),
        Err(Error::WordSize { w: 8, .. })
    ));
    let w = WordSize::new(5).unwrap();
    let params = CodeParams::new(4, 3, w).unwrap();
    let matrix = Matrix::cauchy_original(4, 3, w).unwrap();
    assert!(matches!(
        Codec::from_matrix(params, matrix),
        Err(Error::WordSize { w: 5, .. })
    ));
    let bits = BitMatrix::new(15, 20, |row, col| row == col).unwrap();
    assert!(matches!(
        Codec::from_bit_matrix(params, bits),
        Err(Error::PacketsNeeded { .. })
    ));
    let bits = BitMatrix::new(15, 21, |row, col| row == col).unwrap();
    assert!(matches!(
        Codec::from_bit_matrix(params.with_packet_bytes(8).unwrap(), bits),
        Err(Error::MatrixShape { .. })
    ));
}

#[test]
fn an_engine_of_another_machine_is_refused() {
    let params = CodeParams::new(3, 2, WordSize::W8).unwrap();
    for engine in Engine::ALL {
        let made = Codec::with_engine(Technique::ReedSolVan, params, engine);
        if engine.is_available() {
            assert_eq!(made.unwrap().engine(), engine);
        } else {
            assert!(matches!(made, Err(Error::EngineUnavailable { .. })));
        }
    }
}

#[test]
fn codecs_are_shared_between_threads() {
    for (codec, length) in codes() {
        let whole = encoded(&codec, length);
        std::thread::scope(|scope| {
            for lost in 0..4 {
                let (codec, whole) = (codec.clone(), &whole);
                scope.spawn(move || {
                    for _ in 0..50 {
                        let mut shards = whole.clone();
                        shards[lost].fill(0);
                        shards[lost + 1].fill(0);
                        codec.decode(&mut shards, &[lost + 1, lost]).unwrap();
                        assert!(&shards == whole);
                    }
                });
            }
        });
    }
}

#[test]
fn lost_shards_come_from_survivors_that_are_only_read() {
    for (codec, length) in codes() {
        let whole = encoded(&codec, length);
        let (k, m) = (codec.params().k(), codec.params().m());
        // Out of order, and without the first data shard and the last coding shard but one.
        let lost = [k + m - 2, 0];
        let survivors: Vec<(usize, &[u8])> = (0..k + m)
            .rev()
            .filter(|index| !lost.contains(index))
            .map(|index| (index, &whole[index][..]))
            .collect();
        let mut targets = lost.map(|index| (index, vec![0xee; length]));
        codec.reconstruct_from(&survivors, &mut targets).unwrap();
        for (index, shard) in &targets {
            assert!(shard == &whole[*index], "{codec:?}: {index}");
        }

        let mut one = [(0, vec![0; length])];
        codec.reconstruct_from(&survivors, &mut one).unwrap();
        assert!(one[0].1 == whole[0]);
        let mut none: [(usize, Vec<u8>); 0] = [];
        assert_eq!(codec.reconstruct_from(&survivors, &mut none), Ok(()));

        let refused = |survivors: &[(usize, &[u8])], targets: &mut [(usize, Vec<u8>)]| {
            codec.reconstruct_from(survivors, targets).unwrap_err()
        };
        assert_eq!(
            refused(&survivors[..k - 1], &mut one),
            Error::TooManyErasures { lost: m + 1, m }
        );
        let twice = [&survivors[..], &survivors[..1]].concat();
        let index = survivors[0].0;
        assert_eq!(refused(&twice, &mut one), Error::RepeatedShard { index });
        let mut present = [(1, vec![0; length])];
        assert_eq!(
            refused(&survivors, &mut present),
            Error::RepeatedShard { index: 1 }
        );
        let mut beyond = [(k + m, vec![0; length])];
        assert!(matches!(
            refused(&survivors, &mut beyond),
            Error::OutOfRange { .. }
        ));
        let mut short = [(0, vec![0; length - 1])];
        assert!(matches!(
            refused(&survivors, &mut short),
            Error::LengthMismatch { .. }
        ));
    }
}

#[test]
fn values_make_dot_products_without_a_codec() {
    for (codec, length) in codes() {
        let whole = encoded(&codec, length);
        let (k, params) = (codec.params().k(), codec.params());
        let mut coding = vec![vec![0x11; length]; params.m()];
        match (codec.bit_matrix(), codec.matrix()) {
            (Some(bits), _) => {
                let packet = params.packet_bytes().unwrap();
                bits.dot(params.w(), packet, &whole[..k], &mut coding)
                    .unwrap();
                let partial = bits.dot(params.w(), packet * 3, &whole[..k], &mut coding);
                assert!(partial.is_ok() || matches!(partial, Err(Error::PartialStripe { .. })));
            }
            (None, Some(matrix)) => {
                matrix.dot(&whole[..k], &mut coding).unwrap();
                let fewer = matrix.dot(&whole[1..k], &mut coding);
                assert!(matches!(fewer, Err(Error::Count { .. })));
                let sources: Vec<usize> = (1..=k).collect();
                let plan = codec.reconstruction(&[k + 1, 0], &sources).unwrap();
                let mut lost = [vec![0; length], vec![0; length]];
                plan.apply(&whole[1..=k], &mut lost).unwrap();
                assert!(lost[0] == whole[k + 1] && lost[1] == whole[0]);
            }
            (None, None) => panic!("a code has a matrix"),
        }
        if codec.bit_matrix().is_none() {
            assert!(coding[..] == whole[k..]);
        } else {
            let bits = codec.bit_matrix().unwrap();
            let packet = params.packet_bytes().unwrap();
            bits.dot(params.w(), packet, &whole[..k], &mut coding)
                .unwrap();
            assert!(coding[..] == whole[k..]);
        }
    }
}

#[test]
fn indices_that_overflow_are_out_of_range() {
    let huge = 1_usize << (usize::BITS - 2);
    let params = CodeParams::new(4, 2, WordSize::W8).unwrap();
    let codec = Codec::new(Technique::ReedSolVan, params).unwrap();
    let matrix = codec.matrix().unwrap().clone();
    let bits = BitMatrix::identity(128).unwrap();
    let plan = codec.reconstruction(&[0], &[1, 2, 3, 4]).unwrap();
    let calls: [Box<dyn Fn() + std::panic::UnwindSafe>; 5] = [
        Box::new(move || _ = matrix.get(huge, 2)),
        Box::new({
            let bits = bits.clone();
            move || _ = bits.get(huge * 2, 0)
        }),
        Box::new(move || _ = bits.row(huge * 2).count()),
        Box::new({
            let codec = std::panic::AssertUnwindSafe(codec);
            move || drop(codec.multiplier(huge, 1).clone())
        }),
        Box::new(move || _ = plan.coefficient(huge, 1)),
    ];
    for (number, call) in calls.into_iter().enumerate() {
        let outcome = std::panic::catch_unwind(call);
        assert!(outcome.is_err(), "call {number} returned");
    }
}

#[test]
fn what_cannot_be_verified_in_memory_is_refused() {
    // One stripe of 32 MiB stands for all 46,001 shards; the coding shards would take 1.5 TB.
    let w = WordSize::W32;
    let params = CodeParams::new(1, 46_000, w).unwrap();
    let params = params.with_packet_bytes(1 << 20).unwrap();
    let codec = Codec::new(Technique::CauchyOrig, params);
    // The bit matrix is within an `int`; where it is not, that is the answer.
    let Ok(codec) = codec else { return };
    let shard = vec![0; codec.unit()];
    let shards = vec![&shard[..]; 46_001];
    let refused = codec.verify(&shards);
    assert!(
        matches!(refused, Err(Error::OutOfMemory { .. })),
        "{refused:?}"
    );
}

#[test]
fn parity_is_the_sum_of_all_regions() {
    for length in [0, 1, 63, 64, 5000] {
        let sources: Vec<Vec<u8>> = (0..5).map(|seed| bytes(seed, length)).collect();
        let mut sum = vec![0x5a; length];
        jerasure::parity(&mut sum, &sources).unwrap();
        let mut want = vec![0; length];
        for source in &sources {
            jerasure::xor(&mut want, source).unwrap();
        }
        assert!(sum == want, "{length}");
        let by_hand = (0..length).map(|at| sources.iter().fold(0, |sum, s| sum ^ s[at]));
        assert!(by_hand.eq(sum.iter().copied()), "{length}");
    }
    let mismatch = Err(Error::LengthMismatch {
        expected: 2,
        got: 1,
    });
    assert_eq!(jerasure::parity(&mut [0; 2], &[[1]]), mismatch);
    assert_eq!(jerasure::xor(&mut [0; 2], &[1]), mismatch);
}
