//! Planning for a live session: as few helpers as will do.
//!
//! A borrowed helper costs somebody's uplink, one more relay on the path, and a tree that changes when it leaves; and
//! the latencies that speak for it are samples. So it must bring a stated gain.

use crate::baseline;
use crate::draft::Draft;
use crate::forest;
use crate::names::{Algorithm, Objective};
use crate::plan::Plan;
use crate::plan_error::PlanError;
use crate::problem::Problem;
use crate::protect;
use crate::search::{grown, instance};

/// What helpers must bring: at least `ms` milliseconds and at least `share` of the objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HelperGain {
    /// One way, in milliseconds. Raise it with the spread of the measurements. Default 1 ms, a guess.
    pub ms: f64,
    /// Of the best objective, 0 to 1. Default 0.02, a guess: latencies measured a minute apart differ by as much.
    pub share: f64,
}

impl Default for HelperGain {
    fn default() -> Self {
        Self { ms: 1.0, share: 0.02 }
    }
}

/// The plan with the fewest helpers whose objective, hop costs included, is within `gain` of the best that `algorithm`
/// makes with any number of helpers up to the problem's limit. Where no plan exists under the problem's
/// `helper_min_degree` and `radius`, any helper of degree 2 or more will do: being connected comes first. A forest prices
/// its helpers itself, and is given as it is; so are two trees that protect each other.
///
/// # Errors
/// `PlanError` if there is no tree, or none was found.
pub fn plan_with_fewest_helpers(
    problem: &Problem,
    algorithm: Algorithm,
    gain: HelperGain,
) -> Result<Plan, PlanError> {
    let problem = &*problem.with_one_helper_a_domain(&[]);
    if problem.protect {
        return protect::plan(problem, algorithm);
    }
    if let Some(answer) = baseline::plan(problem, algorithm) {
        return answer;
    }
    if problem.objective == Objective::Forest {
        return forest::plan(problem, algorithm);
    }
    fewest(problem, algorithm, gain).or_else(|error| {
        if problem.helper_min_degree <= 2 && problem.radius.is_none() {
            return Err(error);
        }
        let relaxed = Problem { helper_min_degree: 2, radius: None, ..problem.clone() };
        fewest(&relaxed, algorithm, gain).map_err(|_| error)
    })
}

fn fewest(problem: &Problem, algorithm: Algorithm, gain: HelperGain) -> Result<Plan, PlanError> {
    let instance = instance(problem, algorithm);
    let unlimited = grown(&instance, algorithm, usize::MAX)?;
    let most = unlimited.helpers(&instance);
    // A limit may turn out a better tree than none, as growth is greedy; and a tree may use fewer than its limit.
    let mut drafts: Vec<(usize, f64, Draft)> = (0..most.clamp(1, LIMITS_TRIED))
        .filter_map(|limit| grown(&instance, algorithm, limit).ok())
        .chain([unlimited])
        .map(|draft| (draft.helpers(&instance), draft.value(&instance), draft))
        .collect();
    let best = drafts.iter().map(|(_, value, _)| *value).fold(f64::INFINITY, f64::min);
    let good_enough = best + gain.ms.max(gain.share * best);
    drafts.retain(|(_, value, _)| *value <= good_enough);
    let (.., draft) = drafts
        .into_iter()
        .min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)))
        .expect("the best draft is within any gain of itself");
    Ok(draft.into_plan(&instance))
}

/// Limits 0, 1, ... that are tried before no limit. Beyond a handful, one helper more is lost in the noise.
const LIMITS_TRIED: usize = 8;
