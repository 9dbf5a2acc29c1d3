//! ISA-L's erasure code over bytes (`erasure_code.h`), with a coding matrix of our own. Its field is Jerasure's GF(2^8).

#![allow(dead_code, reason = "each target that includes this file uses a part")]

use std::ffi::{c_int, c_uchar};

#[link(name = "isal")]
unsafe extern "C" {
    fn ec_init_tables(k: c_int, rows: c_int, matrix: *mut c_uchar, tables: *mut c_uchar);
    fn ec_encode_data(
        bytes: c_int,
        k: c_int,
        rows: c_int,
        tables: *mut c_uchar,
        data: *mut *mut c_uchar,
        coding: *mut *mut c_uchar,
    );
    fn ec_encode_data_update(
        bytes: c_int,
        k: c_int,
        rows: c_int,
        index: c_int,
        tables: *mut c_uchar,
        data: *mut c_uchar,
        coding: *mut *mut c_uchar,
    );
}

/// A matrix with ISA-L's tables: 32 bytes for each element.
pub(crate) struct Isal {
    k: usize,
    rows: usize,
    tables: Vec<u8>,
}

impl Isal {
    /// Prepares a matrix of so many elements of GF(2^8), row after row of k.
    pub(crate) fn new(k: usize, matrix: &[u32]) -> Self {
        assert!((1..=256).contains(&k) && matrix.len().is_multiple_of(k));
        assert!((1..=256).contains(&(matrix.len() / k)));
        let narrow = |element: &u32| u8::try_from(*element).expect("an element of GF(2^8)");
        let mut matrix: Vec<u8> = matrix.iter().map(narrow).collect();
        let rows = matrix.len() / k;
        let mut tables = vec![0; 32 * matrix.len()];
        // SAFETY: `rows` times k elements are read, and 32 bytes for each are written; both are ours.
        unsafe {
            ec_init_tables(
                k as c_int,
                rows as c_int,
                matrix.as_mut_ptr(),
                tables.as_mut_ptr(),
            );
        }
        Self { k, rows, tables }
    }

    /// Each target is its row's combination of the k sources.
    pub(crate) fn encode(&mut self, sources: &[&[u8]], targets: &mut [&mut [u8]]) {
        assert_eq!((sources.len(), targets.len()), (self.k, self.rows));
        let bytes = sources[0].len();
        assert!(sources.iter().all(|source| source.len() == bytes));
        assert!(targets.iter().all(|target| target.len() == bytes));
        let mut sources = Pointers::new(sources.iter().map(|s| s.as_ptr().cast_mut()));
        let mut targets = Pointers::new(targets.iter_mut().map(|t| t.as_mut_ptr()));
        // SAFETY: k sources and `rows` targets of `bytes` bytes each, borrowed for the call, apart from each other and
        // from the tables, which are those of this shape. The library only reads the sources.
        unsafe {
            ec_encode_data(
                c_int::try_from(bytes).expect("lengths are bounded"),
                self.k as c_int,
                self.rows as c_int,
                self.tables.as_mut_ptr(),
                sources.as_mut_ptr(),
                targets.as_mut_ptr(),
            );
        }
    }

    /// Adds source `index` times its element of each row to the targets.
    pub(crate) fn add(&mut self, index: usize, source: &[u8], targets: &mut [&mut [u8]]) {
        assert!(index < self.k && targets.len() == self.rows);
        assert!(targets.iter().all(|target| target.len() == source.len()));
        let mut targets = Pointers::new(targets.iter_mut().map(|t| t.as_mut_ptr()));
        // SAFETY: as in `encode`, for one source in the range of this matrix.
        unsafe {
            ec_encode_data_update(
                c_int::try_from(source.len()).expect("lengths are bounded"),
                self.k as c_int,
                self.rows as c_int,
                index as c_int,
                self.tables.as_mut_ptr(),
                source.as_ptr().cast_mut(),
                targets.as_mut_ptr(),
            );
        }
    }
}

/// A list of regions as C takes it; on the stack for most codes, so that timings hold no allocation.
struct Pointers {
    near: [*mut u8; 16],
    far: Vec<*mut u8>,
}

impl Pointers {
    fn new(pointers: impl ExactSizeIterator<Item = *mut u8>) -> Self {
        let mut list = Self {
            near: [std::ptr::null_mut(); 16],
            far: Vec::new(),
        };
        if pointers.len() > list.near.len() {
            list.far = pointers.collect();
        } else {
            list.near
                .iter_mut()
                .zip(pointers)
                .for_each(|(place, pointer)| *place = pointer);
        }
        list
    }

    fn as_mut_ptr(&mut self) -> *mut *mut u8 {
        if self.far.is_empty() {
            self.near.as_mut_ptr()
        } else {
            self.far.as_mut_ptr()
        }
    }
}
