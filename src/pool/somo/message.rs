//! What nodes of the tree say to each other.
//!
//! ```text
//! child -- Up ------> parent -- Down ------> child    a report in the child's own rhythm, and its answer
//! parent -- Down ---> child -- Up ---------> parent   a call, and the report that answers it
//! child -- Up ------> other -- Astray -----> child    the point is not in my zone (any more): look again
//! child -- Quit ----> parent                          another node is my parent now
//! ```

use serde::{Deserialize, Serialize};

use super::report::{BEACONS_MAX, Beacons, Report};
use crate::identity::Position;

/// See the [module](self).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SomoMessage {
    /// What the sender knows of itself and all below it.
    Up {
        /// The receiver's point that the sender's representative is a child of.
        point: Position,
        /// Of the call that it answers; 0 if it was not called for.
        round: u32,
        /// Of the beacons that the sender knows.
        generation: u32,
        /// How long its own children usually take to answer a call, milliseconds.
        pace_ms: u16,
        /// What it knows.
        report: Box<Report>,
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
}

/// What goes down.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Down {
    /// Of the call.
    pub round: u32,
    /// Report at once, and answer within so many milliseconds with what you have by then.
    pub call: Option<u16>,
    /// New beacons, if the receiver's are old.
    pub beacons: Option<Beacons>,
}

/// The largest message, bytes: it goes on a stream, not in a datagram.
pub const SOMO_MESSAGE_MAX: usize = 40 * 1024;

impl SomoMessage {
    /// True when it holds no more than a message may.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        match self {
            Self::Up { report, .. } => report.is_bounded(),
            Self::Down(down) => {
                down.beacons.as_ref().is_none_or(|beacons| beacons.places.len() <= BEACONS_MAX)
            }
            Self::Astray { .. } | Self::Quit => true,
        }
    }
}
