//! A tree while it is planned at large: every node knows its children, its height and how far it reaches down.

use super::near::Near;
use super::world::World;
use crate::draft::{self, Draft};

/// Stands for "no node".
pub(super) const NONE: u32 = u32::MAX;

/// A tree below node 0. Nodes outside of it have no parent.
pub(super) struct Hanging {
    pub(super) parent: Vec<u32>,
    /// Milliseconds from the root.
    pub(super) height: Vec<f32>,
    /// Milliseconds to the farthest node below. Kept by `repair`.
    pub(super) below: Vec<f32>,
    /// Links that are left.
    pub(super) free: Vec<u32>,
    /// A node's first child; its next sibling and the one before.
    first: Vec<u32>,
    next: Vec<u32>,
    before: Vec<u32>,
    /// In the order in which they came, which `rehang` does not change.
    pub(super) order: Vec<u32>,
    /// Nodes with a free link are marked.
    pub(super) open: Near,
}

impl Hanging {
    /// The root alone.
    pub(super) fn new(world: &impl World, degrees: &[u32]) -> Self {
        let nodes = world.nodes();
        let mut tree = Self {
            parent: vec![NONE; nodes],
            height: vec![0.0; nodes],
            below: vec![0.0; nodes],
            free: degrees.iter().map(|degree| degree.saturating_sub(1)).collect(),
            first: vec![NONE; nodes],
            next: vec![NONE; nodes],
            before: vec![NONE; nodes],
            order: vec![0],
            open: Near::new(world.places()),
        };
        tree.free[0] = degrees[0];
        tree.open.mark(0, degrees[0] > 0);
        tree
    }

    /// Hangs `node`, outside until now, below `parent`, which has a free link.
    pub(super) fn absorb(&mut self, node: usize, parent: usize, height: f32) {
        self.height[node] = height;
        self.order.push(node as u32);
        self.link(node, parent);
        self.open.mark(node, self.free[node] > 0);
    }

    /// Hangs `node` below `parent` instead, which has a free link and is not below `node`.
    pub(super) fn rehang(&mut self, node: usize, parent: usize) {
        self.unlink(node);
        self.link(node, parent);
    }

    fn link(&mut self, node: usize, parent: usize) {
        debug_assert!(self.free[parent] > 0, "{parent} has no link for {node}");
        self.parent[node] = parent as u32;
        let next = self.first[parent];
        self.next[node] = next;
        self.before[node] = NONE;
        if next != NONE {
            self.before[next as usize] = node as u32;
        }
        self.first[parent] = node as u32;
        self.free[parent] -= 1;
        if self.free[parent] == 0 {
            self.open.mark(parent, false);
        }
    }

    fn unlink(&mut self, node: usize) {
        let parent = self.parent[node] as usize;
        let (before, next) = (self.before[node], self.next[node]);
        if before == NONE {
            self.first[parent] = next;
        } else {
            self.next[before as usize] = next;
        }
        if next != NONE {
            self.before[next as usize] = before;
        }
        self.free[parent] += 1;
        self.open.mark(parent, true);
    }

    pub(super) fn children(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        let some = |node: u32| (node != NONE).then_some(node as usize);
        std::iter::successors(some(self.first[node]), move |&child| some(self.next[child]))
    }

    pub(super) fn into_draft(self) -> Draft {
        let mut order = Vec::with_capacity(self.order.len());
        order.push(0);
        let mut at = 0;
        while at < order.len() {
            order.extend(self.children(order[at]));
            at += 1;
        }
        debug_assert_eq!(order.len(), self.order.len(), "the tree stays in one piece");
        let parent = |&parent: &u32| if parent == NONE { draft::NONE } else { parent as usize };
        Draft { parent: self.parent.iter().map(parent).collect(), order }
    }
}

/// Whether `above` is `node` or on its way to the root. Heights never grow on that way.
pub(super) fn is_above(parent: &[u32], height: &[f32], above: usize, mut node: usize) -> bool {
    while node != above {
        if node == 0 || height[node] < height[above] {
            return false;
        }
        node = parent[node] as usize;
    }
    true
}
