//! From one plan to the next without a gap: a voice whose ways change goes along both for a while. The later of the two
//! copies tells the ears how deep their buffers have to be for the new way, and they are by the time it carries on alone
//! (`alm_media::Listener` drops the second copy once it is proved).

use std::collections::BTreeSet;
use std::time::Duration;

use alm_media::TreeId;

use super::plan::{PlanTree, SessionPlan};
use crate::identity::NodeId;

/// How long a voice goes along the old tree too. A buffer believes in a longer way after some 300 ms, and is deeper by
/// about half a frame with every frame from then on: 200 ms more are reached well within it.
pub(super) const OVERLAP: Duration = Duration::from_secs(1);

/// The trees of `old` along which voices are to go on for a while after `new` has taken over: those whose ways `new`
/// does not have, where a voice goes along the trees that `uses` names.
pub(super) fn lingering(old: &SessionPlan, new: &SessionPlan, uses: impl Fn(TreeId) -> bool) -> Vec<TreeId> {
    let used = |tree: &&PlanTree| uses(TreeId(tree.tree));
    let new: Vec<&PlanTree> = new.trees.iter().filter(used).collect();
    let lingers = |tree: &&PlanTree| !new.iter().any(|other| has_the_same_ways(tree, other));
    old.trees.iter().filter(used).filter(lingers).map(|tree| TreeId(tree.tree)).collect()
}

/// Between the nodes that are in both, the ways are the same: one has all links of the other, and no tree has two ways.
fn has_the_same_ways(old: &PlanTree, new: &PlanTree) -> bool {
    let both: BTreeSet<NodeId> = old.sources.iter().copied().collect();
    let same_voices = new.sources.iter().any(|source| both.contains(source));
    let links = |tree: &PlanTree| -> BTreeSet<(NodeId, NodeId)> {
        tree.edges.iter().map(|(a, b)| (*a.min(b), *a.max(b))).collect()
    };
    let (before, after) = (links(old), links(new));
    same_voices && (before.is_subset(&after) || after.is_subset(&before))
}

#[cfg(test)]
mod tests {
    use alm_planner::Objective;

    use super::*;

    #[test]
    fn who_goes_over_to_a_tree_of_its_own_speaks_along_the_shared_one_for_a_while() {
        let mut old = plan(&[(0, &[(0, 1), (1, 2)])]);
        let mut new = plan(&[(1, &[(1, 0), (0, 2)]), (0, &[(0, 1), (1, 2)])]);
        new.trees[1].tree = 9;
        for tree in [&mut old.trees[0], &mut new.trees[1]] {
            (tree.shared, tree.sources) = (true, (0..3).map(|n| NodeId([n; 32])).collect());
        }
        (old.trees[0].tree, new.trees[0].tree) = (7, 8);
        assert_eq!(lingering(&old, &new, |tree| [7, 8].contains(&tree.0)), [TreeId(7)], "the speaker");
        assert_eq!(lingering(&old, &new, |tree| [7, 9].contains(&tree.0)), [], "everybody else");
    }

    /// A voice and its tree's links.
    type Voice<'a> = (u8, &'a [(u8, u8)]);

    fn plan(trees: &[Voice<'_>]) -> SessionPlan {
        let node = |n: u8| NodeId([n; 32]);
        let tree = |(i, (source, edges)): (usize, &Voice<'_>)| PlanTree {
            tree: i as u32,
            shared: false,
            sources: vec![node(*source)],
            edges: edges.iter().map(|(a, b)| (node(*a), node(*b))).collect(),
            backups: vec![],
            detours: vec![],
        };
        SessionPlan {
            epoch: 1,
            objective: Objective::Forest,
            root: node(0),
            trees: trees.iter().enumerate().map(tree).collect(),
            helpers: vec![],
            worst_ms: 0.0,
            height_ms: 0.0,
            diameter_ms: 0.0,
            is_guess: false,
            planned_us: 0,
            probes: 0,
            reason: String::new(),
        }
    }

    #[test]
    fn only_voices_whose_ways_change_go_along_both() {
        let old = plan(&[(0, &[(0, 1), (0, 2)]), (1, &[(1, 0), (0, 2)]), (2, &[(2, 0), (2, 1)])]);
        // A joiner changes no way, nor does a leaver; the second voice's does when it goes straight to node 2.
        let joined = plan(&[(0, &[(0, 1), (0, 2), (2, 3)]), (1, &[(1, 0), (1, 2)]), (2, &[(2, 0)])]);
        let lingering = |old, new| lingering(old, new, |_| true);
        assert_eq!(lingering(&old, &joined), [TreeId(1)]);
        assert_eq!(lingering(&old, &old), []);
        assert_eq!(lingering(&joined, &old), [TreeId(1)]);
    }
}
