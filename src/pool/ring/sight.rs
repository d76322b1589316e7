//! How far around itself a node knew everybody when all was well.
//!
//! When many die at once, two that have lost everybody between them find each other over their tables, and somebody may still
//! live in the middle whom neither of them ever knew. What both have seen of the gap, taken together, tells: if that is not
//! all of it, the one on the right waits before it answers for it, until whoever is there has had the time to be heard of.

use std::time::Duration;

use super::RingNode;
use crate::identity::Position;
use crate::pool::moment::Moment;
use crate::pool::position::Mark;

/// Ways to either side, in units of marks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sight {
    left: u64,
    right: u64,
    /// The state of the leaf set that it was taken from.
    of: Option<u32>,
}

/// How long one who has lost all its neighbours takes to notice (two heartbeats, two rounds of pings over a long way) and to
/// be back on the ring.
const BACK_WITHIN: Duration = Duration::from_secs(20);

impl RingNode {
    /// Neighbours agree with what this node sees: from now on it knows how far that is.
    pub(super) fn take_sight(&mut self) {
        if self.sight.of == Some(self.leaves.changes()) {
            return;
        }
        let here = self.me.position;
        let of = Some(self.leaves.changes());
        if !self.leaves.is_full() && !self.ring_is_larger() {
            self.sight = Sight { left: u64::MAX, right: u64::MAX, of };
        } else if self.leaves.is_full()
            && !self.leaves.has_doubtful_end()
            && let [Some(left), Some(right)] = self.leaves.ends()
        {
            let (left, right) = (left.peer.position.way_to(here), here.way_to(right.peer.position));
            self.sight = Sight { left: units(left), right: units(right), of };
        }
    }

    /// How far clockwise it knew everybody, for a right neighbour beyond that.
    pub(super) fn sight_ends(&self) -> Option<Mark> {
        let right = self.leaves.right()?.peer.position;
        let beyond = units(self.me.position.way_to(right)) > self.sight.right;
        beyond.then(|| Mark(self.me.position.mark().0.wrapping_add(self.sight.right)))
    }

    /// Where the zone of one that comes back begins at first: it has no more seen all of a wide gap than others have.
    pub(super) fn as_far_as_seen(&self, left: Position) -> Position {
        let here = self.me.position;
        let known = self.sight.of.is_none() || units(left.way_to(here)) <= self.sight.left;
        if known { left } else { Position(here.0.wrapping_sub(u128::from(self.sight.left) << 64)) }
    }

    /// True when nobody can be between the left neighbour and this node whom neither of them knows; `ends` is where its sight
    /// ends, if that is before here.
    pub(super) fn sees_as_far(&mut self, left: Position, ends: Option<Mark>, now: Moment) -> bool {
        let gap = units(left.way_to(self.me.position));
        let seen = ends.map_or(u64::MAX, |ends| ends.0.wrapping_sub(left.mark().0));
        if seen.saturating_add(self.sight.left) >= gap {
            return true;
        }
        now.since(*self.doubts_since.get_or_insert(now)) >= BACK_WITHIN
    }
}

fn units(way: u128) -> u64 {
    (way >> 64) as u64
}
