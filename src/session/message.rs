//! What the nodes of a session say to each other on the control channel.
//!
//! ```text
//! j -- Find -----------> anyone   -- Found | NotFound ------------> j    who is the task manager?
//! j -- Join -----------> manager  -- Welcome | Refused -----------> j
//!                        manager  -- Joined | Left ---------------> members
//!                        manager  -- Install ---------------------> nodes of the plan
//! n -- Installed ------> manager  -- Activate --------------------> nodes of the plan
//! m -- Leave ----------> manager  -- Farewell --------------------> m    once the tree does without it
//!                        manager  -- End -------------------------> members
//! ```

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::keys::{Delegation, PROOF_LEN, Signed};
use super::roster::Participant;
use crate::identity::{NodeId, SessionId};

/// See the [module](self).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum SessionMessage {
    /// Who is the task manager?
    Find {
        /// Of this session.
        session: SessionId,
    },
    /// It is, by this delegation.
    Found {
        /// Who, and by whose word.
        delegation: Delegation,
        /// Where it listens.
        addrs: Vec<SocketAddr>,
    },
    /// The sender does not know that session.
    NotFound {
        /// Which.
        session: SessionId,
    },
    /// Asks to be let in.
    Join {
        /// Where.
        session: SessionId,
        /// That the secret is known; see [`super::keys::admission_proof`].
        proof: [u8; PROOF_LEN],
        /// What to be called.
        name: String,
        /// Of the joiner's media key.
        salt: [u8; 16],
        /// Tree links that it can carry.
        degree: u32,
    },
    /// Not let in.
    Refused {
        /// Where.
        session: SessionId,
        /// Why.
        reason: Refusal,
    },
    /// Let in. Nothing of the roster is told before.
    Welcome {
        /// Where.
        session: SessionId,
        /// The session's name.
        title: String,
        /// The joiner's number.
        index: u16,
        /// Everybody, the joiner included.
        roster: Vec<Participant>,
    },
    /// Somebody is in.
    Joined {
        /// Where.
        session: SessionId,
        /// Who.
        member: Participant,
    },
    /// Somebody is out.
    Left {
        /// Where.
        session: SessionId,
        /// Who.
        node: NodeId,
        /// How.
        departure: Departure,
    },
    /// Asks to be let go.
    Leave {
        /// Where.
        session: SessionId,
    },
    /// The tree does without the leaver.
    Farewell {
        /// Where.
        session: SessionId,
    },
    /// The recipient's part of an epoch: a signed [`super::Installation`].
    Install(Signed),
    /// The recipient can carry it, or not.
    Installed {
        /// Where.
        session: SessionId,
        /// Which.
        epoch: u64,
        /// Neighbours in the plan that could not be reached in time.
        missing: Vec<NodeId>,
        /// Why it carries nothing of it.
        refused: Option<String>,
    },
    /// Sources send along this epoch's trees from now on.
    Activate {
        /// Where.
        session: SessionId,
        /// Which.
        epoch: u64,
    },
    /// The session is over.
    End {
        /// Which.
        session: SessionId,
    },
}

/// Why a joiner is not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// It does not know the secret.
    WrongSecret,
    /// There is no room.
    Full,
}

/// How a member went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Departure {
    /// It said so.
    Left,
    /// It fell silent.
    Lost,
    /// The host put it out.
    Kicked,
}
