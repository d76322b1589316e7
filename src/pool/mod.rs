//! The resource pool: who is there, how far away, how much they can carry. No sockets, no clock, no tokio.
//!
//! This first pool is a full view: each node is connected to every other, which serves a few dozen of them. What the
//! layers above see of it (contacts in, `Joined`, `Lost` and snapshots out, reservations both ways) is what a ring with
//! an aggregation tree will fill at any size.

mod contacts;
mod degree;
mod message;
mod node;
mod round_trip;
#[cfg(test)]
mod tests;

pub use self::degree::{DegreeTable, Holding, Priority, Refused};
pub use self::message::{Contact, Hello, NodeReport, PoolMessage, Reservation};
pub use self::node::{Event, Output, PoolConfig, PoolNode};
