//! The part of a problem that an algorithm works on: members first, then the helpers that it may use, renumbered
//! densely, with the cost of every link by rows. A link's cost is its latency and the hop cost; a forbidden link costs
//! infinity.
//!
//! A row is laid out when it is first needed: a plan for 20 members with 500 helpers reads few of the helpers' rows, and
//! in a millisecond there is no time to copy the others. Where both directions of every link cost the same, the row of
//! either end will do.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Range;

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
    /// Nodes that each may not talk to; empty if nothing is forbidden.
    forbidden: Vec<Vec<u32>>,
    /// Whether both directions of a link cost the same: as measured, or because `cost` is their mean.
    directions: Cost,
    /// Stretches of `nodes` that ascend by one: (first, end), in local numbers.
    stretches: Vec<Range<usize>>,
    rows: Vec<OnceCell<Box<[f32]>>>,
}

/// How the two directions of a link relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    /// Measured alike.
    Same,
    /// Each its own.
    Apart,
    /// Measured apart, counted as their mean.
    Mean,
}

impl<'a> Instance<'a> {
    /// The members and those helpers that `wanted` accepts by degree.
    pub(crate) fn new(problem: &'a Problem, wanted: impl Fn(u32) -> bool) -> Self {
        let mut nodes = problem.members.clone();
        if problem.max_helpers != Some(0) {
            nodes.extend(problem.helpers.iter().copied().filter(|&h| wanted(problem.degrees[h].0)));
        }
        let members = problem.members.len();
        let forbidden = forbidden(&nodes, problem);
        let directions = if problem.latency.is_symmetric() { Cost::Same } else { Cost::Apart };
        Self {
            problem,
            members,
            degree: nodes.iter().map(|&node| problem.degrees[node].0).collect(),
            helpers_max: problem.max_helpers.unwrap_or(usize::MAX).min(nodes.len() - members),
            forbids: !forbidden.is_empty(),
            forbidden,
            directions,
            stretches: stretches(&nodes),
            rows: vec![OnceCell::new(); nodes.len()],
            nodes,
        }
    }

    /// The members alone.
    pub(crate) fn without_helpers(problem: &'a Problem) -> Self {
        Self::new(problem, |_| false)
    }

    /// The same with one cost for both directions of a link, their mean; `None` if that changes nothing.
    pub(crate) fn with_mean_costs(&self) -> Option<Self> {
        (self.directions == Cost::Apart).then(|| Self {
            nodes: self.nodes.clone(),
            degree: self.degree.clone(),
            forbidden: self.forbidden.clone(),
            directions: Cost::Mean,
            stretches: self.stretches.clone(),
            rows: vec![OnceCell::new(); self.nodes.len()],
            ..*self
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn is_helper(&self, node: usize) -> bool {
        node >= self.members
    }

    pub(crate) fn helpers(&self) -> Range<usize> {
        self.members..self.nodes.len()
    }

    /// Cost of the link, infinite if it cannot exist.
    #[inline]
    pub(crate) fn cost(&self, from: usize, to: usize) -> f64 {
        f64::from(match self.rows[from].get() {
            Some(row) => row[to],
            None => self.cost_elsewhere(from, to),
        })
    }

    fn cost_elsewhere(&self, from: usize, to: usize) -> f32 {
        let row = if self.directions == Cost::Apart { None } else { self.rows[to].get() };
        row.map_or_else(|| self.costs(from)[to], |row| row[from])
    }

    /// Costs of the links from `from`, by node.
    #[inline]
    pub(crate) fn costs(&self, from: usize) -> &[f32] {
        self.rows[from].get_or_init(|| self.laid_out(from))
    }

    /// Costs of the links to `node`, by node, if they are a row: where both directions of every link cost the same.
    pub(crate) fn costs_back(&self, node: usize) -> Option<&[f32]> {
        (self.directions != Cost::Apart).then(|| self.costs(node))
    }

    /// Costs of the links from each of `from` to `node`.
    pub(crate) fn costs_to(&self, node: usize, from: Range<usize>) -> Cow<'_, [f32]> {
        if self.directions == Cost::Apart {
            Cow::Owned(from.map(|from| self.costs(from)[node]).collect())
        } else {
            Cow::Borrowed(&self.costs(node)[from])
        }
    }

    #[cold]
    fn laid_out(&self, from: usize) -> Box<[f32]> {
        let latency = &self.problem.latency;
        let here = self.nodes[from];
        let row = latency.row(here);
        let mut costs = Vec::with_capacity(self.nodes.len());
        for stretch in &self.stretches {
            let first = self.nodes[stretch.start];
            costs.extend_from_slice(&row[first..first + stretch.len()]);
        }
        if self.directions == Cost::Mean {
            for (cost, &there) in costs.iter_mut().zip(&self.nodes) {
                *cost = f32::midpoint(*cost, latency.row(there)[here]);
            }
        }
        let hop = self.problem.hop_cost.ms();
        if hop != 0.0 {
            for cost in &mut costs {
                *cost = (f64::from(*cost) + hop) as f32;
            }
        }
        if let Some(forbidden) = self.forbidden.get(from) {
            for &other in forbidden {
                costs[other as usize] = f32::INFINITY;
            }
        }
        costs.into_boxed_slice()
    }

    pub(crate) fn may_link(&self, a: usize, b: usize) -> bool {
        self.cost(a, b).is_finite()
    }

    /// Cost of the root's link to the member that is farthest from it.
    pub(crate) fn farthest(&self) -> f64 {
        f64::from(self.costs(0)[..self.members].iter().copied().fold(0.0, f32::max))
    }

    /// Latency of the link, as a plan is judged: without hop cost.
    pub(crate) fn latency(&self, from: usize, to: usize) -> f64 {
        self.problem.latency.ms(self.nodes[from], self.nodes[to])
    }
}

/// For each of `nodes`, those of them that it may not talk to; nothing if that is nobody.
fn forbidden(nodes: &[NodeIndex], problem: &Problem) -> Vec<Vec<u32>> {
    if problem.forbidden.is_empty() {
        return Vec::new();
    }
    let local: BTreeMap<NodeIndex, u32> = nodes.iter().copied().zip(0..).collect();
    let mut forbidden = vec![Vec::new(); nodes.len()];
    for (a, b) in &problem.forbidden {
        if let (Some(&a), Some(&b)) = (local.get(a), local.get(b)) {
            forbidden[a as usize].push(b);
            forbidden[b as usize].push(a);
        }
    }
    if forbidden.iter().all(Vec::is_empty) { Vec::new() } else { forbidden }
}

/// `nodes` in stretches that ascend by one.
fn stretches(nodes: &[NodeIndex]) -> Vec<Range<usize>> {
    let mut stretches: Vec<Range<usize>> = Vec::new();
    for at in 0..nodes.len() {
        match stretches.last_mut() {
            Some(last) if nodes[at] == nodes[at - 1] + 1 => last.end = at + 1,
            _ => stretches.push(at..at + 1),
        }
    }
    stretches
}
