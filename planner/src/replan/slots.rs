//! The free links of an installed tree, ready for whoever joins next: a joiner hears the conference before it is placed
//! well, so the best free slot must be known in microseconds.
//!
//! For the height a slot's worth is the height of its node, for the diameter the distance of its node from the farthest
//! member; the joiner goes where that and the link to it come to least. One pass over the nodes with free links finds it.
//! Attaching takes O(1) for the height and O(N) for the diameter, where every node may have a new farthest member.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::reach::{Reach, measure};
use crate::latency::LatencyMatrix;
use crate::names::Objective;
use crate::plan::Plan;
use crate::problem::Problem;
use crate::units::{Degree, NodeIndex, OneWay};

/// An installed tree that takes in joiners and lets leaves go. Built from a plan's first tree, in O(N).
#[derive(Clone, Debug)]
pub struct Slots {
    latency: Arc<LatencyMatrix>,
    is_symmetric: bool,
    degrees: Vec<Degree>,
    forbidden: BTreeSet<(NodeIndex, NodeIndex)>,
    hop_ms: f64,
    shared: bool,
    /// By node: its place in `spots`, or `ABSENT`.
    place: Vec<u32>,
    /// Parents first.
    spots: Vec<Spot>,
    /// Those with free links: place, node, and reach, apart for one quick pass.
    open: Vec<u32>,
    open_nodes: Vec<u32>,
    open_from: Vec<f32>,
    open_to: Vec<f32>,
    /// Scratch: distance to and from one node, by place.
    ways: Vec<(f64, f64)>,
}

#[derive(Clone, Copy, Debug)]
struct Spot {
    node: u32,
    /// Place of the parent; its own at the root.
    parent: u32,
    /// Place in `open`, or `ABSENT`.
    open: u32,
    free: u32,
    kids: u32,
    is_member: bool,
    /// Cost of the link to the parent, down and up.
    down: f64,
    up: f64,
    reach: Reach,
}

impl Slots {
    /// The free slots of `plan`'s first tree within the problem's degrees. Nodes may join that the problem's matrix and
    /// degrees know.
    pub fn new(problem: &Problem, plan: &Plan) -> Self {
        let nodes = problem.latency.nodes();
        let mut slots = Self {
            latency: problem.latency.clone(),
            is_symmetric: problem.latency.is_symmetric(),
            degrees: problem.degrees.clone(),
            forbidden: problem.forbidden.clone(),
            hop_ms: problem.hop_cost.ms(),
            shared: problem.objective != Objective::Height,
            place: vec![ABSENT; nodes],
            spots: Vec::new(),
            open: Vec::new(),
            open_nodes: Vec::new(),
            open_from: Vec::new(),
            open_to: Vec::new(),
            ways: Vec::new(),
        };
        let mut is_member = vec![false; nodes];
        plan.members.iter().filter(|&&member| member < nodes).for_each(|&member| is_member[member] = true);
        if plan.root < nodes {
            slots.push(plan.root, None, is_member[plan.root]);
        }
        for &(parent, child) in plan.trees.first().map_or(&[][..], |tree| &tree.edges) {
            if let Some(above) = slots.place(parent)
                && child < nodes
                && slots.place[child] == ABSENT
            {
                slots.push(child, Some(above as u32), is_member[child]);
            }
        }
        slots.measure();
        slots
    }

    /// How many nodes are in the tree.
    pub fn nodes(&self) -> usize {
        self.spots.len()
    }

    /// The parent of a node in the tree; none of the root.
    pub fn parent(&self, node: NodeIndex) -> Option<NodeIndex> {
        let place = self.place(node)?;
        let above = self.spots[place].parent as usize;
        (above != place).then(|| self.spots[above].node as usize)
    }

    /// The best parent for a node that is not in the tree, and what it would come to there, hop costs included: its
    /// height, or its distance from the farthest member. `None` if no free link is in its reach: plan anew, helpers may
    /// make room.
    pub fn best(&self, joiner: NodeIndex) -> Option<(NodeIndex, OneWay)> {
        if joiner >= self.place.len() || self.place(joiner).is_some() || self.degrees[joiner].0 == 0 {
            return None;
        }
        let mut barred: Vec<usize> = Vec::new();
        loop {
            let (at, value) = if self.is_symmetric {
                self.best_of_row(joiner, &barred)
            } else {
                self.best_of_both(joiner, &barred)
            }?;
            let node = self.open_nodes[at] as usize;
            if self.may_link(joiner, node) {
                return Some((node, OneWay::from_ms(f64::from(value) + self.hop_ms)?));
            }
            barred.push(at);
        }
    }

    /// Hangs a joiner at the best slot, and says below whom.
    pub fn attach(&mut self, joiner: NodeIndex) -> Option<NodeIndex> {
        let (parent, _) = self.best(joiner)?;
        let above = self.place[parent];
        let place = self.push(joiner, Some(above), true);
        let Spot { down, up, .. } = self.spots[place];
        let over = self.spots[above as usize].reach;
        let reach = if self.shared {
            Reach { to: (over.to + up).max(0.0), from: (over.from + down).max(0.0) }
        } else {
            Reach { from: over.from + down, ..Reach::NONE }
        };
        self.spots[place].reach = reach;
        self.open_up(place);
        if self.shared {
            self.spread(place);
        }
        Some(parent)
    }

    /// Takes a leaf out of the tree; its parent's link is free again. A node with children cannot go so: that takes a plan.
    /// A helper that is left without children stays until there is one. O(N).
    pub fn detach(&mut self, leaf: NodeIndex) -> bool {
        let Some(place) = self.place(leaf).filter(|&place| place > 0 && self.spots[place].kids == 0) else {
            return false;
        };
        let above = self.spots[place].parent as usize;
        let above = &mut self.spots[above];
        above.free += 1;
        above.kids -= 1;
        self.spots.remove(place);
        self.place[leaf] = ABSENT;
        for (at, spot) in self.spots.iter_mut().enumerate() {
            self.place[spot.node as usize] = at as u32;
            spot.parent -= u32::from(spot.parent as usize > place);
        }
        self.measure();
        true
    }

    fn place(&self, node: NodeIndex) -> Option<usize> {
        self.place.get(node).filter(|&&place| place != ABSENT).map(|&place| place as usize)
    }

    fn may_link(&self, a: NodeIndex, b: NodeIndex) -> bool {
        self.forbidden.is_empty() || !self.forbidden.contains(&(a.min(b), a.max(b)))
    }

    /// The place in `open`, and what the joiner would come to there without the cost of a hop.
    fn best_of_row(&self, joiner: NodeIndex, barred: &[usize]) -> Option<(usize, f32)> {
        let row = self.latency.row(joiner);
        let values =
            self.open_nodes.iter().zip(&self.open_from).map(|(&node, from)| from + row[node as usize]);
        least(values, barred)
    }

    fn best_of_both(&self, joiner: NodeIndex, barred: &[usize]) -> Option<(usize, f32)> {
        let row = self.latency.row(joiner);
        let ends = self.open_nodes.iter().zip(self.open_from.iter().zip(&self.open_to));
        let values = ends.map(|(&node, (from, to))| {
            let down = from + self.latency.row(node as usize)[joiner];
            let up = to + row[node as usize];
            if down < up { up } else { down }
        });
        least(values, barred)
    }

    fn push(&mut self, node: NodeIndex, above: Option<u32>, is_member: bool) -> usize {
        let place = self.spots.len();
        let degree = self.degrees[node].0;
        let (mut down, mut up) = (0.0, 0.0);
        if let Some(above) = above {
            let parent = &mut self.spots[above as usize];
            parent.free = parent.free.saturating_sub(1);
            parent.kids += 1;
            let parent_node = parent.node as usize;
            down = self.latency.ms(parent_node, node) + self.hop_ms;
            up = self.latency.ms(node, parent_node) + self.hop_ms;
            if parent.free == 0 {
                self.close(above as usize);
            }
        }
        let free = degree.saturating_sub(u32::from(above.is_some()));
        let parent = above.unwrap_or(place as u32);
        let open = ABSENT;
        let reach = Reach::NONE;
        let node = node as u32;
        self.spots.push(Spot { node, parent, open, free, kids: 0, is_member, down, up, reach });
        self.place[node as usize] = place as u32;
        place
    }

    fn open_up(&mut self, place: usize) {
        let spot = &mut self.spots[place];
        if spot.free > 0 {
            spot.open = self.open.len() as u32;
            self.open.push(place as u32);
            self.open_nodes.push(spot.node);
            self.open_from.push(spot.reach.from as f32);
            self.open_to.push(spot.reach.to as f32);
        }
    }

    fn close(&mut self, place: usize) {
        let at = std::mem::replace(&mut self.spots[place].open, ABSENT) as usize;
        if at < self.open.len() {
            self.open.swap_remove(at);
            self.open_nodes.swap_remove(at);
            self.open_from.swap_remove(at);
            self.open_to.swap_remove(at);
            if let Some(&moved) = self.open.get(at) {
                self.spots[moved as usize].open = at as u32;
            }
        }
    }

    /// Measures the whole tree, and lists the open nodes anew.
    fn measure(&mut self) {
        let spots = &self.spots;
        let mut reach = vec![Reach::NONE; spots.len()];
        if self.shared {
            let order: Vec<usize> = (0..spots.len()).collect();
            let parent: Vec<usize> = spots.iter().map(|spot| spot.parent as usize).collect();
            let own = |at: usize| if spots[at].is_member { Reach::MEMBER } else { Reach::NONE };
            // One of the two is the child, and knows what the link costs.
            let cost = |a: usize, b: usize| if parent[b] == a { spots[b].down } else { spots[a].up };
            measure(&order, &parent, own, cost, &mut reach);
        } else {
            for (at, spot) in spots.iter().enumerate() {
                let above = if at == 0 { 0.0 } else { reach[spot.parent as usize].from };
                reach[at].from = above + spot.down;
            }
        }
        self.open.clear();
        self.open_nodes.clear();
        self.open_from.clear();
        self.open_to.clear();
        for (at, reach) in reach.into_iter().enumerate() {
            self.spots[at].reach = reach;
            self.spots[at].open = ABSENT;
            self.open_up(at);
        }
    }

    /// A member has come at `place`, the last one: it may be the farthest from others.
    fn spread(&mut self, place: usize) {
        self.ways.clear();
        self.ways.resize(self.spots.len(), (f64::NAN, f64::NAN));
        // To the new member and back from it: first along the way to the root.
        let (mut at, mut way) = (place, (0.0, 0.0));
        loop {
            self.ways[at] = way;
            let Spot { parent, down, up, .. } = self.spots[at];
            if parent as usize == at {
                break;
            }
            way = (way.0 + down, way.1 + up);
            at = parent as usize;
        }
        for (at, spot) in self.spots.iter_mut().enumerate() {
            let (to, from) = if self.ways[at].0.is_nan() {
                let (to, from) = self.ways[spot.parent as usize];
                self.ways[at] = (to + spot.up, from + spot.down);
                self.ways[at]
            } else {
                self.ways[at]
            };
            if to > spot.reach.to || from > spot.reach.from {
                spot.reach.to = spot.reach.to.max(to);
                spot.reach.from = spot.reach.from.max(from);
                if spot.open != ABSENT {
                    self.open_from[spot.open as usize] = spot.reach.from as f32;
                    self.open_to[spot.open as usize] = spot.reach.to as f32;
                }
            }
        }
    }
}

/// The first of the least values, but for those barred.
#[inline]
fn least(values: impl Iterator<Item = f32>, barred: &[usize]) -> Option<(usize, f32)> {
    let (mut best, mut least) = (usize::MAX, f32::INFINITY);
    for (at, value) in values.enumerate() {
        if value < least && (barred.is_empty() || !barred.contains(&at)) {
            (best, least) = (at, value);
        }
    }
    (best != usize::MAX).then_some((best, least))
}

/// Stands for "in no place".
const ABSENT: u32 = u32::MAX;
