//! The program `jerasure`, beside upstream's example programs `encoder` and `decoder`, which are built from the pinned
//! package.

mod compatibility;
mod damage;
mod limits;
mod mistakes;
mod sandbox;
mod upstream;
