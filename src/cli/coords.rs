//! `--latency coords`: sessions planned on network coordinates, as a live session has to, and judged on measurements.
//! Every node has a coordinate from measuring `NEIGHBOURS` others. Without `--probes` all latencies are read off the
//! coordinates, which the seed calls Leafset; with it, members measure each other, what they measured for their
//! coordinates counts too, and that many planned links are probed.

use std::time::Duration;

use alm_planner::coord::{CoordMethod, Embedding, Probes, embed};
use alm_planner::{
    Algorithm, Budget, LatencyMatrix, NodeIndex, Objective, OneWay, Pass, Plan, PlanError, Problem, judged,
    plan, plan_best, plan_probed,
};
use clap::ValueEnum;

use super::error::CliError;
use super::planning::{Effort, ProbeCount, Timed, Watch};

/// What plans are made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Source {
    /// Recorded latencies
    Matrix,
    /// Estimates from network coordinates, and probes
    Coords,
}

/// Coordinates of all nodes, and what measuring them told besides.
#[derive(Debug)]
pub(super) struct Coords {
    embedding: Embedding,
    neighbours: Probes,
    probes: Option<usize>,
}

impl Coords {
    /// Finds the coordinates.
    pub(super) fn of(latency: &LatencyMatrix, probes: Option<usize>) -> Result<Self, CliError> {
        if !latency.dropped().is_empty() {
            let todo = "use --missing shortest-path";
            return Err(CliError::wrong(
                "nodes without latencies have no coordinates",
                "--latency coords",
                todo,
            ));
        }
        let neighbours = Probes::draw(latency.nodes(), NEIGHBOURS, SEED);
        let embedding = embed(CoordMethod::Height, DIMENSIONS, latency, &neighbours, SEED)
            .expect("the number of dimensions is within range");
        Ok(Self { embedding, neighbours, probes })
    }

    /// Plans with `algorithm` on what is known of `problem`, and judges on `judge`, if given, or on `problem`.
    pub(super) fn timed_plan(
        &self,
        problem: &Problem,
        judge: Option<&Problem>,
        algorithm: Algorithm,
        effort: Effort,
    ) -> Timed {
        let known = if self.probes.is_some() { self.known_to(problem.members()) } else { Vec::new() };
        let blind = self.known_part(problem, &known);
        let watch = Watch::start();
        let mut planner = |problem: &Problem, pass: Pass| planned(problem, algorithm, effort, pass, &watch);
        let (planned, count) = match self.probes {
            None => (planner(&blind, Pass::Final), None),
            Some(probes) => {
                let latency = problem.latency();
                let measure = |a, b| Some((latency.one_way(a, b), latency.one_way(b, a)));
                match plan_probed(blind, known, probes, &mut planner, measure) {
                    Ok(probed) => {
                        (Ok(probed.plan), Some(ProbeCount { probes: probed.probes, rounds: probed.rounds }))
                    }
                    Err(error) => (Err(error), None),
                }
            }
        };
        let elapsed = watch.elapsed();
        let plan = planned.map(|plan| judged(judge.unwrap_or(problem), plan));
        Timed { plan, elapsed, count }
    }

    /// Links that `members` have measured: to each other, and to their neighbours.
    fn known_to(&self, members: &[NodeIndex]) -> Vec<(NodeIndex, NodeIndex)> {
        members
            .iter()
            .flat_map(|&member| {
                let others = members.iter().chain(self.neighbours.of(member));
                others.filter(move |&&other| other != member).map(move |&other| (member, other))
            })
            .collect()
    }

    /// The problem with predicted latencies wherever they are not known.
    fn known_part(&self, problem: &Problem, known: &[(NodeIndex, NodeIndex)]) -> Problem {
        let latency = problem.latency();
        let mut predicted = LatencyMatrix::from_one_way(latency.nodes(), |a, b| {
            OneWay::from_ms(self.embedding.round_trip_ms(a, b) / 2.0).unwrap_or(OneWay::ZERO)
        });
        for &(a, b) in known {
            predicted.set(a, b, latency.one_way(a, b));
            predicted.set(b, a, latency.one_way(b, a));
        }
        problem.on(predicted).expect("the same problem on latencies of the same nodes")
    }
}

/// One plan of several: those that are only looked at get a part of the effort.
fn planned(
    problem: &Problem,
    algorithm: Algorithm,
    effort: Effort,
    pass: Pass,
    watch: &Watch,
) -> Result<Plan, PlanError> {
    let moves = match (effort.moves, pass) {
        (Some(moves), Pass::Explore) => Some((moves / EXPLORE_PART).max(1)),
        (Some(moves), Pass::Final) => Some(moves),
        (None, Pass::Explore) => {
            let members = problem.members().len() as u64;
            let forest = problem.objective() == Objective::Forest;
            Some(MOVES * members * if forest { members / EXPLORE_PART + 1 } else { 1 })
        }
        (None, Pass::Final) => None,
    };
    match (algorithm, moves, effort.budget) {
        (Algorithm::Best, _, Some(budget)) if effort.moves.is_none() => {
            let left = budget.saturating_sub(watch.elapsed());
            let share = match pass {
                Pass::Explore => left / EXPLORE_SHARE,
                Pass::Final => left / 2,
            };
            let part = watch.elapsed();
            let mut spent = || spent(watch.elapsed().saturating_sub(part), share);
            plan_best(problem, Budget::Share(&mut spent))
        }
        (Algorithm::Best, Some(moves), _) => plan_best(problem, Budget::Moves(moves)),
        _ => plan(problem, algorithm),
    }
}

fn spent(time: Duration, of: Duration) -> f64 {
    time.as_secs_f64() / of.as_secs_f64().max(1e-9)
}

/// Nodes that each node measures, and the dimensions of the space, heights not counted: what predicts best of what
/// `alm bench coords` tries on recorded latencies.
const NEIGHBOURS: usize = 32;
const DIMENSIONS: usize = 5;
/// Coordinates are there before any session is drawn.
const SEED: u64 = 1;
/// Plans that only say what to probe get this part of the moves, and this part of what is left of the time.
const EXPLORE_PART: u64 = 5;
const EXPLORE_SHARE: u32 = 10;
/// Moves a member of such a plan where nothing else is said.
const MOVES: u64 = 1_000;
