//! Where every node goes when its parent dies: a backup parent, named in advance, so that nobody needs to be asked.
//!
//! One relay dies at a time. Then all of its children move at once, each with all that hangs below it: their backups lie
//! outside of these subtrees, or in that of a brother whose own backup does, never in a ring; and together they fit into
//! the degrees that are free then, the links of the dead included. Children of different relays may have the same free
//! link for a backup. Each goes where the objective suffers least, the tallest first. That also covers a link that fails
//! alone.
//!
//! When the root itself dies, one of its children takes its place: the heir, below which the tallest of the subtrees hangs
//! already. Its brothers' backups lead there. The heir's own backup is for its link alone.

use std::collections::{BTreeMap, BTreeSet};

use super::pieces::Pieces;
use super::repair::installed_links;
use crate::draft::{Draft, NONE};
use crate::instance::Instance;
use crate::plan::Plan;
use crate::problem::Problem;
use crate::units::NodeIndex;

/// The backups of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backups {
    /// (node, backup parent), by node. Nodes for which there is no room anywhere are absent.
    pub pairs: Vec<(NodeIndex, NodeIndex)>,
    /// The child of the root that stays where it is when the root dies.
    pub heir: Option<NodeIndex>,
}

/// A backup parent for every node of the plan's first tree, where the problem's degrees have room for one. One that shares
/// its fault domain with the parent is only taken where there is no other.
///
/// O(N) for every node with children, O(N) more for each child: milliseconds at 1,000 members.
pub fn backups(problem: &Problem, plan: &Plan) -> Backups {
    let lent: BTreeSet<_> = problem.helpers.iter().collect();
    let helpers = plan.helpers.iter().copied().filter(|helper| lent.contains(helper)).collect();
    let own = Problem { helpers, max_helpers: None, ..problem.clone() };
    let instance = Instance::new(&own, |_| true);
    let links = installed_links(&instance, plan);
    let tree = Draft::hung_from_root(instance.len(), &links);
    let mut free = instance.degree.clone();
    for end in tree.order[1..].iter().flat_map(|&node| [node, tree.parent[node]]) {
        free[end] = free[end].saturating_sub(1);
    }
    let broken = Broken { instance: &instance, tree: &tree, free: &free };
    let mut found = BTreeMap::new();
    let mut heir = None;
    let mut relays: Vec<usize> = tree.order[1..].iter().map(|&node| tree.parent[node]).collect();
    relays.sort_unstable();
    relays.dedup();
    for relay in relays {
        let domain = problem.domain(instance.nodes[relay]);
        let avoided = |place: usize| domain.is_some() && problem.domain(instance.nodes[place]) == domain;
        let (stays, pairs) = broken.without(relay, &avoided);
        found.extend(pairs.iter().map(|&(place, top)| (instance.nodes[top], instance.nodes[place])));
        if relay == 0 {
            heir = Some(instance.nodes[stays]);
            let place = broken.without_link_of(stays, &avoided);
            found.extend(place.map(|place| (instance.nodes[stays], instance.nodes[place])));
        }
    }
    Backups { pairs: found.into_iter().collect(), heir }
}

/// A tree in which something is about to break.
struct Broken<'a> {
    instance: &'a Instance<'a>,
    tree: &'a Draft,
    free: &'a [u32],
}

impl Broken<'_> {
    /// The top of the piece that stays, and where the others go, when `relay` is dead.
    fn without(&self, relay: usize, avoided: &dyn Fn(usize) -> bool) -> (usize, Vec<(usize, usize)>) {
        let Draft { parent, order } = self.tree;
        let mut pieces = vec![Vec::new()];
        let mut piece_of = vec![0; parent.len()];
        let (mut parent, mut free) = (parent.clone(), self.free.to_vec());
        for &node in order {
            let above = parent[node];
            if above == relay {
                parent[node] = NONE;
                free[node] += 1;
                piece_of[node] = pieces.len();
                pieces.push(vec![node]);
            } else if node == relay {
                if above != NONE {
                    free[above] += 1;
                }
                free[node] = 0;
            } else {
                let piece = if above == NONE { 0 } else { piece_of[above] };
                piece_of[node] = piece;
                pieces[piece].push(node);
            }
        }
        if relay == order[0] {
            // Nobody is left above: the tallest piece stays, as the one that waits first.
            pieces.remove(0);
            let heir = self.tallest(&pieces);
            pieces.swap(0, heir);
        }
        let stays = pieces[0][0];
        (stays, Pieces::new(self.instance, free, parent, pieces).hang_tops(avoided))
    }

    fn tallest(&self, pieces: &[Vec<usize>]) -> usize {
        let Draft { parent, order } = self.tree;
        let mut height = vec![0.0_f64; parent.len()];
        for &node in &order[1..] {
            height[node] = height[parent[node]] + self.instance.cost(parent[node], node);
        }
        let tall = |piece: &Vec<usize>| {
            let members = piece.iter().filter(|&&node| !self.instance.is_helper(node));
            members.map(|&member| height[member]).fold(0.0, f64::max)
        };
        // The first of equals.
        (0..pieces.len()).rev().max_by(|&a, &b| tall(&pieces[a]).total_cmp(&tall(&pieces[b]))).unwrap_or(0)
    }

    /// Where a child of the root goes if the link between them fails.
    fn without_link_of(&self, node: usize, avoided: &dyn Fn(usize) -> bool) -> Option<usize> {
        let Draft { parent, order } = self.tree;
        let (mut parent, mut free) = (parent.clone(), self.free.to_vec());
        free[parent[node]] = 0;
        free[node] += 1;
        parent[node] = NONE;
        let mut below = vec![false; parent.len()];
        let mut pieces = vec![Vec::new(), Vec::new()];
        for &other in order {
            below[other] = other == node || (parent[other] != NONE && below[parent[other]]);
            pieces[usize::from(below[other])].push(other);
        }
        let pairs = Pieces::new(self.instance, free, parent, pieces).hang_tops(avoided);
        pairs.first().map(|&(place, _)| place)
    }
}
