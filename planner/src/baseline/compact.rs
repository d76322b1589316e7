//! The compact tree algorithm: Shi, Turner, "Routing in overlay multicast networks", INFOCOM 2002.
//!
//! A greedy heuristic for the tree of least diameter under degree bounds. Each node outside keeps the node in the tree
//! below which its longest path to anybody in the tree is shortest; the node for which that path is shortest of all
//! joins, and all choices are made again. O(N^3), as published.
//!
//! Simplified: growth starts at the root alone. Where directions differ, a link is as long as their mean. The objective
//! is the diameter whatever the problem asks for. Degrees are kept.

use super::joining::Joining;
use crate::draft::Draft;
use crate::instance::Instance;
use crate::plan_error::PlanError;

pub(super) fn draft(instance: &Instance<'_>) -> Result<Draft, PlanError> {
    let mut tree = Joining::new(instance)?;
    let length = |a, b| f64::midpoint(instance.cost(a, b), instance.cost(b, a));
    // From each node in the tree to the farthest other.
    let mut longest = vec![0.0_f64; instance.len()];
    let mut distance = vec![0.0_f64; instance.len()];
    while !tree.outside.is_empty() {
        let mut best: Option<(f64, usize, usize)> = None;
        for &node in tree.outside.iter().filter(|&&node| tree.keeps_open(node)) {
            for parent in tree.open_to(node) {
                let path = longest[parent] + length(parent, node);
                if best.is_none_or(|(least, ..)| path < least) {
                    best = Some((path, node, parent));
                }
            }
        }
        let Some((path, node, parent)) = best else {
            return Err(PlanError::Stuck(instance.nodes[tree.outside[0]]));
        };
        tree.attach(node, parent);
        longest[node] = path;
        distances(&tree, node, length, &mut distance);
        for &other in &tree.inside {
            longest[other] = longest[other].max(distance[other]);
        }
    }
    Ok(tree.into_draft())
}

/// Along the tree from `from` to every node in it. Up to the root first, then down: parents come before children.
fn distances(tree: &Joining<'_>, from: usize, length: impl Fn(usize, usize) -> f64, distance: &mut [f64]) {
    for &node in &tree.inside {
        distance[node] = f64::NAN;
    }
    let (mut at, mut path) = (from, 0.0);
    distance[at] = 0.0;
    while at != 0 {
        path += length(tree.parent[at], at);
        at = tree.parent[at];
        distance[at] = path;
    }
    for &node in &tree.inside {
        if distance[node].is_nan() {
            distance[node] = distance[tree.parent[node]] + length(tree.parent[node], node);
        }
    }
}
