//! What the documentation says of allocations, counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use jerasure::{CodeParams, Codec, Engine, Technique, WordSize};

/// The system's allocator, which counts for each thread.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: each call is handed on to the system's allocator as it is.
#[allow(unsafe_code, reason = "an allocator is unsafe by its nature")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the conditions, which are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn allocations(call: impl FnOnce()) -> usize {
    let before = COUNT.get();
    call();
    COUNT.get() - before
}

#[test]
fn encode_update_and_a_known_decode_allocate_nothing() {
    let words = |k, m, w| CodeParams::new(k, m, w).unwrap();
    let packets = |k, m, w, bytes| words(k, m, w).with_packet_bytes(bytes).unwrap();
    let codes = [
        (Technique::ReedSolVan, words(10, 4, WordSize::W8)),
        (Technique::ReedSolVan, words(10, 4, WordSize::W16)),
        (Technique::ReedSolVan, words(28, 4, WordSize::W32)),
        (Technique::CauchyGood, packets(10, 4, WordSize::W8, 64)),
        // Packets of many sources, larger than a column.
        (Technique::CauchyOrig, packets(28, 4, WordSize::W8, 4096)),
    ];
    for (technique, params) in codes {
        for engine in Engine::available().filter(|&engine| engine != Engine::Reference) {
            let codec = Codec::with_engine(technique, params, engine).unwrap();
            let length = codec.unit() * 4;
            let (k, m) = (params.k(), params.m());
            let mut shards = vec![vec![7; length]; k + m];
            let mut run = || {
                let (data, coding) = shards.split_at_mut(k);
                codec.encode(data, coding).unwrap();
                let (old, new) = (&data[0], &data[1]);
                codec.update(1, 1, old, new, &mut coding[1]).unwrap();
                codec.decode(&mut shards, &[1, k]).unwrap();
            };
            run();
            assert_eq!(allocations(&mut run), 0, "{codec:?}");
        }
    }
}
