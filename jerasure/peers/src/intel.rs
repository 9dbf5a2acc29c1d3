//! ISA-L with Jerasure's matrix, its tables and decoding rows kept.

use crate::contestant::Contestant;
use crate::isal::Isal;
use crate::shards::{ROW, Shard, Stripe, UPDATED, are};

const NAME: &str = "ISA-L";

pub(crate) fn encoder(stripe: &Stripe) -> Contestant {
    let (data, mut coding) = stripe.to_encode();
    let mut isal = Isal::new(stripe.k(), stripe.matrix());
    encode(&mut isal, &data, &mut coding);
    assert!(are(&coding, &stripe.whole[stripe.k()..]));
    Contestant::new(NAME, move || encode(&mut isal, &data, &mut coding))
}

pub(crate) fn decoder(stripe: &Stripe) -> Contestant {
    let (k, lost) = (stripe.k(), stripe.lost());
    let sources: Vec<usize> = (lost.len()..lost.len() + k).collect();
    let plan = stripe.codec.reconstruction(&lost, &sources).unwrap();
    let rows: Vec<u32> = (0..lost.len()).flat_map(|l| plan.row(l).to_vec()).collect();
    let mut isal = Isal::new(k, &rows);
    let mut targets = stripe.shards(|shard| lost.contains(&shard));
    let mut rest = targets.split_off(lost.len());
    rest.truncate(k);
    encode(&mut isal, &rest, &mut targets);
    assert!(are(&targets, &stripe.whole[..lost.len()]));
    Contestant::new(NAME, move || encode(&mut isal, &rest, &mut targets))
}

pub(crate) fn updater(stripe: &Stripe) -> Contestant {
    let (old, new, mut code, want) = stripe.to_update();
    let mut difference = vec![0; stripe.bytes];
    let row = &stripe.matrix()[ROW * stripe.k()..][..stripe.k()];
    let mut isal = Isal::new(stripe.k(), row);
    let mut add = move |code: &mut Shard| {
        let pairs = old.as_ref().iter().zip(new.as_ref());
        for (sum, (old, new)) in difference.iter_mut().zip(pairs) {
            *sum = old ^ new;
        }
        isal.add(UPDATED, &difference, &mut [code.as_mut()]);
    };
    add(&mut code);
    assert!(code.as_ref() == want);
    Contestant::new(NAME, move || add(&mut code))
}

fn encode(isal: &mut Isal, sources: &[Shard], targets: &mut [Shard]) {
    // Lists on the stack, as a C program would have them.
    let mut from = [&[][..]; 32];
    from.iter_mut()
        .zip(sources)
        .for_each(|(place, shard)| *place = shard.as_ref());
    let mut places: [&mut [u8]; 32] = std::array::from_fn(|_| &mut [][..]);
    let count = targets.len();
    places
        .iter_mut()
        .zip(targets)
        .for_each(|(place, shard)| *place = shard.as_mut());
    isal.encode(&from[..sources.len()], &mut places[..count]);
}
