//! Two trees over the same members in which no node relays in both, so that whoever dies, everybody else is still
//! reached along the other tree. The idea of a pair of interior-disjoint trees is SplitStream's (`baseline::splitstream`);
//! there each carries half of a stream, here each carries all of it, and a member plays whichever copy comes first.
//!
//! A node relays in a tree if it has more than one link there. The exception is the root under `Objective::Height`: it is
//! the source and sends in both trees. Under `Objective::Diameter` nobody is excepted: a source speaks in both trees, in
//! at least one of them as a leaf, over the one link that it has there. Both trees share one budget: the links of a node
//! in both together stay within its degree, so that every member takes two of them to begin with. A helper is in one
//! tree only.
//!
//! Where that is possible, the trees have no link in common whose failure would cost somebody both: the source's own, and
//! in shared trees any.
//!
//! What is made small is the better tree's height (or diameter) plus `OTHER_WEIGHT` times the other's: with the first,
//! everybody talks; with the other, those below a dead relay do until the trees are mended.
//!
//! With a tree for every source (`Objective::Forest`, `forest::pairs`), each source has two, in both of which it sends
//! itself, and the budget is that of copies.
//!
//! Once it is settled which nodes may relay in which tree, the trees are two problems of the usual kind, with degree 1
//! for those that may not. So any algorithm that keeps degrees will do. Several ways to settle it are tried; from the
//! best pair on, each tree in turn is planned anew with all nodes that do not relay in the other one.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::best::{self, Budget};
use crate::forest;
use crate::names::{Algorithm, Objective};
use crate::plan::Plan;
use crate::plan_error::PlanError;
use crate::problem::Problem;
use crate::replan::{MovePrice, replan};
use crate::units::{Degree, NodeIndex};

/// Plans one tree.
type Maker<'m> = dyn FnMut(&Problem) -> Result<Plan, PlanError> + 'm;

/// Two trees by `best` within `budget`: the better one first.
///
/// # Errors
/// `PlanError` if no two trees fit, or none were found.
pub fn protect(problem: &Problem, budget: Budget<'_>) -> Result<Plan, PlanError> {
    let problem = problem.with_one_helper_a_domain(&[]);
    if problem.objective == Objective::Forest {
        let mut budget = budget;
        return forest::best(&Problem { protect: true, ..problem.into_owned() }, &mut budget);
    }
    let problem = problem.unprotected();
    match budget {
        Budget::Moves(moves) => {
            pair(&problem, &mut |part| best::plan_best(part, Budget::Moves((moves / PLANS).max(1))))
        }
        Budget::Share(share) => {
            let share = RefCell::new(share);
            let mut made = 0;
            pair(&problem, &mut |part| {
                let start = (share.borrow_mut())();
                // Those that failed took no time, and what they left is for the others.
                let end = start + (1.0 - start) / (PLANS - made).max(1) as f64;
                made = (made + 1).min(PLANS - 1);
                let mut spent = || ((share.borrow_mut())() - start) / (end - start).max(1e-9);
                best::plan_best(part, Budget::Share(&mut spent))
            })
        }
    }
}

/// Two trees that keep what they can of the installed plan's two: each planned from what is installed beside the other.
/// Both anew if that does not work out, as where somebody relays in both. For the height and the diameter: a forest's
/// pairs are replanned with all its trees (`forest::replanned`).
///
/// # Errors
/// `PlanError` if no two trees fit, or none were found.
pub(crate) fn replanned(
    problem: &Problem,
    installed: &Plan,
    budget: &mut Budget<'_>,
    price: MovePrice,
) -> Result<Plan, PlanError> {
    let anew = |budget: &mut Budget<'_>| match budget {
        Budget::Moves(moves) => protect(problem, Budget::Moves(*moves)),
        Budget::Share(share) => protect(problem, Budget::Share(&mut **share)),
    };
    let problem = problem.unprotected();
    check(&problem)?;
    let part = |at: usize| Plan {
        trees: installed.trees.get(at).cloned().into_iter().collect(),
        ..installed.clone()
    };
    let mut half = |at: usize, rest: &Problem| {
        let from = part(at);
        let again = match budget {
            Budget::Moves(moves) => replan(rest, &from, Budget::Moves(*moves / 2), price),
            Budget::Share(share) => {
                let mut spent = || 2.0 * share() - at as f64;
                replan(rest, &from, Budget::Share(&mut spent), price)
            }
        };
        again.map(|again| again.plan)
    };
    let first = half(0, &aside(&problem, &part(1)));
    let pair = first.and_then(|first| {
        let second = half(1, &beside(&problem, &first))?;
        Ok(Pair { trees: [first, second] })
    });
    match pair {
        Ok(pair) => Ok(pair.into_plan(&problem)),
        Err(_) => anew(budget),
    }
}

/// What a tree that is to be mended leaves for the other: as `beside`, and a link for every member that comes to it.
fn aside(problem: &Problem, plan: &Plan) -> Problem {
    let present: BTreeSet<NodeIndex> = problem.members.iter().chain(&problem.helpers).copied().collect();
    let mut left = plan.clone();
    for tree in &mut left.trees {
        tree.edges.retain(|(a, b)| present.contains(a) && present.contains(b));
    }
    let placed: BTreeSet<NodeIndex> =
        left.trees.iter().flat_map(|tree| &tree.edges).flat_map(|&(a, b)| [a, b]).collect();
    let mut rest = if left.trees.is_empty() { problem.clone() } else { beside(problem, &left) };
    for member in problem.members.iter().filter(|member| !placed.contains(member)) {
        rest.degrees[*member] = Degree(problem.degrees[*member].0.saturating_sub(1));
    }
    rest
}

/// Two trees by `algorithm`.
pub(crate) fn plan(problem: &Problem, algorithm: Algorithm) -> Result<Plan, PlanError> {
    if algorithm.may_exceed_degrees() {
        return Err(PlanError::Unprotected(algorithm));
    }
    if problem.objective == Objective::Forest {
        return match algorithm {
            Algorithm::Best => forest::plan(problem, algorithm),
            other => Err(PlanError::Unsupported(other, Objective::Forest)),
        };
    }
    if algorithm == Algorithm::Best {
        return protect(
            problem,
            Budget::Moves((MOVES_A_MEMBER * problem.members.len() as u64).min(MOVES_MAX)),
        );
    }
    pair(&problem.unprotected(), &mut |part| crate::plan(part, algorithm))
}

fn pair(problem: &Problem, maker: &mut Maker<'_>) -> Result<Plan, PlanError> {
    check(problem)?;
    let mut best: Option<Pair> = None;
    let mut failure = None;
    for start in Split::starts(problem) {
        match start.plan(problem, maker) {
            Ok(pair) if best.as_ref().is_none_or(|best| pair.value() < best.value()) => best = Some(pair),
            Ok(_) => {}
            Err(error) => failure = Some(error),
        }
    }
    let Some(mut best) = best else {
        return Err(match failure {
            Some(PlanError::Stuck(node)) => PlanError::NoSecondTree(node),
            Some(PlanError::DegreesTooSmall { .. } | PlanError::NoDegree(_)) => PlanError::TooFewRelays,
            other => other.expect("without a pair there is a failure"),
        });
    };
    for turn in 0..TURNS {
        let at = 1 - turn % 2;
        if let Ok(plan) = plan_beside(problem, &best.trees[1 - at], maker) {
            let mut trees = best.trees.clone();
            trees[at] = plan;
            let changed = Pair { trees };
            if changed.value() < best.value() {
                best = changed;
            }
        }
    }
    Ok(best.into_plan(problem))
}

/// Whether two trees can fit at all, with every pair allowed: a helper of degree d brings d - 2.
fn check(problem: &Problem) -> Result<(), PlanError> {
    let members = problem.members.len();
    if members == 1 {
        return Ok(());
    }
    let degree = |node: &NodeIndex| u64::from(problem.degrees[*node].0);
    if let Some(&member) = problem.members.iter().find(|member| degree(member) < 2) {
        return Err(PlanError::NoSecondTree(member));
    }
    let mut brought: Vec<u64> =
        problem.helpers.iter().map(|helper| degree(helper).saturating_sub(2)).collect();
    brought.sort_unstable_by(|a, b| b.cmp(a));
    let most = problem.max_helpers.unwrap_or(usize::MAX);
    let given = problem.members.iter().map(degree).sum::<u64>() + brought.iter().take(most).sum::<u64>();
    let needed = 4 * (members as u64 - 1);
    if given < needed { Err(PlanError::DegreesTooSmallForTwo { given, needed, members }) } else { Ok(()) }
}

/// Two trees, as plans of one tree each.
struct Pair {
    trees: [Plan; 2],
}

impl Pair {
    fn values(&self) -> [f64; 2] {
        [0, 1].map(|at: usize| match self.trees[at].objective {
            Objective::Height => self.trees[at].height.ms(),
            Objective::Diameter | Objective::Forest => self.trees[at].diameter.ms(),
        })
    }

    fn value(&self) -> f64 {
        let [a, b] = self.values();
        a.min(b) + OTHER_WEIGHT * a.max(b)
    }

    fn into_plan(self, problem: &Problem) -> Plan {
        let [a, b] = self.values();
        let [first, second] = self.trees;
        let (better, other) = if a <= b { (first, second) } else { (second, first) };
        let mut helpers: Vec<NodeIndex> = better.helpers.iter().chain(&other.helpers).copied().collect();
        helpers.sort_unstable();
        helpers.dedup();
        let trees = better.trees.into_iter().chain(other.trees).collect();
        Plan { helpers, trees, members: problem.members.clone(), ..better }
    }
}

/// A tree beside another one: along other links, or else along any.
fn plan_beside(problem: &Problem, plan: &Plan, maker: &mut Maker<'_>) -> Result<Plan, PlanError> {
    let rest = beside(problem, plan);
    let shared = problem.objective == Objective::Diameter;
    let matters = |&&(parent, _): &&(NodeIndex, NodeIndex)| shared || parent == problem.root();
    let taken = plan.trees[0].edges.iter().filter(matters).map(|&(a, b)| (a.min(b), a.max(b)));
    let mut apart = rest.clone();
    apart.forbidden.extend(taken);
    maker(&apart).or_else(|_| maker(&rest))
}

/// What one tree leaves for the other: no relay of it, and of every other node what links it has left.
fn beside(problem: &Problem, plan: &Plan) -> Problem {
    let links = plan.trees[0].degrees();
    let mut rest = problem.clone();
    let excepted = Excepted::of(problem);
    let relays: Vec<NodeIndex> = links
        .iter()
        .filter(|&(&node, &links)| links > 1 && !excepted.has(node))
        .map(|(&node, _)| node)
        .collect();
    let domains: BTreeSet<u32> = relays.iter().filter_map(|&relay| problem.domain(relay)).collect();
    let barred = |node: NodeIndex| {
        relays.contains(&node) || problem.domain(node).is_some_and(|domain| domains.contains(&domain))
    };
    for (&node, &taken) in &links {
        let left = problem.degrees[node].0.saturating_sub(taken);
        rest.degrees[node] = Degree(if barred(node) { left.min(1) } else { left });
    }
    rest.helpers.retain(|helper| !links.contains_key(helper) && !barred(*helper));
    rest.max_helpers = problem.max_helpers.map(|most| most.saturating_sub(plan.helpers.len()));
    rest
}

/// Who may relay in both trees: the source, and what fails with it.
struct Excepted<'p> {
    problem: &'p Problem,
    source: Option<NodeIndex>,
}

impl<'p> Excepted<'p> {
    fn of(problem: &'p Problem) -> Self {
        Self { problem, source: (problem.objective == Objective::Height).then(|| problem.root()) }
    }

    fn has(&self, node: NodeIndex) -> bool {
        let falls_with = |source| {
            let domain = self.problem.domain(node);
            node == source || domain.is_some() && domain == self.problem.domain(source)
        };
        self.source.is_some_and(falls_with)
    }
}

/// Who may relay in the first tree, to begin with.
struct Split {
    /// Members that are leaves in it.
    leaves: BTreeSet<NodeIndex>,
    /// Helpers that are not in it.
    without: BTreeSet<NodeIndex>,
    /// What the root keeps of its links for the second tree, under `Objective::Height`.
    kept: u32,
    helpers_max: Option<usize>,
}

impl Split {
    fn starts(problem: &Problem) -> Vec<Self> {
        let root = problem.degrees[problem.root()].0;
        let mut starts = vec![Self::first_come(problem, 1)];
        if root > 3 {
            starts.push(Self::first_come(problem, root / 2));
        }
        let mut random = StdRng::seed_from_u64(problem.seed);
        starts.extend((0..EVEN_STARTS).map(|_| Self::even(problem, root / 2, &mut random)));
        starts
    }

    /// Everything for the first tree but what the second cannot do without.
    fn first_come(problem: &Problem, kept: u32) -> Self {
        Self { leaves: BTreeSet::new(), without: BTreeSet::new(), kept, helpers_max: problem.max_helpers }
    }

    /// About half of what there is to carry for either, drawn at random.
    fn even(problem: &Problem, kept: u32, random: &mut StdRng) -> Self {
        let height = problem.objective == Objective::Height;
        let mut nodes: Vec<NodeIndex> = problem
            .members
            .iter()
            .skip(usize::from(height))
            .copied()
            .chain(problem.helpers.iter().copied())
            .collect();
        nodes.shuffle(random);
        let members: BTreeSet<NodeIndex> = problem.members.iter().copied().collect();
        let carries = |node: &NodeIndex| problem.degrees[*node].0.saturating_sub(2);
        // Members first: what they can carry is sure to be there.
        nodes.sort_by_key(|node| (!members.contains(node), std::cmp::Reverse(carries(node))));
        let (mut leaves, mut without) = (BTreeSet::new(), BTreeSet::new());
        let mut carried = if height {
            let root = problem.degrees[problem.root()].0;
            [root.saturating_sub(kept), kept]
        } else {
            [0, 0]
        };
        let mut settled = BTreeMap::new();
        for node in &nodes {
            let poorer = usize::from(carried[1] < carried[0]);
            // Whoever fails together relays in the same tree.
            let to = problem.domain(*node).map_or(poorer, |domain| *settled.entry(domain).or_insert(poorer));
            carried[to] += carries(node);
            if to == 1 && members.contains(node) {
                leaves.insert(*node);
            } else if to == 1 {
                without.insert(*node);
            }
        }
        Self { leaves, without, kept, helpers_max: problem.max_helpers.map(|most| most.div_ceil(2)) }
    }

    fn plan(&self, problem: &Problem, maker: &mut Maker<'_>) -> Result<Pair, PlanError> {
        let mut first = problem.clone();
        for &member in &problem.members {
            let degree = problem.degrees[member].0;
            let root = problem.objective == Objective::Height && member == problem.root();
            let kept = if root { self.kept.min(degree.saturating_sub(1)).max(1) } else { 1 };
            let left = degree.saturating_sub(kept);
            first.degrees[member] = Degree(if self.leaves.contains(&member) { left.min(1) } else { left });
        }
        first.helpers.retain(|helper| !self.without.contains(helper));
        first.max_helpers = self.helpers_max;
        let first = maker(&first)?;
        let second = plan_beside(problem, &first, maker)?;
        Ok(Pair { trees: [first, second] })
    }
}

/// What the other tree's height counts, by the better tree's.
const OTHER_WEIGHT: f64 = 0.5;
/// Even splits that are tried.
const EVEN_STARTS: u64 = 2;
/// How often a tree is planned anew beside the other.
const TURNS: usize = 6;
/// Plans that are made at most: two for each start, and the turns.
const PLANS: u64 = 2 * (2 + EVEN_STARTS) + TURNS as u64;
/// Moves by default, for all plans together: 1,000 for each, as further ones bring little.
const MOVES_A_MEMBER: u64 = 15_000;
const MOVES_MAX: u64 = 3_000_000;
