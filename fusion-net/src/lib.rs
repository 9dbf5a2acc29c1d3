//! Fusion over the network.
