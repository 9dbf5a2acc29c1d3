//! Requests of every service, well-formed or not, to members that hold something: refused or answered, never a panic; what
//! was decoded encodes to what decodes to the same.
#![no_main]

use fusion_fuzz::members::Members;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&scene, mut rest)) = bytes.split_first() else {
        return;
    };
    let mut members = Members::new(scene);
    // One request after another, each with its service and length before it.
    while let [service, low, high, tail @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(tail.len());
        let (message, tail) = tail.split_at(length);
        members.take(*service, message);
        rest = tail;
    }
});
