//! Two crates of Reed-Solomon codes. Their matrices are not Jerasure's, so each is checked by what it brings back.

use std::hint::black_box;

use reed_solomon_erasure::galois_8::ReedSolomon;
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

use crate::contestant::Contestant;
use crate::shards::{Shard, Stripe};

const ERASURE: &str = "reed-solomon-erasure 6";
const SIMD: &str = "reed-solomon-simd 3";

pub(crate) fn erasure_encoder(stripe: &Stripe) -> Contestant {
    let code = ReedSolomon::new(stripe.k(), stripe.m()).unwrap();
    let (data, mut coding) = stripe.to_encode();
    code.encode_sep(&data, &mut coding).unwrap();
    let all: Vec<&[u8]> = data.iter().chain(&coding).map(AsRef::as_ref).collect();
    assert!(code.verify(&all).unwrap());
    Contestant::new(ERASURE, move || {
        code.encode_sep(&data, &mut coding).unwrap()
    })
}

/// Keeps decoding matrices itself.
pub(crate) fn erasure_decoder(stripe: &Stripe) -> Contestant {
    let code = ReedSolomon::new(stripe.k(), stripe.m()).unwrap();
    let (data, mut coding) = stripe.to_encode();
    code.encode_sep(&data, &mut coding).unwrap();
    let lost = stripe.lost().len();
    let mut shards: Vec<(Shard, bool)> = data
        .into_iter()
        .chain(coding)
        .map(|shard| (shard, true))
        .collect();
    for (shard, _) in &mut shards[..lost] {
        shard.as_mut().fill(0xee);
    }
    let decode = move |code: &ReedSolomon, shards: &mut [(Shard, bool)]| {
        shards[..lost]
            .iter_mut()
            .for_each(|(_, is_there)| *is_there = false);
        code.reconstruct_data(shards).unwrap();
    };
    decode(&code, &mut shards);
    let mut pairs = shards.iter().zip(&stripe.whole[..stripe.k()]);
    assert!(pairs.all(|((got, _), want)| got.as_ref() == want));
    Contestant::new(ERASURE, move || decode(&code, &mut shards))
}

/// Copies the data in and hands out slices of its own: its interface is so, and the copy belongs to it.
pub(crate) fn simd_encoder(stripe: &Stripe) -> Contestant {
    let (data, _) = stripe.to_encode();
    let mut encoder = ReedSolomonEncoder::new(stripe.k(), stripe.m(), stripe.bytes).unwrap();
    let mut run = move || {
        for shard in &data {
            encoder.add_original_shard(shard).unwrap();
        }
        let result = encoder.encode().unwrap();
        black_box(result.recovery_iter().count())
    };
    assert_eq!(run(), stripe.m());
    Contestant::new(SIMD, move || {
        run();
    })
}

pub(crate) fn simd_decoder(stripe: &Stripe) -> Contestant {
    let (k, m, lost) = (stripe.k(), stripe.m(), stripe.lost().len());
    let (data, _) = stripe.to_encode();
    let coding = reed_solomon_simd::encode(k, m, &data).unwrap();
    let mut decoder = ReedSolomonDecoder::new(k, m, stripe.bytes).unwrap();
    let whole = stripe.whole.clone();
    let mut run = move |is_checked: bool| {
        for (index, shard) in data.iter().enumerate().skip(lost) {
            decoder.add_original_shard(index, shard).unwrap();
        }
        for (index, shard) in coding.iter().enumerate().take(lost) {
            decoder.add_recovery_shard(index, shard).unwrap();
        }
        let result = decoder.decode().unwrap();
        if is_checked {
            let mut restored = result.restored_original_iter();
            assert!(restored.all(|(index, shard)| shard == whole[index]));
        }
    };
    run(true);
    Contestant::new(SIMD, move || run(false))
}
