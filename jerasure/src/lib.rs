//! Safe, Jerasure-compatible Reed-Solomon erasure coding.
