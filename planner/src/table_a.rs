//! Table A of the patent ([0084]): grow a tree from the root, each time absorbing the node of least height below its
//! closest possible parent. Section A, the dashed box, is a parameter: `amcast` leaves it empty, `critical` fills it.
//!
//! Each outside node keeps its best parent, which is looked up afresh only when that parent fills up; so a tree over
//! N nodes takes O(N^2) where the table as printed takes O(N^3). Slips of the table that are mended here:
//! `height(r) = inf` at re-adjustment means height(v); "free degree reduced to one" is d(p) = d_bound(p) - 1.
//!
//! Added to the table, because real sessions need it: nodes of degree one must not use up the last free slot while
//! others wait, and where pairs are forbidden a dead end is first repaired in place, then tried again with the nodes
//! that were stuck going first.

use crate::draft::{Draft, NONE};
use crate::instance::Instance;
use crate::plan_error::PlanError;

/// The dashed box: looks for helpers while the tree grows.
pub(crate) trait SectionA {
    /// The helper that shall come between `node` and its parent, whose free degree has come down to one.
    fn find_helper(&mut self, growth: &Growth<'_>, node: usize) -> Option<usize>;

    /// A way to an outside node that has no possible parent: a node with a free slot, then helpers, then that node.
    fn find_bridge(&mut self, growth: &Growth<'_>) -> Option<Vec<usize>>;
}

/// AMCast: no helpers.
pub(crate) struct NoHelpers;

impl SectionA for NoHelpers {
    fn find_helper(&mut self, _growth: &Growth<'_>, _node: usize) -> Option<usize> {
        None
    }

    fn find_bridge(&mut self, _growth: &Growth<'_>) -> Option<Vec<usize>> {
        None
    }
}

/// Runs Table A from `hub` (a local number) and hangs the result from the session's root.
pub(crate) fn grow(
    instance: &Instance<'_>,
    hub: usize,
    section_a: &mut dyn SectionA,
) -> Result<Draft, PlanError> {
    let mut urgency = vec![0; instance.len()];
    let attempts = if instance.forbids { ATTEMPTS_MAX } else { 1 };
    let mut failure = None;
    for _ in 0..attempts {
        let mut growth = Growth::new(instance, hub, &urgency);
        match growth.run(section_a) {
            Ok(()) => return Ok(Draft::hung_from_root(instance.len(), &growth.links())),
            Err(stuck) => {
                for &node in &stuck {
                    urgency[node] += 1;
                }
                failure.get_or_insert(PlanError::Stuck(instance.nodes[stuck[0]]));
            }
        }
    }
    Err(failure
        .expect("every attempt that does not return leaves a failure, and there is at least one attempt"))
}

/// A tree while it grows. All numbers are local to the instance.
pub(crate) struct Growth<'a> {
    pub(crate) instance: &'a Instance<'a>,
    /// In the tree, in order of absorption.
    pub(crate) inside: Vec<usize>,
    /// Members that are not in the tree yet.
    pub(crate) outside: Vec<usize>,
    /// Inside: the parent. Outside: the best possible parent, or `NONE`.
    pub(crate) parent: Vec<usize>,
    /// Inside: the height. Outside: the height below the best possible parent, or infinity.
    pub(crate) height: Vec<f64>,
    /// Free links of nodes in the tree; 0 outside.
    pub(crate) free: Vec<u32>,
    /// Sum of `free`.
    pub(crate) slots: u64,
    /// Helpers in the tree.
    pub(crate) helpers: usize,
    is_inside: Vec<bool>,
    /// Who goes before others, learnt from earlier attempts.
    urgency: &'a [u32],
}

impl<'a> Growth<'a> {
    fn new(instance: &'a Instance<'a>, hub: usize, urgency: &'a [u32]) -> Self {
        let nodes = instance.len();
        let mut growth = Self {
            instance,
            inside: Vec::with_capacity(nodes),
            outside: (0..instance.members).filter(|&node| node != hub).collect(),
            parent: vec![NONE; nodes],
            height: vec![f64::INFINITY; nodes],
            free: vec![0; nodes],
            slots: 0,
            helpers: 0,
            is_inside: vec![false; nodes],
            urgency,
        };
        growth.height[hub] = 0.0;
        growth.enter(hub, instance.degree[hub]);
        growth.offer(hub);
        growth
    }

    /// Absorbs every member; `Err` holds those that could not be.
    fn run(&mut self, section_a: &mut dyn SectionA) -> Result<(), Vec<usize>> {
        while !self.outside.is_empty() {
            let Some((node, keeps_open)) = self.next() else {
                if self.repair() {
                    continue;
                }
                let Some(bridge) = section_a.find_bridge(self) else { return Err(self.outside.clone()) };
                for link in bridge.windows(2) {
                    self.attach(link[1], link[0]);
                }
                continue;
            };
            let parent = self.parent[node];
            let helper = if self.free[parent] == 1 { section_a.find_helper(self, node) } else { None };
            match helper {
                Some(helper) => {
                    self.attach(helper, parent);
                    self.attach(node, helper);
                }
                None if keeps_open => self.attach(node, parent),
                None => {
                    if !self.repair() {
                        return Err(self.outside.clone());
                    }
                }
            }
        }
        Ok(())
    }

    /// The outside node to absorb next, and whether others can still follow once it is in. Nodes after which nobody
    /// could follow are taken only if there is no other.
    fn next(&self) -> Option<(usize, bool)> {
        let reachable = self.outside.iter().copied().filter(|&node| self.parent[node] != NONE);
        reachable.map(|node| (node, self.keeps_open(node))).min_by(|&(a, a_open), &(b, b_open)| {
            (b_open.cmp(&a_open))
                .then(self.urgency[b].cmp(&self.urgency[a]))
                .then(self.height[a].total_cmp(&self.height[b]))
        })
    }

    /// Whether a slot is left after absorbing `node`, or nobody needs one.
    fn keeps_open(&self, node: usize) -> bool {
        self.outside.len() == 1 || self.slots + u64::from(self.instance.degree[node]) > 2
    }

    /// Puts `node`, outside until now, below `parent`, which has a free link.
    fn attach(&mut self, node: usize, parent: usize) {
        debug_assert!(self.free[parent] > 0 && !self.is_inside[node] && self.instance.degree[node] > 0);
        self.parent[node] = parent;
        self.height[node] = self.height[parent] + self.instance.cost(parent, node);
        self.outside.retain(|&other| other != node);
        self.enter(node, self.instance.degree[node] - 1);
        self.free[parent] -= 1;
        self.slots -= 1;
        if self.free[parent] == 0 {
            self.readjust(parent);
        }
        self.offer(node);
    }

    fn enter(&mut self, node: usize, free: u32) {
        self.inside.push(node);
        self.is_inside[node] = true;
        self.free[node] = free;
        self.slots += u64::from(free);
        self.helpers += usize::from(self.instance.is_helper(node));
    }

    /// Lets every outside node consider `node` as its parent.
    fn offer(&mut self, node: usize) {
        if self.free[node] == 0 {
            return;
        }
        let (above, costs) = (self.height[node], self.instance.costs(node));
        for &other in &self.outside {
            let height = above + f64::from(costs[other]);
            if height < self.height[other] {
                self.height[other] = height;
                self.parent[other] = node;
            }
        }
    }

    /// `full` has no free link any more: those who had chosen it look for the next best.
    fn readjust(&mut self, full: usize) {
        for at in 0..self.outside.len() {
            let node = self.outside[at];
            if self.parent[node] == full {
                self.choose_parent(node);
            }
        }
    }

    fn choose_parent(&mut self, node: usize) {
        let (mut best, mut parent) = (f64::INFINITY, NONE);
        for &candidate in &self.inside {
            if self.free[candidate] > 0 {
                let height = self.height[candidate] + self.instance.cost(candidate, node);
                if height < best {
                    (best, parent) = (height, candidate);
                }
            }
        }
        self.height[node] = best;
        self.parent[node] = parent;
    }

    pub(crate) fn is_inside(&self, node: usize) -> bool {
        self.is_inside[node]
    }

    fn links(&self) -> Vec<(usize, usize)> {
        self.inside[1..].iter().map(|&node| (self.parent[node], node)).collect()
    }

    /// Brings in one outside node that has no possible parent by changing the tree: between a node and its parent,
    /// or in the place of a node that can hang elsewhere. Says whether it could.
    fn repair(&mut self) -> bool {
        let best = (self.outside.iter().copied())
            .filter(|&node| self.instance.degree[node] > 0 && self.keeps_open(node))
            .flat_map(|node| self.inside[1..].iter().map(move |&below| (node, below)))
            .filter_map(|(node, below)| self.repair_at(node, below))
            .min_by(|a, b| a.height.total_cmp(&b.height));
        let Some(Repair { node, below, elsewhere, .. }) = best else { return false };
        let above = self.parent[below];
        self.parent[node] = above;
        self.enter(node, self.instance.degree[node] - 1);
        let new_parent = elsewhere.unwrap_or(node);
        self.parent[below] = new_parent;
        self.free[new_parent] -= 1;
        self.slots -= 1;
        self.outside.retain(|&other| other != node);
        self.remeasure();
        true
    }

    /// What it takes to give `below`'s place to `node`, if that is possible.
    fn repair_at(&self, node: usize, below: usize) -> Option<Repair> {
        let above = self.parent[below];
        if !self.instance.may_link(above, node) {
            return None;
        }
        let at_node = self.height[above] + self.instance.cost(above, node);
        let between = (self.instance.degree[node] >= 2 && self.instance.may_link(node, below))
            .then(|| (None, at_node + self.instance.cost(node, below)));
        let elsewhere = (self.inside.iter().copied())
            .filter(|&other| self.free[other] > 0 && self.instance.may_link(other, below))
            .filter(|&other| !self.is_below(other, below))
            .map(|other| (Some(other), self.height[other] + self.instance.cost(other, below)));
        between
            .into_iter()
            .chain(elsewhere)
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(elsewhere, height)| Repair { node, below, elsewhere, height: height.max(at_node) })
    }

    /// Whether `node` is `top` or hangs below it.
    fn is_below(&self, mut node: usize, top: usize) -> bool {
        while node != NONE {
            if node == top {
                return true;
            }
            node = self.parent[node];
        }
        false
    }

    /// Computes every height and every best parent afresh, and puts parents before children.
    fn remeasure(&mut self) {
        let draft_root = self.inside[0];
        let mut children = vec![Vec::new(); self.instance.len()];
        for &node in &self.inside[1..] {
            children[self.parent[node]].push(node);
        }
        let mut order = vec![draft_root];
        let mut at = 0;
        while at < order.len() {
            let node = order[at];
            for &child in &children[node] {
                self.height[child] = self.height[node] + self.instance.cost(node, child);
                order.push(child);
            }
            at += 1;
        }
        debug_assert_eq!(order.len(), self.inside.len(), "a repair keeps the tree in one piece");
        self.inside = order;
        for at in 0..self.outside.len() {
            self.choose_parent(self.outside[at]);
        }
    }
}

/// A way to bring in a stuck node: it takes the place of `below`, which then hangs below `elsewhere`, or below the node
/// itself.
struct Repair {
    node: usize,
    below: usize,
    elsewhere: Option<usize>,
    /// Largest new height among the two.
    height: f64,
}

/// How often growth starts over after a dead end, each time with those who were stuck going first. A guess: what a
/// handful of orders cannot connect, repairs could not either.
const ATTEMPTS_MAX: usize = 16;
