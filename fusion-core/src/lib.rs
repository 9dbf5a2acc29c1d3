#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod change;
pub mod class;
pub mod code;
pub mod config;
pub mod decoder;
pub mod detector;
pub mod entry;
pub mod fault;
pub mod frozen;
pub mod fused;
pub mod fused_store;
pub mod history;
pub mod hosting;
pub mod id;
pub mod limits;
pub mod log;
pub mod membership;
pub mod message;
pub mod op;
pub mod page;
pub mod primary;
pub mod recovery;
pub mod store;
pub mod structure;
pub mod time;
