//! A first forest. In every tree a node of degree d gets d children at most: then it sends at most d copies for any one
//! source, so at most d x K for any K, whatever the other trees are like, and each tree can be grown for itself.

use super::grove::NO;
use super::view::View;

/// Parents in the tree of `source`, by node, in which no node has more children than `degree` says and those in `avoided` do
/// not hang from the source; else the member that found no place. Grown by the member that is reached
/// soonest next (Shi and Turner's compact tree, on delays). A member that finds no place is placed as soon as possible
/// in the next attempt; a helper comes in only where no member has room or reach. O(M^2) an attempt, and O(H^2) for
/// each way through helpers.
pub(super) fn grow(view: &View, source: u32, degree: &[u32], avoided: &[u32]) -> Result<Vec<u32>, u32> {
    let mut urgent = vec![false; view.members];
    let mut stuck = source;
    for _ in 0..ATTEMPTS_MAX {
        match (Growth::new(view, source, degree, avoided)).run(&urgent) {
            Ok(parent) => return Ok(parent),
            Err(member) => {
                stuck = member;
                if std::mem::replace(&mut urgent[member as usize], true) {
                    break;
                }
            }
        }
    }
    Err(stuck)
}

struct Growth<'a> {
    view: &'a View,
    /// Most children of every node.
    degree: &'a [u32],
    /// Members that may not hang from the source.
    avoided: &'a [u32],
    /// Children that the placed nodes may still get.
    slots: u64,
    parent: Vec<u32>,
    kids: Vec<u32>,
    delay: Vec<f64>,
    placed: Vec<u32>,
    open: Vec<u32>,
    /// For every open member the best of the placed nodes with room.
    best: Vec<u32>,
    helpers: usize,
}

impl<'a> Growth<'a> {
    fn new(view: &'a View, source: u32, degree: &'a [u32], avoided: &'a [u32]) -> Self {
        let nodes = view.len();
        let mut growth = Self {
            view,
            degree,
            avoided,
            slots: u64::from(degree[source as usize]),
            parent: vec![NO; nodes],
            kids: vec![0; nodes],
            delay: vec![0.0; nodes],
            placed: vec![source],
            open: (0..view.members as u32).filter(|&member| member != source).collect(),
            best: vec![NO; nodes],
            helpers: 0,
        };
        growth.offer(source);
        growth
    }

    fn run(mut self, urgent: &[bool]) -> Result<Vec<u32>, u32> {
        while !self.open.is_empty() {
            let reach = |member: u32| {
                let best = self.best[member as usize];
                (best != NO).then(|| self.reach(best, member))
            };
            let soonest = (self.open.iter().enumerate())
                .filter_map(|(at, &member)| {
                    // The last slot is for somebody who brings another.
                    let last = self.slots == 1 && self.open.len() > 1 && self.degree[member as usize] == 0;
                    reach(member).map(|delay| (last, !urgent[member as usize], delay, at))
                })
                .min_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)));
            match soonest {
                Some((.., at)) => {
                    let member = self.open.swap_remove(at);
                    self.place(member, self.best[member as usize]);
                }
                None => {
                    let member = self.open[0];
                    self.reach_through_helpers().ok_or(member)?;
                }
            }
        }
        Ok(self.parent)
    }

    /// When `member` would be reached from a placed node.
    fn reach(&self, from: u32, member: u32) -> f64 {
        if from == self.placed[0] && self.avoided.contains(&member) {
            return f64::INFINITY;
        }
        self.delay[from as usize] + self.view.cost(from, member)
    }

    fn has_room(&self, node: u32) -> bool {
        self.kids[node as usize] < self.degree[node as usize]
    }

    fn place(&mut self, node: u32, parent: u32) {
        self.parent[node as usize] = parent;
        self.delay[node as usize] = self.delay[parent as usize] + self.view.cost(parent, node);
        self.kids[parent as usize] += 1;
        self.slots = (self.slots + u64::from(self.degree[node as usize])).saturating_sub(1);
        self.placed.push(node);
        self.offer(node);
        if !self.has_room(parent) {
            for at in 0..self.open.len() {
                let member = self.open[at];
                if self.best[member as usize] == parent {
                    let free = self.placed.iter().copied().filter(|&placed| self.has_room(placed));
                    let delay = |from: u32| self.reach(from, member);
                    let best = free.min_by(|&a, &b| delay(a).total_cmp(&delay(b)));
                    self.best[member as usize] = best.filter(|&best| delay(best).is_finite()).unwrap_or(NO);
                }
            }
        }
    }

    fn offer(&mut self, node: u32) {
        if !self.has_room(node) {
            return;
        }
        for &member in &self.open {
            let delay = |from: u32| self.reach(from, member);
            let best = self.best[member as usize];
            if delay(node).is_finite() && (best == NO || delay(node) < delay(best)) {
                self.best[member as usize] = node;
            }
        }
    }

    /// Places helpers so that one open member can be placed: the path of fewest helpers.
    fn reach_through_helpers(&mut self) -> Option<()> {
        let view = self.view;
        let nodes = view.len() as u32;
        let mut from = vec![NO; view.len()];
        let mut queue: Vec<u32> = self.placed.iter().copied().filter(|&node| self.has_room(node)).collect();
        let roots = queue.len();
        let mut at = 0;
        while at < queue.len() {
            let node = queue[at];
            at += 1;
            // A placed node is at the front and has no member in reach, or it would not have come to this.
            if let Some(&member) =
                self.open.iter().find(|&&open| at > roots && view.cost(node, open).is_finite())
            {
                let mut path = vec![node];
                while from[path[path.len() - 1] as usize] != NO {
                    path.push(from[path[path.len() - 1] as usize]);
                }
                self.helpers += path.len() - 1;
                if self.helpers > view.helpers_max {
                    return None;
                }
                path.reverse();
                for pair in path.windows(2) {
                    self.place(pair[1], pair[0]);
                }
                let at = self.open.iter().position(|&open| open == member)?;
                self.open.swap_remove(at);
                self.place(member, node);
                return Some(());
            }
            for helper in view.members as u32..nodes {
                let fresh = self.parent[helper as usize] == NO && from[helper as usize] == NO;
                if fresh && view.cost(node, helper).is_finite() && self.degree[helper as usize] > 0 {
                    from[helper as usize] = node;
                    queue.push(helper);
                }
            }
        }
        None
    }
}

/// Attempts for one tree; each settles one member that was hard to place.
const ATTEMPTS_MAX: usize = 16;
