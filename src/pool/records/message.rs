//! What nodes say to each other about records. All of it may be lost, repeated or late.
//!
//! ```text
//! x -- Get ----> host -- Got -----> x    what is kept for a key; who else may have it
//! x -- Put ----> host -- PutDone -> x    keep this
//!       host -- Keep -> other hosts      keep this too
//! host -- Offer -> other host            what it should have, by key and stamp
//! host <-- Want -- other host            what it has not
//! ```

use serde::{Deserialize, Serialize};

use super::record::{Record, Stamp};
use crate::identity::Position;
use crate::pool::peer::Peer;
use crate::pool::ring::Malice;

/// See the [module](self).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RecordMessage {
    /// Asks for what is kept for a key.
    Get {
        /// The asker's number for it.
        request: u32,
        /// Which.
        key: Position,
        /// A copy will do; else only the node that answers for the key is to say.
        copy: bool,
    },
    /// The answer.
    Got {
        /// Of the question.
        request: u32,
        /// What is kept.
        answer: Answer,
    },
    /// Asks the node that answers for the key to keep a record.
    Put {
        /// The asker's number for it.
        request: u32,
        /// What.
        record: Record,
    },
    /// The answer.
    PutDone {
        /// Of the request.
        request: u32,
        /// What became of it.
        outcome: PutOutcome,
    },
    /// A copy for a node that is to have one.
    Keep(Record),
    /// What the sender has that the receiver should have; at most [`ENTRIES_MAX`].
    Offer(Vec<(Position, Stamp)>),
    /// Which of it the sender would like to have; at most [`ENTRIES_MAX`].
    Want(Vec<Position>),
}

/// See [`RecordMessage::Got`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The record, deleted or not.
    Record(Record),
    /// There is none here, but these nodes may have one; at most [`HEIRS_MAX`].
    None(Vec<Peer>),
    /// The sender does not answer for the key.
    Elsewhere,
}

/// See [`RecordMessage::PutDone`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PutOutcome {
    /// It is kept, or was already.
    Kept,
    /// It is not wanted.
    Refused,
    /// The sender does not answer for the key.
    Elsewhere,
}

/// Records named in one message: with stamps they fit a datagram.
pub const ENTRIES_MAX: usize = 28;
/// Other nodes that may have a record.
pub const HEIRS_MAX: usize = 8;
/// The largest message, bytes: it fits a datagram.
pub const RECORD_MESSAGE_MAX: usize = 1_150;

impl RecordMessage {
    /// True when no part of it is larger than it may be.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        match self {
            Self::Got { answer: Answer::Record(record), .. }
            | Self::Put { record, .. }
            | Self::Keep(record) => record.is_bounded(),
            Self::Got { answer: Answer::None(heirs), .. } => heirs.len() <= HEIRS_MAX,
            Self::Offer(entries) => entries.len() <= ENTRIES_MAX,
            Self::Want(keys) => keys.len() <= ENTRIES_MAX,
            Self::Get { .. } | Self::PutDone { .. } | Self::Got { .. } => true,
        }
    }
}

/// What a node that lies answers: nothing, that there is nothing, or that it keeps what it throws away.
pub(in crate::pool) fn lie(malice: Malice, message: &RecordMessage) -> Option<RecordMessage> {
    match message {
        _ if malice == Malice::Drop => None,
        RecordMessage::Get { request, .. } => {
            Some(RecordMessage::Got { request: *request, answer: Answer::None(Vec::new()) })
        }
        RecordMessage::Put { request, .. } => {
            Some(RecordMessage::PutDone { request: *request, outcome: PutOutcome::Kept })
        }
        _ => None,
    }
}

#[cfg(test)]
pub(in crate::pool) mod tests {
    use super::*;
    use crate::identity::{Identity, NodeId};
    use crate::pool::peer::Place;
    use crate::pool::records::record::{Claim, NAME_MAX, PAYLOAD_MAX};

    /// One of each kind, as large as it may be.
    pub(in crate::pool) fn samples() -> Vec<RecordMessage> {
        let owner = Identity::from_seed([4; 32]);
        let (request, key) = (u32::MAX, Position(u128::MAX));
        let (name, payload) = (vec![255; NAME_MAX], Some(vec![255; PAYLOAD_MAX]));
        let (version, expires_s) = (u64::MAX, u64::MAX);
        let claim = Claim { owner: owner.node_id(), name, version, expires_s, payload };
        let gone = Record::sign(Claim { payload: None, ..claim.clone() }, &owner);
        let record = Record::sign(claim, &owner);
        let peer = Peer::new(NodeId([7; 32]), "[2001:db8::1]:65535".parse().unwrap());
        let peer = Peer { place: Place([i16::MIN; 4]), ..peer };
        vec![
            RecordMessage::Get { request, key, copy: true },
            RecordMessage::Got { request, answer: Answer::Record(record.clone()) },
            RecordMessage::Got { request, answer: Answer::Record(gone) },
            RecordMessage::Got { request, answer: Answer::None(vec![peer; HEIRS_MAX]) },
            RecordMessage::Got { request, answer: Answer::Elsewhere },
            RecordMessage::Put { request, record: record.clone() },
            RecordMessage::PutDone { request, outcome: PutOutcome::Refused },
            RecordMessage::Keep(record),
            RecordMessage::Offer(vec![(key, Stamp { version, expires_s }); ENTRIES_MAX]),
            RecordMessage::Want(vec![key; ENTRIES_MAX]),
        ]
    }
}
