//! The middle of a tree that is to have a small diameter: a point on the link between the two nodes that hang from the
//! top, at `hop` from either. It moves to where the smoothed sum is least, along links and over nodes: O(degree) a step,
//! and O(N) to measure the tree from there.

use super::smooth::{NO, SmoothTree};

impl SmoothTree<'_> {
    /// Cost of the link to its parent if `node` stood in the place of `at`. From the middle that is what the other
    /// side leaves of the link across it.
    #[inline]
    pub(super) fn cost_in_place(&self, at: u32, node: u32) -> f64 {
        let parent = self.node(at).parent;
        if parent == self.top && self.has_middle() {
            let other = self.across(at);
            return (self.instance.cost(node as usize, other as usize) - self.node(other).hop).max(0.0);
        }
        self.instance.cost(parent as usize, node as usize)
    }

    /// The other end of the link above `node`: across the middle, if that is where it hangs; `NO` at the root.
    #[inline]
    pub(super) fn above(&self, node: u32) -> u32 {
        let parent = self.node(node).parent;
        if parent == self.top && self.has_middle() { self.across(node) } else { parent }
    }

    /// The other node beside the middle.
    pub(super) fn across(&self, side: u32) -> u32 {
        let first = self.node(self.top).first;
        if first == side { self.node(first).next } else { first }
    }

    /// Puts `new`, which hangs nowhere, where `old` is; `old` then hangs nowhere, with its children.
    pub(super) fn put_in_place(&mut self, old: u32, new: u32) {
        let parent = self.node(old).parent;
        let cost = self.cost_in_place(old, new);
        let other = (parent == self.top && self.has_middle()).then(|| self.across(old));
        self.unhang(old);
        self.hang(new, parent);
        self.nodes[new as usize].hop = cost;
        if let Some(other) = other {
            // Whatever the new link is long, the middle lies on it.
            let length = self.instance.cost(new as usize, other as usize);
            let hop = self.node(other).hop.min(length);
            self.nodes[other as usize].hop = hop;
            self.nodes[new as usize].hop = length - hop;
        }
    }

    /// Moves the middle to where the sum is least.
    pub(super) fn balance(&mut self) {
        let width = std::f64::consts::LOG2_E / self.rate;
        for step in 0.. {
            let mut near = self.node(self.top).first;
            let mut far = self.node(near).next;
            if self.node(near).sum < self.node(far).sum {
                (near, far) = (far, near);
            }
            let length = self.node(near).hop + self.node(far).hop;
            let (here, there) = (self.node(near).sum, self.node(far).sum);
            let offset = (length + width * (there / here).ln()) / 2.0;
            // A last step in case that rounding sends the middle to and fro.
            let heaviest = if offset < 0.0 && step < 64 { self.heaviest_child(near) } else { NO };
            if heaviest != NO {
                let child = *self.node(heaviest);
                let rest = here - child.link * child.sum + self.exp(length) * there;
                if rest < child.sum * self.exp(child.hop) {
                    // Beyond `near`: the middle moves on to the link below it.
                    self.unhang(heaviest);
                    self.unhang(far);
                    self.hang(far, near);
                    self.hang(heaviest, self.top);
                    self.nodes[near as usize].hop = 0.0;
                    self.nodes[heaviest as usize].hop = child.hop;
                    self.nodes[far as usize].link = self.exp(self.node(far).hop);
                    self.resum(near);
                    continue;
                }
            }
            let offset = offset.clamp(0.0, length);
            self.nodes[near as usize].hop = offset;
            self.nodes[far as usize].hop = length - offset;
            self.refresh_below(near);
            self.refresh_below(far);
            self.resum(self.top);
            let first = self.node(self.node(self.top).first);
            let other = self.node(first.next);
            self.slack = (1.0 / first.link, other.link);
            return;
        }
    }

    fn heaviest_child(&self, node: u32) -> u32 {
        let (mut best, mut most) = (NO, 0.0);
        let mut child = self.node(node).first;
        while child != NO {
            let entry = self.node(child);
            if entry.link * entry.sum > most {
                (best, most) = (child, entry.link * entry.sum);
            }
            child = entry.next;
        }
        best
    }
}
