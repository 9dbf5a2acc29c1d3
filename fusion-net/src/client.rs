//! The client: finds the right server, follows moves, retries safely.
//!
//! ```no_run
//! # async fn example() -> Result<(), fusion_net::client::Error> {
//! use fusion_net::client::{Client, ClusterSpec, Kind};
//!
//! let client = Client::connect("127.0.0.1:7400").await?;
//! client.create(&ClusterSpec::new("scores", Kind::Map, 3, 2)).await?; // 3 primaries, any 2 of the 5 may die
//! let scores = client.map::<String, u64>("scores").await?;
//! scores.put(&"ada".to_owned(), &36).await?;
//! assert_eq!(scores.get(&"ada".to_owned()).await?, 36);
//! # Ok(())
//! # }
//! ```
//!
//! # Cancel safety
//!
//! The future of any call may be dropped at any moment (`tokio::select!`, `tokio::time::timeout`). What becomes of the call:
//!
//! | call | when it is dropped |
//! |---|---|
//! | reads: `get`, `get_all`, `contains`, `len`, `is_empty`, `peek`, `to_vec`, `entries`, streams, `status`, `cluster`, `map`, `list`, `queue` | nothing is lost; ask again |
//! | changes: `put`, `append`, `insert`, `set`, `enqueue`, `compare_and_swap`, their `_all` forms | it is made or not, as after [`Error::OutcomeUnknown`]; never twice. Of several, those behind the ones that were sent are not made |
//! | takes: [`Queue::dequeue`], [`List::remove`], [`MapPart::remove`] and [`Map::remove`], `remove_all` | it is made or not, but no element is lost: the next such take by the same handle, or a clone of it, has it |
//! | of operators: `create`, `remove`, `move_member`, `drain` | it is made or not; `status` tells |
//!
//! The next take asks first what became of the one that was dropped, by its name in the session, and is answered with what
//! that one took: a queue's elements come in their order. A list's element is had by the next `remove` of the same index
//! while this handle has not changed the list meanwhile; a key's value by the next `remove` of that key, if nobody has put
//! another one. The same holds after [`Error::OutcomeUnknown`] of a take. What no later take has found,
//! [`Raw::take_abandoned`] gives. It is lost only with the last clone of the handle, with the runtime that its tasks run in,
//! or when the primary had to forget the client's session.

mod admin;
mod batch;
mod call;
mod driver;
mod error;
mod lane;
mod list;
mod map;
mod queue;
mod route;
mod session;
mod structure;
mod taken;
mod waiting;
mod way;

pub use crate::addresses::{Addresses, AddressesError};
pub use crate::coordinators::{Attempt, Tried};
pub use admin::{Client, ClientOptions, ClusterSpec};
pub use batch::BatchError;
pub use error::Error;
pub use fusion_core::config::Reads;
pub use fusion_core::op::Kind;
pub use list::List;
pub use map::{Map, MapPart};
pub use queue::Queue;
pub use structure::{Answer, Raw};
