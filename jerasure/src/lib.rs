#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod bit_matrix;
mod cauchy;
mod codec;
mod dot;
mod engine;
mod error;
#[cfg(feature = "reference")]
#[allow(unsafe_code, reason = "the one boundary to C")]
mod ffi;
pub mod galois;
#[cfg(test)]
mod golden;
mod matrix;
mod memory;
mod minimal_density;
mod multiplier;
mod paper;
mod params;
mod reconstruction;
mod schedule;
mod shards;
mod technique;
mod vandermonde;

#[doc = include_str!("../docs/from_c.md")]
pub mod from_c {}

pub use bit_matrix::BitMatrix;
pub use codec::Codec;
pub use dot::{parity, xor};
pub use engine::Engine;
pub use error::Error;
pub use matrix::Matrix;
pub use multiplier::Multiplier;
pub use paper::{calculate_rs_code, calculate_rs_matrix, recover_data};
pub use params::{CodeParams, WordSize};
pub use reconstruction::Reconstruction;
pub use schedule::{Operation, Schedule};
pub use technique::Technique;
