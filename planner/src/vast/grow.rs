//! The first tree: nodes with many links as they are, the others where they do no harm.

use super::hanging::Hanging;
use super::world::World;

/// A tree over all nodes, of which there are two at least, whose degrees suffice.
///
/// There is always a free link: among nodes that take one and bring one or more, none is lost, and those that come after
/// them are no more than the links that are left (`least_relay`).
pub(super) fn grow(world: &impl World, degrees: &[u32]) -> Hanging {
    let mut tree = Hanging::new(world, degrees);
    let mut others: Vec<(f32, usize)> = (1..world.nodes()).map(|node| (world.cost(0, node), node)).collect();
    others.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let farthest = others.last().map_or(0.0, |&(direct, _)| direct);
    let least = least_relay(degrees);
    let (relays, leaves): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|&(_, node)| degrees[node] >= least);
    for (_, node) in relays {
        hang(world, &mut tree, node, 0.0);
    }
    for (_, node) in leaves.into_iter().rev() {
        hang(world, &mut tree, node, farthest * GOOD_ENOUGH);
    }
    tree
}

/// Hangs `node` below the nearest open node that gets it no higher than `enough`, or the best of those around it.
fn hang(world: &impl World, tree: &mut Hanging, node: usize, enough: f32) {
    let (mut least, mut parent) = (f32::INFINITY, None);
    let mut seen = 0;
    let heights = &tree.height;
    tree.open.visit(node, |open| {
        let height = heights[open] + world.cost(open, node);
        if height < least || parent.is_none() {
            (least, parent) = (height, Some(open));
        }
        seen += 1;
        least <= enough || seen >= LOOKED_AT
    });
    let parent = parent.expect("the degrees suffice");
    tree.absorb(node, parent, least);
}

/// The greatest degree such that nodes of that degree and more alone leave a link for each of the others; 2 at least,
/// with which they do wherever the degrees suffice.
fn least_relay(degrees: &[u32]) -> u32 {
    let mut sorted: Vec<u32> = degrees[1..].to_vec();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    let mut links = u64::from(degrees[0]);
    for (at, &degree) in sorted.iter().enumerate() {
        let before = if at == 0 { u32::MAX } else { sorted[at - 1] };
        if before > degree && links >= (sorted.len() - at) as u64 {
            return before;
        }
        if degree <= 2 {
            break;
        }
        links += u64::from(degree - 2);
    }
    2
}

/// Open nodes that are looked at for a place. With 8 the tree is a hundredth higher at 10,000 nodes before `repair`, with
/// 32 a few thousandths lower, at half as much time again.
const LOOKED_AT: usize = 16;
/// Height that does for a node with few links, by the farthest node's direct way.
const GOOD_ENOUGH: f32 = 1.003;
