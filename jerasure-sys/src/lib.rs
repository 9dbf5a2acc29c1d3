#![doc = include_str!("../README.md")]
#![no_std]

/// The generated declarations, re-exported at the root.
mod bindings {
    #![allow(
        missing_docs,
        reason = "generated without upstream's comments; the C headers document each function"
    )]
    include!(env!("JERASURE_BINDINGS"));
}

pub use bindings::*;
