//! SplitStream: Castro, Druschel, Kermarrec, Nandi, Rowstron, Singh, "SplitStream: high-bandwidth multicast in
//! cooperative environments", SOSP 2003. The stream is cut into stripes, each with a tree of its own, and every node is
//! interior in one of them at most, so that the load is shared and one failure costs one stripe.
//!
//! Here: two stripes. A random id, drawn from the seed, says which stripe a member relays; the longer the prefix that it
//! shares with the stripe's key, the sooner it joins that stripe's tree, and the nearer to the root it ends up.
//! Each takes the nearest parent with a free link. The root is the source and sends both stripes. A plan has both
//! trees, and its height and diameter are those of the worse one, as a stream needs all of its stripes.
//!
//! Degrees: a link of a stripe carries half of the stream and counts half, so that a node of degree d has 2 d of them.
//! Simplified: a joiner knows everybody's free links, where SplitStream pushes it down from the top or searches its
//! "spare capacity group". As there, a node becomes interior in both trees when nobody else has a link left; what even
//! then is too much is in `degree_excess`.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::generator;
use super::joining::links;
use crate::draft::{Draft, NONE};
use crate::instance::Instance;
use crate::names::Algorithm;
use crate::plan::Plan;
use crate::plan_error::PlanError;
use crate::problem::Problem;
use crate::units::OneWay;

pub(super) fn plan(problem: &Problem) -> Result<Plan, PlanError> {
    let instance = Instance::without_helpers(problem);
    let mut rng = generator(&instance, Algorithm::Splitstream);
    let mut pair = Pair::new(&instance, &mut rng);
    let first = pair.grow(0)?.into_plan(&instance);
    let second = pair.grow(1)?.into_plan(&instance);
    let larger = |a: OneWay, b: OneWay| if a > b { a } else { b };
    Ok(Plan {
        height: larger(first.height, second.height),
        diameter: larger(first.diameter, second.diameter),
        trees: first.trees.into_iter().chain(second.trees).collect(),
        ..second
    })
}

struct Pair<'a> {
    instance: &'a Instance<'a>,
    /// Which stripe a member relays.
    stripe: Vec<usize>,
    /// Members but the root, those first that share the longest prefix with their stripe's key.
    by_prefix: Vec<usize>,
    /// Half links that each member can still give to children.
    free: Vec<i64>,
}

impl<'a> Pair<'a> {
    fn new(instance: &'a Instance<'a>, rng: &mut impl Rng) -> Self {
        let members = instance.members;
        let ids: Vec<u64> = (0..members).map(|_| rng.random()).collect();
        let keys: [u64; 2] = [rng.random::<u64>() >> 1, rng.random::<u64>() | 1 << 63];
        let stripe: Vec<usize> = ids.iter().map(|id| (id >> 63) as usize).collect();
        let mut by_prefix: Vec<usize> = (1..members).collect();
        by_prefix.shuffle(rng);
        by_prefix.sort_by_key(|&node| (ids[node] ^ keys[stripe[node]]).leading_zeros() / DIGIT_BITS);
        by_prefix.reverse();
        // Both parent links are set aside.
        let parents = |node: usize| if node == 0 { 0 } else { 2 };
        let free = (0..members).map(|node| 2 * i64::from(instance.degree[node]) - parents(node)).collect();
        Self { instance, stripe, by_prefix, free }
    }

    fn grow(&mut self, stripe: usize) -> Result<Draft, PlanError> {
        let instance = self.instance;
        let mut parent = vec![NONE; instance.members];
        let mut inside = vec![0];
        // The root keeps half of its links for the other stripe.
        let kept = if stripe == 0 { i64::from(instance.degree[0]) } else { 0 };
        let relays = |node: usize| self.stripe[node] == stripe && self.free[node] > 0;
        let (relays, leaves): (Vec<_>, Vec<_>) = self.by_prefix.iter().partition(|&&node| relays(node));
        for node in relays.into_iter().chain(leaves) {
            let above =
                self.parent_for(node, stripe, kept, &inside).ok_or(PlanError::Stuck(instance.nodes[node]))?;
            parent[node] = above;
            self.free[above] -= 1;
            inside.push(node);
        }
        Ok(Draft::hung_from_root(instance.len(), &links(&inside, &parent)))
    }

    /// The nearest node of the stripe with a free link; else of any stripe; else whoever is the least overloaded.
    fn parent_for(&self, node: usize, stripe: usize, kept: i64, inside: &[usize]) -> Option<usize> {
        let linked = || inside.iter().copied().filter(|&parent| self.instance.may_link(parent, node));
        let free = |parent: usize| self.free[parent] - if parent == 0 { kept } else { 0 };
        let cost = |parent: usize| self.instance.cost(parent, node);
        let nearest = |candidates: &mut dyn Iterator<Item = usize>| {
            candidates.min_by(|&a, &b| cost(a).total_cmp(&cost(b)))
        };
        let of_stripe = |parent: usize| parent == 0 || self.stripe[parent] == stripe;
        nearest(&mut linked().filter(|&parent| free(parent) > 0 && of_stripe(parent)))
            .or_else(|| nearest(&mut linked().filter(|&parent| free(parent) > 0)))
            .or_else(|| linked().max_by_key(|&parent| self.free[parent]))
    }
}

/// As Pastry's.
const DIGIT_BITS: u32 = 4;
