//! Fused data structures, sans-IO and deterministic.
#![forbid(unsafe_code)]

pub mod change;
pub mod class;
pub mod code;
pub mod decoder;
pub mod entry;
pub mod fused_store;
pub mod id;
pub mod limits;
pub mod op;
pub mod page;
pub mod store;
pub mod structure;
