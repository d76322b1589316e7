//! Making the moves that `moves` judges, and measuring what they change.

use super::moves::{Extras, Move};
use super::smooth::{NO, SmoothTree};

impl SmoothTree<'_> {
    /// Makes the move, and measures what it changed.
    pub(super) fn make(&mut self, step: Move, extras: &Extras) {
        match step {
            Move::Hang(node, to) => {
                let from = self.node(node).parent;
                self.rehang(node, to);
                self.prune(from);
            }
            Move::Swap(a, b) => {
                let (pa, pb) = (self.node(a).parent, self.node(b).parent);
                self.unhang(a);
                self.unhang(b);
                self.hang(a, pb);
                self.hang(b, pa);
                self.measure(&[pa, pb], &[a, b]);
            }
            Move::Trade(a, b) => {
                // By way of the places: children change hands first, then the nodes.
                let (pa, pb) = (self.node(a).parent, self.node(b).parent);
                let fixed = if self.is_below(b, a) || self.is_fixed(a) { a } else { b };
                let other = if fixed == a { b } else { a };
                let parent = self.node(other).parent;
                self.unhang(other);
                let moved: Vec<u32> = self.children(other);
                for &child in &moved {
                    self.unhang(child);
                }
                self.hand_over(fixed, other);
                self.put_in_place(fixed, other);
                self.hang(fixed, parent);
                for &child in &moved {
                    self.hang(child, fixed);
                }
                self.measure(&[a, b, pa, pb], &[a, b]);
            }
            Move::Rise(node) => {
                let parent = self.node(node).parent;
                let above = self.node(parent).parent;
                let lower = self.children(node);
                self.unhang(node);
                for &child in &lower {
                    self.unhang(child);
                }
                self.hand_over(parent, node);
                self.put_in_place(parent, node);
                self.hang(parent, node);
                for &child in &lower {
                    self.hang(child, parent);
                }
                self.measure(&[parent, above], &[node]);
            }
            Move::Insert(helper, at) => {
                let parent = self.node(at).parent;
                self.place(helper);
                self.put_in_place(at, helper);
                self.hang(at, helper);
                self.measure(&[helper, parent], &[helper]);
                self.rehang_all(extras);
            }
            Move::InsertTwo(upper, lower, at) => {
                let parent = self.node(at).parent;
                self.place(upper);
                self.place(lower);
                self.put_in_place(at, upper);
                self.hang(lower, upper);
                self.hang(at, lower);
                self.measure(&[lower, parent], &[upper]);
            }
            Move::Add(helper, to) => {
                self.place(helper);
                self.hang(helper, to);
                self.measure(&[helper, to], &[helper]);
                self.rehang_all(extras);
            }
            Move::Replace(old, new) => {
                let parent = self.node(old).parent;
                self.place(new);
                self.put_in_place(old, new);
                self.hand_over(old, new);
                self.displace(old);
                self.measure(&[new, parent], &[new]);
            }
            Move::Relieve(member, helper) => {
                let parent = self.node(member).parent;
                self.place(helper);
                self.put_in_place(member, helper);
                self.hand_over(member, helper);
                self.hang(member, helper);
                self.measure(&[member, parent], &[helper]);
            }
            Move::Splice(member, at) => {
                let (from, parent) = (self.node(member).parent, self.node(at).parent);
                self.unhang(member);
                self.put_in_place(at, member);
                self.hang(at, member);
                self.measure(&[from, member, parent], &[member]);
                self.prune(from);
            }
            Move::Fill(member, helper) => {
                let (from, parent) = (self.node(member).parent, self.node(helper).parent);
                self.unhang(member);
                self.put_in_place(helper, member);
                self.hand_over(helper, member);
                self.displace(helper);
                let from = if from == helper { member } else { from };
                self.measure(&[from, member, parent], &[member]);
                self.prune(from);
            }
            Move::Drop(helper) => {
                let parent = self.node(helper).parent;
                if self.is_fixed(helper) {
                    let child = self.node(helper).first;
                    self.unhang(child);
                    self.put_in_place(helper, child);
                    self.displace(helper);
                    self.measure(&[parent], &[child]);
                } else {
                    self.unhang(helper);
                    for &(child, to) in extras {
                        self.unhang(child);
                        self.hang(child, to);
                    }
                    self.displace(helper);
                    self.measure(&[parent], &[]);
                    for &(child, to) in extras {
                        self.measure(&[to], &[child]);
                    }
                    self.prune(parent);
                }
            }
        }
        if self.has_middle() {
            self.balance();
        }
    }

    fn rehang(&mut self, node: u32, to: u32) {
        let from = self.node(node).parent;
        self.unhang(node);
        self.hang(node, to);
        self.measure(&[from, to], &[node]);
    }

    /// Takes `node` out if it is a helper that has no child left, and then the node above it if that leaves it so too.
    fn prune(&mut self, mut node: u32) {
        while node != self.top && self.is_helper(node) && self.is_placed(node) && self.node(node).kids == 0 {
            let parent = self.node(node).parent;
            if self.is_fixed(node) {
                // The middle moves on to any link beyond: it will find its place.
                let other = self.across(node);
                let child = self.node(other).first;
                self.unhang(node);
                self.unhang(child);
                self.hang(child, self.top);
                self.nodes[child as usize].hop = self.instance.cost(other as usize, child as usize);
                self.nodes[other as usize].hop = 0.0;
                self.displace(node);
                self.measure(&[other, self.top], &[child, other]);
                node = other;
                continue;
            }
            self.unhang(node);
            self.displace(node);
            self.refresh_above(parent);
            node = parent;
        }
    }

    fn rehang_all(&mut self, extras: &Extras) {
        let from: Vec<u32> = extras.iter().map(|&(node, _)| self.node(node).parent).collect();
        for &(node, to) in extras {
            self.rehang(node, to);
        }
        for node in from {
            self.prune(node);
        }
    }

    fn children(&self, node: u32) -> Vec<u32> {
        let mut children = Vec::new();
        let mut child = self.node(node).first;
        while child != NO {
            children.push(child);
            child = self.node(child).next;
        }
        children
    }

    /// W below `changed`, whose parents are measured already, then S above `lost`.
    fn measure(&mut self, lost: &[u32], changed: &[u32]) {
        for &node in changed {
            self.refresh_below(node);
        }
        for &node in lost {
            self.refresh_above(node);
        }
    }
}
