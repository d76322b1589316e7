//! The leaf set: the nearest nodes on either side of the ring (the patent, [0043]; Pastry, section 2.1).
//!
//! One list in clockwise order from the node itself: the first `side` of it are the right side, the last `side` the left
//! one, and in a ring of no more than twice as many nodes every other node is on both.

use super::moment::Moment;
use super::peer::Peer;
use crate::identity::Position;

/// A node near by, as it was last heard of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf {
    pub(super) peer: Peer,
    /// When anything of it was heard last.
    pub(super) heard: Moment,
    /// The last measured round trip, microseconds; 0 is unmeasured.
    pub(super) round_trip_us: u32,
}

#[derive(Clone, Debug)]
pub(super) struct LeafSet {
    me: Position,
    side: usize,
    leaves: Vec<Leaf>,
    /// Grows with every change.
    changes: u32,
}

impl LeafSet {
    pub(super) fn new(me: Position, side: usize) -> Self {
        Self { me, side, leaves: Vec::with_capacity(2 * side + 1), changes: 0 }
    }

    /// Another number after every change of who is in it.
    pub(super) fn changes(&self) -> u32 {
        self.changes
    }

    /// Clockwise from the node itself.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Leaf> {
        self.leaves.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.leaves.len()
    }

    pub(super) fn right(&self) -> Option<&Leaf> {
        self.leaves.first()
    }

    pub(super) fn left(&self) -> Option<&Leaf> {
        self.leaves.last()
    }

    /// The outermost on the left side, and on the right one. Where one is missing, the one in the middle may be of either
    /// side and is neither's end; nor is one that lies far beyond those before it, which may have filled a gap.
    pub(super) fn ends(&self) -> [Option<&Leaf>; 2] {
        let half = (self.leaves.len() / 2).max(1);
        let way = |at: usize| self.leaves.get(at).map(|leaf| self.me.way_to(leaf.peer.position));
        let back = |at: usize| way(at).map(u128::wrapping_neg);
        let right =
            half - usize::from(is_far(way(half - 1), half.checked_sub(2).and_then(way)) && half >= JUDGED);
        let first = self.leaves.len().saturating_sub(half);
        let left = first + usize::from(is_far(back(first), back(first + 1)) && half >= JUDGED);
        [self.leaves.get(left), self.leaves.get(right - 1)]
    }

    /// True when an end is not to be believed.
    pub(super) fn has_doubtful_end(&self) -> bool {
        let half = (self.leaves.len() / 2).max(1);
        let [left, right] = self.ends().map(|end| end.map(|leaf| leaf.peer.position));
        let outer = |at: usize| self.leaves.get(at).map(|leaf| leaf.peer.position);
        right != outer(half - 1) || left != outer(self.leaves.len().saturating_sub(half))
    }

    pub(super) fn get(&self, position: Position) -> Option<&Leaf> {
        let found = self.find(position).ok()?;
        self.leaves.get(found)
    }

    pub(super) fn get_mut(&mut self, position: Position) -> Option<&mut Leaf> {
        let found = self.find(position).ok()?;
        self.leaves.get_mut(found)
    }

    /// True when a node there belongs in it and is not yet.
    pub(super) fn wants(&self, position: Position) -> bool {
        position != self.me
            && match self.find(position) {
                Ok(_) => false,
                Err(at) => {
                    self.leaves.len() < 2 * self.side || at < self.side || at > self.leaves.len() - self.side
                }
            }
    }

    /// Takes a node in that [`wants`](Self::wants) is true of, and lets go of one that is crowded out.
    pub(super) fn insert(&mut self, leaf: Leaf) {
        if let (true, Err(at)) = (self.wants(leaf.peer.position), self.find(leaf.peer.position)) {
            self.leaves.insert(at, leaf);
            self.changes = self.changes.wrapping_add(1);
            if self.leaves.len() > 2 * self.side {
                self.leaves.remove(self.side);
            }
        }
    }

    pub(super) fn remove(&mut self, position: Position) -> Option<Leaf> {
        let found = self.find(position).ok()?;
        self.changes = self.changes.wrapping_add(1);
        Some(self.leaves.remove(found))
    }

    /// Nodes on the right side, nearest first.
    pub(super) fn right_side(&self) -> &[Leaf] {
        &self.leaves[..self.leaves.len().min(self.side)]
    }

    /// True when all nodes between here and `key` are known, on the side where it is. In a ring of more nodes than the set
    /// has, a set with a gap knows less than it seems to: the node in its middle may belong to either side.
    pub(super) fn covers(&self, key: Position, ring_is_larger: bool) -> bool {
        if !self.is_full() && !ring_is_larger {
            return true;
        }
        let [left, right] = self.ends().map(|end| end.map(|leaf| self.me.way_to(leaf.peer.position)));
        let way = Some(self.me.way_to(key));
        left.is_some() && (way <= right || way > left)
    }

    /// True when neither side has room.
    pub(super) fn is_full(&self) -> bool {
        self.leaves.len() >= 2 * self.side
    }

    /// True when a node there would be nearer than the outermost of its side.
    pub(super) fn encloses(&self, position: Position) -> bool {
        let half = self.leaves.len() / 2;
        self.find(position).is_err_and(|at| at < half || at > self.leaves.len() - half)
    }

    fn find(&self, position: Position) -> Result<usize, usize> {
        let way = self.me.way_to(position);
        self.leaves.binary_search_by_key(&way, |leaf| self.me.way_to(leaf.peer.position))
    }
}

/// True for an end that lies so many times as far away as the one before it: of eight positions drawn at random one does
/// once in two thousand times.
fn is_far(end: Option<u128>, before: Option<u128>) -> bool {
    end.zip(before).is_some_and(|(end, before)| end / FAR > before)
}

const FAR: u128 = 3;
/// Fewer nodes on a side say nothing about how far the next one should be.
const JUDGED: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::NodeId;

    fn leaf(position: u128) -> Leaf {
        let peer = Peer::new(NodeId([0; 32]), "10.0.0.1:1".parse().unwrap());
        Leaf { peer: Peer { position: Position(position), ..peer }, heard: Moment::ZERO, round_trip_us: 0 }
    }

    fn positions(set: &LeafSet) -> Vec<u128> {
        set.iter().map(|leaf| leaf.peer.position.0).collect()
    }

    #[test]
    fn the_nearest_on_either_side_stay() {
        let mut set = LeafSet::new(Position(100), 2);
        for position in [500, 300, 90, 110, 120, 10, u128::MAX] {
            set.insert(leaf(position));
        }
        assert_eq!(positions(&set), [110, 120, 10, 90]);
        assert!(set.wants(Position(105)) && set.wants(Position(50)));
        assert!(!set.wants(Position(130)) && !set.wants(Position(5)), "crowded out");
        assert!(!set.wants(Position(100)) && !set.wants(Position(90)), "oneself, and one that is there");
        let ends = set.ends().map(|end| end.unwrap().peer.position.0);
        assert_eq!(ends, [10, 120]);
        assert!([115, 120, 50].iter().all(|key| set.covers(Position(*key), true)));
        assert!([121, 10, 0].iter().all(|key| !set.covers(Position(*key), true)));
    }

    #[test]
    fn a_node_far_away_that_has_filled_a_gap_is_no_end() {
        let mut set = LeafSet::new(Position(1_000), 4);
        for position in [1_010, 1_020, 1_030, 9_000, 990, 980, 970, 960] {
            set.insert(leaf(position));
        }
        assert!(set.has_doubtful_end());
        assert_eq!(set.ends().map(|end| end.unwrap().peer.position.0), [960, 1_030]);
        assert!(!set.covers(Position(5_000), true) && set.covers(Position(1_025), true));
        assert!(set.wants(Position(1_040)));
        set.insert(leaf(1_040));
        assert!(!set.has_doubtful_end() && set.get(Position(9_000)).is_none());
        assert_eq!(set.ends().map(|end| end.unwrap().peer.position.0), [960, 1_040]);
    }

    #[test]
    fn a_small_ring_is_known_whole() {
        let mut set = LeafSet::new(Position(100), 2);
        assert_eq!(set.ends().map(|end| end.is_some()), [false, false]);
        assert!(set.covers(Position(7), false) && !set.covers(Position(7), true));
        set.insert(leaf(5));
        set.insert(leaf(200));
        assert_eq!(set.left().unwrap().peer.position, Position(5));
        assert_eq!(set.right().unwrap().peer.position, Position(200));
        assert!(set.covers(Position(50), false) && set.covers(Position(150), false));
        assert_eq!(set.remove(Position(5)).unwrap().peer.position, Position(5));
        assert_eq!(set.left().unwrap().peer.position, Position(200));
        assert!(set.remove(Position(5)).is_none());
    }
}
