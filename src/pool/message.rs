//! What pool nodes say to each other on the control channel, beside what keeps the ring.
//!
//! ```text
//! a -- Hello ----------> b    first on every connection, both ways
//! a -- Here -----------> b    a is seen elsewhere by now
//! a -- Swarm ----------> b    the ring's, SOMO's or the data overlay's, where it goes on the stream
//! m -- ReportRequest --> n -- Report ---------------> m    a task manager, and members or helpers
//! m -- Probe ----------> n -- Probed ---------------> m    how far is it from you to these?
//! m -- Reserve --------> h -- Reserved -------------> m
//! m -- Release --------> h -- Preempted ------------> m
//! j -- Ask ------------> n -- Answer ---------------> j    of SOMO's root, for one who is not on the ring
//! j -- Fetch ----------> n -- Fetched --------------> j    a record, for one who is not on the ring
//! j -- Publish --------> n                                 likewise
//! j -- Owner ----------> n -- OwnerIs --------------> j    likewise
//! a -- Introduce ------> m -- Introduce ------------> b    speak to a, who speaks to you
//!                        m -- Introduced -----------> a    and if that leads to nothing, m can carry a little
//! a -- Seen -----------> b                                 this is where you are seen from here by now
//! ```

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::degree::{Holding, Priority};
use super::grant::{AuthorityMark, HelperGrant, SessionGrant};
use super::peer::{Endpoint, Local, Peer, Place};
use super::reach::Reach;
use super::records::Record;
use super::somo::{Helper, Offer, Report};
use crate::identity::{NodeId, Position, SessionId};

/// See the [module](self).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum PoolMessage {
    /// Who speaks, and what it can do.
    Hello(Hello),
    /// Where the sender is seen by now.
    Here(Whereabouts),
    /// An encoded [`super::swarm::SwarmMessage`].
    Swarm(Vec<u8>),
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
    /// Asks for round trips to these nodes.
    Probe {
        /// Repeated in the answer.
        request: u32,
        /// At most [`TARGETS_MAX`].
        targets: Vec<Contact>,
    },
    /// The answer: those that could be measured.
    Probed {
        /// Of the request.
        request: u32,
        /// Milliseconds.
        round_trips_ms: Vec<(NodeId, f32)>,
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
        /// By whose word the sender is of an authority's pool, if it is of any.
        grant: Option<Box<HelperGrant>>,
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
    /// Has the root of SOMO's tree asked.
    Ask {
        /// Repeated in the answer.
        request: u32,
        /// What.
        question: Question,
    },
    /// The answer.
    Answer {
        /// Of the request.
        request: u32,
        /// Who acts as the root.
        root: NodeId,
        /// What it knows.
        answer: Answer,
    },
    /// Asks for the record of a key.
    Fetch {
        /// Repeated in the answer.
        request: u32,
        /// Which.
        key: Position,
    },
    /// The answer; nothing if there is none.
    Fetched {
        /// Of the request.
        request: u32,
        /// What is kept for the key.
        record: Option<Record>,
    },
    /// Has a record kept, for one who is not on the ring.
    Publish(Record),
    /// Somebody wants to talk to `to`, who is to speak to it: both behind translators, each opens its own.
    Introduce {
        /// Who is to speak.
        to: NodeId,
        /// Who wants to talk; nobody: the sender.
        who: Option<Contact>,
        /// Who is connected to that one, can be reached by all, and can carry a little to it.
        carrier: Option<Contact>,
        /// How far this has gone.
        hops: u8,
    },
    /// The sender is connected to that node, and can carry a little to it.
    Introduced(NodeId),
    /// Where the sender sees the receiver by now.
    Seen(SocketAddr),
    /// Who answers for a key, for one who is not on the ring?
    Owner(Position),
    /// The answer.
    OwnerIs(Position, Peer),
}

/// What this program can do beyond version 1 of the protocol: nothing yet.
pub(super) const FEATURES: u64 = 0;
/// Addresses of one node.
pub(super) const ADDRS_MAX: usize = 8;
/// Nodes that one request can have measured.
pub const TARGETS_MAX: usize = 64;
/// Places near which helpers are looked for.
pub(super) const NEAR_MAX: usize = 8;
/// Helpers that an answer names: enough to choose from at random, and it still is one packet or two.
pub(super) const HELPERS_MAX: usize = 32;
/// Round trips in a report.
pub(super) const ROUND_TRIPS_MAX: usize = 256;

/// The first message on a connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Bits of `FEATURES` that the sender knows. What both know may be used.
    pub features: u64,
    /// Differs from one start of the process to the next.
    pub instance: u64,
    /// Where it listens by its own account.
    pub addrs: Vec<SocketAddr>,
    /// Where it is seen.
    pub here: Whereabouts,
    /// Where it sees the receiver.
    pub seen: SocketAddr,
    /// What it has to offer.
    pub offer: Offer,
    /// It looks on: it is not on the ring, and is not to be.
    pub observer: bool,
    /// It knows of nobody else on the ring yet.
    pub alone: bool,
    /// It answers a hello that came over a connection that only the other side took for new.
    pub answer: bool,
}

/// Where a node is: in the network, and in the space of latencies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Whereabouts {
    /// See [`Peer::endpoint`].
    pub endpoint: Endpoint,
    /// See [`Peer::local`].
    pub local: Local,
    /// See [`Peer::place`].
    pub place: Place,
    /// What stands before it.
    pub reach: Reach,
}

/// Another node and where it listens. A hint: the key is proven when it is dialled.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Contact {
    /// Who.
    pub node: NodeId,
    /// Where.
    pub addrs: Vec<SocketAddr>,
}

/// What a node tells a task manager of itself.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NodeReport {
    /// Who; a receiver takes the connection's key instead.
    pub node: NodeId,
    /// Where it listens.
    pub addrs: Vec<SocketAddr>,
    /// Where it is in the space of latencies.
    pub place: Place,
    /// It lends itself to sessions that it is not a member of.
    pub lends: bool,
    /// Of whose pool it says that it is; it proves that when it is reserved.
    pub of: AuthorityMark,
    /// Tree links that it can carry.
    pub degree_bound: u32,
    /// What of it is held (Table C).
    pub held: Vec<Holding>,
    /// Measured round trips to its peers, milliseconds.
    pub round_trips_ms: Vec<(NodeId, f32)>,
    /// What stands before it.
    pub reach: Reach,
    /// Nodes that it has tried to talk to in vain lately.
    pub unreachable: Vec<NodeId>,
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
    /// By whose word at that priority.
    pub grant: Option<Box<SessionGrant>>,
}

/// What can be asked of SOMO's root.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Question {
    /// Helpers with so many free degrees at that priority, the nearest to these places first.
    Helpers {
        /// At most `NEAR_MAX`.
        near: Vec<Place>,
        /// Tree links.
        degrees: u8,
        /// At which priority.
        priority: Priority,
        /// Only of those authorities' pools, at most `AUTHORITIES_MAX`; none: anybody's.
        of: Vec<AuthorityMark>,
    },
    /// The whole report.
    View,
}

/// What it says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// At most `HELPERS_MAX`.
    Helpers {
        /// How many nodes the pool has.
        nodes: u32,
        /// How old the oldest part of the view is.
        age_ms: u32,
        /// The helpers.
        helpers: Vec<Helper>,
    },
    /// What the root knows.
    View(Box<Report>),
    /// The root could not be asked.
    Nothing,
}
