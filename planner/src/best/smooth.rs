//! A tree with a smoothed height that is cheap to change: the sum, over members m, of e^(h(m) / w), whose logarithm
//! times the width w lies between the height and w ln N above it.
//!
//! The sum composes: with S(v) the sum over the members below v of e^(distance from v / w), S(v) is v's own 1, if it is
//! a member, and e^(l(v, c) / w) S(c) over its children c; and with W(v) = e^(h(v) / w), whatever hangs at v adds
//! W(v) S(v) to the whole. So what a move makes of the sum takes a few multiplications to know, O(1), and only a move
//! that is made updates W below and S above: O(depth x degree + size of the subtree).
//!
//! A height has its root. A diameter has a middle: the tree hangs from a point on a link, `top` is a node that stands
//! for it, and the tree's height from there, with the point where the sum is least, is half of the diameter.

use super::least::least_sum_at;
use super::spare::Spare;
use crate::draft::Draft;
use crate::instance::Instance;

/// Stands for "no node".
pub(super) const NO: u32 = u32::MAX;

/// One cache line a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) parent: u32,
    pub(super) first: u32,
    pub(super) next: u32,
    pub(super) before: u32,
    pub(super) kids: u32,
    /// Most children.
    pub(super) room: u32,
    /// e^(cost of the link to the parent / w), and that cost.
    pub(super) link: f64,
    pub(super) hop: f64,
    /// W, S, and the distance to the farthest member below.
    pub(super) weight: f64,
    pub(super) sum: f64,
    pub(super) below: f64,
}

/// The tree.
pub(super) struct SmoothTree<'a> {
    pub(super) instance: &'a Instance<'a>,
    /// The session's root, or a node beyond the instance's that stands for the middle.
    pub(super) top: u32,
    pub(super) nodes: Vec<Node>,
    /// Nodes in the tree, without a middle.
    pub(super) placed: Vec<u32>,
    at: Vec<u32>,
    pub(super) helpers: usize,
    pub(super) spare: Spare,
    /// log2(e) / w.
    pub(super) rate: f64,
    /// Heights of the nodes that can take another child; infinite for all others.
    pub(super) open: Vec<f32>,
    height: Vec<f32>,
    stack: Vec<u32>,
    /// With a middle, on which side of it a node is.
    pub(super) side: Vec<bool>,
    /// How far the middle may move towards either side, as factors of a sum.
    pub(super) slack: (f64, f64),
}

impl<'a> SmoothTree<'a> {
    /// `draft` hung from its root, or from its middle; then it has two nodes or more.
    pub(super) fn new(instance: &'a Instance<'a>, draft: &Draft, middle: bool, width: f64) -> Self {
        let count = instance.len();
        let blank = Node {
            parent: NO,
            first: NO,
            next: NO,
            before: NO,
            kids: 0,
            room: 0,
            link: 1.0,
            hop: 0.0,
            weight: 1.0,
            sum: 0.0,
            below: f64::NEG_INFINITY,
        };
        let mut tree = Self {
            instance,
            top: if middle { count as u32 } else { 0 },
            nodes: vec![blank; count + usize::from(middle)],
            placed: Vec::new(),
            at: vec![NO; count],
            helpers: 0,
            spare: Spare::new(instance),
            rate: std::f64::consts::LOG2_E / width,
            open: vec![f32::INFINITY; count],
            height: vec![f32::INFINITY; count + usize::from(middle)],
            stack: Vec::new(),
            side: vec![false; if middle { count } else { 0 }],
            slack: (1.0, 1.0),
        };
        for (node, &degree) in instance.degree.iter().enumerate() {
            tree.nodes[node].room = if middle || node != 0 { degree.saturating_sub(1) } else { degree };
        }
        for &node in &draft.order {
            tree.place(node as u32);
        }
        for &node in &draft.order[1..] {
            let parent = draft.parent[node];
            if middle && parent == draft.order[0] && tree.node(tree.top).kids == 0 {
                // The middle may be on any link: it finds its place.
                tree.hang(parent as u32, tree.top);
                tree.hang(node as u32, tree.top);
                tree.nodes[node].hop = instance.cost(parent, node);
            } else {
                tree.hang(node as u32, parent as u32);
            }
        }
        tree.refresh();
        tree
    }

    /// Smooths with another width.
    pub(super) fn set_width(&mut self, width: f64) {
        self.rate = std::f64::consts::LOG2_E / width;
        self.refresh();
    }

    pub(super) fn has_middle(&self) -> bool {
        self.top != 0
    }

    #[inline]
    pub(super) fn is_helper(&self, node: u32) -> bool {
        node as usize >= self.instance.members
    }

    #[inline]
    pub(super) fn is_placed(&self, node: u32) -> bool {
        self.at[node as usize] != NO
    }

    #[inline]
    pub(super) fn node(&self, node: u32) -> &Node {
        &self.nodes[node as usize]
    }

    #[inline]
    pub(super) fn own(&self, node: u32) -> f64 {
        if (node as usize) < self.instance.members { 1.0 } else { 0.0 }
    }

    #[inline]
    pub(super) fn has_free(&self, node: u32) -> bool {
        let node = self.node(node);
        node.kids < node.room
    }

    /// The node that can take another child under which `node` would be lowest. O(N).
    pub(super) fn lowest_place(&self, node: u32) -> Option<u32> {
        // Where directions differ, by the way back.
        least_sum_at([&self.open, self.instance.costs(node as usize)]).map(|at| at as u32)
    }

    /// The smoothed sum.
    #[inline]
    pub(super) fn total(&self) -> f64 {
        self.node(self.top).sum
    }

    /// The height, or about half of the diameter and never less.
    pub(super) fn height(&self) -> f64 {
        self.node(self.top).below
    }

    /// e^(cost / w) of a link; infinite if it may not exist or is far too long.
    #[inline]
    pub(super) fn factor(&self, from: u32, to: u32) -> f64 {
        self.exp(self.instance.cost(from as usize, to as usize))
    }

    /// W of `node` in the place of `at`.
    #[inline]
    pub(super) fn weight_in_place(&self, at: u32, node: u32) -> f64 {
        self.node(self.node(at).parent).weight * self.exp(self.cost_in_place(at, node))
    }

    /// e^(cost / w), to six digits. Costs are not negative; infinity from 2^900 on, so that products stay comparable.
    #[inline]
    pub(super) fn exp(&self, cost: f64) -> f64 {
        let power = cost * self.rate;
        if power < 900.0 {
            let whole = power as i64;
            let rest = power - whole as f64;
            // 2^rest on [0, 1): Taylor's series about 1/2, to the sixth power.
            let x = (rest - 0.5) * std::f64::consts::LN_2;
            let series = 1.0
                + x * (1.0
                    + x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0 + x * (1.0 / 720.0))))));
            series * std::f64::consts::SQRT_2 * f64::from_bits(((whole + 1023) as u64) << 52)
        } else {
            f64::INFINITY
        }
    }

    /// Whether `node` is `top` of a subtree or hangs below it.
    #[inline]
    pub(super) fn is_below(&self, mut node: u32, top: u32) -> bool {
        while node != top {
            node = self.node(node).parent;
            if node == NO {
                return false;
            }
        }
        true
    }

    pub(super) fn place(&mut self, node: u32) {
        self.at[node as usize] = self.placed.len() as u32;
        self.placed.push(node);
        if self.is_helper(node) {
            self.helpers += 1;
            self.spare.take(node);
        }
    }

    pub(super) fn displace(&mut self, node: u32) {
        let at = self.at[node as usize];
        self.placed.swap_remove(at as usize);
        if let Some(&moved) = self.placed.get(at as usize) {
            self.at[moved as usize] = at;
        }
        self.at[node as usize] = NO;
        self.open[node as usize] = f32::INFINITY;
        if self.is_helper(node) {
            self.helpers -= 1;
            self.spare.give_back(node);
        }
    }

    /// Hangs `node`, which hangs nowhere, below `parent`. Measures nothing but the link.
    pub(super) fn hang(&mut self, node: u32, parent: u32) {
        let first = self.node(parent).first;
        if first != NO {
            self.nodes[first as usize].before = node;
        }
        let hop = if parent == self.top && self.has_middle() {
            0.0
        } else {
            self.instance.cost(parent as usize, node as usize)
        };
        let link = self.exp(hop);
        let entry = &mut self.nodes[node as usize];
        (entry.parent, entry.before, entry.next) = (parent, NO, first);
        (entry.hop, entry.link) = (hop, link);
        let above = &mut self.nodes[parent as usize];
        above.first = node;
        above.kids += 1;
        self.note_open(parent);
    }

    /// Takes `node` from its parent. Measures nothing.
    pub(super) fn unhang(&mut self, node: u32) {
        let Node { parent, before, next, .. } = *self.node(node);
        if before == NO {
            self.nodes[parent as usize].first = next;
        } else {
            self.nodes[before as usize].next = next;
        }
        if next != NO {
            self.nodes[next as usize].before = before;
        }
        self.nodes[parent as usize].kids -= 1;
        self.nodes[node as usize].parent = NO;
        self.note_open(parent);
    }

    #[inline]
    fn note_open(&mut self, node: u32) {
        if let Some(open) = self.open.get_mut(node as usize) {
            let entry = &self.nodes[node as usize];
            let is_open = self.at[node as usize] != NO && entry.kids < entry.room;
            *open = if is_open { self.height[node as usize] } else { f32::INFINITY };
        }
    }

    /// Moves all children of `from`, with what hangs below them, to `to`.
    pub(super) fn hand_over(&mut self, from: u32, to: u32) {
        let mut child = self.node(from).first;
        while child != NO {
            let next = self.node(child).next;
            self.unhang(child);
            self.hang(child, to);
            child = next;
        }
    }

    /// Measures S from `node` up to the top.
    pub(super) fn refresh_above(&mut self, node: u32) {
        let mut at = node;
        while at != NO {
            self.resum(at);
            at = self.node(at).parent;
        }
    }

    #[inline]
    pub(super) fn resum(&mut self, node: u32) {
        let member = (node as usize) < self.instance.members;
        let (mut sum, mut below) = if member { (1.0, 0.0) } else { (0.0, f64::NEG_INFINITY) };
        let mut child = self.node(node).first;
        while child != NO {
            let entry = self.node(child);
            sum += entry.link * entry.sum;
            below = below.max(entry.hop + entry.below);
            child = entry.next;
        }
        let entry = &mut self.nodes[node as usize];
        (entry.sum, entry.below) = (sum, below);
    }

    /// Measures the link above `node`, and W from there down.
    pub(super) fn refresh_below(&mut self, node: u32) {
        self.nodes[node as usize].link = self.exp(self.node(node).hop);
        self.spread(node);
    }

    fn spread(&mut self, node: u32) {
        let mut stack = std::mem::take(&mut self.stack);
        stack.push(node);
        while let Some(at) = stack.pop() {
            let parent = self.node(at).parent;
            let weight = if parent == NO { 1.0 } else { self.node(parent).weight * self.node(at).link };
            self.nodes[at as usize].weight = weight;
            let hop = self.node(at).hop as f32;
            self.height[at as usize] = if parent == NO { 0.0 } else { self.height[parent as usize] + hop };
            self.note_open(at);
            if self.has_middle() && at != self.top {
                self.side[at as usize] = if parent == self.top {
                    self.node(parent).first == at
                } else {
                    self.side[parent as usize]
                };
            }
            let mut child = self.node(at).first;
            while child != NO {
                stack.push(child);
                child = self.node(child).next;
            }
        }
        self.stack = stack;
    }

    /// Measures everything.
    pub(super) fn refresh(&mut self) {
        let mut order = vec![self.top];
        let mut at = 0;
        while at < order.len() {
            let mut child = self.node(order[at]).first;
            while child != NO {
                self.nodes[child as usize].link = self.exp(self.node(child).hop);
                order.push(child);
                child = self.node(child).next;
            }
            at += 1;
        }
        for &node in order.iter().rev() {
            self.resum(node);
        }
        self.spread(self.top);
        if self.has_middle() {
            self.balance();
        }
        let idle = |&node: &u32| self.is_helper(node) && self.node(node).kids == 0;
        debug_assert!(!self.placed.iter().any(idle), "a helper that is a leaf");
    }

    /// Writes the tree's links, as (parent, child) seen from the top, to `links`.
    pub(super) fn links(&self, links: &mut Vec<(u32, u32)>) {
        links.clear();
        for &node in &self.placed {
            let parent = self.node(node).parent;
            if parent != NO && !(self.has_middle() && parent == self.top) {
                links.push((parent, node));
            }
        }
        if self.has_middle() {
            let near = self.node(self.top).first;
            links.push((near, self.node(near).next));
        }
        debug_assert_eq!(links.len() + 1, self.placed.len(), "a tree");
    }

    /// `links` as a draft below node 0.
    pub(super) fn drafted(&self, links: &[(u32, u32)]) -> Draft {
        let links: Vec<_> = links.iter().map(|&(a, b)| (a as usize, b as usize)).collect();
        Draft::hung_from_root(self.instance.len(), &links)
    }
}
