//! The data half: structures, their codes and their recovery.

mod cluster;
mod model;
