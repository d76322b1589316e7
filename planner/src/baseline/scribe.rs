//! Scribe: Castro, Druschel, Kermarrec, Rowstron, "Scribe: a large-scale and decentralized application-level multicast
//! infrastructure", IEEE JSAC 20(8), 2002, over Pastry's prefix routing (Middleware 2001).
//!
//! Every node of the pool, members and helpers, has a random id. The group's key is the root's own id, as the paper
//! suggests for a known source. Each member routes a join towards the key: every hop goes to the nearest node that
//! shares a longer prefix with it (proximity neighbour selection), or straight to the root once that is in the leaf set.
//! Data flows back along these routes. A node with too many children runs the paper's bottleneck remover: it drops the
//! child farthest from it, which goes below the one of its former siblings that serves it soonest.
//!
//! Simplified: routing tables are complete and perfect, and nodes of degree one forward nothing. Degrees are kept where
//! every node can carry at least two links; otherwise all children of a node may be unable to take another one, which
//! then stays too many (`degree_excess`).
//! Under a limit on helpers the overlay is made of the members alone.

use rand::RngExt;

use super::generator;
use super::joining::links;
use crate::draft::{Draft, NONE};
use crate::instance::Instance;
use crate::names::Algorithm;
use crate::plan_error::PlanError;

pub(super) fn draft(instance: &Instance<'_>) -> Result<Draft, PlanError> {
    let mut rng = generator(instance, Algorithm::Scribe);
    let ids: Vec<u64> = (0..instance.len()).map(|_| rng.random()).collect();
    let shared = |node: usize| (ids[node] ^ ids[0]).leading_zeros() / DIGIT_BITS;
    let is_leaf_of_root = leaf_set_of_root(&ids);
    let mut parent = vec![NONE; instance.len()];
    for member in 1..instance.members {
        let mut at = member;
        while at != 0 && parent[at] == NONE {
            let longer = (0..instance.len())
                .filter(|&next| next == 0 || (shared(next) > shared(at) && instance.degree[next] >= 2));
            let nearest = longer
                .filter(|&next| next != at && instance.may_link(at, next))
                .min_by(|&a, &b| instance.cost(at, a).total_cmp(&instance.cost(at, b)));
            let next = if is_leaf_of_root[at] && instance.may_link(at, 0) { Some(0) } else { nearest };
            // The root shares every digit: only forbidden links can be in the way.
            parent[at] = next.ok_or(PlanError::Stuck(instance.nodes[member]))?;
            at = parent[at];
        }
    }
    remove_bottlenecks(instance, &mut parent);
    let mut nodes = vec![0];
    nodes.extend((1..instance.len()).filter(|&node| parent[node] != NONE));
    Ok(Draft::hung_from_root(instance.len(), &links(&nodes, &parent)))
}

/// Who has the root among its `LEAF_SET` nearest in the ring: the same nodes that the root has.
fn leaf_set_of_root(ids: &[u64]) -> Vec<bool> {
    let mut others: Vec<usize> = (1..ids.len()).collect();
    others.sort_by_key(|&node| ids[node].wrapping_sub(ids[0]));
    let mut within = vec![false; ids.len()];
    let side = LEAF_SET / 2;
    for &node in others.iter().take(side).chain(others.iter().rev().take(side)) {
        within[node] = true;
    }
    within
}

/// From the root down, passes the farthest children of overloaded nodes on to their siblings.
fn remove_bottlenecks(instance: &Instance<'_>, parent: &mut [usize]) {
    let mut children = vec![Vec::new(); parent.len()];
    for node in 1..parent.len() {
        if parent[node] != NONE {
            children[parent[node]].push(node);
        }
    }
    let most = |node: usize| (instance.degree[node] as usize).saturating_sub(usize::from(node != 0));
    let mut open = vec![0];
    while let Some(node) = open.pop() {
        while children[node].len() > most(node).max(1) {
            let serves = |sibling: usize, child: usize| {
                (most(sibling) > 0 && sibling != child)
                    .then(|| instance.cost(node, sibling) + instance.cost(sibling, child))
                    .filter(|cost| cost.is_finite())
            };
            let place = |&child: &usize| {
                let siblings =
                    children[node].iter().filter_map(|&sibling| Some((serves(sibling, child)?, sibling)));
                siblings.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, sibling)| (child, sibling))
            };
            let farthest = (children[node].iter().filter_map(place))
                .max_by(|a, b| instance.cost(node, a.0).total_cmp(&instance.cost(node, b.0)));
            let Some((child, sibling)) = farthest else { break };
            children[node].retain(|&other| other != child);
            children[sibling].push(child);
            parent[child] = sibling;
        }
        open.extend_from_slice(&children[node]);
    }
}

/// Pastry's usual base, 16.
const DIGIT_BITS: u32 = 4;
/// Pastry's usual leaf set, both sides together.
const LEAF_SET: usize = 16;
