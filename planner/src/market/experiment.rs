//! The seed's experiment ([0088]): sessions of disjoint members on one pool of nodes, starting and ending at random, with
//! priorities 1 to 3; how much better than AMCast on its members alone is each, by priority.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::Market;
use crate::latency::LatencyMatrix;
use crate::names::{Algorithm, Objective};
use crate::plan::Plan;
use crate::plan_error::PlanError;
use crate::problem::{Problem, ProblemError};
use crate::units::{Degree, NodeIndex};

/// What is tried.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Sessions at once.
    pub sessions: usize,
    /// Members of each.
    pub members: usize,
    /// Of who is a member of what, and of starts and ends.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Sessions at once.
    pub sessions: usize,
    /// By priority, 1 first.
    pub by_priority: Vec<PriorityOutcome>,
    /// How often a session planned between its start and its end, or the end of the experiment.
    pub plans_per_session: f64,
    /// How often a session lost a node.
    pub preemptions: u64,
    /// Sessions that were without a plan at the end.
    pub unplanned: usize,
}

/// What came of it at one priority; shares of AMCast's height on the same members without helpers, means over sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct PriorityOutcome {
    /// 1 to 3.
    pub priority: u8,
    /// (AMCast - height) / AMCast.
    pub improvement: f64,
    /// Helpers in its trees.
    pub helpers: f64,
    /// The improvement with members alone (`amcast+adjust`).
    pub lower_bound: f64,
    /// The improvement with the whole pool for itself.
    pub upper_bound: f64,
}

/// Starts all sessions in random order, ends and starts some of them again, and has all look again now and then, as time
/// would have them. Sessions plan with `planner`. The same arguments give the same outcome. `progress` is told how much is
/// done, from 0 to 1.
///
/// # Errors
/// There are not enough nodes for that many disjoint sessions.
pub fn simulate(
    experiment: &Experiment,
    latency: &Arc<LatencyMatrix>,
    degrees: &[Degree],
    planner: impl FnMut(&Problem) -> Result<Plan, PlanError> + Clone,
    mut progress: impl FnMut(f64),
) -> Result<Outcome, ProblemError> {
    let mut random = StdRng::seed_from_u64(experiment.seed);
    let mut nodes: Vec<NodeIndex> =
        (0..latency.nodes()).filter(|node| !latency.dropped().contains(node)).collect();
    nodes.shuffle(&mut random);
    let groups: Vec<&[NodeIndex]> =
        nodes.chunks_exact(experiment.members.max(1)).take(experiment.sessions).collect();
    if groups.len() < experiment.sessions || groups.is_empty() {
        let node = experiment.sessions * experiment.members;
        return Err(ProblemError::OutOfRange { node, nodes: nodes.len() });
    }
    let mut market = Market::new(latency.clone(), degrees, planner.clone());
    // Priorities in turn: as many of each.
    let priority = |number: usize| (number % 3) as u8 + 1;
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.shuffle(&mut random);
    let restarts = groups.len() / RESTARTS_A_SESSION;
    // Every session is judged at the end.
    let events = 2 * groups.len() + restarts;
    let mut done = 0;
    let mut step = || {
        done += 1;
        progress(f64::from(done) / events as f64);
    };
    let (mut plans, mut losses, mut lives) = (0u64, 0u64, 0u64);
    for &number in &order {
        market.start(number, priority(number), groups[number].to_vec())?;
        step();
    }
    for _ in 0..restarts {
        let number = random.random_range(0..groups.len());
        if let Some(ended) = market.end(number) {
            (plans, losses, lives) =
                (plans + u64::from(ended.plans), losses + u64::from(ended.losses), lives + 1);
        }
        market.start(number, priority(number), groups[number].to_vec())?;
        step();
    }
    for _ in 0..REVIEWS {
        market.review();
    }
    let unplanned = market.unplanned();
    for session in market.sessions().values() {
        (plans, losses, lives) =
            (plans + u64::from(session.plans), losses + u64::from(session.losses), lives + 1);
    }
    let judge = Judge { latency, degrees, planner };
    let by_priority =
        (1..=3).map(|priority| judge.outcome(&market, priority, &mut step)).collect::<Result<_, _>>()?;
    Ok(Outcome {
        sessions: groups.len(),
        by_priority,
        plans_per_session: plans as f64 / lives.max(1) as f64,
        preemptions: losses,
        unplanned,
    })
}

/// One session in so many ends and starts again.
const RESTARTS_A_SESSION: usize = 3;
/// How often everybody looks again before the account is drawn.
const REVIEWS: usize = 1;

struct Judge<'a, P> {
    latency: &'a Arc<LatencyMatrix>,
    degrees: &'a [Degree],
    planner: P,
}

impl<P: FnMut(&Problem) -> Result<Plan, PlanError> + Clone> Judge<'_, P> {
    fn outcome<Q>(
        &self,
        market: &Market<Q>,
        priority: u8,
        step: &mut impl FnMut(),
    ) -> Result<PriorityOutcome, ProblemError>
    where
        Q: FnMut(&Problem) -> Result<Plan, PlanError>,
    {
        let mut sums = [0.0; 4];
        let mut count: f64 = 0.0;
        for session in market.sessions().values().filter(|session| session.priority == priority) {
            step();
            let alone = self.problem(&session.members, Vec::new())?;
            let others: Vec<NodeIndex> = (0..self.degrees.len())
                .filter(|n| self.degrees[*n].0 >= 2 && !session.members.contains(n))
                .collect();
            let pooled = self.problem(&session.members, others)?;
            let height = |plan: Result<Plan, PlanError>| plan.ok().map(|plan| plan.height.ms());
            let Some(amcast) = height(crate::plan(&alone, Algorithm::Amcast)).filter(|height| *height > 0.0)
            else {
                continue;
            };
            let gain = |height: Option<f64>| height.map_or(0.0, |height| (amcast - height) / amcast);
            sums[0] += gain(session.plan.as_ref().map(|plan| plan.height.ms()));
            sums[1] += session.plan.as_ref().map_or(0.0, |plan| plan.helpers.len() as f64);
            sums[2] += gain(height(crate::plan(&alone, Algorithm::AmcastAdjust)));
            sums[3] += gain(height((self.planner.clone())(&pooled)));
            count += 1.0;
        }
        let mean = |i: usize| sums[i] / count.max(1.0);
        let (improvement, helpers, lower_bound, upper_bound) = (mean(0), mean(1), mean(2), mean(3));
        Ok(PriorityOutcome { priority, improvement, helpers, lower_bound, upper_bound })
    }

    fn problem(&self, members: &[NodeIndex], helpers: Vec<NodeIndex>) -> Result<Problem, ProblemError> {
        Problem::builder(self.latency.clone(), self.degrees.to_vec(), members.to_vec())
            .objective(Objective::Height)
            .helpers(helpers)
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::OneWay;

    fn world(nodes: usize) -> (Arc<LatencyMatrix>, Vec<Degree>) {
        let mut random = StdRng::seed_from_u64(4);
        let places: Vec<(f64, f64)> =
            (0..nodes).map(|_| (random.random_range(0.0..100.0), random.random_range(0.0..100.0))).collect();
        let latency = LatencyMatrix::from_one_way(nodes, |a, b| {
            OneWay::from_ms((places[a].0 - places[b].0).hypot(places[a].1 - places[b].1)).unwrap()
        });
        (Arc::new(latency), crate::paper_degrees(nodes, &mut random))
    }

    fn run(sessions: usize, seed: u64) -> Outcome {
        let (latency, degrees) = world(120);
        let planner = |problem: &Problem| crate::plan(problem, Algorithm::CriticalAdjust);
        simulate(&Experiment { sessions, members: 8, seed }, &latency, &degrees, planner, |_| {}).unwrap()
    }

    #[test]
    fn everybody_has_a_plan_and_higher_priorities_the_better_ones() {
        let outcome = run(15, 1);
        assert_eq!(outcome.unplanned, 0);
        assert!(outcome.preemptions > 0);
        let [first, .., last] = &outcome.by_priority[..] else { panic!() };
        assert!(first.improvement >= last.improvement, "{outcome:?}");
        for one in &outcome.by_priority {
            assert!(
                one.lower_bound <= one.improvement + 0.02 && one.improvement <= one.upper_bound + 0.02,
                "{one:?}"
            );
        }
    }

    #[test]
    fn the_same_seed_is_the_same_market() {
        assert_eq!(run(9, 2), run(9, 2));
        assert_ne!(run(9, 2), run(9, 3));
    }

    #[test]
    fn more_sessions_than_nodes_are_refused() {
        let (latency, degrees) = world(20);
        let planner = |problem: &Problem| crate::plan(problem, Algorithm::Amcast);
        let experiment = Experiment { sessions: 3, members: 8, seed: 1 };
        assert!(simulate(&experiment, &latency, &degrees, planner, |_| {}).is_err());
    }
}
