//! A tree in the making, on the local numbers of an `Instance`: who hangs below whom, and what that comes to.

use crate::instance::Instance;
use crate::names::Objective;
use crate::plan::{Plan, Tree};
use crate::units::OneWay;

/// Stands for "no parent".
pub(crate) const NONE: usize = usize::MAX;

/// A finished tree below the root, node 0, with every parent before its children in `order`.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) parent: Vec<usize>,
    pub(crate) order: Vec<usize>,
}

impl Draft {
    /// Hangs the undirected links from node 0. The links are a tree; nodes that they do not touch stay out.
    pub(crate) fn hung_from_root(nodes: usize, links: &[(usize, usize)]) -> Self {
        let mut beside = vec![Vec::new(); nodes];
        for &(a, b) in links {
            beside[a].push(b);
            beside[b].push(a);
        }
        let mut draft = Self { parent: vec![NONE; nodes], order: vec![0] };
        let mut at = 0;
        while at < draft.order.len() {
            let node = draft.order[at];
            for &next in &beside[node] {
                if next != draft.parent[node] {
                    draft.parent[next] = node;
                    draft.order.push(next);
                }
            }
            at += 1;
        }
        draft
    }

    pub(crate) fn helpers(&self, instance: &Instance<'_>) -> usize {
        self.order.iter().filter(|&&node| instance.is_helper(node)).count()
    }

    /// What the objective comes to, hop costs included.
    pub(crate) fn value(&self, instance: &Instance<'_>) -> f64 {
        let (height, diameter) = self.measure(instance, |a, b| instance.cost(a, b));
        if instance.problem.objective == Objective::Height { height } else { diameter }
    }

    /// Height and diameter over members under `cost`, in one pass from the leaves up.
    fn measure(&self, instance: &Instance<'_>, cost: impl Fn(usize, usize) -> f64) -> (f64, f64) {
        // Per node: the farthest member below it, going down and coming up. Helpers do not count as ends.
        let end = |node: usize| if instance.is_helper(node) { f64::NEG_INFINITY } else { 0.0 };
        let mut down: Vec<f64> = (0..self.parent.len()).map(end).collect();
        let mut up = down.clone();
        let mut diameter: f64 = 0.0;
        for &node in self.order[1..].iter().rev() {
            let parent = self.parent[node];
            let to = down[node] + cost(parent, node);
            let from = up[node] + cost(node, parent);
            diameter = diameter.max(from + down[parent]).max(up[parent] + to);
            down[parent] = down[parent].max(to);
            up[parent] = up[parent].max(from);
        }
        (down[0], diameter)
    }

    /// Takes out helpers that bring nothing: leaves, and those with one child where the direct link is no worse.
    pub(crate) fn without_idle_helpers(mut self, instance: &Instance<'_>) -> Self {
        if self.helpers(instance) == 0 {
            return self;
        }
        let mut value = self.value(instance);
        // Children of each node: how many, and the last of them.
        let mut children = vec![(0_u32, NONE); self.parent.len()];
        for &node in &self.order[1..] {
            let parent = &mut children[self.parent[node]];
            *parent = (parent.0 + 1, node);
        }
        'again: loop {
            for at in 1..self.order.len() {
                let helper = self.order[at];
                if !instance.is_helper(helper) || children[helper].0 > 1 {
                    continue;
                }
                let parent = self.parent[helper];
                let child = children[helper].1;
                if child != NONE && !instance.may_link(parent, child) {
                    continue;
                }
                self.order.remove(at);
                self.parent[helper] = NONE;
                if child != NONE {
                    self.parent[child] = parent;
                }
                let without = self.value(instance);
                if without <= value {
                    value = without;
                    if child == NONE {
                        children[parent].0 -= 1;
                        let last = self.order.iter().copied().find(|&node| self.parent[node] == parent);
                        children[parent].1 = last.unwrap_or(NONE);
                    } else {
                        children[parent].1 = child;
                    }
                    continue 'again;
                }
                self.order.insert(at, helper);
                self.parent[helper] = parent;
                if child != NONE {
                    self.parent[child] = helper;
                }
            }
            return self;
        }
    }

    /// The plan, in the problem's numbers and judged on latency alone.
    pub(crate) fn into_plan(self, instance: &Instance<'_>) -> Plan {
        let problem = instance.problem;
        let (height, diameter) = self.measure(instance, |a, b| instance.latency(a, b));
        let mut helpers: Vec<_> =
            self.order.iter().filter(|&&node| instance.is_helper(node)).map(|&h| instance.nodes[h]).collect();
        helpers.sort_unstable();
        let edges = self.order[1..]
            .iter()
            .map(|&node| (instance.nodes[self.parent[node]], instance.nodes[node]))
            .collect();
        let sources = match problem.objective {
            Objective::Height => vec![problem.root()],
            Objective::Diameter | Objective::Forest => problem.members.clone(),
        };
        Plan {
            objective: problem.objective,
            root: problem.root(),
            members: problem.members.clone(),
            helpers,
            trees: vec![Tree { sources, edges }],
            height: OneWay::from_sum(height),
            diameter: OneWay::from_sum(diameter),
        }
    }
}
