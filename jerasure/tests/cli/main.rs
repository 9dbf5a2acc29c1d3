//! The program `jerasure`, beside upstream's example programs `encoder` and `decoder`, which are built from the pinned
//! package.

mod compatibility;
mod damage;
mod documentation;
mod durability;
mod hook;
mod limits;
mod mistakes;
mod numbers;
mod sandbox;
mod upstream;
