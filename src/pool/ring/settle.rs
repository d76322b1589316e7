//! Agreement between neighbours: whether both ends of each edge of the ring see it, and what zone follows.

use std::time::Duration;

use super::message::View;
use super::{Event, RingNode};
use crate::identity::Position;
use crate::pool::leafset::Leaf;
use crate::pool::moment::Moment;
use crate::pool::peer::Peer;
use crate::pool::position::Zone;

/// What a node and its two neighbours think of each other.
#[derive(Debug)]
pub(super) struct Neighbours {
    left: Option<Position>,
    right: Option<Position>,
    /// The left neighbour sees this node as its right one.
    left_agrees: bool,
    /// And the other way round.
    right_agrees: bool,
    /// Where the zone begins by the last agreement; only nearer since.
    agreed: Option<Position>,
    recheck_at: Moment,
}

/// Between two questions to neighbours that see it differently.
const RECHECK: Duration = Duration::from_millis(600);
/// Who was heard within this time needs no proof of life.
const FRESH: Duration = Duration::from_secs(1);

impl Neighbours {
    /// Nobody else is there.
    pub(super) fn alone(me: Position) -> Self {
        Self { agreed: Some(me), ..Self::unknown() }
    }

    /// Nothing is agreed.
    pub(super) fn unknown() -> Self {
        let (left, right, left_agrees, right_agrees, agreed) = (None, None, false, false, None);
        Self { left, right, left_agrees, right_agrees, agreed, recheck_at: Moment::NEVER }
    }

    /// The zone that is agreed.
    pub(super) fn zone(&self, me: Position) -> Option<Zone> {
        let agreed = self.agreed?;
        let after = self.left.map_or(agreed, |left| nearer(me, left, agreed));
        Some(Zone { after, upto: me })
    }

    pub(super) fn is_right(&self, position: Position) -> bool {
        self.right == Some(position)
    }

    pub(super) fn recheck_due(&self) -> Moment {
        self.recheck_at
    }

    fn is_settled(&self) -> bool {
        self.left_agrees && self.right_agrees && self.agreed == self.left
    }
}

/// Of two beginnings of a zone, the one that leaves less of it. `me` itself stands for the whole ring.
fn nearer(me: Position, one: Position, other: Position) -> Position {
    let width = |after: Position| after.way_to(me).wrapping_sub(1);
    if width(one) <= width(other) { one } else { other }
}

impl RingNode {
    /// Takes note of who the neighbours are by now.
    pub(super) fn refresh_neighbours(&mut self, now: Moment) {
        let position = |leaf: &Leaf| leaf.peer.position;
        let (left, right) = (self.leaves.left().map(position), self.leaves.right().map(position));
        let known = &mut self.neighbours;
        if known.left != left {
            known.left = left;
            known.left_agrees = false;
            known.recheck_at = now;
            if let (Some(left), Some(agreed)) = (known.left, known.agreed) {
                known.agreed = Some(nearer(self.me.position, left, agreed));
            }
        }
        if known.right != right {
            known.right = right;
            known.right_agrees = false;
            known.recheck_at = now;
        }
    }

    /// Another node has said whom it sees. True when that is not what this node sees.
    pub(super) fn on_view(&mut self, from: Position, view: &View, now: Moment) -> bool {
        let me = self.me.position.mark();
        let (seen_right, seen_left) = (view.right == me, view.left == me);
        let known = &mut self.neighbours;
        let (is_left, is_right) = (known.left == Some(from), known.right == Some(from));
        if is_left {
            known.left_agrees = seen_right;
        }
        if is_right {
            known.right_agrees = seen_left;
        }
        if is_left && seen_right && view.active && self.may_reach_to(from, view, now) {
            self.neighbours.agreed = Some(from);
        }
        let known = &mut self.neighbours;
        if is_left != seen_right || is_right != seen_left {
            known.recheck_at = known.recheck_at.min(now + RECHECK);
        }
        // It sees nobody between us, where this node does: are those still there? Whole stretches die at once when a network
        // does, and to find that out one after the other takes long.
        if (seen_right && !is_left) || (seen_left && !is_right) {
            let here = self.me.position;
            let (begin, end) = if seen_right { (from, here) } else { (here, from) };
            let between =
                |peer: &Peer| begin.way_to(peer.position) < begin.way_to(end) && peer.position != from;
            for peer in self.leaves().filter(between).collect::<Vec<_>>() {
                self.verify_unless_fresh(peer.position, now);
            }
        }
        is_left != seen_right || is_right != seen_left
    }

    /// The zone may begin where the left neighbour is, who agrees: it does not grow, or nobody can be in what it grows by.
    fn may_reach_to(&mut self, left: Position, view: &View, now: Moment) -> bool {
        let Some(agreed) = self.neighbours.agreed else { return false };
        nearer(self.me.position, left, agreed) == left || self.sees_as_far(left, view.sight, now)
    }

    pub(super) fn verify_unless_fresh(&mut self, position: Position, now: Moment) {
        if let Some(leaf) = self.leaves.get(position)
            && now.since(leaf.heard) > FRESH
        {
            self.verify(leaf.peer, now);
        }
    }

    /// Brings the node's standing in line with what has just happened.
    pub(super) fn settle(&mut self, now: Moment) {
        self.refresh_neighbours(now);
        if self.leaves.len() == 0 {
            self.neighbours.recheck_at = Moment::NEVER;
            self.on_alone(now);
        } else if self.is_joining() {
            let known = &self.neighbours;
            if known.left_agrees && known.right_agrees && !self.is_asking_around() {
                self.neighbours.agreed = self.neighbours.left.map(|left| self.as_far_as_seen(left));
                self.activate(now);
            }
        }
        self.was_among_others |= self.is_active() && self.leaves.len() > 0;
        self.recheck(now);
        if self.zone() != self.zone_told {
            self.zone_told = self.zone();
            self.events.push_back(Event::ZoneChanged);
            self.release_held(true, now);
        }
    }

    fn recheck(&mut self, now: Moment) {
        if self.neighbours.is_settled() {
            self.neighbours.recheck_at = Moment::NEVER;
            self.doubts_since = None;
            self.take_sight();
        } else if self.neighbours.recheck_at <= now {
            self.neighbours.recheck_at = now + RECHECK;
            let both = [self.leaves.left(), self.leaves.right()].map(|leaf| leaf.map(|leaf| leaf.peer));
            for peer in both.into_iter().flatten() {
                self.ask_around(peer, now);
            }
        }
    }

    /// Nothing that was agreed holds any more.
    pub(super) fn unsettle(&mut self, now: Moment) {
        self.neighbours = Neighbours::unknown();
        self.refresh_neighbours(now);
    }

    /// This node is the whole ring.
    pub(super) fn settle_alone(&mut self) {
        self.neighbours = Neighbours::alone(self.me.position);
    }

    /// How this node sees itself.
    pub(super) fn view(&self) -> View {
        let mark = |leaf: Option<&Leaf>| leaf.map_or(self.me.position, |leaf| leaf.peer.position).mark();
        View {
            active: self.is_active(),
            left: mark(self.leaves.left()),
            right: mark(self.leaves.right()),
            place: self.me.place,
            sight: self.sight_ends(),
        }
    }
}
