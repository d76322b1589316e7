//! Diameter, by who covers whom from the middle: a tree of diameter D has its middle on a link (a, b), x from a, which is
//! the nearer end (x <= l(a, b) / 2), and every member is within D / 2 of it. So besides b, the node a has d(a) - 1
//! children at most, whose covers (`cover`) reach D / 2 - x from a, and b's cover reaches D / 2 + x from a; all together,
//! a among them, they are all members. The least D for which there are such a, x and children is a lower bound on the
//! diameter.
//!
//! The place of the middle is cut into stretches: a stretch from x to y is ruled out if there are no such children even
//! if those of a reach D / 2 - x and that of b reaches D / 2 + y; one that is not is halved, down to a least length.

use super::cover::{Covers, Set};
use super::{NODES_MAX, ROUNDING, mean_link};
use crate::instance::Instance;

/// A bound on the diameter that is `known` or better.
pub(super) fn diameter_bound(instance: &Instance<'_>, known: f64) -> f64 {
    if instance.members < 3 || known <= 0.0 || instance.len() > NODES_MAX {
        return known;
    }
    let middle = Middle { instance, covers: Covers::new(instance, mean_link, None, spread(instance)) };
    let mut least = known * RAISED_MAX;
    for a in middle.likely_first() {
        if !middle.may_be_at(a, least - known * STEP_MIN) {
            continue;
        }
        let (mut below, mut above) = (known, least);
        while above - below > known * STEP_MIN {
            let diameter = f64::midpoint(below, above);
            if middle.may_be_at(a, diameter) {
                above = diameter;
            } else {
                below = diameter;
            }
        }
        least = below;
        if least <= known {
            return known;
        }
    }
    least
}

struct Middle<'a> {
    instance: &'a Instance<'a>,
    covers: Covers<'a>,
}

impl Middle<'_> {
    /// Nodes that may be the end next to the middle, those nearest to all members first.
    fn likely_first(&self) -> Vec<usize> {
        let widest = |node: usize| self.covers.paths(node).fold(0.0, f32::max);
        let mut nodes: Vec<usize> = (0..self.instance.len())
            .filter(|&node| node < self.instance.members || self.instance.degree[node] >= 2)
            .collect();
        nodes.sort_by(|&a, &b| widest(a).total_cmp(&widest(b)).then(a.cmp(&b)));
        nodes
    }

    /// Whether as far as this looks there may be a tree of that diameter whose middle is nearest to `a`.
    fn may_be_at(&self, a: usize, diameter: f64) -> bool {
        self.covers.ask(a);
        let half = diameter as f32 * (1.0 + ROUNDING) / 2.0;
        let shortest = half * STRETCH_MIN;
        let mut stretches = vec![(0.0, half)];
        while let Some((x, y)) = stretches.pop() {
            let fine = y - x <= shortest;
            if !(1..=if fine { DEPTH } else { 1 }).all(|depth| self.may_be_within(a, half, (x, y), depth)) {
                continue;
            }
            if fine {
                return true;
            }
            let halfway = f32::midpoint(x, y);
            stretches.extend([(halfway, y), (x, halfway)]);
        }
        false
    }

    /// The same for a middle between `x` and `y` from `a`, looking `depth` links down.
    fn may_be_within(&self, a: usize, half: f32, (x, y): (f32, f32), depth: u32) -> bool {
        let covers = &self.covers;
        let row = covers.row(a);
        let near: Vec<f32> = row.iter().map(|link| half - x - link).collect();
        let beyond: Vec<f32> = row
            .iter()
            .map(|link| if *link < 2.0 * x { -1.0 } else { half + y.min(link / 2.0) - link })
            .collect();
        let (near_sets, beyond_sets) = (covers.reached(&near), covers.reached(&beyond));
        let all = covers.all();
        let own = covers.own(a);
        // What only b can cover.
        let left_over = near_sets.iter().enumerate().filter(|&(node, _)| node != a);
        let left_over = all & !left_over.fold(own, |union: Set, (_, set)| union | set);
        if !beyond_sets.iter().enumerate().any(|(node, &set)| node != a && left_over & !set == 0) {
            return false;
        }
        let beyond_sets =
            beyond_sets.into_iter().map(|set| if left_over & !set == 0 { set } else { 0 }).collect();
        let beyond = covers.greatest(a, &beyond, beyond_sets, depth);
        let children = self.instance.degree[a].saturating_sub(1);
        let near = covers.greatest(a, &near, near_sets, depth).unions(children, own, all);
        beyond.0.iter().any(|far| near.0.iter().any(|near| near | far == all))
    }
}

/// Members, those first that are farthest from another one.
fn spread(instance: &Instance<'_>) -> Vec<usize> {
    let farthest = |member: usize| {
        (0..instance.members)
            .map(|other| mean_link(instance, member, other))
            .filter(|latency| latency.is_finite())
            .fold(0.0, f64::max)
    };
    let mut members: Vec<usize> = (0..instance.members).collect();
    members.sort_by(|&a, &b| farthest(b).total_cmp(&farthest(a)).then(a.cmp(&b)));
    members
}

/// Links below the middle's ends at which covers are looked at.
const DEPTH: u32 = 3;
/// How closely the bound is sought, as a share of it; and how much more of the known one is thought possible.
const STEP_MIN: f64 = 0.000_5;
const RAISED_MAX: f64 = 4.0;
/// Shortest stretch that is looked at for the middle, as a share of half the diameter.
const STRETCH_MIN: f32 = 0.002;
