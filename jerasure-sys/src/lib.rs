//! Raw FFI bindings to Jerasure 2 and GF-Complete.
