//! The optimum of small problems, by dynamic programming over subsets of nodes.
//!
//! `below[v][k][S]`: the least height of a tree over v and exactly the nodes S with v on top and at most k children;
//! `branch[v][S]`: the same where S hangs below v as one branch, the link to it included. A tree is its lowest-numbered
//! node's branch and the rest:
//!
//!   branch[v][S] = min over c in S of l(v, c) + below[c][d(c) - 1][S \ c]
//!   below[v][k][S] = min over T in S, with the least node of S, of max(branch[v][T], below[v][k - 1][S \ T])
//!
//! Height: below[root][d(root)][members and any of the helpers]. Diameter: a tree's diameter has its middle on a link
//! (a, b); with heights h, g of the two sides it is max(h + l(a, b) + g, 2 h, 2 g) for the best such link, which takes
//! directions that cost the same. Of equal trees the one with the fewest helpers is given.
//!
//! O(3^N N D) time and O(2^N N D) memory over N nodes of degree at most D: `EXACT_NODES_MAX` nodes take some 0.2 s.

use crate::critical::HelperLimits;
use crate::draft::Draft;
use crate::instance::Instance;
use crate::names::{Algorithm, Objective};
use crate::plan_error::PlanError;
use crate::problem::Problem;
use crate::search::check_degrees;

/// Most nodes, members and helpers of degree 2 or more together, that `Algorithm::Exact` takes.
pub const EXACT_NODES_MAX: usize = 14;

/// Members and helpers, if they are few enough.
pub(super) fn instance(problem: &Problem) -> Result<Instance<'_>, PlanError> {
    let relays = problem.helpers().iter().filter(|&&helper| problem.degree(helper).0 >= 2).count();
    let helpers = if problem.max_helpers() == Some(0) { 0 } else { relays };
    let nodes = problem.members().len() + helpers;
    if nodes > EXACT_NODES_MAX {
        return Err(PlanError::TooManyNodes { nodes, most: EXACT_NODES_MAX });
    }
    Ok(Instance::new(problem, |degree| degree >= 2))
}

pub(crate) fn draft(instance: &Instance<'_>) -> Result<Draft, PlanError> {
    let objective = instance.problem.objective();
    let nodes = 0..instance.len();
    let differ = |a: usize| nodes.clone().any(|b| instance.cost(a, b) != instance.cost(b, a));
    if objective == Objective::Diameter && nodes.clone().any(differ) {
        return Err(PlanError::DirectionsDiffer(Algorithm::Exact));
    }
    check_degrees(
        instance,
        HelperLimits { most: instance.helpers_max, min_degree: 2, radius: f64::INFINITY },
    )?;
    let table = Table::new(instance, objective);
    let links = match objective {
        Objective::Height | Objective::Forest => table.least_height(),
        Objective::Diameter => table.least_diameter(),
    };
    let unreached = instance.nodes[instance.members - 1];
    let draft = Draft::hung_from_root(instance.len(), &links.ok_or(PlanError::Stuck(unreached))?);
    Ok(draft.without_idle_helpers(instance))
}

struct Table<'a> {
    instance: &'a Instance<'a>,
    subsets: usize,
    /// Most children of a node that has a parent.
    children: Vec<usize>,
    /// Of each node, by number of children and subset. The first row, no children, is a leaf's.
    below: Vec<Vec<Vec<f64>>>,
    branch: Vec<Vec<f64>>,
}

impl<'a> Table<'a> {
    fn new(instance: &'a Instance<'a>, objective: Objective) -> Self {
        let nodes = instance.len();
        let subsets = 1 << nodes;
        let most = |node: usize| (instance.degree[node] as usize).min(nodes - 1);
        let children: Vec<usize> = (0..nodes)
            .map(|node| (instance.degree[node] as usize).saturating_sub(1).min(nodes - 1))
            .collect();
        let none = || {
            let mut row = vec![f64::INFINITY; subsets];
            row[0] = 0.0;
            row
        };
        let below = (0..nodes)
            .map(|node| {
                let rows = if node == 0 && objective == Objective::Height { most(0) } else { children[node] };
                (0..=rows).map(|_| none()).collect()
            })
            .collect();
        let branch = vec![vec![f64::INFINITY; subsets]; nodes];
        let mut table = Self { instance, subsets, children, below, branch };
        // Nothing hangs the root below another node when the height is measured from it.
        let step = if objective == Objective::Height { 2 } else { 1 };
        for set in (step..subsets).step_by(step) {
            table.fill(set);
        }
        table
    }

    fn fill(&mut self, set: usize) {
        let (least, rest) = (set & set.wrapping_neg(), set & (set - 1));
        for node in (0..self.instance.len()).filter(|node| set >> node & 1 == 0) {
            self.branch[node][set] =
                bits(set).map(|top| self.branch_over(node, top, set)).fold(f64::INFINITY, f64::min);
            let branch = &self.branch[node];
            for k in 1..self.below[node].len() {
                let (fewer, this) = self.below[node].split_at_mut(k);
                let fewer = &fewer[k - 1];
                let mut best = fewer[set].min(branch[set]);
                if k > 1 {
                    let mut part = rest;
                    while part != 0 {
                        part = (part - 1) & rest;
                        let one = branch[part | least];
                        if one < best {
                            best = best.min(one.max(fewer[set ^ (part | least)]));
                        }
                    }
                }
                this[0][set] = best;
            }
        }
    }

    /// `set` as one branch below `node`, with `top` highest in it.
    fn branch_over(&self, node: usize, top: usize, set: usize) -> f64 {
        self.instance.cost(node, top) + self.below[top][self.children[top]][set & !(1 << top)]
    }

    /// All sets of nodes that a tree may be over, those with the fewest helpers first.
    fn spans(&self) -> Vec<usize> {
        let members = (1 << self.instance.members) - 1;
        let mut spans: Vec<usize> = (0..self.subsets)
            .filter(|set| set & members == members)
            .filter(|set| (set & !members).count_ones() as usize <= self.instance.helpers_max)
            .collect();
        spans.sort_by_key(|set| set.count_ones());
        spans
    }

    fn least_height(&self) -> Option<Vec<(usize, usize)>> {
        let row = self.below[0].len() - 1;
        let height = |span: usize| self.below[0][row][span & !1];
        let mut best = (f64::INFINITY, 0);
        for span in self.spans() {
            if height(span) < best.0 {
                best = (height(span), span);
            }
        }
        let mut links = Vec::new();
        best.0.is_finite().then(|| self.unfold(0, row, best.1 & !1, &mut links))?;
        Some(links)
    }

    fn least_diameter(&self) -> Option<Vec<(usize, usize)>> {
        if self.instance.members == 1 {
            return Some(Vec::new());
        }
        let mut best = (f64::INFINITY, [0; 2], [0; 2]);
        for span in self.spans() {
            for a in bits(span) {
                for b in bits(span).filter(|&b| b > a) {
                    let rest = span & !(1 << a) & !(1 << b);
                    let link = self.instance.cost(a, b);
                    let heights = [a, b].map(|end| &self.below[end][self.children[end]]);
                    let mut part = rest;
                    loop {
                        let (h, g) = (heights[0][part], heights[1][rest ^ part]);
                        let diameter = (h + link + g).max(2.0 * h).max(2.0 * g);
                        if diameter < best.0 {
                            best = (diameter, [a, b], [part, rest ^ part]);
                        }
                        if part == 0 {
                            break;
                        }
                        part = (part - 1) & rest;
                    }
                }
            }
        }
        let (diameter, ends, sides) = best;
        let mut links = vec![(ends[0], ends[1])];
        for (end, side) in ends.into_iter().zip(sides) {
            if diameter.is_finite() {
                self.unfold(end, self.children[end], side, &mut links);
            }
        }
        diameter.is_finite().then_some(links)
    }

    /// Adds the links of the tree that `below[node][k][set]` measures.
    fn unfold(&self, node: usize, k: usize, set: usize, links: &mut Vec<(usize, usize)>) {
        let (mut k, mut set) = (k, set);
        while set != 0 {
            let height = self.below[node][k][set];
            if k > 1 && self.below[node][k - 1][set] == height {
                k -= 1;
                continue;
            }
            let (least, rest) = (set & set.wrapping_neg(), set & (set - 1));
            let mut part = rest;
            while part != 0 {
                if self.branch[node][part | least].max(self.below[node][k - 1][rest ^ part]) == height {
                    break;
                }
                part = (part - 1) & rest;
            }
            let one = part | least;
            let top = bits(one)
                .min_by(|&a, &b| self.branch_over(node, a, one).total_cmp(&self.branch_over(node, b, one)))
                .expect("a branch has a node");
            links.push((node, top));
            self.unfold(top, self.children[top], one & !(1 << top), links);
            set ^= one;
            k -= 1;
        }
    }
}

/// The nodes of a set.
fn bits(set: usize) -> impl Iterator<Item = usize> + Clone {
    (0..usize::BITS as usize).filter(move |bit| set >> bit & 1 == 1)
}
