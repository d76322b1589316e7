//! The logical tree (the patent, [0056] to [0058]): drawn over the position space, not over the nodes. Level i has k^i points,
//! the j-th at the middle of its share of the space, (2j + 1) / 2k^i. A node finds its representative, the highest point in
//! its zone, and that point's parent from the zone alone.
//!
//! The patent lets j run below 2^i; it is k^i. With an odd k a child of the root would sit on the root, so k is even.

use crate::identity::Position;
use crate::pool::position::Zone;

/// How many children a logical point has: even, 2 to 64.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fanout(u64);

/// A point of the logical tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Point {
    fanout: Fanout,
    level: u32,
    /// Which of the level's `width` points, counted clockwise from zero.
    index: u64,
    /// k to the level.
    width: u64,
}

impl Fanout {
    /// `None` unless it is even and in range.
    #[must_use]
    pub fn new(children: u32) -> Option<Self> {
        (children.is_multiple_of(2) && (2..=64).contains(&children)).then_some(Self(children.into()))
    }

    /// How many.
    #[must_use]
    pub fn children(self) -> u64 {
        self.0
    }
}

impl Default for Fanout {
    /// The patent's example: depth 6 at 100,000 nodes.
    fn default() -> Self {
        Self(8)
    }
}

impl Point {
    /// The point of the whole space.
    #[must_use]
    pub fn root(fanout: Fanout) -> Self {
        Self { fanout, level: 0, index: 0, width: 1 }
    }

    /// The highest point in a zone; of several as high, the first clockwise. `None` for a zone of less than 2^-58 of the
    /// ring, in which no point lies that could be told apart.
    #[must_use]
    pub fn representative(fanout: Fanout, zone: Zone) -> Option<Self> {
        let mut level = Self::root(fanout);
        loop {
            let share = level.share_of(zone.after);
            let first = [share, (share + 1) % level.width].map(|index| Self { index, ..level });
            if let Some(found) = first.into_iter().find(|point| zone.contains(point.key())) {
                return Some(found);
            }
            let width = level.width.checked_mul(fanout.0).filter(|width| *width <= WIDTH_MAX)?;
            level = Self { level: level.level + 1, width, ..level };
        }
    }

    /// Where it is.
    #[must_use]
    pub fn key(self) -> Position {
        // floor((2j + 1) * 2^128 / 2k^i), in two steps of 64 bits.
        let (numerator, divisor) = (u128::from(2 * self.index + 1) << 64, u128::from(2 * self.width));
        let (high, rest) = (numerator / divisor, numerator % divisor);
        Position((high << 64) | ((rest << 64) / divisor))
    }

    /// The point above; `None` above the root.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        (self.level > 0).then(|| Self {
            level: self.level - 1,
            index: self.index / self.fanout.0,
            width: self.width / self.fanout.0,
            ..self
        })
    }

    /// The point of one share of a level; nothing if there is none.
    #[must_use]
    pub fn at(fanout: Fanout, level: u8, index: u64) -> Option<Self> {
        let width = fanout.0.checked_pow(level.into()).filter(|width| *width <= WIDTH_MAX)?;
        (index < width).then_some(Self { fanout, level: level.into(), index, width })
    }

    /// The point of the same level in whose share of the space a position lies.
    pub(super) fn of_level_at(self, position: Position) -> Self {
        Self { index: self.share_of(position), ..self }
    }

    /// The first of the points below it; nothing below the lowest level.
    pub(super) fn below(self) -> Option<Self> {
        let width = self.width.checked_mul(self.fanout.0).filter(|width| *width <= WIDTH_MAX)?;
        Some(Self { level: self.level + 1, index: self.index * self.fanout.0, width, ..self })
    }

    /// The share of the space that is its own, 0 to 1.
    pub(super) fn share(self) -> f64 {
        1.0 / self.width as f64
    }

    /// True when a node there can report to it, directly or by others: it is less than a share away. Zones on the way down
    /// from here reach into the shares on both sides, and host what is below the points there, but none has the middle of
    /// such a share in it, or its representative would be that.
    pub(super) fn may_have_below(self, position: Position) -> bool {
        let (there, here) = (position.0, self.key().0);
        let apart = there.wrapping_sub(here).min(here.wrapping_sub(there));
        self.level == 0 || apart < u128::MAX / u128::from(self.width)
    }

    /// True when a position lies in its share of the space.
    #[must_use]
    pub fn holds(self, position: Position) -> bool {
        self.share_of(position) == self.index
    }

    /// How far below the root.
    #[must_use]
    pub fn level(self) -> u32 {
        self.level
    }

    /// Which of the level's shares of the space a position lies in.
    fn share_of(self, position: Position) -> u64 {
        // floor(position * k^i / 2^128), in two halves: k^i has 58 bits at most.
        let width = u128::from(self.width);
        let (high, low) = (position.0 >> 64, position.0 & u128::from(u64::MAX));
        ((high * width + ((low * width) >> 64)) >> 64) as u64
    }
}

/// Points of the lowest level: all arithmetic stays within 128 bits.
const WIDTH_MAX: u64 = 1 << 58;

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn keys_are_the_middles_of_their_shares() {
        let fanout = Fanout::new(4).unwrap();
        let root = Point::root(fanout);
        assert_eq!(root.key(), Position(1 << 127));
        let quarter = Point { level: 1, index: 2, width: 4, ..root };
        assert_eq!(quarter.key(), Position(5 << 125));
        assert_eq!(quarter.parent(), Some(root));
        assert_eq!(root.parent(), None);
        let six = Point { fanout: Fanout(6), level: 1, index: 0, width: 6 };
        assert_eq!(six.key(), Position(u128::MAX / 12));
        assert!([0, 1, 3, 7, 66].into_iter().all(|odd| Fanout::new(odd).is_none()));
    }

    #[test]
    fn whatever_the_zones_the_machines_form_one_tree() {
        let random = &mut StdRng::seed_from_u64(1);
        for children in [2, 4, 6, 8, 10, 64] {
            let fanout = Fanout::new(children).unwrap();
            for nodes in [1, 2, 3, 10, 300] {
                let mut positions: Vec<Position> = (0..nodes).map(|_| Position(random.random())).collect();
                positions.sort();
                let zone = |at: usize| {
                    let after = positions[(at + nodes - 1) % nodes];
                    Zone { after, upto: positions[at] }
                };
                let owner = |key: Position| (0..nodes).find(|at| zone(*at).contains(key)).unwrap();
                let points: Vec<Point> =
                    (0..nodes).map(|at| Point::representative(fanout, zone(at)).unwrap()).collect();
                let mut roots = 0;
                for (at, point) in points.iter().enumerate() {
                    assert!(zone(at).contains(point.key()));
                    match point.parent() {
                        None => roots += 1,
                        Some(parent) => {
                            let above = owner(parent.key());
                            // Strictly higher at each step: no cycle, and every way ends at the root.
                            assert!(above != at && points[above].level() < point.level());
                        }
                    }
                }
                assert_eq!(roots, 1);
                for (node, position) in positions.iter().enumerate() {
                    let mut at = node;
                    while let Some(above) = points[at].parent() {
                        assert!(above.may_have_below(*position), "{nodes} nodes, {fanout:?}");
                        at = owner(above.key());
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_below_a_point_is_less_than_a_share_away() {
        let fanout = Fanout::default();
        let point = Point::at(fanout, 2, 5).unwrap();
        let width = u128::MAX / 64;
        for (shares, below) in
            [(4.4, false), (4.6, true), (5.1, true), (6.4, true), (6.6, false), (37.5, false)]
        {
            let position = Position((width as f64 * shares) as u128);
            assert_eq!(point.may_have_below(position), below, "{shares}");
        }
        let first = Point::at(fanout, 2, 0).unwrap();
        assert!(first.may_have_below(Position(u128::MAX - width / 3)), "around zero");
        assert!(Point::root(fanout).may_have_below(Position(7)));
    }

    #[test]
    fn a_zone_without_room_has_no_point() {
        let zone = |width: u128| Zone { after: Position(77 << 100), upto: Position((77 << 100) + width) };
        assert_eq!(Point::representative(Fanout::default(), zone(1)), None);
        assert!(Point::representative(Fanout::default(), zone(1 << 80)).is_some());
    }
}
