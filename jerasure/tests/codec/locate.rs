//! Which shards are wrong, found from the shards alone; and shards that are there or not.

use super::*;

/// Codes with enough coding shards to tell two or three wrong ones.
fn wide() -> Vec<(Codec, usize)> {
    let shape = |k, m, w| CodeParams::new(k, m, WordSize::new(w).unwrap()).unwrap();
    let packets = |k, m, w, bytes| shape(k, m, w).with_packet_bytes(bytes).unwrap();
    let wide = [
        (Technique::ReedSolVan, shape(10, 4, 8)),
        (Technique::ReedSolVan, shape(3, 5, 16)),
        (Technique::ReedSolVan, shape(4, 4, 32)),
        (Technique::ReedSolVan, shape(9, 6, 8)),
        (Technique::CauchyOrig, packets(4, 4, 4, 3)),
        (Technique::CauchyGood, packets(5, 5, 8, 16)),
    ];
    let made = wide.into_iter().map(|(technique, params)| {
        let codec = Codec::new(technique, params).unwrap();
        let bytes = codec.unit() * 5;
        (codec, bytes)
    });
    made.chain(codes()).collect()
}

/// Every set of `size` numbers below `limit`.
fn sets(limit: usize, size: usize) -> Vec<Vec<usize>> {
    if size == 0 {
        return vec![Vec::new()];
    }
    let smaller = sets(limit, size - 1);
    let longer = smaller.iter().flat_map(|set| {
        let first = set.last().map_or(0, |last| last + 1);
        (first..limit).map(|next| [&set[..], &[next]].concat())
    });
    longer.collect()
}

/// The ways in which bytes go wrong.
fn damage(shards: &mut [Vec<u8>], wrong: &[usize], way: usize) {
    for (order, &index) in wrong.iter().enumerate() {
        let last = shards[index].len() - 1;
        match way {
            // All of it.
            0 => bytes(100 + index, last + 1)
                .iter()
                .zip(&mut shards[index])
                .for_each(|(noise, byte)| {
                    *byte ^= noise | 1;
                }),
            // One bit, at the end.
            1 => shards[index][last] ^= 0x40,
            // One bit, each in another word or stripe.
            2 => shards[index][order * (last + 1) / 5] ^= 1,
            // The same in all of them.
            _ => shards[index].iter_mut().for_each(|byte| *byte ^= 0x5a),
        }
    }
}

#[test]
fn as_many_wrong_shards_as_half_of_what_may_be_lost_are_found() {
    for (codec, length) in wide() {
        let (n, m) = (codec.params().shards(), codec.params().m());
        let sound = encoded(&codec, length);
        assert_eq!(codec.locate(&sound, &[]), Ok(vec![]));
        for wrong in (1..=m / 2).flat_map(|size| sets(n, size)).step_by(3) {
            for way in 0..4 {
                let mut shards = sound.clone();
                damage(&mut shards, &wrong, way);
                let found = codec.locate(&shards, &[]);
                assert_eq!(found, Ok(wrong.clone()), "{codec:?}, {way}");
                codec.decode(&mut shards, &wrong).unwrap();
                assert!(shards == sound, "{codec:?}, {wrong:?}, {way}");
            }
        }
    }
}

#[test]
fn lost_shards_leave_fewer_wrong_ones_that_can_be_told() {
    for (codec, length) in wide() {
        let (n, m) = (codec.params().shards(), codec.params().m());
        for lost in 1..=m {
            // Some of the first and some of the last, which are coding shards.
            let lost = (0..lost).map(|i| if i % 2 == 0 { n - 1 - i / 2 } else { i / 2 });
            let lost: Vec<usize> = lost.collect();
            let most = (m - lost.len()) / 2;
            let mut shards = encoded(&codec, length);
            lost.iter().for_each(|&index| shards[index].fill(0x77));
            assert_eq!(codec.locate(&shards, &lost), Ok(vec![]), "{lost:?}");
            let sound = (0..n).filter(|index| !lost.contains(index));
            let wrong: Vec<usize> = sound.take(most + 1).collect();
            damage(&mut shards, &wrong[..most], 0);
            assert_eq!(codec.locate(&shards, &lost), Ok(wrong[..most].to_vec()));
            if lost.len() == m || m - lost.len() == 2 * most {
                continue;
            }
            // One more is seen, if one more coding shard is there than pairs need.
            damage(&mut shards, &wrong[most..], 0);
            assert_eq!(
                codec.locate(&shards, &lost),
                Err(Error::NotLocated { most })
            );
        }
    }
}

/// The first blocks blame one shard, and only a later one the other.
#[test]
fn a_shard_that_is_wrong_far_behind_another_is_found_too() {
    let params = CodeParams::new(6, 4, WordSize::W8).unwrap();
    let codec = Codec::new(Technique::ReedSolVan, params).unwrap();
    let mut shards = encoded(&codec, 300_000);
    shards[2][7] ^= 1;
    shards[8][299_999] ^= 1;
    assert_eq!(codec.locate(&shards, &[]), Ok(vec![2, 8]));
    // Two that were taken for each other differ alike in every byte.
    let mut shards = encoded(&codec, 300_000);
    shards.swap(1, 4);
    assert_eq!(codec.locate(&shards, &[]), Ok(vec![1, 4]));
    shards.swap(3, 9);
    assert_eq!(
        codec.locate(&shards, &[]),
        Err(Error::NotLocated { most: 2 })
    );
}

#[test]
fn locate_refuses_what_decode_refuses() {
    let params = CodeParams::new(3, 2, WordSize::W16).unwrap();
    let codec = Codec::new(Technique::ReedSolVan, params).unwrap();
    let shards = encoded(&codec, 4);
    let count = codec.locate(&shards[..4], &[]);
    assert!(matches!(count, Err(Error::Count { expected: 5, .. })));
    let lost = codec.locate(&shards, &[0, 1, 2]);
    assert_eq!(lost, Err(Error::TooManyErasures { lost: 3, m: 2 }));
    let twice = codec.locate(&shards, &[1, 1]);
    assert_eq!(twice, Err(Error::RepeatedShard { index: 1 }));
    let odd = codec.locate(&[[0; 3]; 5], &[]);
    assert_eq!(odd, Err(Error::PartialWord { bytes: 3, w: 16 }));
    assert_eq!(codec.locate(&[[0; 0]; 5], &[]), Ok(vec![]));
}

#[test]
fn shards_that_are_not_there_are_made() {
    for (codec, length) in codes() {
        let (n, m) = (codec.params().shards(), codec.params().m());
        let sound = encoded(&codec, length);
        for lost in (0..=m).flat_map(|size| sets(n, size)) {
            let there =
                |(index, shard): (usize, &Vec<u8>)| (!lost.contains(&index)).then(|| shard.clone());
            let mut shards: Vec<_> = sound.iter().enumerate().map(there).collect();
            codec.restore(&mut shards).unwrap();
            let made: Vec<Vec<u8>> = shards.into_iter().map(Option::unwrap).collect();
            assert!(made == sound, "{codec:?}, {lost:?}");
        }
        let mut few = vec![None; n];
        few[..codec.params().k() - 1].fill(Some(vec![0; length]));
        let before = few.clone();
        let lost = m + 1;
        let refused = codec.restore(&mut few);
        assert_eq!(refused, Err(Error::TooManyErasures { lost, m }));
        assert_eq!(few, before);
        let mut unlike: Vec<_> = sound.iter().cloned().map(Some).collect();
        unlike[0] = None;
        unlike[1] = Some(vec![0; 2 * length]);
        assert!(matches!(
            codec.restore(&mut unlike),
            Err(Error::LengthMismatch { .. })
        ));
        assert_eq!(unlike[0], None);
    }
}
