//! What newcomers, operators and public bug reports of peers broke: one test for each, named after the failure.

#[path = "reported/cancelled.rs"]
mod cancelled;
#[path = "reported/connects.rs"]
mod connects;
#[path = "reported/memory.rs"]
mod memory;
#[path = "reported/runtimes.rs"]
mod runtimes;
#[path = "reported/snapshots.rs"]
mod snapshots;

use fusion_net::client::{Client, ClientOptions, ClusterSpec, Error, Kind, List, Map, Queue};
use fusion_tests::cluster::{PATIENCE, start};
use futures::future::join_all;
use std::time::{Duration, Instant};
use tokio::time::timeout;
