//! Matrices as text on the C library's standard output, where the program's own lines go.

use crate::args::{count, ints, word};
use crate::guard::guard;
use std::ffi::{CString, c_int};
use std::fmt::Write;

fn say(text: String) -> Option<()> {
    let text = CString::new(text).ok()?;
    // SAFETY: one string by a format of one string.
    unsafe { libc::printf(c"%s".as_ptr(), text.as_ptr()) };
    Some(())
}

/// Prints a matrix of numbers, as wide as the largest element.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_print_matrix(m: *mut c_int, rows: c_int, cols: c_int, w: c_int) {
    guard((), || {
        let (rows, cols, w) = (count(rows)?, count(cols)?, word(w)?);
        let width = w.max_element().to_string().len();
        // SAFETY: the caller's matrix.
        let numbers = unsafe { ints(m, rows.checked_mul(cols)?)? };
        let mut text = String::new();
        for row in numbers.chunks_exact(cols) {
            for (col, element) in row.iter().enumerate() {
                let gap = if col == 0 { "" } else { " " };
                write!(text, "{gap}{:>width$}", element.cast_unsigned()).ok()?;
            }
            text.push('\n');
        }
        say(text)
    });
}

/// Prints a matrix of bits, in blocks of w.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jerasure_print_bitmatrix(
    m: *mut c_int,
    rows: c_int,
    cols: c_int,
    w: c_int,
) {
    guard((), || {
        let (rows, cols, w) = (count(rows)?, count(cols)?, count(w)?);
        // SAFETY: the caller's matrix.
        let numbers = unsafe { ints(m, rows.checked_mul(cols)?)? };
        let mut text = String::new();
        for (number, row) in numbers.chunks_exact(cols).enumerate() {
            if number != 0 && number % w == 0 {
                text.push('\n');
            }
            for (col, bit) in row.iter().enumerate() {
                if col != 0 && col % w == 0 {
                    text.push(' ');
                }
                write!(text, "{bit}").ok()?;
            }
            text.push('\n');
        }
        say(text)
    });
}
