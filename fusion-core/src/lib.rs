//! Fused data structures, sans-IO and deterministic.
#![forbid(unsafe_code)]

pub mod id;
pub mod limits;
pub mod op;
