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

mod admin;
mod batch;
mod call;
mod error;
mod lane;
mod list;
mod map;
mod queue;
mod route;
mod session;
mod structure;
mod waiting;

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
