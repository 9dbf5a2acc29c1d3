//! The raw boundary against golden values: every technique's matrix and encoding, bit for bit.
//!
//! The C functions are called directly, so that a change of the C code or of a declaration shows here even where the
//! safe crate does not use it yet.

use std::ffi::{c_char, c_int};
use std::{fs, ptr, slice};

use jerasure_sys as c;
use serde_json::Value;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/jerasure.json");

fn golden(section: &str) -> Vec<Value> {
    let text = fs::read_to_string(GOLDEN).expect("the golden file is in the repository");
    let all: Value = serde_json::from_str(&text).expect("the golden file is JSON");
    all[section].as_array().expect("a list").clone()
}

/// One row of the golden file.
struct Case {
    technique: String,
    k: c_int,
    m: c_int,
    w: c_int,
}

impl Case {
    fn of(row: &Value) -> Self {
        let number = |name: &str| row[name].as_i64().expect("a number") as c_int;
        Self {
            technique: row["technique"].as_str().expect("a name").to_owned(),
            k: number("k"),
            m: number("m"),
            w: number("w"),
        }
    }

    /// Whether the technique is defined by a bit matrix alone.
    fn is_bitmatrix_only(&self) -> bool {
        matches!(&*self.technique, "liberation" | "blaum_roth" | "liber8tion")
    }

    /// The technique's own matrix, or bit matrix where that is all it has.
    fn matrix(&self) -> Vec<c_int> {
        let &Self { k, m, w, .. } = self;
        let cells = if self.is_bitmatrix_only() {
            k * m * w * w
        } else {
            k * m
        };
        // SAFETY: the golden rows hold parameters that each technique is defined for.
        let matrix = unsafe {
            match &*self.technique {
                "reed_sol_van" => c::reed_sol_vandermonde_coding_matrix(k, m, w),
                "reed_sol_r6_op" => c::reed_sol_r6_coding_matrix(k, w),
                "cauchy_orig" => c::cauchy_original_coding_matrix(k, m, w),
                "cauchy_good" => c::cauchy_good_general_coding_matrix(k, m, w),
                "liberation" => c::liberation_coding_bitmatrix(k, w),
                "blaum_roth" => c::blaum_roth_coding_bitmatrix(k, w),
                "liber8tion" => c::liber8tion_coding_bitmatrix(k),
                other => panic!("no such technique: {other}"),
            }
        };
        // SAFETY: the call above allocated that many integers, and `take` frees them once.
        unsafe { take(matrix, cells as usize) }
    }

    /// All coding shards of the data shards.
    fn encode(&self, data: &mut [Shard], packet: c_int) -> Vec<Shard> {
        let &Self { k, m, w, .. } = self;
        let mut matrix = self.matrix();
        let bytes = data[0].bytes;
        let mut coding: Vec<Shard> = (0..m).map(|_| Shard::zeroed(bytes)).collect();
        let (mut data, mut codes) = (pointers(data), pointers(&mut coding));
        let (data, codes) = (data.as_mut_ptr(), codes.as_mut_ptr());
        let size = bytes as c_int;
        // SAFETY: k data and m coding pointers, each to `size` bytes aligned to 64, none overlapping; `size` is a
        // multiple of w / 8, or of w * packet for a schedule; the matrix has the technique's shape.
        unsafe {
            if packet == 0 {
                c::jerasure_matrix_encode(k, m, w, matrix.as_mut_ptr(), data, codes, size);
                return coding;
            }
            if !self.is_bitmatrix_only() {
                let bits = c::jerasure_matrix_to_bitmatrix(k, m, w, matrix.as_mut_ptr());
                matrix = take(bits, (k * m * w * w) as usize);
            }
            let schedule = c::jerasure_smart_bitmatrix_to_schedule(k, m, w, matrix.as_mut_ptr());
            assert!(!schedule.is_null());
            c::jerasure_schedule_encode(k, m, w, schedule, data, codes, size, packet);
            c::jerasure_free_schedule(schedule);
        }
        coding
    }
}

/// Copies and frees what the library allocated.
///
/// # Safety
/// `matrix` is NULL or points to `cells` integers that the library allocated and nobody else frees.
unsafe fn take(matrix: *mut c_int, cells: usize) -> Vec<c_int> {
    assert!(!matrix.is_null());
    // SAFETY: as the caller promises.
    unsafe {
        let copy = slice::from_raw_parts(matrix, cells).to_vec();
        // Not `jerasure_free_matrix`, which the distributions' libraries lack.
        libc::free(matrix.cast());
        copy
    }
}

/// Bytes aligned as the library wants them.
struct Shard {
    lines: Vec<Line>,
    bytes: usize,
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl Shard {
    fn zeroed(bytes: usize) -> Self {
        Self {
            lines: vec![Line([0; 64]); bytes.div_ceil(64)],
            bytes,
        }
    }

    fn as_slice(&self) -> &[u8] {
        let start: *const u8 = self.lines.as_ptr().cast();
        // SAFETY: the lines are plain bytes without padding, borrowed with `self`, and at least `bytes` long.
        unsafe { slice::from_raw_parts(start, self.bytes) }
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        let start: *mut u8 = self.lines.as_mut_ptr().cast();
        // SAFETY: as in `as_slice`, borrowed mutably.
        unsafe { slice::from_raw_parts_mut(start, self.bytes) }
    }
}

fn pointers(shards: &mut [Shard]) -> Vec<*mut c_char> {
    shards
        .iter_mut()
        .map(|shard| ptr::from_mut(shard.as_mut_slice()).cast())
        .collect()
}

/// The data shards of an encoding, after tests/golden/README.md.
fn golden_data(case: &Case, bytes: usize) -> Vec<Shard> {
    let mix = i64::from(case.k) * 1_000_003 + i64::from(case.m) * 10_007 + i64::from(case.w) * 101;
    let mut state = 88_172_645_463_325_252 ^ (mix as u64 + bytes as u64);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..case.k)
        .map(|_| {
            let mut shard = Shard::zeroed(bytes);
            shard.as_mut_slice().fill_with(&mut next);
            shard
        })
        .collect()
}

fn fnv1a64(bytes: &[u8]) -> String {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    format!("{hash:016x}")
}

#[test]
fn golden_vectors_hold_at_the_raw_boundary() {
    // One test, because the library's first use of a word size is not safe from two threads.
    for row in golden("matrices") {
        let case = Case::of(&row);
        // Elements of GF(2^32) come back as the int of the same bits.
        let matrix: Vec<u32> = case.matrix().iter().map(|e| e.cast_unsigned()).collect();
        assert_eq!(Value::from(matrix), row["matrix"], "{row}");
    }
    for row in golden("encodings") {
        let case = Case::of(&row);
        let bytes = row["size"].as_u64().expect("a number") as usize;
        let packet = row["packetsize"].as_i64().expect("a number") as c_int;
        let mut data = golden_data(&case, bytes);
        let first: &[u8] = &data[0].as_slice()[..8];
        assert_eq!(Value::from(first), row["data0_first8"], "{row}");

        let coding = case.encode(&mut data, packet);
        let hashes: Vec<String> = coding.iter().map(|s| fnv1a64(s.as_slice())).collect();
        assert_eq!(Value::from(hashes), row["coding_fnv1a64"], "{row}");
    }
    matrix_decode_restores();
}

/// Losing two data shards and one coding shard of reed_sol_van.
fn matrix_decode_restores() {
    let case = Case {
        technique: "reed_sol_van".into(),
        k: 5,
        m: 3,
        w: 16,
    };
    let mut data = golden_data(&case, 256);
    let mut coding = case.encode(&mut data, 0);
    let wanted: Vec<Vec<u8>> = data
        .iter()
        .chain(&coding)
        .map(|s| s.as_slice().to_vec())
        .collect();
    data[1].as_mut_slice().fill(0xff);
    data[4].as_mut_slice().fill(0xff);
    coding[0].as_mut_slice().fill(0xff);

    let (mut matrix, mut erasures) = (case.matrix(), [1, 4, 5, -1]);
    let (mut data_pointers, mut coding_pointers) = (pointers(&mut data), pointers(&mut coding));
    // SAFETY: as in `encode`; the erasures are in range, not repeated, at most m, and end with -1; row 0 of this
    // matrix is all ones.
    let status = unsafe {
        c::jerasure_matrix_decode(
            case.k,
            case.m,
            case.w,
            matrix.as_mut_ptr(),
            1,
            erasures.as_mut_ptr(),
            data_pointers.as_mut_ptr(),
            coding_pointers.as_mut_ptr(),
            256,
        )
    };
    assert_eq!(status, 0);
    for (shard, want) in data.iter().chain(&coding).zip(&wanted) {
        assert_eq!(shard.as_slice(), want);
    }
}
