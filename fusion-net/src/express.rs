//! The two hot paths, client to primary and primary to fused, over a plain framed stream instead of tarpc.
//!
//! tarpc costs a task, a timer and several queues for each call; here a call is an entry in a table and some bytes in a
//! buffer, and whatever is ready goes out in one write. A server says by a call of its tarpc service whether it
//! [offers](crate::service::Primary::streams) streams; where it does not, the same requests go through tarpc. The state
//! machines behind both are the same.
//!
//! A frame is a length (4 bytes, big-endian), the number of the call (postcard), and the request or its answer
//! (postcard); changes follow it as they are. A number is answered once, in any order. There are no deadlines: whoever
//! gives up a call lets go of the connection.

mod client;
mod message;
mod outgoing;
mod server;

pub use client::{Broken, Calls, Changes, Operations};
pub use message::{decode_changes, decode_operations};
pub(crate) use server::{serve_changes, serve_operations};

/// The version of these frames; what a server offers.
pub const VERSION: u16 = 1;

/// The number, of no call, of a frame by which the side that answers says that more of a long message has come in
/// (PROTOCOL rule 57).
const MOVES: u64 = 0;

#[cfg(test)]
mod tests;
