//! The links of an installed forest, and what it costs to leave them: in every tree that of each link that the installed
//! tree does not have, but for one link of every node that it does not have either. A tree is compared with that of the
//! same source; a source that has come has every tree it likes.

use super::grove::{Grove, NO, TOP};
use super::moves::Step;
use super::view::View;

/// Links between the nodes of a view, tree by tree: (parent, child). `None` for a tree that was not there.
pub(super) type Links = Vec<Option<Vec<(u32, u32)>>>;

/// An installed forest.
pub(super) struct Installed {
    nodes: usize,
    /// In every tree, of every node: the other end of its link, seen from there.
    above: Vec<u32>,
    /// Nodes that have come to a tree since.
    came: Vec<bool>,
    /// Of one link in one tree, in milliseconds.
    pub(super) price: f64,
}

impl Installed {
    /// From links without rings.
    pub(super) fn new(view: &View, links: &Links, price: f64) -> Self {
        let nodes = view.len();
        let mut above = vec![NO; links.len() * nodes];
        let mut came = vec![true; links.len() * nodes];
        for (tree, links) in links.iter().enumerate() {
            let start = tree * nodes;
            came[start + view.source(tree as u32) as usize] = false;
            for &(parent, child) in links.iter().flatten() {
                came[start + parent as usize] = false;
                came[start + child as usize] = false;
                above[start + child as usize] = parent;
            }
        }
        Self { nodes, above, came, price }
    }

    #[inline]
    fn link(&self, tree: u32, a: u32, b: u32) -> i32 {
        let start = tree as usize * self.nodes;
        i32::from(self.above[start + a as usize] != b && self.above[start + b as usize] != a)
    }

    #[inline]
    fn node(&self, tree: u32, node: u32) -> i32 {
        i32::from(self.came[tree as usize * self.nodes + node as usize])
    }

    /// Links that the forest moves: O(M N).
    pub(super) fn moved(&self, grove: &Grove<'_>) -> i32 {
        let mut sum = 0;
        for tree in 0..grove.trees() {
            for node in 0..self.nodes as u32 {
                let parent = grove.spot(tree, node).parent;
                if parent < TOP {
                    sum += self.link(tree, node, parent) - self.node(tree, node);
                }
            }
        }
        sum
    }

    /// How many links more a move would move. Helpers that it leaves idle are not counted.
    pub(super) fn change(&self, grove: &Grove<'_>, step: Step, takers: &[u32]) -> i32 {
        let above = |tree, node| grove.spot(tree, node).parent;
        let hung = |tree, node, to| self.link(tree, node, to) - self.link(tree, node, above(tree, node));
        let kids = |tree, of: u32, to: u32, except: u32| {
            let (mut sum, mut kid) = (0, grove.spot(tree, of).first);
            while kid != NO {
                if kid != except {
                    sum += self.link(tree, kid, to) - self.link(tree, kid, of);
                }
                kid = grove.spot(tree, kid).next;
            }
            sum
        };
        match step {
            Step::Hang { tree, node, to } => hung(tree, node, to),
            Step::Relieve { tree, node, to, other, child, place } => {
                hung(tree, node, to) + hung(other, child, place)
            }
            Step::Swap { tree, a, b } => hung(tree, a, above(tree, b)) + hung(tree, b, above(tree, a)),
            Step::Rise { tree, node } => {
                let parent = above(tree, node);
                let top = above(tree, parent);
                self.link(tree, node, top) - self.link(tree, parent, top)
            }
            Step::Exchange { tree, leaf, inner } => {
                let from = if above(tree, leaf) == inner { leaf } else { above(tree, leaf) };
                hung(tree, leaf, above(tree, inner)) + hung(tree, inner, from) + kids(tree, inner, leaf, leaf)
            }
            Step::Insert { tree, helper, parent } => {
                let taken = takers.iter().map(|&node| hung(tree, node, helper)).sum::<i32>();
                self.link(tree, helper, parent) - self.node(tree, helper) + taken
            }
            Step::Replace { tree, helper, by } => {
                let top = above(tree, helper);
                let came = if by == top { 0 } else { self.link(tree, by, top) - self.node(tree, by) };
                came + self.node(tree, helper) - self.link(tree, helper, top) + kids(tree, helper, by, NO)
            }
        }
    }
}
