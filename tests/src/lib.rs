//! Harness of the workspace tests.
#![forbid(unsafe_code)]

pub mod cluster;
pub mod golden;
pub mod model;
pub mod recorder;
pub mod sim;
pub mod writers;

/// The repository's README, so that its example is compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub mod readme {}
