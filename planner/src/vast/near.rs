//! Which of the nodes that are marked lie nearest to a place: a k-d tree with the number of marked nodes in each part of
//! it. A place is three numbers, whatever the space (`World::places`): what is found is a candidate, whose link is then
//! looked up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Three numbers that lie near each other for nodes that do.
pub(super) type Place = [f32; 3];

/// A tree of boxes, each split in two at its median: box 1 holds all nodes, boxes 2i and 2i + 1 are the halves of box i.
pub(super) struct Near {
    places: Vec<Place>,
    /// The nodes, those of each box side by side.
    order: Vec<u32>,
    /// By node, which of the smallest boxes it is in.
    leaf: Vec<u32>,
    leaves: usize,
    /// By box: its least and its greatest corner.
    corners: Vec<(Place, Place)>,
    /// By box: how many nodes in it are marked.
    count: Vec<u32>,
    marked: Vec<bool>,
    /// Scratch: boxes that were not looked into yet, by their distance.
    ahead: BinaryHeap<(Reverse<u32>, u32)>,
}

impl Near {
    /// No node is marked.
    pub(super) fn new(places: Vec<Place>) -> Self {
        let nodes = places.len();
        let leaves = nodes.div_ceil(LEAF_NODES).next_power_of_two();
        let mut near = Self {
            order: Vec::new(),
            leaf: vec![0; nodes],
            leaves,
            corners: vec![([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]); 2 * leaves],
            count: vec![0; 2 * leaves],
            marked: vec![false; nodes],
            ahead: BinaryHeap::new(),
            places,
        };
        let mut order: Vec<u32> = (0..nodes as u32).collect();
        near.split(1, 0, leaves, &mut order);
        Self { order, ..near }
    }

    /// Sorts `nodes`, those of box `at` with the smallest boxes from `first` on, into its halves.
    fn split(&mut self, at: usize, first: usize, leaves: usize, nodes: &mut [u32]) {
        let (mut least, mut greatest) = ([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]);
        for &node in &*nodes {
            for (axis, &x) in self.places[node as usize].iter().enumerate() {
                least[axis] = least[axis].min(x);
                greatest[axis] = greatest[axis].max(x);
            }
        }
        self.corners[at] = (least, greatest);
        if leaves == 1 {
            for &node in &*nodes {
                self.leaf[node as usize] = first as u32;
            }
            return;
        }
        let width = |axis: usize| greatest[axis] - least[axis];
        let axis = (1..3).fold(0, |widest, axis| if width(axis) > width(widest) { axis } else { widest });
        let half = leaves / 2;
        let middle = self.first_of(first + half) - self.first_of(first);
        if middle < nodes.len() {
            nodes.select_nth_unstable_by(middle, |&a, &b| {
                let key = |node: u32| self.places[node as usize][axis];
                key(a).total_cmp(&key(b)).then(a.cmp(&b))
            });
        }
        let (low, high) = nodes.split_at_mut(middle);
        self.split(2 * at, first, half, low);
        self.split(2 * at + 1, first + half, half, high);
    }

    /// Where in `order` the nodes of the smallest box `leaf` begin.
    fn first_of(&self, leaf: usize) -> usize {
        leaf * self.places.len() / self.leaves
    }

    /// Marks the node, or takes the mark away.
    pub(super) fn mark(&mut self, node: usize, marked: bool) {
        if self.marked[node] == marked {
            return;
        }
        self.marked[node] = marked;
        let mut at = self.leaves + self.leaf[node] as usize;
        while at > 0 {
            self.count[at] = if marked { self.count[at] + 1 } else { self.count[at] - 1 };
            at /= 2;
        }
    }

    /// Shows marked nodes to `look`, about the nearest to `node` first, until it says that it has seen enough.
    pub(super) fn visit(&mut self, node: usize, mut look: impl FnMut(usize) -> bool) {
        let place = self.places[node];
        self.ahead.clear();
        if self.count[1] > 0 {
            self.ahead.push((Reverse(0), 1));
        }
        while let Some((_, mut at)) = self.ahead.pop() {
            while (at as usize) < self.leaves {
                let (a, b) = (2 * at, 2 * at + 1);
                at = match (self.count[a as usize] > 0, self.count[b as usize] > 0) {
                    (true, true) => {
                        let (to_a, to_b) = (self.distance(a, place), self.distance(b, place));
                        let (nearer, farther, distance) =
                            if to_b < to_a { (b, a, to_a) } else { (a, b, to_b) };
                        self.ahead.push((Reverse(distance.to_bits()), farther));
                        nearer
                    }
                    (true, false) => a,
                    (false, _) => b,
                };
            }
            let leaf = at as usize - self.leaves;
            for &node in &self.order[self.first_of(leaf)..self.first_of(leaf + 1)] {
                if self.marked[node as usize] && look(node as usize) {
                    return;
                }
            }
        }
    }

    /// Square of the distance from `place` to the box.
    fn distance(&self, at: u32, place: Place) -> f32 {
        let (least, greatest) = &self.corners[at as usize];
        (0..3)
            .map(|axis| (least[axis] - place[axis]).max(place[axis] - greatest[axis]).max(0.0))
            .map(|d| d * d)
            .sum()
    }
}

/// Nodes in the smallest boxes, at most.
const LEAF_NODES: usize = 8;
