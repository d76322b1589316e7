//! Overcast: Jannotti, Gifford, Johnson, Kaashoek, O'Toole, "Overcast: reliable multicasting with an overlay network",
//! OSDI 2000.
//!
//! A node that joins starts at the root and goes down, to the child through which its bandwidth to the root is no worse
//! than where it is (within a tenth); of several such children, to the closest. It stays where all children are worse.
//! Later it looks again from time to time: below a sibling if that costs no bandwidth, below its grandparent if that
//! brings some.
//!
//! Simplified: there are no bandwidths in a latency matrix, and Overcast's own probe, the time to fetch 10 kB, is a few
//! round trips. So the bandwidth of a link is the inverse of its latency, and that of a path is that of its longest
//! link. A node without a free link refuses; who is refused goes on to the best of its children below which there is
//! room. So degrees are kept. Members join in an order drawn from the seed, and look again `REVIEWS` times.

use rand::seq::SliceRandom;

use super::generator;
use super::joining::Joining;
use crate::draft::Draft;
use crate::instance::Instance;
use crate::names::Algorithm;
use crate::plan_error::PlanError;

pub(super) fn draft(instance: &Instance<'_>) -> Result<Draft, PlanError> {
    let mut rng = generator(instance, Algorithm::Overcast);
    let mut joining = Joining::new(instance)?;
    joining.outside.shuffle(&mut rng);
    let nodes = instance.len();
    let mut tree = Overcast { joining, children: vec![Vec::new(); nodes], longest: vec![0.0; nodes] };
    while !tree.joining.outside.is_empty() {
        let node = tree.joining.next()?;
        let parent = match tree.descend(node) {
            Some(parent) => parent,
            None => tree.nearest_open(node).ok_or(PlanError::Stuck(instance.nodes[node]))?,
        };
        tree.joining.attach(node, parent);
        tree.children[parent].push(node);
        tree.longest[node] = tree.below(parent, node);
    }
    for _ in 0..REVIEWS {
        for node in tree.joining.inside.clone() {
            tree.review(node);
        }
    }
    Ok(tree.joining.into_draft())
}

struct Overcast<'a> {
    joining: Joining<'a>,
    children: Vec<Vec<usize>>,
    /// The longest link between a node and the root: the inverse of its bandwidth.
    longest: Vec<f64>,
}

impl Overcast<'_> {
    /// The longest link to the root for `node` if it hung below `parent`.
    fn below(&self, parent: usize, node: usize) -> f64 {
        self.longest[parent].max(self.joining.instance.cost(parent, node))
    }

    fn is_open(&self, parent: usize, node: usize) -> bool {
        self.joining.free[parent] > 0 && self.joining.instance.may_link(parent, node)
    }

    /// From the root down to where `node` stays.
    fn descend(&self, node: usize) -> Option<usize> {
        let mut at = 0;
        loop {
            let here = if self.is_open(at, node) { self.below(at, node) } else { f64::INFINITY };
            let roomy = self.children[at].iter().copied().filter(|&child| self.has_room(child));
            let least = roomy.clone().map(|child| self.below(child, node)).fold(f64::INFINITY, f64::min);
            let limit = if here.is_finite() { here } else { least } * WITHIN;
            let cost = |child: usize| self.joining.instance.cost(child, node);
            let closest = roomy
                .filter(|&child| self.below(child, node) <= limit)
                .min_by(|&a, &b| cost(a).total_cmp(&cost(b)));
            match closest {
                Some(child) => at = child,
                None => return here.is_finite().then_some(at),
            }
        }
    }

    /// Whether there is a free link at or below `top`.
    fn has_room(&self, top: usize) -> bool {
        let mut open = vec![top];
        while let Some(node) = open.pop() {
            if self.joining.free[node] > 0 {
                return true;
            }
            open.extend_from_slice(&self.children[node]);
        }
        false
    }

    fn nearest_open(&self, node: usize) -> Option<usize> {
        self.joining.open_to(node).min_by(|&a, &b| self.below(a, node).total_cmp(&self.below(b, node)))
    }

    /// Lets `node` move below a sibling or its grandparent.
    fn review(&mut self, node: usize) {
        if node == 0 {
            return;
        }
        let above = self.joining.parent[node];
        let now = self.longest[node];
        let cost = |parent: usize| self.joining.instance.cost(parent, node);
        let sibling = (self.children[above].iter().copied())
            .filter(|&sibling| sibling != node && self.is_open(sibling, node))
            .filter(|&sibling| self.below(sibling, node) <= now)
            .min_by(|&a, &b| cost(a).total_cmp(&cost(b)));
        let grandparent = (above != 0)
            .then(|| self.joining.parent[above])
            .filter(|&up| self.is_open(up, node) && self.below(up, node) * WITHIN < now);
        let Some(parent) = grandparent.or(sibling) else { return };
        self.children[above].retain(|&child| child != node);
        self.children[parent].push(node);
        self.joining.free[above] += 1;
        self.joining.free[parent] -= 1;
        self.joining.parent[node] = parent;
        let mut open = vec![node];
        while let Some(moved) = open.pop() {
            self.longest[moved] = self.below(self.joining.parent[moved], moved);
            open.extend_from_slice(&self.children[moved]);
        }
    }
}

/// Bandwidths within a tenth of each other count as equal, as published.
const WITHIN: f64 = 1.1;
/// How often each node looks for a better place after all have joined.
const REVIEWS: usize = 3;
