//! A plan as a session installs it: a set of trees over nodes, and each node's part of them.

use std::collections::{BTreeMap, BTreeSet};

use alm_planner::Objective;
use ring::digest;
use serde::{Deserialize, Serialize};

use crate::identity::{NodeId, SessionId};
use crate::pool::Contact;

/// One installed plan, whole: what members see. Helpers see their own [`TreePart`]s only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SessionPlan {
    /// Counts the plans of a session.
    pub epoch: u64,
    /// What it was made small for.
    pub objective: Objective,
    /// The task manager.
    pub root: NodeId,
    /// The trees.
    pub trees: Vec<PlanTree>,
    /// Nodes that carry media for a session that they are not members of.
    pub helpers: Vec<NodeId>,
    /// The largest latency from any source to any member, one way.
    pub worst_ms: f64,
    /// The largest latency from the root to a member.
    pub height_ms: f64,
    /// The largest latency between two members.
    pub diameter_ms: f64,
    /// How long the planning took.
    pub planned_us: u64,
    /// Round trips to helpers measured for this plan alone.
    pub probes: u32,
    /// Why it was made.
    pub reason: String,
}

/// One tree of a plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlanTree {
    /// Its number in packets.
    pub tree: u32,
    /// Media flows both ways along every edge; otherwise from parent to child only.
    pub shared: bool,
    /// Who sends along it.
    pub sources: Vec<NodeId>,
    /// Parent and child, parents first.
    pub edges: Vec<(NodeId, NodeId)>,
}

/// A node's part of one tree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TreePart {
    /// Its number in packets.
    pub tree: u32,
    /// Media flows both ways.
    pub shared: bool,
    /// The node above; `None` at the root.
    pub parent: Option<NodeId>,
    /// The nodes below.
    pub children: Vec<NodeId>,
}

/// What one node is told of an epoch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Installation {
    /// Whose epoch.
    pub session: SessionId,
    /// Which.
    pub epoch: u64,
    /// For which node.
    pub to: NodeId,
    /// What it carries.
    pub trees: Vec<TreePart>,
    /// Where its neighbours listen.
    pub contacts: Vec<Contact>,
    /// The whole, for members.
    pub plan: Option<SessionPlan>,
}

/// What is wrong with a plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanDefect {
    /// Edges that close a loop, or a child with two parents.
    #[error("the edges are no tree")]
    NotATree,
    /// A source that the tree does not reach.
    #[error("a source is not in the tree")]
    SourceOutside,
}

impl PlanTree {
    /// A node's part; `None` when the tree does without it.
    #[must_use]
    pub fn part_of(&self, node: NodeId) -> Option<TreePart> {
        let parent = self.edges.iter().find(|(_, child)| *child == node).map(|(parent, _)| *parent);
        let below = self.edges.iter().filter(|(parent, _)| *parent == node);
        let children: Vec<NodeId> = below.map(|(_, child)| *child).collect();
        let within = parent.is_some() || !children.is_empty();
        within.then_some(TreePart { tree: self.tree, shared: self.shared, parent, children })
    }

    fn check(&self) -> Result<(), PlanDefect> {
        let mut reached: BTreeSet<NodeId> = self.edges.first().map(|(root, _)| *root).into_iter().collect();
        for (parent, child) in &self.edges {
            if !reached.contains(parent) || !reached.insert(*child) {
                return Err(PlanDefect::NotATree);
            }
        }
        let lonely = self.edges.is_empty() && self.sources.len() <= 1;
        let spanned = lonely || self.sources.iter().all(|source| reached.contains(source));
        if spanned { Ok(()) } else { Err(PlanDefect::SourceOutside) }
    }
}

impl TreePart {
    /// The nodes above and below.
    pub fn neighbours(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.parent.iter().chain(&self.children).copied()
    }
}

impl SessionPlan {
    /// Checks what a receiver relies on.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), PlanDefect> {
        self.trees.iter().try_for_each(PlanTree::check)
    }

    /// Every node of the plan: the root, members and helpers.
    #[must_use]
    pub fn nodes(&self) -> BTreeSet<NodeId> {
        let edges = self.trees.iter().flat_map(|tree| tree.edges.iter().flat_map(|(a, b)| [*a, *b]));
        edges.chain([self.root]).collect()
    }

    /// A node's parts of all trees.
    #[must_use]
    pub fn parts_of(&self, node: NodeId) -> Vec<TreePart> {
        self.trees.iter().filter_map(|tree| tree.part_of(node)).collect()
    }

    /// The tree links of a node, in the tree where it has most.
    #[must_use]
    pub fn degree_of(&self, node: NodeId) -> u32 {
        let degrees = self.parts_of(node).into_iter().map(|part| part.neighbours().count() as u32);
        degrees.max().unwrap_or(0)
    }

    /// How many links a frame of `source` crosses to reach `node`.
    #[must_use]
    pub fn hops(&self, source: NodeId, node: NodeId) -> Option<u32> {
        let tree = self.trees.iter().find(|tree| tree.sources.contains(&source))?;
        let up: BTreeMap<NodeId, NodeId> =
            tree.edges.iter().map(|(parent, child)| (*child, *parent)).collect();
        let path = |from| std::iter::successors(Some(from), |at| up.get(at).copied()).collect::<Vec<_>>();
        let (from, to) = (path(source), path(node));
        let shared = from.iter().rev().zip(to.iter().rev()).take_while(|(a, b)| a == b).count();
        (shared > 0).then(|| (from.len() + to.len() - 2 * shared) as u32)
    }
}

/// The number of a tree in packets. Hashed, so that a helper can serve many sessions without a common count.
pub(super) fn tree_number(session: SessionId, epoch: u64, tree: u32) -> u32 {
    let name = [session.0.as_slice(), &epoch.to_be_bytes(), &tree.to_be_bytes()].concat();
    let hash = digest::digest(&digest::SHA256, &name);
    u32::from_be_bytes(std::array::from_fn(|i| hash.as_ref()[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    fn tree(edges: &[(u8, u8)]) -> PlanTree {
        let edges = edges.iter().map(|(a, b)| (node(*a), node(*b))).collect();
        PlanTree { tree: 1, shared: true, sources: vec![node(0), node(3)], edges }
    }

    #[test]
    fn loops_double_parents_and_outsiders_are_noticed() {
        assert_eq!(tree(&[(0, 1), (1, 2), (1, 3)]).check(), Ok(()));
        assert_eq!(tree(&[(0, 1), (1, 3), (0, 3)]).check(), Err(PlanDefect::NotATree));
        assert_eq!(tree(&[(0, 3), (3, 0)]).check(), Err(PlanDefect::NotATree));
        assert_eq!(tree(&[(0, 1), (2, 3)]).check(), Err(PlanDefect::NotATree));
        assert_eq!(tree(&[(0, 1), (1, 2)]).check(), Err(PlanDefect::SourceOutside));
    }

    #[test]
    fn hops_are_counted_along_the_tree() {
        let plan = SessionPlan {
            epoch: 1,
            objective: Objective::Diameter,
            root: node(0),
            trees: vec![tree(&[(0, 1), (1, 2), (1, 3), (0, 4)])],
            helpers: vec![],
            worst_ms: 0.0,
            height_ms: 0.0,
            diameter_ms: 0.0,
            planned_us: 0,
            probes: 0,
            reason: String::new(),
        };
        assert_eq!(plan.hops(node(0), node(3)), Some(2));
        assert_eq!(plan.hops(node(3), node(2)), Some(2));
        assert_eq!(plan.hops(node(3), node(4)), Some(3));
        assert_eq!(plan.hops(node(3), node(9)), None);
        assert_eq!(plan.degree_of(node(1)), 3);
    }
}
