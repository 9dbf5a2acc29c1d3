//! Every engine of this machine but the reference, which is the C library again.

use std::hint::black_box;

use jerasure::{Codec, Engine};

use crate::contestant::Contestant;
use crate::shards::{ROW, Stripe, UPDATED, are};

fn codecs(stripe: &Stripe) -> impl Iterator<Item = (String, Codec)> {
    let (technique, params) = (stripe.codec.technique().unwrap(), stripe.codec.params());
    Engine::available()
        .filter(|&engine| engine != Engine::Reference)
        .map(move |engine| {
            let codec = Codec::with_engine(technique, params, engine).unwrap();
            (format!("**{engine}**"), codec)
        })
}

pub(crate) fn encoders(stripe: &Stripe) -> impl Iterator<Item = Contestant> {
    codecs(stripe).map(|(name, codec)| {
        let (data, mut coding) = stripe.to_encode();
        codec.encode(&data, &mut coding).unwrap();
        assert!(are(&coding, &stripe.whole[stripe.k()..]), "{name}");
        Contestant::new(name, move || {
            codec
                .encode(black_box(&data), black_box(&mut coding))
                .unwrap();
        })
    })
}

pub(crate) fn decoders(stripe: &Stripe) -> impl Iterator<Item = Contestant> {
    codecs(stripe).map(|(name, codec)| {
        let lost = stripe.lost();
        let mut shards = stripe.shards(|shard| lost.contains(&shard));
        codec.decode(&mut shards, &lost).unwrap();
        assert!(are(&shards, &stripe.whole), "{name}");
        Contestant::new(name, move || {
            codec
                .decode(black_box(&mut shards), black_box(&lost))
                .unwrap();
        })
    })
}

pub(crate) fn updaters(stripe: &Stripe) -> impl Iterator<Item = Contestant> {
    codecs(stripe).map(|(name, codec)| {
        let (old, new, mut code, want) = stripe.to_update();
        codec
            .update(ROW, UPDATED, old.as_ref(), new.as_ref(), code.as_mut())
            .unwrap();
        assert!(code.as_ref() == want, "{name}");
        Contestant::new(name, move || {
            let (old, new) = (black_box(old.as_ref()), black_box(new.as_ref()));
            codec
                .update(ROW, UPDATED, old, new, black_box(code.as_mut()))
                .unwrap();
        })
    })
}
