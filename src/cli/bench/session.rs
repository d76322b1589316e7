//! One session of a bench: drawn from (seed, number) alone, planned with every algorithm.

use alm_planner::{
    Algorithm, NodeIndex, Objective, Plan, Problem, degree_excess, lower_bound, pair_latencies, tree_values,
};
use serde::{Deserialize, Serialize};

use crate::cli::draw::Choice;
use crate::cli::error::CliError;
use crate::cli::plan::choose_members;
use crate::cli::planning::{Effort, Timed, timed_plan};
use crate::cli::session_args::World;

/// What is done for each session.
#[derive(Debug)]
pub(super) struct Trial<'a> {
    pub(super) world: &'a World,
    pub(super) algorithms: &'a [Algorithm],
    pub(super) effort: Effort,
    pub(super) seed: u64,
}

/// One line of the JSON output, and all that tables and plots are made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SessionLine {
    pub(super) session: u64,
    pub(super) group: usize,
    /// With it, `alm plan --members random:GROUP` plans the same session.
    pub(super) seed: u64,
    pub(super) root: NodeIndex,
    pub(super) objective: Objective,
    /// Whether plans have two trees that protect each other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) protect: bool,
    pub(super) lower_bound_ms: f64,
    /// The objective of `amcast` without helpers.
    pub(super) amcast_ms: Option<f64>,
    /// Where plans are made on estimates: the objective of `critical+adjust` on measurements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) measured_ms: Option<f64>,
    pub(super) plans: Vec<PlanLine>,
    pub(super) failed: Vec<FailedLine>,
}

/// What one algorithm made of the session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PlanLine {
    pub(super) algorithm: Algorithm,
    pub(super) height_ms: f64,
    pub(super) diameter_ms: f64,
    pub(super) worst_ms: f64,
    pub(super) mean_ms: f64,
    pub(super) improvement: Option<f64>,
    pub(super) ratio_to_bound: Option<f64>,
    pub(super) helpers: usize,
    /// Links on the way that has most of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) hops: Option<usize>,
    pub(super) degree_excess: u32,
    /// Of two trees that protect each other: what the objective comes to along the other one, and for one tree alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) other_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unprotected_ms: Option<f64>,
    /// Links that were probed for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) probes: Option<usize>,
    pub(super) plan_us: u64,
}

/// Why one algorithm made nothing of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FailedLine {
    pub(super) algorithm: Algorithm,
    pub(super) reason: String,
}

impl Trial<'_> {
    /// Draws and plans session `number` of `group` members.
    pub(super) fn run(&self, number: u64, group: usize) -> Result<SessionLine, CliError> {
        let seed = session_seed(self.seed, number);
        let members = choose_members(&Choice::Random(group), None, seed, &self.world.usable)?;
        let (problem, judge) = self.world.session(members, seed)?;
        let judged = judge.as_ref().unwrap_or(&problem);
        let bound = lower_bound(judged).ms();
        let mut answers = Vec::new();
        for &algorithm in self.algorithms {
            answers.push((algorithm, self.world.plan(&problem, judge.as_ref(), algorithm, self.effort)));
        }
        let known = answers.iter().find(|(algorithm, _)| *algorithm == Algorithm::Amcast);
        let reference = match known {
            Some((_, Timed { plan: Ok(plan), .. })) if !self.world.estimates() && !problem.is_protected() => {
                Some(value(plan))
            }
            _ => self.reference(problem.members().to_vec(), seed)?,
        };
        let measured = if self.world.estimates() {
            timed_plan(&problem, judge.as_ref(), Algorithm::CriticalAdjust, self.effort).plan.ok()
        } else {
            None
        };
        let mut line = SessionLine {
            session: number,
            group,
            seed,
            root: problem.root(),
            objective: problem.objective(),
            protect: problem.is_protected(),
            lower_bound_ms: (bound * 1000.0).floor() / 1000.0,
            amcast_ms: reference.map(milli),
            measured_ms: measured.as_ref().map(|plan| milli(value(plan))),
            plans: Vec::new(),
            failed: Vec::new(),
        };
        for (algorithm, timed) in answers {
            match &timed.plan {
                Ok(plan) => {
                    let mut figures = figures(judged, algorithm, plan, &timed, reference, bound);
                    if problem.is_protected() {
                        let one = self.unprotected(&problem, judge.as_ref(), algorithm);
                        figures.unprotected_ms = one.plan.ok().map(|plan| milli(value(&plan)));
                    }
                    line.plans.push(figures);
                }
                Err(error) => line.failed.push(FailedLine { algorithm, reason: error.to_string() }),
            }
        }
        Ok(line)
    }
}

impl Trial<'_> {
    /// The same plan without protection.
    fn unprotected(&self, problem: &Problem, judge: Option<&Problem>, algorithm: Algorithm) -> Timed {
        let (problem, judge) = (problem.unprotected(), judge.map(Problem::unprotected));
        self.world.plan(&problem, judge.as_ref(), algorithm, self.effort)
    }

    /// What `amcast` without helpers comes to. It has no forest: there, its shared tree is the reference.
    fn reference(&self, members: Vec<NodeIndex>, seed: u64) -> Result<Option<f64>, CliError> {
        let (problem, judge) = self.world.shared_session(members, seed)?;
        let timed = timed_plan(&problem, judge.as_ref(), Algorithm::Amcast, self.effort);
        Ok(timed.plan.ok().map(|plan| value(&plan)))
    }
}

fn figures(
    problem: &Problem,
    algorithm: Algorithm,
    plan: &Plan,
    timed: &Timed,
    reference: Option<f64>,
    bound: f64,
) -> PlanLine {
    let (worst, mean) = pair_latencies(problem, plan);
    let reached = value(plan);
    PlanLine {
        algorithm,
        height_ms: milli(plan.height.ms()),
        diameter_ms: milli(plan.diameter.ms()),
        worst_ms: milli(worst.ms()),
        mean_ms: milli(mean.ms()),
        improvement: reference.filter(|ms| *ms > 0.0).map(|ms| micro((ms - reached) / ms)),
        ratio_to_bound: (bound > 0.0).then(|| micro(reached / bound)),
        helpers: plan.helpers.len(),
        hops: Some(plan.hops()),
        degree_excess: degree_excess(problem, plan),
        other_ms: problem
            .is_protected()
            .then(|| milli(tree_values(problem, plan).iter().map(|value| value.ms()).fold(0.0, f64::max))),
        unprotected_ms: None,
        probes: timed.count.map(|count| count.probes),
        plan_us: u64::try_from(timed.elapsed.as_micros()).unwrap_or(u64::MAX),
    }
}

/// What the objective comes to.
fn value(plan: &Plan) -> f64 {
    match plan.objective {
        Objective::Height => plan.height.ms(),
        Objective::Diameter | Objective::Forest => plan.diameter.ms(),
    }
}

pub(super) fn milli(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

pub(super) fn micro(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// Mixes seed and number (SplitMix64's finish) into 53 bits, which every JSON reader keeps.
fn session_seed(seed: u64, number: u64) -> u64 {
    let mut z =
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number.wrapping_mul(0xbf58_476d_1ce4_e5b9));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) >> 11
}
