//! Height, by who covers whom: the root r has d(r) children at most, and each member hangs below one of them. A node v
//! that a tree of height H holds at depth h covers the members below it, each over a relay path of at most H - h. So for
//! a tree of height H there is a set of at most d(r) nodes, each at one link from the root, whose covers together are
//! all members; and what such a node covers, itself aside, is in turn covered by d - 1 nodes at one link from it, and so
//! on down. The least H for which there are such sets is a lower bound on the height, however early one stops to look
//! further down and takes all that relay paths reach for a cover. The bound leaves open whether the covers overlap,
//! whether a node is in two places, and how many helpers there may be: all of that only makes it smaller.
//!
//! It stays valid if some members are not asked for at all, and if a node counts as covering more than it does: that is
//! what happens where there are too many members, too many covers to tell apart, or too much to look at.
//!
//! Exact set cover: sets of members are bits of a word, of which only those count that no other contains; there are few.
//! A node's cover is looked at in detail only if it is not within what another one covers for certain.

use std::cell::{Cell, OnceCell};

use super::link;
use crate::instance::Instance;
use crate::latency::shortest_paths;

/// A bound on the height that is `known` or better.
pub(super) fn height_bound(instance: &Instance<'_>, shortest: &[f64], known: f64) -> f64 {
    let nodes = instance.len();
    if instance.members < 2 || known <= 0.0 || nodes > NODES_MAX {
        return known;
    }
    let covers = Covers::new(instance, shortest);
    let mut below = known;
    let mut above = known * (1.0 + STEP_MIN);
    while !covers.may_reach(above) {
        below = above;
        above = known + 2.0 * (above - known);
        if above > known * RAISED_MAX {
            return below;
        }
    }
    while above - below > known * STEP_MIN {
        let middle = f64::midpoint(below, above);
        if covers.may_reach(middle) {
            above = middle;
        } else {
            below = middle;
        }
    }
    below
}

/// Members as bits, by their place in `Covers::members`.
type Set = u32;

struct Covers<'a> {
    instance: &'a Instance<'a>,
    /// Those that are asked for: the farthest from the root.
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
    fn new(instance: &'a Instance<'a>, shortest: &[f64]) -> Self {
        let mut members: Vec<usize> = (1..instance.members).collect();
        members.sort_by(|&a, &b| shortest[b].total_cmp(&shortest[a]).then(a.cmp(&b)));
        members.truncate(MEMBERS_MAX);
        let nodes = instance.len();
        let mut covers = Self {
            instance,
            reach: Vec::new(),
            own: vec![0; nodes],
            rows: vec![OnceCell::new(); nodes],
            work: Cell::new(0),
            members,
        };
        for (bit, &member) in covers.members.iter().enumerate() {
            covers.own[member] = 1 << bit;
            let relays = |node: usize| node != 0 && instance.degree[node] >= 2;
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
            covers.reach.push(paths);
        }
        covers
    }

    /// Whether as far as this looks there may be a tree of height `height`.
    fn may_reach(&self, height: f64) -> bool {
        // Sums of a few 32-bit values.
        let height = height as f32 * (1.0 + ROUNDING);
        self.work.set(WORK_MAX);
        let all = Set::MAX >> (Set::BITS as usize - self.members.len());
        (1..=DEPTH).all(|depth| {
            let covers = self.children(0, height, depth);
            covers.unions(self.instance.degree[0], 0, all).0 == [all]
        })
    }

    /// The greatest sets that nodes at one link from `node` cover within `budget`.
    fn children(&self, node: usize, budget: f32, depth: u32) -> Antichain {
        let row = self.row(node);
        let mut sets: Vec<Set> = vec![0; row.len()];
        for (bit, reach) in self.reach.iter().enumerate() {
            for ((set, &link), &path) in sets.iter_mut().zip(row).zip(reach) {
                *set |= Set::from(link + path <= budget) << bit;
            }
        }
        (sets[0], sets[node]) = (0, 0);
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
                for set in self.within(child, budget - row[child], set, depth - 1).0 {
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
        self.children(node, budget, depth).unions(children, self.own[node], most)
    }

    /// Latencies of the links from `node`.
    fn row(&self, node: usize) -> &[f32] {
        self.rows[node]
            .get_or_init(|| (0..self.instance.len()).map(|to| link(self.instance, node, to) as f32).collect())
    }
}

/// Sets none of which contains another.
#[derive(Default)]
struct Antichain(Vec<Set>);

impl Antichain {
    fn contains(&self, set: Set) -> bool {
        self.0.iter().any(|other| set & !other == 0)
    }

    /// The greatest unions of up to `count` of the sets and `own`, as parts of `most`; `most` alone if they are too many.
    fn unions(&self, count: u32, own: Set, most: Set) -> Self {
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

/// Members that are asked for: of more than that, the farthest from the root are the ones that matter.
const MEMBERS_MAX: usize = 16;
/// Nodes up to which it is worth the time.
const NODES_MAX: usize = 3_000;
/// Links below the root at which covers are looked at.
const DEPTH: u32 = 3;
/// Sets that are told apart.
const SETS_MAX: usize = 256;
/// Nodes whose covers are looked at in detail for one height.
const WORK_MAX: usize = 500;
/// How closely the bound is sought, as a share of it; and how much more of the known one is thought possible.
const STEP_MIN: f64 = 0.000_2;
const RAISED_MAX: f64 = 2.0;
/// What 32-bit sums of three may be off by, and more.
const ROUNDING: f32 = 1e-6;
