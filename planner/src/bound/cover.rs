//! Who covers whom: a node v that a tree holds covers the members below it, each over a relay path that is no longer than
//! what is left of the tree's height (or half its diameter) at v. It has d(v) - 1 children at most, and what it covers,
//! itself aside, is in turn covered by these, each at one link from it, and so on down. However early one stops to look
//! further down and takes all that relay paths reach for a cover, it covers no less than it does in any such tree.
//!
//! That stays so if some members are not asked for at all, and if a node counts as covering more than it does: which is
//! what happens where there are too many members, too many covers to tell apart, or too much to look at. Left open is
//! whether covers overlap, whether a node is in two places, and how many helpers there may be: all of that only makes a
//! bound from it smaller.
//!
//! Exact set cover: sets of members are bits of a word, of which only those count that no other contains; there are few.
//! A node's cover is looked at in detail only if it is not within what another one covers for certain.

use std::cell::{Cell, OnceCell};

use crate::instance::Instance;
use crate::latency::shortest_paths;

/// Members as bits, by their place in `Covers::members`.
pub(super) type Set = u32;

/// Latency of a link, infinite if it cannot exist.
pub(super) type Link = fn(&Instance<'_>, usize, usize) -> f64;

pub(super) struct Covers<'a> {
    instance: &'a Instance<'a>,
    link: Link,
    /// Node that is above all that is asked for, and so below nothing.
    top: Cell<usize>,
    /// Those that are asked for.
    members: Vec<usize>,
    /// Of each member: latency of the shortest relay path to it, by node; the node itself has to be a relay, or that member.
    reach: Vec<Vec<f32>>,
    /// Each node as a set.
    own: Vec<Set>,
    rows: Vec<OnceCell<Box<[f32]>>>,
    /// Rows that may still be looked at.
    work: Cell<usize>,
}

impl<'a> Covers<'a> {
    /// For the first of `members`, as many as can be told apart. The `root`, if there is one, relays to nobody from below.
    pub(super) fn new(
        instance: &'a Instance<'a>,
        link: Link,
        root: Option<usize>,
        mut members: Vec<usize>,
    ) -> Self {
        members.truncate(MEMBERS_MAX);
        let nodes = instance.len();
        let relays = |node: usize| Some(node) != root && instance.degree[node] >= 2;
        let mut own = vec![0; nodes];
        let mut reach = Vec::with_capacity(members.len());
        for (bit, &member) in members.iter().enumerate() {
            own[member] = 1 << bit;
            let mut paths: Vec<f32> = shortest_paths(nodes, member, |to, from| {
                let cost = link(instance, from, to);
                ((to == member || relays(to)) && cost.is_finite()).then_some(cost)
            })
            .into_iter()
            .map(|path| path as f32)
            .collect();
            for node in (0..nodes).filter(|&node| node != member && !relays(node)) {
                paths[node] = f32::INFINITY;
            }
            reach.push(paths);
        }
        Self {
            instance,
            link,
            top: Cell::new(0),
            members,
            reach,
            own,
            rows: vec![OnceCell::new(); nodes],
            work: Cell::new(0),
        }
    }

    /// From here on a tree is asked for that hangs from `top`, and as much may be looked at in detail as for one question.
    pub(super) fn ask(&self, top: usize) {
        self.top.set(top);
        self.work.set(WORK_MAX);
    }

    /// All that are asked for.
    pub(super) fn all(&self) -> Set {
        Set::MAX >> (Set::BITS as usize - self.members.len())
    }

    /// `node` as a set.
    pub(super) fn own(&self, node: usize) -> Set {
        self.own[node]
    }

    /// The shortest relay paths from `node` to those that are asked for.
    pub(super) fn paths(&self, node: usize) -> impl Iterator<Item = f32> {
        self.reach.iter().map(move |paths| paths[node])
    }

    /// By child, what paths from it reach if `left` is what is left below each.
    pub(super) fn reached(&self, left: &[f32]) -> Vec<Set> {
        let mut sets: Vec<Set> = vec![0; left.len()];
        for (bit, reach) in self.reach.iter().enumerate() {
            for ((set, &left), &path) in sets.iter_mut().zip(left).zip(reach) {
                *set |= Set::from(path <= left) << bit;
            }
        }
        sets
    }

    /// The greatest sets that nodes at one link from `node` cover, looking `depth` links down: `left` below each, where
    /// they reach `sets` at most.
    pub(super) fn greatest(&self, node: usize, left: &[f32], mut sets: Vec<Set>, depth: u32) -> Antichain {
        (sets[node], sets[self.top.get()]) = (0, 0);
        let mut by_size: Vec<Vec<(Set, Option<usize>)>> = vec![Vec::new(); self.members.len() + 1];
        for (child, &set) in sets.iter().enumerate().filter(|&(_, &set)| set != 0) {
            let size = set.count_ones() as usize;
            by_size[size].push((set, (depth > 1 && size > 1).then_some(child)));
        }
        let mut greatest = Antichain::default();
        for size in (1..by_size.len()).rev() {
            if depth <= 1 {
                by_size[size].sort_unstable();
                by_size[size].dedup();
            }
            while let Some((set, unsure)) = by_size[size].pop() {
                if greatest.contains(set) {
                    continue;
                }
                let Some(child) = unsure else {
                    greatest.0.push(set);
                    continue;
                };
                for set in self.within(child, left[child], set, depth - 1).0 {
                    by_size[set.count_ones() as usize].push((set, None));
                }
            }
        }
        greatest
    }

    /// The greatest parts of `most`, which `node` reaches within `budget`, that it covers over at most its degree less
    /// one children.
    fn within(&self, node: usize, budget: f32, most: Set, depth: u32) -> Antichain {
        let rest = most & !self.own[node];
        let children = self.instance.degree[node] - 1;
        let direct = |bit: usize| self.row(node)[self.members[bit]] <= budget;
        let few = rest.count_ones() <= children;
        if (few && bits(rest).all(direct)) || self.work.get() == 0 {
            return Antichain(vec![most]);
        }
        self.work.set(self.work.get() - 1);
        let left: Vec<f32> = self.row(node).iter().map(|link| budget - link).collect();
        self.greatest(node, &left, self.reached(&left), depth).unions(children, self.own[node], most)
    }

    /// Latencies of the links from `node`.
    pub(super) fn row(&self, node: usize) -> &[f32] {
        self.rows[node].get_or_init(|| {
            (0..self.instance.len()).map(|to| (self.link)(self.instance, node, to) as f32).collect()
        })
    }
}

/// Sets none of which contains another.
#[derive(Default)]
pub(super) struct Antichain(pub(super) Vec<Set>);

impl Antichain {
    fn contains(&self, set: Set) -> bool {
        self.0.iter().any(|other| set & !other == 0)
    }

    /// The greatest unions of up to `count` of the sets and `own`, as parts of `most`; `most` alone if they are too many.
    pub(super) fn unions(&self, count: u32, own: Set, most: Set) -> Self {
        let mut unions = vec![own & most];
        for _ in 0..count {
            let mut larger: Vec<Set> = unions
                .iter()
                .flat_map(|&one| self.0.iter().map(move |&other| (one | other) & most))
                .collect();
            larger.sort_unstable_by_key(|set| (std::cmp::Reverse(set.count_ones()), *set));
            larger.dedup();
            let mut greatest = Self::default();
            for set in larger {
                if !greatest.contains(set) {
                    greatest.0.push(set);
                }
            }
            if greatest.0.len() > SETS_MAX || greatest.0 == [most] {
                return Self(vec![most]);
            }
            if greatest.0 == unions || greatest.0.is_empty() {
                break;
            }
            unions = greatest.0;
        }
        Self(unions)
    }
}

fn bits(set: Set) -> impl Iterator<Item = usize> {
    (0..Set::BITS as usize).filter(move |bit| set >> bit & 1 == 1)
}

/// Members that are asked for.
const MEMBERS_MAX: usize = 16;
/// Sets that are told apart.
const SETS_MAX: usize = 256;
/// Nodes whose covers are looked at in detail for one question.
const WORK_MAX: usize = 500;
