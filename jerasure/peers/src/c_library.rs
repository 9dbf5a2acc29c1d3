//! The C library, called as its users call it, with decoding matrices kept.

use std::ffi::{c_char, c_int};

use jerasure::WordSize;
use jerasure_sys as c;

use crate::contestant::Contestant;
use crate::shards::{ROW, Shard, Stripe, UPDATED, are};

const NAME: &str = "C library";

pub(crate) fn encoder(stripe: &Stripe) -> Contestant {
    let (mut data, mut coding) = stripe.to_encode();
    let (mut data_pointers, mut coding_pointers) = (pointers(&mut data), pointers(&mut coding));
    let mut matrix = c_matrix(stripe);
    let [k, m, w, bytes] = numbers(stripe);
    let mut run = move || {
        let (data, coding) = (data_pointers.as_mut_ptr(), coding_pointers.as_mut_ptr());
        // SAFETY: k and m regions of `bytes` bytes each, aligned to 64, apart from each other, kept below.
        unsafe { c::jerasure_matrix_encode(k, m, w, matrix.as_mut_ptr(), data, coding, bytes) }
    };
    run();
    assert!(are(&coding, &stripe.whole[stripe.k()..]));
    let kept = (data, coding);
    Contestant::new(NAME, move || {
        let _ = &kept;
        run();
    })
}

pub(crate) fn decoder(stripe: &Stripe) -> Contestant {
    let lost = stripe.lost();
    let [k, m, w, bytes] = numbers(stripe);
    let mut shards = stripe.shards(|shard| lost.contains(&shard));
    let mut data = pointers(&mut shards);
    let mut coding = data.split_off(stripe.k());
    let mut matrix = c_matrix(stripe);
    let mut erased: Vec<c_int> = (0..stripe.k() + stripe.m())
        .map(|shard| c_int::from(lost.contains(&shard)))
        .collect();
    let mut decoding = vec![0; stripe.k() * stripe.k()];
    let mut ids = vec![0; stripe.k()];
    // SAFETY: k + m flags of which at most m are set, and room for k * k elements and k ids.
    let status = unsafe {
        let (matrix, erased) = (matrix.as_mut_ptr(), erased.as_mut_ptr());
        let (decoding, ids) = (decoding.as_mut_ptr(), ids.as_mut_ptr());
        c::jerasure_make_decoding_matrix(k, m, w, matrix, erased, decoding, ids)
    };
    assert_eq!(status, 0);
    let mut run = move || {
        for &shard in &lost {
            let row = decoding[shard * k as usize..].as_mut_ptr();
            let (data, coding) = (data.as_mut_ptr(), coding.as_mut_ptr());
            // SAFETY: as in `encoder`; the row holds k elements, and the ids are k survivors.
            unsafe {
                let id = shard as c_int;
                c::jerasure_matrix_dotprod(k, w, row, ids.as_mut_ptr(), id, data, coding, bytes);
            }
        }
    };
    run();
    assert!(are(&shards, &stripe.whole));
    Contestant::new(NAME, move || {
        let _ = &shards;
        run();
    })
}

pub(crate) fn updater(stripe: &Stripe) -> Contestant {
    let (mut old, mut new, mut code, want) = stripe.to_update();
    let mut difference = stripe.shards(|_| true).swap_remove(2);
    let [.., bytes] = numbers(stripe);
    let w = stripe.w();
    let coefficient = stripe.codec.coefficient(ROW, UPDATED).cast_signed();
    let [old_start, new_start, code_start, sum] =
        [&mut old, &mut new, &mut code, &mut difference].map(pointer);
    let run = move || {
        // SAFETY: four regions of `bytes` bytes, aligned to 64 and apart; whole words; an element of the field.
        unsafe {
            std::ptr::copy_nonoverlapping(old_start, sum, bytes as usize);
            c::galois_region_xor(new_start, sum, bytes);
            if w == WordSize::W8 {
                c::galois_w08_region_multiply(sum, coefficient, bytes, code_start, 1);
            } else {
                c::galois_w16_region_multiply(sum, coefficient, bytes, code_start, 1);
            }
        }
    };
    run();
    assert!(code.as_ref() == want);
    let kept = (old, new, code, difference);
    Contestant::new(NAME, move || {
        let _ = &kept;
        run();
    })
}

fn numbers(stripe: &Stripe) -> [c_int; 4] {
    let w = stripe.w().bits() as usize;
    [stripe.k(), stripe.m(), w, stripe.bytes].map(|number| number as c_int)
}

fn c_matrix(stripe: &Stripe) -> Vec<c_int> {
    stripe
        .matrix()
        .iter()
        .map(|element| element.cast_signed())
        .collect()
}

fn pointers(shards: &mut [Shard]) -> Vec<*mut c_char> {
    shards.iter_mut().map(pointer).collect()
}

/// Stays valid while the shard is moved but not dropped: its bytes are on the heap.
fn pointer(shard: &mut Shard) -> *mut c_char {
    shard.as_mut().as_mut_ptr().cast()
}
