//! One conference: who is in it, who plans it, what tree carries it. State machines without sockets or clocks.
//!
//! A session is a key pair made by its host. The [`Invite`] that people pass around commits to the public half and holds
//! the secret that admits; a [`Delegation`] signed by the session's key says which node is its task manager now. The
//! [`Manager`] admits, plans and installs epochs; a [`Member`] follows; a [`Carrier`], at every node that forwards for a
//! session (helpers included), holds the trees.

mod carrier;
mod clock;
mod delays;
mod invite;
mod keys;
mod manager;
mod member;
mod message;
mod plan;
mod plan_wire;
mod planning;
mod roster;
mod routes;

pub use self::carrier::{Carrier, InstallError, Installed, Readiness};
pub use self::clock::SessionClock;
pub use self::invite::{ENTRY_POINTS_MAX, Invite, InviteError};
pub use self::keys::{Delegation, Signed, media_secret};
pub use self::manager::{Manager, ManagerConfig};
pub use self::member::{Member, MemberConfig};
pub use self::message::{Departure, Refusal, SessionMessage};
pub use self::plan::{Installation, PlanTree, SessionPlan, TreePart};
pub use self::planning::{Planned, PlanningJob};
pub use self::roster::{MEMBERS_MAX, Participant, Roster, clean_name};
pub use self::routes::Routes;

use std::net::SocketAddr;

use crate::identity::NodeId;
use crate::pool::{Contact, Reservation};

/// What a manager or a member asks of the node that it lives in. Drain it after every call.
#[derive(Debug)]
pub enum Output {
    /// Send a message; to oneself too.
    Message(NodeId, SessionMessage),
    /// Ask the pool for a snapshot.
    Query,
    /// Run a planning job, beside the media.
    Plan(Box<PlanningJob>),
    /// Ask a helper for degrees.
    Reserve(NodeId, Reservation),
    /// Give a helper's degrees back.
    Release(NodeId),
    /// A link to this node is wanted.
    Want(Contact),
    /// An address to start from.
    Bootstrap(SocketAddr),
}

/// What a session tells the people in it. Drain it after every call.
#[derive(Debug)]
pub enum Event {
    /// This node is in.
    Entered {
        /// The session's name.
        title: String,
        /// Its task manager.
        manager: NodeId,
        /// This node's entry in the roster.
        own: Participant,
    },
    /// Somebody is in.
    MemberJoined(Participant),
    /// Somebody is out.
    MemberLeft(NodeId, Departure),
    /// An epoch carries the media from now on.
    Tree(SessionPlan),
    /// Something went wrong that people should know; the session goes on.
    Trouble(String),
    /// The session is over for this node.
    Ended(Ending),
}

/// How it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// As wished, here or by the host.
    Regular(&'static str),
    /// Not as wished: what went wrong and what to do about it.
    Failed {
        /// What is wrong.
        what: String,
        /// What to do.
        advice: &'static str,
    },
}
