//! From a snapshot of the pool to a plan: the task manager's thinking, as a job that can run beside the media.

use std::collections::{BTreeMap, BTreeSet};

use alm_planner::{Algorithm, Degree, HelperGain, LatencyMatrix, Objective, OneWay, Plan, Problem};

use super::plan::{PlanTree, SessionPlan, tree_number};
use crate::identity::{NodeId, SessionId};
use crate::pool::{NodeReport, Priority};

/// What each relay costs beside the path, one way: receiving, opening, sealing, sending, and the wait for a core.
const HOP_COST_MS: f64 = 2.0;
/// Taken for a pair of which nothing at all is known, round trip.
const UNKNOWN_RTT_MS: f64 = 200.0;
/// More tree links than any node is believed to carry.
const DEGREE_MAX: u32 = alm_media::LINKS_MAX as u32;
/// Helpers worth thinking about; the nearest to the manager when there are more.
const HELPER_CANDIDATES_MAX: usize = 64;

/// Everything that a plan is made from. Running it takes milliseconds and no I/O.
#[derive(Clone, Debug)]
pub struct PlanningJob {
    /// Whose plan.
    pub session: SessionId,
    /// What to make small.
    pub objective: Objective,
    /// What the session has elsewhere than on its members' machines.
    pub priority: Priority,
    /// Members and the links that each can carry, the task manager first.
    pub members: Vec<(NodeId, u32)>,
    /// What the nodes say of themselves.
    pub reports: Vec<NodeReport>,
    /// Helpers not to ask.
    pub excluded: BTreeSet<NodeId>,
    /// Pairs that cannot talk.
    pub forbidden: BTreeSet<(NodeId, NodeId)>,
    /// What carries the media now, to compare with.
    pub current: Option<SessionPlan>,
    /// Why a plan is wanted.
    pub reason: &'static str,
}

/// What came of it.
#[derive(Debug)]
pub struct Planned {
    /// The plan, its epoch not yet numbered, or why there is none.
    pub plan: Result<SessionPlan, String>,
    /// What the current plan's worst pair has become, hops included, and the new plan's: the same measure for both.
    pub worst_ms: Option<(f64, f64)>,
}

impl PlanningJob {
    /// Makes the plan.
    #[must_use]
    pub fn run(&self) -> Planned {
        let nodes = self.nodes();
        let latency = one_way_ms(&nodes, &self.reports);
        let plan = self.plan(&nodes, &latency);
        let worst_ms = plan.as_ref().ok().and_then(|new| {
            let current = self.current.as_ref()?;
            Some((worst_pair_ms(current, &nodes, &latency)?, worst_pair_ms(new, &nodes, &latency)?))
        });
        Planned { plan, worst_ms }
    }

    /// Members first, then the helpers that could serve, with what each can carry.
    fn nodes(&self) -> Vec<(NodeId, u32)> {
        let is_member = |node: NodeId| self.members.iter().any(|(member, _)| *member == node);
        let near: BTreeMap<NodeId, f32> = self
            .reports
            .iter()
            .filter(|report| Some(report.node) == self.members.first().map(|(manager, _)| *manager))
            .flat_map(|report| report.round_trips_ms.iter().copied())
            .collect();
        let mut helpers: Vec<(NodeId, u32)> = self
            .reports
            .iter()
            .filter(|report| report.lends && !is_member(report.node) && !self.excluded.contains(&report.node))
            .map(|report| (report.node, self.available(report)))
            .filter(|(node, degree)| *degree >= 2 && near.contains_key(node))
            .collect();
        helpers.sort_by(|(a, _), (b, _)| near[a].total_cmp(&near[b]));
        helpers.truncate(HELPER_CANDIDATES_MAX);
        self.members.iter().copied().chain(helpers).collect()
    }

    fn available(&self, report: &NodeReport) -> u32 {
        let firm = report.held.iter().filter(|h| h.session != self.session && h.priority <= self.priority);
        let firm = firm.map(|h| h.degrees).fold(0, u32::saturating_add);
        report.degree_bound.min(DEGREE_MAX).saturating_sub(firm)
    }

    fn plan(&self, nodes: &[(NodeId, u32)], latency: &[f64]) -> Result<SessionPlan, String> {
        let n = nodes.len();
        let matrix = LatencyMatrix::from_one_way(n, |from, to| {
            OneWay::from_ms(latency[from * n + to]).unwrap_or(OneWay::ZERO)
        });
        let degrees = nodes.iter().map(|(_, degree)| Degree(*degree)).collect();
        let index: BTreeMap<NodeId, usize> =
            nodes.iter().enumerate().map(|(i, (node, _))| (*node, i)).collect();
        let forbidden = self.forbidden.iter().filter_map(|(a, b)| Some((*index.get(a)?, *index.get(b)?)));
        let members = self.members.len();
        let problem = Problem::builder(matrix, degrees, (0..members).collect())
            .helpers((members..n).collect())
            .objective(self.objective)
            .forbid(forbidden)
            .hop_cost(OneWay::from_ms(HOP_COST_MS).unwrap_or(OneWay::ZERO))
            .build()
            .map_err(|error| error.to_string())?;
        let plan =
            alm_planner::plan_with_fewest_helpers(&problem, Algorithm::Critical, HelperGain::default())
                .map_err(|error| error.to_string())?;
        Ok(self.session_plan(&plan, nodes))
    }

    fn session_plan(&self, plan: &Plan, nodes: &[(NodeId, u32)]) -> SessionPlan {
        let node = |i: &usize| nodes[*i].0;
        // One tree for all sources: whatever it was made small for, everybody may speak along it.
        let trees = plan.trees.iter().map(|tree| PlanTree {
            tree: 0,
            shared: true,
            sources: plan.members.iter().map(node).collect(),
            edges: tree.edges.iter().map(|(parent, child)| (node(parent), node(child))).collect(),
        });
        SessionPlan {
            epoch: 0,
            objective: plan.objective,
            root: node(&plan.root),
            trees: trees.collect(),
            helpers: plan.helpers.iter().map(node).collect(),
            worst_ms: plan.diameter.ms(),
            height_ms: plan.height.ms(),
            diameter_ms: plan.diameter.ms(),
            planned_us: 0,
            probes: 0,
            reason: self.reason.to_owned(),
        }
    }
}

/// Numbers a plan and its trees.
pub(super) fn number(plan: &mut SessionPlan, session: SessionId, epoch: u64) {
    plan.epoch = epoch;
    for (i, tree) in plan.trees.iter_mut().enumerate() {
        tree.tree = tree_number(session, epoch, i as u32);
    }
}

/// One-way latencies between `nodes`, row by row: half the mean of what both ends measured. A pair that nobody has
/// measured yet, a joiner's say, costs the shortest way over others.
fn one_way_ms(nodes: &[(NodeId, u32)], reports: &[NodeReport]) -> Vec<f64> {
    let n = nodes.len();
    let index: BTreeMap<NodeId, usize> = nodes.iter().enumerate().map(|(i, (node, _))| (*node, i)).collect();
    let mut sums = vec![(0.0, 0u32); n * n];
    for report in reports {
        let Some(from) = index.get(&report.node) else { continue };
        for (to, ms) in &report.round_trips_ms {
            let Some(to) = index.get(to) else { continue };
            for pair in [from * n + to, to * n + from] {
                sums[pair].0 += f64::from(*ms);
                sums[pair].1 += 1;
            }
        }
    }
    let measured: Vec<Option<f64>> =
        sums.iter().map(|(sum, count)| (*count > 0).then(|| (sum / f64::from(*count)).max(0.0))).collect();
    let mut shortest: Vec<f64> = measured.iter().map(|rtt| rtt.unwrap_or(f64::INFINITY)).collect();
    if measured.iter().enumerate().any(|(pair, rtt)| rtt.is_none() && pair / n != pair % n) {
        for via in 0..n {
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
    let rtt = |pair: usize| match measured[pair] {
        _ if pair / n == pair % n => 0.0,
        Some(rtt) => rtt,
        None if shortest[pair].is_finite() => shortest[pair],
        None => UNKNOWN_RTT_MS,
    };
    (0..n * n).map(|pair| rtt(pair) / 2.0).collect()
}

/// The largest latency between a source and a member along a plan's trees, hop costs included; `None` when the plan
/// has nodes that nothing is known of any more.
fn worst_pair_ms(plan: &SessionPlan, nodes: &[(NodeId, u32)], latency: &[f64]) -> Option<f64> {
    let n = nodes.len();
    let index: BTreeMap<NodeId, usize> = nodes.iter().enumerate().map(|(i, (node, _))| (*node, i)).collect();
    let mut worst: f64 = 0.0;
    for tree in &plan.trees {
        let mut links: Vec<Vec<usize>> = vec![Vec::new(); n];
        for (a, b) in &tree.edges {
            let (a, b) = (*index.get(a)?, *index.get(b)?);
            links[a].push(b);
            links[b].push(a);
        }
        let sources: Vec<usize> =
            tree.sources.iter().filter_map(|source| index.get(source).copied()).collect();
        for source in &sources {
            let mut delay = vec![f64::NAN; n];
            delay[*source] = 0.0;
            let mut open = vec![*source];
            while let Some(at) = open.pop() {
                for next in &links[at] {
                    if delay[*next].is_nan() {
                        delay[*next] = delay[at] + latency[at * n + next] + HOP_COST_MS;
                        open.push(*next);
                    }
                }
            }
            worst = sources.iter().map(|to| delay[*to]).fold(worst, f64::max);
        }
    }
    Some(worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    fn report(n: u8, lends: bool, degree: u32, rtts: &[(u8, f32)]) -> NodeReport {
        NodeReport {
            node: node(n),
            addrs: vec![],
            lends,
            degree_bound: degree,
            held: vec![],
            round_trips_ms: rtts.iter().map(|(to, ms)| (node(*to), *ms)).collect(),
        }
    }

    fn job() -> PlanningJob {
        // Four members far from each other and a helper in the middle.
        let reports = vec![
            report(0, false, 2, &[(1, 100.0), (2, 100.0), (3, 100.0), (9, 50.0)]),
            report(1, false, 2, &[(0, 100.0), (2, 100.0), (3, 100.0), (9, 50.0)]),
            report(2, false, 2, &[(0, 100.0), (3, 100.0), (9, 50.0)]),
            report(3, false, 2, &[(9, 50.0)]),
            report(9, true, 8, &[]),
        ];
        PlanningJob {
            session: SessionId([1; 20]),
            objective: Objective::Diameter,
            priority: Priority::LOWEST,
            members: (0..4).map(|n| (node(n), 2)).collect(),
            reports,
            excluded: BTreeSet::new(),
            forbidden: BTreeSet::new(),
            current: None,
            reason: "test",
        }
    }

    #[test]
    fn a_helper_in_the_middle_is_used_and_an_excluded_one_is_not() {
        let plan = job().run().plan.unwrap();
        assert_eq!(plan.helpers, [node(9)]);
        assert_eq!(plan.worst_ms, 50.0);
        assert_eq!(plan.check(), Ok(()));
        let without = PlanningJob { excluded: [node(9)].into(), ..job() }.run().plan.unwrap();
        assert!(without.helpers.is_empty());
        assert!(without.worst_ms >= 100.0);
    }

    #[test]
    fn both_plans_are_measured_alike() {
        let current = PlanningJob { excluded: [node(9)].into(), ..job() }.run().plan.unwrap();
        let (before, after) = PlanningJob { current: Some(current), ..job() }.run().worst_ms.unwrap();
        assert_eq!(before, 150.0 + 3.0 * HOP_COST_MS, "a chain of four");
        assert_eq!(after, 50.0 + 2.0 * HOP_COST_MS);
    }

    #[test]
    fn too_few_links_are_said_so() {
        let mut job = job();
        job.members.iter_mut().for_each(|(_, degree)| *degree = 1);
        job.excluded.insert(node(9));
        assert!(job.run().plan.is_err());
    }
}
