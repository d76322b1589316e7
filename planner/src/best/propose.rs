//! Which moves are proposed: mostly on the way to the highest members, with helpers that are on somebody's way.

use super::anneal::Walk;
use super::draws::Draws;
use super::moves::Judged;
use super::smooth::{NO, SmoothTree};

impl Walk<'_, '_> {
    /// A move and what it would come to, if the draw makes sense.
    pub(super) fn propose(&mut self) -> Option<Judged> {
        let node = self.high();
        let tree = &self.tree;
        if node == tree.top {
            return None;
        }
        let left = self.schedule.helpers_max - tree.helpers;
        match self.draws.below(20) {
            0..=5 => {
                let lowest = self.draws.below(LOWEST_ONE_IN) == 0;
                let to = if lowest { self.tree.lowest_place(node)? } else { self.place_for(node) };
                let tree = &self.tree;
                if let Some(judged) = tree.judge_hang(node, to) {
                    return Some(judged);
                }
                // No free link there: change places with a child.
                let child = random_child(tree, to, &mut self.draws);
                if child == NO { None } else { tree.judge_swap(node, child) }
            }
            6..=7 => {
                let other = self.partner_for(node);
                self.tree.judge_swap(node, other)
            }
            8..=9 => {
                let other = self.partner_for(node);
                self.tree.judge_trade(node, other)
            }
            10 => tree.judge_rise(node),
            11 => {
                // Either way round: a leaf comes down to the node, or the node's place is between others.
                let other = self.draws.one_of(&tree.placed);
                if tree.node(node).kids == 0 {
                    tree.judge_splice(node, other)
                } else {
                    tree.judge_splice(other, node)
                }
            }
            12..=13 if left > 0 => {
                let parent = tree.node(node).parent;
                if left > 1 && self.draws.below(8) == 0 {
                    return self.propose_two(parent, node);
                }
                let helper = self.helper_for(parent, node)?;
                let tree = &self.tree;
                self.others.clear();
                let mut child = tree.node(parent).first;
                while child != NO {
                    self.others.push(child);
                    child = tree.node(child).next;
                }
                self.others.push(self.draws.one_of(&tree.placed));
                self.others.push(self.draws.one_of(&tree.placed));
                let crowd = self.draws.below(2) == 0;
                tree.judge_insert(helper, node, &self.others, crowd, &mut self.extras)
            }
            14..=15 if left > 0 => {
                let to = self.place_for(node);
                let helper = self.helper_for(to, node)?;
                self.others.clear();
                self.others.push(node);
                for _ in 0..3 {
                    self.others.push(self.draws.one_of(&self.tree.placed));
                }
                self.tree.judge_add(helper, to, &self.others, &mut self.extras)
            }
            16..=17 => {
                let parent = tree.node(node).parent;
                let helper = self.helper_for(parent, node)?;
                if self.tree.is_helper(node) {
                    self.tree.judge_replace(node, helper)
                } else if left > 0 {
                    self.tree.judge_relieve(node, helper)
                } else {
                    None
                }
            }
            _ => self.propose_fewer(),
        }
    }

    /// Two helpers in a row, where one alone is no way round.
    fn propose_two(&mut self, parent: u32, node: u32) -> Option<Judged> {
        let near = self.near.helpers(node);
        if near.is_empty() {
            return None;
        }
        let lower = self.draws.one_of(near);
        let middle = self.tree.has_middle() && parent == self.tree.top;
        let upper = self.shortest_way(if middle { node } else { parent }, lower, 1)?;
        self.tree.judge_insert_two(upper, lower, node)
    }

    /// A helper leaves, or a member takes its place.
    fn propose_fewer(&mut self) -> Option<Judged> {
        if self.tree.helpers == 0 {
            return None;
        }
        let tree = &self.tree;
        let helper = (0..8).map(|_| self.draws.one_of(&tree.placed)).find(|&node| tree.is_helper(node))?;
        if self.draws.below(2) == 0 {
            return tree.judge_fill(self.draws.one_of(&tree.placed), helper);
        }
        self.others.clear();
        if tree.placed.len() <= PLACES_SEEN {
            self.others.extend_from_slice(&tree.placed);
        } else {
            let near = self.near.members(helper);
            for at in 0..PLACES_DRAWN {
                let any = near.is_empty() || at % 4 == 0;
                self.others.push(self.draws.one_of(if any { &tree.placed } else { near }));
            }
        }
        tree.judge_drop(helper, &self.others, &mut self.extras)
    }

    /// A node on the way to a member, mostly to a high one.
    fn high(&mut self) -> u32 {
        let tree = &self.tree;
        if self.draws.below(4) == 0 {
            return self.draws.one_of(&tree.placed);
        }
        let mut at = tree.top;
        let mut depth = 0;
        'down: loop {
            let entry = tree.node(at);
            let mut left = self.draws.share() * entry.sum;
            let mut child = entry.first;
            while child != NO {
                let below = tree.node(child);
                left -= below.link * below.sum;
                if left < 0.0 {
                    at = child;
                    depth += 1;
                    continue 'down;
                }
                child = below.next;
            }
            break;
        }
        for _ in 0..self.draws.below(depth.max(1)) {
            at = tree.node(at).parent;
        }
        at
    }

    /// A node that might carry `node`: any in small trees, the best of a few in large ones.
    fn place_for(&mut self, node: u32) -> u32 {
        if self.tree.placed.len() <= PLACES_SEEN {
            return self.draws.one_of(&self.tree.placed);
        }
        let (mut best, mut least) = (node, f64::INFINITY);
        for _ in 0..PLACES_COMPARED {
            let place = self.draws.one_of(&self.tree.placed);
            let there = self.tree.node(place).weight * self.tree.factor(place, node);
            if there < least {
                (best, least) = (place, there);
            }
        }
        best
    }

    /// A node that might change places with `node`: any in small trees, mostly a near one in large ones.
    fn partner_for(&mut self, node: u32) -> u32 {
        if self.tree.placed.len() > PLACES_SEEN && self.draws.below(4) > 0 {
            let near = self.near.members(node);
            if !near.is_empty() {
                return self.draws.one_of(near);
            }
        }
        self.draws.one_of(&self.tree.placed)
    }

    /// The helper over which the way from `from` to `to` is shortest, with room for a child or two.
    fn helper_for(&mut self, from: u32, to: u32) -> Option<u32> {
        let middle = self.tree.has_middle() && from == self.tree.top;
        let children = 1 + self.draws.below(CHILDREN_WANTED);
        self.shortest_way(if middle { to } else { from }, to, children)
    }

    /// The helper with room for so many children over which the way is shortest, or nearly: O(H).
    fn shortest_way(&self, from: u32, to: u32, children: usize) -> Option<u32> {
        let instance = self.tree.instance;
        // Where directions differ, the second row is of the way back.
        let (here, there) = (instance.costs(from as usize), instance.costs(to as usize));
        self.tree.spare.shortest_way(here, there, children)
    }
}

fn random_child(tree: &SmoothTree<'_>, parent: u32, draws: &mut Draws) -> u32 {
    let entry = tree.node(parent);
    if entry.kids == 0 {
        return NO;
    }
    let mut child = entry.first;
    for _ in 0..draws.below(entry.kids as usize) {
        child = tree.node(child).next;
    }
    child
}

/// Up to how many nodes in the tree any of them may be a place, and those that a child of a helper that leaves may go to.
const PLACES_SEEN: usize = 64;
/// Such places in larger trees. Tried out.
const PLACES_DRAWN: usize = 24;
/// Most children that a helper is asked to have room for. Tried out: asking for three or four finds less.
const CHILDREN_WANTED: usize = 2;
/// How often a node is offered the lowest place that there is, rather than one of some.
const LOWEST_ONE_IN: usize = 4;
/// Places that are compared in large trees.
const PLACES_COMPARED: usize = 8;
