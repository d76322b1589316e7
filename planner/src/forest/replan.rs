//! One tree of an installed forest planned anew, while all others stay as they are.

use std::collections::BTreeMap;

use super::grove::{Grove, NO};
use super::view::View;
use super::{SCHEDULE, Walk, finish, to_plan, turned};
use crate::best::Budget;
use crate::instance::Instance;
use crate::plan::Plan;
use crate::plan_error::PlanError;
use crate::problem::Problem;
use crate::units::NodeIndex;

/// The forest `plan` with the tree of `source` planned anew within what the other trees leave of every node's budget.
/// The other trees stay as they are, link for link. The new tree is never worse, by the worst pair, the mean pair and
/// the price of helpers together.
///
/// # Errors
/// `PlanError::TreesTogether` if every source has two trees. `PlanError::Stuck` if a member has no tree of its own in the plan, or a tree is not over the problem's members and
/// usable helpers, along links that may exist. A node that sends too much already gets no more to send.
pub fn replan_tree(
    problem: &Problem,
    plan: &Plan,
    source: NodeIndex,
    mut budget: Budget<'_>,
) -> Result<Plan, PlanError> {
    if problem.protect {
        return Err(PlanError::TreesTogether(source));
    }
    let problem = &*problem.with_one_helper_a_domain(&plan.helpers);
    let instance = Instance::new(problem, |degree| degree >= 2);
    let local: BTreeMap<NodeIndex, usize> =
        instance.nodes.iter().enumerate().map(|(at, &node)| (node, at)).collect();
    let find = |node: NodeIndex| local.get(&node).copied().ok_or(PlanError::Stuck(node));
    let kept = plan.helpers.iter().map(|&helper| find(helper)).collect::<Result<Vec<_>, _>>()?;
    let view = View::new(&instance, &kept);
    let mut parents = vec![NO; view.members * view.len()];
    for (at, &member) in problem.members.iter().enumerate() {
        let tree = plan.trees.iter().find(|tree| tree.sources == [member]).ok_or(PlanError::Stuck(member))?;
        let links =
            tree.edges.iter().map(|&(a, b)| Ok((find(a)?, find(b)?))).collect::<Result<Vec<_>, _>>()?;
        let hung = turned(&view, &links, at);
        let exists = |node: usize| hung[node] != NO && view.cost(hung[node], node as u32).is_finite();
        let stray = (0..view.len()).find(|&node| {
            let wanted = hung[node] != NO || node < view.members;
            node != at && wanted && !exists(node)
        });
        if let Some(stray) = stray {
            return Err(PlanError::Stuck(instance.nodes[view.nodes[stray]]));
        }
        parents[at * view.len()..][..view.len()].copy_from_slice(&hung);
    }
    let tree = problem.members.iter().position(|&member| member == source).ok_or(PlanError::Stuck(source))?;
    if view.members == 1 {
        return Ok(plan.clone());
    }
    let mut grove = Grove::new(&view, &parents);
    let parents = Walk::new(&mut grove, SCHEDULE, Some(tree as u32), problem.seed).run(&mut budget);
    let mut replanned = to_plan(&instance, &view, &parents);
    let new = replanned.trees.swap_remove(tree);
    let mut trees = plan.trees.clone();
    for old in trees.iter_mut().filter(|old| old.sources == [source]) {
        *old = new.clone();
    }
    Ok(finish(problem, trees))
}
