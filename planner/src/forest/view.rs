//! The part of an instance that a forest is planned on: all members, and the helpers that look most useful. Every tree
//! keeps an entry for every node, so that hundreds of helpers that nobody will use would only cost time.

use std::collections::BTreeMap;

use crate::instance::Instance;

/// Members first, then the chosen helpers. Node numbers are those of the view; `nodes` maps them to the instance's.
#[derive(Debug)]
pub(super) struct View {
    pub(super) nodes: Vec<usize>,
    pub(super) members: usize,
    /// Copies that each node may send for any K sources.
    pub(super) budget: Vec<u32>,
    pub(super) degree: Vec<u32>,
    pub(super) speakers: u32,
    pub(super) helpers_max: usize,
    /// 2 where trees protect each other, 1 elsewhere.
    pub(super) trees_each: usize,
    /// Whether no member may hang from the source in both trees.
    pub(super) apart: bool,
    /// Who else is in a node's fault domain.
    fellows: Vec<Vec<u32>>,
    cost: Vec<f64>,
    near: Vec<u32>,
    near_count: usize,
}

impl View {
    /// All members and up to `HELPERS_SEEN` helpers, beside those in `kept`.
    pub(super) fn new(instance: &Instance<'_>, kept: &[usize]) -> Self {
        let helpers_max = instance.helpers_max;
        let mut nodes: Vec<usize> = (0..instance.members).collect();
        if helpers_max > 0 {
            let mut helpers = useful_helpers(instance);
            helpers.extend_from_slice(kept);
            helpers.sort_unstable();
            helpers.dedup();
            nodes.extend(helpers);
        }
        let speakers = instance.problem.speakers;
        let degree: Vec<u32> = nodes.iter().map(|&node| instance.degree[node]).collect();
        let budget = degree.iter().map(|degree| degree.saturating_mul(speakers)).collect();
        let cost = nodes.iter().flat_map(|&a| nodes.iter().map(move |&b| instance.cost(a, b))).collect();
        let mut view = Self {
            members: instance.members,
            budget,
            degree,
            speakers,
            helpers_max,
            trees_each: 1 + usize::from(instance.problem.protect),
            apart: instance.problem.protect,
            fellows: fellows(instance, &nodes),
            cost,
            near: Vec::new(),
            near_count: NEAR.min(nodes.len() - 1),
            nodes,
        };
        view.fill_near();
        view
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn trees(&self) -> usize {
        self.members * self.trees_each
    }

    /// The source of a tree: second trees come after all the first, in the same order.
    #[inline]
    pub(super) fn source(&self, tree: u32) -> u32 {
        let members = self.members as u32;
        if tree >= members { tree - members } else { tree }
    }

    /// The other tree of the same source.
    #[inline]
    pub(super) fn twin(&self, tree: u32) -> Option<u32> {
        let members = self.members as u32;
        let other = || if tree >= members { tree - members } else { tree + members };
        (self.trees_each == 2).then(other)
    }

    /// Who fails with `node`.
    #[inline]
    pub(super) fn fellows(&self, node: u32) -> &[u32] {
        &self.fellows[node as usize]
    }

    #[inline]
    pub(super) fn is_helper(&self, node: u32) -> bool {
        node as usize >= self.members
    }

    /// Cost of the link, infinite if it cannot exist.
    #[inline]
    pub(super) fn cost(&self, from: u32, to: u32) -> f64 {
        self.cost[from as usize * self.nodes.len() + to as usize]
    }

    /// Nodes that reach `node` soonest.
    #[inline]
    pub(super) fn near(&self, node: u32) -> &[u32] {
        &self.near[node as usize * self.near_count..][..self.near_count]
    }

    fn fill_near(&mut self) {
        for node in 0..self.len() as u32 {
            let mut others: Vec<u32> = (0..self.len() as u32).filter(|&other| other != node).collect();
            others.sort_by(|&a, &b| self.cost(a, node).total_cmp(&self.cost(b, node)));
            self.near.extend_from_slice(&others[..self.near_count]);
        }
    }
}

fn fellows(instance: &Instance<'_>, nodes: &[usize]) -> Vec<Vec<u32>> {
    let domain = |node: usize| instance.problem.domain(instance.nodes[node]);
    let mut by_domain: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (at, &node) in nodes.iter().enumerate() {
        if let Some(domain) = domain(node) {
            by_domain.entry(domain).or_default().push(at as u32);
        }
    }
    let others = |(at, &node): (usize, &usize)| {
        let all = domain(node).and_then(|domain| by_domain.get(&domain)).into_iter().flatten();
        all.copied().filter(|&other| other != at as u32).collect()
    };
    nodes.iter().enumerate().map(others).collect()
}

/// Helpers that may be worth a place, by four lists: those from which all members are near on average, and at worst;
/// those that shorten pairs of members most; and for every member those near to it. Each counts a helper of few links
/// as farther away than it is. O(M^2 H) for M members, or the first `MEMBERS_ASKED` of them, and H helpers.
fn useful_helpers(instance: &Instance<'_>) -> Vec<usize> {
    let asked = instance.members.min(MEMBERS_ASKED);
    let mut chosen = vec![false; instance.len()];
    let scarce = |helper: usize| 1.0 + 1.0 / f64::from(instance.degree[helper]);
    let legs = |helper: usize, member: usize| {
        f64::midpoint(instance.cost(helper, member), instance.cost(member, helper))
    };
    let mut choose = |count: usize, value: &dyn Fn(usize) -> f64| {
        let mut valued: Vec<(f64, usize)> = instance
            .helpers()
            .map(|helper| (value(helper), helper))
            .filter(|(value, _)| *value < f64::MAX)
            .collect();
        valued.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for (_, helper) in valued.into_iter().take(count) {
            chosen[helper] = true;
        }
    };
    let share = HELPERS_SEEN / 4;
    choose(share, &|helper| {
        let finite = (0..asked).map(|member| legs(helper, member)).filter(|cost| cost.is_finite());
        scarce(helper) * finite.sum::<f64>()
    });
    choose(share, &|helper| {
        let finite = (0..asked).map(|member| legs(helper, member)).filter(|cost| cost.is_finite());
        scarce(helper) * finite.fold(0.0, f64::max)
    });
    choose(share, &|helper| {
        let mut gain = 0.0;
        for from in 0..asked {
            let up = instance.cost(from, helper);
            for to in (0..asked).filter(|&to| to != from) {
                let direct = instance.cost(from, to).min(UNREACHABLE_MS);
                gain += (direct - up - instance.cost(helper, to)).max(0.0);
            }
        }
        if gain > 0.0 { -gain / scarce(helper) } else { f64::INFINITY }
    });
    for member in 0..asked {
        choose((share / asked).max(2), &|helper| scarce(helper) * legs(helper, member));
    }
    instance.helpers().filter(|&helper| chosen[helper]).collect()
}

/// Helpers that are looked at.
const HELPERS_SEEN: usize = 96;
/// Members whose pairs choose the helpers: a few dozen are a fair sample.
const MEMBERS_ASKED: usize = 48;
/// Near nodes that are listed for each.
const NEAR: usize = 12;
/// What a pair counts that cannot talk directly, when helpers are chosen.
const UNREACHABLE_MS: f64 = 1000.0;
