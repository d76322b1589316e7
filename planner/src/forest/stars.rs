//! The unicast forest: every source sends to every member itself. No relay, no delay but that of the link, and a budget
//! that is broken wherever there are more than d x K other members for a node of degree d: `copies_excess` says by how much. The yardstick for what relaying costs in latency, and saves in uplink.

use super::finish;
use crate::instance::Instance;
use crate::plan::{Plan, Tree};
use crate::plan_error::PlanError;
use crate::problem::Problem;

/// The stars; O(M^2).
///
/// # Errors
/// `PlanError::Stuck` where two members may not talk to each other.
pub(crate) fn stars(problem: &Problem) -> Result<Plan, PlanError> {
    let instance = Instance::without_helpers(problem);
    let members = &problem.members;
    for from in 0..instance.members {
        if let Some(to) = (0..instance.members).find(|&to| to != from && !instance.may_link(from, to)) {
            return Err(PlanError::Stuck(members[to]));
        }
    }
    let star = |&source: &usize| Tree {
        sources: vec![source],
        edges: members.iter().filter(|&&member| member != source).map(|&member| (source, member)).collect(),
    };
    Ok(finish(problem, members.iter().map(star).collect()))
}
