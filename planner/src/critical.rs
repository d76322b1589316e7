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
        let (unlinked, farthest) = reach(instance, &siblings);
        let mut best: Option<((bool, u32, f64), usize)> = None;
        for helper in self.candidates(growth, parent) {
            if !instance.may_link(helper, node) {
                continue;
            }
            let at = helper - instance.members;
            let likely = if self.criterion == Criterion::TableB { f64::from(farthest[at]) } else { 0.0 };
            let cost = instance.cost(parent, helper) + likely;
            let rank = (instance.degree[helper] < wanted, unlinked[at], cost);
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

/// For each helper, how many of `nodes` it cannot talk to, and the cost of its link to the farthest of the others.
fn reach(instance: &Instance<'_>, nodes: &[usize]) -> (Vec<u32>, Vec<f32>) {
    let helpers = instance.helpers();
    let mut unlinked = vec![0; helpers.len()];
    let mut farthest = vec![0.0_f32; helpers.len()];
    for &node in nodes {
        let costs = instance.costs_to(node, helpers.clone());
        for ((unlinked, farthest), &cost) in unlinked.iter_mut().zip(&mut farthest).zip(&*costs) {
            *unlinked += u32::from(cost.is_infinite());
            *farthest = farthest.max(if cost.is_infinite() { 0.0 } else { cost });
        }
    }
    (unlinked, farthest)
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
