//! Planning where only few latencies are measured. Members measure each other, but what lies between them and hundreds
//! of possible helpers is predicted from coordinates, and a search on predictions finds the links that are predicted
//! too short: on recorded latencies such a plan is no better than one without helpers. So planned links are probed, what
//! the probes say is taken up, and the plan is made again; only measured links are in the plan that comes out.
//!
//! A helper whose probed links were longer than predicted is taken to be farther from everybody, by its mean error in
//! the logarithm, shrunk towards none while there are few probes. Predictions start somewhat above the coordinates',
//! as a search picks the low ones; when all links of a plan are measured and probes are left, they are lowered step by
//! step until a plan asks for a link that nobody has measured yet.
//!
//! [`Probing`] is the state machine, for a session whose probes take time; [`plan_probed`] drives it where measuring is
//! a look into a table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::judge::{judged, pair_latencies};
use crate::latency::LatencyMatrix;
use crate::names::{Algorithm, Objective};
use crate::plan::Plan;
use crate::plan_error::PlanError;
use crate::problem::Problem;
use crate::units::{NodeIndex, OneWay};

/// What a plan is made for, so that the planner can share out its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// To see which links to probe. There are at most [`PASSES_MAX`] of these.
    Explore,
    /// To be used. There are two: with helpers and without.
    Final,
}

/// Makes plans: one of this crate's algorithms, whatever its budget.
pub type Planner<'p> = dyn FnMut(&Problem, Pass) -> Result<Plan, PlanError> + 'p;

/// A planning problem of which some latencies are measured and the rest predicted.
#[derive(Clone, Debug)]
pub struct Probing {
    /// With the latencies to plan on: measured, or predicted and corrected.
    problem: Problem,
    predicted: Arc<LatencyMatrix>,
    measured: BTreeMap<(NodeIndex, NodeIndex), OneWay>,
    /// Sum of ln(measured / predicted) and count of probes, by helper.
    errors: BTreeMap<NodeIndex, (f64, u32)>,
    is_member: BTreeSet<NodeIndex>,
    /// Asked for and not answered yet.
    open: BTreeSet<(NodeIndex, NodeIndex)>,
    probes_left: usize,
    batch: usize,
    passes: usize,
    probes: usize,
    rounds: usize,
    /// Predictions are multiplied by e to this.
    caution: f64,
}

impl Probing {
    /// `problem` has the predicted latencies, and measured ones where `measured` says that one is: always between
    /// members, and wherever else it is known already. At most `probes` links will be asked for.
    pub fn new(
        problem: Problem,
        measured: impl IntoIterator<Item = (NodeIndex, NodeIndex)>,
        probes: usize,
    ) -> Self {
        let problem = problem.with_one_helper_a_domain(&[]).into_owned();
        let members = problem.members.clone();
        let between = members.iter().flat_map(|&a| members.iter().map(move |&b| (a, b)));
        let known = between.filter(|(a, b)| a != b).chain(measured);
        let measured = known
            .flat_map(|(a, b)| [(a, b), (b, a)])
            .map(|(a, b)| ((a, b), problem.latency.one_way(a, b)))
            .collect();
        Self {
            predicted: Arc::clone(&problem.latency),
            problem,
            measured,
            errors: BTreeMap::new(),
            is_member: members.into_iter().collect(),
            open: BTreeSet::new(),
            probes_left: probes,
            batch: probes.div_ceil(BATCHES).max(BATCH_MIN),
            passes: 0,
            probes: 0,
            rounds: 0,
            caution: CAUTION,
        }
    }

    /// Links to measure now, all at once; none when there is nothing more to ask for, and then `finish` is due. Every
    /// link must have been answered, by `on_measured` or `on_silent`, before this is called again: links that were not
    /// count as silent.
    pub fn poll_probes(&mut self, planner: &mut Planner<'_>) -> Vec<(NodeIndex, NodeIndex)> {
        for (a, b) in std::mem::take(&mut self.open) {
            self.on_silent(a, b);
        }
        while self.probes_left > 0 && self.passes < PASSES_MAX && self.caution > CAUTION_MIN {
            self.passes += 1;
            self.predict();
            let Ok(plan) = planner(&self.problem, Pass::Explore) else { break };
            let links = plan.trees.iter().flat_map(|tree| tree.edges.iter().copied());
            let mut wanted: Vec<(NodeIndex, NodeIndex)> = Vec::new();
            for (a, b) in links.filter(|link| !self.measured.contains_key(link)) {
                if wanted.len() < self.batch.min(self.probes_left) && !wanted.contains(&(a.min(b), a.max(b)))
                {
                    wanted.push((a.min(b), a.max(b)));
                }
            }
            if !wanted.is_empty() {
                self.rounds += 1;
                self.probes_left -= wanted.len();
                self.probes += wanted.len();
                self.open = wanted.iter().copied().collect();
                return wanted;
            }
            self.caution -= CAUTION_STEP;
        }
        Vec::new()
    }

    /// The link takes that long, from `a` to `b` and back from `b` to `a`.
    pub fn on_measured(&mut self, a: NodeIndex, b: NodeIndex, there: OneWay, back: OneWay) {
        self.open.remove(&(a.min(b), a.max(b)));
        self.measured.insert((a, b), there);
        self.measured.insert((b, a), back);
        let predicted = self.predicted.one_way(a, b).ms() + self.predicted.one_way(b, a).ms();
        let measured = there.ms() + back.ms();
        let error = (measured.max(ROUND_TRIP_MS_MIN) / predicted.max(ROUND_TRIP_MS_MIN)).ln();
        for node in [a, b] {
            if !self.is_member.contains(&node) {
                let (sum, count) = self.errors.entry(node).or_default();
                *sum += error;
                *count += 1;
            }
        }
    }

    /// The link does not answer: no plan will use it.
    pub fn on_silent(&mut self, a: NodeIndex, b: NodeIndex) {
        self.open.remove(&(a.min(b), a.max(b)));
        self.problem.forbidden.insert((a.min(b), a.max(b)));
    }

    /// The plan over measured links alone, with its figures on them: with helpers, or without where that is no worse.
    /// Once links to helpers were asked for, it is never worse than `amcast+adjust` on the members, for an objective for
    /// which that plans.
    ///
    /// # Errors
    /// `PlanError` if there is no tree of measured links, or none was found.
    pub fn finish(&mut self, planner: &mut Planner<'_>) -> Result<Plan, PlanError> {
        self.predict();
        let alone = Problem { helpers: Vec::new(), ..self.problem.clone() };
        let mut answers = vec![planner(&self.with_measured_links(), Pass::Final)];
        if self.rounds > 0 {
            answers.push(planner(&alone, Pass::Final));
            answers.push(crate::plan(&alone, Algorithm::AmcastAdjust));
        }
        let mut error = None;
        let mut best: Option<(f64, Plan)> = None;
        for answer in answers {
            match answer {
                Ok(plan) => {
                    let plan = judged(&self.problem, plan);
                    let value = value(&self.problem, &plan);
                    if best.as_ref().is_none_or(|&(least, _)| value < least) {
                        best = Some((value, plan));
                    }
                }
                Err(other) => error = error.or(Some(other)),
            }
        }
        best.map(|(_, plan)| plan).ok_or_else(|| error.expect("an answer is a plan or an error"))
    }

    /// How many links were asked for.
    pub fn probes(&self) -> usize {
        self.probes
    }

    /// In how many rounds they were asked for.
    pub fn rounds(&self) -> usize {
        self.rounds
    }
}

impl Probing {
    /// Puts measured latencies in the problem, and what is predicted for the others.
    fn predict(&mut self) {
        let caution = self.caution.exp();
        let mut farther = vec![1.0; self.predicted.nodes()];
        for (&node, &(sum, count)) in &self.errors {
            farther[node] = (sum / (f64::from(count) + PRIOR_PROBES)).exp();
        }
        let mut latency = LatencyMatrix::from_one_way(farther.len(), |a, b| {
            let ms = self.predicted.ms(a, b) * farther[a] * farther[b] * caution;
            OneWay::from_ms(ms.min(f64::from(f32::MAX))).unwrap_or(OneWay::ZERO)
        });
        for (&(a, b), &time) in &self.measured {
            latency.set(a, b, time);
        }
        self.problem.latency = Arc::new(latency);
    }

    /// The problem without any link that is not measured.
    fn with_measured_links(&self) -> Problem {
        let mut links: BTreeMap<NodeIndex, usize> = BTreeMap::new();
        for &(a, _) in self.measured.keys() {
            *links.entry(a).or_default() += 1;
        }
        let mut problem = self.problem.clone();
        problem.helpers.retain(|helper| links.get(helper).is_some_and(|&links| links >= 2));
        for (at, &helper) in problem.helpers.iter().enumerate() {
            for &other in problem.members.iter().chain(&problem.helpers[..at]) {
                if !self.measured.contains_key(&(helper, other)) {
                    problem.forbidden.insert((helper.min(other), helper.max(other)));
                }
            }
        }
        problem
    }
}

/// A plan, and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Probed {
    /// Over measured links alone.
    pub plan: Plan,
    /// Links that were probed.
    pub probes: usize,
    /// In how many rounds.
    pub rounds: usize,
}

/// Plans on predictions with at most `probes` measurements more (see [`Probing::new`]). `measure` gives what a link
/// takes there and back, or nothing if it does not answer.
///
/// # Errors
/// `PlanError` if there is no tree of measured links, or none was found.
pub fn plan_probed(
    problem: Problem,
    measured: impl IntoIterator<Item = (NodeIndex, NodeIndex)>,
    probes: usize,
    planner: &mut Planner<'_>,
    mut measure: impl FnMut(NodeIndex, NodeIndex) -> Option<(OneWay, OneWay)>,
) -> Result<Probed, PlanError> {
    let mut probing = Probing::new(problem, measured, probes);
    loop {
        let links = probing.poll_probes(planner);
        if links.is_empty() {
            break;
        }
        for (a, b) in links {
            match measure(a, b) {
                Some((there, back)) => probing.on_measured(a, b, there, back),
                None => probing.on_silent(a, b),
            }
        }
    }
    let plan = probing.finish(planner)?;
    Ok(Probed { plan, probes: probing.probes(), rounds: probing.rounds() })
}

/// What is made small.
fn value(problem: &Problem, plan: &Plan) -> f64 {
    match plan.objective {
        Objective::Height => plan.height.ms(),
        Objective::Diameter => plan.diameter.ms(),
        Objective::Forest => {
            let (worst, mean) = pair_latencies(problem, plan);
            worst.ms() + mean.ms()
        }
    }
}

/// Most plans that are made to see which links to probe.
pub const PASSES_MAX: usize = 64;
/// Probes are asked for in about so many rounds: each takes a round trip, and each learns from those before.
const BATCHES: usize = 8;
const BATCH_MIN: usize = 4;
/// At first, links are taken to be e^0.1 times as long as predicted: the best of five values on recorded latencies, where
/// one prediction in four is off by more.
const CAUTION: f64 = 0.1;
/// Lowered by as much for the next guess; and down to where links would be half as long as predicted.
const CAUTION_STEP: f64 = 0.1;
const CAUTION_MIN: f64 = -0.7;
/// A helper's mean error counts as if that many probes more had found none.
const PRIOR_PROBES: f64 = 1.0;
/// Below a millisecond, clocks are measured rather than paths.
const ROUND_TRIP_MS_MIN: f64 = 0.2;
