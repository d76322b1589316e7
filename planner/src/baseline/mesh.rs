//! A mesh that its members improve, and trees along its routes: what Narada and its conferencing successor share.
//!
//! Every member keeps links to a few others and knows the route over the mesh to everybody. Now and then it probes a
//! random other member and adds a link to it if the routes gain enough by it: the utility of a link is the sum of the
//! relative gains over all members. Data flows from a source along the reverse of everybody's best route to it, as with
//! DVMRP. A mesh that keeps the degree bounds has only trees that do.
//!
//! Simplified: members act in rounds, in random order, on routes that are up to date. A link is given up only where one
//! of its ends is full and shall have a better one: the end's link that the fewest routes use, the same "consensus
//! cost" as published, as long as the mesh stays in one piece and the change gains on the whole. So that there is a
//! mesh under any bounds it begins as a random tree, to which each member adds links up to `FIRST_LINKS`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::joining::{Joining, links};
use super::least;
use crate::draft::{Draft, NONE};
use crate::instance::Instance;
use crate::names::Objective;
use crate::plan_error::PlanError;

/// What makes one route better than another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    /// Less latency.
    Latency,
    /// More bandwidth at its narrowest link; between equals, less latency.
    BandwidthThenLatency,
}

/// A route to where routes are asked for: its next hop, and how good it is.
#[derive(Clone, Copy, Debug)]
struct Route {
    next: usize,
    width: u32,
    latency: f64,
}

/// The tree of the objective over a mesh made under `metric`.
pub(super) fn draft(instance: &Instance<'_>, metric: Metric, mut rng: StdRng) -> Result<Draft, PlanError> {
    let mut mesh = Mesh::random(instance, metric, &mut rng)?;
    for _ in 0..ROUNDS {
        if !mesh.improve(&mut rng) {
            break;
        }
    }
    let sources = match instance.problem.objective() {
        Objective::Height | Objective::Forest => 0..1,
        Objective::Diameter => 0..instance.members,
    };
    // For a shared tree, the source whose own tree serves all others best.
    let trees = sources.map(|source| mesh.tree_of(source));
    Ok(least(trees, instance).expect("there is at least one source"))
}

struct Mesh<'a> {
    instance: &'a Instance<'a>,
    metric: Metric,
    beside: Vec<Vec<usize>>,
}

impl<'a> Mesh<'a> {
    fn random(instance: &'a Instance<'a>, metric: Metric, rng: &mut impl Rng) -> Result<Self, PlanError> {
        let mut tree = Joining::new(instance)?;
        tree.outside.shuffle(rng);
        while !tree.outside.is_empty() {
            let node = tree.next()?;
            let open: Vec<usize> = tree.open_to(node).collect();
            tree.attach(node, open[rng.random_range(0..open.len())]);
        }
        let mut mesh = Self { instance, metric, beside: vec![Vec::new(); instance.len()] };
        for (a, b) in links(&tree.inside, &tree.parent) {
            mesh.add(a, b);
        }
        for node in 0..instance.members {
            for _ in 0..FIRST_LINKS {
                let other = rng.random_range(0..instance.members);
                if mesh.beside[node].len() < FIRST_LINKS && mesh.is_free(node) && mesh.is_free(other) {
                    mesh.add_if_new(node, other);
                }
            }
        }
        Ok(mesh)
    }

    /// Lets every member probe one other; says whether the mesh changed.
    fn improve(&mut self, rng: &mut impl Rng) -> bool {
        let members = self.instance.members;
        let mut order: Vec<usize> = (0..members).collect();
        order.shuffle(rng);
        let mut changed = false;
        for node in order {
            for _ in 0..PROBES {
                let other = rng.random_range(0..members);
                if other != node && !self.beside[node].contains(&other) && self.instance.may_link(node, other)
                {
                    changed |= self.consider(node, other);
                }
            }
        }
        changed
    }

    /// Adds the link, in place of others where an end is full, if that is useful enough to both ends.
    fn consider(&mut self, a: usize, b: usize) -> bool {
        let before = [self.routes(a), self.routes(b)];
        let saved = [self.beside[a].clone(), self.beside[b].clone()];
        let mut dropped = Vec::new();
        for (end, routes) in [a, b].into_iter().zip(&before) {
            if !self.is_free(end) {
                let Some(least) = self.least_used(end, routes) else { continue };
                self.remove(end, least);
                dropped.push((end, least));
            }
        }
        let fits = self.is_free(a) && self.is_free(b);
        if fits {
            self.add(a, b);
            let gain: f64 =
                [a, b].into_iter().zip(&before).map(|(end, old)| self.gain(old, &self.routes(end))).sum();
            if gain > 2.0 * ADD_THRESHOLD * self.instance.members as f64 {
                return true;
            }
        }
        for (end, other) in dropped {
            self.beside[other].push(end);
            self.beside[other].sort_unstable();
        }
        if fits {
            self.remove(a, b);
        }
        [self.beside[a], self.beside[b]] = saved;
        false
    }

    /// What all routes together gain, each at most 1; without bound if somebody cannot be reached any more.
    fn gain(&self, old: &[Route], new: &[Route]) -> f64 {
        let gain = |(old, new): (&Route, &Route)| {
            if !new.latency.is_finite() {
                return f64::NEG_INFINITY;
            }
            match new.width.cmp(&old.width) {
                std::cmp::Ordering::Less => -1.0,
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal if old.latency > 0.0 => (old.latency - new.latency) / old.latency,
                std::cmp::Ordering::Equal => 0.0,
            }
        };
        old[..self.instance.members].iter().zip(new).map(gain).sum()
    }

    /// The neighbour of `node` over which the fewest routes between the two go, either way.
    fn least_used(&self, node: usize, routes: &[Route]) -> Option<usize> {
        let used = |routes: &[Route], from: usize, over: usize| {
            // Routes lead to where they were asked from: count who comes in over that neighbour.
            let mut inside = vec![false; routes.len()];
            inside[over] = true;
            let mut count = 1_usize;
            loop {
                let before = count;
                for at in 0..self.instance.members {
                    let next = routes[at].next;
                    if !inside[at] && at != from && next != NONE && inside[next] {
                        inside[at] = true;
                        count += 1;
                    }
                }
                if count == before {
                    return count;
                }
            }
        };
        self.beside[node]
            .iter()
            .copied()
            .min_by_key(|&other| if routes[other].next == node { used(routes, node, other) } else { 0 })
    }

    /// Everybody's best route to `to`, by node.
    fn routes(&self, to: usize) -> Vec<Route> {
        self.tree_towards(to).0
    }

    fn tree_towards(&self, to: usize) -> (Vec<Route>, Vec<usize>) {
        let mut routes = vec![Route { next: NONE, width: 0, latency: f64::INFINITY }; self.instance.len()];
        routes[to] = Route { next: NONE, width: u32::MAX, latency: 0.0 };
        // Latencies are not negative, so that their bits order as they do.
        let mut open = BinaryHeap::from([(u32::MAX, Reverse(0_u64), Reverse(to))]);
        let mut order = Vec::new();
        let mut done = vec![false; self.instance.len()];
        while let Some((_, _, Reverse(node))) = open.pop() {
            if std::mem::replace(&mut done[node], true) {
                continue;
            }
            order.push(node);
            for &other in self.beside[node].iter().filter(|&&other| !done[other]) {
                let width = routes[node].width.min(self.width(node, other));
                let latency = routes[node].latency + self.instance.cost(other, node);
                let old = routes[other];
                if width > old.width || (width == old.width && latency < old.latency) {
                    routes[other] = Route { next: node, width, latency };
                    open.push((width, Reverse(latency.to_bits()), Reverse(other)));
                }
            }
        }
        (routes, order)
    }

    /// The tree from `source` along the reverse of all routes to it, hung from the root.
    fn tree_of(&self, source: usize) -> Draft {
        let (routes, order) = self.tree_towards(source);
        let links: Vec<_> = order[1..].iter().map(|&node| (routes[node].next, node)).collect();
        Draft::hung_from_root(self.instance.len(), &links)
    }

    /// The bandwidth of a link in powers of two, as its narrower end has it; all alike where it does not matter.
    fn width(&self, a: usize, b: usize) -> u32 {
        match self.metric {
            Metric::Latency => 1,
            Metric::BandwidthThenLatency => {
                1 + self.instance.degree[a].min(self.instance.degree[b]).max(1).ilog2()
            }
        }
    }

    fn is_free(&self, node: usize) -> bool {
        self.beside[node].len() < self.instance.degree[node] as usize
    }

    fn add_if_new(&mut self, a: usize, b: usize) {
        if a != b && !self.beside[a].contains(&b) && self.instance.may_link(a, b) {
            self.add(a, b);
        }
    }

    fn add(&mut self, a: usize, b: usize) {
        for (one, other) in [(a, b), (b, a)] {
            self.beside[one].push(other);
            self.beside[one].sort_unstable();
        }
    }

    fn remove(&mut self, a: usize, b: usize) {
        self.beside[a].retain(|&other| other != b);
        self.beside[b].retain(|&other| other != a);
    }
}

/// Links that a member asks for when it joins.
const FIRST_LINKS: usize = 3;
/// Probes of each member in a round.
const PROBES: usize = 2;
/// Rounds after which the mesh is taken as it is, if it has not come to rest before.
const ROUNDS: usize = 24;
/// What a link must gain, as a share of the members.
const ADD_THRESHOLD: f64 = 0.01;
