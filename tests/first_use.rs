//! First use of the C library by many threads at once, in many fresh processes.
//!
//! The library fills its field tables on first use without a lock; left alone, most of such processes crash.

use std::process::Command;
use std::sync::Barrier;
use std::{env, thread};

use jerasure::{CodeParams, Codec, Multiplier, Technique, WordSize, galois};

/// Names the re-executed test's role; its value does not matter.
const CHILD: &str = "FUSION_TESTS_FIRST_USE_CHILD";
const PROCESSES: usize = 100;
const THREADS: usize = 16;

#[test]
fn sixteen_threads_may_be_first_in_every_process() {
    if env::var_os(CHILD).is_some() {
        return use_the_library_at_once();
    }
    let test = env::current_exe().unwrap();
    for process in 0..PROCESSES {
        let output = Command::new(&test)
            .args(["--exact", "sixteen_threads_may_be_first_in_every_process"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success(),
            "process {process}: {}\n{stderr}",
            output.status
        );
        assert!(
            stdout.contains("1 passed"),
            "the child ran another test:\n{stdout}"
        );
        // The C library prints where it fails without aborting.
        assert!(
            output.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

fn use_the_library_at_once() {
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                match thread % 4 {
                    0 => encode(WordSize::W16),
                    1 => multiply_a_region(),
                    2 => assert_eq!(galois::divide(WordSize::W32, 6, 3), Ok(2)),
                    _ => encode(WordSize::W8),
                }
            });
        }
    });
}

fn encode(w: WordSize) {
    let codec = Codec::new(Technique::ReedSolVan, CodeParams::new(3, 2, w).unwrap()).unwrap();
    let data = [[3; 4096], [5; 4096], [7; 4096]];
    let mut coding = [[0; 4096]; 2];
    codec.encode(&data, &mut coding).unwrap();
    assert_eq!(coding[0], [3 ^ 5 ^ 7; 4096]);
    let mut shards: Vec<[u8; 4096]> = data.into_iter().chain(coding).collect();
    shards[0].fill(0);
    shards[2].fill(0);
    codec.decode(&mut shards, &[0, 2]).unwrap();
    assert_eq!(shards[..3], data);
}

fn multiply_a_region() {
    let (src, mut dst) = ([1; 4096], [7; 4096]);
    let multiplier = Multiplier::new(WordSize::W8, 0x53).unwrap();
    multiplier.mul_add(&mut dst, &src).unwrap();
    assert_eq!(dst, [7 ^ 0x53; 4096]);
}
