//! What a forest asks of each node, counted from its links alone: the check on any planner's forest.

use std::collections::BTreeMap;

use crate::plan::Plan;
use crate::problem::Problem;
use crate::units::NodeIndex;

/// Copies that each sending node sends for those K sources for which it sends most, K being the problem's speakers.
pub(crate) fn copies(problem: &Problem, plan: &Plan) -> BTreeMap<NodeIndex, u32> {
    let mut by_source: BTreeMap<NodeIndex, BTreeMap<NodeIndex, u32>> = BTreeMap::new();
    for tree in &plan.trees {
        for (node, links) in tree.degrees() {
            for &source in &tree.sources {
                // Whoever else is the source, one of the links is where it comes from.
                let sent = links - u32::from(source != node);
                *by_source.entry(node).or_default().entry(source).or_default() += sent;
            }
        }
    }
    by_source
        .into_iter()
        .map(|(node, sent)| {
            let mut sent: Vec<u32> = sent.into_values().collect();
            sent.sort_unstable_by(|a, b| b.cmp(a));
            (node, sent.iter().take(problem.speakers as usize).sum())
        })
        .collect()
}

/// By how many copies the most overloaded node exceeds what it may send for any K sources; 0 for a plan that keeps
/// within the budget.
pub fn copies_excess(problem: &Problem, plan: &Plan) -> u32 {
    let excess =
        copies(problem, plan).into_iter().map(|(node, sent)| sent.saturating_sub(problem.copies(node)));
    excess.max().unwrap_or(0)
}
