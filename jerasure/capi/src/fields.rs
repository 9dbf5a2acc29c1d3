//! Fields as GF-Complete's `gf_t`, for the few programs that hand their own to the library.
//!
//! The library's own arithmetic needs none. A `gf_t` is made by the libgf_complete of the program that asks for one, which
//! has it loaded, since it includes its header; without it the answer is NULL. A field that a program puts in place
//! ([`galois_change_technique`]) and that has another polynomial than the default one is used for single elements,
//! regions and dot products of that w; matrices and decoding are refused for it.

use std::ffi::{CStr, c_int, c_void};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};

/// GF-Complete's `gf_t`: functions that take the field itself first.
#[repr(C)]
pub struct Field {
    multiply: Option<unsafe extern "C" fn(*mut Field, u32, u32) -> u32>,
    divide: Option<unsafe extern "C" fn(*mut Field, u32, u32) -> u32>,
    inverse: Option<unsafe extern "C" fn(*mut Field, u32) -> u32>,
    multiply_region: Option<MultiplyRegion>,
    extract_word: Option<unsafe extern "C" fn()>,
    scratch: *mut c_void,
}

type MultiplyRegion = unsafe extern "C" fn(*mut Field, *mut c_void, *mut c_void, u32, c_int, c_int);

const FIELDS: usize = 64;
/// `GF_MULT_COMPOSITE` of GF-Complete's header.
const COMPOSITE: c_int = 11;

/// The fields by w, as the C library keeps them.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, missing_docs)]
pub static mut gfp_array: [*mut Field; FIELDS] = [std::ptr::null_mut(); FIELDS];
/// Which of them are composite.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, missing_docs)]
pub static mut gfp_is_composite: [c_int; FIELDS] = [0; FIELDS];

/// Word sizes whose field is another one than the default, a bit each.
static OTHER: AtomicU64 = AtomicU64::new(0);

fn index(w: c_int) -> Option<usize> {
    usize::try_from(w).ok().filter(|&w| (1..=32).contains(&w))
}

fn slot(w: usize) -> *mut Field {
    // SAFETY: a read of a pointer; C programs agree among themselves who writes it.
    unsafe { (&raw const gfp_array[w]).read() }
}

fn put(w: usize, field: *mut Field, composite: bool) {
    // SAFETY: as in C, callers change fields while nobody else uses the library.
    unsafe {
        (&raw mut gfp_array[w]).write(field);
        (&raw mut gfp_is_composite[w]).write(composite.into());
    }
}

/// The field of w if a program has put one of another polynomial in place.
#[inline]
pub(crate) fn other(w: u32) -> Option<OtherField> {
    if OTHER.load(Ordering::Relaxed) >> w & 1 == 0 {
        return None;
    }
    Some(OtherField(slot(w as usize))).filter(|f| !f.0.is_null())
}

/// A field of the program's own.
pub(crate) struct OtherField(*mut Field);

impl OtherField {
    pub(crate) fn multiply(&self, a: u32, b: u32) -> Option<u32> {
        // SAFETY: it was checked to be a whole field when it was put in place, and the program keeps it.
        unsafe { Some(((*self.0).multiply?)(self.0, a, b)) }
    }

    pub(crate) fn divide(&self, a: u32, b: u32) -> Option<u32> {
        // SAFETY: as above.
        unsafe { Some(((*self.0).divide?)(self.0, a, b)) }
    }

    /// # Safety
    /// Both point to `bytes` bytes, as GF-Complete wants them.
    pub(crate) unsafe fn region(
        &self,
        from: *mut u8,
        to: *mut u8,
        factor: u32,
        bytes: c_int,
        add: bool,
    ) -> Option<()> {
        // SAFETY: as above, and the caller's word.
        unsafe {
            let multiply = (*self.0).multiply_region?;
            multiply(self.0, from.cast(), to.cast(), factor, bytes, add.into());
        }
        Some(())
    }
}

/// A function of the program's libgf_complete.
fn of_gf_complete(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: a lookup by a name that ends with 0.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

type ScratchSize = unsafe extern "C" fn(c_int, c_int, c_int, c_int, c_int, c_int) -> c_int;
type InitHard = unsafe extern "C" fn(
    *mut Field,
    c_int,
    c_int,
    c_int,
    c_int,
    u64,
    c_int,
    c_int,
    *mut Field,
    *mut c_void,
) -> c_int;

/// As `gf_init_hard`, on memory from `malloc`.
fn make(
    w: c_int,
    (multiply, region, divide): (c_int, c_int, c_int),
    polynomial: u64,
    (first, second): (c_int, c_int),
    base: *mut Field,
) -> Option<*mut Field> {
    index(w)?;
    let size = of_gf_complete(c"gf_scratch_size")?;
    let init = of_gf_complete(c"gf_init_hard")?;
    // SAFETY: GF-Complete's own functions have these types.
    let (size, init) = unsafe {
        (
            mem::transmute::<*mut c_void, ScratchSize>(size),
            mem::transmute::<*mut c_void, InitHard>(init),
        )
    };
    // SAFETY: numbers alone.
    let bytes = unsafe { size(w, multiply, region, divide, first, second) };
    let bytes = usize::try_from(bytes).ok().filter(|&b| b > 0)?;
    let (field, scratch) = (
        crate::memory::array::<Field>(1),
        crate::memory::array::<u8>(bytes),
    );
    let made = !field.is_null() && !scratch.is_null() && {
        let scratch = scratch.cast();
        // SAFETY: room for a field, and as much scratch as it asked for.
        let done = unsafe {
            init(
                field, w, multiply, region, divide, polynomial, first, second, base, scratch,
            )
        };
        done != 0
    };
    if made {
        return Some(field);
    }
    // SAFETY: both came from `malloc`, or are NULL.
    unsafe {
        crate::memory::free(field);
        crate::memory::free(scratch);
    }
    None
}

/// A field by GF-Complete's numbers; NULL where upstream aborts, and without libgf_complete.
#[unsafe(no_mangle)]
pub extern "C" fn galois_init_field(
    w: c_int,
    mult_type: c_int,
    region_type: c_int,
    divide_type: c_int,
    prim_poly: u64,
    arg1: c_int,
    arg2: c_int,
) -> *mut Field {
    crate::guard::guard(std::ptr::null_mut(), || {
        let kinds = (mult_type, region_type, divide_type);
        make(w, kinds, prim_poly, (arg1, arg2), std::ptr::null_mut())
    })
}

/// A composite field over another one; NULL where upstream aborts, and without libgf_complete.
#[unsafe(no_mangle)]
pub extern "C" fn galois_init_composite_field(
    w: c_int,
    region_type: c_int,
    divide_type: c_int,
    degree: c_int,
    base_gf: *mut Field,
) -> *mut Field {
    crate::guard::guard(std::ptr::null_mut(), || {
        make(
            w,
            (COMPOSITE, region_type, divide_type),
            0,
            (degree, 0),
            base_gf,
        )
    })
}

/// The field that was put in place or initialised for w; NULL if none was.
#[unsafe(no_mangle)]
pub extern "C" fn galois_get_field_ptr(w: c_int) -> *mut Field {
    index(w).map_or(std::ptr::null_mut(), slot)
}

/// 0, since the default field is always there; `EINVAL` for a w that has none. With libgf_complete loaded, the `gf_t` is made
/// as well.
#[unsafe(no_mangle)]
pub extern "C" fn galois_init_default_field(w: c_int) -> c_int {
    crate::guard::guard(libc::EINVAL, || {
        let at = index(w)?;
        if slot(at).is_null()
            && let Some(field) = make(w, (0, 0, 0), 0, (0, 0), std::ptr::null_mut())
        {
            put(at, field, false);
        }
        Some(0)
    })
}

/// Does nothing, successfully: the default field needs no memory, and other threads may be using one that was put in place.
#[unsafe(no_mangle)]
pub extern "C" fn galois_uninit_field(_w: c_int) -> c_int {
    0
}

/// Puts a field in place for w. Does nothing where upstream aborts: for a w beyond 1 to 32, or half a field.
///
/// # Safety
/// `gf` is NULL or a field that stays.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn galois_change_technique(gf: *mut Field, w: c_int) {
    crate::guard::guard((), || {
        let at = index(w)?;
        // SAFETY: the caller's word.
        let field = unsafe { gf.as_ref()? };
        let whole = field.multiply.is_some()
            && field.divide.is_some()
            && field.inverse.is_some()
            && field.multiply_region.is_some()
            && field.extract_word.is_some();
        whole.then_some(())?;
        put(at, gf, false);
        if is_default(&OtherField(gf), w)? {
            OTHER.fetch_and(!(1 << at), Ordering::Relaxed);
        } else {
            OTHER.fetch_or(1 << at, Ordering::Relaxed);
        }
        Some(())
    });
}

/// Whether the field multiplies as the default one: its polynomial is the product of 2 and the highest power of 2.
fn is_default(field: &OtherField, w: c_int) -> Option<bool> {
    let word = crate::args::word(w)?;
    let highest = 1 << (word.bits() - 1);
    // A composite field is no field of one polynomial; two more products tell.
    let pairs = [(2, highest), (3, word.max_element()), (highest, highest)];
    let same = pairs.into_iter().all(|(a, b)| {
        let (a, b) = (a & word.max_element(), b & word.max_element());
        field.multiply(a, b) == jerasure::galois::multiply(word, a, b).ok()
    });
    Some(same)
}
