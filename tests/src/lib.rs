//! Harness of the workspace tests.
#![forbid(unsafe_code)]

pub mod cluster;
pub mod golden;
pub mod model;
pub mod writers;
