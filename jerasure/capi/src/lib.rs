//! `libJerasure.so.2` in Rust: the 61 functions and 2 objects of the C library, on the engines of the crate `jerasure`.
//!
//! Programs that were built for the C library load this one without being compiled again. What upstream returns, this
//! returns, byte for byte; where upstream aborts, prints an error, divides by zero or reads out of bounds, this returns
//! upstream's error value (NULL, -1 or 0) or does nothing. Nothing unwinds into C: see [`guard`].
//!
//! Each function trusts its caller for what C cannot tell: pointers point to as many elements as the header says, and id
//! lists end with -1. Regions may be anywhere in memory, and may be one another.

#![allow(
    non_snake_case,
    reason = "the library is named as the one that it stands in for"
)]

mod args;
mod cauchy;
mod codes;
mod decoding;
mod encoding;
mod fields;
mod galois;
mod guard;
mod liberation;
mod matrices;
mod memory;
mod print;
mod reed_sol;
mod regions;
mod schedules;
mod stats;
