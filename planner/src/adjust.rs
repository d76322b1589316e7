//! The seed's adjustment of a finished tree ([0082]): (a) a new parent for the highest node; (b) the highest node
//! swapped with another leaf; (c) the subtree whose root is the parent of the highest node swapped with another
//! subtree. Each round makes the move that leaves the moved nodes lowest, as long as they end up below where the
//! highest node was.
//!
//! For the diameter, the tree is hung from the middle of its longest path, whose ends are then the highest nodes, and a
//! move is made only if the diameter falls. A round takes O(N) for the height and O(N log N) for the diameter, over N
//! nodes in the tree; rounds end by themselves before their bound, except in trees of thousands.

use crate::draft::{Draft, NONE};
use crate::instance::Instance;
use crate::names::Objective;

/// Adjusts `draft` until no move helps. Never makes it worse.
pub(crate) fn adjust(draft: Draft, instance: &Instance<'_>) -> Draft {
    let rounds = (ROUNDS_A_NODE * draft.order.len()).min(WORK_MAX / draft.order.len());
    let mut tree = Hung::new(instance, draft);
    match instance.problem.objective {
        Objective::Height | Objective::Forest => {
            tree.measure();
            for _ in 0..rounds {
                let highest = tree.highest();
                let moves = tree.moves(highest);
                let Some(&(_, least)) = moves.iter().min_by(|a, b| a.0.total_cmp(&b.0)) else { break };
                tree.make(least);
                tree.measure();
            }
        }
        Objective::Diameter => {
            for _ in 0..rounds {
                if !tree.shorten() {
                    break;
                }
            }
        }
    }
    tree.into_draft()
}

/// A step from one tree to the next. Degrees stay within bounds.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// The first hangs below the second, which has a free link.
    Hang(usize, usize),
    /// The two subtrees change places.
    Swap(usize, usize),
}

/// A tree that hangs from `top`.
struct Hung<'a> {
    instance: &'a Instance<'a>,
    top: usize,
    parent: Vec<usize>,
    /// Every parent before its children.
    order: Vec<usize>,
    links: Vec<u32>,
    /// Scratch: a node's first child, and its next sibling.
    first: Vec<usize>,
    next: Vec<usize>,
    height: Vec<f64>,
    /// From a node to the farthest member below it.
    below: Vec<f64>,
}

impl<'a> Hung<'a> {
    fn new(instance: &'a Instance<'a>, draft: Draft) -> Self {
        let nodes = instance.len();
        let Draft { parent, order } = draft;
        let mut links = vec![0; nodes];
        for &node in &order[1..] {
            links[node] += 1;
            links[parent[node]] += 1;
        }
        Self {
            instance,
            top: 0,
            parent,
            order,
            links,
            first: vec![NONE; nodes],
            next: vec![NONE; nodes],
            height: vec![0.0; nodes],
            below: vec![0.0; nodes],
        }
    }

    /// Puts `order` and both measures right after `parent` has changed.
    fn measure(&mut self) {
        self.reorder();
        let cost = |a, b| self.instance.cost(a, b);
        self.height[self.top] = 0.0;
        for &node in &self.order {
            self.below[node] = if self.instance.is_helper(node) { f64::NEG_INFINITY } else { 0.0 };
        }
        for &node in &self.order[1..] {
            self.height[node] = self.height[self.parent[node]] + cost(self.parent[node], node);
        }
        for &node in self.order[1..].iter().rev() {
            let parent = self.parent[node];
            self.below[parent] = self.below[parent].max(self.below[node] + cost(parent, node));
        }
    }

    fn reorder(&mut self) {
        let count = self.order.len();
        for &node in &self.order {
            self.first[node] = NONE;
        }
        for &node in self.order.iter().rev().filter(|&&node| node != self.top) {
            let parent = self.parent[node];
            self.next[node] = self.first[parent];
            self.first[parent] = node;
        }
        self.order.clear();
        self.order.push(self.top);
        let mut at = 0;
        while at < self.order.len() {
            let mut child = self.first[self.order[at]];
            while child != NONE {
                self.order.push(child);
                child = self.next[child];
            }
            at += 1;
        }
        debug_assert_eq!(self.order.len(), count, "a move keeps the tree in one piece");
    }

    /// The member farthest from the top.
    fn highest(&self) -> usize {
        let members = self.order.iter().copied().filter(|&node| !self.instance.is_helper(node));
        members.max_by(|&a, &b| self.height[a].total_cmp(&self.height[b])).unwrap_or(self.top)
    }

    /// The moves for `highest` after which all that they move is lower than it is now, each with how high that is.
    fn moves(&self, highest: usize) -> Vec<(f64, Move)> {
        let mut moves = Vec::new();
        if highest == self.top {
            return moves;
        }
        let is_leaf = |node: usize| self.links[node] == 1 && node != self.top;
        let limit = self.height[highest];
        let cost = |a, b| self.instance.cost(a, b);
        let mut consider = |height: f64, step| {
            if height < limit {
                moves.push((height, step));
            }
        };
        let above = self.parent[highest];
        for &other in &self.order {
            if is_leaf(highest) && other != highest {
                if other != above && self.links[other] < self.instance.degree[other] {
                    consider(self.height[other] + cost(other, highest), Move::Hang(highest, other));
                }
                if is_leaf(other) && self.parent[other] != above {
                    consider(self.swapped(highest, other), Move::Swap(highest, other));
                }
            }
            if above != self.top && other != self.top && !self.related(above, other) {
                consider(self.swapped(above, other), Move::Swap(above, other));
            }
        }
        moves
    }

    /// How high the two subtrees reach once they have changed places.
    fn swapped(&self, a: usize, b: usize) -> f64 {
        let reach = |node, parent| self.height[parent] + self.instance.cost(parent, node) + self.below[node];
        reach(a, self.parent[b]).max(reach(b, self.parent[a]))
    }

    /// Whether one is the other or hangs below it. O(depth).
    fn related(&self, a: usize, b: usize) -> bool {
        let above = |mut node: usize, ancestor| loop {
            if node == ancestor {
                return true;
            }
            if node == self.top {
                return false;
            }
            node = self.parent[node];
        };
        above(a, b) || above(b, a)
    }

    fn make(&mut self, step: Move) {
        match step {
            Move::Hang(node, parent) => {
                self.links[self.parent[node]] -= 1;
                self.links[parent] += 1;
                self.parent[node] = parent;
            }
            Move::Swap(a, b) => self.parent.swap(a, b),
        }
    }

    /// Makes the first move found that brings the diameter down; says whether there was one.
    fn shorten(&mut self) -> bool {
        let (diameter, ends) = self.longest_path();
        self.hang_from_middle(ends);
        self.measure();
        let mut moves: Vec<_> = ends.iter().flat_map(|&end| self.moves(end)).collect();
        moves.sort_by(|a, b| a.0.total_cmp(&b.0));
        for &(_, step) in moves.iter().take(MOVES_CONFIRMED) {
            let before = self.parent.clone();
            let links = self.links.clone();
            self.make(step);
            self.reorder();
            if self.longest_path().0 < diameter {
                return true;
            }
            (self.parent, self.links) = (before, links);
            self.reorder();
        }
        false
    }

    /// The diameter, and the two members that it lies between.
    fn longest_path(&self) -> (f64, [usize; 2]) {
        let start = |node: usize| (if self.instance.is_helper(node) { f64::NEG_INFINITY } else { 0.0 }, node);
        let mut down: Vec<_> = (0..self.instance.len()).map(start).collect();
        let mut up = down.clone();
        let mut longest = (0.0, [self.top; 2]);
        let cost = |a, b| self.instance.cost(a, b);
        for &node in self.order[1..].iter().rev() {
            let parent = self.parent[node];
            let to = (down[node].0 + cost(parent, node), down[node].1);
            let from = (up[node].0 + cost(node, parent), up[node].1);
            for (from, to) in [(from, down[parent]), (up[parent], to)] {
                if from.0 + to.0 > longest.0 {
                    longest = (from.0 + to.0, [from.1, to.1]);
                }
            }
            down[parent] = if to.0 > down[parent].0 { to } else { down[parent] };
            up[parent] = if from.0 > up[parent].0 { from } else { up[parent] };
        }
        longest
    }

    /// Hangs the tree from the node that is nearest to the middle of the path between `ends`.
    fn hang_from_middle(&mut self, [a, b]: [usize; 2]) {
        self.hang_from(a);
        self.measure();
        let half = self.height[b] / 2.0;
        let (mut at, mut middle) = (b, b);
        while at != a {
            at = self.parent[at];
            if (self.height[at] - half).abs() < (self.height[middle] - half).abs() {
                middle = at;
            }
        }
        self.hang_from(middle);
    }

    /// Turns the path between the old top and the new one.
    fn hang_from(&mut self, top: usize) {
        let (mut at, mut parent) = (top, NONE);
        loop {
            let next = self.parent[at];
            self.parent[at] = parent;
            if at == self.top {
                break;
            }
            (parent, at) = (at, next);
        }
        self.top = top;
        self.reorder();
    }

    fn into_draft(mut self) -> Draft {
        self.hang_from(0);
        Draft { parent: self.parent, order: self.order }
    }
}

/// Moves whose diameter is computed in one round, the most promising first. A guess.
const MOVES_CONFIRMED: usize = 64;
/// Most rounds, by nodes in the tree. A guess: they end by themselves long before.
const ROUNDS_A_NODE: usize = 16;
/// Most rounds times nodes, for trees of many thousands: a tenth of a second.
const WORK_MAX: usize = 20_000_000;
