//! A session changes and its plan with it: members join and leave, relays die, helpers are taken away, latencies and
//! degrees change. Every link that moves costs somebody a change of parent, so a new plan weighs what it gains against
//! the links that it moves.
//!
//! First the installed tree is repaired: every link that may still be is kept, and what has come off hangs where that
//! costs the objective least (`pieces`), or below a helper in the place of the node that has gone. From there the
//! annealing of `best` goes on, in which every link that the installed plan does not have costs its price (`MovePrice`),
//! and every link that comes back brings it. A forest is repaired tree by tree and annealed as a whole, two trees a source
//! or one.
//!
//! Between two plans, [`Slots`] attaches a joiner at once, and [`backups`] says for every node where it goes when its
//! parent dies.

mod backups;
mod moved;
mod pieces;
mod reach;
mod repair;
mod slots;

pub use backups::{Backups, backups};
pub use moved::{Moves, moves};
pub use slots::Slots;

use std::collections::BTreeSet;

use crate::best::{Budget, Installed, again, grown_anew};
use crate::draft::Draft;
use crate::forest;
use crate::instance::Instance;
use crate::names::Objective;
use crate::plan::Plan;
use crate::plan_error::PlanError;
use crate::problem::Problem;
use crate::protect;

/// What a link must bring to be moved: at least `ms` milliseconds and at least `share` of the objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MovePrice {
    /// One way, in milliseconds. Default none.
    pub ms: f64,
    /// Of the repaired plan's objective, 0 to 1. Default 0.004: a single event in a session of 100 then moves a few links
    /// in a hundred, for a plan within a per cent or two of one made anew. Twice or half of it makes little difference.
    pub share: f64,
}

impl Default for MovePrice {
    fn default() -> Self {
        Self { ms: 0.0, share: PRICE_SHARE }
    }
}

impl MovePrice {
    /// In milliseconds, at an objective of so many.
    pub(crate) fn at(self, objective_ms: f64) -> f64 {
        self.ms.max(self.share * objective_ms).max(0.0)
    }
}

/// A plan made from another.
#[derive(Clone, Debug, PartialEq)]
pub struct Replanned {
    /// What is to be installed.
    pub plan: Plan,
    /// How it differs from what is.
    pub moves: Moves,
}

/// Plans `problem`, the session as it is now, from the `installed` plan. The plan that comes out is no worse than the
/// installed one repaired, and every link that it moves beyond that is worth its price. The installed plan may be for
/// other members, another root or other helpers, and broken in any way: links that cannot be are not kept. Of several
/// trees where one is asked for, the first counts; where two are that protect each other, the first two.
///
/// # Errors
/// `PlanError` if there is no tree, or none was found.
pub fn replan(
    problem: &Problem,
    installed: &Plan,
    mut budget: Budget<'_>,
    price: MovePrice,
) -> Result<Replanned, PlanError> {
    let lent: BTreeSet<_> = problem.helpers.iter().collect();
    let mut domains = BTreeSet::new();
    let mut borrowed = installed.helpers.clone();
    borrowed.retain(|helper| {
        lent.contains(helper) && problem.domain(*helper).is_none_or(|domain| domains.insert(domain))
    });
    let problem = &*problem.with_one_helper_a_domain(&borrowed);
    let plan = if problem.objective == Objective::Forest {
        forest::replanned(problem, installed, &mut budget, price)?
    } else if problem.protect {
        protect::replanned(problem, installed, &mut budget, price)?
    } else {
        let instance = Instance::new(problem, |degree| degree >= 2);
        let links = repair::installed_links(&instance, installed);
        let start = match repair::repaired(&instance, &links, &[]) {
            Some(draft) => draft,
            None => grown_anew(&instance)?,
        };
        let price = price.at(start.value(&instance));
        let old = Installed::new(&instance, &links, was_absent(&instance, installed), price);
        let gaps = repair::gaps(&instance, installed);
        let filled = if gaps.is_empty() { None } else { repair::repaired(&instance, &links, &gaps) };
        let better = |filled: &Draft| {
            filled.value(&instance) <= start.value(&instance)
                && old.cost(&instance, filled) < old.cost(&instance, &start)
        };
        let start = filled.filter(better).unwrap_or(start);
        again(&instance, start, &old, &mut budget).into_plan(&instance)
    };
    let moves = moves(installed, &plan);
    Ok(Replanned { plan, moves })
}

/// By local number, whether the node had no place in the installed tree.
fn was_absent(instance: &Instance<'_>, installed: &Plan) -> Vec<bool> {
    let edges = installed.trees.first().map_or(&[][..], |tree| &tree.edges);
    let mut present: Vec<usize> = edges.iter().flat_map(|&(a, b)| [a, b]).chain([installed.root]).collect();
    present.sort_unstable();
    instance.nodes.iter().map(|node| present.binary_search(node).is_err()).collect()
}

/// See [`MovePrice`].
const PRICE_SHARE: f64 = 0.004;
