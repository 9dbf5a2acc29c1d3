//! Whatever comes on a connection, cut anywhere: the same frames as without cuts, no memory for what only was announced,
//! and each request decodes or is an error.
#![no_main]

use fusion_net::express;
use fusion_net::service::{CoordinatorRequest, FusedRequest, PrimaryRequest};
use fusion_net::wire::{Service, cut_frames, decode_request, read_preface};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| conversation(bytes));

fn conversation(bytes: &[u8]) {
    let [service, step, rest @ ..] = bytes else {
        return;
    };
    let services = [
        Service::Primary,
        Service::Fused,
        Service::Coordinator,
        Service::Operations,
        Service::Changes,
    ];
    let service = services[usize::from(*service) % services.len()];
    let Some((preface, rest)) = rest.split_first_chunk::<8>() else {
        return;
    };
    // What is no preface ends the conversation; the frames are looked at all the same.
    let _ = read_preface(*preface);
    let whole = cut_frames(rest, service, rest.len().max(1));
    let parts = cut_frames(rest, service, usize::from(*step) + 1);
    assert_eq!(whole.frames, parts.frames);
    assert_eq!(whole.refused, parts.refused);
    // Twice what came, and what a connection has of its own.
    assert!(parts.most_bytes <= 2 * rest.len() + (1 << 20));
    for frame in &whole.frames {
        match service {
            Service::Primary => drop(decode_request::<PrimaryRequest>(frame)),
            Service::Fused => drop(decode_request::<FusedRequest>(frame)),
            Service::Coordinator => drop(decode_request::<CoordinatorRequest>(frame)),
            Service::Operations => drop(express::decode_operations(frame)),
            Service::Changes => drop(express::decode_changes(frame)),
        }
    }
}
