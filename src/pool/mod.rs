//! The resource pool: who is there, how far away, how much they can carry. No sockets, no clock, no tokio.
//!
//! A [`swarm`] node is the pool as such: a ring of any size, SOMO's tree and the data overlay on it, driven by the
//! simulator as it is. A [`PoolNode`] is one that lives: connections come on demand beneath its ring, and beside it stands
//! what sessions ask for: helpers near their members, measured round trips, degrees with leases.

mod asks; // questions to SOMO
pub mod bandwidth; // packet pairs -> bottleneck
mod budget; // what each stranger may ask
mod contacts;
mod coord; // round trips -> place
mod degree;
mod grant; // who may ask for more than priority 3, and whose a machine is
mod hours; // when an owner lends
mod leafset; // r neighbours a side
mod links; // connections, and what waits for one
mod message;
mod moment; // a node's own time
mod node;
mod outbox; // what is to be taken from a state machine
mod peer; // another node, in the fewest bytes
mod polls; // questions that several are asked
mod position; // the ring's arithmetic, zones and digits
mod reach; // translators, and who can meet whom
pub mod records; // objects that survive who keeps them
pub mod ring; // one node of a ring of any size
pub(crate) mod round_trip;
mod routing; // the prefix table
pub mod somo; // reports up a logical tree, news down
pub mod swarm; // ring and SOMO as one node
#[cfg(test)]
mod tests;

pub use self::degree::{DegreeTable, Holding, Priority, Refused};
pub use self::grant::{AuthorityMark, Grant, HelperGrant, HelpersFrom, NotAGrant, SessionGrant};
pub use self::hours::Hours;
pub use self::message::{
    Answer, Contact, Hello, NodeReport, PoolMessage, Question, Reservation, TARGETS_MAX, Whereabouts,
};
pub use self::moment::Moment;
pub use self::node::{Event, Output, PoolConfig, PoolNode, Standing, WANTED_FOR, capable};
pub use self::peer::{Endpoint, Local, Peer, Place};
pub use self::position::{Mark, Zone};
pub use self::reach::Reach;
