//! Harness of the workspace tests.

pub mod golden;
