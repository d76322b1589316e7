//! The objective `forest`: a tree for each source, all of them within one budget. Over any K sources that send at once,
//! a node of degree d sends d x K copies at most, which is what K streams through a shared tree would ask of it. Its own
//! links to children count, its link to a parent does not: that is the parent's copy.
//!
//! What is made small is the delay of the worst pair (source, member) plus that of the mean pair, hop costs included,
//! and a price for every helper in use (`HELPER_PRICE` of the worst pair's delay). With one weight each, a millisecond of
//! the worst pair is worth one of the mean; recorded matrices have a worst pair that no tree can shorten, and then the
//! mean alone is at stake.
//!
//! Every tree is first grown for itself (`start`), then all are annealed together (`anneal`), because what one tree
//! leaves of a node's budget another can use. Towards the end helpers that no longer bring their price go (`evict`).
//! A proposal is judged in O(depth), some eight million a second at 20 members; one that is made takes
//! O(depth + subtree). Memory O(M N) for M members and the N nodes that are looked at: the members and about a hundred
//! helpers.

mod anneal;
mod backups;
mod change;
mod copies;
mod evict;
mod grove;
mod installed;
mod load;
mod mend;
mod moves;
mod pairs;
mod replan;
mod stars;
mod start;
mod view;

pub use backups::forest_backups;
pub(crate) use load::copies;
pub use load::copies_excess;
pub use replan::replan_tree;
pub(crate) use replan::replanned;

use std::collections::{BTreeMap, BTreeSet};

use crate::best::Budget;
use crate::connect;
use crate::critical::{Criterion, HelperLimits};
use crate::draft::Draft;
use crate::instance::Instance;
use crate::names::{Algorithm, Objective};
use crate::plan::{Plan, Tree};
use crate::plan_error::PlanError;
use crate::problem::Problem;
use crate::search::grown_within;
use crate::units::{NodeIndex, OneWay};
use anneal::{Schedule, Walk};
use grove::{Grove, NO};
use view::View;

/// Plans a forest with `algorithm`: `best` or `unicast`.
pub(crate) fn plan(problem: &Problem, algorithm: Algorithm) -> Result<Plan, PlanError> {
    match algorithm {
        Algorithm::Best => {
            let members = problem.members.len() as u64;
            let trees = members * (1 + u64::from(problem.protect));
            best(problem, &mut Budget::Moves((MOVES_A_PAIR * members * trees).min(MOVES_MAX)))
        }
        Algorithm::Unicast => stars::stars(problem),
        other => Err(PlanError::Unsupported(other, Objective::Forest)),
    }
}

/// The best forest that is found within `budget`.
pub(crate) fn best(problem: &Problem, budget: &mut Budget<'_>) -> Result<Plan, PlanError> {
    let instance = Instance::new(problem, |degree| degree >= 2);
    if instance.members == 1 {
        let tree = Tree { sources: problem.members.clone(), edges: Vec::new() };
        return Ok(finish(problem, vec![tree; 1 + usize::from(problem.protect)]));
    }
    if let Some(member) = (0..instance.members).find(|&member| instance.degree[member] == 0) {
        return Err(PlanError::NoDegree(instance.nodes[member]));
    }
    let (view, parents) = start(&instance)?;
    let mut grove = Grove::new(&view, &parents);
    let parents = Walk::new(&mut grove, SCHEDULE, None, None, problem.seed).run(budget);
    Ok(to_plan(&instance, &view, &parents))
}

/// A forest within the budget: each tree grown for itself, or else every tree the same, turned to its source.
fn start(instance: &Instance<'_>) -> Result<(View, Vec<u32>), PlanError> {
    let mut view = View::new(instance, &[]);
    if instance.problem.protect {
        let parents =
            pairs::start(&mut view).map_err(|node| PlanError::NoSecondTree(instance.nodes[node as usize]))?;
        if used_in(&view, &parents) > view.helpers_max {
            return Err(PlanError::TooFewRelays);
        }
        return Ok((view, parents));
    }
    let mut parents = Vec::with_capacity(view.members * view.len());
    let stuck =
        (0..view.members as u32).find_map(|source| match start::grow(&view, source, &view.degree, &[]) {
            Ok(tree) => {
                parents.extend(tree);
                None
            }
            Err(member) => {
                // A member has a link to its parent beside those to as many children as its degree.
                let mut bounds: Vec<u32> = instance.degree.iter().map(|&degree| degree + 1).collect();
                bounds[source as usize] -= 1;
                match connect::tree(instance, &bounds) {
                    Some(links) => {
                        parents.extend(turned(&view, &links, source as usize));
                        None
                    }
                    None => Some(PlanError::Stuck(instance.nodes[member as usize])),
                }
            }
        });
    let Some(stuck) = stuck.or_else(|| {
        (used_in(&view, &parents) > view.helpers_max).then(|| PlanError::Stuck(instance.nodes[0]))
    }) else {
        return Ok((view, parents));
    };
    let forest = instance;
    let shared = Problem { objective: Objective::Diameter, ..instance.problem.clone() };
    let instance = &Instance::new(&shared, |degree| degree >= 2);
    let limits = HelperLimits { most: instance.helpers_max, min_degree: 2, radius: f64::INFINITY };
    let connected = || {
        let links = connect::tree(instance, &instance.degree)?;
        Some(Draft::hung_from_root(instance.len(), &links))
    };
    let tree = [HelperLimits::NONE, limits]
        .into_iter()
        .find_map(|limits| grown_within(instance, Criterion::TableB, limits).ok())
        .or_else(connected)
        .ok_or_else(|| connect::failure(forest, stuck))?
        .without_idle_helpers(instance);
    let links: Vec<(usize, usize)> = tree.order[1..].iter().map(|&node| (tree.parent[node], node)).collect();
    let kept: Vec<usize> = tree.order.iter().copied().filter(|&node| instance.is_helper(node)).collect();
    let view = View::new(instance, &kept);
    let parents = (0..view.members).flat_map(|source| turned(&view, &links, source)).collect();
    Ok((view, parents))
}

/// Parents of the view's nodes in the tree of those links between the instance's nodes, hung from `source`.
fn turned(view: &View, links: &[(usize, usize)], source: usize) -> Vec<u32> {
    let local: BTreeMap<usize, u32> =
        view.nodes.iter().enumerate().map(|(at, &node)| (node, at as u32)).collect();
    let mut beside = vec![Vec::new(); view.len()];
    for (a, b) in links {
        beside[local[a] as usize].push(local[b]);
        beside[local[b] as usize].push(local[a]);
    }
    let mut parent = vec![NO; view.len()];
    let mut open = vec![source as u32];
    while let Some(node) = open.pop() {
        for &next in &beside[node as usize] {
            if next as usize != source && parent[next as usize] == NO {
                parent[next as usize] = node;
                open.push(next);
            }
        }
    }
    parent
}

fn used_in(view: &View, parents: &[u32]) -> usize {
    let used = |helper: usize| parents.chunks(view.len()).any(|tree| tree[helper] != NO);
    (view.members..view.len()).filter(|&helper| used(helper)).count()
}

/// The plan of these parents.
fn to_plan(instance: &Instance<'_>, view: &View, parents: &[u32]) -> Plan {
    let outer = |node: u32| instance.nodes[view.nodes[node as usize]];
    let mut trees = Vec::with_capacity(view.trees());
    for (tree, parents) in parents.chunks(view.len()).enumerate() {
        let source = view.source(tree as u32);
        let mut kids = vec![Vec::new(); view.len()];
        for (node, &parent) in parents.iter().enumerate().filter(|&(_, &parent)| parent != NO) {
            kids[parent as usize].push(node as u32);
        }
        let mut edges = Vec::new();
        let mut open = vec![source];
        while let Some(node) = open.pop() {
            edges.extend(kids[node as usize].iter().map(|&kid| (outer(node), outer(kid))));
            open.extend_from_slice(&kids[node as usize]);
        }
        trees.push(Tree { sources: vec![outer(source)], edges });
    }
    if instance.problem.protect {
        pairs::finish(instance.problem, trees)
    } else {
        finish(instance.problem, trees)
    }
}

/// A plan of trees that hang from their sources, judged on latency alone. Its height is that of the root's own tree,
/// its diameter the worst pair.
fn finish(problem: &Problem, trees: Vec<Tree>) -> Plan {
    let is_member: BTreeSet<NodeIndex> = problem.members.iter().copied().collect();
    let mut helpers = BTreeSet::new();
    let (mut worst, mut height) = (0.0_f64, 0.0_f64);
    for tree in &trees {
        let mut delay = BTreeMap::from([(tree.sources[0], 0.0)]);
        for &(parent, child) in &tree.edges {
            let reached = delay[&parent] + problem.latency.ms(parent, child);
            delay.insert(child, reached);
            if is_member.contains(&child) {
                worst = worst.max(reached);
                if tree.sources[0] == problem.root() {
                    height = height.max(reached);
                }
            } else {
                helpers.insert(child);
            }
        }
    }
    Plan {
        objective: Objective::Forest,
        root: problem.root(),
        members: problem.members.clone(),
        helpers: helpers.into_iter().collect(),
        trees,
        height: OneWay::from_sum(height),
        diameter: OneWay::from_sum(worst),
    }
}

/// How the annealing cools. Tried on recorded matrices of 100 and 490 nodes, with and without helpers, at 20 to 200 ms:
/// twice or half of each value makes a difference of a per cent or two.
const SCHEDULE: Schedule = Schedule { width: (0.08, 0.012), heat: (0.0015, 0.000_007), price: HELPER_PRICE };
/// What a helper costs, as a share of the worst pair's delay: it must bring that much, in the worst and mean together.
const HELPER_PRICE: f64 = 0.003;
/// Moves by default: so many for every pair (source, member).
const MOVES_A_PAIR: u64 = 1000;
const MOVES_MAX: u64 = 20_000_000;
