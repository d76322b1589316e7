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
        let mut value = self.value(instance);
        loop {
            let mut children = vec![Vec::new(); self.parent.len()];
            for &node in &self.order[1..] {
                children[self.parent[node]].push(node);
            }
            let better =
                self.order.iter().copied().filter(|&node| instance.is_helper(node)).find_map(|helper| {
                    let without = self.bypassing(helper, &children[helper], instance)?;
                    (without.value(instance) <= value).then_some(without)
                });
            let Some(without) = better else { return self };
            self = without;
            value = self.value(instance);
        }
    }

    fn bypassing(&self, helper: usize, children: &[usize], instance: &Instance<'_>) -> Option<Self> {
        let parent = self.parent[helper];
        let mut without = self.clone();
        match children {
            [] => {}
            &[child] if instance.may_link(parent, child) => without.parent[child] = parent,
            _ => return None,
        }
        without.parent[helper] = NONE;
        without.order.retain(|&node| node != helper);
        Some(without)
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
