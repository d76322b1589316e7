//! The resource pool: who is there, how far away, how much they can carry. No sockets, no clock, no tokio.
//!
//! This first pool is a full view: each node is connected to every other, which serves a few dozen of them. What the
//! layers above see of it (contacts in, `Joined`, `Lost` and snapshots out, reservations both ways) is what a ring with
//! an aggregation tree will fill at any size.

mod asks; // questions to SOMO
pub mod bandwidth; // packet pairs -> bottleneck
mod budget; // what each stranger may ask
mod contacts;
mod coord; // round trips -> place
mod degree;
mod leafset; // r neighbours a side
mod message;
mod moment; // a node's own time
mod node;
mod peer; // another node, in the fewest bytes
mod position; // the ring's arithmetic, zones and digits
pub mod records; // objects that survive who keeps them
pub mod ring; // one node of a ring of any size
mod round_trip;
mod routing; // the prefix table
pub mod somo; // reports up a logical tree, news down
pub mod swarm; // ring and SOMO as one node
#[cfg(test)]
mod tests;

pub use self::degree::{DegreeTable, Holding, Priority, Refused};
pub use self::message::{Contact, Hello, NodeReport, PoolMessage, Reservation};
pub use self::moment::Moment;
pub use self::node::{Event, Output, PoolConfig, PoolNode};
pub use self::peer::{Endpoint, Local, Peer, Place};
pub use self::position::{Mark, Zone};
