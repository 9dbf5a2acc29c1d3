//! Any technique, parameters, lengths and losses: what is encoded verifies, and decodes to what it was; whatever is
//! wrong is refused, and nothing is written then.
#![no_main]

use fusion_fuzz::{Displaced, Input};
use jerasure::Error;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| round_trip(&mut Input::new(bytes)));

fn round_trip(input: &mut Input<'_>) {
    let Ok(codec) = input.codec() else { return };
    let (k, m) = (codec.params().k(), codec.params().m());
    // Whole units more often than not.
    let length = match input.byte() % 4 {
        0 => input.number() % 3000,
        _ => input.number() % 3000 / codec.unit() * codec.unit(),
    };
    let data = input.shards(k, length);
    let mut coding = Displaced::new(&vec![vec![0xee; length]; m], input);
    let encoded = codec.encode(
        &Displaced::new(&data, input).slices(),
        &mut coding.slices_mut(),
    );
    if !length.is_multiple_of(codec.unit()) {
        assert!(matches!(
            encoded,
            Err(Error::PartialWord { .. } | Error::PartialStripe { .. })
        ));
        assert!(
            coding
                .slices()
                .iter()
                .all(|code| code.iter().all(|&byte| byte == 0xee))
        );
        return;
    }
    encoded.expect("shards of whole units");

    let coding = coding.slices().into_iter().map(<[u8]>::to_vec);
    let whole: Vec<Vec<u8>> = data.into_iter().chain(coding).collect();
    assert_eq!(codec.verify(&whole), Ok(true));

    // Losses may be named in any order, twice, or be none of the shards.
    let losses = usize::from(input.byte() % 9);
    let erased: Vec<usize> = (0..losses)
        .map(|_| usize::from(input.byte() % 33))
        .collect();
    let mut lost = whole.clone();
    for &shard in erased.iter().filter(|&&shard| shard < k + m) {
        lost[shard].fill(0x5e);
    }
    let mut shards = Displaced::new(&lost, input);
    match codec.decode(&mut shards.slices_mut(), &erased) {
        Ok(()) => assert!(shards.slices() == whole, "decoded wrongly: lost {erased:?}"),
        Err(error) => {
            let mut different = erased.clone();
            different.sort_unstable();
            different.dedup();
            let is_right = match error {
                Error::OutOfRange { index, limit, .. } => erased.contains(&index) && limit == k + m,
                Error::RepeatedShard { .. } => different.len() < erased.len(),
                Error::TooManyErasures { .. } => erased.len() > m,
                _ => false,
            };
            assert!(is_right, "{codec:?} lost {erased:?}: {error}");
            assert!(shards.slices() == lost, "written in spite of {error}");
            return;
        }
    }
    for &wanted in &erased {
        let mut shards = Displaced::new(&lost, input);
        codec
            .reconstruct(&mut shards.slices_mut(), &erased, &[wanted])
            .expect("what can be decoded can be reconstructed");
        for (shard, got) in shards.slices().into_iter().enumerate() {
            let want = if shard == wanted { &whole } else { &lost };
            assert!(
                got == want[shard],
                "reconstructed wrongly: {wanted} of {erased:?}"
            );
        }
    }
    if length > 0 {
        let mut wrong = whole;
        let shard = usize::from(input.byte()) % (k + m);
        wrong[shard][input.number() % length] ^= 1 << (input.byte() % 8);
        assert_eq!(codec.verify(&wrong), Ok(false));
    }
}
