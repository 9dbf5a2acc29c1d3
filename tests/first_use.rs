//! First use of the C library by many threads at once, in many fresh processes.
//!
//! The library fills its field tables on first use without a lock; left alone, most of such processes crash.

use std::process::Command;
use std::sync::Barrier;
use std::{env, thread};

use jerasure::{CodeParams, Codec, Engine, Multiplier, Technique, WordSize, galois};

/// Names the re-executed test's role; its value is the process's number.
const CHILD: &str = "FUSION_TESTS_FIRST_USE_CHILD";
const PROCESSES: usize = 200;
const THREADS: usize = 16;

#[test]
fn sixteen_threads_may_be_first_in_every_process() {
    if let Some(process) = env::var_os(CHILD) {
        return use_the_library_at_once(process.to_str().unwrap().parse().unwrap());
    }
    let test = env::current_exe().unwrap();
    for process in 0..PROCESSES {
        let output = Command::new(&test)
            .args(["--exact", "sixteen_threads_may_be_first_in_every_process"])
            .env(CHILD, process.to_string())
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

/// In every process the threads meet in another order of engines, word sizes and calls, and in some all do the same.
fn use_the_library_at_once(process: usize) {
    let engines: Vec<Engine> = Engine::available().collect();
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (barrier, engines) = (&barrier, &engines);
            scope.spawn(move || {
                let mixed = process.is_multiple_of(2);
                let turn = if mixed {
                    process / 2 + thread
                } else {
                    process / 2
                };
                let engine = engines[turn % engines.len()];
                let w = [WordSize::W8, WordSize::W16, WordSize::W32][turn / engines.len() % 3];
                barrier.wait();
                match turn % 7 {
                    0 | 1 => words(engine, w),
                    2 | 3 => packets(engine),
                    4 => update(engine, w),
                    5 => single_elements(),
                    _ => multiply_a_region(w),
                }
            });
        }
    });
}

fn words(engine: Engine, w: WordSize) {
    let params = CodeParams::new(3, 2, w).unwrap();
    round_trip(&Codec::with_engine(Technique::ReedSolVan, params, engine).unwrap());
}

fn packets(engine: Engine) {
    let params = CodeParams::new(3, 2, WordSize::W8).unwrap();
    let params = params.with_packet_bytes(64).unwrap();
    round_trip(&Codec::with_engine(Technique::CauchyGood, params, engine).unwrap());
}

/// Row 0 of both codes is the sum of the data.
fn round_trip(codec: &Codec) {
    let data = [[3; 4096], [5; 4096], [7; 4096]];
    let mut coding = [[0; 4096]; 2];
    codec.encode(&data, &mut coding).unwrap();
    assert_eq!(coding[0], [3 ^ 5 ^ 7; 4096]);
    let mut shards: Vec<[u8; 4096]> = data.into_iter().chain(coding).collect();
    assert_eq!(codec.verify(&shards), Ok(true));
    shards[0].fill(0);
    shards[2].fill(0);
    codec.decode(&mut shards, &[0, 2]).unwrap();
    assert_eq!(shards[..3], data);
}

fn update(engine: Engine, w: WordSize) {
    let params = CodeParams::new(2, 2, w).unwrap();
    let codec = Codec::with_engine(Technique::ReedSolVan, params, engine).unwrap();
    let (old, new) = ([1; 4096], [9; 4096]);
    let [mut updated, mut anew] = [[[0; 4096]; 2]; 2];
    codec.encode(&[old, [5; 4096]], &mut updated).unwrap();
    codec.encode(&[new, [5; 4096]], &mut anew).unwrap();
    for (row, code) in updated.iter_mut().enumerate() {
        codec.update(row, 0, &old, &new, code).unwrap();
    }
    assert_eq!(updated, anew);
}

fn single_elements() {
    for w in 1..=32 {
        let w = WordSize::new(w).unwrap();
        let largest = w.max_element();
        let product = galois::multiply(w, largest, largest).unwrap();
        assert_eq!(galois::divide(w, product, largest), Ok(largest));
    }
}

fn multiply_a_region(w: WordSize) {
    let (src, mut dst) = ([0x41; 4096], [7; 4096]);
    let multiplier = Multiplier::new(w, 2).unwrap();
    multiplier.mul_add(&mut dst, &src).unwrap();
    multiplier.mul_add(&mut dst, &src).unwrap();
    assert_eq!(dst, [7; 4096]);
    multiplier.mul(&mut dst, &src).unwrap();
    assert_eq!(dst, [0x82; 4096]);
}
