//! A library loaded as programs load it, and its functions.

use super::aligned::Aligned;
use super::calls::Regions;
use super::names::NAMES;
use libc::c_void;
use std::ffi::{CString, c_char, c_int};
use std::path::PathBuf;
use std::sync::OnceLock;

pub struct Library(usize);

/// This library, and Debian's.
pub fn both() -> (&'static Library, &'static Library) {
    static BOTH: OnceLock<(Library, Library)> = OnceLock::new();
    let (ours, theirs) = BOTH.get_or_init(|| {
        let built = std::env::current_exe().unwrap();
        let ours: PathBuf = built.ancestors().nth(2).unwrap().join("libJerasure.so");
        (
            Library::load(ours.to_str().unwrap()),
            // By its path: by its name the loader would find the one above again.
            Library::load(&debians()),
        )
    });
    assert_ne!(
        ours.find(NAMES[0]),
        theirs.find(NAMES[0]),
        "one library twice"
    );
    (ours, theirs)
}

fn debians() -> String {
    let folders = ["x86_64-linux-gnu", "aarch64-linux-gnu"].map(|f| format!("/usr/lib/{f}"));
    let path = folders
        .into_iter()
        .map(|folder| folder + "/libJerasure.so.2");
    let mut there = path.filter(|path| std::path::Path::new(path).exists());
    there
        .next()
        .expect("Debian's libJerasure.so.2 (package libjerasure2)")
}

macro_rules! function {
    ($self:ident, $name:ident, fn($($arg:ty),*) $(-> $out:ty)?) => {{
        let found = $self.find(stringify!($name)).expect(stringify!($name));
        // SAFETY: the header gives the function this type.
        unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($arg),*) $(-> $out)?>(found) }
    }};
}

type Ints = *mut c_int;
type Ptrs = *mut *mut c_char;

/// A list of numbers from `malloc`, copied and freed.
fn taken(from: Ints, count: usize) -> Option<Vec<c_int>> {
    if from.is_null() {
        return None;
    }
    // SAFETY: the library returned so many numbers.
    unsafe {
        let list = std::slice::from_raw_parts(from, count).to_vec();
        libc::free(from.cast());
        Some(list)
    }
}

fn ended(list: &[c_int]) -> Vec<c_int> {
    list.iter().copied().chain([-1]).collect()
}

impl Library {
    fn load(path: &str) -> Library {
        let name = CString::new(path).unwrap();
        // SAFETY: a library whose initialisers do nothing unusual.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(
            !handle.is_null(),
            "{path} cannot be loaded (Debian: libjerasure2)"
        );
        Library(handle.addr())
    }

    fn find(&self, name: &str) -> Option<*mut c_void> {
        let name = CString::new(name).unwrap();
        // SAFETY: a handle that stays open.
        let found = unsafe { libc::dlsym(self.0 as *mut c_void, name.as_ptr()) };
        (!found.is_null()).then_some(found)
    }

    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    pub fn multiply(&self, a: c_int, b: c_int, w: c_int) -> c_int {
        unsafe {
            function!(
                self,
                galois_single_multiply,
                fn(c_int, c_int, c_int) -> c_int
            )(a, b, w)
        }
    }

    pub fn divide(&self, a: c_int, b: c_int, w: c_int) -> c_int {
        unsafe { function!(self, galois_single_divide, fn(c_int, c_int, c_int) -> c_int)(a, b, w) }
    }

    pub fn inverse(&self, a: c_int, w: c_int) -> c_int {
        unsafe { function!(self, galois_inverse, fn(c_int, c_int) -> c_int)(a, w) }
    }

    pub fn n_ones(&self, a: c_int, w: c_int) -> c_int {
        unsafe { function!(self, cauchy_n_ones, fn(c_int, c_int) -> c_int)(a, w) }
    }

    pub fn vandermonde(&self, k: c_int, m: c_int, w: c_int) -> Option<Vec<c_int>> {
        let f = function!(
            self,
            reed_sol_vandermonde_coding_matrix,
            fn(c_int, c_int, c_int) -> Ints
        );
        taken(unsafe { f(k, m, w) }, (k * m) as usize)
    }

    pub fn extended(&self, rows: c_int, cols: c_int, w: c_int) -> Option<Vec<c_int>> {
        let f = function!(
            self,
            reed_sol_extended_vandermonde_matrix,
            fn(c_int, c_int, c_int) -> Ints
        );
        taken(unsafe { f(rows, cols, w) }, (rows * cols) as usize)
    }

    pub fn big(&self, rows: c_int, cols: c_int, w: c_int) -> Option<Vec<c_int>> {
        let f = function!(
            self,
            reed_sol_big_vandermonde_distribution_matrix,
            fn(c_int, c_int, c_int) -> Ints
        );
        taken(unsafe { f(rows, cols, w) }, (rows * cols) as usize)
    }

    pub fn r6(&self, k: c_int, w: c_int) -> Option<Vec<c_int>> {
        let f = function!(self, reed_sol_r6_coding_matrix, fn(c_int, c_int) -> Ints);
        taken(unsafe { f(k, w) }, (2 * k) as usize)
    }

    pub fn cauchy_original(&self, k: c_int, m: c_int, w: c_int) -> Option<Vec<c_int>> {
        let f = function!(
            self,
            cauchy_original_coding_matrix,
            fn(c_int, c_int, c_int) -> Ints
        );
        taken(unsafe { f(k, m, w) }, (k * m) as usize)
    }

    pub fn cauchy_good(&self, k: c_int, m: c_int, w: c_int) -> Option<Vec<c_int>> {
        let f = function!(
            self,
            cauchy_good_general_coding_matrix,
            fn(c_int, c_int, c_int) -> Ints
        );
        taken(unsafe { f(k, m, w) }, (k * m) as usize)
    }

    pub fn improved(&self, k: c_int, m: c_int, w: c_int, matrix: &[c_int]) -> Vec<c_int> {
        let mut matrix = matrix.to_vec();
        let f = function!(
            self,
            cauchy_improve_coding_matrix,
            fn(c_int, c_int, c_int, Ints)
        );
        unsafe { f(k, m, w, matrix.as_mut_ptr()) };
        matrix
    }

    pub fn to_bits(&self, k: c_int, m: c_int, w: c_int, matrix: &[c_int]) -> Option<Vec<c_int>> {
        let mut matrix = matrix.to_vec();
        let f = function!(
            self,
            jerasure_matrix_to_bitmatrix,
            fn(c_int, c_int, c_int, Ints) -> Ints
        );
        taken(
            unsafe { f(k, m, w, matrix.as_mut_ptr()) },
            (k * m * w * w) as usize,
        )
    }

    pub fn liberation(&self, k: c_int, w: c_int) -> Option<Vec<c_int>> {
        let f = function!(self, liberation_coding_bitmatrix, fn(c_int, c_int) -> Ints);
        taken(unsafe { f(k, w) }, (2 * k * w * w) as usize)
    }

    pub fn blaum_roth(&self, k: c_int, w: c_int) -> Option<Vec<c_int>> {
        let f = function!(self, blaum_roth_coding_bitmatrix, fn(c_int, c_int) -> Ints);
        taken(unsafe { f(k, w) }, (2 * k * w * w) as usize)
    }

    pub fn liber8tion(&self, k: c_int) -> Option<Vec<c_int>> {
        let f = function!(self, liber8tion_coding_bitmatrix, fn(c_int) -> Ints);
        taken(unsafe { f(k) }, (2 * k * 64) as usize)
    }

    pub fn encode(&self, matrix: &[c_int], w: c_int, regions: &mut Regions) {
        let mut matrix = matrix.to_vec();
        let (mut data, mut coding) = regions.pointers();
        let f = function!(
            self,
            jerasure_matrix_encode,
            fn(c_int, c_int, c_int, Ints, Ptrs, Ptrs, c_int)
        );
        let size = regions.bytes as c_int;
        let (data, coding) = (data.as_mut_ptr(), coding.as_mut_ptr());
        unsafe {
            f(
                regions.k,
                regions.m,
                w,
                matrix.as_mut_ptr(),
                data,
                coding,
                size,
            )
        }
    }

    pub fn decode(
        &self,
        matrix: &[c_int],
        w: c_int,
        ones: c_int,
        lost: &[c_int],
        regions: &mut Regions,
    ) -> c_int {
        let (mut matrix, mut lost) = (matrix.to_vec(), ended(lost));
        let (mut data, mut coding) = regions.pointers();
        let f = function!(
            self,
            jerasure_matrix_decode,
            fn(c_int, c_int, c_int, Ints, c_int, Ints, Ptrs, Ptrs, c_int) -> c_int
        );
        let size = regions.bytes as c_int;
        let (data, coding) = (data.as_mut_ptr(), coding.as_mut_ptr());
        let (matrix, lost) = (matrix.as_mut_ptr(), lost.as_mut_ptr());
        unsafe {
            f(
                regions.k, regions.m, w, matrix, ones, lost, data, coding, size,
            )
        }
    }

    pub fn bits_encode(&self, bits: &[c_int], w: c_int, packet: c_int, regions: &mut Regions) {
        let mut bits = bits.to_vec();
        let (mut data, mut coding) = regions.pointers();
        let f = function!(
            self,
            jerasure_bitmatrix_encode,
            fn(c_int, c_int, c_int, Ints, Ptrs, Ptrs, c_int, c_int)
        );
        let size = regions.bytes as c_int;
        let (data, coding) = (data.as_mut_ptr(), coding.as_mut_ptr());
        unsafe {
            f(
                regions.k,
                regions.m,
                w,
                bits.as_mut_ptr(),
                data,
                coding,
                size,
                packet,
            )
        }
    }

    pub fn bits_decode(
        &self,
        bits: &[c_int],
        w: c_int,
        packet: c_int,
        lost: &[c_int],
        regions: &mut Regions,
    ) -> c_int {
        let (mut bits, mut lost) = (bits.to_vec(), ended(lost));
        let (mut data, mut coding) = regions.pointers();
        let f = function!(
            self,
            jerasure_bitmatrix_decode,
            fn(c_int, c_int, c_int, Ints, c_int, Ints, Ptrs, Ptrs, c_int, c_int) -> c_int
        );
        let size = regions.bytes as c_int;
        let (data, coding) = (data.as_mut_ptr(), coding.as_mut_ptr());
        let (bits, lost) = (bits.as_mut_ptr(), lost.as_mut_ptr());
        unsafe {
            f(
                regions.k, regions.m, w, bits, 0, lost, data, coding, size, packet,
            )
        }
    }

    /// The operations of a schedule; the library frees it.
    pub fn schedule(
        &self,
        k: c_int,
        m: c_int,
        w: c_int,
        bits: &[c_int],
        smart: bool,
    ) -> Option<Vec<[c_int; 5]>> {
        let mut bits = bits.to_vec();
        type Make = unsafe extern "C" fn(c_int, c_int, c_int, Ints) -> *mut Ints;
        let f: Make = if smart {
            function!(
                self,
                jerasure_smart_bitmatrix_to_schedule,
                fn(c_int, c_int, c_int, Ints) -> *mut Ints
            )
        } else {
            function!(
                self,
                jerasure_dumb_bitmatrix_to_schedule,
                fn(c_int, c_int, c_int, Ints) -> *mut Ints
            )
        };
        let made = unsafe { f(k, m, w, bits.as_mut_ptr()) };
        if made.is_null() {
            return None;
        }
        let mut operations = Vec::new();
        for at in 0.. {
            // SAFETY: the schedule ends with -1.
            let operation = unsafe { *made.add(at) };
            if unsafe { *operation } < 0 {
                break;
            }
            operations.push(unsafe { operation.cast::<[c_int; 5]>().read() });
        }
        unsafe { function!(self, jerasure_free_schedule, fn(*mut Ints))(made) };
        Some(operations)
    }

    pub fn schedule_encode(
        &self,
        schedule: &[[c_int; 5]],
        w: c_int,
        packet: c_int,
        regions: &mut Regions,
    ) {
        let mut operations = schedule.to_vec();
        operations.push([-1; 5]);
        let mut schedule: Vec<Ints> = operations.iter_mut().map(|o| o.as_mut_ptr()).collect();
        let (mut data, mut coding) = regions.pointers();
        let f = function!(
            self,
            jerasure_schedule_encode,
            fn(c_int, c_int, c_int, *mut Ints, Ptrs, Ptrs, c_int, c_int)
        );
        let size = regions.bytes as c_int;
        let (data, coding) = (data.as_mut_ptr(), coding.as_mut_ptr());
        unsafe {
            f(
                regions.k,
                regions.m,
                w,
                schedule.as_mut_ptr(),
                data,
                coding,
                size,
                packet,
            )
        }
    }

    pub fn decode_lazy(
        &self,
        bits: &[c_int],
        w: c_int,
        packet: c_int,
        lost: &[c_int],
        smart: bool,
        regions: &mut Regions,
    ) -> c_int {
        let (mut bits, mut lost) = (bits.to_vec(), ended(lost));
        let (mut data, mut coding) = regions.pointers();
        let f = function!(
            self,
            jerasure_schedule_decode_lazy,
            fn(c_int, c_int, c_int, Ints, Ints, Ptrs, Ptrs, c_int, c_int, c_int) -> c_int
        );
        let size = regions.bytes as c_int;
        let (data, coding) = (data.as_mut_ptr(), coding.as_mut_ptr());
        let (bits, lost) = (bits.as_mut_ptr(), lost.as_mut_ptr());
        unsafe {
            f(
                regions.k,
                regions.m,
                w,
                bits,
                lost,
                data,
                coding,
                size,
                packet,
                smart.into(),
            )
        }
    }

    /// By a cache that is made and freed here.
    pub fn decode_cached(
        &self,
        bits: &[c_int],
        w: c_int,
        packet: c_int,
        lost: &[c_int],
        regions: &mut Regions,
    ) -> c_int {
        let (mut bits, mut lost) = (bits.to_vec(), ended(lost));
        let (mut data, mut coding) = regions.pointers();
        let make = function!(
            self,
            jerasure_generate_schedule_cache,
            fn(c_int, c_int, c_int, Ints, c_int) -> *mut *mut Ints
        );
        let f = function!(
            self,
            jerasure_schedule_decode_cache,
            fn(c_int, c_int, c_int, *mut *mut Ints, Ints, Ptrs, Ptrs, c_int, c_int) -> c_int
        );
        let free = function!(
            self,
            jerasure_free_schedule_cache,
            fn(c_int, c_int, *mut *mut Ints)
        );
        let (k, m, size) = (regions.k, regions.m, regions.bytes as c_int);
        let (data, coding) = (data.as_mut_ptr(), coding.as_mut_ptr());
        unsafe {
            let cache = make(k, m, w, bits.as_mut_ptr(), 1);
            let done = f(
                k,
                m,
                w,
                cache,
                lost.as_mut_ptr(),
                data,
                coding,
                size,
                packet,
            );
            free(k, m, cache);
            done
        }
    }

    pub fn decoding_matrix(
        &self,
        k: c_int,
        m: c_int,
        w: c_int,
        matrix: &[c_int],
        lost: &[c_int],
    ) -> Option<(Vec<c_int>, Vec<c_int>)> {
        let mut matrix = matrix.to_vec();
        let mut erased: Vec<c_int> = (0..k + m).map(|s| lost.contains(&s).into()).collect();
        let (mut made, mut ids) = (vec![0; (k * k) as usize], vec![0; k as usize]);
        let f = function!(
            self,
            jerasure_make_decoding_matrix,
            fn(c_int, c_int, c_int, Ints, Ints, Ints, Ints) -> c_int
        );
        let (matrix, erased) = (matrix.as_mut_ptr(), erased.as_mut_ptr());
        let done = unsafe { f(k, m, w, matrix, erased, made.as_mut_ptr(), ids.as_mut_ptr()) };
        (done == 0).then_some((made, ids))
    }

    pub fn inverted(&self, square: &[c_int], rows: c_int, w: c_int) -> Option<Vec<c_int>> {
        let (mut mat, mut inv) = (square.to_vec(), vec![0; square.len()]);
        let f = function!(
            self,
            jerasure_invert_matrix,
            fn(Ints, Ints, c_int, c_int) -> c_int
        );
        let done = unsafe { f(mat.as_mut_ptr(), inv.as_mut_ptr(), rows, w) };
        (done == 0).then_some(inv)
    }

    pub fn erased(&self, k: c_int, m: c_int, lost: &[c_int]) -> Option<Vec<c_int>> {
        let mut lost = ended(lost);
        let f = function!(
            self,
            jerasure_erasures_to_erased,
            fn(c_int, c_int, Ints) -> Ints
        );
        taken(unsafe { f(k, m, lost.as_mut_ptr()) }, (k + m) as usize)
    }

    pub fn region_multiply(
        &self,
        w: c_int,
        factor: c_int,
        region: &[u8],
        in_place: bool,
        add: bool,
    ) -> Vec<u8> {
        type Multiply = unsafe extern "C" fn(*mut c_char, c_int, c_int, *mut c_char, c_int);
        let f: Multiply = match w {
            8 => function!(
                self,
                galois_w08_region_multiply,
                fn(*mut c_char, c_int, c_int, *mut c_char, c_int)
            ),
            16 => function!(
                self,
                galois_w16_region_multiply,
                fn(*mut c_char, c_int, c_int, *mut c_char, c_int)
            ),
            _ => function!(
                self,
                galois_w32_region_multiply,
                fn(*mut c_char, c_int, c_int, *mut c_char, c_int)
            ),
        };
        let mut from = Aligned::new(region);
        let mut to = Aligned::new(&vec![0x5a; region.len()]);
        // Upstream crashes on a second region of NULL, which its header allows: in place is both the same.
        let r2 = if in_place {
            from.pointer()
        } else {
            to.pointer()
        };
        unsafe {
            f(
                from.pointer(),
                factor,
                region.len() as c_int,
                r2,
                add.into(),
            )
        };
        if in_place { from.bytes() } else { to.bytes() }
    }

    pub fn doubled(&self, w: c_int, region: &[u8]) -> Vec<u8> {
        type Double = unsafe extern "C" fn(*mut c_char, c_int);
        let f: Double = match w {
            8 => function!(
                self,
                reed_sol_galois_w08_region_multby_2,
                fn(*mut c_char, c_int)
            ),
            16 => function!(
                self,
                reed_sol_galois_w16_region_multby_2,
                fn(*mut c_char, c_int)
            ),
            _ => function!(
                self,
                reed_sol_galois_w32_region_multby_2,
                fn(*mut c_char, c_int)
            ),
        };
        let mut region = Aligned::new(region);
        unsafe { f(region.pointer(), region.bytes().len() as c_int) };
        region.bytes()
    }

    pub fn xor(&self, from: &[u8], to: &[u8]) -> Vec<u8> {
        let (mut from, mut to) = (Aligned::new(from), Aligned::new(to));
        let f = function!(self, galois_region_xor, fn(*mut c_char, *mut c_char, c_int));
        unsafe { f(from.pointer(), to.pointer(), from.bytes().len() as c_int) };
        to.bytes()
    }
}
