//! What the nodes of a planning job measured of each other, and what a plan comes to on it.

use std::collections::{BTreeMap, BTreeSet};

use alm_planner::{LatencyMatrix, Objective, OneWay, Plan};

use super::plan::SessionPlan;
use crate::identity::NodeId;
use crate::pool::{NodeReport, Place};

/// What each relay costs beside the path, one way: receiving, opening, sealing, sending, and the wait for a core.
pub(super) const HOP_COST_MS: f64 = 2.0;
/// Nodes up to which the shortest way over any others is looked for: the work grows with the third power.
const AROUND_MAX: usize = 200;
/// Taken for a pair of which nothing at all is known, round trip.
const UNKNOWN_RTT_MS: f64 = 200.0;

/// One-way latencies between nodes, which have numbers here.
pub(super) struct Delays {
    index: BTreeMap<NodeId, usize>,
    /// Row by row.
    one_way_ms: Vec<f64>,
    measured: Vec<bool>,
    forbidden: BTreeSet<(usize, usize)>,
}

impl Delays {
    /// Half the mean of what both ends measured, now or for an earlier plan. A pair that nobody has measured yet costs what
    /// the places of both foretell, or else, a joiner's say, the shortest way over others.
    pub(super) fn new(
        nodes: &[(NodeId, u32)],
        reports: &[NodeReport],
        probed: &[(NodeId, NodeId, f32)],
    ) -> Self {
        let index: BTreeMap<NodeId, usize> =
            nodes.iter().enumerate().map(|(i, (node, _))| (*node, i)).collect();
        let measured = measured_ms(&index, reports, probed);
        let one_way_ms = one_way_ms(&measured, &foretold_ms(&index, reports));
        let measured = measured.iter().map(Option::is_some).collect();
        Self { index, one_way_ms, measured, forbidden: BTreeSet::new() }
    }

    /// These pairs cannot talk.
    pub(super) fn forbidding(mut self, pairs: &BTreeSet<(NodeId, NodeId)>) -> Self {
        let both = pairs.iter().filter_map(|(a, b)| Some((self.index(*a)?, self.index(*b)?)));
        self.forbidden = both.flat_map(|(a, b)| [(a, b), (b, a)]).collect();
        self
    }

    /// The two cannot talk.
    pub(super) fn is_forbidden(&self, a: usize, b: usize) -> bool {
        self.forbidden.contains(&(a, b))
    }

    /// Somebody has measured that pair.
    pub(super) fn is_measured(&self, a: usize, b: usize) -> bool {
        self.measured[a * self.index.len() + b]
    }

    /// Links between the first `members` nodes and helpers that nobody has measured, (member, helper), all of one helper
    /// together: first those of the helper over which the members' longest ways would be shortest, as far as one can
    /// tell.
    pub(super) fn promising(&self, members: usize) -> Vec<(usize, usize)> {
        let n = self.index.len();
        let pairs = (0..members).flat_map(|a| (0..a).map(move |b| (a, b)));
        let mut longest: Vec<(usize, usize)> = pairs.collect();
        longest.sort_by(|(a, b), (c, d)| self.one_way_ms[c * n + d].total_cmp(&self.one_way_ms[a * n + b]));
        longest.truncate(members);
        let gain = |helper: usize| -> f64 {
            let over = |(a, b): &(usize, usize)| {
                self.one_way_ms[a * n + b] - self.hop_ms(*a, helper) - self.one_way_ms[helper * n + b]
            };
            longest.iter().map(over).sum()
        };
        let is_new = |helper: usize| move |member: &usize| !self.is_measured(*member, helper);
        let mut helpers: Vec<(f64, usize)> = (members..n).map(|helper| (gain(helper), helper)).collect();
        helpers.sort_by(|a, b| b.0.total_cmp(&a.0));
        let links = |(_, helper)| (0..members).filter(is_new(helper)).map(move |member| (member, helper));
        helpers.into_iter().flat_map(links).filter(|(a, b)| !self.is_forbidden(*a, *b)).collect()
    }

    pub(super) fn index(&self, node: NodeId) -> Option<usize> {
        self.index.get(&node).copied()
    }

    /// One way over a link between two nodes, the relay at its end included.
    pub(super) fn hop_ms(&self, from: usize, to: usize) -> f64 {
        self.one_way_ms[from * self.index.len() + to] + HOP_COST_MS
    }

    pub(super) fn matrix(&self) -> LatencyMatrix {
        let n = self.index.len();
        LatencyMatrix::from_one_way(n, |from, to| {
            OneWay::from_ms(self.one_way_ms[from * n + to]).unwrap_or(OneWay::ZERO)
        })
    }

    /// A session's plan by numbers. Nodes that are not here have numbers from behind all others on.
    pub(super) fn numbered(&self, plan: &SessionPlan) -> Plan {
        let mut strangers: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut number = |node: NodeId| {
            let next = self.index.len() + strangers.len();
            self.index(node).unwrap_or_else(|| *strangers.entry(node).or_insert(next))
        };
        let trees: Vec<alm_planner::Tree> = plan
            .trees
            .iter()
            .map(|tree| alm_planner::Tree {
                sources: tree.sources.iter().map(|source| number(*source)).collect(),
                edges: tree.edges.iter().map(|(a, b)| (number(*a), number(*b))).collect(),
            })
            .collect();
        let mut members: Vec<usize> = trees.iter().flat_map(|tree| tree.sources.iter().copied()).collect();
        let root = number(plan.root);
        members.sort_unstable_by_key(|member| (*member != root, *member));
        members.dedup();
        Plan {
            objective: plan.objective,
            root,
            members,
            helpers: plan.helpers.iter().map(|helper| number(*helper)).collect(),
            trees,
            height: OneWay::ZERO,
            diameter: OneWay::ZERO,
        }
    }

    /// What a plan comes to, hop costs included: the largest delay from the root, or of any pair; in a forest and whatever
    /// stands in its place, the largest and the mean one together. `None` when a node is not here any more.
    pub(super) fn value_ms(&self, plan: &Plan, objective: Objective) -> Option<f64> {
        let n = self.index.len();
        let (mut worst, mut sum, mut pairs) = (0.0_f64, 0.0, 0.0);
        for tree in &plan.trees {
            let mut links: Vec<Vec<usize>> = vec![Vec::new(); n];
            for (a, b) in &tree.edges {
                if *a.max(b) >= n {
                    return None;
                }
                links[*a].push(*b);
                links[*b].push(*a);
            }
            let counts = |source: &&usize| objective != Objective::Height || **source == plan.root;
            let mut sources: Vec<usize> =
                tree.sources.iter().filter(counts).copied().filter(|source| *source < n).collect();
            let all_speak = plan.trees.len() == 1 && tree.sources.len() == plan.members.len();
            if objective == Objective::Diameter && all_speak {
                // One end of the longest way is whoever is farthest from anybody, since both directions take the same time.
                sources = sources
                    .first()
                    .and_then(|any| self.farthest(*any, &plan.members, &links))
                    .into_iter()
                    .collect();
            }
            for source in &sources {
                let delay = self.from(*source, &links);
                for to in plan.members.iter().filter(|to| *to != source) {
                    if let Some(delay) = delay.get(*to).filter(|delay| delay.is_finite()) {
                        worst = worst.max(*delay);
                        sum += delay;
                        pairs += 1.0;
                    }
                }
            }
        }
        let mean = if pairs > 0.0 { sum / pairs } else { 0.0 };
        Some(if objective == Objective::Forest { worst + mean } else { worst })
    }

    /// Of `members`, whom the links reach last from one of them.
    fn farthest(&self, from: usize, members: &[usize], links: &[Vec<usize>]) -> Option<usize> {
        let delay = self.from(from, links);
        let reached =
            members.iter().copied().filter(|to| delay.get(*to).is_some_and(|delay| delay.is_finite()));
        reached.max_by(|a, b| delay[*a].total_cmp(&delay[*b]))
    }

    /// To every node that the links reach; infinite to others.
    fn from(&self, source: usize, links: &[Vec<usize>]) -> Vec<f64> {
        let n = links.len();
        let mut delay = vec![f64::INFINITY; n];
        delay[source] = 0.0;
        let mut open = vec![source];
        while let Some(at) = open.pop() {
            for next in &links[at] {
                if delay[*next].is_infinite() {
                    delay[*next] = delay[at] + self.one_way_ms[at * n + next] + HOP_COST_MS;
                    open.push(*next);
                }
            }
        }
        delay
    }
}

/// The mean of what was measured of each pair, round trips. What both ends see now counts before an earlier probe.
fn measured_ms(
    index: &BTreeMap<NodeId, usize>,
    reports: &[NodeReport],
    probed: &[(NodeId, NodeId, f32)],
) -> Vec<Option<f64>> {
    let n = index.len();
    let mut sums = vec![(0.0, 0u32); n * n];
    let mut add = |from: NodeId, to: NodeId, ms: f32, only_new: bool| {
        let (Some(from), Some(to)) = (index.get(&from), index.get(&to)) else { return };
        for pair in [from * n + to, to * n + from] {
            if !only_new || sums[pair].1 == 0 {
                sums[pair].0 += f64::from(ms);
                sums[pair].1 += 1;
            }
        }
    };
    for report in reports {
        report.round_trips_ms.iter().for_each(|(to, ms)| add(report.node, *to, *ms, false));
    }
    probed.iter().for_each(|(from, to, ms)| add(*from, *to, *ms, true));
    sums.iter().map(|(sum, count)| (*count > 0).then(|| (sum / f64::from(*count)).max(0.0))).collect()
}

/// What the places of each pair foretell, round trips.
fn foretold_ms(index: &BTreeMap<NodeId, usize>, reports: &[NodeReport]) -> Vec<Option<f64>> {
    let n = index.len();
    let mut foretold = vec![None; n * n];
    let placed: Vec<(usize, Place)> =
        reports.iter().filter_map(|report| Some((*index.get(&report.node)?, report.place))).collect();
    for (a, here) in &placed {
        for (b, there) in &placed {
            foretold[a * n + b] = here.round_trip(*there).map(|trip| trip.as_secs_f64() * 1_000.0);
        }
    }
    foretold
}

fn one_way_ms(measured: &[Option<f64>], foretold: &[Option<f64>]) -> Vec<f64> {
    let n = measured.len().isqrt();
    let mut shortest: Vec<f64> = measured.iter().map(|rtt| rtt.unwrap_or(f64::INFINITY)).collect();
    let unknown = |(pair, rtt): (usize, &Option<f64>)| {
        rtt.is_none() && foretold[pair].is_none() && pair / n != pair % n
    };
    if measured.iter().enumerate().any(unknown) {
        // In a large session, over the manager alone: it has measured everybody.
        for via in 0..if n > AROUND_MAX { 1 } else { n } {
            for from in 0..n {
                let first = shortest[from * n + via];
                for to in 0..n {
                    let around = first + shortest[via * n + to];
                    let direct = &mut shortest[from * n + to];
                    *direct = direct.min(around);
                }
            }
        }
    }
    let rtt = |pair: usize| match measured[pair].or(foretold[pair]) {
        _ if pair / n == pair % n => 0.0,
        Some(rtt) => rtt,
        None if shortest[pair].is_finite() => shortest[pair],
        None => UNKNOWN_RTT_MS,
    };
    (0..n * n).map(|pair| rtt(pair) / 2.0).collect()
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn the_longest_way_is_found_from_one_of_its_ends() {
        let random = &mut StdRng::seed_from_u64(3);
        let node = |n: usize| NodeId([n as u8; 32]);
        for count in 2..40_usize {
            let nodes: Vec<(NodeId, u32)> = (0..count).map(|n| (node(n), 3)).collect();
            let pairs = (0..count).flat_map(|a| (0..a).map(move |b| (a, b)));
            let probed: Vec<_> =
                pairs.map(|(a, b)| (node(a), node(b), random.random_range(1.0..300.0))).collect();
            let delays = Delays::new(&nodes, &[], &probed);
            // The last few help: no way ends at them, wherever they are.
            let members: Vec<usize> = (0..count.div_ceil(2).max(2)).collect();
            let edges: Vec<(usize, usize)> =
                (1..count).map(|child| (random.random_range(0..child), child)).collect();
            let plan = Plan {
                objective: Objective::Diameter,
                root: 0,
                helpers: (members.len()..count).collect(),
                trees: vec![alm_planner::Tree { sources: members.clone(), edges: edges.clone() }],
                members,
                height: OneWay::ZERO,
                diameter: OneWay::ZERO,
            };
            let mut links = vec![vec![]; count];
            for (a, b) in edges {
                links[a].push(b);
                links[b].push(a);
            }
            let all = plan.members.iter().map(|from| delays.from(*from, &links));
            let worst =
                all.flat_map(|delay| plan.members.iter().map(move |to| delay[*to])).fold(0.0, f64::max);
            let found = delays.value_ms(&plan, Objective::Diameter).unwrap();
            assert!((found - worst).abs() < 1e-6, "{found} for {worst}");
        }
    }
}
