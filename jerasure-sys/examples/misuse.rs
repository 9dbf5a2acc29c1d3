//! Misuses the C library on purpose, to see that a sanitizer notices. `./check` runs it in an instrumented build, before
//! it trusts that build's silence; elsewhere the behaviour is undefined.
//!
//! ```sh
//! misuse overrun   # C reads past the end of a list that Rust allocated
//! misuse leak      # C allocates a matrix that nobody frees
//! ```

use std::env;
use std::hint::black_box;

use jerasure_sys as c;

fn main() {
    match env::args().nth(1).as_deref() {
        Some("overrun") => overrun(),
        Some("leak") => leak(),
        _ => {
            eprintln!("misuse: name one of: overrun, leak");
            std::process::exit(2);
        }
    }
}

/// A list of erasures without the -1 that ends it.
fn overrun() {
    let mut erasures = black_box(vec![0, 1]);
    // SAFETY: there is none: the function reads on to a third integer, which is the point.
    let erased = unsafe { c::jerasure_erasures_to_erased(4, 4, erasures.as_mut_ptr()) };
    println!("nobody noticed: {:?}", black_box(erased).is_null());
}

fn leak() {
    for k in 1..64 {
        // SAFETY: k data shards, k < 2^8. The result is dropped although it is ours to free.
        let matrix = unsafe { c::reed_sol_r6_coding_matrix(k, 8) };
        assert!(!black_box(matrix).is_null());
    }
}
