//! Brings the highest nodes down. One node after the other on the way from the highest to the root is offered a better
//! parent, whichever node that is; if that one is full, a child of it goes elsewhere, to where it does no harm.
//!
//! A step takes a look at all nodes for each node on the way, several at a time (`World::hang_below_each`).

use std::collections::BinaryHeap;

use super::hanging::{Hanging, is_above};
use super::world::World;

/// Lowers `tree` as long as that works and there is `more` time.
pub(super) fn repair(world: &impl World, tree: &mut Hanging, more: &mut dyn FnMut() -> bool) {
    for at in (1..tree.order.len()).rev() {
        let node = tree.order[at] as usize;
        let parent = tree.parent[node] as usize;
        tree.below[parent] = tree.below[parent].max(tree.below[node] + world.cost(parent, node));
    }
    let farthest = (1..world.nodes()).map(|node| world.cost(0, node)).fold(0.0, f32::max);
    let mut repair = Repair {
        world,
        tree,
        hung: vec![0.0; world.nodes()],
        high: BinaryHeap::new(),
        target: 0.0,
        looks: LOOKS_MAX,
        more,
    };
    loop {
        let height = repair.tree.below[0];
        let least = if world.is_metric() { farthest } else { farthest.min(height * (1.0 - STEP)) };
        // A step that gains too little is none, and the target must lie below the height.
        if height <= least * (1.0 + GAIN_MIN) || !height.is_finite() {
            break;
        }
        repair.target = f32::midpoint(least, height);
        repair.high.clear();
        (1..world.nodes()).for_each(|node| repair.note(node));
        if !repair.lower_all() {
            break;
        }
    }
}

struct Repair<'a, W> {
    world: &'a W,
    tree: &'a mut Hanging,
    /// Scratch: how high a node would hang below each other.
    hung: Vec<f32>,
    /// Nodes above the target, by the bits of a height that may be out of date.
    high: BinaryHeap<(u32, u32)>,
    target: f32,
    /// Looks at all nodes that are left.
    looks: u32,
    more: &'a mut dyn FnMut() -> bool,
}

/// A step to a lower tree.
#[derive(Clone, Copy, Debug)]
struct Step {
    node: usize,
    parent: usize,
    /// By how much that lowers the node.
    gain: f32,
    /// A child of `parent` that has to go, and where to.
    evicted: Option<(usize, usize)>,
}

impl<W: World> Repair<'_, W> {
    fn note(&mut self, node: usize) {
        let height = self.tree.height[node];
        if height > self.target {
            self.high.push((height.to_bits(), node as u32));
        }
    }

    /// Brings all nodes below the target, or says that it could not.
    fn lower_all(&mut self) -> bool {
        while let Some((height, node)) = self.high.pop() {
            let node = node as usize;
            if self.tree.height[node].to_bits() != height {
                continue;
            }
            let Some(step) = self.step(node) else { return false };
            if let Some((evicted, to)) = step.evicted {
                self.rehang(evicted, to);
            }
            self.rehang(step.node, step.parent);
        }
        true
    }

    /// The first step found that brings `highest` to the target, or else the one that lowers it most.
    fn step(&mut self, highest: usize) -> Option<Step> {
        let height = self.tree.height[highest];
        let wanted = height - self.target;
        let mut best = None;
        let mut least_gain = height * GAIN_MIN;
        let mut node = highest;
        while node != 0 && least_gain < wanted && self.looks > 0 && (self.more)() {
            self.looks -= 1;
            if let Some(step) = self.step_of(node, least_gain, height) {
                (best, least_gain) = (Some(step), step.gain);
            }
            node = self.tree.parent[node] as usize;
        }
        best
    }

    /// The best step that hangs `node` elsewhere, gains more than `least_gain`, and leaves nobody at `top`.
    fn step_of(&mut self, node: usize, least_gain: f32, top: f32) -> Option<Step> {
        let height = self.tree.height[node];
        self.world.hang_below_each(node, &self.tree.height, &mut self.hung);
        let mut parents = lower_than(&self.hung, height - least_gain);
        if parents.len() > PARENTS_TRIED {
            parents.select_nth_unstable_by(PARENTS_TRIED, by_height);
            parents.truncate(PARENTS_TRIED);
        }
        parents.sort_unstable_by(by_height);
        for (lower, parent) in parents {
            let gain = height - lower;
            if parent == self.tree.parent[node] as usize || self.is_above(node, parent) {
                continue;
            }
            if self.tree.free[parent] > 0 {
                return Some(Step { node, parent, gain, evicted: None });
            }
            let most = self.target.max(top - gain);
            let mut children = self.tree.children(parent).collect::<Vec<_>>().into_iter();
            let evicted = children.find_map(|child| Some((child, self.elsewhere(child, node, most)?)));
            if evicted.is_some() {
                return Some(Step { node, parent, gain, evicted });
            }
        }
        None
    }

    /// An open node below which `child` reaches no higher than `most`; not below `newcomer`, which takes its place.
    fn elsewhere(&mut self, child: usize, newcomer: usize, most: f32) -> Option<usize> {
        if self.is_above(child, newcomer) {
            return None;
        }
        let Hanging { open, height, parent, below, .. } = &mut *self.tree;
        let limit = most - below[child];
        let mut seen = 0;
        let mut found = None;
        open.visit(child, |to| {
            let above = |node| is_above(parent, height, node, to);
            if height[to] + self.world.cost(to, child) <= limit && !above(child) && !above(newcomer) {
                found = Some(to);
            }
            seen += 1;
            found.is_some() || seen >= PLACES_TRIED
        });
        found
    }

    fn is_above(&self, above: usize, node: usize) -> bool {
        is_above(&self.tree.parent, &self.tree.height, above, node)
    }

    fn rehang(&mut self, node: usize, parent: usize) {
        let before = self.tree.parent[node] as usize;
        self.tree.rehang(node, parent);
        let mut ahead = vec![node];
        while let Some(at) = ahead.pop() {
            let above = self.tree.parent[at] as usize;
            self.tree.height[at] = self.tree.height[above] + self.world.cost(above, at);
            self.note(at);
            ahead.extend(self.tree.children(at));
        }
        self.measure_below(before);
        self.measure_below(parent);
    }

    /// Puts `below` right for `node` and those above it.
    fn measure_below(&mut self, mut node: usize) {
        loop {
            let reach = |child| self.tree.below[child] + self.world.cost(node, child);
            let below = self.tree.children(node).map(reach).fold(0.0, f32::max);
            if node == 0 || below == self.tree.below[node] {
                self.tree.below[node] = below;
                return;
            }
            self.tree.below[node] = below;
            node = self.tree.parent[node] as usize;
        }
    }
}

fn by_height(a: &(f32, usize), b: &(f32, usize)) -> std::cmp::Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

/// Values below `limit`, and where they are.
fn lower_than(values: &[f32], limit: f32) -> Vec<(f32, usize)> {
    let mut found = Vec::new();
    for (block, values) in values.chunks(BLOCK).enumerate() {
        // Without a branch inside, the compiler looks at several at once.
        if values.iter().map(|&value| u32::from(value < limit)).sum::<u32>() > 0 {
            let placed = values.iter().enumerate().map(|(at, &value)| (value, block * BLOCK + at));
            found.extend(placed.filter(|&(value, _)| value < limit));
        }
    }
    found
}

/// Looks at all nodes, in all: sessions in a plane take a few dozen.
const LOOKS_MAX: u32 = 1_000;
/// By how much the target falls where the direct way is no bound, as a share of the height.
const STEP: f32 = 0.004;
/// What a step must gain, as a share of the height: well above what sums of 32-bit floats differ by.
const GAIN_MIN: f32 = 1e-5;
/// Parents that are tried for a node, the best first.
const PARENTS_TRIED: usize = 64;
/// Open nodes that are looked at for a node that has to go.
const PLACES_TRIED: usize = 32;
/// Values that are looked through only if one of them is low.
const BLOCK: usize = 64;
