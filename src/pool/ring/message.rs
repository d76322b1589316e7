//! What ring nodes say to each other. All of it may be lost, repeated or late.
//!
//! ```text
//! x -- Ping ---------> p                        every heartbeat to the left neighbour: x is there, and whom it sees
//! x -- Ping ---------> y -- Pong --------> x    are you there, how far, whom do you see, whom do you know around me
//! x -- Gone ---------> leaves                   my right neighbour is silent: look for yourselves
//! x -- Leave --------> leaves                   goodbye
//! x -- Route --------> y -- HopAck ------> x    a packet for whoever answers for a key, one hop further
//!                      root -- Found ----> origin
//!                      root -- Welcome --> joiner    the nodes around you
//!                      each hop -- Rows -> joiner    and some for your table
//! x -- RowRequest ---> y -- Rows --------> x    lazy repair and improvement of tables
//! x -- Step ---------> y -- Steps -------> x    an iterative lookup: y does no work for a stranger
//! ```

use serde::{Deserialize, Serialize};

use crate::identity::Position;
use crate::pool::peer::{Peer, Place};
use crate::pool::position::Mark;

/// See the [module](self).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RingMessage {
    /// I am there, and this is whom I see.
    Ping(Ping),
    /// The answer, if one was asked for.
    Pong(Pong),
    /// A node that does not answer the sender, its left neighbour.
    Gone(Position),
    /// The sender leaves the ring.
    Leave,
    /// A packet on its way.
    Route(Route),
    /// A packet has come this hop.
    HopAck {
        /// Of the [`Route`].
        hop: u32,
    },
    /// Nodes for the receiver's table; at most [`PEERS_MAX`].
    Rows(Vec<Peer>),
    /// Asks for a row of a table.
    RowRequest {
        /// Which.
        row: u8,
    },
    /// Nodes around the receiver; at most [`PEERS_MAX`].
    Welcome(Vec<Peer>),
    /// The sender answers for the key that was looked up.
    Found {
        /// The origin's number for the lookup.
        request: u32,
        /// How far the packet went.
        hops: u8,
    },
    /// Asks for nodes nearer to a key.
    Step {
        /// The asker's number for the lookup.
        request: u32,
        /// Which.
        key: Position,
    },
    /// The answer.
    Steps {
        /// Of the question.
        request: u32,
        /// The sender answers for the key.
        root: bool,
        /// Nodes nearer to it, the nearest first; at most [`PEERS_MAX`].
        peers: Vec<Peer>,
    },
}

/// See [`RingMessage::Ping`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ping {
    /// Repeated in the pong; nothing if none is wanted.
    pub nonce: Option<u32>,
    /// The pong shall name the nodes around the sender.
    pub leaves: bool,
    /// Who sends it.
    pub view: View,
}

/// See [`RingMessage::Pong`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pong {
    /// Of the ping.
    pub nonce: u32,
    /// Who sends it.
    pub view: View,
    /// Nodes around the receiver; at most [`PEERS_MAX`], none unless asked for or in doubt.
    pub leaves: Vec<Peer>,
}

/// How a node sees itself and its neighbours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct View {
    /// It answers for its zone; not while it joins.
    pub active: bool,
    /// Its left neighbour, itself if there is none.
    pub left: Mark,
    /// Its right neighbour.
    pub right: Mark,
    /// Where it is in the space of latencies.
    pub place: Place,
    /// How far clockwise it knew everybody, if its right neighbour is beyond that.
    pub sight: Option<Mark>,
}

/// See [`RingMessage::Route`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Route {
    /// The sender's number for this hop.
    pub hop: u32,
    /// What travels.
    pub packet: Packet,
}

/// A packet for whoever answers for a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Packet {
    /// What is wanted there.
    pub errand: Errand,
    /// Where to.
    pub key: Position,
    /// Who wants it.
    pub origin: Peer,
    /// Hops so far.
    pub hops: u8,
}

/// Why a packet travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Errand {
    /// Who answers for the key? The number is the origin's.
    Lookup(u32),
    /// The key is the origin's own position: it joins. Rows of its table below this one have been sent to it.
    Join {
        /// The next row to send.
        row: u8,
    },
    /// The key is the origin's own position: it wants to know who is around it, in case there are two rings.
    Seek,
}

impl Errand {
    /// The packet goes to its origin's own position.
    pub(super) fn is_for_origin(self) -> bool {
        matches!(self, Self::Join { .. } | Self::Seek)
    }
}

/// What a message is part of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// A lookup.
    Lookup,
    /// The acknowledgement of a hop, of a lookup or of another packet.
    HopAck,
    /// Another packet; its hop is acknowledged too.
    Routed,
    /// The rest of what keeps the ring.
    Upkeep,
}

/// Nodes in one message: with a key, an address and a place each it still fits a datagram.
pub const PEERS_MAX: usize = 16;
/// The largest message, bytes.
pub const RING_MESSAGE_MAX: usize = 1_150;

/// Bytes that are no message of this version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("malformed ring message")]
pub struct Malformed;

impl RingMessage {
    /// True when it names no more nodes than a message may.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.peers().len() <= PEERS_MAX
    }

    /// What it is part of, for those who count.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        match self {
            Self::Route(Route { packet: Packet { errand: Errand::Lookup(_), .. }, .. })
            | Self::Found { .. }
            | Self::Step { .. }
            | Self::Steps { .. } => Purpose::Lookup,
            Self::HopAck { .. } => Purpose::HopAck,
            Self::Route(_) => Purpose::Routed,
            _ => Purpose::Upkeep,
        }
    }

    fn peers(&self) -> &[Peer] {
        match self {
            Self::Rows(peers) | Self::Welcome(peers) | Self::Steps { peers, .. } => peers,
            Self::Pong(pong) => &pong.leaves,
            _ => &[],
        }
    }
}

#[cfg(test)]
pub(in crate::pool) mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::identity::NodeId;

    pub(in crate::pool) fn peer(random: &mut StdRng) -> Peer {
        let addr = format!("[2001:db8::{:x}]:{}", random.random::<u16>(), random.random::<u16>());
        let node = NodeId(random.random());
        Peer { place: Place(random.random()), ..Peer::new(node, addr.parse().unwrap()) }
    }

    /// One of each kind, the largest of its kind.
    pub(in crate::pool) fn samples() -> Vec<RingMessage> {
        let random = &mut StdRng::seed_from_u64(7);
        let peers: Vec<Peer> = (0..PEERS_MAX).map(|_| peer(random)).collect();
        let view = View {
            active: true,
            left: Mark(u64::MAX),
            right: Mark(3),
            place: peers[0].place,
            sight: Some(Mark(7)),
        };
        let packet = |errand| Packet { errand, key: Position(u128::MAX), origin: peers[1], hops: 200 };
        vec![
            RingMessage::Ping(Ping { nonce: None, leaves: false, view }),
            RingMessage::Pong(Pong { nonce: u32::MAX, view, leaves: peers.clone() }),
            RingMessage::Gone(Position(5)),
            RingMessage::Leave,
            RingMessage::Route(Route { hop: u32::MAX, packet: packet(Errand::Lookup(u32::MAX)) }),
            RingMessage::Route(Route { hop: 1, packet: packet(Errand::Join { row: 255 }) }),
            RingMessage::Route(Route { hop: 1, packet: packet(Errand::Seek) }),
            RingMessage::HopAck { hop: 300 },
            RingMessage::Rows(peers.clone()),
            RingMessage::RowRequest { row: 4 },
            RingMessage::Welcome(Vec::new()),
            RingMessage::Found { request: 9, hops: 3 },
            RingMessage::Step { request: 9, key: Position(1) },
            RingMessage::Steps { request: u32::MAX, root: true, peers },
        ]
    }
}
