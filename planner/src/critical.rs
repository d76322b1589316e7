//! The critical node algorithm: Table A with Section A ([0083], [0084]) and the helper criterion of Table B ([0086]).
//!
//! When a parent p is about to give its last free link to a node u, a helper h is sought that takes the link instead
//! and becomes u's parent. Of the helpers with degree at least `helper_min_degree` and within `radius` of p, it is the
//! one for which l(p, h) + max l(h, v) is least, over all outside nodes v whose best parent is p: they are h's likely
//! children. h's own link to p counts towards its degree. Members absorbed later weigh h and u alike as parents.
//!
//! `ClosestToParent` is the first variation ([0085]): the same trigger, but the helper nearest to p. Either takes
//! O(N H) a call over N outside nodes and H helpers, and is called less than twice a member.
//!
//! Beyond the tables: where the members' degrees fall short of a tree, helpers are taken whose degree makes up for it,
//! and a member that nobody in the tree may talk to is reached through helpers.

use crate::draft::NONE;
use crate::instance::Instance;
use crate::table_a::{Growth, SectionA};

/// How helpers are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Criterion {
    /// Table B: near the parent and the likely children.
    TableB,
    /// [0085]: near the parent.
    ClosestToParent,
}

/// Which helpers may be looked at: Table B, conditions 2 and 3, and a limit on their number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HelperLimits {
    pub(crate) most: usize,
    pub(crate) min_degree: u32,
    /// One way, in milliseconds, hop cost aside.
    pub(crate) radius: f64,
}

impl HelperLimits {
    /// No helper.
    pub(crate) const NONE: Self = Self { most: 0, min_degree: u32::MAX, radius: 0.0 };

    /// The problem's own, and at most `most` helpers.
    pub(crate) fn of(instance: &Instance<'_>, most: usize) -> Self {
        Self {
            most: most.min(instance.helpers_max),
            min_degree: instance.problem.helper_min_degree.max(2),
            radius: instance.problem.radius.map_or(f64::INFINITY, |radius| radius.ms()),
        }
    }

    fn admit(&self, instance: &Instance<'_>, parent: usize, helper: usize) -> bool {
        instance.degree[helper] >= self.min_degree
            && instance.may_link(parent, helper)
            && (self.radius.is_infinite() || instance.latency(parent, helper) < self.radius)
    }
}

/// Section A, under limits on the helpers.
pub(crate) struct CriticalNode {
    criterion: Criterion,
    limits: HelperLimits,
}

impl CriticalNode {
    pub(crate) fn new(criterion: Criterion, limits: HelperLimits) -> Self {
        Self { criterion, limits }
    }

    /// Helpers that may be looked at: not in the tree yet, and within `radius` of `parent`.
    fn candidates<'g>(&self, growth: &'g Growth<'_>, parent: usize) -> impl Iterator<Item = usize> + 'g {
        let instance = growth.instance;
        let limits = self.limits;
        let left = if growth.helpers < limits.most { instance.helpers() } else { 0..0 };
        left.filter(move |&helper| !growth.is_inside(helper) && limits.admit(instance, parent, helper))
    }

    /// Least degree with which the helpers that may still come make up for what the members' degrees lack.
    fn degree_wanted(&self, growth: &Growth<'_>) -> u32 {
        let after: i64 = growth.outside.iter().map(|&v| i64::from(growth.instance.degree[v]) - 2).sum();
        let short = -(after + i64::try_from(growth.slots).unwrap_or(i64::MAX));
        let left = i64::try_from(self.limits.most - growth.helpers).unwrap_or(i64::MAX);
        if short <= 0 || left == 0 { 0 } else { u32::try_from((short - 1) / left + 3).unwrap_or(u32::MAX) }
    }
}

impl SectionA for CriticalNode {
    fn find_helper(&mut self, growth: &Growth<'_>, node: usize) -> Option<usize> {
        if growth.helpers >= self.limits.most {
            return None;
        }
        let instance = growth.instance;
        let parent = growth.parent[node];
        let siblings: Vec<usize> =
            growth.outside.iter().copied().filter(|&other| growth.parent[other] == parent).collect();
        let wanted = self.degree_wanted(growth);
        let siblings = Siblings::new(instance, parent, siblings);
        let mut best: Option<((bool, usize, f64), usize)> = None;
        for helper in self.candidates(growth, parent) {
            if !instance.may_link(helper, node) {
                continue;
            }
            let few = instance.degree[helper] < wanted;
            let cost = instance.cost(parent, helper);
            let rank = match self.criterion {
                Criterion::ClosestToParent => (few, siblings.unlinked(helper), cost),
                Criterion::TableB => {
                    // Most helpers are out of the question for the farthest siblings alone.
                    let least = (few, 0, cost + siblings.least_reach(helper));
                    if best.is_some_and(|(best, _)| least >= best) {
                        continue;
                    }
                    (few, siblings.unlinked(helper), cost + siblings.reach(helper))
                }
            };
            if best.is_none_or(|(least, _)| rank < least) {
                best = Some((rank, helper));
            }
        }
        best.map(|(_, helper)| helper)
    }

    fn find_bridge(&mut self, growth: &Growth<'_>) -> Option<Vec<usize>> {
        let instance = growth.instance;
        let left = self.limits.most.saturating_sub(growth.helpers);
        let mut distance = vec![f64::INFINITY; instance.len()];
        let mut before = vec![NONE; instance.len()];
        for &node in growth.inside.iter().filter(|&&node| growth.free[node] > 0) {
            distance[node] = growth.height[node];
        }
        // One round a helper: after round k, distances are over at most k of them.
        let mut reached = growth.inside.clone();
        for _ in 0..left {
            let mut next = Vec::new();
            let so_far = distance.clone();
            for &from in reached.iter().filter(|&&from| so_far[from].is_finite()) {
                for helper in self.candidates(growth, from) {
                    let there = so_far[from] + instance.cost(from, helper);
                    if there < distance[helper] {
                        distance[helper] = there;
                        before[helper] = from;
                        next.push(helper);
                    }
                }
            }
            let target = (growth.outside.iter())
                .filter(|&&node| growth.keeps_open(node))
                .flat_map(|&node| next.iter().map(move |&helper| (helper, node)))
                .map(|(helper, node)| (distance[helper] + instance.cost(helper, node), helper, node))
                .filter(|(height, ..)| height.is_finite())
                .min_by(|a, b| a.0.total_cmp(&b.0));
            if let Some((_, helper, node)) = target {
                return Some(way_back(&before, helper, node));
            }
            if next.is_empty() {
                return None;
            }
            reached = next;
        }
        None
    }
}

/// The outside nodes whose best parent is the same.
struct Siblings<'a> {
    instance: &'a Instance<'a>,
    /// Those farthest from the parent first.
    nodes: Vec<usize>,
    /// For each helper, the cost of its link to the farthest of the first few, as far as there is one.
    least: Vec<f32>,
}

impl<'a> Siblings<'a> {
    fn new(instance: &'a Instance<'a>, parent: usize, mut nodes: Vec<usize>) -> Self {
        let costs = instance.costs(parent);
        nodes.sort_by(|&a, &b| costs[b].total_cmp(&costs[a]));
        let helpers = instance.helpers();
        let mut least = vec![0.0_f32; helpers.len()];
        for &node in nodes.iter().take(SIBLINGS_FIRST) {
            let costs = instance.costs_to(node, helpers.clone());
            for (least, &cost) in least.iter_mut().zip(&*costs) {
                *least = if cost > *least && cost < f32::INFINITY { cost } else { *least };
            }
        }
        Self { instance, nodes, least }
    }

    /// No more than `reach`.
    fn least_reach(&self, helper: usize) -> f64 {
        f64::from(self.least[helper - self.instance.members])
    }

    /// The cost of the helper's link to the farthest of those that it can talk to.
    fn reach(&self, helper: usize) -> f64 {
        let costs = self.nodes.iter().map(|&node| self.instance.cost(helper, node));
        costs.filter(|cost| cost.is_finite()).fold(0.0, f64::max)
    }

    /// How many it cannot talk to.
    fn unlinked(&self, helper: usize) -> usize {
        if !self.instance.forbids {
            return 0;
        }
        self.nodes.iter().filter(|&&node| !self.instance.may_link(helper, node)).count()
    }
}

/// From the tree over helpers to `node`, in walking order.
fn way_back(before: &[usize], mut at: usize, node: usize) -> Vec<usize> {
    let mut way = vec![node];
    while at != NONE {
        way.push(at);
        at = before[at];
    }
    way.reverse();
    way
}

/// Siblings that a helper is held against before all others are looked at. A guess.
const SIBLINGS_FIRST: usize = 8;
