//! What nodes of the tree say to each other.
//!
//! ```text
//! child -- Up ------> parent -- Down ------> child    a report in the child's own rhythm, and its answer
//! parent -- Down ---> child -- Up ---------> parent   a call, and the report that answers it
//! parent -- Unknown-> child                           you have told a change of something that I do not have: all of it
//! child -- Up ------> other -- Astray -----> child    the point is not in my zone (any more): look again
//! child -- Quit ----> parent                          another node is my parent now
//! parent -- News ---> child                           for all below that it is meant for
//! owner of the root's point -- Regent -> delegate, child, asker    this node acts as the root
//! owner -- Vouch ---> neighbour of a candidate -- Vouched -> owner how wide is its line, as far as you have heard
//! x -- Ask ---------> host of a point -- Answer -> x  what is known there; again when it changes, if registered
//! ```

use serde::{Deserialize, Serialize};

use super::change::Content;
use super::delegate::Delegation;
use super::query::{HELPERS_MAX, HelperQuery};
use super::region::Region;
use super::report::{BEACONS_MAX, Beacons, Helper, Report};
use crate::identity::Position;
use crate::pool::peer::Peer;

/// See the [module](self).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SomoMessage {
    /// What the sender knows of itself and all below it.
    Up {
        /// The receiver's point that the sender's representative is a child of.
        point: Position,
        /// The sender's number for it; later ones are greater.
        number: u32,
        /// Of the call that it answers; 0 if it was not called for.
        round: u32,
        /// Of the beacons that the sender knows.
        generation: u32,
        /// How long an answer takes that is called for.
        pace: Pace,
        /// What it knows.
        content: Content,
    },
    /// The sender does not have what the receiver has told a change of.
    Unknown {
        /// Of the call that was answered.
        round: u32,
    },
    /// From the parent.
    Down(Down),
    /// The sender does not answer for the point.
    Astray {
        /// Which.
        point: Position,
    },
    /// The sender is no longer a child of the receiver.
    Quit,
    /// For all nodes of a region.
    News(News),
    /// Another node acts as the root.
    Regent {
        /// Which, and for whom.
        delegation: Box<Delegation>,
        /// What it is to go on with; for itself alone.
        beacons: Beacons,
    },
    /// Asks for what the receiver has measured of a node near it.
    Vouch {
        /// Which.
        of: Position,
    },
    /// The answer.
    Vouched {
        /// Of whom.
        of: Position,
        /// Its line upwards, 0: nothing is known.
        kbit_s: u32,
    },
    /// A question to who hosts a region's point.
    Ask {
        /// The asker's number for it.
        number: u32,
        /// About which nodes.
        region: Region,
        /// What.
        question: Question,
    },
    /// What is known.
    Answer {
        /// Of the question.
        number: u32,
        /// To it.
        answer: Answer,
    },
}

/// See [`SomoMessage::Up`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Pace {
    /// Between the call and this answer to it, milliseconds; 0 if there was none. The rest is the round trip.
    pub held_ms: u16,
    /// How long the sender's own children usually take to answer it, milliseconds.
    pub children_ms: u16,
}

/// See [`SomoMessage::News`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct News {
    /// Who has said it first.
    pub origin: Peer,
    /// That one's number for it.
    pub number: u32,
    /// For whom.
    pub region: Region,
    /// What; at most [`NEWS_MAX`] bytes.
    pub payload: Vec<u8>,
}

/// See [`SomoMessage::Ask`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Question {
    /// Which helpers will do?
    Helpers {
        /// For what.
        query: HelperQuery,
        /// And say so again whenever that changes, for so many seconds.
        keep_s: u16,
    },
    /// What is known of the region.
    Report,
}

/// See [`SomoMessage::Answer`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Helpers, the nearest first.
    Helpers {
        /// Nodes that are known.
        nodes: u32,
        /// How old what is known of them is.
        age_ms: u32,
        /// At most [`HELPERS_MAX`].
        helpers: Vec<Helper>,
        /// The question is registered.
        kept: bool,
    },
    /// All of it.
    Report(Box<Report>),
}

/// What goes down.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Down {
    /// Of the call.
    pub round: u32,
    /// The number of the receiver's last report that is there; 0: none.
    pub has: u32,
    /// Report at once, and wait for those of your children alone who can answer within so many milliseconds.
    pub call: Option<u16>,
    /// New beacons, if the receiver's are old.
    pub beacons: Option<Beacons>,
}

/// Bytes of one piece of news.
pub const NEWS_MAX: usize = 1_024;
/// The largest message, bytes: it goes on a stream, not in a datagram.
pub const SOMO_MESSAGE_MAX: usize = 40 * 1024;

impl SomoMessage {
    /// True when it holds no more than a message may.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        match self {
            Self::Up { content, .. } => content.is_bounded(),
            Self::Down(down) => {
                down.beacons.as_ref().is_none_or(|beacons| beacons.places.len() <= BEACONS_MAX)
            }
            Self::News(news) => news.is_bounded(),
            Self::Regent { delegation, beacons } => {
                delegation.is_bounded() && beacons.places.len() <= BEACONS_MAX
            }
            Self::Ask { question: Question::Helpers { query, .. }, .. } => query.is_bounded(),
            Self::Answer { answer: Answer::Helpers { helpers, .. }, .. } => helpers.len() <= HELPERS_MAX,
            Self::Answer { answer: Answer::Report(report), .. } => report.is_bounded(),
            Self::Astray { .. }
            | Self::Unknown { .. }
            | Self::Quit
            | Self::Ask { .. }
            | Self::Vouch { .. }
            | Self::Vouched { .. } => true,
        }
    }
}

impl News {
    /// True when it is no larger than it may be.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.payload.len() <= NEWS_MAX
    }
}
