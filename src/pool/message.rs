//! What pool nodes say to each other on the control channel.
//!
//! ```text
//! a -- Hello ----------> b    first on every connection, both ways
//! a -- Contacts -------> b    who else is there
//! a -- ReportRequest --> b -- Report ---------------> a
//! m -- Reserve --------> h -- Reserved -------------> m    a task manager and a helper
//! m -- Release --------> h -- Preempted ------------> m
//! ```

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::degree::{Holding, Priority};
use crate::identity::{NodeId, SessionId};

/// See the [module](self).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum PoolMessage {
    /// Who speaks, and what it can do.
    Hello(Hello),
    /// Nodes that the sender knows.
    Contacts(Vec<Contact>),
    /// Asks for a report.
    ReportRequest {
        /// Repeated in the answer.
        query: u32,
    },
    /// A node about itself.
    Report {
        /// Of the request.
        query: u32,
        /// What it reports.
        report: NodeReport,
    },
    /// Asks for degrees, or renews them.
    Reserve(Reservation),
    /// The answer to `Reserve`.
    Reserved {
        /// Of the request.
        request: u32,
        /// For whom.
        session: SessionId,
        /// Tree links that could have been had, when it was refused.
        refused: Option<u32>,
    },
    /// Gives all degrees of a session back.
    Release {
        /// Whose.
        session: SessionId,
    },
    /// A session of higher priority has taken the degrees, or their lease has run out.
    Preempted {
        /// Whose they were.
        session: SessionId,
    },
}

/// What this program can do beyond version 1 of the protocol: nothing yet.
pub(super) const FEATURES: u64 = 0;

/// The first message on a connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Bits of [`FEATURES`] that the sender knows. What both know may be used.
    pub features: u64,
    /// Differs from one start of the process to the next.
    pub instance: u64,
    /// Where it listens.
    pub addrs: Vec<SocketAddr>,
    /// It knows nobody else yet: please introduce it.
    pub newcomer: bool,
    /// It answers a hello that came over a connection that only the other side took for new.
    pub answer: bool,
}

/// Another node and where it listens. A hint: the key is proven when it is dialled.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Contact {
    /// Who.
    pub node: NodeId,
    /// Where.
    pub addrs: Vec<SocketAddr>,
}

/// What a node publishes of itself.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NodeReport {
    /// Who; a receiver takes the connection's key instead.
    pub node: NodeId,
    /// Where it listens.
    pub addrs: Vec<SocketAddr>,
    /// It lends itself to sessions that it is not a member of.
    pub lends: bool,
    /// Tree links that it can carry.
    pub degree_bound: u32,
    /// What of it is held (Table C).
    pub held: Vec<Holding>,
    /// Measured round trips to its peers, milliseconds.
    pub round_trips_ms: Vec<(NodeId, f32)>,
}

/// A request for degrees.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reservation {
    /// Repeated in the answer.
    pub request: u32,
    /// For whom.
    pub session: SessionId,
    /// At which priority.
    pub priority: Priority,
    /// Tree links.
    pub degrees: u32,
    /// How long, unless renewed, milliseconds.
    pub lease_ms: u32,
}
