//! `best`: the planner's own algorithm. The seed's algorithms give the starts, annealing (`anneal`) on a smoothed height
//! (`smooth`) goes on from the best of them, and what comes out is never worse than any of them.
//!
//! For the height the tree hangs from the session's root. For the diameter it hangs from its own middle, which moves as
//! the tree changes: there the height is half of the diameter; and trees around several middles race (`race`). Where
//! directions differ, the annealing for the diameter works on their mean, and the result is judged on both.
//!
//! A proposal takes O(1) to judge, one that brings a helper in O(H) over H helpers to choose from, and O(depth + subtree)
//! to make; at 20 members and 470 helpers some five million are judged in a second. The starts take what `table_a`,
//! `critical` and `adjust` say.
//! Problems of up to 14 nodes are solved where the budget allows (`small`); members that growth cannot connect, because
//! pairs are forbidden, may be by another way (`connect`).
//!
//! In sessions of thousands without helpers the start is planned at large (`vast`), for the height, and that of the seed's
//! algorithms, which takes many times as long, is only made where the budget is one of moves or long enough for both;
//! where latencies are those of a plane, that is all.

mod anneal;
pub(crate) mod draws;
mod helper_moves;
mod installed;
mod least;
mod make;
mod middle;
mod moves;
mod near;
mod pace;
mod propose;
mod race;
mod small;
mod smooth;
mod spare;

use crate::adjust::adjust;
use crate::connect;
use crate::critical::{Criterion, HelperLimits};
use crate::draft::Draft;
use crate::forest;
use crate::instance::Instance;
use crate::names::{Algorithm, Objective};
use crate::plan::Plan;
use crate::plan_error::PlanError;
use crate::problem::Problem;
use crate::protect::protect;
use crate::search::{grown, grown_within};
use crate::vast;
use anneal::{Schedule, Walk};
pub(crate) use installed::Installed;
use near::Near;
use race::raced;
use small::{annealed_then_solved, is_small};

/// How long `best` may search.
pub enum Budget<'a> {
    /// So many proposals: the same plan every time.
    Moves(u64),
    /// Until this says that the whole budget is spent: from 0 at the start to 1 at the end. It is asked every few hundred
    /// proposals, and may read a clock.
    Share(&'a mut dyn FnMut() -> f64),
}

impl Budget<'_> {
    /// What suits a change of a plan (`replan`): a few milliseconds in sessions of 100.
    pub fn for_replan(problem: &Problem) -> Self {
        let count = problem.members.len() as u64;
        let moves = match problem.objective {
            Objective::Height | Objective::Diameter => REPLAN_MOVES_A_MEMBER * count,
            Objective::Forest => REPLAN_MOVES_A_PAIR * count * count,
        };
        Self::Moves(moves.clamp(REPLAN_MOVES_MIN, MOVES_MAX))
    }

    /// What suits the size of the problem.
    pub(crate) fn default_for(instance: &Instance<'_>) -> Self {
        Self::Moves((MOVES_A_MEMBER * instance.members as u64).min(MOVES_MAX))
    }

    pub(crate) fn spent(&mut self, done: u64) -> f64 {
        match self {
            Self::Moves(0) => 1.0,
            Self::Moves(moves) => done as f64 / *moves as f64,
            Self::Share(share) => share(),
        }
    }
}

/// Plans with `best` within `budget`: the best plan that was found when it ran out. The starts are made in any case.
///
/// # Errors
/// `PlanError` if there is no tree, or none was found.
pub fn plan_best(problem: &Problem, mut budget: Budget<'_>) -> Result<Plan, PlanError> {
    let problem = &*problem.with_one_helper_a_domain(&[]);
    if problem.protect {
        return protect(problem, budget);
    }
    if problem.objective == Objective::Forest {
        return forest::best(problem, &mut budget);
    }
    let instance = Instance::new(problem, |degree| degree >= 2);
    best(&instance, usize::MAX, &mut budget).map(|draft| draft.into_plan(&instance))
}

/// The tree of least height or diameter that is found with at most `helpers_max` helpers.
pub(crate) fn best(
    instance: &Instance<'_>,
    helpers_max: usize,
    budget: &mut Budget<'_>,
) -> Result<Draft, PlanError> {
    let is_vast = instance.members >= MEMBERS_VAST
        && instance.problem.objective == Objective::Height
        && instance.helpers_max.min(helpers_max) == 0
        && !instance.forbids;
    let (start, value) = if is_vast { at_large(instance, budget)? } else { start(instance, helpers_max)? };
    if is_vast && value <= NEAR_DIRECT * instance.farthest() {
        return Ok(start);
    }
    if instance.members == 1 || value <= 0.0 {
        return Ok(start);
    }
    let shared = instance.problem.objective == Objective::Diameter;
    let mean = if shared { instance.with_mean_costs() } else { None };
    let alike = mean.as_ref().unwrap_or(instance);
    let found = if is_small(alike, helpers_max) {
        annealed_then_solved(alike, &start, helpers_max, budget)
    } else if shared {
        raced(alike, start.clone(), helpers_max, budget)
    } else {
        annealed(alike, &start, helpers_max, None, within(budget))
    };
    let found = found.without_idle_helpers(instance);
    Ok(if found.value(instance) <= value { found } else { start })
}

/// A tree where no other is left to start from.
pub(crate) fn grown_anew(instance: &Instance<'_>) -> Result<Draft, PlanError> {
    start(instance, usize::MAX).map(|(draft, _)| draft)
}

/// From `start` on, with a price on every link that is not `installed`. What comes out is no worse than `start`, by the
/// objective alone and with that price.
pub(crate) fn again(
    instance: &Instance<'_>,
    start: Draft,
    installed: &Installed,
    budget: &mut Budget<'_>,
) -> Draft {
    let value = start.value(instance);
    if instance.members == 1 || value <= 0.0 {
        return start;
    }
    let shared = instance.problem.objective == Objective::Diameter;
    let mean = if shared { instance.with_mean_costs() } else { None };
    let alike = mean.as_ref().unwrap_or(instance);
    let found = annealed(alike, &start, usize::MAX, Some(installed), within(budget));
    let is_worth_it = installed.cost(instance, &found) <= installed.cost(instance, &start);
    if found.value(instance) <= value && is_worth_it { found } else { start }
}

/// What planning at large makes, or the seed's algorithms if that is better and there is time for them.
fn at_large(instance: &Instance<'_>, budget: &mut Budget<'_>) -> Result<(Draft, f64), PlanError> {
    let before = budget.spent(0);
    let (draft, value) = vast::start(instance, budget)?;
    let spent = budget.spent(0);
    let longer = TIMES_LONGER * instance.members as f64 / MEMBERS_VAST as f64;
    let has_time = matches!(budget, Budget::Moves(_)) || spent + longer * (spent - before) < 1.0;
    if has_time && let Ok(grown) = grown(instance, Algorithm::AmcastAdjust, 0) {
        let other = grown.value(instance);
        if other < value {
            return Ok((grown, other));
        }
    }
    Ok((draft, value))
}

/// The best of what the seed's algorithms make, with its value.
fn start(instance: &Instance<'_>, helpers_max: usize) -> Result<(Draft, f64), PlanError> {
    let limits = HelperLimits::of(instance, helpers_max);
    let any = HelperLimits { min_degree: 2, radius: f64::INFINITY, ..limits };
    let all = [HelperLimits::NONE, limits, any];
    let mut failure = None;
    let mut best: Option<(Draft, f64)> = None;
    // For the diameter, each start is grown from many hubs already.
    let few = instance.members <= MEMBERS_FEW && instance.problem.objective == Objective::Height;
    let starts = match limits.most {
        0 => 1,
        _ if few => 3,
        _ => 2,
    };
    for (at, &limits) in all.iter().enumerate() {
        if at >= starts && best.is_some() {
            break;
        }
        match grown_within(instance, Criterion::TableB, limits) {
            Ok(draft) => {
                let draft = adjust(draft.without_idle_helpers(instance), instance);
                let draft = draft.without_idle_helpers(instance);
                let value = draft.value(instance);
                if best.as_ref().is_none_or(|&(_, least)| value < least) {
                    best = Some((draft, value));
                }
            }
            // The last says most: it may use the most helpers.
            Err(error) => failure = Some(error),
        }
    }
    if let Some(best) = best {
        return Ok(best);
    }
    let failure = failure.expect("without a start there is a failure");
    if !matches!(failure, PlanError::Stuck(_)) {
        return Err(failure);
    }
    let Some(links) = connect::tree(instance, &instance.degree) else {
        return Err(connect::failure(instance, failure));
    };
    let draft = adjust(Draft::hung_from_root(instance.len(), &links), instance);
    let value = draft.value(instance);
    Ok((draft, value))
}

fn annealed(
    instance: &Instance<'_>,
    start: &Draft,
    helpers_max: usize,
    installed: Option<&Installed>,
    progress: impl FnMut(u64) -> f64,
) -> Draft {
    let mut near = Near::new(instance);
    let n = instance.members as f64;
    let short = ((0.4 / n).clamp(0.003, 0.02), 0.4);
    let schedule = Schedule {
        // Few nodes have few trees, with deep valleys between them.
        long: if n <= MEMBERS_FEW as f64 { ((20.0 / (n * n)).clamp(0.01, 0.2), 0.8) } else { short },
        short,
        cold: WIDTH_COLD,
        gain: HELPER_GAIN * (20.0 / n).min(1.0),
        helpers_max: helpers_max.min(instance.helpers_max),
    };
    let middle = instance.problem.objective == Objective::Diameter;
    Walk::new(instance, &mut near, start, middle, schedule, installed, instance.problem.seed).run(progress)
}

/// How much of `budget` is spent, asked before every so many proposals.
fn within(budget: &mut Budget<'_>) -> impl FnMut(u64) -> f64 {
    let mut done = 0;
    move |more| {
        let spent = budget.spent(done);
        done += more;
        spent
    }
}

/// Proposals by default: some 20 ms at 20 members.
const MOVES_A_MEMBER: u64 = 5_000;
/// A guess: beyond 200 members more of them is patience, which is the caller's to have.
const MOVES_MAX: u64 = 1_000_000;
/// Proposals for a change of a plan: most of the tree is good as it is.
const REPLAN_MOVES_A_MEMBER: u64 = 40;
const REPLAN_MOVES_A_PAIR: u64 = 50;
const REPLAN_MOVES_MIN: u64 = 4_000;
/// Width of the smoothing at the end of a cycle, by the height. It and the schedule were tried out on recorded matrices.
const WIDTH_COLD: f64 = 0.0015;
/// What a helper must bring, as a share of the height or diameter: a tenth of a per cent, and less in sessions of more
/// than 20, where there is less for each to bring. Asking more is `plan_with_fewest_helpers`.
const HELPER_GAIN: f64 = 0.001;
/// Members from which on the start is planned at large: the seed's algorithms take most of a second there.
const MEMBERS_VAST: usize = 2_000;
/// Measured: how much longer `amcast+adjust` takes for so many members than planning at large does, which grows with them.
const TIMES_LONGER: f64 = 8.0;
/// Height by the largest direct latency that is good enough not to anneal: in a plane, where annealing would take minutes.
const NEAR_DIRECT: f64 = 1.01;
/// Members up to which all starts are made: in larger sessions their time is better spent on annealing.
const MEMBERS_FEW: usize = 64;
