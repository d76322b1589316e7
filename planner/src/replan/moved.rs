//! How a plan differs from the one before it, counted in links.
//!
//! A link is a pair of nodes, whichever is the parent: a connection that turns round is not set up again. Every node that
//! comes brings one link with it, which cannot be helped; every further link that the old plan did not have is one that
//! somebody had to move. For one tree that keeps its directions, that is the number of nodes of both plans whose parent
//! has changed.

use std::collections::BTreeSet;

use crate::names::Objective;
use crate::plan::{Plan, Tree};
use crate::units::NodeIndex;

/// Links of a plan, by what the plan before it had; over all trees. `kept + moved + came` is their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Links that both have.
    pub kept: usize,
    /// Links of the new plan alone, without those in `came`.
    pub moved: usize,
    /// Nodes of the new plan alone, each with one link.
    pub came: usize,
    /// Nodes of the old plan alone; what they had for links is gone with them.
    pub gone: usize,
}

/// What became of `before` in `after`. A tree is compared with that which has most links in common, in a forest of those
/// of the same source; a tree without counterpart came, or is gone, with all its links.
pub fn moves(before: &Plan, after: &Plan) -> Moves {
    let mut sum = Moves::default();
    let mut open: Vec<&Tree> = before.trees.iter().collect();
    for tree in &after.trees {
        let own = links(tree);
        let common = |old: &Tree| links(old).intersection(&own).count();
        let forest = after.objective == Objective::Forest;
        let alike = |&at: &usize| !forest || open[at].sources.first() == tree.sources.first();
        // The first of equals.
        let at = (0..open.len()).rev().filter(alike).max_by_key(|&at| common(open[at]));
        let old = at.map(|at| open.remove(at));
        let Some(old) = old else {
            sum.came += tree.edges.len();
            continue;
        };
        let (links, nodes) = (own, nodes(after, tree));
        let (old_links, old_nodes) = (self::links(old), self::nodes(before, old));
        let kept = links.intersection(&old_links).count();
        let came = nodes.difference(&old_nodes).count().min(links.len() - kept);
        sum.kept += kept;
        sum.came += came;
        sum.moved += links.len() - kept - came;
        sum.gone += old_nodes.difference(&nodes).count();
    }
    sum.gone += open.iter().map(|tree| tree.edges.len()).sum::<usize>();
    sum
}

fn links(tree: &Tree) -> BTreeSet<(NodeIndex, NodeIndex)> {
    tree.edges.iter().map(|&(a, b)| (a.min(b), a.max(b))).collect()
}

fn nodes(plan: &Plan, tree: &Tree) -> BTreeSet<NodeIndex> {
    let top = if plan.objective == Objective::Forest { tree.sources.first() } else { Some(&plan.root) };
    tree.edges.iter().flat_map(|&(a, b)| [a, b]).chain(top.copied()).collect()
}
