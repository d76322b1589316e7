//! Where every node of a forest goes when its parent dies, in each of its trees: a backup parent, named in advance.
//!
//! A node that dies leaves all trees at once, and its own tree is not needed any more. What it and its parents sent is free
//! then; within that, the children that it had in all trees move together, each with all that hangs below it, the one from
//! which it is farthest down first, to where they get the stream soonest: outside of what has come off, or in what has found
//! a place already. Children of different nodes may count on the same free copy. That also covers a link that fails alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Plan, Tree};
use crate::problem::Problem;
use crate::units::NodeIndex;

/// For each tree of a forest (also of one whose sources have two trees each), in their order: (node, backup parent), by
/// node. Nodes for which no copy is free anywhere are absent. A backup parent in the fault domain of the parent is only
/// taken where there is no other.
///
/// O(T^2 N) for every node with children, over T trees and N nodes in them.
pub fn forest_backups(problem: &Problem, plan: &Plan) -> Vec<Vec<(NodeIndex, NodeIndex)>> {
    let ends = plan.trees.iter().flat_map(|tree| &tree.edges).flat_map(|&(a, b)| [a, b]);
    let nodes: BTreeSet<NodeIndex> = ends.chain(plan.members.iter().copied()).collect();
    let nodes: Vec<NodeIndex> = nodes.into_iter().collect();
    let local: BTreeMap<NodeIndex, usize> = nodes.iter().copied().zip(0..).collect();
    let trees: Vec<Hung> = plan.trees.iter().map(|tree| Hung::new(problem, tree, &local)).collect();
    let mut found = vec![BTreeMap::new(); trees.len()];
    for dead in 0..nodes.len() {
        if trees.iter().any(|tree| tree.order[1..].iter().any(|&node| tree.parent[node] == dead)) {
            for (tree, node, place) in Bereft::new(problem, &nodes, &trees, dead).places() {
                found[tree].insert(nodes[node], nodes[place]);
            }
        }
    }
    found.into_iter().map(|pairs| pairs.into_iter().collect()).collect()
}

/// A tree by local numbers.
#[derive(Clone)]
struct Hung {
    source: usize,
    /// Parents first.
    order: Vec<usize>,
    /// `NONE` for those that are not in it.
    parent: Vec<usize>,
    /// From the source; infinite for those that do not get the stream.
    delay: Vec<f64>,
}

impl Hung {
    fn new(problem: &Problem, tree: &Tree, local: &BTreeMap<NodeIndex, usize>) -> Self {
        let edges: Vec<(usize, usize)> = tree.edges.iter().map(|(a, b)| (local[a], local[b])).collect();
        let source = tree.sources.first().map_or(0, |source| local[source]);
        let mut hung = Self {
            source,
            order: vec![source],
            parent: vec![NONE; local.len()],
            delay: vec![f64::INFINITY; local.len()],
        };
        hung.delay[source] = 0.0;
        for (&(parent, child), &(a, b)) in edges.iter().zip(&tree.edges) {
            hung.order.push(child);
            hung.parent[child] = parent;
            hung.delay[child] = hung.delay[parent] + cost(problem, a, b);
        }
        hung
    }

    /// `top` and all below it.
    fn subtree(&self, top: usize) -> Vec<usize> {
        let mut within = vec![false; self.parent.len()];
        within[top] = true;
        let mut nodes = vec![top];
        for &node in &self.order[1..] {
            if node != top && within[self.parent[node]] {
                within[node] = true;
                nodes.push(node);
            }
        }
        nodes
    }
}

/// All trees without a node, and the pieces that came off.
struct Bereft<'a> {
    problem: &'a Problem,
    nodes: &'a [NodeIndex],
    dead: usize,
    trees: Vec<Hung>,
    /// Copies that each node sends of each tree.
    copies: Vec<Vec<u32>>,
    /// (tree, nodes with the top first, how far down it reaches), the farthest first.
    pieces: Vec<(usize, Vec<usize>, f64)>,
}

impl<'a> Bereft<'a> {
    fn new(problem: &'a Problem, nodes: &'a [NodeIndex], whole: &[Hung], dead: usize) -> Self {
        let mut trees = whole.to_vec();
        let mut copies = vec![vec![0; trees.len()]; nodes.len()];
        let mut pieces = Vec::new();
        for (at, tree) in trees.iter_mut().enumerate().filter(|(_, tree)| tree.source != dead) {
            for &node in tree.order[1..].iter().filter(|&&node| node != dead && tree.parent[node] != dead) {
                copies[tree.parent[node]][at] += 1;
            }
            let tops: Vec<usize> =
                tree.order[1..].iter().copied().filter(|&node| tree.parent[node] == dead).collect();
            for top in tops {
                let piece = tree.subtree(top);
                let above = tree.delay[top];
                let mut reach = 0.0_f64;
                for &node in &piece {
                    reach = reach.max(tree.delay[node] - above);
                    tree.delay[node] = f64::INFINITY;
                }
                pieces.push((at, piece, reach));
            }
            tree.delay[dead] = f64::INFINITY;
        }
        pieces.sort_by(|a, b| b.2.total_cmp(&a.2));
        Self { problem, nodes, dead, trees, copies, pieces }
    }

    /// (tree, top of a piece, its new parent).
    fn places(mut self) -> Vec<(usize, usize, usize)> {
        let mut found = Vec::new();
        // A piece that found its place may have room for another that did not.
        while let Some((at, place)) = (0..self.pieces.len()).find_map(|at| Some((at, self.place_for(at)?))) {
            let (tree, piece, _) = self.pieces.remove(at);
            let top = piece[0];
            self.copies[place][tree] += 1;
            let tree_at = &mut self.trees[tree];
            tree_at.parent[top] = place;
            for node in piece {
                let parent = tree_at.parent[node];
                tree_at.delay[node] =
                    tree_at.delay[parent] + cost(self.problem, self.nodes[parent], self.nodes[node]);
            }
            found.push((tree, top, place));
        }
        found
    }

    fn place_for(&self, at: usize) -> Option<usize> {
        let (tree, piece, _) = &self.pieces[at];
        let (hung, top) = (&self.trees[*tree], self.nodes[piece[0]]);
        let domain = self.problem.domain(self.nodes[self.dead]);
        let fails_too = |place: usize| domain.is_some() && self.problem.domain(self.nodes[place]) == domain;
        let delay = |place: usize| hung.delay[place] + cost(self.problem, self.nodes[place], top);
        let places = (0..self.nodes.len()).filter(|&place| {
            hung.delay[place].is_finite()
                && self.problem.may_link(self.nodes[place], top)
                && self.has_room(place, *tree)
        });
        places.min_by(|&a, &b| (fails_too(a).cmp(&fails_too(b))).then(delay(a).total_cmp(&delay(b))))
    }

    /// Whether `place` may send a copy of `tree` more: over the sources of which it sends most.
    fn has_room(&self, place: usize, tree: usize) -> bool {
        let mut sent: BTreeMap<usize, u32> = BTreeMap::new();
        for (hung, &copies) in self.trees.iter().zip(&self.copies[place]) {
            *sent.entry(hung.source).or_default() += copies;
        }
        *sent.entry(self.trees[tree].source).or_default() += 1;
        let mut sent: Vec<u32> = sent.into_values().collect();
        sent.sort_unstable_by(|a, b| b.cmp(a));
        let most: u32 = sent.iter().take(self.problem.speakers() as usize).sum();
        most <= self.problem.copies(self.nodes[place])
    }
}

fn cost(problem: &Problem, from: NodeIndex, to: NodeIndex) -> f64 {
    problem.latency().one_way(from, to).ms() + problem.hop_cost().ms()
}

/// Stands for "no parent".
const NONE: usize = usize::MAX;
