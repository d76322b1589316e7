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
//! A tree that is known beforehand bounds the search (`limit`): whatever hangs below v in a tree no worse leaves room for
//! the way to v, and for the diameter for the way from v to each of the others; and no subtree is lower than the paths to
//! its nodes are long. So most pairs of a node and a subset are out of the question, and many others are settled when the
//! first way to share them out meets that bound.
//!
//! O(3^N N D) time and O(2^N N D) memory over N nodes of degree at most D at worst; with a good tree to start from,
//! `EXACT_NODES_MAX` nodes take some milliseconds.

use crate::adjust::adjust;
use crate::critical::{Criterion, HelperLimits};
use crate::draft::Draft;
use crate::instance::Instance;
use crate::latency::shortest_paths;
use crate::names::{Algorithm, Objective};
use crate::plan_error::PlanError;
use crate::problem::Problem;
use crate::search::{check_degrees, grown_within};

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

/// The optimum.
pub(super) fn draft(instance: &Instance<'_>) -> Result<Draft, PlanError> {
    let objective = instance.problem.objective();
    let nodes = 0..instance.len();
    let differ = |a: usize| nodes.clone().any(|b| instance.cost(a, b) != instance.cost(b, a));
    if objective == Objective::Diameter && nodes.clone().any(differ) {
        return Err(PlanError::DirectionsDiffer(Algorithm::Exact));
    }
    let limits = HelperLimits { most: instance.helpers_max, min_degree: 2, radius: f64::INFINITY };
    check_degrees(instance, limits)?;
    let known = [HelperLimits::NONE, limits].map(|limits| {
        let grown = grown_within(instance, Criterion::TableB, limits);
        grown.map_or(f64::INFINITY, |draft| adjust(draft, instance).value(instance))
    });
    let unreached = instance.nodes[instance.members - 1];
    no_worse(instance, known[0].min(known[1]), &mut |_| true).ok_or(PlanError::Stuck(unreached))
}

/// The optimum, if it is no worse than `known` and if `more` lets the search go on, which is told now and then how many
/// subsets it has looked at. Directions have to cost the same for the diameter.
pub(crate) fn no_worse(
    instance: &Instance<'_>,
    known: f64,
    more: &mut dyn FnMut(u64) -> bool,
) -> Option<Draft> {
    within(instance, known * (1.0 + ROUNDING), more)
}

/// The same if it is better than `known`, which takes less time to rule out.
pub(crate) fn better(
    instance: &Instance<'_>,
    known: f64,
    more: &mut dyn FnMut(u64) -> bool,
) -> Option<Draft> {
    within(instance, known * (1.0 - ROUNDING), more)
}

fn within(instance: &Instance<'_>, known: f64, more: &mut dyn FnMut(u64) -> bool) -> Option<Draft> {
    let objective = instance.problem.objective();
    let table = Table::new(instance, objective, known, more)?;
    let links = match objective {
        Objective::Height | Objective::Forest => table.least_height(),
        Objective::Diameter => table.least_diameter(),
    };
    Some(Draft::hung_from_root(instance.len(), &links?).without_idle_helpers(instance))
}

struct Table<'a> {
    instance: &'a Instance<'a>,
    subsets: usize,
    /// Whether a tree hangs from the root, or from anywhere.
    hangs: bool,
    /// No tree that is sought is worse.
    known: f64,
    /// Of each node: the shortest paths to all.
    paths: Vec<Vec<f64>>,
    /// Of each node: what can be below it at all.
    around: Vec<usize>,
    /// Of each node: the shortest paths of two links or more to all.
    longer: Vec<Vec<f64>>,
    /// Most children of a node that has a parent.
    children: Vec<usize>,
    /// Of each node: numbers of the subsets of what can be below it.
    numbers: Vec<Numbers>,
    /// Of each node, by number of children and number of the subset. The first row, no children, is a leaf's.
    below: Vec<Vec<Vec<f64>>>,
    branch: Vec<Vec<f64>>,
    /// Of each node, by the lowest bit: numbers of the subsets that may be one branch of it.
    branches: Vec<Vec<Vec<u16>>>,
    /// Subsets that have been looked at.
    looked_at: u64,
}

impl<'a> Table<'a> {
    fn new(
        instance: &'a Instance<'a>,
        objective: Objective,
        known: f64,
        more: &mut dyn FnMut(u64) -> bool,
    ) -> Option<Self> {
        let nodes = instance.len();
        let subsets = 1 << nodes;
        let hangs = objective == Objective::Height;
        let paths: Vec<Vec<f64>> = (0..nodes)
            .map(|from| {
                shortest_paths(nodes, from, |a, b| {
                    let cost = instance.cost(a, b);
                    ((a == from || instance.degree[a] >= 2) && cost.is_finite()).then_some(cost)
                })
            })
            .collect();
        let room = |node: usize| if hangs { known - paths[0][node] } else { known / 2.0 };
        let around: Vec<usize> = (0..nodes)
            .map(|node| {
                let others = (0..nodes).filter(|&other| other != node && !(hangs && other == 0));
                others.filter(|&other| paths[node][other] <= room(node)).map(|other| 1 << other).sum()
            })
            .collect();
        let children: Vec<usize> = (0..nodes)
            .map(|node| (instance.degree[node] as usize).saturating_sub(1).min(nodes - 1))
            .collect();
        let none = |node: usize| {
            let mut row = vec![f64::INFINITY; 1 << around[node].count_ones()];
            row[0] = 0.0;
            row
        };
        let below = (0..nodes)
            .map(|node| {
                let own = if node == 0 && hangs { instance.degree[0] as usize } else { children[node] };
                (0..=own.min(around[node].count_ones() as usize)).map(|_| none(node)).collect()
            })
            .collect::<Vec<Vec<_>>>();
        let children = children.iter().zip(&below).map(|(&most, rows)| most.min(rows.len() - 1)).collect();
        let branch = (0..nodes).map(none).collect();
        let numbers = around.iter().map(|&around| Numbers::new(around)).collect();
        let longer = (0..nodes)
            .map(|from| {
                let over = |to: usize| {
                    let relays = (0..nodes).filter(|&relay| relay != from && relay != to);
                    let able = relays.filter(|&relay| instance.degree[relay] >= 2);
                    able.map(|relay| instance.cost(from, relay) + paths[relay][to])
                        .fold(f64::INFINITY, f64::min)
                };
                (0..nodes).map(over).collect()
            })
            .collect();
        let mut table = Self {
            instance,
            subsets,
            hangs,
            known,
            paths,
            around,
            longer,
            children,
            numbers,
            below,
            branch,
            branches: vec![vec![Vec::new(); nodes]; nodes],
            looked_at: 0,
        };
        let members = (1 << instance.members) - 2;
        if hangs && members != 0 && table.floor(0, members, known) > known {
            return None;
        }
        // Nothing hangs the root below another node when the height is measured from it.
        let step = if hangs { 2 } else { 1 };
        let mut told = 0;
        for set in (step..subsets).step_by(step) {
            table.fill(set);
            if table.looked_at - told >= SUBSETS_A_REPORT {
                if !more(table.looked_at - told) {
                    return None;
                }
                told = table.looked_at;
            }
        }
        Some(table)
    }

    fn fill(&mut self, set: usize) {
        for node in (0..self.instance.len()).filter(|node| set >> node & 1 == 0) {
            if set & !self.around[node] != 0 {
                continue;
            }
            let limit = self.limit(node, set);
            let floor = self.floor(node, set, limit);
            if floor > limit {
                continue;
            }
            let within = |value: f64| if value <= limit { value } else { f64::INFINITY };
            let one = bits(set).map(|top| self.branch_over(node, top, set)).fold(f64::INFINITY, f64::min);
            self.looked_at += u64::from(set.count_ones());
            let one = within(one);
            // From here on by number: the nodes keep their order in it.
            let number = self.numbers[node].of(set);
            let (least, rest) = (number & number.wrapping_neg(), number & (number - 1));
            self.branch[node][number] = one;
            let lowest = least.trailing_zeros() as usize;
            if one.is_finite() {
                self.branches[node][lowest].push(number as u16);
            }
            let (branch, branches) = (&self.branch[node], &self.branches[node][lowest]);
            for k in 1..self.below[node].len() {
                let (fewer, this) = self.below[node].split_at_mut(k);
                let fewer = &fewer[k - 1];
                let mut best = fewer[number].min(one);
                if k > 1 && best > floor {
                    let mut consider = |one: usize| {
                        let value = branch[one];
                        if value < best {
                            best = best.min(value.max(fewer[number ^ one]));
                        }
                        best > floor
                    };
                    if branches.len() < 1 << rest.count_ones() {
                        let mut parts =
                            branches.iter().map(|&one| usize::from(one)).filter(|one| one & !number == 0);
                        parts.all(&mut consider);
                        self.looked_at += branches.len() as u64;
                    } else {
                        let mut part = rest;
                        while part != 0 {
                            part = (part - 1) & rest;
                            if !consider(part | least) {
                                break;
                            }
                        }
                        self.looked_at += 1 << rest.count_ones();
                    }
                }
                this[0][number] = within(best);
            }
        }
    }

    /// What `set` cannot hang below `node` lower than: by the longest of the shortest paths, and, if that is within
    /// `limit`, by the paths of two links or more, over which all but as many as there can be children are reached.
    fn floor(&self, node: usize, set: usize, limit: f64) -> f64 {
        let farthest = self.farthest(node, set);
        let children = self.below[node].len() - 1;
        if farthest > limit || set.count_ones() as usize <= children {
            return farthest;
        }
        let mut longer = [0.0; EXACT_NODES_MAX];
        for (count, other) in bits(set).enumerate() {
            // Sorted, the greatest first.
            let value = self.longer[node][other];
            let mut at = count;
            while at > 0 && longer[at - 1] < value {
                longer[at] = longer[at - 1];
                at -= 1;
            }
            longer[at] = value;
        }
        farthest.max(longer[children])
    }

    /// The longest of the shortest paths from `node` to one of `set`: nothing hangs lower.
    fn farthest(&self, node: usize, set: usize) -> f64 {
        bits(set).map(|other| self.paths[node][other]).fold(0.0, f64::max)
    }

    /// How far down `set` may hang below `node` in a tree that is no worse than what is known.
    fn limit(&self, node: usize, set: usize) -> f64 {
        if self.hangs {
            return self.known - self.paths[0][node];
        }
        let members = (1 << self.instance.members) - 1;
        (self.known / 2.0).min(self.known - self.farthest(node, members & !set))
    }

    /// `set` as one branch below `node`, with `top` highest in it.
    fn branch_over(&self, node: usize, top: usize, set: usize) -> f64 {
        self.instance.cost(node, top) + self.below(top, self.children[top], set & !(1 << top))
    }

    /// The least height of a tree with `node` on top over `set` and at most `k` children of `node`.
    fn below(&self, node: usize, k: usize, set: usize) -> f64 {
        if set & !self.around[node] != 0 {
            return f64::INFINITY;
        }
        self.below[node][k][self.numbers[node].of(set)]
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
        let height = |span: usize| self.below(0, row, span & !1);
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
                    let height = |end: usize, side: usize| self.below(end, self.children[end], side);
                    let mut part = rest;
                    loop {
                        let (h, g) = (height(a, part), height(b, rest ^ part));
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
            let height = self.below(node, k, set);
            if k > 1 && self.below(node, k - 1, set) == height {
                k -= 1;
                continue;
            }
            let (least, rest) = (set & set.wrapping_neg(), set & (set - 1));
            let mut part = rest;
            while part != 0 {
                let branch = self.branch[node][self.numbers[node].of(part | least)];
                if branch.max(self.below(node, k - 1, rest ^ part)) == height {
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

/// Numbers the subsets of a set without gaps and in their order.
struct Numbers {
    /// Of the lower and the upper half of the nodes.
    halves: [[u16; 1 << HALF]; 2],
}

impl Numbers {
    fn new(set: usize) -> Self {
        let mut halves = [[0; 1 << HALF]; 2];
        let shift = (set & ((1 << HALF) - 1)).count_ones();
        for (at, half) in halves.iter_mut().enumerate() {
            let within = set >> (at * HALF);
            for (part, number) in half.iter_mut().enumerate() {
                let places = bits(within).enumerate().filter(|(_, node)| part >> node & 1 == 1);
                let packed: u16 = places.map(|(place, _)| 1 << place).sum();
                *number = if at == 0 { packed } else { packed << shift };
            }
        }
        Self { halves }
    }

    /// The number of a subset.
    fn of(&self, subset: usize) -> usize {
        let [low, high] = &self.halves;
        usize::from(low[subset & ((1 << HALF) - 1)] | high[subset >> HALF])
    }
}

/// The nodes of a set.
fn bits(set: usize) -> impl Iterator<Item = usize> + Clone {
    let mut rest = set;
    std::iter::from_fn(move || {
        let bit = (rest != 0).then(|| rest.trailing_zeros() as usize);
        rest &= rest.wrapping_sub(1);
        bit
    })
}

/// Half of the nodes.
const HALF: usize = EXACT_NODES_MAX / 2;
/// What sums of the same latencies in another order may differ by, and more.
const ROUNDING: f64 = 1e-9;
/// Subsets between two reports: some microseconds.
const SUBSETS_A_REPORT: u64 = 4_096;
