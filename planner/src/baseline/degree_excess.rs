//! By how much a plan breaks the degree bounds.

use std::collections::BTreeMap;

use crate::forest::copies_excess;
use crate::names::Objective;
use crate::plan::Plan;
use crate::problem::Problem;

/// How many links too many the most overloaded node of `plan` has; 0 for a plan that keeps its bounds. Where several
/// trees share one stream (stripes), each of a node's links counts as one part of a link. For a forest, how many copies
/// too many (`copies_excess`).
pub fn degree_excess(problem: &Problem, plan: &Plan) -> u32 {
    let mut links: BTreeMap<_, u32> = BTreeMap::new();
    for tree in &plan.trees {
        for (node, degree) in tree.degrees() {
            *links.entry(node).or_insert(0) += degree;
        }
    }
    let stripes = match plan.objective {
        Objective::Height | Objective::Diameter if problem.is_protected() => 1,
        Objective::Height | Objective::Diameter => u32::try_from(plan.trees.len()).unwrap_or(u32::MAX).max(1),
        Objective::Forest => return copies_excess(problem, plan),
    };
    links
        .into_iter()
        .map(|(node, links)| links.div_ceil(stripes).saturating_sub(problem.degree(node).0))
        .max()
        .unwrap_or(0)
}
