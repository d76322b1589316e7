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
//! n -- Feed -----------> its backup parent -- Fed ------------------> n    while its parent is silent
//!                        manager  -- Appoint, Reign --------------> heirs
//!                        heir     -- Claim -----------------------> members     the manager is dead
//! n -- Silent ---------> manager                                          its parent is dead
//!                        manager  -- Admit -----------------------> joiner      into the group that media keys come from
//!                        manager  -- Commit ----------------------> members     another epoch of it
//! ```

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::keys::{Delegation, PROOF_LEN, Signed};
use super::roster::Participant;
use super::succession::{Appointment, Claim};
use crate::identity::{NodeId, SessionId};
use crate::pool::Contact;

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
        /// It keeps what is said.
        records: bool,
        /// What to let it into the group by ([`alm_media::Applicant`]), and which of its attempts that is.
        key_package: Vec<u8>,
        /// Counts them.
        attempt: u32,
        /// To which epoch of the group it has come already ([`alm_media::Group::mark`]).
        mark: Option<[u8; 16]>,
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
        /// The session's clock minus the manager's own, microseconds.
        clock_us: i64,
    },
    /// Let into the group (RFC 9420's Welcome, for whoever made that key package alone).
    Admit {
        /// Where.
        session: SessionId,
        /// By which attempt's key package.
        attempt: u32,
        /// What only its maker can read.
        welcome: Vec<u8>,
    },
    /// What has been written ([`super::Chat`]), from member to member, sealed by the group's keys.
    Chat {
        /// Where.
        session: SessionId,
        /// Nonce, and sealed lines.
        sealed: Vec<u8>,
    },
    /// Another epoch of the group, for those who are in.
    Commit {
        /// Where.
        session: SessionId,
        /// RFC 9420's Commit.
        commit: Vec<u8>,
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
    /// An epoch is to be taken up.
    Install {
        /// A [`super::Installation`].
        signed: Signed,
        /// Where those listen whom the recipient may not know yet; a hint, for keys are proven.
        contacts: Vec<Contact>,
    },
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
    /// Asks a backup parent for what a silent parent does not send, or a detour for what comes by a bad way, or not to send it
    /// any more.
    Feed {
        /// Where.
        session: SessionId,
        /// Along which trees.
        trees: Vec<u32>,
        /// The parent that is silent; `None` where it is the way from it that is bad.
        missed: Option<NodeId>,
        /// From now on, or no more.
        on: bool,
    },
    /// The sender feeds the recipient along these trees now.
    Fed {
        /// Where.
        session: SessionId,
        /// Along which.
        trees: Vec<u32>,
    },
    /// The sender is fed by others for now: the parent is to send it signs of life alone, or again all.
    Rest {
        /// Where.
        session: SessionId,
        /// Along which trees.
        trees: Vec<u32>,
        /// From now on, or no more.
        on: bool,
    },
    /// The way from one of its parents to the sender is bad.
    Poor {
        /// Where.
        session: SessionId,
        /// From whom.
        node: NodeId,
        /// And nobody else feeds the sender.
        urgent: bool,
    },
    /// The recipient is an heir of the manager's.
    Appoint(Box<Appointment>),
    /// The manager lives: to the first heirs, often.
    Reign {
        /// Where.
        session: SessionId,
    },
    /// The manager leaves: the first heir is to take over.
    Abdicate {
        /// Where.
        session: SessionId,
    },
    /// The sender is the manager from now on.
    Claim(Box<Claim>),
    /// What the host has laid down: signed [`super::Rules`].
    Rules(Signed),
    /// The secret that admits is another one now.
    Secret {
        /// Where.
        session: SessionId,
        /// Which.
        secret: [u8; 16],
    },
    /// A relay of the sender's is dead, or the way from it.
    Silent {
        /// Where.
        session: SessionId,
        /// Who.
        node: NodeId,
    },
}

/// Why a joiner is not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// It does not know the secret.
    WrongSecret,
    /// There is no room.
    Full,
    /// The host lets nobody in.
    Locked,
    /// The host has banned the joiner.
    Banned,
    /// What it would be let into the group by is no good.
    KeyPackage,
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
