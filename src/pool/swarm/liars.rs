//! Nodes that lie, for simulations and tests of what honest nodes make of it; nothing honest comes here.

use std::collections::BTreeMap;

use super::{SwarmMessage, SwarmNode};
use crate::identity::Position;
use crate::pool::bandwidth::{self, BandwidthMessage};
use crate::pool::moment::Moment;
use crate::pool::peer::Peer;
use crate::pool::records::{self, RecordMessage};
use crate::pool::ring::Malice;
use crate::pool::somo::{self, Content, SomoMessage};

/// What a node that lies does on a message instead of what it should; nothing: it behaves. See [`Malice`].
#[must_use]
pub fn betray(
    malice: Malice,
    me: Peer,
    from: Peer,
    message: &SwarmMessage,
    friends: &BTreeMap<Position, Peer>,
) -> Option<Vec<(Peer, SwarmMessage)>> {
    match message {
        SwarmMessage::Ring(message) => {
            let lies = malice.betray(me, from, message, friends)?;
            Some(lies.into_iter().map(|lie| (lie.to, SwarmMessage::Ring(lie.message))).collect())
        }
        SwarmMessage::Bandwidth(BandwidthMessage::Pair(pair)) => {
            let lie = bandwidth::lie(malice, pair, friends);
            Some(lie.into_iter().map(|lie| (from, SwarmMessage::Bandwidth(lie))).collect())
        }
        SwarmMessage::Records(
            message @ (RecordMessage::Get { .. }
            | RecordMessage::Put { .. }
            | RecordMessage::Keep(_)
            | RecordMessage::Offer(_)
            | RecordMessage::Want(_)),
        ) => {
            let lie = records::message::lie(malice, message);
            Some(lie.into_iter().map(|lie| (from, SwarmMessage::Records(lie))).collect())
        }
        SwarmMessage::Somo(message) => {
            let lie = somo::lie::answer(malice, message, friends)?;
            Some(lie.into_iter().map(|lie| (from, SwarmMessage::Somo(lie))).collect())
        }
        _ => None,
    }
}

/// What a node that lies says in place of what it would.
#[must_use]
pub fn forge(
    malice: Malice,
    node: &SwarmNode,
    message: SwarmMessage,
    friends: &BTreeMap<Position, Peer>,
    now: Moment,
) -> SwarmMessage {
    match message {
        SwarmMessage::Somo(SomoMessage::Up { point, number, round, generation, pace, .. }) => {
            let report = somo::lie::report(malice, node.ring().me(), &node.gathered(now), friends);
            let content = Content::Whole(Box::new(report));
            SwarmMessage::Somo(SomoMessage::Up { point, number, round, generation, pace, content })
        }
        honest => honest,
    }
}
