//! The part of a problem that an algorithm works on: members first, then the helpers that it may use, renumbered
//! densely, with the cost of every link in one table. A link's cost is its latency and the hop cost; a forbidden link
//! costs infinity.

use std::collections::BTreeMap;

use crate::problem::Problem;
use crate::units::NodeIndex;

/// A dense view of a `Problem`. Node numbers in it are local: `nodes` maps them back, 0 is the root.
pub(crate) struct Instance<'a> {
    pub(crate) problem: &'a Problem,
    pub(crate) nodes: Vec<NodeIndex>,
    pub(crate) members: usize,
    pub(crate) degree: Vec<u32>,
    /// Most helpers that a tree may hold.
    pub(crate) helpers_max: usize,
    pub(crate) forbids: bool,
    cost: Vec<f32>,
}

impl<'a> Instance<'a> {
    /// The members and those helpers that `wanted` accepts by degree.
    pub(crate) fn new(problem: &'a Problem, wanted: impl Fn(u32) -> bool) -> Self {
        let mut nodes = problem.members.clone();
        if problem.max_helpers != Some(0) {
            nodes.extend(problem.helpers.iter().copied().filter(|&h| wanted(problem.degrees[h].0)));
        }
        let members = problem.members.len();
        let hop = problem.hop_cost.ms();
        let mut cost = Vec::with_capacity(nodes.len() * nodes.len());
        for &from in &nodes {
            let row = problem.latency.row(from);
            if hop == 0.0 {
                cost.extend(nodes.iter().map(|&to| row[to]));
            } else {
                cost.extend(nodes.iter().map(|&to| (f64::from(row[to]) + hop) as f32));
            }
        }
        let forbids = forbid(&mut cost, &nodes, problem);
        let helpers_max = problem.max_helpers.unwrap_or(usize::MAX).min(nodes.len() - members);
        let degree = nodes.iter().map(|&node| problem.degrees[node].0).collect();
        Self { problem, nodes, members, degree, helpers_max, forbids, cost }
    }

    /// The members alone.
    pub(crate) fn without_helpers(problem: &'a Problem) -> Self {
        Self::new(problem, |_| false)
    }

    /// The same with one cost for both directions of a link, their mean; `None` if that changes nothing.
    pub(crate) fn with_mean_costs(&self) -> Option<Self> {
        let nodes = self.nodes.len();
        let mut cost = Vec::new();
        for a in 0..nodes {
            for b in 0..a {
                let (there, back) = (self.cost[a * nodes + b], self.cost[b * nodes + a]);
                if there != back {
                    if cost.is_empty() {
                        cost.clone_from(&self.cost);
                    }
                    cost[a * nodes + b] = f32::midpoint(there, back);
                    cost[b * nodes + a] = cost[a * nodes + b];
                }
            }
        }
        if cost.is_empty() {
            return None;
        }
        Some(Self { nodes: self.nodes.clone(), degree: self.degree.clone(), cost, ..*self })
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn is_helper(&self, node: usize) -> bool {
        node >= self.members
    }

    pub(crate) fn helpers(&self) -> std::ops::Range<usize> {
        self.members..self.nodes.len()
    }

    /// Cost of the link, infinite if it cannot exist.
    #[inline]
    pub(crate) fn cost(&self, from: usize, to: usize) -> f64 {
        f64::from(self.cost[from * self.nodes.len() + to])
    }

    /// Costs of the links from `from`, by node.
    #[inline]
    pub(crate) fn costs(&self, from: usize) -> &[f32] {
        &self.cost[from * self.nodes.len()..][..self.nodes.len()]
    }

    pub(crate) fn may_link(&self, a: usize, b: usize) -> bool {
        self.cost(a, b).is_finite()
    }

    /// Latency of the link, as a plan is judged: without hop cost.
    pub(crate) fn latency(&self, from: usize, to: usize) -> f64 {
        self.problem.latency.ms(self.nodes[from], self.nodes[to])
    }
}

/// Sets the cost of forbidden links to infinity; says whether there was any.
fn forbid(cost: &mut [f32], nodes: &[NodeIndex], problem: &Problem) -> bool {
    if problem.forbidden.is_empty() {
        return false;
    }
    let local: BTreeMap<NodeIndex, usize> = nodes.iter().enumerate().map(|(at, &node)| (node, at)).collect();
    let mut any = false;
    for (a, b) in &problem.forbidden {
        if let (Some(&a), Some(&b)) = (local.get(a), local.get(b)) {
            cost[a * nodes.len() + b] = f32::INFINITY;
            cost[b * nodes.len() + a] = f32::INFINITY;
            any = true;
        }
    }
    any
}
