//! Fused data structures, sans-IO and deterministic.
#![forbid(unsafe_code)]

pub mod config;
pub mod frozen;
pub mod fused;
pub mod id;
pub mod limits;
pub mod log;
pub mod membership;
pub mod message;
pub mod op;
pub mod primary;
pub mod recovery;
