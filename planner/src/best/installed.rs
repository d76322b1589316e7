//! The links of a plan that is installed, and what it costs to leave them: a tree's price is that of every link that the
//! installed plan does not have, but for one link of every node that it does not have either.

use super::moves::{Extras, Move};
use super::smooth::{NO, SmoothTree};
use crate::draft::{Draft, NONE};
use crate::instance::Instance;

/// An installed tree, whole or in pieces.
pub(crate) struct Installed {
    /// Every link as one of its ends sees it: the node above, in its piece.
    above: Vec<u32>,
    /// Nodes that have come since.
    came: Vec<bool>,
    /// Of a link, in milliseconds.
    pub(super) price: f64,
}

impl Installed {
    /// From links without rings. `came` says which nodes the installed tree does not have.
    pub(crate) fn new(
        instance: &Instance<'_>,
        links: &[(usize, usize)],
        came: Vec<bool>,
        price: f64,
    ) -> Self {
        let mut beside = vec![Vec::new(); instance.len()];
        for &(a, b) in links {
            beside[a].push(b);
            beside[b].push(a);
        }
        let mut above = vec![NO; instance.len()];
        let mut reached = vec![false; instance.len()];
        let mut open = Vec::new();
        for top in 0..instance.len() {
            if std::mem::replace(&mut reached[top], true) {
                continue;
            }
            open.push(top);
            while let Some(node) = open.pop() {
                for &next in &beside[node] {
                    if !std::mem::replace(&mut reached[next], true) {
                        above[next] = node as u32;
                        open.push(next);
                    }
                }
            }
        }
        Self { above, came, price }
    }

    #[inline]
    fn link(&self, a: u32, b: u32) -> i32 {
        i32::from(self.above[a as usize] != b && self.above[b as usize] != a)
    }

    #[inline]
    fn node(&self, node: u32) -> i32 {
        i32::from(self.came[node as usize])
    }

    /// What a draft comes to, with the price of the links that it moves.
    pub(crate) fn cost(&self, instance: &Instance<'_>, draft: &Draft) -> f64 {
        draft.value(instance) + self.price * f64::from(self.moved_in(draft))
    }

    /// Links that a draft moves.
    fn moved_in(&self, draft: &Draft) -> i32 {
        let of = |&node: &usize| {
            let parent = draft.parent[node];
            let link = if parent == NONE { 0 } else { self.link(node as u32, parent as u32) };
            link - self.node(node as u32)
        };
        draft.order.iter().map(of).sum()
    }

    /// Links that the tree moves: O(N).
    pub(super) fn moved(&self, tree: &SmoothTree<'_>) -> i32 {
        let of = |&node: &u32| {
            let above = tree.above(node);
            // The link across the middle is above both of its ends.
            let beside_middle = tree.has_middle() && tree.node(node).parent == tree.top;
            let counts = above != NO && !(beside_middle && node > above);
            let link = if counts { self.link(node, above) } else { 0 };
            link - self.node(node)
        };
        tree.placed.iter().map(of).sum()
    }

    /// How many links more a move would move; less are counted with a minus. Of the helpers that go with it because they
    /// are left idle, at most the first is counted: with what they hung by, they mostly come to nothing.
    pub(super) fn change(&self, tree: &SmoothTree<'_>, step: Move, extras: &Extras) -> i32 {
        let from = |node| self.link(node, tree.above(node));
        let hung = |node, to| self.link(node, to) - from(node);
        let kids = |of: u32, to: u32, except: u32| {
            let (mut sum, mut child) = (0, tree.node(of).first);
            while child != NO {
                if child != except {
                    sum += self.link(child, to) - self.link(child, of);
                }
                child = tree.node(child).next;
            }
            sum
        };
        let taken = || extras.iter().map(|&(node, to)| hung(node, to)).sum::<i32>();
        match step {
            Move::Hang(node, to) => {
                let old = tree.above(node);
                let is_left_idle = tree.is_helper(old) && tree.node(old).kids == 1;
                hung(node, to) + if is_left_idle { self.node(old) - from(old) } else { 0 }
            }
            Move::Swap(a, b) => hung(a, tree.above(b)) + hung(b, tree.above(a)),
            Move::Trade(a, b) => {
                hung(a, tree.above(b)) + hung(b, tree.above(a)) + kids(a, b, NO) + kids(b, a, NO)
            }
            Move::Rise(node) => {
                let parent = tree.above(node);
                let above = tree.above(parent);
                self.link(node, above) - self.link(parent, above)
                    + kids(parent, node, node)
                    + kids(node, parent, NO)
            }
            Move::Insert(helper, at) => {
                let above = tree.above(at);
                self.link(helper, above) - self.node(helper) + hung(at, helper) + taken()
            }
            Move::InsertTwo(upper, lower, at) => {
                let above = tree.above(at);
                let links = self.link(upper, above) + self.link(lower, upper);
                links - self.node(upper) - self.node(lower) + hung(at, lower)
            }
            Move::Add(helper, to) => self.link(helper, to) - self.node(helper) + taken(),
            Move::Replace(old, new) => {
                let above = tree.above(old);
                self.link(new, above) - self.node(new) - from(old) + self.node(old) + kids(old, new, NO)
            }
            Move::Relieve(member, helper) => {
                let above = tree.above(member);
                self.link(helper, above) - self.node(helper) + hung(member, helper) + kids(member, helper, NO)
            }
            Move::Splice(member, at) => hung(member, tree.above(at)) + hung(at, member),
            Move::Fill(member, helper) => {
                let above = tree.above(helper);
                hung(member, above) + self.node(helper) - from(helper) + kids(helper, member, member)
            }
            Move::Drop(helper) if tree.is_fixed(helper) => {
                let (child, above) = (tree.node(helper).first, tree.above(helper));
                hung(child, above) + self.node(helper) - from(helper)
            }
            Move::Drop(helper) => taken() + self.node(helper) - from(helper),
        }
    }
}
