//! Whether a plan is what it says: the check that its maker asserts, and its receivers repeat.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::forest::copies;
use crate::names::Objective;
use crate::plan::{Plan, Tree};
use crate::problem::Problem;
use crate::units::NodeIndex;

/// Checks `plan` against its problem: the right session, sound trees (`verify_tree`), only candidates as helpers, not
/// too many and of different fault domains, no forbidden link, heights as claimed, no degree exceeded over all trees or, in a forest, no budget of copies. Several trees under `Height` or
/// `Diameter` are stripes: each carries its share of the stream, and a link of it counts as that share.
///
/// # Errors
/// The first `PlanDefect` found.
pub fn verify(problem: &Problem, plan: &Plan) -> Result<(), PlanDefect> {
    if plan.members != problem.members || plan.root != problem.root() || plan.objective != problem.objective {
        return Err(PlanDefect::OtherSession);
    }
    let candidates: BTreeSet<_> = problem.helpers.iter().collect();
    if let Some(&stranger) = plan.helpers.iter().find(|helper| !candidates.contains(helper)) {
        return Err(PlanDefect::Stranger(stranger));
    }
    if problem.max_helpers.is_some_and(|max| plan.helpers.len() > max) {
        return Err(PlanDefect::TooManyHelpers);
    }
    let mut borrowed = BTreeSet::new();
    let shares =
        |helper: &&NodeIndex| problem.domain(**helper).is_some_and(|domain| !borrowed.insert(domain));
    if let Some(&helper) = plan.helpers.iter().find(shares) {
        return Err(PlanDefect::DomainBorrowedTwice(helper));
    }
    let mut degrees = BTreeMap::new();
    for tree in &plan.trees {
        verify_place(problem, plan, tree)?;
        for &(parent, child) in &tree.edges {
            if !problem.may_link(parent, child) {
                return Err(PlanDefect::ForbiddenLink(parent, child));
            }
        }
        for (node, degree) in tree.degrees() {
            *degrees.entry(node).or_insert(0) += degree;
        }
    }
    if plan.trees.is_empty() {
        return Err(PlanDefect::NoTree);
    }
    if problem.protect {
        verify_protection(problem, plan)?;
    }
    if plan.objective == Objective::Forest && !problem.protect {
        verify_sources(plan)?;
    }
    let (height, diameter) = figures(problem, plan);
    let agree = |claimed: f64, found: f64| (claimed - found).abs() <= TOLERANCE * found.max(1.0);
    if !agree(plan.height.ms(), height) || !agree(plan.diameter.ms(), diameter) {
        return Err(PlanDefect::WrongFigures);
    }
    // Last, because some of the field's algorithms keep everything but this.
    if plan.objective == Objective::Forest {
        let too_many = |&(node, sent): &(NodeIndex, u32)| sent > problem.copies(node);
        return match copies(problem, plan).into_iter().find(too_many) {
            Some((node, _)) => Err(PlanDefect::CopiesExceeded(node)),
            None => Ok(()),
        };
    }
    let stripes = if problem.protect { 1 } else { u32::try_from(plan.trees.len()).unwrap_or(u32::MAX) };
    let too_many = |(&node, &degree): (&NodeIndex, &u32)| degree.div_ceil(stripes) > problem.degree(node).0;
    if let Some((&node, _)) = degrees.iter().find(|&(node, degree)| too_many((node, degree))) {
        return Err(PlanDefect::DegreeExceeded(node));
    }
    Ok(())
}

/// Checks the shape of one tree, which takes neither latencies nor degrees: a tree below `root`, parents before their
/// children, over exactly `members` and, as relays, `helpers`.
///
/// # Errors
/// The first `PlanDefect` found.
pub fn verify_tree(
    root: NodeIndex,
    members: &[NodeIndex],
    helpers: &[NodeIndex],
    tree: &Tree,
) -> Result<(), PlanDefect> {
    let mut placed = BTreeSet::from([root]);
    let mut parents = BTreeSet::new();
    for &(parent, child) in &tree.edges {
        if !placed.contains(&parent) || !placed.insert(child) {
            return Err(PlanDefect::NotATree(child));
        }
        parents.insert(parent);
    }
    let expected: BTreeSet<_> = members.iter().chain(helpers).copied().collect();
    if let Some(&node) = expected.symmetric_difference(&placed).next() {
        return Err(if placed.contains(&node) {
            PlanDefect::Stranger(node)
        } else {
            PlanDefect::Missing(node)
        });
    }
    if let Some(&leaf) = helpers.iter().find(|&helper| !parents.contains(helper)) {
        return Err(PlanDefect::IdleHelper(leaf));
    }
    if let Some(&source) = tree.sources.iter().find(|&source| !members.contains(source)) {
        return Err(PlanDefect::Stranger(source));
    }
    Ok(())
}

/// Checks that there are two trees, or two for every source, that nobody relays in both, and that every helper is in one.
fn verify_protection(problem: &Problem, plan: &Plan) -> Result<(), PlanDefect> {
    if plan.objective != Objective::Forest {
        let [first, second] = plan.trees.as_slice() else { return Err(PlanDefect::NotTwoTrees) };
        let source = (plan.objective == Objective::Height).then(|| problem.root());
        verify_pair(problem, first, second, source)?;
    } else {
        for &source in &plan.members {
            let mut own = plan.trees.iter().filter(|tree| tree.sources == [source]);
            let (Some(first), Some(second), None) = (own.next(), own.next(), own.next()) else {
                return Err(PlanDefect::NotTwoTrees);
            };
            verify_pair(problem, first, second, Some(source))?;
        }
    }
    let linked: BTreeSet<_> =
        plan.trees.iter().flat_map(|tree| &tree.edges).map(|&(_, child)| child).collect();
    plan.helpers
        .iter()
        .find(|helper| !linked.contains(helper))
        .map_or(Ok(()), |&helper| Err(PlanDefect::Missing(helper)))
}

/// Checks that nobody relays in both trees, but for the source and whoever fails with it.
fn verify_pair(
    problem: &Problem,
    first: &Tree,
    second: &Tree,
    source: Option<NodeIndex>,
) -> Result<(), PlanDefect> {
    let falls_with = |a: NodeIndex, b: NodeIndex| {
        a == b || problem.domain(a).is_some_and(|domain| problem.domain(b) == Some(domain))
    };
    let relays = |tree: &Tree| -> Vec<NodeIndex> {
        let several = tree.degrees().into_iter().filter(|&(_, links)| links > 1).map(|(node, _)| node);
        several.filter(|&node| source.is_none_or(|source| !falls_with(node, source))).collect()
    };
    let in_second = relays(second);
    let twice = |node: &NodeIndex| in_second.iter().any(|&other| falls_with(*node, other));
    relays(first).into_iter().find(twice).map_or(Ok(()), |node| Err(PlanDefect::RelaysTwice(node)))
}

/// Checks the shape of one tree of a plan. A forest's tree hangs from its first source. It has only its own helpers, and
/// so has one of two that protect each other.
fn verify_place(problem: &Problem, plan: &Plan, tree: &Tree) -> Result<(), PlanDefect> {
    if plan.objective != Objective::Forest && !problem.protect {
        return verify_tree(plan.root, &plan.members, &plan.helpers, tree);
    }
    let Some(&source) = tree.sources.first() else { return Err(PlanDefect::NotOneTreeEach) };
    let top = if plan.objective == Objective::Forest { source } else { plan.root };
    let linked = tree.degrees();
    let helpers: Vec<_> = plan.helpers.iter().copied().filter(|helper| linked.contains_key(helper)).collect();
    verify_tree(top, &plan.members, &helpers, tree)
}

/// Checks that every member of a forest has one tree to send along, and every helper a place in one.
fn verify_sources(plan: &Plan) -> Result<(), PlanDefect> {
    let mut sources: Vec<_> = plan.trees.iter().flat_map(|tree| &tree.sources).collect();
    sources.sort_unstable();
    let mut members: Vec<_> = plan.members.iter().collect();
    members.sort_unstable();
    if sources != members {
        return Err(PlanDefect::NotOneTreeEach);
    }
    let linked: BTreeSet<_> =
        plan.trees.iter().flat_map(|tree| &tree.edges).map(|&(_, child)| child).collect();
    match plan.helpers.iter().find(|helper| !linked.contains(helper)) {
        Some(&idle) => Err(PlanDefect::Missing(idle)),
        None => Ok(()),
    }
}

/// Height and diameter of a plan, from its links. In a forest, a tree counts for its own sources alone; of two trees that
/// protect each other, the better one by the objective counts.
pub(crate) fn figures(problem: &Problem, plan: &Plan) -> (f64, f64) {
    if !problem.protect {
        return figures_of(problem, plan, &plan.trees);
    }
    let better = |trees: &mut dyn Iterator<Item = &Tree>| {
        let value = |&(height, diameter): &(f64, f64)| {
            if plan.objective == Objective::Height { height } else { diameter }
        };
        let figures = trees.map(|tree| figures_of(problem, plan, std::slice::from_ref(tree)));
        figures.min_by(|a, b| value(a).total_cmp(&value(b))).unwrap_or((0.0, 0.0))
    };
    if plan.objective != Objective::Forest {
        return better(&mut plan.trees.iter());
    }
    let of =
        |&source: &NodeIndex| better(&mut plan.trees.iter().filter(|tree| tree.sources.contains(&source)));
    let worse = |a: (f64, f64), b: (f64, f64)| (a.0.max(b.0), a.1.max(b.1));
    plan.members.iter().map(of).fold((0.0, 0.0), worse)
}

/// Latency from the tree's first source to the farthest member.
pub(crate) fn farthest_in(problem: &Problem, tree: &Tree) -> f64 {
    farthest_member(problem, tree.sources[0], tree)
}

/// Height and diameter over these of a plan's trees.
pub(crate) fn figures_of(problem: &Problem, plan: &Plan, trees: &[Tree]) -> (f64, f64) {
    let (mut height, mut diameter) = (0.0_f64, 0.0_f64);
    for tree in trees {
        let sends = |member| plan.objective != Objective::Forest || tree.sources.contains(member);
        for &member in plan.members.iter().filter(|member| sends(member)) {
            let farthest = farthest_member(problem, member, tree);
            diameter = diameter.max(farthest);
            if member == plan.root {
                height = height.max(farthest);
            }
        }
    }
    (height, diameter)
}

/// Latency from `from` along the tree to the farthest member.
fn farthest_member(problem: &Problem, from: NodeIndex, tree: &Tree) -> f64 {
    // A helper's latency does not count, but it is never more than that of the members behind it.
    latencies_from(problem, from, tree).into_values().fold(0.0, f64::max)
}

/// Latency from `from` along the tree to every node in it.
pub(crate) fn latencies_from(problem: &Problem, from: NodeIndex, tree: &Tree) -> BTreeMap<NodeIndex, f64> {
    let mut beside: BTreeMap<NodeIndex, Vec<NodeIndex>> = BTreeMap::new();
    for &(a, b) in &tree.edges {
        beside.entry(a).or_default().push(b);
        beside.entry(b).or_default().push(a);
    }
    let mut reached = BTreeMap::new();
    let mut open = vec![(from, from, 0.0)];
    while let Some((node, before, latency)) = open.pop() {
        reached.insert(node, latency);
        for &next in beside.get(&node).into_iter().flatten().filter(|&&next| next != before) {
            open.push((next, node, latency + problem.latency.ms(node, next)));
        }
    }
    reached
}

/// What is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanDefect {
    /// Root, members or objective are not the problem's.
    #[error("the plan is for another session")]
    OtherSession,
    /// A node is in the plan that is neither a member nor one of its helpers.
    #[error("node {0} does not belong in the plan")]
    Stranger(NodeIndex),
    /// A member or helper is not in a tree.
    #[error("node {0} is missing from a tree")]
    Missing(NodeIndex),
    /// The node has two parents, or hangs below one that is not placed before it.
    #[error("the links are no tree at node {0}")]
    NotATree(NodeIndex),
    /// There is no tree in it.
    #[error("the plan has no tree")]
    NoTree,
    /// Protection takes two trees.
    #[error("the plan has not the two trees that protect each other")]
    NotTwoTrees,
    /// Two helpers that fail together.
    #[error("helper {0} shares its fault domain with another")]
    DomainBorrowedTwice(NodeIndex),
    /// If it dies, or its fault domain does, both trees are broken.
    #[error("node {0} or its fault domain relays in both trees")]
    RelaysTwice(NodeIndex),
    /// In a forest every member has one tree of its own.
    #[error("a member has no tree to send along, or more than one")]
    NotOneTreeEach,
    /// A helper that serves nobody.
    #[error("helper {0} is a leaf")]
    IdleHelper(NodeIndex),
    /// More helpers than the problem allows.
    #[error("the plan uses too many helpers")]
    TooManyHelpers,
    /// A link between nodes that cannot talk to each other.
    #[error("nodes {0} and {1} cannot talk to each other")]
    ForbiddenLink(NodeIndex, NodeIndex),
    /// More links at a node than it can carry.
    #[error("node {0} has more links than it can carry")]
    DegreeExceeded(NodeIndex),
    /// More copies at a node than it can send for any few sources at once.
    #[error("node {0} sends more copies than it can")]
    CopiesExceeded(NodeIndex),
    /// Height or diameter are not what the trees come to.
    #[error("height or diameter are not those of the trees")]
    WrongFigures,
}

/// Sums in another order differ in the last digits.
const TOLERANCE: f64 = 1e-6;
