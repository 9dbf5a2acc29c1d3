//! The C library as the tests' oracle: its codes, called raw on aligned copies, with every argument checked first.

#![allow(dead_code, reason = "each test that includes this file uses a part")]

use std::ffi::{c_char, c_int};
use std::sync::{Mutex, Once, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::{ptr, slice};

use jerasure_sys as c;

/// What the library changes while it runs, and so what tests of one process may not do at the same time: w = 32 without
/// SIMD keeps a table of the last factor.
static REGIONS: RwLock<()> = RwLock::new(());

/// Holds off every other test of this process that uses the library by these two functions.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    make_tables();
    // The test that failed has said so; the others go on.
    REGIONS.write().unwrap_or_else(PoisonError::into_inner)
}

/// For tests that leave w = 32 alone.
pub(crate) fn together() -> RwLockReadGuard<'static, ()> {
    make_tables();
    REGIONS.read().unwrap_or_else(PoisonError::into_inner)
}

/// The field tables are made on first use, without a lock: here, before any test.
fn make_tables() {
    static TABLES: Once = Once::new();
    TABLES.call_once(|| {
        for w in 1..=32 {
            // SAFETY: 1 is an element of every field. Every test starts here, so no thread is in the library.
            assert_eq!(unsafe { c::galois_single_multiply(1, 1, w) }, 1);
        }
    });
}

/// How the library is asked to encode, and to decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// `jerasure_matrix_encode`, `jerasure_matrix_decode`.
    Matrix,
    /// `jerasure_schedule_encode` and `jerasure_schedule_decode_lazy`, with smart schedules.
    Smart,
    /// The same with dumb schedules.
    Dumb,
    /// `jerasure_bitmatrix_encode`, `jerasure_bitmatrix_decode`.
    Bits,
}

/// One of the library's codes.
#[derive(Debug)]
pub(crate) struct CCode {
    k: c_int,
    m: c_int,
    w: c_int,
    /// Bytes of a packet; 0 for a code on words.
    packet: c_int,
    /// m rows of k elements, where the technique has them.
    matrix: Option<Vec<c_int>>,
    /// m * w rows of k * w bits, for a code on packets.
    bits: Option<Vec<c_int>>,
}

impl CCode {
    /// A code by its technique's name. Panics where the library is not defined for the shape.
    pub(crate) fn new(technique: &str, k: usize, m: usize, w: usize, packet: usize) -> Self {
        assert!(k >= 1 && m >= 1 && (1..=32).contains(&w) && k + m <= 256);
        // With two coding shards, this technique's elements come from a table of more.
        let extra = usize::from(technique == "cauchy_good" && m == 2);
        assert!(w >= 9 || k + m <= (1 << w) + extra);
        assert!(packet.is_multiple_of(8) && packet <= 1 << 20);
        let pairs_only = || assert!(m == 2, "{technique} has two coding shards");
        let cells = (k * m) as c_int;
        let [k, m, w, packet] = [k, m, w, packet].map(|number| number as c_int);
        // The Cauchy functions count ones in static tables.
        static MATRICES: Mutex<()> = Mutex::new(());
        let _one_at_a_time = MATRICES.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the assertions are each technique's conditions; `take` copies and frees what is allocated.
        unsafe {
            let (matrix, own_bits) = match technique {
                "reed_sol_van" => (c::reed_sol_vandermonde_coding_matrix(k, m, w), None),
                "reed_sol_r6_op" => {
                    pairs_only();
                    (c::reed_sol_r6_coding_matrix(k, w), None)
                }
                "cauchy_orig" => (c::cauchy_original_coding_matrix(k, m, w), None),
                "cauchy_good" => (c::cauchy_good_general_coding_matrix(k, m, w), None),
                "liberation" | "blaum_roth" | "liber8tion" => {
                    pairs_only();
                    assert!(k <= w && packet > 0);
                    let bits = match technique {
                        "liberation" => {
                            assert!(is_prime(w) && w > 2);
                            c::liberation_coding_bitmatrix(k, w)
                        }
                        "blaum_roth" => {
                            assert!(is_prime(w + 1) && w > 2);
                            c::blaum_roth_coding_bitmatrix(k, w)
                        }
                        _ => {
                            assert!(w == 8);
                            c::liber8tion_coding_bitmatrix(k)
                        }
                    };
                    (ptr::null_mut(), Some(take(bits, cells * w * w)))
                }
                other => panic!("no such technique: {other}"),
            };
            let mut matrix = match own_bits {
                None => Some(take(matrix, cells)),
                Some(_) => None,
            };
            let bits = match &mut matrix {
                Some(matrix) if packet > 0 => {
                    let bits = c::jerasure_matrix_to_bitmatrix(k, m, w, matrix.as_mut_ptr());
                    Some(take(bits, cells * w * w))
                }
                _ => own_bits,
            };
            assert!(packet > 0 || matches!(w, 8 | 16 | 32));
            Self {
                k,
                m,
                w,
                packet,
                matrix,
                bits,
            }
        }
    }

    /// The matrix of elements, if the technique has one.
    pub(crate) fn matrix(&self) -> Option<Vec<u32>> {
        let matrix = self.matrix.as_ref()?;
        // Elements of GF(2^32) come back as the int of the same bits.
        Some(
            matrix
                .iter()
                .map(|element| element.cast_unsigned())
                .collect(),
        )
    }

    /// The bit matrix, of a code on packets.
    pub(crate) fn bits(&self) -> Option<Vec<u32>> {
        let bits = self.bits.as_ref()?;
        Some(bits.iter().map(|bit| bit.cast_unsigned()).collect())
    }

    /// The ways that this code has, the usual one first.
    pub(crate) fn ways(&self) -> &'static [Way] {
        match self.packet {
            0 => &[Way::Matrix],
            _ => &[Way::Smart, Way::Dumb, Way::Bits],
        }
    }

    /// The m coding shards of k data shards, in the usual way.
    pub(crate) fn encode(&self, data: &[impl AsRef<[u8]>]) -> Vec<Vec<u8>> {
        self.encode_by(self.ways()[0], data)
    }

    /// The m coding shards of k data shards.
    pub(crate) fn encode_by(&self, way: Way, data: &[impl AsRef<[u8]>]) -> Vec<Vec<u8>> {
        let bytes = self.length(data, self.k);
        let mut data = copies(data);
        let mut coding: Vec<Shard> = (0..self.m).map(|_| Shard::zeroed(bytes)).collect();
        if bytes > 0 {
            self.encode_raw(way, &pointers(&mut data), &pointers(&mut coding), bytes);
        }
        coding.iter().map(Shard::to_vec).collect()
    }

    /// All k + m shards, of which those in `erased` were lost: at most m, sorted, none twice.
    pub(crate) fn decode_by(
        &self,
        way: Way,
        shards: &[impl AsRef<[u8]>],
        erased: &[usize],
    ) -> Vec<Vec<u8>> {
        let bytes = self.length(shards, self.k + self.m);
        assert!(erased.is_sorted_by(|a, b| a < b) && erased.len() <= self.m as usize);
        assert!(erased.iter().all(|&shard| shard < shards.len()));
        let mut shards = copies(shards);
        if bytes > 0 && !erased.is_empty() {
            let pointers = pointers(&mut shards);
            let (data, coding) = pointers.split_at(self.k as usize);
            self.decode_raw(way, data, coding, erased, bytes);
        }
        shards.iter().map(Shard::to_vec).collect()
    }

    /// `data` and `coding` point to k and m regions of `bytes` each, aligned to 64, which `length` has checked.
    fn encode_raw(&self, way: Way, data: &[*mut c_char], coding: &[*mut c_char], bytes: usize) {
        let &Self {
            k, m, w, packet, ..
        } = self;
        let size = bytes as c_int;
        // The library takes all of these mutably and changes none.
        let (mut data, mut coding) = (data.to_vec(), coding.to_vec());
        let (data, coding) = (data.as_mut_ptr(), coding.as_mut_ptr());
        // SAFETY: the pointers are as said above and none overlap; the matrix has its shape; `size` is a multiple of a
        // word, or of w * packet, and not 0.
        unsafe {
            if way == Way::Matrix {
                let mut matrix = self.matrix.clone().expect("a code on words");
                c::jerasure_matrix_encode(k, m, w, matrix.as_mut_ptr(), data, coding, size);
                return;
            }
            let mut bits = self.bits.clone().expect("a code on packets");
            let bits = bits.as_mut_ptr();
            let schedule = match way {
                Way::Smart => c::jerasure_smart_bitmatrix_to_schedule(k, m, w, bits),
                Way::Dumb => c::jerasure_dumb_bitmatrix_to_schedule(k, m, w, bits),
                _ => {
                    c::jerasure_bitmatrix_encode(k, m, w, bits, data, coding, size, packet);
                    return;
                }
            };
            assert!(!schedule.is_null());
            c::jerasure_schedule_encode(k, m, w, schedule, data, coding, size, packet);
            c::jerasure_free_schedule(schedule);
        }
    }

    /// As `encode_raw`, with erasures as `decode_by` has checked them.
    fn decode_raw(
        &self,
        way: Way,
        data: &[*mut c_char],
        coding: &[*mut c_char],
        erased: &[usize],
        bytes: usize,
    ) {
        let &Self {
            k, m, w, packet, ..
        } = self;
        let size = bytes as c_int;
        let (mut data, mut coding) = (data.to_vec(), coding.to_vec());
        let (data, coding) = (data.as_mut_ptr(), coding.as_mut_ptr());
        let mut erasures: Vec<c_int> = erased.iter().map(|&shard| shard as c_int).collect();
        erasures.push(-1);
        let erasures = erasures.as_mut_ptr();
        // SAFETY: as in `encode_raw`; the erasures are in range, not repeated, at most m, and end with -1; the argument
        // after the matrix tells truly whether its first row is the sum of all data.
        let status = unsafe {
            if way == Way::Matrix {
                let mut matrix = self.matrix.clone().expect("a code on words");
                let ones = c_int::from(matrix[..k as usize].iter().all(|&element| element == 1));
                let matrix = matrix.as_mut_ptr();
                c::jerasure_matrix_decode(k, m, w, matrix, ones, erasures, data, coding, size)
            } else {
                let mut bits = self.bits.clone().expect("a code on packets");
                let ones = c_int::from(starts_with_identities(&bits, k as usize, w as usize));
                let bits = bits.as_mut_ptr();
                match way {
                    Way::Bits => c::jerasure_bitmatrix_decode(
                        k, m, w, bits, ones, erasures, data, coding, size, packet,
                    ),
                    _ => c::jerasure_schedule_decode_lazy(
                        k,
                        m,
                        w,
                        bits,
                        erasures,
                        data,
                        coding,
                        size,
                        packet,
                        c_int::from(way == Way::Smart),
                    ),
                }
            }
        };
        assert_eq!(status, 0, "{self:?} lost {erased:?}");
    }

    /// The common length of so many shards, whole units.
    fn length(&self, shards: &[impl AsRef<[u8]>], count: c_int) -> usize {
        assert_eq!(shards.len(), count as usize);
        let bytes = shards[0].as_ref().len();
        assert!(shards.iter().all(|shard| shard.as_ref().len() == bytes));
        let unit = match self.packet {
            0 => self.w / 8,
            packet => self.w * packet,
        };
        assert!(bytes <= 1 << 28 && bytes.is_multiple_of(unit as usize));
        bytes
    }
}

/// Whether the first coding shard is the plain sum of the data.
fn starts_with_identities(bits: &[c_int], k: usize, w: usize) -> bool {
    (0..w).all(|row| (0..k * w).all(|col| (bits[row * k * w + col] == 1) == (col % w == row)))
}

fn is_prime(number: c_int) -> bool {
    (2..number).all(|divisor| number % divisor != 0)
}

/// Copies and frees what the library allocated.
///
/// # Safety
/// `matrix` is NULL or points to `cells` integers that the library allocated and nobody else frees.
unsafe fn take(matrix: *mut c_int, cells: c_int) -> Vec<c_int> {
    assert!(!matrix.is_null());
    // SAFETY: as the caller promises.
    unsafe {
        let copy = slice::from_raw_parts(matrix, cells as usize).to_vec();
        // Not `jerasure_free_matrix`, which the distributions' libraries lack.
        libc::free(matrix.cast());
        copy
    }
}

/// Bytes aligned as the library wants them, and no longer than told: what it reads beyond is another's.
struct Shard {
    start: *mut u8,
    bytes: usize,
}

impl Shard {
    fn zeroed(bytes: usize) -> Self {
        let layout = Self::layout(bytes);
        // SAFETY: the layout is not empty.
        let start = unsafe { std::alloc::alloc_zeroed(layout) };
        assert!(!start.is_null());
        Self { start, bytes }
    }

    fn layout(bytes: usize) -> std::alloc::Layout {
        std::alloc::Layout::from_size_align(bytes.max(1), 64).expect("lengths are bounded")
    }

    fn to_vec(&self) -> Vec<u8> {
        // SAFETY: `start` points to so many bytes of our own, all written.
        unsafe { slice::from_raw_parts(self.start, self.bytes) }.to_vec()
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and freed only here.
        unsafe { std::alloc::dealloc(self.start, Self::layout(self.bytes)) }
    }
}

fn copies(shards: &[impl AsRef<[u8]>]) -> Vec<Shard> {
    let copy = |bytes: &[u8]| {
        let shard = Shard::zeroed(bytes.len());
        // SAFETY: both are as long, and the new one is apart.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), shard.start, bytes.len()) }
        shard
    };
    shards.iter().map(|shard| copy(shard.as_ref())).collect()
}

fn pointers(shards: &mut [Shard]) -> Vec<*mut c_char> {
    shards.iter().map(|shard| shard.start.cast()).collect()
}
