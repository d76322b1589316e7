//! What is asked of SOMO: helpers near some places with enough to give, now or whenever the answer changes, and the report of
//! a part of the position space.
//!
//! The patent has whoever plans a session query the root (D.4) and speaks of queries that are registered (its publish and
//! subscribe, [0069]), and of reports of a region: that is what the node hosting the region's point has gathered.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::message::{Answer, SomoMessage};
use super::report::{Helper, Report};
use crate::identity::Position;
use crate::pool::grant::{AUTHORITIES_MAX, AuthorityMark};
use crate::pool::moment::Moment;
use crate::pool::peer::{Peer, Place};

/// Helpers that a session could use (the patent's Table B asks for degree 4 within a radius).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HelperQuery {
    /// Near one of these; at most [`PLACES_MAX`].
    pub near: Vec<Place>,
    /// One way to it, milliseconds at most, as places foretell; [`u16::MAX`]: anywhere.
    pub within_ms: u16,
    /// Free links at least.
    pub degree: u8,
    /// At which priority, 1 to 3.
    pub priority: u8,
    /// How many, at most [`HELPERS_MAX`].
    pub most: u8,
    /// Only those that bear one of these marks, at most `AUTHORITIES_MAX`; none: anybody's.
    pub of: Vec<AuthorityMark>,
}

/// Places in one query: a session's members, or the beacons among them.
pub const PLACES_MAX: usize = 32;
/// Helpers in one answer: as many as a plan may probe.
pub const HELPERS_MAX: usize = 110;

impl HelperQuery {
    /// True when it asks for no more than it may.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.near.len() <= PLACES_MAX
            && usize::from(self.most) <= HELPERS_MAX
            && self.of.len() <= AUTHORITIES_MAX
            && (1..=3).contains(&self.priority)
    }

    /// True of a helper that will do.
    pub(in crate::pool) fn is_met_by(&self, helper: &Helper) -> bool {
        self.fit(helper).is_some()
    }

    /// How far a helper is from the nearest of the places, if it will do.
    fn fit(&self, helper: &Helper) -> Option<Duration> {
        let free = helper.offer.free.get(usize::from(self.priority).checked_sub(1)?)?;
        let ways = self.near.iter().filter_map(|place| helper.peer.place.round_trip(*place));
        // Who may be anywhere need not know its place.
        let way = match ways.min() {
            Some(trip) => trip / 2,
            None if self.within_ms == u16::MAX => Duration::from_secs(u64::from(u16::MAX)),
            None => return None,
        };
        let near = self.within_ms == u16::MAX || way <= Duration::from_millis(self.within_ms.into());
        let own = self.of.is_empty() || self.of.contains(&helper.offer.of);
        (near && own && helper.offer.lends && *free >= self.degree).then_some(way)
    }
}

impl Report {
    /// The helpers that will do, the nearest first.
    #[must_use]
    pub fn helpers_for(&self, query: &HelperQuery) -> Vec<Helper> {
        let fit = self.helpers.iter().filter_map(|helper| Some((query.fit(helper)?, *helper)));
        let mut fit: Vec<(Duration, Helper)> = fit.collect();
        fit.sort_by_key(|(way, helper)| (*way, helper.peer.position));
        fit.truncate(usize::from(query.most).min(HELPERS_MAX));
        fit.into_iter().map(|(_, helper)| helper).collect()
    }
}

/// Queries that the root keeps and answers again.
#[derive(Debug, Default)]
pub(super) struct Desk(Vec<Registered>);

#[derive(Debug)]
struct Registered {
    by: Peer,
    number: u32,
    query: HelperQuery,
    until: Moment,
    /// Who was named last, and what each had to give.
    told: Vec<(Position, [u8; 3])>,
}

/// Queries kept at once, and of one asker.
const REGISTERED_MAX: usize = 64;
const OF_ONE_MAX: usize = 4;
/// The longest that one is kept; its asker asks again before that.
const KEPT_MAX: Duration = Duration::from_secs(300);

impl Desk {
    /// A query has come: its answer, from what the root knows.
    pub(super) fn on_query(
        &mut self,
        by: Peer,
        number: u32,
        query: HelperQuery,
        keep: Duration,
        view: &Report,
        now: Moment,
    ) -> SomoMessage {
        self.0.retain(|kept| kept.until > now && (kept.by.position, kept.number) != (by.position, number));
        let helpers = view.helpers_for(&query);
        let of_one = self.0.iter().filter(|kept| kept.by.position == by.position).count();
        let kept = !keep.is_zero() && self.0.len() < REGISTERED_MAX && of_one < OF_ONE_MAX;
        if kept {
            let until = now + keep.min(KEPT_MAX);
            self.0.push(Registered { by, number, query, until, told: told(&helpers) });
        }
        SomoMessage::Answer { number, answer: answer(view, helpers, kept) }
    }

    /// The root knows something new: who is to hear of it.
    pub(super) fn on_view(&mut self, view: &Report, now: Moment) -> Vec<(Peer, SomoMessage)> {
        self.0.retain(|kept| kept.until > now);
        let changed = self.0.iter_mut().filter_map(|kept| {
            let helpers = view.helpers_for(&kept.query);
            let new = told(&helpers);
            (new != kept.told).then(|| {
                kept.told = new;
                let answer = answer(view, helpers, true);
                (kept.by, SomoMessage::Answer { number: kept.number, answer })
            })
        });
        changed.collect()
    }
}

fn answer(view: &Report, helpers: Vec<Helper>, kept: bool) -> Answer {
    Answer::Helpers { nodes: view.nodes, age_ms: view.age_ms(), helpers, kept }
}

fn told(helpers: &[Helper]) -> Vec<(Position, [u8; 3])> {
    let mut told: Vec<(Position, [u8; 3])> =
        helpers.iter().map(|helper| (helper.peer.position, helper.offer.free)).collect();
    // Places drift: another order is no news.
    told.sort_unstable();
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::NodeId;
    use crate::pool::somo::Offer;

    fn helper(node: u8, at: i16, free: [u8; 3]) -> Helper {
        let peer = Peer::new(NodeId([node; 32]), ([10, 0, 0, node], 1).into());
        let peer = Peer { place: Place([at, 0, 0, 10]), ..peer };
        Helper { peer, offer: Offer { lends: true, free, ..Offer::default() } }
    }

    fn query() -> HelperQuery {
        let near = vec![Place([0, 0, 0, 10]), Place([5_000, 0, 0, 10])];
        HelperQuery { near, within_ms: 30, degree: 4, priority: 2, most: 10, of: Vec::new() }
    }

    #[test]
    fn helpers_are_near_and_have_enough_to_give_at_that_priority() {
        let helpers = vec![
            helper(1, 100, [9, 9, 9]),
            helper(2, 10, [9, 3, 9]),
            helper(3, 4_990, [9, 4, 0]),
            helper(4, 2_000, [9, 9, 9]),
        ];
        let report = Report { nodes: 4, helpers, ..Report::default() };
        let found = |query: &HelperQuery| -> Vec<u8> {
            report.helpers_for(query).iter().map(|helper| helper.peer.node.0[0]).collect()
        };
        assert_eq!(found(&query()), [3, 1], "the nearest first");
        assert_eq!(found(&HelperQuery { priority: 3, ..query() }), [2, 1]);
        assert_eq!(found(&HelperQuery { within_ms: 110, most: 2, ..query() }), [3, 1]);
        assert_eq!(found(&HelperQuery { near: Vec::new(), ..query() }), [0; 0]);
        let own = AuthorityMark::of(NodeId([5; 32]));
        assert_eq!(found(&HelperQuery { of: vec![own], ..query() }), [0; 0]);
        let mut report = report;
        report.helpers[0].offer.of = own;
        assert_eq!(report.helpers_for(&HelperQuery { of: vec![own], ..query() }), [report.helpers[0]]);
    }

    #[test]
    fn a_registered_query_is_answered_again_when_the_answer_changes() {
        let report = |helpers| Report { nodes: 3, helpers, ..Report::default() };
        let by = helper(9, 0, [0; 3]).peer;
        let at = |s| Moment::ZERO + Duration::from_secs(s);
        let mut desk = Desk::default();
        let first = report(vec![helper(1, 100, [9; 3]), helper(2, 50, [9; 3])]);
        let answer = desk.on_query(by, 7, query(), Duration::from_secs(60), &first, at(0));
        assert!(matches!(&answer, SomoMessage::Answer { number: 7,
            answer: Answer::Helpers { helpers, kept: true, .. } } if helpers.len() == 2));
        let moved = report(vec![helper(1, 40, [9; 3]), helper(2, 60, [9; 3])]);
        assert!(desk.on_view(&moved, at(5)).is_empty(), "they have only moved");
        let taken = report(vec![helper(1, 40, [9; 3]), helper(2, 60, [9, 5, 5])]);
        assert_eq!(desk.on_view(&taken, at(10)).len(), 1);
        assert!(desk.on_view(&taken, at(15)).is_empty());
        assert!(desk.on_view(&first, at(70)).is_empty(), "its time is over");
        for number in 0..200 {
            let by = helper(number as u8, 0, [0; 3]).peer;
            desk.on_query(by, number, query(), KEPT_MAX, &first, at(80));
            desk.on_query(helper(9, 0, [0; 3]).peer, number, query(), KEPT_MAX, &first, at(80));
        }
        assert!(desk.0.len() <= REGISTERED_MAX);
        assert!(desk.0.iter().filter(|kept| kept.by.position == by.position).count() <= OF_ONE_MAX);
    }
}
