//! What a report may say and be believed. Who lies can hide what is below it, and nobody else can tell; what it cannot do is speak
//! for more than its part of the space: its numbers must agree with each other, its helpers stand where they could be below
//! it, and its nodes be no more than several times those that a part of this size has elsewhere.
//!
//! A node's position is hashed from its key, so that keys which fit a small part have to be looked for.

use super::Somo;
use super::report::Report;
use super::tree::{Fanout, Point};
use crate::identity::Position;

/// How many times as many nodes as elsewhere a part of the space may hold, and so many more: leaf sets tell a pool's size within
/// a third, and small parts differ.
const CROWDED: f64 = 4.0;
const CROWDED_MORE: f64 = 24.0;

impl Somo {
    /// How many nodes there would be if all the space were as full as it is around this one.
    pub(in crate::pool) fn set_crowd(&mut self, nodes: f64) {
        self.crowd = Some(nodes);
    }

    /// True when a child of one of this node's points may say this.
    pub(super) fn believes(&self, point: Position, report: &Report) -> bool {
        let Some(point) = at(self.config.fanout, point) else { return false };
        let share = point.share();
        let most = self.crowd.map_or(f64::INFINITY, |crowd| crowd * share * CROWDED + CROWDED_MORE);
        report.is_consistent()
            && f64::from(report.nodes) <= most
            && report.helpers.iter().all(|helper| point.may_have_below(helper.peer.position))
    }
}

impl Report {
    /// True when its numbers agree with each other: every node is counted once by age and once by each priority, and all lenders
    /// are nodes, all helpers lenders.
    fn is_consistent(&self) -> bool {
        let counted = |histogram: &[u32]| histogram.iter().map(|count| u64::from(*count)).sum::<u64>();
        let nodes = u64::from(self.nodes);
        self.free.iter().all(|histogram| counted(histogram) == nodes)
            && self.ages.nodes() == nodes
            && self.lenders <= self.nodes
            && self.helpers.len() <= self.lenders as usize
    }
}

/// The point with this key: even fan-outs have no two.
fn at(fanout: Fanout, key: Position) -> Option<Point> {
    let mut level = Some(Point::root(fanout));
    while let Some(above) = level {
        let point = above.of_level_at(key);
        if point.key() == key {
            return Some(point);
        }
        level = point.below();
    }
    None
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::super::{Ages, Content, Offer, SomoConfig, SomoMessage};
    use super::*;
    use crate::identity::NodeId;
    use crate::pool::moment::Moment;
    use crate::pool::peer::Peer;
    use crate::pool::position::Zone;
    use crate::pool::somo::Pace;

    fn peer(random: &mut StdRng) -> Peer {
        Peer::new(NodeId(random.random()), ([10, 0, 0, 1], 1).into())
    }

    fn report(random: &mut StdRng, lie: impl Fn(&mut Report)) -> Report {
        let lends = Offer { lends: true, free: [3; 3], ..Offer::default() };
        let mut report = Report::of(peer(random), lends);
        report.merge(&Report::of(peer(random), Offer::default()), 5);
        lie(&mut report);
        report
    }

    #[test]
    fn the_root_counts_what_children_say_and_no_more_than_they_can_know() {
        let random = &mut StdRng::seed_from_u64(2);
        let fanout = Fanout::default();
        let root = Point::root(fanout);
        let zone = Zone { after: Position(root.key().0 - 9), upto: Position(root.key().0 + 9) };
        let lies: [&dyn Fn(&mut Report); 6] = [
            &|report| report.nodes = u32::MAX,
            &|report| report.lenders = 900,
            &|report| report.free[1][3] += 1,
            &|report| report.ages = Ages::default(),
            &|report| report.helpers = vec![report.helpers[0]; 100],
            // Consistent, and more than such a pool has.
            &|report| {
                let twice = report.clone();
                (0..14).for_each(|_| report.merge(&report.clone(), 0));
                report.helpers = twice.helpers;
                report.ages.prune();
            },
        ];
        let mut somo = Somo::new(SomoConfig::default(), 0.5, Moment::ZERO);
        let me = peer(random);
        somo.on_zone(Some(zone), Moment::ZERO);
        somo.set_crowd(40.0);
        let mut tell = |report: Report| {
            let (point, number, round, generation, pace) = (root.key(), 1, 0, 0, Pace::default());
            let content = Content::Whole(Box::new(report));
            let up = SomoMessage::Up { point, number, round, generation, pace, content };
            let from = peer(random);
            somo.on_message(from, up, me, Moment::ZERO);
            somo.gathered(me, Moment::ZERO).nodes
        };
        let honest = &mut StdRng::seed_from_u64(3);
        assert_eq!(tell(report(honest, |_| {})), 3);
        for lie in lies {
            assert_eq!(tell(report(honest, lie)), 3, "what is not believed is not counted");
        }
        assert_eq!(tell(report(honest, |_| {})), 5);
    }
}
