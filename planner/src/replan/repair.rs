//! An installed tree on today's problem: what is left of it, and that put together again.

use std::collections::BTreeMap;

use super::pieces::Pieces;
use crate::draft::{Draft, NONE};
use crate::instance::Instance;
use crate::plan::Plan;
use crate::units::NodeIndex;

/// Links of the plan's first tree between nodes that are still there, in local numbers, parents first; those that would
/// close a ring are left out.
pub(super) fn installed_links(instance: &Instance<'_>, plan: &Plan) -> Vec<(usize, usize)> {
    let local: BTreeMap<NodeIndex, usize> =
        instance.nodes.iter().enumerate().map(|(at, &node)| (node, at)).collect();
    let edges = plan.trees.first().map_or(&[][..], |tree| &tree.edges);
    let mut sets = Sets::new(instance.len());
    let links = edges.iter().filter_map(|(a, b)| Some((*local.get(a)?, *local.get(b)?)));
    links.filter(|&(a, b)| sets.unite(a, b)).collect()
}

/// Of every node of the plan's first tree that is no longer there, its neighbours that are, the parent first.
pub(super) fn gaps(instance: &Instance<'_>, plan: &Plan) -> Vec<Vec<usize>> {
    let local: BTreeMap<NodeIndex, usize> =
        instance.nodes.iter().enumerate().map(|(at, &node)| (node, at)).collect();
    let mut gaps: BTreeMap<NodeIndex, Vec<usize>> = BTreeMap::new();
    for &(a, b) in plan.trees.first().map_or(&[][..], |tree| &tree.edges) {
        match (local.get(&a), local.get(&b)) {
            (Some(&there), None) => gaps.entry(b).or_default().push(there),
            (None, Some(&there)) => gaps.entry(a).or_default().push(there),
            _ => {}
        }
    }
    gaps.into_values().filter(|neighbours| neighbours.len() > 2).collect()
}

/// The tree that keeps as many of the links as it can, with helpers in the `gaps`. `None` if it cannot be put together, or is in too many pieces for
/// that to be worth it.
pub(super) fn repaired(
    instance: &Instance<'_>,
    links: &[(usize, usize)],
    gaps: &[Vec<usize>],
) -> Option<Draft> {
    let mut kept = usable(instance, links);
    let mut free = instance.degree.clone();
    let mut beside = vec![Vec::new(); instance.len()];
    let mut is_child = vec![false; instance.len()];
    // A helper that serves nobody goes, and then perhaps the one above it.
    loop {
        let mut count = vec![0_u32; instance.len()];
        for &(a, b) in &kept {
            count[a] += 1;
            count[b] += 1;
        }
        let before = kept.len();
        kept.retain(|&(a, b)| ![a, b].into_iter().any(|end| instance.is_helper(end) && count[end] < 2));
        if kept.len() == before {
            break;
        }
    }
    for &(a, b) in &kept {
        free[a] -= 1;
        free[b] -= 1;
        beside[a].push(b);
        beside[b].push(a);
        is_child[b] = true;
    }
    let mut parent = vec![NONE; instance.len()];
    let mut reached = vec![false; instance.len()];
    let mut pieces = Vec::new();
    let present = |node: &usize| !instance.is_helper(*node) || !beside[*node].is_empty();
    let tops = [0].into_iter().chain((0..instance.len()).filter(present).filter(|&node| !is_child[node]));
    for top in tops {
        if reached[top] {
            continue;
        }
        reached[top] = true;
        let mut piece = vec![top];
        let mut at = 0;
        while at < piece.len() {
            for &next in &beside[piece[at]] {
                if !std::mem::replace(&mut reached[next], true) {
                    parent[next] = piece[at];
                    piece.push(next);
                }
            }
            at += 1;
        }
        pieces.push(piece);
    }
    if pieces.len() > PIECES_MAX {
        return None;
    }
    let mut pieces = Pieces::new(instance, free, parent, pieces);
    gaps.iter().for_each(|neighbours| pieces.substitute(neighbours, instance.helpers_max));
    let links = pieces.join(instance.helpers_max)?;
    Some(Draft::hung_from_root(instance.len(), &links))
}

/// Those of the links that may still be, within degrees and the number of helpers.
fn usable(instance: &Instance<'_>, links: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut free = instance.degree.clone();
    let mut kept: Vec<(usize, usize)> = Vec::with_capacity(links.len());
    for &(a, b) in links {
        if free[a] > 0 && free[b] > 0 && instance.may_link(a, b) {
            free[a] -= 1;
            free[b] -= 1;
            kept.push((a, b));
        }
    }
    let mut helpers = BTreeMap::new();
    for helper in kept.iter().flat_map(|&(a, b)| [a, b]).filter(|&node| instance.is_helper(node)) {
        *helpers.entry(helper).or_insert(0_u32) += 1;
    }
    let surplus = helpers.len().saturating_sub(instance.helpers_max);
    let mut least: Vec<(u32, usize)> = helpers.into_iter().map(|(helper, links)| (links, helper)).collect();
    least.sort_unstable();
    least.truncate(surplus);
    kept.retain(|&(a, b)| !least.iter().any(|&(_, helper)| helper == a || helper == b));
    kept
}

/// Disjoint sets of nodes.
struct Sets(Vec<usize>);

impl Sets {
    fn new(nodes: usize) -> Self {
        Self((0..nodes).collect())
    }

    /// Whether the two were apart until now.
    fn unite(&mut self, a: usize, b: usize) -> bool {
        let (a, b) = (self.find(a), self.find(b));
        self.0[a] = b;
        a != b
    }

    fn find(&mut self, mut node: usize) -> usize {
        while self.0[node] != node {
            self.0[node] = self.0[self.0[node]];
            node = self.0[node];
        }
        node
    }
}

/// Pieces beyond which a tree is grown anew: then little is left of it that could be kept.
const PIECES_MAX: usize = 256;
