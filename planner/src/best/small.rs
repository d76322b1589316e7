//! The optimum of problems that are small enough for it within the budget. Annealing finds it mostly, but may miss it for
//! long; dynamic programming over subsets (`exact`) proves it, and the better the tree that it starts from, the less it
//! has to look at.

use super::{Budget, HELPER_GAIN, annealed};
use crate::baseline::{EXACT_NODES_MAX, exact_better, exact_no_worse};
use crate::draft::Draft;
use crate::instance::Instance;

/// Whether the optimum could be had at all.
pub(super) fn is_small(instance: &Instance<'_>, helpers_max: usize) -> bool {
    instance.len() <= EXACT_NODES_MAX && helpers_max >= instance.helpers_max
}

/// Anneals from `start` with the first part of the budget, which shows how long the rest of it is; then solves the problem
/// if there is time, or anneals on.
pub(super) fn annealed_then_solved(
    instance: &Instance<'_>,
    start: &Draft,
    helpers_max: usize,
    budget: &mut Budget<'_>,
) -> Draft {
    let mut done = 0;
    let found = annealed(instance, start, helpers_max, None, |more| {
        let spent = budget.spent(done);
        done += more;
        spent / ANNEALED_FIRST
    });
    let left = done as f64 * (1.0 - ANNEALED_FIRST) / ANNEALED_FIRST;
    if proposals_worth(instance.len()) > left {
        return annealed(instance, &found, helpers_max, None, |more| {
            let spent = budget.spent(done);
            done += more;
            spent
        });
    }
    let mut looked_at = 0;
    let mut more = |more| {
        looked_at += more;
        budget.spent(done + looked_at / SUBSETS_A_PROPOSAL) < 1.0
    };
    let value = found.value(instance);
    // An equal tree is of use only if it may have fewer helpers.
    let solved = if found.helpers(instance) == 0 {
        exact_better(instance, value, &mut more)
    } else {
        exact_no_worse(instance, value, &mut more)
    };
    let price = |draft: &Draft| {
        let value = draft.value(instance);
        value * (1.0 + HELPER_GAIN * draft.helpers(instance) as f64)
    };
    solved.filter(|solved| price(solved) < price(&found)).unwrap_or(found)
}

/// About how many proposals take as long as the optimum over so many nodes.
fn proposals_worth(nodes: usize) -> f64 {
    PROPOSALS_OF_8 * GROWTH_A_NODE.powi(nodes as i32 - 8)
}

/// Share of the budget after which the optimum is thought of.
const ANNEALED_FIRST: f64 = 0.3;
/// Measured in proposals' time on recorded latencies, from an annealed tree: the mean is 25,000 over 14 nodes, a tenth takes
/// three times as long, and each node less takes a third of it. Where there is not enough, it ends with the budget.
const PROPOSALS_OF_8: f64 = 42.0;
const GROWTH_A_NODE: f64 = 2.9;
/// Measured: subsets that are looked at in the time of a proposal.
const SUBSETS_A_PROPOSAL: u64 = 15;
