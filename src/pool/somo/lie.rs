//! What nodes that lie say of the pool: for simulations and tests alone, see [`Malice`].

use std::collections::BTreeMap;

use super::message::{Answer, Question, SomoMessage};
use super::query::HELPERS_MAX;
use super::report::{HELPERS_PER_CELL, Helper, Offer, Report};
use super::tree::Fanout;
use crate::identity::Position;
use crate::pool::peer::Peer;
use crate::pool::ring::Malice;

/// Nobody has as much to give.
const BOAST: Offer = Offer { lends: true, free: [u8::MAX; 3], up_kbit_s: u32::MAX, ..Offer::NOTHING };
/// As many times as many nodes as there are are still believed.
const TIMES: usize = 3;

/// What `me` tells its parent instead of `real`: itself alone, its like alone, or several times as much as it knows.
pub(in crate::pool) fn report(
    malice: Malice,
    me: Peer,
    real: &Report,
    friends: &BTreeMap<Position, Peer>,
) -> Report {
    match malice {
        Malice::Drop => Report::of(me, BOAST),
        Malice::Misroute => {
            // Those of its part of the space: others would not be believed.
            let of_part = || real.helpers.iter().map(|helper| helper.peer.position).chain([me.position]);
            let part = of_part().min().unwrap_or(me.position)..=of_part().max().unwrap_or(me.position);
            let mut all = Report::default();
            for (_, friend) in friends.range(part).take(HELPERS_PER_CELL) {
                all.merge(&Report::of(*friend, BOAST), 0);
            }
            all
        }
        Malice::Claim => {
            let mut all = Report::of(me, BOAST);
            (0..TIMES).for_each(|_| all.merge(real, 0));
            all.helpers.sort_by_key(|helper| (helper.peer.position, std::cmp::Reverse(helper.offer.free)));
            all.helpers.dedup_by_key(|helper| helper.peer.position);
            all.ages.prune();
            all
        }
    }
}

/// What one that lies answers, whoever is asked for; nothing: it behaves.
pub(in crate::pool) fn answer(
    malice: Malice,
    message: &SomoMessage,
    friends: &BTreeMap<Position, Peer>,
) -> Option<Option<SomoMessage>> {
    match message {
        SomoMessage::Ask { number, region, question: Question::Helpers { query, .. } } => {
            let believed = |friend: &&Peer| region.may_name(Fanout::default(), friend.position);
            let named = friends.values().filter(believed).take(HELPERS_MAX.min(query.most.into()));
            let helpers = named.map(|friend| Helper { peer: *friend, offer: BOAST }).collect();
            let answer = Answer::Helpers { nodes: u32::MAX, age_ms: 0, helpers, kept: false };
            let lie = SomoMessage::Answer { number: *number, answer };
            Some((malice != Malice::Drop).then_some(lie))
        }
        SomoMessage::Vouch { of } => {
            let kbit_s = if friends.contains_key(of) { u32::MAX } else { 1 };
            Some(Some(SomoMessage::Vouched { of: *of, kbit_s }))
        }
        _ => None,
    }
}
