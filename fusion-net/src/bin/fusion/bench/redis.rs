//! A real Redis to compare with: its processes, and a small client that does no more than the measurement needs.

pub(crate) mod connection;
pub(crate) mod gathered;
pub(crate) mod load;
pub(crate) mod processes;
pub(crate) mod resp;
pub(crate) mod shared;

pub(crate) use connection::Connection;
pub(crate) use gathered::Gathered;
pub(crate) use processes::{Group, Redis};
pub(crate) use shared::Shared;
