//! Changing part of a data shard and updating the coding shards by the difference is the same as encoding anew, at any
//! alignment, on every engine.
#![no_main]

use fusion_fuzz::{Displaced, Input};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| update(&mut Input::new(bytes)));

fn update(input: &mut Input<'_>) {
    let Ok(codec) = input.codec() else { return };
    let (k, m, unit) = (codec.params().k(), codec.params().m(), codec.unit());
    let units = input.number() % 3000 / unit;
    let mut data = input.shards(k, units * unit);
    let mut coding = vec![vec![0; units * unit]; m];
    codec.encode(&data, &mut coding).expect("whole units");

    // Several changes one after another, of any whole units each.
    for _ in 0..=input.byte() % 4 {
        let start = input.number() % (units + 1);
        let length = input.number() % (units - start + 1);
        let part = start * unit..(start + length) * unit;
        let index = usize::from(input.byte()) % k;
        let new = input.shards(1, part.len());
        let old = Displaced::new(&[data[index][part.clone()].to_vec()], input);
        data[index][part.clone()].copy_from_slice(&new[0]);
        let new = Displaced::new(&new, input);
        for (row, code) in coding.iter_mut().enumerate() {
            let mut moved = Displaced::new(&[code[part.clone()].to_vec()], input);
            codec
                .update(
                    row,
                    index,
                    old.slices()[0],
                    new.slices()[0],
                    moved.slices_mut()[0],
                )
                .expect("parts of whole units");
            code[part.clone()].copy_from_slice(moved.slices()[0]);
        }
    }
    let mut anew = vec![vec![0xee; units * unit]; m];
    codec.encode(&data, &mut anew).expect("whole units");
    assert!(coding == anew, "{codec:?}: updated wrongly");
}
