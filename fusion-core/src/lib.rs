//! Fused data structures, sans-IO.
