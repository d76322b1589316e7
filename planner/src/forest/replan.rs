//! A forest from an installed one: one tree planned anew, while all others stay as they are; or all of them, with a
//! price on every link that moves.

use std::collections::BTreeMap;

use super::anneal::Schedule;
use super::grove::{Grove, NO};
use super::installed::{Installed, Links};
use super::mend::mend;
use super::view::View;
use super::{HELPER_PRICE, SCHEDULE, Walk, finish, start, to_plan, turned, used_in};
use crate::best::Budget;
use crate::instance::Instance;
use crate::plan::{Plan, Tree};
use crate::plan_error::PlanError;
use crate::problem::Problem;
use crate::replan::MovePrice;
use crate::units::NodeIndex;

/// The forest `plan` with the tree of `source` planned anew within what the other trees leave of every node's budget.
/// The other trees stay as they are, link for link. The new tree is never worse, by the worst pair, the mean pair and
/// the price of helpers together.
///
/// # Errors
/// `PlanError::TreesTogether` if every source has two trees. `PlanError::Stuck` if a member has no tree of its own in the plan, or a tree is not over the problem's members and
/// usable helpers, along links that may exist. A node that sends too much already gets no more to send.
pub fn replan_tree(
    problem: &Problem,
    plan: &Plan,
    source: NodeIndex,
    mut budget: Budget<'_>,
) -> Result<Plan, PlanError> {
    if problem.protect {
        return Err(PlanError::TreesTogether(source));
    }
    let problem = &*problem.with_one_helper_a_domain(&plan.helpers);
    let instance = Instance::new(problem, |degree| degree >= 2);
    let local: BTreeMap<NodeIndex, usize> =
        instance.nodes.iter().enumerate().map(|(at, &node)| (node, at)).collect();
    let find = |node: NodeIndex| local.get(&node).copied().ok_or(PlanError::Stuck(node));
    let kept = plan.helpers.iter().map(|&helper| find(helper)).collect::<Result<Vec<_>, _>>()?;
    let view = View::new(&instance, &kept);
    let mut parents = vec![NO; view.members * view.len()];
    for (at, &member) in problem.members.iter().enumerate() {
        let tree = plan.trees.iter().find(|tree| tree.sources == [member]).ok_or(PlanError::Stuck(member))?;
        let links =
            tree.edges.iter().map(|&(a, b)| Ok((find(a)?, find(b)?))).collect::<Result<Vec<_>, _>>()?;
        let hung = turned(&view, &links, at);
        let exists = |node: usize| hung[node] != NO && view.cost(hung[node], node as u32).is_finite();
        let stray = (0..view.len()).find(|&node| {
            let wanted = hung[node] != NO || node < view.members;
            node != at && wanted && !exists(node)
        });
        if let Some(stray) = stray {
            return Err(PlanError::Stuck(instance.nodes[view.nodes[stray]]));
        }
        parents[at * view.len()..][..view.len()].copy_from_slice(&hung);
    }
    let tree = problem.members.iter().position(|&member| member == source).ok_or(PlanError::Stuck(source))?;
    if view.members == 1 {
        return Ok(plan.clone());
    }
    let mut grove = Grove::new(&view, &parents);
    let parents = Walk::new(&mut grove, SCHEDULE, Some(tree as u32), None, problem.seed).run(&mut budget);
    let mut replanned = to_plan(&instance, &view, &parents);
    let new = replanned.trees.swap_remove(tree);
    let mut trees = plan.trees.clone();
    for old in trees.iter_mut().filter(|old| old.sources == [source]) {
        *old = new.clone();
    }
    Ok(finish(problem, trees))
}

/// The forest of `problem` that keeps what it can of the installed one: no worse than that repaired, by the worst pair,
/// the mean pair and the price of helpers together, and nor with the price of links. A link of one tree counts one part in
/// as many as there are trees.
pub(crate) fn replanned(
    problem: &Problem,
    installed: &Plan,
    budget: &mut Budget<'_>,
    price: MovePrice,
) -> Result<Plan, PlanError> {
    let instance = Instance::new(problem, |degree| degree >= 2);
    if instance.members == 1 {
        let tree = Tree { sources: problem.members.clone(), edges: Vec::new() };
        return Ok(finish(problem, vec![tree; 1 + usize::from(problem.protect)]));
    }
    if let Some(member) = (0..instance.members).find(|&member| instance.degree[member] == 0) {
        return Err(PlanError::NoDegree(instance.nodes[member]));
    }
    let kept = helpers_in(&instance, installed);
    let mut view = View::new(&instance, &kept);
    let mut links = links_in(&instance, &view, installed, &BTreeMap::new());
    let stand_ins = stand_ins(&instance, &view, installed);
    let mended = [BTreeMap::new(), stand_ins].into_iter().enumerate().filter_map(|(at, stand_ins)| {
        (at == 0 || !stand_ins.is_empty()).then_some(())?;
        let parents = mend(&view, &links_in(&instance, &view, installed, &stand_ins))?;
        (used_in(&view, &parents) <= view.helpers_max).then_some(parents)
    });
    let value = |parents: &Vec<u32>| {
        let grove = Grove::new(&view, parents);
        let worst = grove.worst();
        let installed = Installed::new(&view, &links, price.at(worst) / view.trees() as f64);
        grove.value(HELPER_PRICE * worst) + installed.price * f64::from(installed.moved(&grove))
    };
    let best = mended.map(|parents| (value(&parents), parents)).min_by(|a, b| a.0.total_cmp(&b.0));
    let parents = if let Some((_, parents)) = best {
        parents
    } else {
        let (other, parents) = start(&instance)?;
        view = other;
        links = links_in(&instance, &view, installed, &BTreeMap::new());
        parents
    };
    let mut grove = Grove::new(&view, &parents);
    let worst = grove.worst();
    let helper_price = HELPER_PRICE * worst;
    let before = grove.value(helper_price);
    let installed = Installed::new(&view, &links, price.at(worst) / view.trees() as f64);
    let found = Walk::new(&mut grove, REPLAN, None, Some(&installed), problem.seed).run(budget);
    let is_worse = Grove::new(&view, &found).value(helper_price) > before + 1e-9;
    Ok(to_plan(&instance, &view, if is_worse { &parents } else { &found }))
}

/// Helpers of the installed plan that are still to be had: if they are too many, those that are in most trees.
fn helpers_in(instance: &Instance<'_>, installed: &Plan) -> Vec<usize> {
    let mut uses: BTreeMap<NodeIndex, usize> = BTreeMap::new();
    for &(_, child) in installed.trees.iter().flat_map(|tree| &tree.edges) {
        *uses.entry(child).or_default() += 1;
    }
    let mut helpers: Vec<(usize, usize)> = instance
        .helpers()
        .filter_map(|helper| uses.get(&instance.nodes[helper]).map(|&uses| (uses, helper)))
        .collect();
    helpers.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    helpers.truncate(instance.helpers_max);
    helpers.into_iter().map(|(_, helper)| helper).collect()
}

/// For nodes of the installed forest that have gone, helpers that could carry what they did, each where that costs least
/// over all its links.
fn stand_ins(instance: &Instance<'_>, view: &View, installed: &Plan) -> BTreeMap<NodeIndex, u32> {
    let local: BTreeMap<NodeIndex, u32> =
        view.nodes.iter().enumerate().map(|(at, &node)| (instance.nodes[node], at as u32)).collect();
    // Of every node that has gone: neighbours, and the children that it had in each tree.
    let mut gone: BTreeMap<NodeIndex, (Vec<u32>, Vec<u32>)> = BTreeMap::new();
    for tree in &installed.trees {
        let mut children: BTreeMap<NodeIndex, u32> = BTreeMap::new();
        for (parent, child) in &tree.edges {
            match (local.get(parent), local.get(child)) {
                (None, Some(&there)) => {
                    *children.entry(*parent).or_default() += 1;
                    gone.entry(*parent).or_default().0.push(there);
                }
                (Some(&there), None) => gone.entry(*child).or_default().0.push(there),
                _ => {}
            }
        }
        for (node, count) in children {
            gone.entry(node).or_default().1.push(count);
        }
    }
    let mut found = BTreeMap::new();
    let mut free: Vec<u32> = (view.members as u32..view.len() as u32)
        .filter(|&helper| !installed.helpers.contains(&instance.nodes[view.nodes[helper as usize]]))
        .collect();
    for (node, (neighbours, mut children)) in gone {
        children.sort_unstable_by(|a, b| b.cmp(a));
        let load: u32 = children.iter().take(view.speakers as usize).sum();
        let cost = |helper: u32| neighbours.iter().map(|&other| view.cost(helper, other)).sum::<f64>();
        let able = free.iter().copied().filter(|&helper| load > 0 && view.budget[helper as usize] >= load);
        if let Some(best) = able.min_by(|&a, &b| cost(a).total_cmp(&cost(b))) {
            free.retain(|&helper| helper != best);
            found.insert(node, best);
        }
    }
    found
}

/// What the installed forest has for links between the helpers that may stay, the members, and those that stand in for
/// nodes that have gone; turned to each source.
fn links_in(
    instance: &Instance<'_>,
    view: &View,
    installed: &Plan,
    stand_ins: &BTreeMap<NodeIndex, u32>,
) -> Links {
    let kept = helpers_in(instance, installed);
    let mut local: BTreeMap<NodeIndex, u32> = (view.nodes.iter().enumerate())
        .filter(|&(at, node)| at < view.members || kept.contains(node))
        .map(|(at, &node)| (instance.nodes[node], at as u32))
        .collect();
    local.extend(stand_ins);
    let links_of = |tree: u32| {
        let source = instance.nodes[view.nodes[view.source(tree) as usize]];
        let mut trees = installed.trees.iter().filter(|old| old.sources.contains(&source));
        let old = trees.nth(tree as usize / view.members)?;
        let find = |node| local.get(node).copied();
        let links = old.edges.iter().filter_map(|(a, b)| Some((find(a)?, find(b)?)));
        Some(turned_links(view, view.source(tree), links))
    };
    (0..view.trees() as u32).map(links_of).collect()
}

/// The links, parents first, hung from `source` where they are in its piece, and as they were elsewhere; without those
/// that would close a ring.
fn turned_links(view: &View, source: u32, links: impl Iterator<Item = (u32, u32)>) -> Vec<(u32, u32)> {
    let mut beside = vec![Vec::new(); view.len()];
    let mut is_child = vec![false; view.len()];
    for (a, b) in links.filter(|(a, b)| a != b) {
        beside[a as usize].push(b);
        beside[b as usize].push(a);
        is_child[b as usize] = true;
    }
    let mut reached = vec![false; view.len()];
    let mut turned = Vec::new();
    let nodes = 0..view.len() as u32;
    let tops = nodes.clone().filter(|&node| !is_child[node as usize]);
    for top in [source].into_iter().chain(tops).chain(nodes) {
        if std::mem::replace(&mut reached[top as usize], true) {
            continue;
        }
        let mut open = vec![top];
        let mut at = 0;
        while at < open.len() {
            let node = open[at];
            for &next in &beside[node as usize] {
                if !std::mem::replace(&mut reached[next as usize], true) {
                    turned.push((node, next));
                    open.push(next);
                }
            }
            at += 1;
        }
    }
    turned
}

/// How the annealing of a change cools: never so hot that it would take the forest apart.
const REPLAN: Schedule = Schedule { width: (0.02, 0.012), heat: (0.000_05, 0.000_007), price: HELPER_PRICE };
