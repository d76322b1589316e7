//! One conference: who is in it, who plans it, what tree carries it. State machines without sockets or clocks.
//!
//! A session is a key pair made by its host. The [`Invite`] that people pass around commits to the public half and holds
//! the secret that admits; a [`Delegation`] signed by the session's key says which node is its task manager now. The
//! [`Manager`] admits, plans and installs epochs; a [`Member`] follows; a [`Carrier`], at every node that forwards for a
//! session (helpers included), holds the trees.

mod backups;
mod carrier;
mod chat;
mod clock;
mod condition;
mod delays;
mod detour;
mod feeds;
mod graft;
mod invite;
mod keyring;
mod keys;
mod manager;
mod member;
mod membership;
mod message;
mod overlap;
mod own_trees;
mod plan;
mod plan_change;
mod plan_wire;
mod planning;
mod pulse;
mod reach;
mod record;
mod rehearsal;
mod repair;
mod roster;
mod routes;
mod rules;
mod speakers;
mod succession;
mod watch;

pub use self::carrier::{Carrier, InstallError, Installed, Readiness};
pub use self::chat::{CHAT_TEXT_MAX, Chat, Line};
pub(crate) use self::chat::{open as open_chat, seal as seal_chat};
pub use self::clock::SessionClock;
pub use self::detour::{Detours, Measured, Span};
pub use self::feeds::Dependence;
pub use self::graft::Graft;
pub use self::invite::{ENTRY_POINTS_MAX, Invite, InviteError};
pub use self::keyring::{EpochKey, Keyring, Keys};
pub use self::keys::{Delegation, Signed};
pub use self::manager::{Estate, Manager, ManagerConfig};
pub use self::member::{Member, MemberConfig};
pub use self::message::{Departure, Refusal, SessionMessage};
pub use self::plan::{Installation, PlanTree, SessionPlan, Share, TreePart};
pub use self::plan_change::{PlanChange, PlanNews};
pub use self::planning::{Planned, PlanningJob};
pub use self::pulse::PULSE;
pub use self::record::{SessionRecord, record_key};
pub use self::rehearsal::{Rehearsal, rehearse};
pub use self::repair::Repairs;
pub use self::roster::{MEMBERS_MAX, MESH_MEMBERS_MAX, Participant, Roster, clean_name};
pub use self::routes::Routes;
pub use self::rules::{Moderation, Rules};
pub use self::succession::{Appointment, Charter, Claim};

use std::net::SocketAddr;
use std::time::Duration;

use crate::identity::NodeId;
use crate::net::Watched;
use crate::pool::{Contact, HelpersFrom, Priority, Reservation};

/// What a manager or a member asks of the node that it lives in. Drain it after every call.
#[derive(Debug)]
pub enum Output {
    /// Send a message; to oneself too.
    Message(NodeId, SessionMessage),
    /// Ask the pool for a snapshot of the members and of helpers at hand; with a priority, also of others near by.
    Query(Vec<NodeId>, Option<Priority>, HelpersFrom),
    /// Have a node measure round trips.
    Probe(NodeId, Vec<Contact>),
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
    /// Somebody says that this node is dead: find out soon.
    Doubt(NodeId),
    /// A few round trips to a node are wanted at once.
    Measure(NodeId),
    /// Have the link watch these, and no others.
    Watch(Vec<Watched>),
    /// The manager has been silent for that long, and this node is its heir: take over if others are heard.
    TakeOver(Duration),
    /// Ask everybody for the manager.
    AskAround,
    /// This manager, silent for so long, has been replaced.
    Replaced(NodeId, Duration),
    /// Another one manages the session by a later word: follow it.
    StepDown(Box<Claim>),
    /// The members' group has come to another epoch; the words to compare it by.
    Epoch(EpochKey, String),
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
    /// Somebody, perhaps here, has written something.
    Said(Line),
    /// Media go by these keys from now on.
    Keys(Keys),
    /// The secret that admits is another one now.
    Secret([u8; 16]),
    /// Somebody is in.
    MemberJoined(Participant),
    /// Somebody is out.
    MemberLeft(NodeId, Departure),
    /// An epoch carries the media from now on.
    Tree(SessionPlan),
    /// Somebody that the session relied on died, and others have taken over.
    Repair {
        /// What it was.
        what: Lost,
        /// Who.
        lost: NodeId,
        /// From its last word to the first doubt.
        detected: Duration,
        /// From its last word to what took its place.
        repaired: Duration,
    },
    /// The way from a parent is bad, and another node feeds this one instead; or the parent does so again.
    Detour {
        /// From whom the way is bad.
        parent: NodeId,
        /// Who feeds instead.
        over: Option<NodeId>,
        /// What is wrong, or was, with the way.
        cause: BadWay,
    },
    /// A relay was suspected that lives.
    FalseAlarm {
        /// Who.
        relay: NodeId,
        /// It had been silent for so long that it was given up; whether it could be reached then, who was silent cannot tell.
        given_up: bool,
    },
    /// Something went wrong that people should know; the session goes on.
    Trouble(String),
    /// The session is over for this node.
    Ended(Ending),
}

/// What somebody who died was to the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lost {
    /// A member that relayed.
    Relay,
    /// The task manager.
    Host,
    /// A node lent by others.
    Helper,
}

/// What is wrong with a way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BadWay {
    /// It loses packets.
    Loss,
    /// It has become slow.
    Delay,
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
