//! The data half: structures, their codes and their recovery.

mod cluster;
mod follow;
mod limits;
mod malformed;
mod model;
mod numbers;
mod paper;
mod sessions;
