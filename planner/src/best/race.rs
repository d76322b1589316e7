//! A race of several starts, for the diameter: around which middle a tree stands is settled by where it began, as moving
//! there from another place means changing most of it at once. So a few trees are grown around hubs that are apart from
//! each other, all are annealed for a while, and the better half goes on: successive halving (Jamieson and Talwalkar,
//! "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016).

use super::{Budget, HELPER_GAIN, annealed, within};
use crate::critical::{Criterion, HelperLimits};
use crate::draft::Draft;
use crate::instance::Instance;
use crate::search::{grown_from, most_central};

/// Anneals `start` and others, and goes on with the best. Where most of the budget is spent already, `start` alone.
pub(super) fn raced(
    instance: &Instance<'_>,
    start: Draft,
    helpers_max: usize,
    budget: &mut Budget<'_>,
) -> Draft {
    let mut spent = within(budget);
    let begun = spent(0);
    let mut field = vec![start];
    if begun < TOO_LATE {
        let limits = HelperLimits::of(instance, helpers_max);
        let grown = hubs_apart(instance, if limits.most == 0 { instance.members } else { instance.len() })
            .into_iter()
            .filter_map(|hub| grown_from(instance, hub, 1, Criterion::TableB, limits).ok());
        field.extend(grown.map(|draft| draft.without_idle_helpers(instance)));
    }
    let begun = spent(0);
    // From here on `from` is where the walk that comes next begins, as a share of the budget.
    let mut from = begun;
    for share in HEATS {
        if field.len() == 1 {
            break;
        }
        let each = (1.0 - begun) * share / field.len() as f64;
        let mut ranked: Vec<(f64, Draft)> = Vec::with_capacity(field.len());
        for start in field {
            let found =
                annealed(instance, &start, helpers_max, None, |more| share_of(spent(more), from, each));
            from += each;
            ranked.push((price(instance, &found), found));
        }
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        ranked.truncate(ranked.len().div_ceil(2));
        field = ranked.into_iter().map(|(_, draft)| draft).collect();
    }
    let first = field.swap_remove(0);
    annealed(instance, &first, helpers_max, None, |more| share_of(spent(more), from, 1.0 - from))
}

/// How much of a stretch of the budget is spent.
fn share_of(spent: f64, from: f64, length: f64) -> f64 {
    if length > 0.0 { (spent - from) / length } else { 1.0 }
}

fn price(instance: &Instance<'_>, draft: &Draft) -> f64 {
    draft.value(instance) * (1.0 + HELPER_GAIN * draft.helpers(instance) as f64)
}

/// Of the first `nodes`, those from which the farthest member is nearest, each apart from those before it.
fn hubs_apart(instance: &Instance<'_>, nodes: usize) -> Vec<usize> {
    let relays = (0..nodes).filter(|&node| instance.degree[node] >= HUB_DEGREE_MIN);
    let central = most_central(instance, relays, usize::MAX);
    let Some(&first) = central.first() else { return Vec::new() };
    let to_members = instance.costs(first)[..instance.members].iter().copied();
    let apart = APART * to_members.filter(|cost| cost.is_finite()).fold(0.0, f32::max);
    let mut hubs: Vec<usize> = Vec::with_capacity(HUBS);
    for hub in central {
        if hubs.len() == HUBS {
            break;
        }
        if hubs.iter().all(|&other| instance.costs(hub)[other] > apart) {
            hubs.push(hub);
        }
    }
    hubs
}

/// Shares of the budget for the heats; the best of the last has the rest. They, and the numbers below, were tried out on
/// transit-stub and recorded matrices.
const HEATS: [f64; 2] = [0.4, 0.25];
/// Hubs around which trees are grown, and how far they are apart, by the distance of the farthest member.
const HUBS: usize = 5;
const APART: f32 = 0.15;
/// A hub of two links is a node on a way.
const HUB_DEGREE_MIN: u32 = 3;
/// Share of the budget after which there is no time for a race.
const TOO_LATE: f64 = 0.5;
