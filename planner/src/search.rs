//! From one growing tree to the best of several: which hubs are tried for which objective.
//!
//! Height grows one tree, from the root. Diameter has no root of its own: a tree is grown from each member, in large
//! sessions from the most central ones, and from the most central helpers too; the one of least diameter is hung from
//! the session's root. Degrees bound undirected links, so that hanging a tree from elsewhere costs nothing.

use crate::adjust::adjust;
use crate::best::{Budget, best};
use crate::critical::{Criterion, CriticalNode, HelperLimits};
use crate::draft::Draft;
use crate::instance::Instance;
use crate::names::{Algorithm, Objective};
use crate::plan_error::PlanError;
use crate::problem::Problem;
use crate::table_a::{ATTEMPTS_MAX, NoHelpers, SectionA, grow};
use crate::units::NodeIndex;

/// What `algorithm` may use of the problem.
pub(crate) fn instance(problem: &Problem, algorithm: Algorithm) -> Instance<'_> {
    match algorithm {
        Algorithm::Amcast | Algorithm::AmcastAdjust => Instance::without_helpers(problem),
        Algorithm::Critical | Algorithm::CriticalAdjust | Algorithm::ClosestAdjust => {
            Instance::new(problem, |degree| degree >= problem.helper_min_degree.max(2))
        }
        Algorithm::Best => Instance::new(problem, |degree| degree >= 2),
        _ => Instance::without_helpers(problem),
    }
}

/// The tree that `algorithm` makes with at most `helpers_max` helpers, never worse than without any: growth is greedy,
/// and a helper that looked good when it joined may have been in the way.
pub(crate) fn draft(
    instance: &Instance<'_>,
    algorithm: Algorithm,
    helpers_max: usize,
) -> Result<Draft, PlanError> {
    let draft = grown(instance, algorithm, helpers_max)?;
    if instance.helpers_max.min(helpers_max) == 0 {
        return Ok(draft);
    }
    match grown(instance, algorithm, 0) {
        Ok(without) if without.value(instance) <= draft.value(instance) => Ok(without),
        _ => Ok(draft),
    }
}

/// The tree that growth makes, adjusted if `algorithm` says so.
pub(crate) fn grown(
    instance: &Instance<'_>,
    algorithm: Algorithm,
    helpers_max: usize,
) -> Result<Draft, PlanError> {
    if instance.problem.objective == Objective::Forest {
        return Err(PlanError::Unsupported(algorithm, Objective::Forest));
    }
    let (criterion, adjusted) = match algorithm {
        Algorithm::Amcast => (None, false),
        Algorithm::AmcastAdjust => (None, true),
        Algorithm::Critical => (Some(Criterion::TableB), false),
        Algorithm::CriticalAdjust => (Some(Criterion::TableB), true),
        Algorithm::ClosestAdjust => (Some(Criterion::ClosestToParent), true),
        Algorithm::Best => return best(instance, helpers_max, &mut Budget::default_for(instance)),
        baseline => return Err(PlanError::Unsupported(baseline, instance.problem.objective)),
    };
    let limits = criterion.map_or(HelperLimits::NONE, |_| HelperLimits::of(instance, helpers_max));
    let draft = grown_within(instance, criterion.unwrap_or(Criterion::TableB), limits)?;
    let draft = draft.without_idle_helpers(instance);
    Ok(if adjusted { adjust(draft, instance).without_idle_helpers(instance) } else { draft })
}

/// The tree that growth makes with the helpers that `limits` admits.
pub(crate) fn grown_within(
    instance: &Instance<'_>,
    criterion: Criterion,
    limits: HelperLimits,
) -> Result<Draft, PlanError> {
    check_degrees(instance, limits)?;
    let from = |hub, attempts| grown_from(instance, hub, attempts, criterion, limits);
    if instance.problem.objective == Objective::Height {
        return from(0, ATTEMPTS_MAX);
    }
    let mut hubs = most_central(instance, 0..instance.members, MEMBER_HUBS);
    if limits.most > 0 {
        let helpers = instance.helpers().filter(|&helper| instance.degree[helper] >= limits.min_degree);
        hubs.extend(most_central(instance, helpers, HELPER_HUBS));
    }
    // With many hubs, it is enough that one of them leads to no dead end.
    let best = [1, ATTEMPTS_MAX]
        .into_iter()
        .find_map(|attempts| least_of(hubs.iter().filter_map(|&hub| from(hub, attempts).ok()), instance));
    best.map_or_else(|| from(0, 1), Ok)
}

/// The tree that growth makes around `hub`, which is one of the helpers that `limits` admits if it is not a member.
pub(crate) fn grown_from(
    instance: &Instance<'_>,
    hub: usize,
    attempts: usize,
    criterion: Criterion,
    limits: HelperLimits,
) -> Result<Draft, PlanError> {
    let section_a: &mut dyn SectionA =
        if limits.most == 0 { &mut NoHelpers } else { &mut CriticalNode::new(criterion, limits) };
    grow(instance, hub, attempts, section_a)
}

/// The draft of least value.
fn least_of(drafts: impl Iterator<Item = Draft>, instance: &Instance<'_>) -> Option<Draft> {
    let valued = drafts.map(|draft| (draft.value(instance), draft));
    valued.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, draft)| draft)
}

/// Up to `count` of `nodes`: those from which the farthest member is nearest.
pub(crate) fn most_central(
    instance: &Instance<'_>,
    nodes: impl Iterator<Item = usize>,
    count: usize,
) -> Vec<usize> {
    let mut nodes: Vec<(f32, usize)> = nodes
        .map(|node| {
            let reach = instance.costs(node)[..instance.members].iter().copied();
            (reach.filter(|cost| cost.is_finite()).fold(0.0, f32::max), node)
        })
        .collect();
    nodes.sort_by(|a, b| a.0.total_cmp(&b.0));
    nodes.into_iter().take(count).map(|(_, node)| node).collect()
}

/// Whether the degrees suffice for a tree, with every pair allowed: each helper of degree d brings d - 2.
pub(crate) fn check_degrees(instance: &Instance<'_>, limits: HelperLimits) -> Result<(), PlanError> {
    let members = instance.members;
    let admitted = instance.degree[members..].iter().filter(|&&degree| degree >= limits.min_degree);
    let mut brought: Vec<u64> = admitted.map(|&degree| u64::from(degree).saturating_sub(2)).collect();
    brought.sort_unstable_by(|a, b| b.cmp(a));
    let brought = brought.iter().take(limits.most).sum();
    check_sum(&instance.degree[..members], brought, |member| instance.nodes[member])
}

/// Whether members of these `degrees` can make a tree, if helpers bring so many links. Errors name them by `number`.
pub(crate) fn check_sum(
    degrees: &[u32],
    brought: u64,
    number: impl Fn(usize) -> NodeIndex,
) -> Result<(), PlanError> {
    let members = degrees.len();
    if members <= 1 {
        return Ok(());
    }
    if let Some(member) = degrees.iter().position(|&degree| degree == 0) {
        return Err(PlanError::NoDegree(number(member)));
    }
    let given = degrees.iter().map(|&degree| u64::from(degree)).sum::<u64>() + brought;
    let needed = 2 * (members as u64 - 1);
    if given < needed { Err(PlanError::DegreesTooSmall { given, needed, members }) } else { Ok(()) }
}

/// How many members are tried as the hub of a shared tree: all of them in sessions up to that size. Time grows with it,
/// and the tree of least diameter has its hub near the middle.
const MEMBER_HUBS: usize = 32;
/// How many helpers are tried as the hub of a shared tree. A guess: the most central ones differ little.
const HELPER_HUBS: usize = 4;
