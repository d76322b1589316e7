//! A plan: a set of trees over one session's members and the helpers that it borrows. A forest has one per source, and
//! all others have one, but for stripes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::names::Objective;
use crate::units::{NodeIndex, OneWay};

/// One tree, and whose media flows along it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Members that send along this tree. The root alone for `Objective::Height`, all members for `Diameter`.
    pub sources: Vec<NodeIndex>,
    /// (parent, child), every parent before its children. A shared tree carries media both ways along them.
    pub edges: Vec<(NodeIndex, NodeIndex)>,
}

impl Tree {
    /// Links at each node, by node. Nodes without links are absent.
    pub fn degrees(&self) -> BTreeMap<NodeIndex, u32> {
        let mut degrees = BTreeMap::new();
        for &(parent, child) in &self.edges {
            *degrees.entry(parent).or_insert(0) += 1;
            *degrees.entry(child).or_insert(0) += 1;
        }
        degrees
    }

    /// Links on the way from a source to the node that is the most links away. O(sources x links).
    pub fn hops(&self) -> usize {
        let mut beside: BTreeMap<NodeIndex, Vec<NodeIndex>> = BTreeMap::new();
        for &(parent, child) in &self.edges {
            beside.entry(parent).or_default().push(child);
            beside.entry(child).or_default().push(parent);
        }
        let most = |source: NodeIndex| {
            let (mut level, mut before) = (vec![(source, source)], 0);
            loop {
                let next: Vec<_> = (level.iter())
                    .flat_map(|&(node, from)| {
                        let others = beside.get(&node).into_iter().flatten();
                        others.filter(move |&&other| other != from).map(move |&other| (other, node))
                    })
                    .collect();
                if next.is_empty() {
                    return before;
                }
                (level, before) = (next, before + 1);
            }
        };
        self.sources.iter().map(|&source| most(source)).max().unwrap_or(0)
    }
}

/// What a planner answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What was made small.
    pub objective: Objective,
    /// The first member.
    pub root: NodeIndex,
    /// The members, root first.
    pub members: Vec<NodeIndex>,
    /// Helpers that are used, ascending: exactly those in the edges. None of them is a leaf.
    pub helpers: Vec<NodeIndex>,
    /// The trees; one for `Height` and `Diameter`, or stripes that share one stream.
    pub trees: Vec<Tree>,
    /// Largest latency from the root to a member, without hop cost; in a forest, along the root's own tree.
    pub height: OneWay,
    /// Largest latency between any two members along the tree, without hop cost; in a forest, from one to another along
    /// its own tree.
    pub diameter: OneWay,
}

impl Plan {
    /// Links on the way that has most of them, from any source over all trees.
    pub fn hops(&self) -> usize {
        self.trees.iter().map(Tree::hops).max().unwrap_or(0)
    }
}
