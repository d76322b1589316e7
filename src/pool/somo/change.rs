//! A report as what has changed since one that the receiver has (the patent's deltas, where they are smaller).
//!
//! Every report upwards has a number, and whatever comes down says which one is there: the next one can be told as a
//! [`Change`] of that. Most of a report is helpers, and most of them have only moved a little, which takes 7 bytes in place
//! of 90. Who does not have what a change is of asks for all of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ages::Ages;
use super::report::{BEACONS_MAX, BUCKETS, HELPERS_PER_CELL, Helper, Offer, Report};
use crate::identity::Position;
use crate::pool::peer::Peer;

/// What is said upwards.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Content {
    /// All that is known.
    Whole(Box<Report>),
    /// What is new since the report of that number.
    Since(u32, Box<Change>),
}

/// What makes one report of another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// See [`Report`], as the next three.
    nodes: u32,
    lenders: u32,
    height: u8,
    ages: Ages,
    /// Places in the histograms, one after the other, and what they hold by now.
    free: Vec<(u8, u32)>,
    /// Helpers that stay, by their number in the report before: how far their places have moved, and what they offer if
    /// that is something else.
    moved: Vec<(u16, [i16; 4], Option<Offer>)>,
    /// Those that are gone, by number, ascending.
    gone: Vec<u16>,
    /// Those that are new, or reached elsewhere; they come last.
    new: Vec<Helper>,
}

/// What a parent has been told last.
#[derive(Debug)]
pub(super) struct Told {
    to: Position,
    number: u32,
    /// It has said that it has this.
    acknowledged: bool,
    /// Encoded, which is a third of what it takes otherwise: every node has one.
    report: Box<[u8]>,
}

/// Helpers in one report.
const HELPERS_MAX: usize = BEACONS_MAX * HELPERS_PER_CELL;

impl Told {
    /// The next report to `to`, as it is to be sent; `before` is what was told last.
    pub(super) fn next(before: Option<Self>, to: Position, number: u32, report: Report) -> (Self, Content) {
        let size = |content: &Content| postcard::experimental::serialized_size(content).unwrap_or(usize::MAX);
        let base = before.filter(|told| told.to == to && told.acknowledged);
        let change = base.and_then(|told| {
            let mut base: Report = postcard::from_bytes(&told.report).ok()?;
            let change = Change::between(&base, &report);
            // The receiver's list has this order.
            change.apply(&mut base).then(|| (base, Content::Since(told.number, Box::new(change))))
        });
        let encoded = |report: &Report| postcard::to_stdvec(report).unwrap_or_default().into();
        let whole = encoded(&report);
        let content = Content::Whole(Box::new(report));
        let (report, content) = match change {
            Some((base, change)) if size(&change) < size(&content) => (encoded(&base), change),
            _ => (whole, content),
        };
        (Self { to, number, acknowledged: false, report }, content)
    }

    /// `from` has the report of that number.
    pub(super) fn on_acknowledged(&mut self, from: Position, number: u32) {
        self.acknowledged |= self.to == from && self.number == number;
    }
}

impl Content {
    /// The report, where `before` is what is there of the sender, and the number of that.
    pub(super) fn applied(self, before: Option<(u32, &Report)>) -> Option<Box<Report>> {
        match (self, before) {
            (Self::Whole(report), _) => Some(report),
            (Self::Since(number, change), Some((known, report))) if number == known => {
                let mut report = Box::new(report.clone());
                change.apply(&mut report).then_some(report)
            }
            (Self::Since(..), _) => None,
        }
    }

    /// True when it is no larger than it may be.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        match self {
            Self::Whole(report) => report.is_bounded(),
            Self::Since(_, change) => {
                let lists = [change.moved.len(), change.gone.len(), change.new.len()];
                lists.into_iter().all(|list| list <= HELPERS_MAX)
                    && change.free.len() <= 3 * BUCKETS
                    && change.ages.is_bounded()
            }
        }
    }
}

impl Change {
    fn between(before: &Report, after: &Report) -> Self {
        let reached = |peer: &Peer| (peer.position, peer.node, peer.endpoint, peer.local);
        let mut left: BTreeMap<_, &Helper> =
            after.helpers.iter().map(|helper| (reached(&helper.peer), helper)).collect();
        let (mut moved, mut gone) = (Vec::new(), Vec::new());
        for (number, old) in (0_u16..).zip(&before.helpers) {
            let Some(new) = left.remove(&reached(&old.peer)) else {
                gone.push(number);
                continue;
            };
            let way = std::array::from_fn(|i| new.peer.place.0[i].wrapping_sub(old.peer.place.0[i]));
            if new != old {
                moved.push((number, way, (new.offer != old.offer).then_some(new.offer)));
            }
        }
        let is_new = |helper: &&Helper| left.contains_key(&reached(&helper.peer));
        let new = after.helpers.iter().filter(is_new).copied().collect();
        let free = after.free.iter().flatten().zip(before.free.iter().flatten());
        let free = (0_u8..).zip(free).filter(|(_, (now, then))| now != then);
        let free = free.map(|(at, (now, _))| (at, *now)).collect();
        let Report { nodes, lenders, height, ref ages, .. } = *after;
        Self { nodes, lenders, height, ages: ages.clone(), free, moved, gone, new }
    }

    /// Makes the report after of the one before; false if it is a change of another one.
    fn apply(&self, report: &mut Report) -> bool {
        for (at, count) in &self.free {
            let Some(bucket) = report.free.iter_mut().flatten().nth(usize::from(*at)) else { return false };
            *bucket = *count;
        }
        for (number, way, offer) in &self.moved {
            let Some(helper) = report.helpers.get_mut(usize::from(*number)) else { return false };
            for (axis, way) in helper.peer.place.0.iter_mut().zip(way) {
                *axis = axis.wrapping_add(*way);
            }
            helper.offer = offer.unwrap_or(helper.offer);
        }
        let fits = self.gone.is_sorted_by(|one, next| one < next)
            && self.gone.last().is_none_or(|last| usize::from(*last) < report.helpers.len());
        if !fits {
            return false;
        }
        let (mut numbers, mut gone) = (0_u16.., self.gone.iter().peekable());
        report.helpers.retain(|_| {
            let number = numbers.next();
            gone.next_if(|gone| Some(**gone) == number).is_none()
        });
        report.helpers.extend_from_slice(&self.new);
        (report.nodes, report.lenders, report.height) = (self.nodes, self.lenders, self.height);
        report.ages.clone_from(&self.ages);
        true
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::seq::IteratorRandom;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::identity::NodeId;
    use crate::pool::peer::Place;
    use crate::pool::somo::Beacons;

    fn node(random: &mut StdRng) -> (Peer, Offer) {
        let place = Place([(); 4].map(|()| random.random_range(1..2_000)));
        let peer = Peer { place, ..Peer::new(NodeId(random.random()), ([10, 0, 0, 1], 1).into()) };
        let free = [random.random_range(0..20); 3];
        (peer, Offer { lends: random.random_ratio(4, 5), free, ..Offer::default() })
    }

    fn report(nodes: &[(Peer, Offer)]) -> Report {
        let mut all = Report::default();
        nodes.iter().for_each(|(peer, offer)| all.merge(&Report::of(*peer, *offer), 3));
        all.prune(&Beacons { generation: 1, places: vec![Place([100, 0, 0, 9]), Place([1_500, 900, 0, 9])] });
        all
    }

    fn sorted(mut report: Report) -> Report {
        report.helpers.sort_by_key(|helper| helper.peer.position);
        report
    }

    #[test]
    fn a_parent_that_is_told_changes_knows_what_one_knows_that_is_told_all() {
        let random = &mut StdRng::seed_from_u64(9);
        let mut nodes: Vec<(Peer, Offer)> = (0..40).map(|_| node(random)).collect();
        let (to, mut told, mut there) = (Position(7), None, None::<(u32, Report)>);
        let (mut whole_bytes, mut bytes, mut changes) = (0, 0, 0);
        for number in 1..300 {
            for (peer, offer) in &mut nodes {
                peer.place.0[random.random_range(0..4)] += random.random_range(-3..=3);
                if random.random_ratio(1, 20) {
                    offer.free = [random.random_range(0..20); 3];
                }
            }
            if random.random_ratio(1, 3) {
                let at = (0..nodes.len()).choose(random).unwrap();
                nodes[at] = node(random);
            }
            let now = report(&nodes);
            let (next, content) = Told::next(told.take(), to, number, now.clone());
            whole_bytes += postcard::to_stdvec(&Content::Whole(Box::new(now.clone()))).unwrap().len();
            bytes += postcard::to_stdvec(&content).unwrap().len();
            changes += u32::from(matches!(content, Content::Since(..)));
            told = Some(next);
            // Now and then one is lost, and nothing is said of it.
            if random.random_ratio(9, 10) {
                let before = there.as_ref().map(|(number, report)| (*number, report));
                let report = content.applied(before).expect("it is a change of what is there");
                assert_eq!(sorted((*report).clone()), sorted(now));
                there = Some((number, *report));
                told.iter_mut().for_each(|told| told.on_acknowledged(to, number));
            }
        }
        assert!(
            changes > 200 && bytes * 3 < whole_bytes,
            "{changes} changes, {bytes} of {whole_bytes} bytes"
        );
        told.iter_mut().for_each(|told| told.on_acknowledged(to, 299));
        let (_, content) = Told::next(told, Position(8), 300, report(&nodes));
        assert!(matches!(content, Content::Whole(_)), "another parent has nothing yet");
    }

    #[test]
    fn a_change_of_something_else_is_refused_whatever_it_says() {
        let random = &mut StdRng::seed_from_u64(10);
        let nodes: Vec<(Peer, Offer)> = (0..12).map(|_| node(random)).collect();
        let (before, after) = (report(&nodes[..8]), report(&nodes[2..]));
        let change = Change::between(&before, &after);
        let since = |number, change: &Change| Content::Since(number, Box::new(change.clone()));
        assert!(since(4, &change).applied(Some((4, &before))).is_some());
        assert_eq!(since(4, &change).applied(Some((5, &before))), None);
        assert_eq!(since(4, &change).applied(None), None);
        let wrong: [&dyn Fn(&mut Change); 5] = [
            &|change| change.gone = vec![900],
            &|change| change.gone = vec![1, 0],
            &|change| change.gone = vec![0, 0],
            &|change| change.moved = vec![(900, [1; 4], None)],
            &|change| change.free = vec![(27, 1)],
        ];
        for wrong in wrong {
            let mut change = change.clone();
            wrong(&mut change);
            assert_eq!(since(4, &change).applied(Some((4, &before))), None, "{change:?}");
        }
        let far = Change { moved: vec![(0, [i16::MAX; 4], None), (0, [i16::MAX; 4], None)], ..change };
        assert!(since(4, &far).applied(Some((4, &before))).is_some(), "it wraps around, and no more");
    }
}
