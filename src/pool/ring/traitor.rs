//! What nodes that lie do: they stay on the ring like others, know each other, and answer so that lookups end with them or
//! nowhere. For simulations and tests of what honest nodes make of it; nothing honest comes here.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use super::Transmit;
use super::message::{Errand, PEERS_MAX, Packet, RingMessage, Route};
use crate::identity::Position;
use crate::pool::peer::Peer;

/// How a node lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malice {
    /// It acknowledges what it should pass on, joins too, and drops it.
    Drop,
    /// It passes on, and names, its like alone.
    Misroute,
    /// It says that it answers for any key, and welcomes who joins among its like.
    Claim,
}

impl Malice {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Drop, Self::Misroute, Self::Claim];

    /// What `me`, which lies, does on a message instead of what a node should; nothing: it behaves. `friends` are all who
    /// lie, by position.
    #[must_use]
    pub fn betray(
        self,
        me: Peer,
        from: Peer,
        message: &RingMessage,
        friends: &BTreeMap<Position, Peer>,
    ) -> Option<Vec<Transmit>> {
        let to = |to, message| Transmit { to, message };
        match message {
            RingMessage::Route(Route { hop, packet }) => {
                let ack = to(from, RingMessage::HopAck { hop: *hop });
                let onward = match (self, packet.errand) {
                    (Self::Claim, Errand::Lookup(request)) => {
                        Some(to(packet.origin, RingMessage::Found { request, hops: packet.hops }))
                    }
                    (Self::Claim, Errand::Join { .. } | Errand::Seek) => {
                        let around = nearest(friends, packet.origin.position, PEERS_MAX);
                        Some(to(packet.origin, RingMessage::Welcome(around)))
                    }
                    (Self::Misroute, _) if packet.hops < HOPS_MAX => {
                        let next = friends.range((Excluded(me.position), Unbounded)).chain(friends).next();
                        let packet = Packet { hops: packet.hops + 1, ..*packet };
                        next.map(|(_, friend)| to(*friend, RingMessage::Route(Route { hop: *hop, packet })))
                    }
                    _ => None,
                };
                Some([ack].into_iter().chain(onward).collect())
            }
            RingMessage::Step { request, key } => {
                let (request, root) = (*request, self == Self::Claim);
                let peers = nearest(friends, *key, PEERS_MAX / 2);
                let answer = to(from, RingMessage::Steps { request, root, peers });
                Some(if self == Self::Drop { Vec::new() } else { vec![answer] })
            }
            RingMessage::RowRequest { .. } if self != Self::Drop => {
                Some(vec![to(from, RingMessage::Rows(nearest(friends, from.position, PEERS_MAX)))])
            }
            _ => None,
        }
    }
}

/// That many of them around a key, half on each side.
fn nearest(friends: &BTreeMap<Position, Peer>, key: Position, count: usize) -> Vec<Peer> {
    let after = friends.range(key..).chain(friends).take(count / 2);
    let before = friends.range(..key).rev().chain(friends.iter().rev()).take(count / 2);
    let mut found: Vec<Peer> = after.chain(before).map(|(_, peer)| *peer).collect();
    found.sort_unstable_by_key(|peer| peer.position);
    found.dedup_by_key(|peer| peer.position);
    found
}

/// Liars pass a packet round among themselves so often.
const HOPS_MAX: u8 = 20;
