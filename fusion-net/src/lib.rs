#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod addresses;
pub mod client;
mod clock;
pub mod connections;
pub mod coordinator;
mod coordinators;
pub mod express;
pub mod labels;
pub mod local;
pub mod memory;
pub mod peer;
pub mod server;
pub mod service;
mod text;
pub mod transport;
pub mod wire;
