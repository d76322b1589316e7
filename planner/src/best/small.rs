//! The optimum of problems that are small enough for it within the budget. Dynamic programming over subsets (`exact`)
//! takes as long as a few hundred proposals for 8 nodes and as some two hundred thousand for 14; annealing finds the same
//! tree mostly, but may miss it for longer than that.

use super::{Budget, HELPER_GAIN, annealed};
use crate::baseline::{EXACT_NODES_MAX, exact_draft};
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
    let solved = if proposals_worth(instance.len()) <= left { exact_draft(instance).ok() } else { None };
    let Some(solved) = solved else {
        return annealed(instance, &found, helpers_max, None, |more| {
            let spent = budget.spent(done);
            done += more;
            spent
        });
    };
    let price = |draft: &Draft| {
        let value = draft.value(instance);
        value * (1.0 + HELPER_GAIN * draft.helpers(instance) as f64)
    };
    if price(&solved) < price(&found) { solved } else { found }
}

/// About how many proposals take as long as the optimum over so many nodes, and half as long again to be safe.
fn proposals_worth(nodes: usize) -> f64 {
    1.5 * PROPOSALS_OF_8 * GROWTH_A_NODE.powi(nodes as i32 - 8)
}

/// Share of the budget after which the optimum is thought of.
const ANNEALED_FIRST: f64 = 0.4;
/// Measured: 0.06 ms for 8 nodes beside five million proposals a second, and about three times as long for every node more.
const PROPOSALS_OF_8: f64 = 300.0;
const GROWTH_A_NODE: f64 = 2.9;
