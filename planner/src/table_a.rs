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

    /// Whether the best possible parents of outside nodes are looked at.
    fn looks_at_parents(&self) -> bool {
        true
    }
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

    fn looks_at_parents(&self) -> bool {
        false
    }
}

/// Runs Table A from `hub` (a local number), starting over after dead ends up to `attempts` times in all, and hangs the
/// result from the session's root.
pub(crate) fn grow(
    instance: &Instance<'_>,
    hub: usize,
    attempts: usize,
    section_a: &mut dyn SectionA,
) -> Result<Draft, PlanError> {
    let mut urgency = Vec::new();
    let attempts = if instance.forbids { attempts } else { attempts.min(2) };
    let mut failure = None;
    for attempt in 0..attempts {
        // Every other attempt keeps its helpers for where there is no way without one.
        let mut growth = Growth::new(instance, hub, &urgency, attempt % 2 == 1);
        growth.readjusts_late = !section_a.looks_at_parents();
        match growth.run(section_a) {
            Ok(()) => return Ok(Draft::hung_from_root(instance.len(), &growth.links())),
            Err(stuck) => {
                urgency.resize(instance.len(), 0);
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
    /// Inside: the parent. Outside: the best possible parent, or `NONE`; or one that has filled up since (`readjusts_late`).
    pub(crate) parent: Vec<usize>,
    /// Inside: the height. Outside: the height below that parent, or infinity.
    pub(crate) height: Vec<f64>,
    /// Free links of nodes in the tree; 0 outside.
    pub(crate) free: Vec<u32>,
    /// Sum of `free`.
    pub(crate) slots: u64,
    /// Helpers in the tree.
    pub(crate) helpers: usize,
    is_inside: Vec<bool>,
    /// Who goes before others, learnt from earlier attempts; nothing at the first.
    urgency: &'a [u32],
    /// Whether helpers join only where nobody could follow without one.
    sparing: bool,
    /// Whether a node whose parent has filled up looks for another only when it comes up next: until then its height is
    /// less than it will be, which is all that the others need to know.
    readjusts_late: bool,
}

impl<'a> Growth<'a> {
    fn new(instance: &'a Instance<'a>, hub: usize, urgency: &'a [u32], sparing: bool) -> Self {
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
            sparing,
            readjusts_late: false,
        };
        growth.height[hub] = 0.0;
        growth.enter(hub, instance.degree[hub]);
        growth.offer(hub);
        growth
    }

    /// Absorbs every member; `Err` holds those that could not be.
    fn run(&mut self, section_a: &mut dyn SectionA) -> Result<(), Vec<usize>> {
        while !self.outside.is_empty() {
            if let Some((node, keeps_open)) = self.next() {
                let parent = self.parent[node];
                let critical = self.free[parent] == 1 && !(self.sparing && keeps_open);
                if let Some(helper) = critical.then(|| section_a.find_helper(self, node)).flatten() {
                    self.attach(helper, parent);
                    self.attach(node, helper);
                    continue;
                }
                if keeps_open {
                    self.attach(node, parent);
                    continue;
                }
            }
            if self.repair() {
                continue;
            }
            let Some(bridge) = section_a.find_bridge(self) else { return Err(self.outside.clone()) };
            for link in bridge.windows(2) {
                self.attach(link[1], link[0]);
            }
        }
        Ok(())
    }

    /// The outside node to absorb next, and whether others can still follow once it is in. Nodes after which nobody
    /// could follow are taken only if there is no other.
    fn next(&mut self) -> Option<(usize, bool)> {
        loop {
            let next = self.least();
            match next {
                Some((node, _)) if self.free[self.parent[node]] == 0 => self.choose_parent(node),
                _ => return next,
            }
        }
    }

    /// The next one, if its parent has not filled up.
    fn least(&self) -> Option<(usize, bool)> {
        if self.slots >= 2 && self.urgency.is_empty() {
            // Any node leaves a slot.
            let mut least = (f64::INFINITY, NONE);
            for &node in &self.outside {
                if self.height[node] < least.0 {
                    least = (self.height[node], node);
                }
            }
            return (least.1 != NONE).then_some((least.1, true));
        }
        let urgency = |node: usize| self.urgency.get(node).copied().unwrap_or(0);
        let reachable = self.outside.iter().copied().filter(|&node| self.parent[node] != NONE);
        reachable.map(|node| (node, self.keeps_open(node))).min_by(|&(a, a_open), &(b, b_open)| {
            (b_open.cmp(&a_open))
                .then(urgency(b).cmp(&urgency(a)))
                .then(self.height[a].total_cmp(&self.height[b]))
        })
    }

    /// Whether a slot is left after absorbing `node`, or nobody needs one.
    pub(crate) fn keeps_open(&self, node: usize) -> bool {
        self.outside.len() == 1 || self.slots + u64::from(self.instance.degree[node]) > 2
    }

    /// Puts `node`, outside until now, below `parent`, which has a free link.
    fn attach(&mut self, node: usize, parent: usize) {
        debug_assert!(self.free[parent] > 0 && !self.is_inside[node] && self.instance.degree[node] > 0);
        self.parent[node] = parent;
        self.height[node] = self.height[parent] + self.instance.cost(parent, node);
        if let Some(at) = self.outside.iter().position(|&other| other == node) {
            self.outside.remove(at);
        }
        self.enter(node, self.instance.degree[node] - 1);
        self.free[parent] -= 1;
        self.slots -= 1;
        if self.free[parent] == 0 && !self.readjusts_late {
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
        let back = self.instance.costs_back(node);
        for &candidate in &self.inside {
            if self.free[candidate] > 0 {
                let cost =
                    back.map_or_else(|| self.instance.cost(candidate, node), |row| f64::from(row[candidate]));
                let height = self.height[candidate] + cost;
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

    /// Brings in one outside node that has no possible parent by changing the tree (`Repair`). Says whether it could.
    fn repair(&mut self) -> bool {
        let mut candidates = self.outside.clone();
        candidates.retain(|&node| self.keeps_open(node));
        let best = candidates.chunks(REPAIRS_COMPARED).find_map(|nodes| self.least_repair(nodes));
        let Some((_, node, below, repair)) = best else { return false };
        let above = self.parent[below];
        self.enter(node, self.instance.degree[node] - 1);
        self.outside.retain(|&other| other != node);
        let taken = match repair {
            Repair::Between => {
                self.parent[node] = above;
                self.parent[below] = node;
                node
            }
            Repair::Elsewhere(free) => {
                self.parent[node] = above;
                self.parent[below] = free;
                free
            }
            Repair::Turned(free) => {
                let (mut at, mut parent) = (free, above);
                while parent != below {
                    let next = self.parent[at];
                    self.parent[at] = parent;
                    (parent, at) = (at, next);
                }
                self.parent[node] = below;
                free
            }
        };
        self.free[taken] -= 1;
        self.slots -= 1;
        self.remeasure();
        true
    }

    /// The repair that brings in one of `nodes` with about the least height: (height, node, below, repair).
    fn least_repair(&self, nodes: &[usize]) -> Option<(f64, usize, usize, Repair)> {
        let cost = |a, b| self.instance.cost(a, b);
        let mut best: Option<(f64, usize, usize, Repair)> = None;
        let mut consider = |height: f64, node, below, repair| {
            if height < best.map_or(f64::INFINITY, |(least, ..)| least) {
                best = Some((height, node, below, repair));
            }
        };
        let with_free: Vec<usize> = self.inside.iter().copied().filter(|&node| self.free[node] > 0).collect();
        for &below in &self.inside[1..] {
            let above = self.parent[below];
            let subtree = self.subtree(below);
            for &node in nodes {
                let here = self.height[above] + cost(above, node);
                if self.instance.degree[node] >= 2 {
                    consider(here + cost(node, below), node, below, Repair::Between);
                }
                for &free in &with_free {
                    if subtree[free] {
                        let turned =
                            self.height[above] + cost(above, free) + self.height[free] - self.height[below];
                        consider(turned + cost(below, node), node, below, Repair::Turned(free));
                    } else {
                        let moved = self.height[free] + cost(free, below);
                        consider(here.max(moved), node, below, Repair::Elsewhere(free));
                    }
                }
            }
        }
        best
    }

    /// Which nodes are `top` or hang below it.
    fn subtree(&self, top: usize) -> Vec<bool> {
        let mut within = vec![false; self.instance.len()];
        within[top] = true;
        for &node in &self.inside[1..] {
            // Parents stand before their children.
            within[node] |= within[self.parent[node]];
        }
        within
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

/// A way to bring in a node that may not talk to whoever has a free link, at the link between a node `below` and its
/// parent. Forbidden links cost infinity, so that a repair of finite height is a possible one.
#[derive(Clone, Copy, Debug)]
enum Repair {
    /// The node comes between the two.
    Between,
    /// The node takes the place of `below`, which moves to this node with a free link.
    Elsewhere(usize),
    /// The subtree of `below` hangs from this node in it, which has a free link, and the node hangs from `below`.
    Turned(usize),
}

/// How often growth starts over after a dead end, each time with those who were stuck going first. A guess: what a
/// handful of orders cannot connect, repairs could not either.
pub(crate) const ATTEMPTS_MAX: usize = 16;
/// Stuck nodes whose repairs are held against each other; the next ones are looked at only if none can be repaired.
const REPAIRS_COMPARED: usize = 8;
