//! From one growing tree to the best of several: which hubs are tried for which objective.
//!
//! Height grows one tree, from the root. Diameter has no root of its own: a tree is grown from each member, and with
//! helpers from the most central of them too, and the one of least diameter is hung from the session's root.
//! Degrees bound undirected links, so that hanging a tree from elsewhere costs nothing.

use crate::critical::CriticalNode;
use crate::draft::Draft;
use crate::instance::Instance;
use crate::names::{Algorithm, Objective};
use crate::plan_error::PlanError;
use crate::problem::Problem;
use crate::table_a::{NoHelpers, SectionA, grow};

/// What `algorithm` may use of the problem.
pub(crate) fn instance(problem: &Problem, algorithm: Algorithm) -> Instance<'_> {
    match algorithm {
        Algorithm::Amcast => Instance::without_helpers(problem),
        Algorithm::Critical => Instance::new(problem, |degree| degree >= problem.helper_min_degree.max(2)),
    }
}

/// The tree that `algorithm` makes with at most `helpers_max` helpers.
pub(crate) fn draft(
    instance: &Instance<'_>,
    algorithm: Algorithm,
    helpers_max: usize,
) -> Result<Draft, PlanError> {
    let helpers_max = helpers_max.min(instance.helpers_max);
    check_degrees(instance, helpers_max)?;
    let section_a = || -> Box<dyn SectionA> {
        match algorithm {
            Algorithm::Amcast => Box::new(NoHelpers),
            Algorithm::Critical => Box::new(CriticalNode::new(helpers_max)),
        }
    };
    let from = |hub| Ok(grow(instance, hub, section_a().as_mut())?.without_idle_helpers(instance));
    match instance.problem.objective {
        Objective::Height => from(0),
        Objective::Diameter => {
            let mut hubs: Vec<usize> = (0..instance.members).collect();
            if helpers_max > 0 {
                hubs.extend(central_helpers(instance));
            }
            least_of(hubs.into_iter().map(from), instance)
        }
        Objective::Forest => Err(PlanError::Unsupported(algorithm, Objective::Forest)),
    }
}

/// The draft of least value; the first error if there is no draft.
fn least_of(
    drafts: impl Iterator<Item = Result<Draft, PlanError>>,
    instance: &Instance<'_>,
) -> Result<Draft, PlanError> {
    let mut best: Option<(f64, Draft)> = None;
    let mut failure = None;
    for draft in drafts {
        match draft {
            Ok(draft) => {
                let value = draft.value(instance);
                if best.as_ref().is_none_or(|(least, _)| value < *least) {
                    best = Some((value, draft));
                }
            }
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
    }
    match (best, failure) {
        (Some((_, draft)), _) => Ok(draft),
        (None, failure) => {
            Err(failure.expect("a problem has a member, so there is a hub, and it gave no draft"))
        }
    }
}

/// Helpers from which the farthest member is nearest.
fn central_helpers(instance: &Instance<'_>) -> Vec<usize> {
    let mut helpers: Vec<(f32, usize)> = (instance.helpers())
        .map(|helper| {
            let reach = instance.costs(helper)[..instance.members].iter().copied();
            (reach.filter(|cost| cost.is_finite()).fold(0.0, f32::max), helper)
        })
        .collect();
    helpers.sort_by(|a, b| a.0.total_cmp(&b.0));
    helpers.into_iter().take(HELPER_HUBS).map(|(_, helper)| helper).collect()
}

/// Whether the degrees suffice for a tree, with every pair allowed: each helper of degree d brings d - 2.
fn check_degrees(instance: &Instance<'_>, helpers_max: usize) -> Result<(), PlanError> {
    let members = instance.members;
    if members == 1 {
        return Ok(());
    }
    let degrees = &instance.degree[..members];
    if let Some(node) = degrees.iter().position(|&degree| degree == 0) {
        return Err(PlanError::NoDegree(instance.nodes[node]));
    }
    let own: u64 = degrees.iter().map(|&degree| u64::from(degree)).sum();
    let needed = 2 * (members as u64 - 1);
    let mut brought: Vec<u64> =
        instance.degree[members..].iter().map(|&d| u64::from(d).saturating_sub(2)).collect();
    brought.sort_unstable_by(|a, b| b.cmp(a));
    let given = own + brought.iter().take(helpers_max).sum::<u64>();
    if given < needed { Err(PlanError::DegreesTooSmall { given, needed, members }) } else { Ok(()) }
}

/// How many helpers are tried as the hub of a shared tree. A guess: the most central ones differ little.
const HELPER_HUBS: usize = 4;
