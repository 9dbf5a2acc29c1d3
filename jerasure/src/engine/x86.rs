//! The engines for x86-64: AVX2, GFNI with AVX2, GFNI with AVX-512.

mod affine;
mod lanes;
mod nibbles;

pub(super) use affine::{Gfni256, Gfni512};
pub(super) use nibbles::Avx2;
