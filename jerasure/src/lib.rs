#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod codec;
mod combine;
mod engine;
mod error;
#[allow(
    unsafe_code,
    reason = "the one boundary to C; every other file is safe"
)]
mod ffi;
pub mod galois;
mod inverse;
mod matrix;
mod multiplier;
mod paper;
mod params;
mod reconstruction;
mod technique;
mod vandermonde;

pub use codec::Codec;
pub use engine::Engine;
pub use error::Error;
pub use matrix::CodingMatrix;
pub use multiplier::Multiplier;
pub use paper::{calculate_rs_code, calculate_rs_matrix, recover_data};
pub use params::{CodeParams, WordSize};
pub use reconstruction::Reconstruction;
pub use technique::Technique;
